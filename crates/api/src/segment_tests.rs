//! Tests of [`super`]: what each event of the specification becomes, and what is said of the others.

use serde_json::json;
use vocabulary::{BodyRef, TimeDoubt};

use super::*;
use crate::line::Who;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A call with its event, properties and other changes.
fn call(event: &str, properties: Value, changes: Value) -> Value {
    let mut call = json!({"type": "track", "messageId": "m1", "userId": "u1", "timestamp": "2026-03-01T11:00:00Z",
        "context": {"userAgent": "Mail/1", "ip": "192.0.2.1"}, "event": event, "properties": properties});
    for (name, value) in changes.as_object().unwrap() {
        call[name] = value.clone();
    }
    call
}

fn told<T>(call: &Value, sent_at: Option<&str>, look: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
    let body = json!({"batch": [call], "sentAt": sent_at}).to_string();
    let calls = Calls::read(body.as_bytes()).unwrap();
    calls.read(0, now(), look)
}

fn order(event: &str, properties: Value) -> Result<String, Fault> {
    told(&call(event, properties, json!({})), None, |told| {
        let BodyRef::Order { order_id, amount, refund_of } = told.body else { panic!("an order") };
        format!("{order_id} {} {} of {}", amount.minor, amount.currency, refund_of.unwrap_or("none"))
    })
}

#[test]
fn orders_are_read() {
    let properties = json!({"order_id": "50314", "total": 27.5, "revenue": 25, "currency": "USD", "products": [{"sku": "a"}]});
    assert_eq!(order("Order Completed", properties.clone()).unwrap(), "50314 2750 USD of none");
    assert_eq!(order("Order Refunded", properties.clone()).unwrap(), "m1 -2750 USD of 50314");
    assert_eq!(order("Order Cancelled", properties).unwrap(), "m1 -2750 USD of 50314");
    let revenue = json!({"order_id": 50314, "revenue": "25.00", "currency": "USD"});
    assert_eq!(order("Order Completed", revenue).unwrap(), "50314 2500 USD of none");
    let negative = json!({"order_id": "1", "total": -3, "currency": "USD"});
    assert_eq!(order("Order Refunded", negative).unwrap(), "m1 -300 USD of 1");
}

#[test]
fn mail_events_are_read() {
    let properties =
        json!({"email_id": "e1", "campaign_id": "spring", "link_url": "https://shop.example/", "email_subject": "Hi"});
    let check = |event: &str, expect: BodyRef<'_>| {
        let look = |told: Told<'_>| {
            assert_eq!(told.body, expect, "{event}");
            assert_eq!((told.id, told.who), ("m1", Who::Own("u1")));
            assert_eq!((told.context.message_id, told.context.campaign_id), (Some("e1"), Some("spring")));
            assert_eq!(told.context.channel, Some(vocabulary::Channel::Email));
        };
        told(&call(event, properties.clone(), json!({})), None, look).unwrap();
    };
    use vocabulary::{DeliveryStatus, FeedbackKind};
    check("Email Delivered", BodyRef::Delivery { status: DeliveryStatus::Delivered, reply: None });
    check("Email Bounced", BodyRef::Delivery { status: DeliveryStatus::Bounced, reply: None });
    let user_agent = Some("Mail/1");
    check("Email Opened", BodyRef::Open { machine: false, user_agent });
    let url = Some("https://shop.example/");
    check("Email Link Clicked", BodyRef::Click { url, machine: false, user_agent, position: None });
    check("Email Marked as Spam", BodyRef::Feedback { kind: FeedbackKind::Complaint, text: None });
    check("Unsubscribed", BodyRef::Feedback { kind: FeedbackKind::Unsubscribe, text: None });
}

#[test]
fn visits_of_the_shop_are_read() {
    use vocabulary::ActivityKind;
    for (event, kind) in [("Product Viewed", ActivityKind::Viewed), ("Product Added", ActivityKind::Carted)] {
        let look = |seen: Told<'_>| assert_eq!(seen.body, BodyRef::Activity { kind, product: Some("sku-1") }, "{event}");
        told(&call(event, json!({"product_id": "sku-1", "name": "Boots"}), json!({})), None, look).unwrap();
    }
}

#[test]
fn assignments_are_read() {
    let viewed = call("Experiment Viewed", json!({"experiment_id": "spring", "variation_name": "warm"}), json!({}));
    let look = |told: Told<'_>| {
        assert_eq!((told.context.experiment_id, told.context.variant), (Some("spring"), Some("warm")));
        assert!(matches!(told.body, BodyRef::Assignment { .. }));
    };
    told(&viewed, None, look).unwrap();
}

