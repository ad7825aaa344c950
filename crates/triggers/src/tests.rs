//! Triggers as people write them and histories as they happen: each condition at its edges, entries, late facts, the language,
//! and random histories against the definition.

mod conditions;
mod entries;
mod language;
mod late;
mod oracle;
mod random;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vocabulary::{ContactKey, Currency};

use crate::{Engine, Fact, Firing, Outcome, Person, State, Trigger, What};

fn euro() -> Currency {
    Currency::new("EUR").unwrap()
}

/// A trigger in YAML: a condition in flow style, and other fields line by line.
fn read(when: &str, fields: &str) -> Result<Trigger, String> {
    let text = format!("trigger: test\ncampaign: c\nwhen: {{{when}}}\n{fields}\n");
    serde_saphyr::from_str(&text).map_err(|error| error.to_string())
}

fn trigger(when: &str, fields: &str) -> Trigger {
    read(when, fields).unwrap_or_else(|error| panic!("{when} {fields}: {error}"))
}

fn engine(when: &str, fields: &str) -> Engine {
    trigger(when, fields).engine(euro()).unwrap_or_else(|error| panic!("{when} {fields}: {error}"))
}

/// A moment of 2026 in UTC, `03-01T10:00`, or of another year.
fn at(text: &str) -> Timestamp {
    let year = if text.len() == 11 { "2026-" } else { "" };
    format!("{year}{text}Z").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn person() -> Person {
    Person { key: ContactKey::from_i64(1).unwrap(), time_zone: None, birth: None, since: at("01-01T00:00") }
}

fn born(birth: &str, zone: &str) -> Person {
    Person { birth: birth.parse().ok(), time_zone: TimeZone::get(zone).ok(), ..person() }
}

/// `03-01T10:00 ordered 500`, `… browsed shoe`, `… dropped shoe 10`, `… entered vip`, `… opened`.
fn fact(text: &str) -> Fact<'_> {
    let words: Vec<_> = text.split(' ').collect();
    let first = words.get(2).copied();
    let name = || first.unwrap_or_else(|| panic!("{text} names nothing"));
    let what = match words[1] {
        "registered" => What::Registered,
        "ordered" => What::Ordered { amount: first.map_or(100, |amount| amount.parse().unwrap()) },
        "opened" => What::Opened,
        "clicked" => What::Clicked,
        "unsubscribed" => What::Unsubscribed,
        "complained" => What::Complained,
        "browsed" => What::Browsed { product: first },
        "carted" => What::Carted { product: first },
        "entered" => What::EnteredSegment { segment: name() },
        "left" => What::LeftSegment { segment: name() },
        "dropped" => What::PriceDropped { product: name(), percent: words[3].parse().unwrap() },
        other => panic!("{other} is no fact"),
    };
    Fact { at: at(words[0]), what }
}

fn facts<'a>(texts: &[&'a str]) -> Vec<Fact<'a>> {
    texts.iter().map(|text| fact(text)).collect()
}

/// `1 true 03-01T10:00 due 03-01T12:00 send`; when it is due is left out where it is at once.
fn words(firing: &Firing) -> String {
    let time = |at: Timestamp| at.strftime("%m-%dT%H:%M").to_string();
    let due = if firing.due == firing.true_at { String::new() } else { format!(" due {}", time(firing.due)) };
    let outcome = match firing.outcome {
        Outcome::Send => "send".to_owned(),
        Outcome::HeldOut => "held out".to_owned(),
        Outcome::Exited { at } => format!("exited {}", time(at)),
    };
    format!("{} true {}{due} {outcome}", firing.occurrence, time(firing.true_at))
}

fn through_json(state: &State) -> State {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

/// Evaluates in several evaluations, the state stored and read between them.
fn evaluate(engine: &Engine, person: &Person, batches: &[(&[Fact<'_>], Timestamp)]) -> Vec<Firing> {
    let mut state = State::default();
    let mut firings = Vec::new();
    for (facts, now) in batches {
        state = through_json(&state);
        firings.extend(engine.advance(person, &mut state, facts, *now));
    }
    firings
}

/// Tells facts, which stand in order, all at the end and each when it happens, and compares both with the firings expected.
fn check_of(person: &Person, engine: &Engine, history: &[&str], now: &str, expect: &[&str]) {
    let (facts, now) = (facts(history), at(now));
    let told = |batches: &[(&[Fact<'_>], Timestamp)]| evaluate(engine, person, batches).iter().map(words).collect::<Vec<_>>();
    assert_eq!(told(&[(&facts, now)]), expect, "{history:?} at once");
    let mut each: Vec<_> = facts.chunk_by(|one, next| one.at == next.at).map(|facts| (facts, facts[0].at)).collect();
    each.push((&[], now));
    assert_eq!(told(&each), expect, "{history:?} one by one");
}

fn check(engine: &Engine, history: &[&str], now: &str, expect: &[&str]) {
    check_of(&person(), engine, history, now, expect);
}
