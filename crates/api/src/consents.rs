//! Consents of a contact in a line of `/v1/contacts`: as a list, or as a few fields of text, as tables have them.

use control::{ConsentRow, Evidence, NewConsent, address_field};
use policy::{Basis, Purpose};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vocabulary::words::words;
use vocabulary::{Channel, Timestamp};

use crate::contacts::text;
use crate::diagnose::name_of;
use crate::fields::{Field, Shape};
use crate::line::Fault;

/// The field that holds consents as a list.
pub(crate) const CONSENTS: &str = "consents";

/// Fields of text about consents. The first ones are one for each channel.
pub(crate) const CONSENT_FIELDS: &[Field] = &[
    field("email_consent", "How they agreed to marketing by e-mail, such as `double_opt_in` or `express`; or `withdrawn`."),
    field("phone_consent", "The same for SMS."),
    field("whatsapp_consent", "The same for WhatsApp."),
    field("wechat_consent", "The same for WeChat."),
    field("push_consent", "The same for push."),
    field("line_consent", "The same for LINE."),
    field("telegram_consent", "The same for Telegram."),
    field("night_consent", "How they agreed to be written to at night, on the channels above."),
    field("cross_border_consent", "How they agreed to have their data moved to another country, for the channels above."),
    field("consent_at", "When they said so: an RFC 3339 time or a day. Now, where it is news and no time is given."),
    field("consent_source", "Where they said so, such as `checkout`."),
    field("consent_wording", "The words they agreed to."),
    field("consent_ip", "The address on the net it came from; kept encrypted."),
    field("consent_proof", "What else proves it; kept encrypted."),
];

const fn field(name: &'static str, about: &'static str) -> Field {
    Field { name, shape: Shape::Text, kinds: &[], required: false, about }
}

words!(
    /// Whether a consent was given or taken back.
    #[derive(Default, ToSchema)]
    State {
        /// Given.
        #[default]
        Given = "given",
        /// Taken back, or refused.
        Withdrawn = "withdrawn",
    }
);

/// What a contact said about being written to on one channel.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentView {
    /// The channel: `email`, `sms`, `whatsapp`, `wechat`, `push`, `line` or `telegram`.
    #[schema(value_type = String, example = "email")]
    channel: Channel,
    /// What for: `marketing`, `night` or `cross_border`.
    #[serde(default = "marketing")]
    #[schema(value_type = Option<String>, example = "marketing")]
    purpose: Purpose,
    /// Whether it was given or withdrawn.
    #[serde(default)]
    state: State,
    /// How it was given: `express_written`, `double_opt_in`, `express`, `soft_opt_in`, `implied_purchase`,
    /// `implied_inquiry` or `claimed`. Which of them is enough depends on the country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "double_opt_in")]
    basis: Option<Basis>,
    /// When it was said. Now, where it is news and no time is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2026-03-01T09:30:00Z")]
    at: Option<Timestamp>,
    /// Where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "checkout")]
    source: Option<String>,
    /// The words they agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Yes, send me offers by e-mail.")]
    wording: Option<String>,
    /// The address on the net it came from; kept encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    ip: Option<std::net::IpAddr>,
    /// What else proves it; kept encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

fn marketing() -> Purpose {
    Purpose::Marketing
}

impl From<ConsentRow> for ConsentView {
    fn from(row: ConsentRow) -> Self {
        let ConsentRow { said, source, wording, evidence: Evidence { ip, proof } } = row;
        let state = if said.given.is_some() { State::Given } else { State::Withdrawn };
        let (channel, purpose, basis, at) = (said.channel, said.purpose, said.given, Some(said.at));
        Self { channel, purpose, state, basis, at, source, wording, ip, proof }
    }
}

