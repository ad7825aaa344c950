//! Tests of [`super`]: envelopes become events, and faults name attributes.

use serde_json::json;
use vocabulary::BodyRef;

use super::*;
use crate::line::Who;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn event(attributes: Value, data: Value) -> Value {
    let mut event = json!({"specversion": "1.0", "type": "sendlab.open", "source": "/mail", "id": "1",
        "time": "2026-03-01T11:00:00Z", "traceparent": "00-1", "data": {"contact": "c1"}});
    for (name, value) in attributes.as_object().unwrap() {
        event[name] = value.clone();
    }
    for (name, value) in data.as_object().unwrap() {
        event["data"][name] = value.clone();
    }
    event
}

fn told<T>(event: &Value, look: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
    let json = event.to_string();
    CloudEvents::structured(vec![Item { line: 1, json: json.as_bytes() }]).read(0, now(), look)
}

#[test]
fn an_envelope_is_opened() {
    let look = |told: Told<'_>| {
        assert_eq!((told.id, told.who), ("/mail 1", Who::Own("c1")));
        assert_eq!(told.time, "2026-03-01T11:00:00Z".parse().unwrap());
        assert_eq!(told.body, BodyRef::Open { machine: true, user_agent: None });
    };
    told(&event(json!({}), json!({"machine": true})), look).unwrap();
    told(&event(json!({"type": "open"}), json!({"machine": true, "kind": "open"})), look).unwrap();
}

#[test]
fn data_goes_before_the_envelope() {
    let data = json!({"event_id": "own", "event_time": "2026-03-01T10:00:00Z"});
    let look = |told: Told<'_>| (told.id.to_owned(), told.time);
    let own = ("own".to_owned(), "2026-03-01T10:00:00Z".parse().unwrap());
    assert_eq!(told(&event(json!({}), data), look).unwrap(), own);
}

#[test]
fn ids_are_unique_with_their_source() {
    let id = |source: &str, id: &str| told(&event(json!({"source": source, "id": id}), json!({})), |told| told.id.to_owned());
    assert_ne!(id("/a", "b/c").unwrap(), id("/a/b", "c").unwrap());
    assert_eq!(id("/a", &"x".repeat(300)).unwrap().len(), 64);
    assert_ne!(id("/a", &"x".repeat(300)).unwrap(), id("/b", &"x".repeat(300)).unwrap());
}

#[test]
fn faults_name_the_attribute() {
    let check = |attributes: Value, data: Value, field: &str, reason: &str| {
        let fault = told(&event(attributes, data), |told| format!("{told:?}")).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some(field), "{fault:?}");
        assert!(fault.reason.contains(reason), "{fault:?}");
    };
    check(json!({"specversion": "0.3"}), json!({}), "specversion", "send 1.0");
    check(json!({"specversion": null}), json!({}), "specversion", "is missing");
    check(json!({"type": "sendlab.opened"}), json!({}), "type", "did you mean `sendlab.open`?");
    check(json!({"type": 7}), json!({}), "type", "must be text in quotes, not the number 7");
    check(json!({"id": ""}), json!({}), "id", "is empty");
    check(json!({"id": "a\nb"}), json!({}), "id", "control character");
    check(json!({"source": null}), json!({}), "source", "is missing");
    check(json!({"source": "a b"}), json!({}), "source", "white space");
    check(json!({"time": "noon"}), json!({}), "time", "`noon` is no time");
    check(json!({"time": null}), json!({}), "time", "is missing");
    check(json!({"data_base64": "eA=="}), json!({}), "data_base64", "send `data`");
    check(json!({}), json!({"contact": null}), "data.contact", "is missing");
    check(json!({}), json!({"machine": "yes"}), "data.machine", "must be true or false");
    check(json!({}), json!({"usr_agent": "x"}), "data.usr_agent", "did you mean `user_agent`?");
    check(json!({}), json!({"kind": "click"}), "data.kind", "is `click`, but `type` says `open`");
    let mut list = event(json!({}), json!({}));
    list["data"] = json!([1]);
    let fault = told(&list, |_| ()).unwrap_err();
    assert_eq!((fault.field.as_deref(), fault.reason.as_str()), (Some("data"), "must be an object, not a list"));
}

#[test]
fn the_envelope_may_be_in_the_headers() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.collect::<HeaderMap>()
    };
    assert!(CloudEvents::binary(&headers(&[("content-type", "application/json")]), b"{}").is_none());
    let all = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "sendlab.open"),
        ("ce-source", "/mail"),
        ("ce-id", "caf%C3%A9%2"),
        ("ce-time", "2026-03-01T11:00:00Z"),
    ];
    let headers = headers(&all);
    let event = CloudEvents::binary(&headers, br#"{"contact":"c1"}"#).unwrap();
    event.read(0, now(), |told| assert_eq!((told.id, told.who), ("/mail café%2", Who::Own("c1")))).unwrap();
    let event = CloudEvents::binary(&headers, br#"{"contact":7}"#).unwrap();
    assert_eq!(event.read(0, now(), |_| ()).unwrap_err().field.as_deref(), Some("data.contact"));
}
