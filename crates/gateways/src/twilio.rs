//! Twilio's Programmable Messaging: the API of 2010-04-01 and its callbacks.
//!
//! <https://www.twilio.com/docs/messaging/api/message-resource>, <https://www.twilio.com/docs/api/errors> and
//! <https://www.twilio.com/docs/usage/security>.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Request};
use serde::Deserialize;
use serde_json::Value;
use sha1::Sha1;
use url::form_urlencoded;
use vocabulary::Currency;

use crate::error::GatewayError;
use crate::secrets::{Secret, Secrets, without_number};
use crate::sms::{PhoneNumber, SmsGateway, SmsHandOver, SmsMessage, SmsPrice};
use crate::sms_answer::written;
use crate::sms_config::Senders;
use crate::sms_exchange::{Answer, IN_DOUBT, client, exchange, is_later};
use crate::sms_receipt::{RECEIPT_BYTES_MAX, ReceiptRequest, ReceiptStatus, SmsReceipt};
use crate::smtp::HandOver;

/// Where the API is.
pub(crate) const BASE_URL: &str = "https://api.twilio.com";

/// Errors about this recipient or this text, which the next attempt meets again: no such number (21211, 21217), none that
/// can be reached (21214, 21612), a country that is switched off (21408), a recipient who said STOP (21610), no mobile
/// (21614), a text of more than 1,600 characters (21617), a landline (21635).
const PERMANENT: [i64; 9] = [21211, 21214, 21217, 21408, 21610, 21612, 21614, 21617, 21635];

/// All that is known of an account.
pub(crate) struct TwilioPlan {
    pub(crate) name: String,
    pub(crate) base_url: String,
    pub(crate) account: String,
    pub(crate) token: Secret,
    /// Instead of a sender.
    pub(crate) messaging_service: Option<String>,
    pub(crate) status_callback: Option<String>,
    pub(crate) senders: Senders,
    pub(crate) secrets: Secrets,
    pub(crate) timeout_seconds: u64,
}

impl fmt::Debug for TwilioPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any of the texts may come from a secret.
        f.debug_struct("TwilioPlan").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The way out to Twilio.
#[derive(Debug)]
pub(crate) struct Twilio {
    plan: Arc<TwilioPlan>,
    client: Client,
}

/// What is read of an answer: a message, or an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    sid: Option<String>,
    price: Option<Value>,
    price_unit: Option<String>,
    num_segments: Option<Value>,
    code: Option<i64>,
    message: Option<String>,
}

impl Twilio {
    pub(crate) fn open(plan: &Arc<TwilioPlan>) -> Result<Self, GatewayError> {
        Ok(Self { plan: Arc::clone(plan), client: client(plan.timeout_seconds)? })
    }

