//! What `explain` says of a message: every rule that holds, its input and its answer, in a fixed order.

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use policy::{
    Answer, Basis, ConsentFact, ContactFacts, ContactZone, Finding, MessageFacts, Purpose, Round, Rules, Sender, SentFact,
};
use vocabulary::{Channel, ContactKey, MessageClass};

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

#[test]
fn an_explanation_names_each_rule_its_input_and_its_answer() {
    let rules = Rules::embedded().expect("sound");
    let zone = TimeZoneDatabase::bundled().get("America/New_York").expect("a time zone");
    let consent = |purpose| ConsentFact {
        channel: Channel::Sms,
        purpose,
        given: Some(Basis::ExpressWritten),
        at: moment("2026-01-01T00:00:00Z"),
    };
    let sent = |at: &str| SentFact { at: moment(at), channel: Channel::Sms, class: MessageClass::Marketing, content: None };
    let contact = ContactFacts {
        key: ContactKey::from_i64(1).expect("positive"),
        country: Some("US"),
        region: Some("FL"),
        zone: Some(ContactZone { zone: &zone, is_derived: false }),
        consents: &[consent(Purpose::Marketing)],
        suppressions: &[],
        sends: &[sent("2026-12-01T14:00:00Z")],
    };
    let message = MessageFacts {
        sender: Some(Sender { id: "88022", registered_in: &["US"], entity: None }),
        ..MessageFacts::new(MessageClass::Marketing, Channel::Sms)
    };
    let explanation = rules.explain(&contact, &message, moment("2026-12-02T01:30:00Z"));
    let [evening, morning] = explanation.rounds.as_slice() else { panic!("one round now, one at the moment it is put off to") };
    assert_eq!(morning.at, moment("2026-12-02T13:00:00Z"));
    let ids = |round: &Round| round.findings.iter().map(|finding| finding.rule.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(evening), ORDER);
    assert_eq!(ids(morning), ORDER);
    let check = |round: &Round, expect: &str| {
        let lines: Vec<String> = round.findings.iter().map(told).collect();
        assert!(lines.iter().any(|line| line == expect), "expected `{expect}` among\n{}", lines.join("\n"));
    };
    check(
        evening,
        "suppression/unsubscribed 1: marketing by sms; unsubscribed: no entry; permit, not on the suppression list for this",
    );
    let consent = "marketing by sms; consent: express written since 2026-01-01T00:00:00Z; needed: one of express_written";
    check(evening, &format!("consent/us-telephone 1: {consent}; permit, consent is there: express written"));
    let clock = "US-FL, time zone America/New_York; 2026-12-01 20:30:00, Tuesday in America/New_York";
    check(evening, &format!("hours/us 1: {clock}; open daily 08:00-21:00; permit, within the hours"));
    let late = "defer to 2026-12-02T13:00:00Z, outside the hours";
    check(evening, &format!("hours/us-fl 1: {clock}; open daily 08:00-20:00; {late}"));
    check(evening, "cap/us-fl-day 1: marketing by sms: 1 within 24 hours, at most 3; permit, 1 of 3 were sent");
    check(evening, "cap/marketing-gap 1: marketing by all channels: 0 within 1 hour, at most 1; permit, 0 of 1 were sent");
    check(
        evening,
        "cap/same-content 1: marketing with the content (none): 0 within 30 days, at most 3; permit, 0 of 3 were sent",
    );
    let sender = "sender id 88022, registered in US; asked: registered in the country";
    check(evening, &format!("sender/us 1: {sender}; permit, the sender id is in order"));
    check(evening, "wording/us-stop 1: marketing by sms; no text; asked: STOP anywhere; permit, there is no text yet");
    let clock = "US-FL, time zone America/New_York; 2026-12-02 08:00:00, Wednesday in America/New_York";
    check(morning, &format!("hours/us-fl 1: {clock}; open daily 08:00-20:00; permit, within the hours"));
}

/// A finding in one line.
fn told(finding: &Finding) -> String {
    let answer = match &finding.answer {
        Answer::Permit { because } => format!("permit, {because}"),
        Answer::Defer { until, because } => format!("defer to {until}, {because}"),
        Answer::Refuse { because } => format!("refuse, {because}"),
    };
    format!("{} {}: {}; {answer}", finding.rule, finding.version, finding.input)
}

const ORDER: [&str; 29] = [
    "suppression/unsubscribed",
    "suppression/complained",
    "suppression/hard-bounced",
    "suppression/invalid",
    "suppression/register",
    "suppression/legal",
    "suppression/manual",
    "consent/us-telephone",
    "place/unknown-country",
    "schedule/due",
    "schedule/age-marketing",
    "schedule/end",
    "schedule/window",
    "hours/us",
    "hours/us-fl",
    "cap/us-fl-day",
    "cap/marketing-gap",
    "cap/marketing-day",
    "cap/same-content",
    "cap/sms-day",
    "cap/sms-week",
    "cap/sms-month",
    "cap/verification-gap",
    "cap/verification-hour",
    "cap/verification-day",
    "sender/us",
    "wording/us-stop",
    "wording/us-age-gate",
    "holdout/global",
];
