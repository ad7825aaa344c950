//! Each condition at its edges.

use crate::limits::{PAYMENTS_MAX, PRODUCTS_MAX};
use crate::tests::{at, born, check, check_of, engine, evaluate, person, words};
use crate::{Fact, Person, State, What};

#[test]
fn registered_and_did_not_order() {
    let engine = engine("registered: {for_days: 3, without: [ordered]}", "");
    let true_at = "1 true 03-04T10:00 send";
    check(&engine, &["03-01T10:00 registered"], "03-04T09:59", &[]);
    check(&engine, &["03-01T10:00 registered"], "03-04T10:00", &[true_at]);
    check(&engine, &["03-01T10:00 registered"], "05-01T00:00", &[true_at]);
    check(&engine, &["03-01T10:00 registered", "03-01T10:00 ordered"], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 registered", "03-04T10:00 ordered"], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 registered", "03-04T10:01 ordered"], "05-01T00:00", &[true_at]);
    check(&engine, &["03-01T09:59 ordered", "03-01T10:00 registered"], "05-01T00:00", &[true_at]);
    check(&engine, &["03-01T10:00 registered", "03-02T10:00 ordered -100"], "05-01T00:00", &[true_at]);
    check(&engine, &["03-01T10:00 registered", "03-02T10:00 clicked"], "05-01T00:00", &[true_at]);
    check(&engine, &["03-02T10:00 ordered"], "05-01T00:00", &[]);
}

#[test]
fn inactive_begins_with_the_last_act() {
    let engine = engine("inactive: {days: 30, without: [ordered, clicked]}", "entry: each_time");
    check(&engine, &["03-01T10:00 ordered"], "03-31T09:59", &[]);
    check(&engine, &["03-01T10:00 ordered"], "12-01T00:00", &["1 true 03-31T10:00 send"]);
    check(&engine, &["03-01T10:00 ordered", "03-31T10:00 clicked"], "04-01T00:00", &[]);
    let twice = ["1 true 03-31T10:00 send", "2 true 05-01T00:00 send"];
    check(&engine, &["03-01T10:00 ordered", "04-01T00:00 clicked"], "12-01T00:00", &twice);
    check(&engine, &["03-01T10:00 registered", "03-02T10:00 browsed"], "12-01T00:00", &[]);
}