#[test]
fn times_follow_the_senders_clock() {
    let check = |changes: Value, sent_at: Option<&str>, time: &str, doubt: Option<TimeDoubt>| {
        let found = told(&call("Email Opened", json!({}), changes), sent_at, |told| (told.time, told.time_doubt)).unwrap();
        assert_eq!(found, (time.parse().unwrap(), doubt));
    };
    check(json!({}), None, "2026-03-01T11:00:00Z", None);
    check(json!({}), Some("2026-03-01T12:00:03Z"), "2026-03-01T11:00:00Z", None);
    check(json!({}), Some("2026-03-01T13:00:00Z"), "2026-03-01T10:00:00Z", Some(TimeDoubt::Skewed));
    check(
        json!({"sentAt": "2026-03-01T11:00:00Z"}),
        Some("2026-03-01T12:00:00Z"),
        "2026-03-01T12:00:00Z",
        Some(TimeDoubt::Skewed),
    );
    check(json!({"timestamp": null}), Some("2026-03-01T13:00:00Z"), "2026-03-01T12:00:00Z", None);
    check(json!({"timestamp": "2026-03-01T13:00:00Z"}), None, "2026-03-01T13:00:00Z", Some(TimeDoubt::Future));
}

#[test]
fn faults_name_the_place_in_the_call() {
    let check = |call: Value, field: &str, reason: &str| {
        let fault = told(&call, None, |told| format!("{told:?}")).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some(field), "{fault:?}");
        assert!(fault.reason.contains(reason), "{fault:?}");
    };
    let track = |event: &str, changes: Value| call(event, json!({}), changes);
    check(track("x", json!({"type": "page"})), "type", "`page` calls are not kept, only `track` calls of Order Completed, ");
    check(track("x", json!({"type": null})), "type", "is missing");
    check(track("Order Complete", json!({})), "event", "did you mean `Order Completed`?");
    check(track("Product Clicked", json!({})), "event", "known are Order Completed, Order Refunded");
    check(track("x", json!({"event": null})), "event", "is missing");
    check(track("Unsubscribed", json!({"messageId": null})), "messageId", "is missing");
    check(track("Unsubscribed", json!({"messageId": "x".repeat(300)})), "messageId", "the limit is 256");
    check(track("Unsubscribed", json!({"userId": null})), "userId", "give `userId`, or `anonymousId`");
    check(track("Unsubscribed", json!({"timestamp": "soon"})), "timestamp", "`soon` is no time");
    check(track("Order Completed", json!({})), "properties.order_id", "is missing");
    check(track("Order Refunded", json!({})), "properties.order_id", "is missing");
    check(call("Order Completed", json!({"order_id": "1", "total": "much"}), json!({})), "properties.currency", "is missing");
    let amount = json!({"order_id": "1", "total": "much", "currency": "USD"});
    check(call("Order Completed", amount, json!({})), "properties.total", "`much` is no amount");
}

#[test]
fn who_is_not_known_yet_has_another_id() {
    let anonymous = call("Unsubscribed", json!({}), json!({"userId": null, "anonymousId": "a1"}));
    told(&anonymous, None, |told| assert_eq!(told.who, Who::Own("a1"))).unwrap();
}

#[test]
fn long_ids_of_repayments_are_shortened() {
    let refund =
        call("Order Refunded", json!({"order_id": "1", "total": 1, "currency": "EUR"}), json!({"messageId": "m".repeat(200)}));
    let look = |told: Told<'_>| match told.body {
        BodyRef::Order { order_id, .. } => order_id.len(),
        _ => panic!("an order"),
    };
    assert_eq!(told(&refund, None, look).unwrap(), 64);
}

#[test]
fn what_is_no_batch_is_refused() {
    let check = |body: &str, expect: &str| assert_eq!(Calls::read(body.as_bytes()).err().unwrap().kind, expect, "{body}");
    check("", "no_batch");
    check("[]", "no_batch");
    check(r#"{"events": []}"#, "no_batch");
    check(r#"{"batch": {}}"#, "no_batch");
    check(r#"{"batch": [{}], "sentAt": 7}"#, "no_batch");
    check(r#"{"batch": []}"#, "empty_batch");
}

/// The rule file names fields that exist, and no event twice.
#[test]
fn the_rules_are_whole() {
    let names: std::collections::BTreeSet<&str> = rules().iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names.len(), rules().len());
    for rule in rules() {
        for field in rule.fields.keys().chain(rule.words.keys()) {
            assert!(name_in(field).field().belongs_to(rule.kind), "{}: {field}", rule.name);
        }
        assert!(!rule.pays_back || rule.fields.contains_key("refund_of"), "{}", rule.name);
    }
}
