//! What a segment must be like before it becomes a query: every text one that a contact can have, every number one that can be
//! meant, and not too much of anything.

use vocabulary::label::{self, LABEL_BYTES_MAX, LabelError};
use vocabulary::{Currency, Money};

use crate::behaviour::{Act, Behaviour, Spent};
use crate::condition::Condition;
use crate::decimal::Decimal;
use crate::error::SegmentError;
use crate::limits::{
    AGE_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, BIRTHDAY_DAYS_MAX, CONDITIONS_MAX, COUNT_MAX, DEPTH_MAX,
    DESCRIPTION_BYTES_MAX, SQL_BYTES_MAX, VALUE_BYTES_MAX, VALUES_MAX,
};
use crate::person::{Age, Attribute, Birthday, Registered};
use crate::segment::Segment;
use crate::span::{Written, bound};

type Checked = Result<(), SegmentError>;

/// Checks a segment; amounts too, if the base currency is known.
pub(crate) fn check(segment: &Segment, base: Option<Currency>) -> Checked {
    text("segment", &segment.segment, LABEL_BYTES_MAX)?;
    if let Some(description) = &segment.description {
        text("description", description, DESCRIPTION_BYTES_MAX)?;
    }
    match (&segment.condition, &segment.sql) {
        (Some(condition), None) => Checker { base, conditions: 0 }.condition("condition", condition, 1),
        (None, Some(sql)) => query("sql", sql),
        (Some(_), Some(_)) => Err(SegmentError::invalid("sql", "is given beside `condition`; keep one of them")),
        (None, None) => Err(SegmentError::invalid("condition", "is missing; give it, or `sql` instead")),
    }
}

fn query(field: &str, sql: &str) -> Checked {
    if sql.trim().is_empty() {
        return Err(SegmentError::invalid(field, "is empty; write a query such as SELECT contact_key FROM contacts"));
    }
    if sql.len() > SQL_BYTES_MAX {
        return too_much(field, "bytes", sql.len(), SQL_BYTES_MAX);
    }
    match sql.contains('\0') {
        true => Err(SegmentError::invalid(field, "holds a null character; take it out")),
        false => Ok(()),
    }
}

struct Checker {
    base: Option<Currency>,
    /// How many were met so far.
    conditions: usize,
}

impl Checker {
    fn condition(&mut self, path: &str, condition: &Condition, depth: usize) -> Checked {
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return too_much("condition", "conditions", self.conditions, CONDITIONS_MAX);
        }
        if depth > DEPTH_MAX {
            return too_much(path, "conditions around each other", depth, DEPTH_MAX);
        }
        let at = |key: &str| format!("{path}.{key}");
        if let Some((act, behaviour)) = condition.behaviour() {
            return behaviour_of(&at(act.as_str()), act, behaviour);
        }
        match condition {
            Condition::All(list) => self.list(&at("all"), list, depth),
            Condition::Any(list) => self.list(&at("any"), list, depth),
            Condition::NoneOf(list) => self.list(&at("none"), list, depth),
            Condition::Not(inner) => self.condition(&at("not"), inner, depth + 1),
            Condition::Country(list) => values(&at("country"), list, VALUE_BYTES_MAX, country),
            Condition::Region(list) => values(&at("region"), list, VALUE_BYTES_MAX, region),
            Condition::Market(list) => values(&at("market"), list, VALUE_BYTES_MAX, any_text),
            Condition::Language(list) => values(&at("language"), list, VALUE_BYTES_MAX, language),
            Condition::TimeZone(list) => values(&at("time_zone"), list, VALUE_BYTES_MAX, any_text),
            Condition::Interests(list) => values(&at("interests"), list, VALUE_BYTES_MAX, any_text),
            Condition::Tags(list) => values(&at("tags"), list, VALUE_BYTES_MAX, any_text),
            Condition::Device(list) => values(&at("device"), list, VALUE_BYTES_MAX, any_text),
            Condition::Source(list) => values(&at("source"), list, VALUE_BYTES_MAX, any_text),
            Condition::Age(age) => age_of(&at("age"), age),
            Condition::Birthday(Birthday { within_days }) => match bound(*within_days, BIRTHDAY_DAYS_MAX, "days") {
                Some(reason) => Err(SegmentError::invalid(at("birthday.within_days"), reason)),
                None => Ok(()),
            },
            Condition::Registered(registered) => registration(&at("registered"), registered),
            Condition::Attribute(attribute) => attribute_of(&at("attribute"), attribute),
            Condition::Reachable(channels) => count_of(&at("reachable"), channels.len()),
            Condition::Spent(spent) => self.spent(&at("spent"), spent),
            _ => Ok(()),
        }
    }

    fn list(&mut self, path: &str, list: &[Condition], depth: usize) -> Checked {
        if list.is_empty() {
            let everybody = "give at least one condition, or for everybody `sql: SELECT contact_key FROM contacts`";
            return Err(SegmentError::invalid(path, format!("is empty; {everybody}")));
        }
        list.iter().enumerate().try_for_each(|(index, one)| self.condition(&format!("{path}[{index}]"), one, depth + 1))
    }

    fn spent(&self, path: &str, spent: &Spent) -> Checked {
        times(path, spent.written())?;
        bounds(path, [&spent.at_least, &spent.more_than, &spent.at_most, &spent.less_than])?;
        let named = [
            ("at_least", &spent.at_least),
            ("more_than", &spent.more_than),
            ("at_most", &spent.at_most),
            ("less_than", &spent.less_than),
        ];
        if named.iter().all(|(_, amount)| amount.is_none()) {
            return Err(SegmentError::invalid(path, "compares with no amount; add one, such as at_least: 100"));
        }
        let Some(base) = self.base else { return Ok(()) };
        let wrong = |(key, amount): (&str, &Option<Decimal>)| {
            let error = Money::parse(amount.as_ref()?.as_str(), base).err()?;
            Some(SegmentError::invalid(format!("{path}.{key}"), format!("is no amount of {base}: {error}")))
        };
        named.into_iter().find_map(wrong).map_or(Ok(()), Err)
    }
}