#[test]
fn spent_rises_above_within_a_time() {
    let engine = engine("spent: {more_than: 5.00, within_days: 10}", "entry: each_time");
    check(&engine, &["03-01T10:00 ordered 500"], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 ordered 501"], "05-01T00:00", &["1 true 03-01T10:00 send"]);
    check(&engine, &["03-01T10:00 ordered 300", "03-11T09:59 ordered 300"], "05-01T00:00", &["1 true 03-11T09:59 send"]);
    check(&engine, &["03-01T10:00 ordered 300", "03-11T10:00 ordered 300"], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 ordered 600", "03-02T10:00 ordered 600"], "05-01T00:00", &["1 true 03-01T10:00 send"]);
    check(&engine, &["03-01T10:00 ordered 600", "03-01T10:00 ordered -600"], "05-01T00:00", &[]);
    let again = ["1 true 03-01T10:00 send", "2 true 03-03T10:00 send"];
    check(&engine, &["03-01T10:00 ordered 600", "03-02T10:00 ordered -200", "03-03T10:00 ordered 200"], "05-01T00:00", &again);
    let left = ["1 true 03-01T10:00 send", "2 true 03-12T10:00 send"];
    check(&engine, &["03-01T10:00 ordered 600", "03-12T10:00 ordered 600"], "05-01T00:00", &left);
    // In the moment in which the first order leaves, the second takes its place: never not above.
    check(&engine, &["03-01T10:00 ordered 600", "03-11T10:00 ordered 600"], "05-01T00:00", &left[..1]);
    // When a refund gets old the sum rises.
    check(&engine, &["03-01T10:00 ordered -200", "03-05T10:00 ordered 600"], "05-01T00:00", &["1 true 03-11T10:00 send"]);
}

#[test]
fn spent_ever_counts_all() {
    let engine = engine("spent: {more_than: 5}", "");
    let history = ["2020-03-01T10:00 ordered 300", "2022-03-01T10:00 ordered 200", "04-01T10:00 ordered 1"];
    check(&engine, &history, "05-01T00:00", &["1 true 04-01T10:00 send"]);
    let above_before = ["2020-03-01T10:00 ordered 600", "04-01T10:00 ordered 1"];
    check(&engine, &above_before, "05-01T00:00", &[]);
}

#[test]
fn of_many_payments_the_oldest_are_joined() {
    let engine = engine("spent: {more_than: 100, within_days: 730}", "");
    let order =
        |minute: i64| Fact { at: at("03-01T10:00") + jiff::SignedDuration::from_mins(minute), what: What::Ordered { amount: 1 } };
    let facts: Vec<_> = (0..20_000).map(order).collect();
    let mut state = State::default();
    let firings = engine.advance(&person(), &mut state, &facts, at("04-01T00:00"));
    assert_eq!(firings.iter().map(|firing| firing.true_at).collect::<Vec<_>>(), [facts[10_000].at], "nothing is lost");
    assert_eq!(state.payments.len(), PAYMENTS_MAX);
}

#[test]
fn a_birthday_comes_each_year_by_the_own_clock() {
    let engine = engine("birthday: {days_before: 0, at_hour: 9}", "entry: each_time");
    let shanghai = born("1990-05-17", "Asia/Shanghai");
    check_of(&shanghai, &engine, &[], "05-17T00:59", &[]);
    check_of(&shanghai, &engine, &[], "05-17T01:00", &["1 true 05-17T01:00 send"]);
    let twice = ["1 true 05-17T01:00 send", "2 true 05-17T01:00 send"];
    check_of(&shanghai, &engine, &["05-17T01:00 opened", "06-01T00:00 opened"], "2028-01-01T00:00", &twice);
    check_of(&born("1990-05-17", "?"), &engine, &[], "06-01T00:00", &["1 true 05-17T09:00 send"]);
    check_of(&born("1990", "UTC"), &engine, &[], "2028-01-01T00:00", &[]);
    check_of(&person(), &engine, &[], "2028-01-01T00:00", &[]);
    // The hour the clock leaves out, and the one it repeats.
    let night = self::engine("birthday: {at_hour: 2}", "");
    check_of(&born("1990-03-29", "Europe/Berlin"), &night, &[], "06-01T00:00", &["1 true 03-29T01:00 send"]);
    check_of(&born("1990-10-25", "Europe/Berlin"), &night, &[], "12-01T00:00", &["1 true 10-25T00:00 send"]);
}

#[test]
fn a_birthday_on_29_february_is_kept_as_in_segments() {
    let person = Person { since: at("2026-01-01T00:00"), ..born("2000-02-29", "UTC") };
    let engine = engine("birthday: {at_hour: 9}", "entry: each_time");
    let days = ["1 true 03-01T09:00 send", "2 true 03-01T09:00 send", "3 true 02-29T09:00 send"];
    check_of(&person, &engine, &[], "2028-12-01T00:00", &days);
    let before = self::engine("birthday: {days_before: 60, at_hour: 9}", "entry: each_time");
    let days = ["1 true 12-31T09:00 send", "2 true 12-31T09:00 send"];
    check_of(&person, &before, &[], "2028-12-01T00:00", &days);
}

#[test]
fn a_birthday_is_kept_once_whatever_is_put_right() {
    let engine = engine("birthday: {at_hour: 9}", "entry: each_time");
    let mut state = State::default();
    let mut advance = |person: &Person, now: &str| engine.advance(person, &mut state, &[], at(now)).len();
    assert_eq!(advance(&born("1990-05-17", "Asia/Shanghai"), "05-17T02:00"), 1);
    assert_eq!(advance(&born("1990-05-17", "America/New_York"), "05-18T00:00"), 0, "moved");
    assert_eq!(advance(&born("1990-07-05", "America/New_York"), "2027-06-01T00:00"), 0, "corrected");
    assert_eq!(advance(&born("1990-07-05", "America/New_York"), "2027-08-01T00:00"), 1);
}

#[test]
fn a_birthday_before_the_contact_was_known_is_past() {
    let engine = engine("birthday: {at_hour: 9}", "");
    let person = Person { since: at("05-17T09:01"), ..born("1990-05-17", "UTC") };
    assert_eq!(engine.next_due(&person, &State::default()), Some(at("2027-05-17T09:00")));
    let mut state = State::default();
    assert_eq!(engine.advance(&super::person(), &mut state, &[], at("06-01T00:00")), []);
    assert_eq!(engine.next_due(&super::person(), &state), None, "no date of birth");
    assert_eq!(engine.next_due(&born("1990-05-17", "UTC"), &state), Some(at("2027-05-17T09:00")), "told too late for this year");
}

#[test]
fn browsed_and_carted_begin_anew_with_each() {
    let browsed = engine("browsed: {for_minutes: 60, without: [carted, ordered]}", "entry: each_time");
    check(&browsed, &["03-01T10:00 browsed shoe"], "03-02T00:00", &["1 true 03-01T11:00 send"]);
    check(&browsed, &["03-01T10:00 browsed"], "03-02T00:00", &["1 true 03-01T11:00 send"]);
    let anew = ["03-01T10:00 browsed a", "03-01T11:00 browsed b"];
    check(&browsed, &anew, "03-02T00:00", &["1 true 03-01T12:00 send"]);
    check(&browsed, &["03-01T10:00 browsed a", "03-01T10:30 carted a"], "03-02T00:00", &[]);
    let after = ["03-01T10:00 browsed a", "03-01T10:30 carted a", "03-01T10:31 browsed b"];
    check(&browsed, &after, "03-02T00:00", &["1 true 03-01T11:31 send"]);
    let carted = engine("carted: {for_hours: 1, without: [ordered]}", "entry: each_time");
    let twice = ["1 true 03-01T11:00 send", "2 true 03-01T12:30 send"];
    check(&carted, &["03-01T10:00 carted a", "03-01T11:30 carted b"], "03-02T00:00", &twice);
    check(&carted, &["03-01T10:00 browsed a", "03-01T11:00 ordered"], "03-02T00:00", &[]);
}

#[test]
fn what_was_seen_got_cheaper() {
    let engine = engine("price_dropped: {by_percent: 10, seen_within_days: 30, without: [ordered]}", "");
    let drop = "03-31T09:59 dropped shoe 10";
    let fires = ["1 true 03-31T09:59 send"];
    check(&engine, &["03-01T10:00 browsed shoe", drop], "05-01T00:00", &fires);
    check(&engine, &["03-01T10:00 carted shoe", drop], "05-01T00:00", &fires);
    check(&engine, &["03-31T09:59 browsed shoe", drop], "05-01T00:00", &fires);
    check(&engine, &["03-01T09:59 browsed shoe", drop], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 browsed", "03-01T10:00 browsed hat", drop], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 browsed shoe", "03-31T09:59 dropped shoe 9"], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 browsed shoe", "03-02T10:00 ordered", drop], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 browsed shoe", "03-31T09:59 ordered", drop], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 browsed shoe", "03-02T10:00 ordered", "03-02T10:01 browsed shoe", drop], "05-01T00:00", &fires);
    check(&engine, &[drop, "03-31T10:00 browsed shoe"], "05-01T00:00", &[]);
}

#[test]
fn of_many_products_the_oldest_are_forgotten() {
    let engine = engine("price_dropped: {by_percent: 10, seen_within_days: 30}", "entry: each_time");
    let names: Vec<_> = (0..=PRODUCTS_MAX).map(|number| format!("p{number}")).collect();
    let time = |minute: usize| at("03-01T10:00") + jiff::SignedDuration::from_mins(minute as i64);
    let seen =
        names.iter().enumerate().map(|(minute, name)| Fact { at: time(minute), what: What::Browsed { product: Some(name) } });
    let drops = names.iter().enumerate().map(|(minute, name)| {
        let what = What::PriceDropped { product: name, percent: 50 };
        Fact { at: time(100 + minute), what }
    });
    let facts: Vec<_> = seen.chain(drops).collect();
    let firings = evaluate(&engine, &person(), &[(&facts, at("04-01T00:00"))]);
    assert_eq!(firings.len(), PRODUCTS_MAX);
    assert_eq!(words(&firings[0]), "1 true 03-01T11:41 send", "the first product is forgotten, the second is not");
}

#[test]
fn entered_a_segment() {
    let engine = engine("entered: {segment: vip}", "entry: each_time");
    check(&engine, &["03-01T10:00 entered vip"], "05-01T00:00", &["1 true 03-01T10:00 send"]);
    check(&engine, &["03-01T10:00 entered other", "03-01T10:00 left vip"], "05-01T00:00", &[]);
    check(&engine, &["03-01T10:00 entered vip", "03-02T10:00 entered vip"], "05-01T00:00", &["1 true 03-01T10:00 send"]);
    let again = ["03-01T10:00 entered vip", "03-02T10:00 left vip", "03-03T10:00 entered vip"];
    check(&engine, &again, "05-01T00:00", &["1 true 03-01T10:00 send", "2 true 03-03T10:00 send"]);
    let at_once = ["03-01T10:00 entered vip", "03-02T10:00 entered vip", "03-02T10:00 left vip"];
    check(&engine, &at_once, "05-01T00:00", &["1 true 03-01T10:00 send", "2 true 03-02T10:00 send"]);
}
