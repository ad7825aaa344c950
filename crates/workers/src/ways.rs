//! The ways out of one lane: a connection to a mail server, and the gateways for text messages.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use content::Segments;
use control::GivenId;
use futures::StreamExt as _;
use gateways::{
    Envelope, GatewayError, HandOver, PhoneNumber, SmsConfig, SmsGateway, SmsMessage, SmsPrice, SmsRoute, SmtpConfig, SmtpLane,
};
use tokio::time::{Instant, sleep_until};
use vocabulary::{Channel, MessageClass, MessageId, Money, Provider};

/// Text messages of one lane that wait for their answers at the same time: HTTP has one answer for each, and a gateway takes a
/// tenth of a second for it.
const TEXTS_AT_ONCE: usize = 16;

/// What became of a message, by which way, at what price.
pub(crate) struct Sent {
    pub(crate) hand_over: HandOver,
    /// The gateway's name; the mail server's where absent.
    pub(crate) provider: Option<Provider>,
    /// What it costs, where that is known.
    pub(crate) cost: Option<Money>,
    /// The provider's id for it, where its receipts will name one.
    pub(crate) provider_id: Option<String>,
    /// Whether the mail server ended a connection with 421 instead of taking it, before it came to `hand_over`.
    pub(crate) is_turned_away: bool,
}

impl Sent {
    /// What the provider calls a message of ours, for its receipts.
    pub(crate) fn given_id(&self, message_id: &MessageId) -> Option<GivenId> {
        let (gateway, provider_id) = self.provider.as_ref().zip(self.provider_id.as_ref())?;
        let (gateway, provider_id) = (gateway.as_str().to_owned(), provider_id.clone());
        Some(GivenId { gateway, provider_id, message_id: message_id.clone() })
    }

    /// Whether it left, as far as is known, and will not leave again.
    pub(crate) fn left(&self) -> bool {
        matches!(self.hand_over, HandOver::Accepted { .. } | HandOver::InDoubt { .. } | HandOver::Refused { permanent: true, .. })
    }
}

impl From<HandOver> for Sent {
    fn from(hand_over: HandOver) -> Self {
        Self { hand_over, provider: None, cost: None, provider_id: None, is_turned_away: false }
    }
}

/// A message that is about to leave.
pub(crate) struct Ready {
    /// A mail's bytes, or the words of a text message.
    pub(crate) content: Vec<u8>,
    /// The gateway that a text message goes by, and by no other; whichever takes its class and country where absent.
    pub(crate) provider: Option<Provider>,
}

/// The ways out of one lane.
pub(crate) struct Ways {
    mail: Option<SmtpLane>,
    texts: Arc<Texts>,
}

/// Some messages of one channel and class.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) channel: Channel,
    pub(crate) class: MessageClass,
    pub(crate) ids: &'a [MessageId],
    pub(crate) envelopes: &'a [Envelope],
    /// None is begun after this moment.
    pub(crate) until: Option<Instant>,
}

impl Ways {
    pub(crate) fn new(smtp: Option<&SmtpConfig>, texts: &Arc<Texts>) -> Self {
        Self { mail: smtp.cloned().map(SmtpLane::new), texts: texts.clone() }
    }

    /// Hands messages over in order. `content(i)` is called once at most, when message `i` is about to leave. `None` takes it back.
    pub(crate) async fn deliver(
        &mut self,
        group: Group<'_>,
        content: &mut (dyn FnMut(usize) -> Option<Ready> + Send),
    ) -> Vec<Sent> {
        match (group.channel, &mut self.mail) {
            (Channel::Email, Some(mail)) => {
                let mut bytes = |place: usize| Some(content(place)?.content);
                let ended = mail.deliver_until(group.envelopes, group.until, &mut bytes).await;
                let mut ended: Vec<Sent> = ended.into_iter().map(Sent::from).collect();
                mail.turned_away().iter().for_each(|place| ended[*place].is_turned_away = true);
                ended
            }
            (Channel::Email, None) => {
                let why = "this process was given no mail server".to_owned();
                group.ids.iter().map(|_| Sent::from(HandOver::NotSent { why: why.clone() })).collect()
            }
            _ => self.texts.deliver(group, content).await,
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        if let Some(mail) = &mut self.mail {
            mail.close().await;
        }
    }
}

/// The gateways for text messages, opened; shared by the lanes of a process.
pub(crate) struct Texts {
    config: SmsConfig,
    open: HashMap<String, Arc<dyn SmsGateway>>,
    /// By the name of a gateway that takes so many a second: when the next may leave.
    slots: Mutex<HashMap<String, Instant>>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").field("gateways", &self.open.keys()).finish_non_exhaustive()
    }
}

