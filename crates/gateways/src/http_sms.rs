//! Any provider whose gateway takes a message with one HTTP request, as a configuration describes it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Client, Method, Request};
use serde_json::Value;
use url::form_urlencoded;
use vocabulary::Currency;

use crate::error::GatewayError;
use crate::secrets::{Secret, without_number};
use crate::sms::{PhoneNumber, SmsGateway, SmsHandOver, SmsMessage, SmsPrice};
use crate::sms_answer::{Judge, written};
use crate::sms_config::Senders;
use crate::sms_exchange::{Answer, client, exchange};
use crate::sms_receipt::ReceiptPlan;
use crate::sms_template::{Fields, Place, Templates};
use crate::smtp::HandOver;

/// What the request carries. The templates have the same names.
#[derive(Debug, Clone)]
pub(crate) enum RequestBody {
    None,
    /// The names of the form's fields.
    Form(Vec<String>),
    Json,
    Plain,
}

/// Where an answer tells what a message costs.
#[derive(Debug, Clone)]
pub(crate) struct PriceAt {
    pub(crate) at: String,
    pub(crate) currency: Currency,
}

/// All that is known of a provider.
pub(crate) struct HttpPlan {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) templates: Templates,
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) body: RequestBody,
    /// User and password.
    pub(crate) basic: Option<(String, Secret)>,
    pub(crate) judge: Judge,
    pub(crate) id: Option<String>,
    pub(crate) price: Option<PriceAt>,
    pub(crate) senders: Senders,
    pub(crate) receipt: Option<ReceiptPlan>,
    pub(crate) timeout_seconds: u64,
}

impl fmt::Debug for HttpPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any of the texts may come from a secret.
        f.debug_struct("HttpPlan").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The way out to a provider.
#[derive(Debug)]
pub(crate) struct HttpSms {
    plan: Arc<HttpPlan>,
    client: Client,
}

impl HttpSms {
    pub(crate) fn open(plan: &Arc<HttpPlan>) -> Result<Self, GatewayError> {
        Ok(Self { plan: Arc::clone(plan), client: client(plan.timeout_seconds)? })
    }

    fn request(&self, fields: &Fields<'_>) -> Result<Request, String> {
        let plan = &self.plan;
        let fill = |place, name: &str| plan.templates.render(place, name, fields);
        let mut request = self.client.request(plan.method.clone(), fill(Place::Url, "url")?);
        if let Some((user, password)) = &plan.basic {
            request = request.basic_auth(user, Some(&password.0));
        }
        for name in &plan.headers {
            request = request.header(name, fill(Place::Header, name.as_str())?);
        }
        let (kind, body) = match &plan.body {
            RequestBody::None => return request.build().map_err(|error| error.without_url().to_string()),
            RequestBody::Form(names) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for name in names {
                    form.append_pair(name, &fill(Place::Plain, &format!("form/{name}"))?);
                }
                ("application/x-www-form-urlencoded", form.finish())
            }
            RequestBody::Json => ("application/json", fill(Place::Json, "json")?),
            RequestBody::Plain => ("text/plain; charset=utf-8", fill(Place::Plain, "plain")?),
        };
        if !plan.headers.contains(&CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, kind);
        }
        request.body(body).build().map_err(|error| error.without_url().to_string())
    }

    fn understood(&self, answer: &Answer) -> SmsHandOver {
        let plan = &self.plan;
        let json: Option<Value> = serde_json::from_str(&answer.body).ok();
        let mut told = SmsHandOver::new(plan.judge.word(answer, json.as_ref()));
        if matches!(told.hand_over, HandOver::Accepted { .. }) {
            let field = |at: &str| json.as_ref()?.pointer(at).filter(|value| !value.is_null()).map(written);
            told.provider_id = plan.id.as_deref().and_then(field).filter(|id| !id.is_empty());
            let price = |price: &PriceAt| SmsPrice::read(&field(&price.at)?, price.currency).ok();
            told.price = plan.price.as_ref().and_then(price);
        }
        told
    }
}

#[async_trait]
impl SmsGateway for HttpSms {
    async fn submit(&self, message: &SmsMessage<'_>) -> SmsHandOver {
        let number = match PhoneNumber::read(message.to) {
            Ok(number) => number,
            Err(error) => return SmsHandOver::impossible(error),
        };
        let fields = Fields {
            to: number.as_str(),
            to_digits: number.digits(),
            text: message.text,
            sender: self.plan.senders.of(message.class, number.country()).unwrap_or_default(),
            message_id: message.message_id.as_str(),
            class: message.class.as_str(),
            country: number.country().unwrap_or_default(),
        };
        let told = match self.request(&fields) {
            Err(why) => SmsHandOver::impossible(why),
            Ok(request) => match exchange(&self.client, request).await {
                Ok(answer) => self.understood(&answer),
                Err(word) => SmsHandOver::new(word),
            },
        };
        told.cleaned(|text| without_number(&self.plan.templates.hide(text), number.digits()))
    }
}
