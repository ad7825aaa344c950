//! Tests of [`super`]: what a good line becomes, and what is said of a bad one.

use proptest::prelude::*;
use serde_json::{Value, json};

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

/// The field and a part of the reason of the fault of `line`.
fn check_fault(line: &[u8], field: Option<&str>, reason: &str) {
    let fault = read(line, now()).expect_err(&String::from_utf8_lossy(line));
    assert_eq!(fault.field.as_deref(), field, "{fault:?}");
    assert!(fault.reason.contains(reason), "{} does not contain `{reason}`", fault.reason);
}

#[test]
fn a_good_line_becomes_a_draft() {
    let draft = read(&with(&order(), &json!({"campaign_id": "spring", "market": "DE", "channel": "email"})), now()).unwrap();
    assert_eq!(draft.id.as_str(), "e1");
    assert_eq!(draft.time, "2026-03-01T08:30:00Z".parse().unwrap());
    assert_eq!(draft.who, Who::Own("c1".into()));
    assert_eq!(draft.context.campaign_id.unwrap().as_str(), "spring");
    let Body::Order { amount, .. } = draft.body else { panic!("an order") };
    assert_eq!(amount.minor, 1250);
}

#[test]
fn every_kind_is_read() {
    let base = json!({"event_id": "e", "event_time": "2026-03-01T09:30:00Z", "contact_key": "42"});
    let check = |changes: Value, expect: EventKind| assert_eq!(read(&with(&base, &changes), now()).unwrap().body.kind(), expect);
    check(json!({"kind": "assignment", "planned_at": "2026-03-09T09:30:00Z", "propensity": 0.5}), EventKind::Assignment);
    check(json!({"kind": "message", "class": "marketing", "cost": "0.0", "currency": "JPY"}), EventKind::Message);
    check(json!({"kind": "delivery", "status": "bounced", "reply": "550 no"}), EventKind::Delivery);
    check(json!({"kind": "open", "machine": true, "user_agent": "x"}), EventKind::Open);
    check(json!({"kind": "click", "url": "https://shop.example/", "machine": null}), EventKind::Click);
    check(json!({"kind": "order", "order_id": "o", "amount": 3, "currency": "KWD"}), EventKind::Order);
    check(json!({"kind": "feedback", "feedback": "unsubscribe"}), EventKind::Feedback);
}

#[test]
fn amounts_keep_every_digit() {
    let check = |amount: Value, expect: i64| {
        let draft = read(&with(&order(), &json!({ "amount": amount })), now()).unwrap();
        assert!(matches!(draft.body, Body::Order { amount, .. } if amount.minor == expect), "{amount}");
    };
    check(json!(0.29), 29);
    check(json!(1e3), 100_000);
    check(json!(0), 0);
    check(json!(9_007_199_254_740_993_i64), 900_719_925_474_099_300);
    check(json!("90071992547409.93"), 9_007_199_254_740_993);
}

#[test]
fn a_refund_names_the_order_it_takes_back() {
    let refund = json!({"order_id": "r1", "refund_of": "o1", "amount": -12.5});
    let draft = read(&with(&order(), &refund), now()).unwrap();
    let Body::Order { order_id, amount, refund_of } = draft.body else { panic!("an order") };
    assert_eq!((order_id.as_str(), amount.minor, refund_of.unwrap().as_str()), ("r1", -1250, "o1"));
    let draft = read(&with(&order(), &json!({"refund_of": null})), now()).unwrap();
    assert!(matches!(draft.body, Body::Order { refund_of: None, .. }));

    let check = |changes: Value, field: &str, reason: &str| check_fault(&with(&order(), &changes), Some(field), reason);
    check(json!({"amount": -12.5}), "amount", "name it in `refund_of`");
    check(json!({"refund_of": "o0"}), "amount", "write -12.5");
    check(json!({"refund_of": "o1", "amount": -1}), "refund_of", "an `order_id` of its own");
    check(json!({"refund_of": " ", "amount": -1}), "refund_of", "is empty");
    check(json!({"refund_of": "x".repeat(129), "amount": -1}), "refund_of", "is 129 bytes long; the limit is 128");
    check(json!({"refund_of": 17}), "refund_of", "must be text in quotes, not the number 17");
    let click =
        json!({"event_id": "e", "kind": "click", "event_time": "2026-03-01T09:30:00Z", "contact": "c", "refund_of": "o1"});
    check_fault(&serde_json::to_vec(&click).unwrap(), Some("refund_of"), "but of `order` events");
    let message = json!({"event_id": "e", "kind": "message", "event_time": "2026-03-01T09:30:00Z", "contact": "c", "class": "marketing",
        "cost": -1, "currency": "EUR"});
    check_fault(&serde_json::to_vec(&message).unwrap(), Some("cost"), "-1 is negative; it must be zero or more");
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
    check(json!({"event_time": "2026-03-01T12:05:01Z"}), "event_time", "lies in the future");
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
fn the_future_begins_after_five_minutes() {
    assert!(read(&with(&order(), &json!({"event_time": "2026-03-01T12:05:00Z"})), now()).is_ok());
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

/// The struct and the table of fields are written twice; this keeps them one.
#[test]
fn the_table_lists_the_fields_that_are_read() {
    for field in FIELDS {
        let line = json!({ field.name: null });
        assert!(serde_json::from_value::<Value>(line.clone()).is_ok());
        assert!(serde_json::from_str::<Line<'_>>(&line.to_string()).is_ok(), "{} is in the table but is not read", field.name);
    }
    let Err(error) = serde_json::from_str::<Line<'_>>(r#"{"?": 1}"#) else { panic!("an unknown field") };
    let named = error.to_string().matches('`').count() / 2 - 1;
    assert_eq!(named, FIELDS.len(), "{error}");
}

proptest! {
    /// Whatever is sent, the answer is a draft or a fault that says something.
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(fault) = read(&bytes, now()) {
            prop_assert!(!fault.reason.is_empty());
        }
    }

    /// One damaged byte in a good line never gives an empty explanation.
    #[test]
    fn damage_is_explained(at in 0_usize..100, byte in any::<u8>()) {
        let mut line = with(&order(), &json!({}));
        let at = at % line.len();
        line[at] = byte;
        if let Err(fault) = read(&line, now()) {
            prop_assert!(!fault.reason.is_empty());
        }
    }
}