impl Texts {
    pub(crate) fn open(config: SmsConfig) -> Result<Self, GatewayError> {
        let open = config.routes().iter().map(|route| Ok((route.name().to_owned(), route.open()?)));
        let open = open.collect::<Result<_, GatewayError>>()?;
        Ok(Self { config, open, slots: Mutex::default() })
    }

    async fn deliver(&self, group: Group<'_>, content: &mut (dyn FnMut(usize) -> Option<Ready> + Send)) -> Vec<Sent> {
        let submit = |place: usize| {
            let late = group.until.is_some_and(|until| Instant::now() > until);
            let ready = if late { None } else { content(place) };
            async move {
                match ready {
                    _ if late => HandOver::Late.into(),
                    None => HandOver::NotSent { why: "taken back by the sender".to_owned() }.into(),
                    Some(Ready { content, provider }) => {
                        self.submit(group, place, &String::from_utf8_lossy(&content), provider.as_ref()).await
                    }
                }
            }
        };
        futures::stream::iter(0..group.ids.len()).map(submit).buffered(TEXTS_AT_ONCE).collect().await
    }

    /// Hands one message over. A gateway that puts it off is offered it again later; another one is never asked in its place, whether the
    /// message names one or not.
    async fn submit(&self, group: Group<'_>, place: usize, text: &str, named: Option<&Provider>) -> Sent {
        let (to, id, class) = (&group.envelopes[place].to, &group.ids[place], group.class);
        let impossible = |why: String| HandOver::Refused { reply: format!("not sent: {why}"), permanent: true }.into();
        let number = match PhoneNumber::read(to) {
            Ok(number) => number,
            Err(error) => return impossible(error.to_string()),
        };
        let country = number.country();
        let route = match route_of(&self.config, named, class, country) {
            Ok(route) => route,
            Err(why) => return impossible(why),
        };
        let Some(gateway) = self.open.get(route.name()) else { return impossible("its gateway is not open".to_owned()) };
        if let Some(rate) = route.messages_per_second() {
            sleep_until(self.slot(route.name(), rate)).await;
        }
        let answer = gateway.submit(&SmsMessage { message_id: id, to: number.as_str(), text, class }).await;
        let price = answer.price.or_else(|| route.price(country, Segments::of(text).segments));
        Sent {
            hand_over: answer.hand_over,
            provider: Provider::new(route.name()).ok(),
            cost: price.map(|price| rounded(price, id)),
            provider_id: answer.provider_id.filter(|_| route.takes_receipts()),
            is_turned_away: false,
        }
    }

    /// When the next message may go to a gateway that takes so many a second.
    fn slot(&self, name: &str, per_second: f64) -> Instant {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let slot = slots.get(name).copied().unwrap_or(now).max(now);
        slots.insert(name.to_owned(), slot + Duration::from_secs_f64(1.0 / per_second));
        slot
    }
}

/// The gateway that takes a message, or why none does.
fn route_of<'c>(
    config: &'c SmsConfig,
    named: Option<&Provider>,
    class: MessageClass,
    country: Option<&str>,
) -> Result<&'c SmsRoute, String> {
    config.gateway_of(named, class, country).ok_or_else(|| {
        let country = country.unwrap_or("that number's country");
        match named {
            None => format!("no gateway takes {class} messages to {country}; add one to the file of `serve --sms`"),
            Some(named) => format!(
                "its variant goes by the provider `{named}`, and no gateway of that name takes {class} messages to {country}; add it to the \
                 file of `serve --sms`"
            ),
        }
    })
}