impl ConsentView {
    fn read(self, place: usize) -> Result<NewConsent, Fault> {
        let Self { channel, purpose, state, basis, at, source, wording, ip, proof } = self;
        let fault = |reason: String| Fault::new(&format!("{CONSENTS}[{place}].basis"), reason);
        match (state, basis) {
            (State::Given, None) => {
                return Err(fault(format!("is missing; write how it was given: {}", basis_words())));
            }
            (State::Withdrawn, Some(_)) => return Err(fault("goes with `given` only; leave it out".to_owned())),
            _ => {}
        }
        Ok(NewConsent { channel, purpose, given: basis, at, source, wording, evidence: Evidence { ip, proof } })
    }
}

fn basis_words() -> String {
    Basis::ALL.iter().map(|basis| basis.as_str()).collect::<Vec<_>>().join(", ")
}

/// Takes the consents out of a line: those of the list, then those of the fields of text.
pub(crate) fn take(fields: &mut Map<String, Value>) -> Result<Vec<NewConsent>, Fault> {
    // Most lines of a large import say nothing of consent, and two dozen look-ups would take longer than all the rest.
    if !fields.keys().any(|name| name.contains("consent")) {
        return Ok(Vec::new());
    }
    let mut consents = match fields.remove(CONSENTS) {
        None | Some(Value::Null) => Vec::new(),
        // A list that went through a table comes as text.
        Some(Value::String(list)) => read_list(
            serde_json::from_str(&list).map_err(|error| Fault::new(CONSENTS, format!("is no list of consents: {error}")))?,
        )?,
        Some(Value::Array(list)) => read_list(list)?,
        Some(other) => return Err(Fault::new(CONSENTS, format!("must be a list, not {}", name_of(&other)))),
    };
    let common = Common::take(fields)?;
    for channel in Channel::ALL {
        let name = format!("{}_consent", address_field(*channel));
        let Some(given) = word(fields, &name)? else { continue };
        consents.push(common.consent(*channel, Purpose::Marketing, given));
        for (purpose, given) in &common.others {
            consents.push(common.consent(*channel, *purpose, *given));
        }
    }
    Ok(consents)
}

fn read_list(list: Vec<Value>) -> Result<Vec<NewConsent>, Fault> {
    let consent = |(place, value): (usize, Value)| {
        let read: Result<ConsentView, _> = serde_json::from_value(value);
        read.map_err(|error| Fault::new(&format!("{CONSENTS}[{place}]"), format!("{error}")))?.read(place)
    };
    list.into_iter().enumerate().map(consent).collect()
}

/// A basis, or that it was withdrawn; the outer `None` where the field is absent or empty.
fn word(fields: &mut Map<String, Value>, name: &str) -> Result<Option<Option<Basis>>, Fault> {
    let Some(text) = text(fields, name)? else { return Ok(None) };
    match text.trim().to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "withdrawn" | "no" | "false" | "0" => Ok(Some(None)),
        "yes" | "true" | "1" => {
            let reason = format!("does not say how consent was given, which the law asks; write one of {}", basis_words());
            Err(Fault::new(name, reason))
        }
        word => word
            .parse()
            .map(|basis| Some(Some(basis)))
            .map_err(|reason: String| Fault::new(name, format!("{reason}, or `withdrawn`"))),
    }
}

/// What the fields of one line have in common.
struct Common {
    at: Option<Timestamp>,
    source: Option<String>,
    wording: Option<String>,
    evidence: Evidence,
    others: Vec<(Purpose, Option<Basis>)>,
}

impl Common {
    fn take(fields: &mut Map<String, Value>) -> Result<Self, Fault> {
        let mut filled = |name: &str| Ok(text(fields, name)?.filter(|text| !text.trim().is_empty()));
        let at = filled("consent_at")?.map(|text| time("consent_at", text.trim())).transpose()?;
        let ip = filled("consent_ip")?.map(|text| {
            text.trim().parse().map_err(|_| Fault::new("consent_ip", "is no address of the net such as 203.0.113.7"))
        });
        let evidence = Evidence { ip: ip.transpose()?, proof: filled("consent_proof")? };
        let (source, wording) = (filled("consent_source")?, filled("consent_wording")?);
        let mut others = Vec::new();
        for (name, purpose) in [("night_consent", Purpose::Night), ("cross_border_consent", Purpose::CrossBorder)] {
            others.extend(word(fields, name)?.map(|given| (purpose, given)));
        }
        Ok(Self { at, source, wording, evidence, others })
    }

