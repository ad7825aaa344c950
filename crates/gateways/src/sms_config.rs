//! The configuration of text messages: which gateway takes which class to which country, as whom, and at what price.
//!
//! It is TOML. Secrets stand in it as `${NAME}` and are handed in; each gateway has credentials of its own, so that a
//! marketing campaign cannot use up what verification codes need. An example with every key is the test
//! `a_configuration_with_every_key`.

use std::sync::Arc;

use vocabulary::{MessageClass, Provider};

use crate::error::GatewayError;
use crate::http_sms::{HttpPlan, HttpSms};
use crate::secrets::SecretOf;
use crate::sms::{SmsGateway, SmsPrice};
use crate::sms_config_read::read;
use crate::sms_receipt::{ReceiptPlan, ReceiptRequest, SmsReceipt};
use crate::twilio::{Twilio, TwilioPlan};

/// The longest configuration in bytes: hundreds of gateways.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// How long a provider may take to answer where the configuration says nothing. A shorter time makes messages in doubt that
/// the provider was about to accept.
pub const TIMEOUT_SECONDS: u64 = 30;
/// The longest time it may be given.
pub const TIMEOUT_SECONDS_MAX: u64 = 300;

/// Countries by their ISO 3166 codes; all of them where there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Countries(pub(crate) Vec<String>);

impl Countries {
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    fn names(&self, country: Option<&str>) -> bool {
        country.is_some_and(|country| self.0.iter().any(|known| known == country))
    }
}

/// The entry that names the country, else the one for all of them.
fn nearest<'a, T>(mut entries: impl Iterator<Item = (&'a Countries, T)> + Clone, country: Option<&str>) -> Option<T> {
    let named = entries.clone().find(|(countries, _)| countries.names(country));
    named.or_else(|| entries.find(|(countries, _)| countries.is_all())).map(|(_, found)| found)
}

/// A sender's id for some classes and countries.
#[derive(Debug, Clone)]
pub(crate) struct SenderFor {
    /// Any class where there are none.
    pub(crate) classes: Vec<MessageClass>,
    pub(crate) countries: Countries,
    pub(crate) sender: String,
}

/// As whom messages are sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Senders {
    pub(crate) sender: Option<String>,
    pub(crate) particular: Vec<SenderFor>,
}

impl Senders {
    /// The sender's id for a class and country.
    pub(crate) fn of(&self, class: MessageClass, country: Option<&str>) -> Option<&str> {
        let fits = |entry: &&SenderFor| entry.classes.is_empty() || entry.classes.contains(&class);
        let particular = self.particular.iter().filter(fits).map(|entry| (&entry.countries, entry.sender.as_str()));
        nearest(particular, country).or(self.sender.as_deref())
    }
}

/// How a gateway is spoken to.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Http(Arc<HttpPlan>),
    Twilio(Arc<TwilioPlan>),
}

/// One gateway of the configuration.
#[derive(Debug, Clone)]
pub struct SmsRoute {
    pub(crate) name: String,
    pub(crate) classes: Vec<MessageClass>,
    pub(crate) countries: Countries,
    pub(crate) named_only: bool,
    pub(crate) senders: Senders,
    pub(crate) messages_per_second: Option<f64>,
    pub(crate) prices: Vec<(Countries, SmsPrice)>,
    pub(crate) way: Way,
}

impl SmsRoute {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The classes it takes.
    #[must_use]
    pub fn classes(&self) -> &[MessageClass] {
        &self.classes
    }

    /// The countries it takes; all that no other gateway names where it is empty.
    #[must_use]
    pub fn countries(&self) -> &[String] {
        &self.countries.0
    }

    /// Whether it takes only messages that name it, such as those of a variant whose `provider` it is.
    #[must_use]
    pub fn is_named_only(&self) -> bool {
        self.named_only
    }

    /// Whether it may take messages of a class that name this provider, or that name none.
    #[must_use]
    pub fn serves(&self, named: Option<&Provider>, class: MessageClass) -> bool {
        let is_meant = named.map_or(!self.named_only, |named| named.as_str() == self.name);
        is_meant && self.classes.contains(&class)
    }

    /// How many messages it takes in a second, where that is known. The gateway does not wait by itself: whoever sends does.
    #[must_use]
    pub fn messages_per_second(&self) -> Option<f64> {
        self.messages_per_second
    }

