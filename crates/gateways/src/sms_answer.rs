//! What a provider's answer means, by the conditions of a configuration.

use regex::Regex;
use serde_json::Value;

use crate::sms_exchange::{Answer, is_later};
use crate::smtp::HandOver;

/// Whether a condition holds. What is looked for may not be there, which is no answer to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    Unknown,
}

/// Statuses from one to another, both counted.
pub(crate) type StatusRange = (u16, u16);

/// Something that an answer says. All that is given must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    /// The status is in one of these; any where empty.
    pub(crate) status: Vec<StatusRange>,
    /// The place in the JSON of the body (RFC 6901) that `equals` and `matches` are about; the body as it is where absent.
    pub(crate) at: Option<String>,
    /// It is one of these; anything where empty. Numbers are compared as they are written.
    pub(crate) equals: Vec<String>,
    /// It matches this.
    pub(crate) matches: Option<Regex>,
}

impl Condition {
    fn holds(&self, answer: &Answer, json: Option<&Value>) -> Holds {
        let is_in = |(first, last): &StatusRange| (*first..=*last).contains(&answer.status);
        if !self.status.is_empty() && !self.status.iter().any(is_in) {
            return Holds::No;
        }
        if self.equals.is_empty() && self.matches.is_none() {
            return Holds::Yes;
        }
        let text = match &self.at {
            Some(at) => json.and_then(|json| json.pointer(at)).map(written),
            None => (!answer.body.trim().is_empty()).then(|| answer.body.trim().to_owned()),
        };
        let Some(text) = text else { return Holds::Unknown };
        let is_equal = self.equals.is_empty() || self.equals.contains(&text);
        let is_match = self.matches.as_ref().is_none_or(|pattern| pattern.is_match(&text));
        if is_equal && is_match { Holds::Yes } else { Holds::No }
    }
}

/// A value as it is written, texts without their quotes.
pub(crate) fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How the answers of one provider are understood.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    /// All of these hold when it has taken the message.
    pub(crate) success: Vec<Condition>,
    /// One of these holds when trying again is pointless.
    pub(crate) permanent: Vec<Condition>,
    /// After these statuses it may have the message.
    pub(crate) in_doubt: Vec<u16>,
    /// The place of the provider's words on what went wrong.
    pub(crate) error: Option<String>,
}

impl Judge {
    /// The word on the message. `json` is the body where it is JSON.
    pub(crate) fn word(&self, answer: &Answer, json: Option<&Value>) -> HandOver {
        let holds = |conditions: &[Condition]| {
            let found: Vec<Holds> = conditions.iter().map(|condition| condition.holds(answer, json)).collect();
            let worst = [Holds::No, Holds::Unknown].into_iter().find(|word| found.contains(word));
            worst.unwrap_or(Holds::Yes)
        };
        let success = holds(&self.success);
        if success == Holds::Yes {
            return HandOver::Accepted { reply: answer.told(None) };
        }
        let words = self.error.as_deref().and_then(|at| json?.pointer(at)).map(written);
        let reply = answer.told(words.as_deref());
        if self.permanent.iter().any(|condition| condition.holds(answer, json) == Holds::Yes) {
            return HandOver::Refused { reply, permanent: true };
        }
        if self.in_doubt.contains(&answer.status) {
            return HandOver::InDoubt { why: reply };
        }
        if is_later(answer.status) {
            return HandOver::Refused { reply, permanent: false };
        }
        // What would tell success is not there at all: a page of somebody between, or a body that broke off.
        let is_unclear = success == Holds::Unknown || answer.broken.is_some();
        if is_unclear && (200..300).contains(&answer.status) {
            let broken = answer.broken.as_ref().map_or(String::new(), |why| format!(" ({why})"));
            return HandOver::InDoubt { why: format!("the answer does not tell: {reply}{broken}") };
        }
        HandOver::Refused { reply, permanent: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        let ok = |at: &str| Condition { at: Some(at.to_owned()), equals: vec!["0".to_owned()], ..Condition::default() };
        let status = Condition { status: vec![(200, 299)], ..Condition::default() };
        let invalid = Condition { at: Some("/code".to_owned()), equals: vec!["7".to_owned()], ..Condition::default() };
        let pattern = Regex::new("(?i)unknown subscriber").expect("is a pattern");
        let unknown = Condition { matches: Some(pattern), ..Condition::default() };
        Judge {
            success: vec![status, ok("/code")],
            permanent: vec![invalid, unknown],
            in_doubt: vec![500],
            error: Some("/text".to_owned()),
        }
    }

    fn check(status: u16, body: &str, expect: &str) {
        let answer = Answer { status, body: body.to_owned(), broken: None };
        let json = serde_json::from_str(body).ok();
        let told = match judge().word(&answer, json.as_ref()) {
            HandOver::Accepted { reply } => format!("accepted {reply}"),
            HandOver::Refused { reply, permanent } => format!("{} {reply}", if permanent { "refused" } else { "later" }),
            HandOver::Late => "late".to_owned(),
            HandOver::NotSent { why } => format!("not sent {why}"),
            HandOver::InDoubt { why } => format!("in doubt {why}"),
        };
        assert_eq!(told, expect);
    }

    #[test]
    fn answers_are_judged() {
        check(200, r#"{"code": 0}"#, r#"accepted HTTP 200: {"code": 0}"#);
        check(200, r#"{"code": "0"}"#, r#"accepted HTTP 200: {"code": "0"}"#);
        check(200, r#"{"code": 5, "text": "no credit"}"#, "later HTTP 200: no credit");
        check(200, r#"{"code": 7, "text": "bad number"}"#, "refused HTTP 200: bad number");
        check(400, "Unknown Subscriber", "refused HTTP 400: Unknown Subscriber");
        check(400, r#"{"code": 0, "text": "odd"}"#, "later HTTP 400: odd");
        check(500, "", "in doubt HTTP 500");
        check(500, r#"{"code": 7, "text": "bad number"}"#, "refused HTTP 500: bad number");
        check(429, "slow down", "later HTTP 429: slow down");
        check(503, "", "later HTTP 503");
        check(301, "", "later HTTP 301");
        check(200, "<html>", "in doubt the answer does not tell: HTTP 200: <html>");
        check(200, "", "in doubt the answer does not tell: HTTP 200");
    }

    #[test]
    fn an_answer_that_broke_off_is_in_doubt_unless_its_status_tells() {
        let word = |status| judge().word(&Answer { status, body: String::new(), broken: Some("reset".to_owned()) }, None);
        assert_eq!(word(200), HandOver::InDoubt { why: "the answer does not tell: HTTP 200 (reset)".to_owned() });
        assert_eq!(word(401), HandOver::Refused { reply: "HTTP 401".to_owned(), permanent: false });
    }
}
