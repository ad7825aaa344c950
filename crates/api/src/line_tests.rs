//! Tests of [`super`]: what a good line becomes, and what is said of a bad one.

use proptest::prelude::*;
use serde_json::{Value, json};
use vocabulary::EventKind;

use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn order() -> Value {
    json!({"event_id": "e1", "kind": "order", "event_time": "2026-03-01T09:30:00+01:00", "contact": "c1",
        "order_id": "o1", "amount": 12.5, "currency": "EUR"})
}

fn with(base: &Value, changes: &Value) -> Vec<u8> {
    let mut line = base.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        line.insert(name.clone(), value.clone());
    }
    serde_json::to_vec(&line).unwrap()
}

/// What a line tells, in words that outlive it.
fn told(line: &[u8]) -> Result<String, Fault> {
    read(line, now(), |told| format!("{told:?}"))
}

/// The field and a part of the reason of the fault of `line`.
fn check_fault(line: &[u8], field: Option<&str>, reason: &str) {
    let fault = told(line).expect_err(&String::from_utf8_lossy(line));
    assert_eq!(fault.field.as_deref(), field, "{fault:?}");
    assert!(fault.reason.contains(reason), "{} does not contain `{reason}`", fault.reason);
}

#[test]
fn a_good_line_is_told() {
    let line = with(&order(), &json!({"campaign_id": "spring", "market": "DE", "channel": "email"}));
    let check = |told: Told<'_>| {
        assert_eq!((told.id, told.time_doubt), ("e1", None));
        assert_eq!(told.time, "2026-03-01T08:30:00Z".parse().unwrap());
        assert_eq!(told.who, Who::Own("c1"));
        assert_eq!(told.context.campaign_id, Some("spring"));
        let BodyRef::Order { amount, .. } = told.body else { panic!("an order") };
        assert_eq!(amount.minor, 1250);
        let event = told.event(ContactKey::from_i64(7).unwrap(), now());
        assert_eq!((event.id, event.contact.as_i64(), event.received_at), ("e1", 7, now()));
    };
    read(&line, now(), check).unwrap();
}

#[test]
fn every_kind_is_read() {
    let base = json!({"event_id": "e", "event_time": "2026-03-01T09:30:00Z", "contact_key": "42"});
    let check = |changes: Value, expect: EventKind| {
        assert_eq!(read(&with(&base, &changes), now(), |told| told.body.kind()).unwrap(), expect);
    };
    check(json!({"kind": "assignment", "planned_at": "2026-03-09T09:30:00Z", "propensity": 0.5}), EventKind::Assignment);
    check(json!({"kind": "message", "class": "marketing", "cost": "0.0", "currency": "JPY"}), EventKind::Message);
    check(json!({"kind": "delivery", "status": "bounced", "reply": "550 no"}), EventKind::Delivery);
    check(json!({"kind": "open", "machine": true, "user_agent": "x"}), EventKind::Open);
    check(json!({"kind": "click", "url": "https://shop.example/", "machine": null}), EventKind::Click);
    check(json!({"kind": "order", "order_id": "o", "amount": 3, "currency": "KWD"}), EventKind::Order);
    check(json!({"kind": "feedback", "feedback": "unsubscribe"}), EventKind::Feedback);
    check(json!({"kind": "activity", "activity": "carted", "product": "sku-1"}), EventKind::Activity);
}

#[test]
fn amounts_keep_every_digit() {
    let check = |amount: Value, expect: i64| {
        let line = with(&order(), &json!({ "amount": amount }));
        let is_so = read(&line, now(), |told| matches!(told.body, BodyRef::Order { amount, .. } if amount.minor == expect));
        assert!(is_so.unwrap(), "{amount}");
    };
    check(json!(0.29), 29);
    check(json!(1e3), 100_000);
    check(json!(0), 0);
    check(json!(9_007_199_254_740_993_i64), 900_719_925_474_099_300);
    check(json!("90071992547409.93"), 9_007_199_254_740_993);
}

#[test]
fn money_paid_back_names_its_order() {
    let refund = |amount: Value, of: &str| with(&order(), &json!({"amount": amount, "refund_of": of}));
    let amount = |told: Told<'_>| match told.body {
        BodyRef::Order { amount, refund_of, .. } => (amount.minor, refund_of.map(str::to_owned)),
        _ => panic!("an order"),
    };
    assert_eq!(read(&refund(json!(-12.5), "o0"), now(), amount).unwrap(), (-1250, Some("o0".to_owned())));
    assert_eq!(read(&refund(json!(0), "o0"), now(), amount).unwrap(), (0, Some("o0".to_owned())));
    check_fault(&refund(json!(0.01), "o0"), Some("amount"), "0.01 is positive");
    check_fault(&refund(json!(-1), "o1"), Some("refund_of"), "is the order itself");
    check_fault(&refund(json!(-1), ""), Some("refund_of"), "is empty");
    let message = json!({"kind": "message", "order_id": null, "amount": null, "class": "marketing", "cost": -1});
    check_fault(&with(&order(), &message), Some("cost"), "-1 is negative");
}

