//! Entering and leaving: how often, since when, delay, exit and holdout.

use crate::tests::{at, check, check_of, engine, facts, person};
use crate::{Person, State};

const SEGMENT: &str = "entered: {segment: s}";
const TWICE: [&str; 3] = ["03-01T10:00 entered s", "03-05T10:00 left s", "03-11T10:00 entered s"];

#[test]
fn entry_says_how_often() {
    let first = "1 true 03-01T10:00 send";
    let both = [first, "2 true 03-11T10:00 send"];
    check(&engine(SEGMENT, ""), &TWICE, "05-01T00:00", &[first]);
    check(&engine(SEGMENT, "entry: once"), &TWICE, "05-01T00:00", &[first]);
    check(&engine(SEGMENT, "entry: each_time"), &TWICE, "05-01T00:00", &both);
    check(&engine(SEGMENT, "entry: {once_per_days: 10}"), &TWICE, "05-01T00:00", &both);
    check(&engine(SEGMENT, "entry: {once_per_days: 11}"), &TWICE, "05-01T00:00", &[first]);
}

#[test]
fn days_between_entries_count_from_when_the_condition_became_true() {
    let engine = engine(SEGMENT, "entry: {once_per_days: 10}\ndelay_days: 9");
    let due = ["1 true 03-01T10:00 due 03-10T10:00 send", "2 true 03-11T10:00 due 03-20T10:00 send"];
    check(&engine, &TWICE, "05-01T00:00", &due);
    check(&engine, &TWICE, "03-20T09:59", &due[..1]);
}

#[test]
fn who_is_in_cannot_enter_again() {
    let history = |end| ["03-01T10:00 entered s", "03-02T10:00 left s", end];
    let engine = engine(SEGMENT, "entry: each_time\ndelay_days: 3");
    let first = "1 true 03-01T10:00 due 03-04T10:00 send";
    check(&engine, &history("03-04T10:00 entered s"), "05-01T00:00", &[first]);
    let both = [first, "2 true 03-04T10:01 due 03-07T10:01 send"];
    check(&engine, &history("03-04T10:01 entered s"), "05-01T00:00", &both);
}

#[test]
fn an_act_takes_the_contact_out_and_the_entry_counts() {
    let exit = "delay_hours: 2\nexit: [ordered, unsubscribed]";
    let send = "1 true 03-01T10:00 due 03-01T12:00 send";
    let history = |act| ["03-01T10:00 entered s", act];
    let once = engine(SEGMENT, exit);
    check(&once, &history("03-01T10:00 ordered"), "05-01T00:00", &[send]);
    check(&once, &history("03-01T12:01 ordered"), "05-01T00:00", &[send]);
    check(&once, &history("03-01T11:00 clicked"), "05-01T00:00", &[send]);
    check(&once, &history("03-01T11:00 ordered -1"), "05-01T00:00", &[send]);
    check(&once, &history("03-01T12:00 ordered"), "05-01T00:00", &["1 true 03-01T10:00 due 03-01T12:00 exited 03-01T12:00"]);
    let exited = "1 true 03-01T10:00 due 03-01T12:00 exited 03-01T11:00";
    check(&once, &history("03-01T11:00 unsubscribed"), "03-01T11:00", &[exited]);
    let back = ["03-01T10:00 entered s", "03-01T11:00 ordered", "03-02T10:00 left s", "03-03T10:00 entered s"];
    check(&once, &back, "05-01T00:00", &[exited]);
    let again = [exited, "2 true 03-03T10:00 due 03-03T12:00 send"];
    check(&engine(SEGMENT, &format!("entry: each_time\n{exit}")), &back, "05-01T00:00", &again);
}

#[test]
fn what_became_true_before_the_start_does_not_enter() {
    let since = |text| Person { since: at(text), ..person() };
    let engine = engine("carted: {for_hours: 1, without: [ordered]}", "");
    let history = ["03-01T10:00 carted", "03-05T10:00 carted"];
    check_of(&since("03-01T11:00"), &engine, &history, "05-01T00:00", &["1 true 03-01T11:00 send"]);
    check_of(&since("03-01T11:01"), &engine, &history, "05-01T00:00", &["1 true 03-05T11:00 send"]);
    check_of(&since("03-05T11:01"), &engine, &history, "05-01T00:00", &[]);
    let spent = self::engine("spent: {more_than: 1, within_days: 30}", "");
    let history = ["03-01T10:00 ordered 200", "03-05T10:00 ordered 200", "06-01T10:00 ordered 200"];
    check_of(&since("03-02T00:00"), &spent, &history, "07-01T00:00", &["1 true 06-01T10:00 send"]);
}

#[test]
fn who_is_held_out_is_told_too() {
    check(&engine(SEGMENT, "holdout: 1"), &TWICE, "05-01T00:00", &["1 true 03-01T10:00 held out"]);
    let exit = engine(SEGMENT, "holdout: 1\ndelay_days: 1\nexit: [ordered]");
    let history = ["03-01T10:00 entered s", "03-01T11:00 ordered"];
    check(&exit, &history, "05-01T00:00", &["1 true 03-01T10:00 due 03-02T10:00 exited 03-01T11:00"]);
}

#[test]
fn the_next_moment_is_known_and_the_state_is_small() {
    let engine = engine("carted: {for_hours: 1, without: [ordered]}", "delay_hours: 2");
    let mut state = State::default();
    assert_eq!(engine.next_due(&person(), &state), None);
    let json = |state: &State| serde_json::to_string(state).unwrap();
    assert_eq!(json(&state), "{}");

    engine.advance(&person(), &mut state, &facts(&["03-01T10:00 carted"]), at("03-01T10:05"));
    assert_eq!(engine.next_due(&person(), &state), Some(at("03-01T11:00")));
    assert_eq!(json(&state), r#"{"d":"2026-03-01T10:05:00Z","b":"2026-03-01T10:00:00Z","w":true}"#);

    engine.advance(&person(), &mut state, &[], at("03-01T11:00"));
    assert_eq!(engine.next_due(&person(), &state), Some(at("03-01T13:00")));
    assert_eq!(engine.advance(&person(), &mut state, &[], at("03-01T13:00")).len(), 1);
    assert_eq!(engine.next_due(&person(), &state), None);
}