fn behaviour_of(path: &str, act: Act, behaviour: &Behaviour) -> Checked {
    times(path, behaviour.written())?;
    let wrong = |key: &str, reason: String| Err(SegmentError::invalid(format!("{path}.{key}"), reason));
    let Behaviour { at_least, at_most, exactly, .. } = *behaviour;
    for (key, count) in [("at_least", at_least), ("at_most", at_most), ("exactly", exactly)] {
        if count.is_some_and(|count| count > COUNT_MAX) {
            return wrong(key, format!("is above the limit of {COUNT_MAX}"));
        }
    }
    if exactly.is_some() && (at_least.is_some() || at_most.is_some()) {
        return wrong("exactly", "is given beside at_least or at_most; keep one".to_owned());
    }
    if at_least == Some(0) {
        return wrong("at_least", "is 0, which holds for everybody; write `never`, or a count from 1".to_owned());
    }
    if let (Some(least), Some(most)) = (at_least, at_most)
        && least > most
    {
        return wrong("at_least", format!("is {least}, more than at_most, which is {most}; turn them around"));
    }
    if behaviour.include_machine && !matches!(act, Act::Opened | Act::Clicked) {
        return wrong("include_machine", "says nothing here; machines only open and click".to_owned());
    }
    Ok(())
}

fn registration(path: &str, registered: &Registered) -> Checked {
    if !registered.written().is_given() {
        return Err(SegmentError::invalid(path, "says no time; add one, such as within_days: 30"));
    }
    times(path, registered.written())
}

fn times(path: &str, written: Written) -> Checked {
    match written.problem() {
        Some((key, reason)) => Err(SegmentError::invalid(format!("{path}.{key}"), reason)),
        None => Ok(()),
    }
}

fn age_of(path: &str, age: &Age) -> Checked {
    for (key, years) in [("at_least", age.at_least), ("at_most", age.at_most)] {
        if years.is_some_and(|years| years > AGE_MAX) {
            return Err(SegmentError::invalid(format!("{path}.{key}"), format!("is above the limit of {AGE_MAX} years")));
        }
    }
    match (age.at_least, age.at_most) {
        (None, None) => Err(SegmentError::invalid(path, "compares with no age; add at_least, at_most or both")),
        (Some(least), Some(most)) if least > most => {
            let reason = format!("is {least}, more than at_most, which is {most}; turn them around");
            Err(SegmentError::invalid(format!("{path}.at_least"), reason))
        }
        _ => Ok(()),
    }
}

