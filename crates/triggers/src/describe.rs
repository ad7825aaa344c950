//! A trigger in English, for people who check it before it sends.

use crate::condition::{Condition, Wait};
use crate::fact::Act;
use crate::span::counted;
use crate::trigger::{Entry, Trigger};

/// When what is sent to whom, as one sentence.
pub(crate) fn describe(trigger: &Trigger) -> String {
    let delay = trigger.delay().words().map(|words| format!(" {words} later")).unwrap_or_default();
    let exit = match trigger.exit.as_slice() {
        [] => String::new(),
        acts => format!(", unless the contact {} in between", or(acts)),
    };
    let entry = match trigger.entry {
        Entry::Once => "once per contact".to_owned(),
        Entry::OncePerDays(days) => format!("at most once in {}", counted(days, "day")),
        Entry::EachTime => "each time".to_owned(),
    };
    let holdout = match trigger.holdout {
        0.0 => String::new(),
        // Rounded, because 0.07 times 100 is a little more than 7.
        share => format!(", but not to a holdout of {} %", (share * 1e6).round() / 1e4),
    };
    format!("{}, campaign {} is sent{delay}{exit}, {entry}{holdout}.", condition(&trigger.when), trigger.campaign)
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Registered(wait) => after(wait, "registered"),
        Condition::Browsed(wait) => after(wait, "last looked at a product"),
        Condition::Carted(wait) => after(wait, "last put a product in the cart"),
        Condition::Inactive(inactive) => {
            format!("{} after a contact last {}", counted(inactive.days, "day"), or(&inactive.without))
        }
        Condition::Spent(spent) => {
            let within = spent.within_days.map(|days| format!(" within {}", counted(days, "day"))).unwrap_or_default();
            format!("When a contact has spent more than {}{within}", spent.more_than)
        }
        Condition::Birthday(birthday) => {
            let day = match birthday.days_before {
                0 => "On a contact's birthday".to_owned(),
                days => format!("{} before a contact's birthday", counted(days, "day")),
            };
            format!("{day} at {}:00 by their own clock", birthday.at_hour)
        }
        Condition::PriceDropped(drop) => format!(
            "When a product that a contact saw within {} gets cheaper by at least {} %{}",
            counted(drop.seen_within_days, "day"),
            drop.by_percent,
            since(&drop.without)
        ),
        Condition::Entered(entered) => format!("When a contact comes into segment {}", entered.segment),
    }
}

fn after(wait: &Wait, act: &str) -> String {
    let length = wait.written().words().unwrap_or_else(|| "some time".to_owned());
    format!("{} after a contact {act}{}", length, since(&wait.without))
}

fn since(without: &[Act]) -> String {
    match without {
        [] => String::new(),
        acts => format!(", if they have not {} since", or(acts)),
    }
}

/// The verb, in the past and the perfect.
fn done(act: Act) -> &'static str {
    match act {
        Act::Registered => "registered",
        Act::Ordered => "ordered",
        Act::Opened => "opened a message",
        Act::Clicked => "followed a link",
        Act::Unsubscribed => "unsubscribed",
        Act::Complained => "complained",
        Act::Browsed => "looked at a product",
        Act::Carted => "put a product in the cart",
    }
}

/// `ordered`, `ordered or clicked`, `ordered, opened or clicked`.
fn or(acts: &[Act]) -> String {
    let words: Vec<_> = acts.iter().map(|act| done(*act)).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