    fn request(&self, number: &PhoneNumber, message: &SmsMessage<'_>) -> Result<Request, String> {
        let plan = &self.plan;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", number.as_str()).append_pair("Body", message.text);
        let sender = plan.senders.of(message.class, number.country());
        match (sender, &plan.messaging_service) {
            (Some(sender), _) => form.append_pair("From", sender),
            (None, Some(service)) => form.append_pair("MessagingServiceSid", service),
            (None, None) => return Err("no sender is configured for this class and country; write `sender`".to_owned()),
        };
        if let Some(callback) = &plan.status_callback {
            form.append_pair("StatusCallback", callback);
        }
        let url = format!("{}/2010-04-01/Accounts/{}/Messages.json", plan.base_url.trim_end_matches('/'), plan.account);
        let request = self.client.post(url).basic_auth(&plan.account, Some(&plan.token.0));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish());
        request.build().map_err(|error| error.without_url().to_string())
    }

    /// The word on a message, of what Twilio answered.
    fn understood(answer: &Answer) -> SmsHandOver {
        let told: Told = serde_json::from_str(&answer.body).unwrap_or_default();
        let is_good = (200..300).contains(&answer.status);
        if let Some(sid) = told.sid.as_ref().filter(|sid| is_good && !sid.is_empty()) {
            let currency = told.price_unit.as_deref().and_then(|code| Currency::new(&code.to_ascii_uppercase()).ok());
            return SmsHandOver {
                hand_over: HandOver::Accepted { reply: format!("HTTP {}: {sid}", answer.status) },
                provider_id: Some(sid.clone()),
                price: currency.and_then(|currency| SmsPrice::read(&written(told.price.as_ref()?), currency).ok()),
                // It says 0 as long as a messaging service has not chosen the sender.
                segments: told.num_segments.and_then(|count| written(&count).parse().ok()).filter(|count| *count > 0),
            };
        }
        let words = told.message.map(|message| match told.code {
            Some(code) => format!("{code} {message}"),
            None => message,
        });
        let reply = answer.told(words.as_deref());
        SmsHandOver::new(match told.code {
            Some(code) if !is_good && PERMANENT.contains(&code) => HandOver::Refused { reply, permanent: true },
            _ if is_later(answer.status) => HandOver::Refused { reply, permanent: false },
            _ if IN_DOUBT.contains(&answer.status) => HandOver::InDoubt { why: reply },
            _ if is_good => {
                let broken = answer.broken.as_ref().map_or(String::new(), |why| format!(" ({why})"));
                HandOver::InDoubt { why: format!("the answer does not tell: {reply}{broken}") }
            }
            _ => HandOver::Refused { reply, permanent: false },
        })
    }
}

#[async_trait]
impl SmsGateway for Twilio {
    async fn submit(&self, message: &SmsMessage<'_>) -> SmsHandOver {
        let number = match PhoneNumber::read(message.to) {
            Ok(number) => number,
            Err(error) => return SmsHandOver::impossible(error),
        };
        let told = match self.request(&number, message) {
            Err(why) => SmsHandOver::impossible(why),
            Ok(request) => match exchange(&self.client, request).await {
                Ok(answer) => Self::understood(&answer),
                Err(word) => SmsHandOver::new(word),
            },
        };
        told.cleaned(|text| without_number(&self.plan.secrets.hide(text), number.digits()))
    }
}

impl TwilioPlan {
    /// Whether Twilio made this request: HMAC-SHA1 by the account's token over the address and the sorted fields.
    fn is_genuine(&self, url: &str, form: &[(String, String)], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.token.0.as_bytes()) else { return false };
        mac.update(url.as_bytes());
        // A field that stands twice with one value is signed once.
        for (name, value) in form.iter().collect::<BTreeSet<_>>() {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        mac.verify_slice(&signature).is_ok()
    }