fn attribute_of(path: &str, attribute: &Attribute) -> Checked {
    text(&format!("{path}.name"), &attribute.name, ATTRIBUTE_NAME_BYTES_MAX)?;
    let Attribute { at_least, more_than, at_most, less_than, .. } = attribute;
    let numbers = [at_least, more_than, at_most, less_than];
    let questions = [
        attribute.is.is_some(),
        attribute.known.is_some(),
        attribute.is_true.is_some(),
        numbers.iter().any(|number| number.is_some()),
        attribute.before.is_some() || attribute.after.is_some(),
    ];
    match questions.into_iter().filter(|asked| *asked).count() {
        1 => {}
        0 => return Err(SegmentError::invalid(path, "asks nothing; add is: [gold], known: true or at_least: 5")),
        _ => {
            let reason = "asks for a text, a number, a date, yes or no and known at once; ask one of them, and join them by all";
            return Err(SegmentError::invalid(path, reason));
        }
    }
    if let Some(list) = &attribute.is {
        values(&format!("{path}.is"), list, ATTRIBUTE_VALUE_BYTES_MAX, any_text)?;
    }
    if let (Some(after), Some(before)) = (attribute.after, attribute.before)
        && after >= before
    {
        return Err(SegmentError::invalid(format!("{path}.after"), format!("is {after}, which is not before {before}")));
    }
    bounds(path, numbers)
}

/// Checks lower and upper bounds: `at_least`, `more_than`, `at_most`, `less_than`.
fn bounds(path: &str, [at_least, more_than, at_most, less_than]: [&Option<Decimal>; 4]) -> Checked {
    let wrong = |key: &str, reason: String| Err(SegmentError::invalid(format!("{path}.{key}"), reason));
    if at_least.is_some() && more_than.is_some() {
        return wrong("more_than", "is given beside at_least; keep one".to_owned());
    }
    if at_most.is_some() && less_than.is_some() {
        return wrong("less_than", "is given beside at_most; keep one".to_owned());
    }
    let (low_key, low) = if at_least.is_some() { ("at_least", at_least) } else { ("more_than", more_than) };
    let (high_key, high) = if at_most.is_some() { ("at_most", at_most) } else { ("less_than", less_than) };
    let (Some(low), Some(high)) = (low, high) else { return Ok(()) };
    let room = high.scaled() - low.scaled();
    let both_ends = at_least.is_some() && at_most.is_some();
    match room > 0 || room == 0 && both_ends {
        true => Ok(()),
        false => wrong(low_key, format!("is {low}, which leaves nothing up to {high_key}, which is {high}")),
    }
}

fn too_much(field: &str, what: &'static str, count: usize, limit: usize) -> Checked {
    Err(SegmentError::TooMuch { field: field.to_owned(), what, count, limit })
}

fn count_of(path: &str, count: usize) -> Checked {
    match count {
        0 => Err(SegmentError::invalid(path, "is empty; give at least one value")),
        1..=VALUES_MAX => Ok(()),
        _ => too_much(path, "values", count, VALUES_MAX),
    }
}

/// Checks a list of texts, each by itself.
fn values(path: &str, list: &[String], bytes_max: usize, one: fn(&str) -> Option<&'static str>) -> Checked {
    count_of(path, list.len())?;
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        text(&path, value, bytes_max)?;
        if let Some(reason) = one(value) {
            return Err(SegmentError::invalid(path, format!("is `{value}`, {reason}")));
        }
    }
    Ok(())
}

fn text(path: &str, value: &str, bytes_max: usize) -> Checked {
    match label::check(value, bytes_max) {
        Ok(_) => Ok(()),
        Err(LabelError::TooLong { bytes, limit }) => too_much(path, "bytes", bytes, limit),
        Err(error) => Err(SegmentError::invalid(path, error.to_string())),
    }
}

fn any_text(_: &str) -> Option<&'static str> {
    None
}

fn country(value: &str) -> Option<&'static str> {
    let letters = value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_uppercase());
    (!letters).then_some("which is no country; write two capital letters, such as DE")
}

fn region(value: &str) -> Option<&'static str> {
    let no_region = "which is no part of a country; write its ISO 3166-2 code, such as US-FL";
    let Some((whole, part)) = value.split_once('-') else { return Some(no_region) };
    let is_part = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (country(whole).is_some() || !is_part).then_some(no_region)
}

fn language(value: &str) -> Option<&'static str> {
    let is_tag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (!value.split('-').all(is_tag))
        .then_some("which is no language tag; write de, zh-Hant or pt-BR; zh means all that begins with zh-")
}
