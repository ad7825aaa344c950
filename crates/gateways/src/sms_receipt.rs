//! Receipts: what a provider tells of a message after it took it.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::Value;
use url::Url;
use url::form_urlencoded;

use crate::error::GatewayError;
use crate::secrets::Secret;
use crate::sms_answer::written;

/// The largest request with receipts that is read.
pub const RECEIPT_BYTES_MAX: usize = 1 << 20;
/// The most receipts in one request.
pub const RECEIPTS_MAX: usize = 1_000;
/// As many digits in a row may be a phone number; no provider's code of an error has so many.
const NUMBER_DIGITS_MIN: usize = 7;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// The telephone has it.
    Delivered,
    /// It will not have it.
    Failed,
    /// On the way, or a word that the configuration does not name.
    Other,
}

/// What one receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsReceipt {
    /// The provider's own id for the message.
    pub provider_id: String,
    /// Where it stands.
    pub status: ReceiptStatus,
    /// The provider's own word for that.
    pub word: String,
    /// The provider's code or text on what went wrong.
    pub error: Option<String>,
}

impl SmsReceipt {
    /// The provider's words in one line, without what may be somebody's number.
    #[must_use]
    pub fn reply(&self) -> String {
        let error = self.error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
        without_numbers(&format!("{}{error}", self.word))
    }
}

/// A text with rows of digits that may be a number left out, whatever stands between the digits.
fn without_numbers(text: &str) -> String {
    let is_between = |c: char| matches!(c, ' ' | '-' | '(' | ')' | '.');
    let (mut output, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        output.push_str(&rest[..at]);
        let row = &rest[at..];
        let end = row.find(|c: char| !c.is_ascii_digit() && !is_between(c)).unwrap_or(row.len());
        let (row, after) = row.split_at(end);
        let row_trimmed = row.trim_end_matches(is_between);
        let is_number = row.bytes().filter(u8::is_ascii_digit).count() >= NUMBER_DIGITS_MIN;
        output.push_str(if is_number { "…" } else { row_trimmed });
        output.push_str(&row[row_trimmed.len()..]);
        rest = after;
    }
    output + rest
}

/// A request that claims to hold receipts.
#[derive(Clone, Copy)]
pub struct ReceiptRequest<'a> {
    /// The address that the provider called, as it is known outside, with its query.
    pub url: &'a str,
    /// The value of a header by its name in small letters.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The body.
    pub body: &'a [u8],
}

impl fmt::Debug for ReceiptRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold the shared secret.
        f.debug_struct("ReceiptRequest").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl ReceiptRequest<'_> {
    /// The fields of a form.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body).into_owned().collect()
    }
}

/// Where the secret stands that the provider and we share.
#[derive(Debug, Clone)]
pub(crate) enum SharedSecret {
    /// In the header of that name.
    Header(String, Secret),
    /// In the query's field of that name.
    Query(String, Secret),
}

impl SharedSecret {
    fn is_in(&self, request: &ReceiptRequest<'_>) -> bool {
        let (given, secret) = match self {
            Self::Header(name, secret) => ((request.header)(name), secret),
            Self::Query(name, secret) => {
                let url = Url::parse(request.url).ok();
                let value =
                    url.and_then(|url| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()));
                (value, secret)
            }
        };
        given.is_some_and(|given| verify_slices_are_equal(given.as_bytes(), secret.0.as_bytes()).is_ok())
    }
}

/// How the receipts of one provider are read. A place that begins with `/` is one in JSON (RFC 6901), another the name of a
/// form's field.
#[derive(Debug, Clone)]
pub(crate) struct ReceiptPlan {
    pub(crate) secret: SharedSecret,
    /// The place of a list of receipts, in which the other places are; the whole body is one receipt where absent.
    pub(crate) list: Option<String>,
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) error: Option<String>,
    pub(crate) delivered: Vec<String>,
    pub(crate) failed: Vec<String>,
    /// What the provider wants to read when its receipts were taken.
    pub(crate) answer: String,
}

impl ReceiptPlan {
    /// Where the secret stands, for people.
    pub(crate) fn proof(&self) -> String {
        match &self.secret {
            SharedSecret::Header(name, _) => format!("the header {name}"),
            SharedSecret::Query(name, _) => format!("the query's field {name}"),
        }
    }

    /// Reads a request. `gateway` is named in errors.
    pub(crate) fn read(&self, gateway: &str, request: &ReceiptRequest<'_>) -> Result<Vec<SmsReceipt>, GatewayError> {
        let wrong = |problem: &str| GatewayError::Receipt { gateway: gateway.to_owned(), problem: problem.to_owned() };
        if !self.secret.is_in(request) {
            let problem = "the shared secret is missing or another; give the provider the one of the configuration";
            return Err(GatewayError::Stranger { gateway: gateway.to_owned(), problem: problem.to_owned() });
        }
        if request.body.len() > RECEIPT_BYTES_MAX {
            return Err(wrong("the request is too large; let the provider send fewer receipts at once"));
        }
        if !self.id.starts_with('/') {
            let form = request.form();
            let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            return Ok(vec![self.receipt(&field).ok_or_else(|| wrong("the form lacks the field of `id` or of `status`"))?]);
        }
        let json: Value = serde_json::from_slice(request.body).map_err(|_| wrong("the body is not JSON"))?;
        let entries = match &self.list {
            None => std::slice::from_ref(&json),
            Some(list) => {
                let found = json.pointer(list).and_then(Value::as_array);
                found.ok_or_else(|| wrong("the place of `list` holds no list"))?.as_slice()
            }
        };
        if entries.len() > RECEIPTS_MAX {
            return Err(wrong("more than 1,000 receipts at once; let the provider send fewer"));
        }
        let receipts = entries.iter().map(|entry| {
            let field = |at: &str| entry.pointer(at).filter(|value| !value.is_null()).map(written);
            self.receipt(&field).ok_or_else(|| wrong("the JSON lacks the place of `id` or of `status`"))
        });
        receipts.collect()
    }