/// A price as money, which has no fractions of a cent: up as often as its fraction says, by the message's id, so that sums are right.
fn rounded(price: SmsPrice, id: &MessageId) -> Money {
    const MILLION: i64 = 1_000_000;
    let minor = i128::from(price.millionths) * i128::from(price.currency.minor_per_major());
    let (whole, rest) = (minor / i128::from(MILLION), minor % i128::from(MILLION));
    // Ids are hexadecimal digits of a hash.
    let drawn = id.as_str().get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(u32::MAX / 2);
    let is_up = i128::from(drawn) * i128::from(MILLION) < rest << 32;
    Money { minor: i64::try_from(whole).unwrap_or(i64::MAX).saturating_add(i64::from(is_up)), currency: price.currency }
}

#[cfg(test)]
mod tests {
    use vocabulary::{CampaignId, ContactKey, Currency};

    use super::*;

    #[test]
    fn a_message_that_names_a_provider_goes_by_no_other() {
        let gateway = |name: &str, more: &str| {
            format!(
                "[[gateway]]\nname = \"{name}\"\nkind = \"twilio\"\nclasses = [\"marketing\"]\nsender = \"SHOP\"\n{more}\n\
                 [gateway.twilio]\naccount = \"AC0123\"\ntoken = \"${{TOKEN}}\"\n"
            )
        };
        let text = gateway("main", "") + &gateway("trial", "named_only = true\ncountries = [\"FR\"]");
        let config = SmsConfig::read(&text, &|_| Some("hush".to_owned())).unwrap();
        let check = |named: Option<&str>, class, country: &str, expect: Result<&str, &str>| {
            let named = named.map(|name| Provider::new(name).unwrap());
            let route = route_of(&config, named.as_ref(), class, Some(country)).map(|route| route.name().to_owned());
            match expect {
                Ok(name) => assert_eq!(route.as_deref(), Ok(name)),
                Err(why) => assert!(route.as_ref().unwrap_err().starts_with(why), "{route:?}"),
            }
        };
        let marketing = MessageClass::Marketing;
        check(None, marketing, "FR", Ok("main"));
        check(Some("trial"), marketing, "FR", Ok("trial"));
        check(Some("main"), marketing, "FR", Ok("main"));
        let why = "its variant goes by the provider `trial`, and no gateway of that name takes marketing messages to DE; add it";
        check(Some("trial"), marketing, "DE", Err(why));
        check(Some("gone"), marketing, "FR", Err("its variant goes by the provider `gone`, and no gateway of that name takes"));
        check(None, MessageClass::Verification, "FR", Err("no gateway takes verification messages to FR; add one"));
    }

    #[test]
    fn sums_of_rounded_prices_are_right() {
        let usd = Currency::new("USD").unwrap();
        let campaign = CampaignId::new("c").unwrap();
        let sum = |amount: &str| -> i64 {
            let price = SmsPrice::read(amount, usd).unwrap();
            let id = |n| content::message_id(&campaign, ContactKey::from_i64(n).unwrap(), None);
            (1..=10_000).map(|n| rounded(price, &id(n)).minor).sum()
        };
        assert_eq!((sum("0.02"), sum("0")), (20_000, 0));
        // 0.79 cents each: within four standard errors, 4 * sqrt(10,000 * 0.79 * 0.21) = 163.
        assert!((7_737..=8_063).contains(&sum("0.0079")), "{}", sum("0.0079"));
        let yen = Currency::new("JPY").unwrap();
        let price = SmsPrice::read("7", yen).unwrap();
        assert_eq!(rounded(price, &content::message_id(&campaign, ContactKey::from_i64(1).unwrap(), None)).minor, 7);
    }
}
