//! Facts that are told after their time was decided.

use crate::tests::{at, engine, facts, person, words};
use crate::{Engine, State};

/// Tells facts in evaluations at given times.
fn told(engine: &Engine, evaluations: &[(&str, &[&str])]) -> Vec<String> {
    let mut state = State::default();
    let advance = |(now, texts): &(&str, &[&str])| engine.advance(&person(), &mut state, &facts(texts), at(now));
    evaluations.iter().flat_map(advance).map(|firing| words(&firing)).collect()
}

#[test]
fn nothing_is_taken_back() {
    let engine = engine("carted: {for_hours: 1, without: [ordered]}", "entry: each_time");
    let evaluations: &[(&str, &[&str])] =
        &[("03-01T11:00", &["03-01T10:00 carted"]), ("03-01T11:05", &["03-01T10:30 ordered"]), ("03-02T00:00", &[])];
    assert_eq!(told(&engine, evaluations), ["1 true 03-01T11:00 send"]);
}

#[test]
fn what_is_not_decided_heeds_it() {
    let engine = engine("carted: {for_hours: 1, without: [ordered]}", "delay_hours: 1\nexit: [unsubscribed]");
    let cart: (&str, &[&str]) = ("03-01T10:50", &["03-01T10:00 carted"]);
    assert_eq!(told(&engine, &[cart, ("03-01T10:55", &["03-01T10:30 ordered"]), ("03-02T00:00", &[])]), [""; 0]);
    let unsubscribed: (&str, &[&str]) = ("03-01T11:50", &["03-01T11:10 unsubscribed"]);
    let exited = ["1 true 03-01T11:00 due 03-01T12:00 exited 03-01T11:10"];
    assert_eq!(told(&engine, &[cart, ("03-01T11:40", &[]), unsubscribed]), exited);
}

#[test]
fn what_becomes_true_late_did_so_at_its_own_time() {
    let segment = engine("entered: {segment: s}", "entry: {once_per_days: 10}\ndelay_hours: 1");
    let late = [("03-01T12:00", &[][..]), ("03-01T12:30", &["03-01T10:00 entered s"])];
    assert_eq!(told(&segment, &late), ["1 true 03-01T10:00 due 03-01T11:00 send"]);
    let late = [("03-01T12:00", &[][..]), ("03-01T12:30", &["03-01T11:45 entered s"]), ("03-01T12:45", &[])];
    assert_eq!(told(&segment, &late), ["1 true 03-01T11:45 due 03-01T12:45 send"]);
    let outdated = [("03-01T12:00", &["03-01T11:00 left s"][..]), ("03-01T13:00", &["03-01T10:00 entered s"])];
    assert_eq!(told(&segment, &outdated), [""; 0], "they left since");
    let started = [("03-01T12:00", &[][..]), ("03-01T13:00", &["2025-12-31T23:59 entered s"])];
    assert_eq!(told(&segment, &started), [""; 0], "before the trigger");
}

#[test]
fn acts_that_are_known_count_though_they_came_after() {
    let cart = engine("carted: {for_hours: 1, without: [ordered]}", "");
    let ordered = [("03-01T13:00", &["03-01T12:00 ordered"][..]), ("03-01T14:00", &["03-01T10:00 carted"])];
    assert_eq!(told(&cart, &ordered), [""; 0]);
    let segment = engine("entered: {segment: s}", "delay_hours: 1\nexit: [ordered]");
    let late = [("03-01T13:00", &["03-01T12:00 ordered"][..]), ("03-01T14:00", &["03-01T10:00 entered s"])];
    assert_eq!(told(&segment, &late), ["1 true 03-01T10:00 due 03-01T11:00 exited 03-01T12:00"]);
}

#[test]
fn late_payments_count_by_their_own_time() {
    let engine = engine("spent: {more_than: 5, within_days: 10}", "entry: each_time");
    let rises = [("03-02T00:00", &["03-01T12:00 ordered 300"][..]), ("03-03T00:00", &["03-01T10:00 ordered 300"])];
    assert_eq!(told(&engine, &rises), ["1 true 03-01T10:00 send"]);
    let too_old = [("04-02T00:00", &["04-01T12:00 ordered 300"][..]), ("04-03T00:00", &["03-01T10:00 ordered 300"])];
    assert_eq!(told(&engine, &too_old), [""; 0]);
    let leaves =
        [("03-02T00:00", &["03-01T12:00 ordered 600"][..]), ("03-03T00:00", &["03-01T10:00 ordered -200"]), ("03-12T00:00", &[])];
    assert_eq!(told(&engine, &leaves), ["1 true 03-01T12:00 send", "2 true 03-11T10:00 send"], "the refund leaves first");
}

#[test]
fn what_claims_to_be_ahead_is_taken_as_of_now() {
    let engine = engine("carted: {for_hours: 1}", "");
    let ahead = [("03-01T10:00", &["03-09T10:00 carted"][..]), ("03-01T12:00", &[])];
    assert_eq!(told(&engine, &ahead), ["1 true 03-01T11:00 send"]);
}