    /// The id that recipients see, for a class and country.
    #[must_use]
    pub fn sender(&self, class: MessageClass, country: Option<&str>) -> Option<&str> {
        self.senders.of(class, country)
    }

    /// What a message of so many segments costs; `None` where the price is not known.
    #[must_use]
    pub fn price(&self, country: Option<&str>, segments: usize) -> Option<SmsPrice> {
        let prices = self.prices.iter().map(|(countries, price)| (countries, *price));
        nearest(prices, country)?.times(segments)
    }

    /// Whether its provider can tell what became of messages.
    #[must_use]
    pub fn takes_receipts(&self) -> bool {
        self.receipt_proof().is_some()
    }

    /// By what a receipt proves that it is the provider's; `None` where none is taken.
    #[must_use]
    pub fn receipt_proof(&self) -> Option<String> {
        match &self.way {
            Way::Http(plan) => plan.receipt.as_ref().map(ReceiptPlan::proof),
            Way::Twilio(_) => Some("Twilio's signature".to_owned()),
        }
    }

    /// What the provider wants to read when its receipts were taken.
    #[must_use]
    pub fn receipt_answer(&self) -> &str {
        match &self.way {
            Way::Http(plan) => plan.receipt.as_ref().map_or("", |receipt| &receipt.answer),
            Way::Twilio(_) => "",
        }
    }

    /// Reads what the provider tells of messages later, after making sure that it is the provider.
    ///
    /// # Errors
    /// [`GatewayError::Stranger`] when it is not the provider, [`GatewayError::Receipt`] when it cannot be read.
    pub fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<SmsReceipt>, GatewayError> {
        match &self.way {
            Way::Twilio(plan) => plan.receipts(request),
            Way::Http(plan) => match &plan.receipt {
                Some(receipt) => receipt.read(&self.name, request),
                None => Err(GatewayError::Stranger {
                    gateway: self.name.clone(),
                    problem: "the gateway has no [gateway.http.receipt]; write it".to_owned(),
                }),
            },
        }
    }

    /// The way out, with connections of its own.
    ///
    /// # Errors
    /// [`GatewayError::Client`] when HTTPS cannot be set up.
    pub fn open(&self) -> Result<Arc<dyn SmsGateway>, GatewayError> {
        Ok(match &self.way {
            Way::Http(plan) => Arc::new(HttpSms::open(plan)?),
            Way::Twilio(plan) => Arc::new(Twilio::open(plan)?),
        })
    }
}

/// All gateways for text messages.
#[derive(Debug, Clone, Default)]
pub struct SmsConfig {
    pub(crate) routes: Vec<SmsRoute>,
}

impl SmsConfig {
    /// Reads a configuration. `secret` gives the value of a name, such as that of a variable of the environment.
    ///
    /// # Errors
    /// [`GatewayError::Config`]: the first thing that is wrong, with its line.
    pub fn read(text: &str, secret: SecretOf<'_>) -> Result<Self, GatewayError> {
        read(text, secret).map(|routes| Self { routes })
    }

    /// All gateways, in the order of the text.
    #[must_use]
    pub fn routes(&self) -> &[SmsRoute] {
        &self.routes
    }

    /// The gateway of messages that name none, for a class and country: the one that names the country, else the one for all
    /// countries. No two of one class name the same, but for those that take only messages that name them.
    #[must_use]
    pub fn gateway_for(&self, class: MessageClass, country: Option<&str>) -> Option<&SmsRoute> {
        self.gateway_of(None, class, country)
    }

    /// The gateway of messages of a class to a country: as [`Self::gateway_for`], or the one that is named. A message that names one goes
    /// by that one or not at all, so that nobody who compares providers takes the work of one for that of another: `None` where there is
    /// none of that name, or it does not take the class or the country. A gateway that is named takes all countries where its
    /// configuration names none, also those that another one names.
    #[must_use]
    pub fn gateway_of(&self, named: Option<&Provider>, class: MessageClass, country: Option<&str>) -> Option<&SmsRoute> {
        let routes = self.routes.iter().filter(|route| route.serves(named, class));
        nearest(routes.map(|route| (&route.countries, route)), country)
    }
}