    fn consent(&self, channel: Channel, purpose: Purpose, given: Option<Basis>) -> NewConsent {
        let (source, wording, evidence) = (self.source.clone(), self.wording.clone(), self.evidence.clone());
        NewConsent { channel, purpose, given, at: self.at, source, wording, evidence }
    }
}

/// A time, or the beginning of a day in UTC.
pub(crate) fn time(field: &str, text: &str) -> Result<Timestamp, Fault> {
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let no_time = || Fault::new(field, "is no time; write one such as 2026-03-01T09:30:00Z, or a day such as 2026-03-01");
    text.parse().ok().or_else(day).ok_or_else(no_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consents(line: Value) -> Result<Vec<String>, String> {
        let Value::Object(mut fields) = line else { panic!("an object") };
        let told = |consent: &NewConsent| {
            let given = consent.given.map_or("withdrawn", Basis::as_str);
            let at = consent.at.map_or(String::new(), |at| format!(" {at}"));
            format!("{} {} {given}{at}", consent.channel, consent.purpose)
        };
        let found = take(&mut fields).map_err(|fault| format!("{}: {}", fault.field.unwrap_or_default(), fault.reason))?;
        assert!(fields.is_empty(), "everything is taken: {fields:?}");
        Ok(found.iter().map(told).collect())
    }

    #[test]
    fn lists_and_fields_say_the_same() {
        let check = |line: Value, expect: &[&str]| assert_eq!(consents(line.clone()).unwrap(), expect, "{line}");
        let at = "2026-03-01T09:30:00Z";
        check(serde_json::json!({}), &[]);
        check(
            serde_json::json!({ "consents": [{ "channel": "email", "basis": "double_opt_in", "at": at }] }),
            &["email marketing double_opt_in 2026-03-01T09:30:00Z"],
        );
        check(
            serde_json::json!({ "email_consent": "Double_Opt_In", "consent_at": at, "phone_consent": "no", "push_consent": "" }),
            &["email marketing double_opt_in 2026-03-01T09:30:00Z", "sms marketing withdrawn 2026-03-01T09:30:00Z"],
        );
        check(
            serde_json::json!({ "wechat_consent": "express", "cross_border_consent": "express", "consent_at": "2026-03-01" }),
            &["wechat marketing express 2026-03-01T00:00:00Z", "wechat cross_border express 2026-03-01T00:00:00Z"],
        );
        check(
            serde_json::json!({ "consents": r#"[{"channel":"sms","state":"withdrawn"}]"#, "consent_ip": "::1" }),
            &["sms marketing withdrawn"],
        );
    }

    #[test]
    fn faults_say_what_to_write() {
        let check = |line: Value, expect: &str| {
            let fault = consents(line.clone()).unwrap_err();
            assert!(fault.starts_with(expect), "{line}: {fault}");
        };
        check(
            serde_json::json!({ "email_consent": "yes" }),
            "email_consent: does not say how consent was given, which the law asks; write one of express_written,",
        );
        check(serde_json::json!({ "email_consent": "opt-in" }), "email_consent: `opt-in` is not one of express_written,");
        check(
            serde_json::json!({ "consents": [{ "channel": "email" }] }),
            "consents[0].basis: is missing; write how it was given",
        );
        check(
            serde_json::json!({ "consents": [{ "channel": "email", "basis": "express", "state": "withdrawn" }] }),
            "consents[0].basis: goes with `given` only",
        );
        check(serde_json::json!({ "consents": [{ "channel": "fax" }] }), "consents[0]: unknown variant `fax`");
        check(serde_json::json!({ "consents": 7 }), "consents: must be a list, not the number 7");
        check(serde_json::json!({ "email_consent": "express", "consent_at": "1.3.26" }), "consent_at: is no time");
        check(serde_json::json!({ "email_consent": "express", "consent_ip": "home" }), "consent_ip: is no address of the net");
    }
}