#[test]
fn a_click_may_say_which_link_it_was() {
    let click = |position: Value| json!({"event_id": "c1", "kind": "click", "event_time": "2026-03-01T09:30:00Z", "contact": "c", "position": position});
    let read_as = |position: Value, expect: Option<u16>| {
        let check = |told: Told<'_>| {
            let BodyRef::Click { position, .. } = told.body else { panic!("a click: {told:?}") };
            assert_eq!(position, expect);
        };
        read(click(position).to_string().as_bytes(), now(), check).unwrap();
    };
    read_as(json!(2), Some(2));
    read_as(json!(2.0), Some(2));
    read_as(json!(65_535), Some(65_535));
    read_as(json!(null), None);
    for wrong in [json!(0), json!(-1), json!(1.5), json!(65_536)] {
        check_fault(click(wrong).to_string().as_bytes(), Some("position"), "it must be a whole number from 1 to 65535");
    }
}

/// Escapes are what they stand for, whichever way the line is read.
#[test]
fn escapes_are_read() {
    let line = br#"{"event_id":"caf\u00e9 \"1\"","kind":"click","event_time":"2026-03-01T09:30:00Z","contact":"c","url":"https:\/\/shop.example\/"}"#;
    let check = |told: Told<'_>| {
        assert_eq!(told.id, "café \"1\"");
        assert!(matches!(told.body, BodyRef::Click { url: Some("https://shop.example/"), .. }), "{told:?}");
    };
    read(line, now(), check).unwrap();
    check_fault(br#"{"event_id":"\x"}"#, None, "broken JSON at column 15: invalid escape");
    check_fault(br#"{"event_id":"\ud800"}"#, None, "broken JSON");
    check_fault(br#"{"event_id":"a\nb","kind":"open"}"#, Some("event_id"), "holds a control character");
    let name = br#"{"event\u005fid":"e","kind":"open","event_time":"2026-03-01T09:30:00Z","contact":"c"}"#;
    assert_eq!(read(name, now(), |told| told.id.to_owned()).unwrap(), "e");
}

#[test]
fn broken_json_names_the_column() {
    check_fault(br#"{"event_id": "e1", "#, None, "broken JSON at column 19");
    check_fault(br#"{"event_id" "e1"}"#, None, "broken JSON at column 13: expected `:`");
    check_fault(b"[1]", None, "an event is a JSON object, not a list");
    check_fault(b"{\"event_id\": \"\xff\"}", None, "broken JSON");
    check_fault(br#"{"event_id":"a","event_id":"b"}"#, None, "duplicate field `event_id`");
}

#[test]
fn unknown_fields_name_the_nearest() {
    check_fault(&with(&order(), &json!({"curency": "EUR"})), Some("curency"), "did you mean `currency`?");
    check_fault(&with(&order(), &json!({"zzz": 1})), Some("zzz"), "is not a known field");
    check_fault(
        &with(&order(), &json!({"url": "https://x.example"})),
        Some("url"),
        "is not a field of `order` events, but of `click` events",
    );
}

#[test]
fn wrong_types_name_what_is_expected() {
    let check = |changes: Value, field: &str, reason: &str| check_fault(&with(&order(), &changes), Some(field), reason);
    check(json!({"amount": true}), "amount", "must be a decimal number, not the truth value true");
    check(json!({"event_time": 17}), "event_time", "must be a time in RFC 3339");
    check(json!({"contact": 17}), "contact", "must be text in quotes, not the number 17");
    check(json!({"machine": "yes"}), "machine", "must be true or false, not the text \"yes\"");
    check(json!({"amount": 1.5e15}), "amount", "write it as text");
    check(json!({"kind": ["order"]}), "kind", "must be one of the words assignment, message");
}

#[test]
fn wrong_values_name_the_fix() {
    let check = |changes: Value, field: &str, reason: &str| check_fault(&with(&order(), &changes), Some(field), reason);
    check(json!({"kind": "ordr"}), "kind", "did you mean `order`?");
    check(json!({"kind": null}), "kind", "is missing");
    check(json!({"event_id": null}), "event_id", "is missing");
    check(json!({"event_id": "x".repeat(257)}), "event_id", "is 257 bytes long; the limit is 256");
    check(json!({"contact": "x".repeat(129)}), "contact", "is 129 bytes long; the limit is 128");
    check(json!({"event_time": "yesterday"}), "event_time", "`yesterday` is no time");
    check(json!({"sent_at": "now"}), "sent_at", "`now` is no time");
    check(json!({"sent_at": "2261-01-01T00:00:00Z"}), "sent_at", "cannot be corrected by it");
    check(
        json!({"event_time": "2261-01-01T00:00:00Z", "sent_at": "1990-01-01T00:00:00Z"}),
        "sent_at",
        "cannot be corrected by it",
    );
    check(json!({"event_time": "2262-01-01T00:00:00Z"}), "event_time", "lies after 2262");
    check(json!({"event_time": "1970-01-01T00:00:00Z"}), "event_time", "lies before 1990");
    check(json!({"contact": null}), "contact", "give `contact`");
    check(json!({"contact_key": "42"}), "contact_key", "one of the two");
    check(json!({"contact": null, "contact_key": "x7"}), "contact_key", "no contact key");
    check(json!({"amount": -3}), "amount", "-3 is negative");
    check(json!({"amount": "-0.01"}), "amount", "-0.01 is negative");
    check(json!({"amount": 1.234}), "amount", "more than the 2 decimals EUR has");
    check(json!({"amount": null}), "amount", "is missing");
    check(json!({"currency": "EURO"}), "currency", "no ISO 4217 currency");
    check(json!({"currency": null}), "currency", "is missing; `amount` needs its ISO 4217 code");
    check(json!({"order_id": ""}), "order_id", "is empty");
    check(json!({"market": "de"}), "market", "two capital letters");
    check(json!({"channel": "emial"}), "channel", "did you mean `email`?");
}

#[test]
fn doubtful_times_are_marked() {
    let check = |changes: Value, time: &str, doubt: Option<TimeDoubt>| {
        let told = read(&with(&order(), &changes), now(), |told| (told.time, told.time_doubt)).unwrap();
        assert_eq!(told, (time.parse().unwrap(), doubt), "{changes}");
    };
    check(json!({"event_time": "2026-03-01T12:05:00Z"}), "2026-03-01T12:05:00Z", None);
    check(json!({"event_time": "2261-12-31T23:59:59Z"}), "2261-12-31T23:59:59Z", Some(TimeDoubt::Future));
    check(json!({"sent_at": "2026-03-01T12:04:00Z"}), "2026-03-01T08:30:00Z", None);
    check(json!({"sent_at": "2026-03-01T14:00:00Z"}), "2026-03-01T06:30:00Z", Some(TimeDoubt::Skewed));
}

#[test]
fn a_currency_needs_its_amount() {
    let line = json!({"event_id": "e", "kind": "message", "event_time": "2026-03-01T09:30:00Z", "contact": "c", "class": "marketing",
        "currency": "EUR"});
    check_fault(&serde_json::to_vec(&line).unwrap(), Some("currency"), "without the amount it belongs to");
}

#[test]
fn a_long_line_is_one_bad_line() {
    check_fault(&with(&order(), &json!({"contact": "x".repeat(2 << 20)})), None, "the limit is 1048576 bytes");
}

/// Reads a line the slow way only.
fn told_slowly(line: &[u8]) -> Result<String, Fault> {
    diagnose::event(line)?.complete(Line::default()).check(now()).map(|told| format!("{told:?}"))
}

/// A value as somebody might write it for a field, in JSON.
fn any_value() -> impl Strategy<Value = String> {
    let texts = [
        r#""order""#,
        r#""click""#,
        r#""2026-03-01T09:30:00Z""#,
        r#""o\/1""#,
        r#""EUR""#,
        r#""7""#,
        r#""-7.5""#,
        r#""\u00fc\n""#,
        r#""\q""#,
        r#""é""#,
        "12.50",
        "-3",
        "1e2",
        "01",
        "0.1234567890123456",
        "true",
        "false",
        "null",
        "[1]",
        r#"{"a":1}"#,
        "",
    ];
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned)
}

proptest! {
    /// Whatever is sent, the answer is a draft or a fault that says something.
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(fault) = told(&bytes) {
            prop_assert!(!fault.reason.is_empty());
        }
    }

    /// One damaged byte in a good line never gives an empty explanation.
    #[test]
    fn damage_is_explained(at in 0_usize..100, byte in any::<u8>()) {
        let mut line = with(&order(), &json!({}));
        let at = at % line.len();
        line[at] = byte;
        if let Err(fault) = told(&line) {
            prop_assert!(!fault.reason.is_empty());
        }
        prop_assert_eq!(told(&line), told_slowly(&line));
    }

    /// The fast way and the slow one tell the same, whatever a line is made of.
    #[test]
    fn both_ways_read_the_same(
        fields in prop::collection::vec((prop::sample::select(Name::ALL.to_vec()), any_value()), 0..6),
        base in any::<bool>(),
        space in prop::sample::select(vec!["", " ", "\t\r\n "]),
    ) {
        let mut parts: Vec<String> = fields.iter().map(|(name, value)| format!("\"{}\"{space}:{space}{value}", name.as_str())).collect();
        if base {
            let order = order();
            let missing = |name: &&String| fields.iter().all(|(field, _)| field.as_str() != name.as_str());
            parts.extend(order.as_object().unwrap().keys().filter(missing).map(|name| format!("\"{name}\":{}", order[name])));
        }
        let line = format!("{space}{{{space}{}{space}}}{space}", parts.join(&format!("{space},{space}")));
        prop_assert_eq!(told(line.as_bytes()), told_slowly(line.as_bytes()), "{}", line);
    }
}
