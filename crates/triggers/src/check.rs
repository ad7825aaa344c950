//! What a trigger must be like before it is evaluated: every number one that can be meant, and no act that makes it never fire.

use vocabulary::Currency;
use vocabulary::label::{self, LABEL_BYTES_MAX};

use crate::birthday::Celebration;
use crate::condition::{Birthday, Condition, Inactive, PriceDropped, Spent, Wait};
use crate::engine::Engine;
use crate::error::TriggerError;
use crate::fact::Act;
use crate::holdout::Holdout;
use crate::limits::{BIRTHDAY_DAYS_MAX, DAYS_MAX, DESCRIPTION_BYTES_MAX, PERCENT_MAX};
use crate::span::{bounded, days};
use crate::trigger::{Entry, Trigger};
use crate::watch::Watch;

type Checked<T = ()> = Result<T, TriggerError>;

/// Checks a trigger and makes an engine of it.
pub(crate) fn engine(trigger: &Trigger, base: Currency) -> Checked<Engine> {
    text("trigger", &trigger.trigger, LABEL_BYTES_MAX)?;
    if let Some(description) = &trigger.description {
        text("description", description, DESCRIPTION_BYTES_MAX)?;
    }
    let watch = watch(&trigger.when, base)?;
    if let Entry::OncePerDays(number) = trigger.entry {
        bounded("entry.once_per_days", number, DAYS_MAX, "days")?;
    }
    let delay = trigger.delay().length("delay")?.unwrap_or_default();
    acts("exit", &trigger.exit)?;
    if !(0.0..=1.0).contains(&trigger.holdout) {
        return wrong("holdout", format!("is {}; write a share from 0 to 1, such as 0.1", trigger.holdout));
    }
    let holdout = Holdout::new(&trigger.trigger, trigger.holdout);
    Ok(Engine { watch, entry: trigger.entry, delay, exit: trigger.exit.clone(), holdout })
}

fn watch(condition: &Condition, base: Currency) -> Checked<Watch> {
    match condition {
        Condition::Registered(wait) => after("when.registered", Act::Registered, wait),
        Condition::Browsed(wait) => after("when.browsed", Act::Browsed, wait),
        Condition::Carted(wait) => after("when.carted", Act::Carted, wait),
        Condition::Inactive(inactive) => without_acts(inactive),
        Condition::Spent(spent) => more_spent(spent, base),
        Condition::Birthday(birthday) => celebration(birthday),
        Condition::PriceDropped(drop) => cheaper(drop),
        Condition::Entered(entered) => {
            text("when.entered.segment", &entered.segment, LABEL_BYTES_MAX)?;
            Ok(Watch::Entered { segment: entered.segment.clone() })
        }
    }
}

fn after(path: &str, begin: Act, wait: &Wait) -> Checked<Watch> {
    let Some(length) = wait.written().length(&format!("{path}.for"))? else {
        return wrong(path, "says no time; add one, such as for_days: 3");
    };
    let field = format!("{path}.without");
    acts(&field, &wait.without)?;
    if wait.without.contains(&begin) {
        return wrong(field, format!("names {begin}, which begins the wait; take it out"));
    }
    Ok(Watch::Wait { begin: vec![begin], length, without: wait.without.clone() })
}

fn without_acts(inactive: &Inactive) -> Checked<Watch> {
    bounded("when.inactive.days", inactive.days, DAYS_MAX, "days")?;
    acts("when.inactive.without", &inactive.without)?;
    if inactive.without.is_empty() {
        return wrong("when.inactive.without", "is empty; name at least one act, such as [ordered]");
    }
    Ok(Watch::Wait { begin: inactive.without.clone(), length: days(inactive.days), without: Vec::new() })
}

fn more_spent(spent: &Spent, base: Currency) -> Checked<Watch> {
    let field = "when.spent.more_than";
    let more_than = match spent.more_than.minor(base) {
        Ok(minor) if minor < 0 => return wrong(field, format!("is {}; write an amount of 0 or more", spent.more_than)),
        Ok(minor) => minor,
        Err(error) => return wrong(field, format!("is no amount of {base}: {error}")),
    };
    if let Some(number) = spent.within_days {
        bounded("when.spent.within_days", number, DAYS_MAX, "days")?;
    }
    Ok(Watch::Spent { more_than, within: spent.within_days.map(days) })
}

fn celebration(birthday: &Birthday) -> Checked<Watch> {
    let Birthday { days_before, at_hour } = *birthday;
    if days_before > BIRTHDAY_DAYS_MAX {
        return wrong("when.birthday.days_before", format!("is {days_before}; the limit is {BIRTHDAY_DAYS_MAX} days"));
    }
    match i8::try_from(at_hour) {
        Ok(at_hour @ 0..=23) => Ok(Watch::Birthday(Celebration { days_before, at_hour })),
        _ => wrong("when.birthday.at_hour", format!("is {at_hour}; write an hour from 0 to 23")),
    }
}

fn cheaper(drop: &PriceDropped) -> Checked<Watch> {
    let PriceDropped { by_percent, seen_within_days, without } = drop;
    bounded("when.price_dropped.by_percent", *by_percent, PERCENT_MAX, "percent")?;
    bounded("when.price_dropped.seen_within_days", *seen_within_days, DAYS_MAX, "days")?;
    acts("when.price_dropped.without", without)?;
    let seeing = |act: &&Act| matches!(act, Act::Browsed | Act::Carted);
    if let Some(act) = without.iter().find(seeing) {
        return wrong("when.price_dropped.without", format!("names {act}, by which a product is seen; take it out"));
    }
    Ok(Watch::PriceDropped { by_percent: *by_percent, seen_within: days(*seen_within_days), without: without.clone() })
}

fn acts(field: &str, acts: &[Act]) -> Checked {
    let twice = acts.iter().enumerate().find(|(index, act)| acts[..*index].contains(act));
    match twice {
        Some((index, act)) => wrong(format!("{field}[{index}]"), format!("names {act} again; name each act once")),
        None => Ok(()),
    }
}

fn text(field: &str, value: &str, bytes_max: usize) -> Checked {
    label::check(value, bytes_max).map(drop).map_err(|error| TriggerError::new(field, error.to_string()))
}

fn wrong<T>(field: impl Into<String>, reason: impl Into<String>) -> Checked<T> {
    Err(TriggerError::new(field, reason))
}
