//! A condition in English, for people who check an audience before they write to it.

use crate::behaviour::{Act, Behaviour, Spent};
use crate::condition::Condition;
use crate::decimal::Decimal;
use crate::person::{Age, Attribute};
use crate::span::counted;

/// One sentence for each of the conditions that all hold.
pub(crate) fn describe(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::All(list) => list.iter().map(sentence).collect(),
        other => vec![sentence(other)],
    }
}

fn sentence(condition: &Condition) -> String {
    if let Some((act, behaviour)) = condition.behaviour() {
        return of_behaviour(act, behaviour);
    }
    match condition {
        Condition::All(list) => joined(list, " and "),
        Condition::Any(list) => joined(list, " or "),
        Condition::NoneOf(list) => list.iter().map(negated).collect::<Vec<_>>().join(" and "),
        Condition::Not(inner) => negated(inner),
        Condition::Country(values) => format!("country is {}", or(values)),
        Condition::Region(values) => format!("region is {}", or(values)),
        Condition::Market(values) => format!("market is {}", or(values)),
        Condition::Language(values) => format!("language is {}", or(values)),
        Condition::TimeZone(values) => format!("time zone is {}", or(values)),
        Condition::Interests(values) => format!("interested in {}", or(values)),
        Condition::Tags(values) => format!("tagged {}", or(values)),
        Condition::Device(values) => format!("device is {}", or(values)),
        Condition::Source(values) => format!("came from {}", or(values)),
        Condition::Age(age) => of_age(age),
        Condition::Birthday(birthday) if birthday.within_days == 1 => "has birthday today".to_owned(),
        Condition::Birthday(birthday) => {
            format!("has birthday today or within {}", counted(birthday.within_days.saturating_sub(1), "day"))
        }
        Condition::Registered(registered) => format!("registered{}", registered.written().words()),
        Condition::Attribute(attribute) => of_attribute(attribute),
        Condition::Reachable(channels) => format!("reachable on {}", or(channels)),
        Condition::Spent(spent) => of_spent(spent),
        _ => String::new(),
    }
}

fn joined(list: &[Condition], word: &str) -> String {
    match list {
        [one] => sentence(one),
        list => format!("({})", list.iter().map(part).collect::<Vec<_>>().join(word)),
    }
}

/// That a condition does not hold: what did not happen once never happened.
fn negated(condition: &Condition) -> String {
    match condition.behaviour() {
        Some((act, behaviour)) if behaviour.counts() == (1, None) => {
            of_behaviour(act, &Behaviour { exactly: Some(0), at_least: None, ..behaviour.clone() })
        }
        _ => match sentence(condition) {
            text if text.starts_with('(') && text.ends_with(')') => format!("not {text}"),
            text => format!("not ({text})"),
        },
    }
}

/// A sentence that stands beside others.
fn part(condition: &Condition) -> String {
    match condition {
        Condition::NoneOf(list) if list.len() > 1 => format!("({})", sentence(condition)),
        _ => sentence(condition),
    }
}

/// `DE`, `DE or AT`, `DE, AT or CH`.
fn or<T: ToString>(values: &[T]) -> String {
    let values: Vec<_> = values.iter().map(T::to_string).collect();
    match values.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

fn of_age(age: &Age) -> String {
    match (age.at_least, age.at_most) {
        (Some(least), Some(most)) => format!("is {least} to {most} years old"),
        (Some(least), None) => format!("is at least {least} years old"),
        (None, most) => format!("is at most {} years old", most.unwrap_or_default()),
    }
}

/// The verb of an act, split where `never` goes.
fn verb(act: Act) -> (&'static str, &'static str) {
    match act {
        Act::Sent => ("was ", "sent a message"),
        Act::Accepted => ("had ", "a message accepted"),
        Act::Delivered => ("had ", "a message delivered"),
        Act::Bounced => ("had ", "a message bounced"),
        Act::Opened => ("", "opened"),
        Act::Clicked => ("", "clicked"),
        Act::Ordered => ("", "ordered"),
        Act::Unsubscribed => ("", "unsubscribed"),
        Act::Complained => ("", "complained"),
    }
}

fn of_behaviour(act: Act, behaviour: &Behaviour) -> String {
    let (before, verb) = verb(act);
    let (never, count) = match behaviour.counts() {
        (0, Some(0)) => ("never ", String::new()),
        (0, most) => ("", format!(" at most {}", counted(most.unwrap_or_default(), "time"))),
        (1, None) => ("", " at least once".to_owned()),
        (least, None) => ("", format!(" at least {}", counted(least, "time"))),
        (least, Some(most)) if least == most => ("", format!(" exactly {}", counted(least, "time"))),
        (least, Some(most)) => ("", format!(" {least} to {}", counted(most, "time"))),
    };
    let channel = behaviour.channel.map(|channel| format!(" on {channel}")).unwrap_or_default();
    let campaign = behaviour.campaign.as_ref().map(|campaign| format!(" in campaign {campaign}")).unwrap_or_default();
    let machines = if behaviour.include_machine { ", machines included" } else { "" };
    format!("{before}{never}{verb}{channel}{campaign}{count}{}{machines}", behaviour.written().words())
}

fn of_spent(spent: &Spent) -> String {
    let channel = spent.channel.map(|channel| format!(" on {channel}")).unwrap_or_default();
    let campaign = spent.campaign.as_ref().map(|campaign| format!(" in campaign {campaign}")).unwrap_or_default();
    let amounts = numbers([&spent.at_least, &spent.more_than, &spent.at_most, &spent.less_than]);
    format!("spent{channel}{campaign} {amounts}{}", spent.written().words())
}

fn of_attribute(attribute: &Attribute) -> String {
    let Attribute { at_least, more_than, at_most, less_than, .. } = attribute;
    let dates = [attribute.after.map(|date| format!("after {date}")), attribute.before.map(|date| format!("before {date}"))];
    let yes_or_no = |yes| if yes { "says yes" } else { "says no" };
    let known = |known| if known { "is known" } else { "is unknown" };
    let questions = [
        attribute.is.as_ref().map(|values| format!("is {}", or(values))),
        attribute.known.map(|yes| known(yes).to_owned()),
        attribute.is_true.map(|yes| yes_or_no(yes).to_owned()),
        Some(numbers([at_least, more_than, at_most, less_than])).filter(|text| !text.is_empty()).map(|text| format!("is {text}")),
        Some(dates.into_iter().flatten().collect::<Vec<_>>().join(" and "))
            .filter(|text| !text.is_empty())
            .map(|text| format!("is {text}")),
    ];
    format!("attribute {} {}", attribute.name, questions.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

/// `at least 5 and less than 10`.
fn numbers([at_least, more_than, at_most, less_than]: [&Option<Decimal>; 4]) -> String {
    let words = [("at least", at_least), ("more than", more_than), ("at most", at_most), ("less than", less_than)];
    let words = words.into_iter().filter_map(|(word, number)| Some(format!("{word} {}", number.as_ref()?)));
    words.collect::<Vec<_>>().join(" and ")
}