    fn receipt(&self, field: &dyn Fn(&str) -> Option<String>) -> Option<SmsReceipt> {
        let provider_id = field(&self.id).filter(|id| !id.is_empty())?;
        let word = field(&self.status)?;
        let is_in = |words: &[String]| words.iter().any(|known| known.eq_ignore_ascii_case(&word));
        let status = if is_in(&self.delivered) {
            ReceiptStatus::Delivered
        } else if is_in(&self.failed) {
            ReceiptStatus::Failed
        } else {
            ReceiptStatus::Other
        };
        let error = self.error.as_deref().and_then(field).filter(|text| !text.is_empty());
        Some(SmsReceipt { provider_id, status, word, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(id: &str, status: &str, list: Option<&str>, secret: SharedSecret) -> ReceiptPlan {
        ReceiptPlan {
            secret,
            list: list.map(str::to_owned),
            id: id.to_owned(),
            status: status.to_owned(),
            error: Some(if id.starts_with('/') { "/reason" } else { "reason" }.to_owned()),
            delivered: vec!["DELIVRD".to_owned()],
            failed: vec!["UNDELIV".to_owned(), "EXPIRED".to_owned()],
            answer: String::new(),
        }
    }

    fn header() -> SharedSecret {
        SharedSecret::Header("x-key".to_owned(), Secret("hush hush".to_owned()))
    }

    fn read(plan: &ReceiptPlan, url: &str, key: Option<&str>, body: &str) -> Result<Vec<SmsReceipt>, GatewayError> {
        let header = |name: &str| key.filter(|_| name == "x-key").map(str::to_owned);
        plan.read("main", &ReceiptRequest { url, header: &header, body: body.as_bytes() })
    }

    #[test]
    fn receipts_are_read_from_json_and_forms() {
        let url = "https://shop.example/receipts";
        let form = plan("id", "state", None, header());
        let found = read(&form, url, Some("hush hush"), "id=a1&state=delivrd&reason=").expect("is a receipt");
        let delivered = SmsReceipt {
            provider_id: "a1".to_owned(),
            status: ReceiptStatus::Delivered,
            word: "delivrd".to_owned(),
            error: None,
        };
        assert_eq!(found, [delivered]);
        let json = plan("/id", "/state", Some("/results"), header());
        let body = r#"{"results": [{"id": 7, "state": "EXPIRED", "reason": "off"}, {"id": 8, "state": "SENT"}]}"#;
        let found = read(&json, url, Some("hush hush"), body).expect("two receipts");
        let told: Vec<_> = found.iter().map(|one| (one.provider_id.as_str(), one.status, one.error.as_deref())).collect();
        assert_eq!(told, [("7", ReceiptStatus::Failed, Some("off")), ("8", ReceiptStatus::Other, None)]);
        for body in ["[]", "{\"results\": [{}]}", "no json"] {
            let error = read(&json, url, Some("hush hush"), body).expect_err(body);
            assert!(matches!(error, GatewayError::Receipt { .. }), "{error}");
        }
    }

    #[test]
    fn words_of_providers_hold_no_numbers() {
        let check = |word: &str, error: Option<&str>, expect: &str| {
            let receipt = SmsReceipt {
                provider_id: "a1".to_owned(),
                status: ReceiptStatus::Failed,
                word: word.to_owned(),
                error: error.map(str::to_owned),
            };
            assert_eq!(receipt.reply(), expect);
        };
        check("delivered", None, "delivered");
        check("undelivered", Some("30003"), "undelivered 30003");
        check("UNDELIV", Some("+33612345678 is unknown (code 7)"), "UNDELIV +… is unknown (code 7)");
        check("UNDELIV", Some("no 06 12-34.56 78 there"), "UNDELIV no … there");
        check("EXPIRED", Some("after 72 h, 3 tries"), "EXPIRED after 72 h, 3 tries");
    }

    #[test]
    fn receipts_of_strangers_are_refused() {
        let by_header = plan("id", "state", None, header());
        let query = SharedSecret::Query("key".to_owned(), Secret("hush hush".to_owned()));
        let by_query = plan("id", "state", None, query);
        let check = |plan: &ReceiptPlan, url: &str, key: Option<&str>, expect: bool| {
            let found = read(plan, url, key, "id=a1&state=DELIVRD");
            assert_eq!(found.is_ok(), expect, "{url} {key:?}");
            assert!(matches!(found, Ok(_) | Err(GatewayError::Stranger { .. })), "{found:?}");
            assert!(!format!("{found:?} {plan:?}").contains("hush"), "secrets are not told");
        };
        let url = "https://shop.example/receipts";
        check(&by_header, url, Some("hush hush"), true);
        check(&by_header, url, Some("hush"), false);
        check(&by_header, url, None, false);
        check(&by_header, "https://shop.example/receipts?key=hush+hush", None, false);
        check(&by_query, "https://shop.example/receipts?key=hush+hush", None, true);
        check(&by_query, "https://shop.example/receipts?key=other", None, false);
        check(&by_query, url, Some("hush hush"), false);
    }
}