    /// Reads a callback. The address that Twilio signed is the one it was told to call, whatever led the request here.
    pub(crate) fn receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<SmsReceipt>, GatewayError> {
        let wrong = |problem: &str| GatewayError::Receipt { gateway: self.name.clone(), problem: problem.to_owned() };
        if request.body.len() > RECEIPT_BYTES_MAX {
            return Err(wrong("the request is too large to be one of Twilio's"));
        }
        let form = request.form();
        let signature = (request.header)("x-twilio-signature").unwrap_or_default();
        let mut urls = self.status_callback.as_deref().into_iter().chain([request.url]);
        if !urls.any(|url| self.is_genuine(url, &form, &signature)) {
            let problem = "X-Twilio-Signature does not fit; give the address that Twilio calls and the account's token";
            return Err(GatewayError::Stranger { gateway: self.name.clone(), problem: problem.to_owned() });
        }
        let field =
            |name: &str| form.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone());
        let (provider_id, word) =
            field("MessageSid").zip(field("MessageStatus")).ok_or_else(|| wrong("MessageSid or MessageStatus is missing"))?;
        let status = match word.as_str() {
            "delivered" | "read" => ReceiptStatus::Delivered,
            "failed" | "undelivered" => ReceiptStatus::Failed,
            _ => ReceiptStatus::Other,
        };
        Ok(vec![SmsReceipt { provider_id, status, word, error: field("ErrorCode") }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twilio(token: &str) -> TwilioPlan {
        TwilioPlan {
            name: "main".to_owned(),
            base_url: BASE_URL.to_owned(),
            account: "AC1".to_owned(),
            token: Secret(token.to_owned()),
            messaging_service: None,
            status_callback: None,
            senders: Senders::default(),
            secrets: Secrets::default(),
            timeout_seconds: 1,
        }
    }

    /// The example of Twilio's documentation: a call, whose signature is made the same way.
    const URL: &str = "https://example.com/myapp.php?foo=1&bar=2";
    const FORM: &str = "Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310&CallSid=CA1234567890ABCDE";
    const SIGNATURE: &str = "L/OH5YylLD5NRKLltdqwSvS0BnU=";

    #[test]
    fn signatures_are_those_of_the_documentation() {
        let form: Vec<(String, String)> = form_urlencoded::parse(FORM.as_bytes()).into_owned().collect();
        assert!(twilio("12345").is_genuine(URL, &form, SIGNATURE));
        assert!(!twilio("12346").is_genuine(URL, &form, SIGNATURE), "another token");
        assert!(!twilio("12345").is_genuine("https://example.com/myapp.php?foo=1", &form, SIGNATURE), "another address");
        assert!(!twilio("12345").is_genuine(URL, &form[1..], SIGNATURE), "a field less");
        assert!(!twilio("12345").is_genuine(URL, &form, ""), "no signature");
    }

    fn receipt(form: &str) -> Result<Vec<SmsReceipt>, GatewayError> {
        let twilio = twilio("12345");
        let mut mac = Hmac::<Sha1>::new_from_slice(b"12345").expect("any key does");
        mac.update(b"https://shop.example/twilio");
        let mut fields: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        fields.sort();
        fields.iter().for_each(|(name, value)| mac.update(format!("{name}{value}").as_bytes()));
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let header = |name: &str| (name == "x-twilio-signature").then(|| signature.clone());
        twilio.receipts(&ReceiptRequest { url: "https://shop.example/twilio", header: &header, body: form.as_bytes() })
    }

    #[test]
    fn the_address_that_twilio_was_told_counts_behind_a_proxy() {
        let header = |name: &str| (name == "x-twilio-signature").then(|| SIGNATURE.to_owned());
        let request = ReceiptRequest { url: "http://127.0.0.1:8080/v1/receipts/main", header: &header, body: FORM.as_bytes() };
        let stranger = |plan: TwilioPlan| matches!(plan.receipts(&request), Err(GatewayError::Stranger { .. }));
        assert!(stranger(twilio("12345")));
        let told = || TwilioPlan { status_callback: Some(URL.to_owned()), ..twilio("12345") };
        assert!(!stranger(told()), "it is genuine, though no receipt");
        assert!(stranger(TwilioPlan { token: Secret("12346".to_owned()), ..told() }));
    }

    #[test]
    fn callbacks_become_receipts() {
        let check = |form: &str, status: ReceiptStatus, error: Option<&str>| {
            let found = receipt(form).expect("is a receipt");
            let [one] = found.as_slice() else { panic!("one receipt, not {found:?}") };
            assert_eq!((one.provider_id.as_str(), one.status, one.error.as_deref()), ("SM1", status, error), "{form}");
        };
        check("MessageSid=SM1&MessageStatus=delivered", ReceiptStatus::Delivered, None);
        check("MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003", ReceiptStatus::Failed, Some("30003"));
        check("MessageSid=SM1&MessageStatus=failed&ErrorCode=", ReceiptStatus::Failed, None);
        check("MessageSid=SM1&MessageStatus=sent", ReceiptStatus::Other, None);
        let error = receipt("MessageSid=SM1").expect_err("no status").to_string();
        assert!(error.contains("MessageStatus is missing"), "{error}");
    }
}
