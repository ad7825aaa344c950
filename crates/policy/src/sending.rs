//! When a message is due, when it is too old, and what happens where the country is not known.

use jiff::Timestamp;
use vocabulary::{Channel, MessageClass};

use crate::answer::{Answer, Reason, Why};
use crate::caps::Length;
use crate::error::RulesError;
use crate::facts::Schedule;
use crate::holdout::Holdout;
use crate::local;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::tally::{Case, Log, Tally, why};
use crate::window::next_open_in_all;

/// What `sending.toml` holds.
#[derive(Debug)]
pub(crate) struct Sending {
    due: Rule,
    end: Rule,
    window: Rule,
    pub(crate) no_permitted_time: Rule,
    unknown_country: Rule,
    /// Channels whose hours depend on the country.
    channels: Vec<Channel>,
    ages: Vec<AgeRule>,
    pub(crate) holdout: Holdout,
}

/// How long after its time a message may still leave.
#[derive(Debug)]
struct AgeRule {
    rule: Rule,
    class: MessageClass,
    most: Length,
}

impl Sending {
    /// Reads `sending.toml`.
    pub(crate) fn read(mut file: Section<'_>) -> Result<Self, RulesError> {
        let head = FileHead::read(&mut file)?;
        let due = only_rule(&mut file, "due", head)?;
        let end = only_rule(&mut file, "end", head)?;
        let window = only_rule(&mut file, "window", head)?;
        let no_permitted_time = only_rule(&mut file, "no_permitted_time", head)?;
        let mut section = needed(&mut file, "unknown_country")?;
        let (unknown_country, channels) = (Rule::read(&mut section, head)?, section.words("channels")?);
        section.finish()?;
        let mut ages: Vec<AgeRule> = Vec::new();
        for mut section in file.tables("age")? {
            let rule = Rule::read(&mut section, head)?;
            let class =
                section.word("class")?.ok_or_else(|| section.wrong("class", "is missing; write such as \"marketing\""))?;
            let most = section.word("most")?.ok_or_else(|| section.wrong("most", "is missing; write such as \"24 hours\""))?;
            if ages.iter().any(|age| age.class == class) {
                return Err(section.wrong("class", format!("`{class}` has an age already")));
            }
            ages.push(AgeRule { rule, class, most });
            section.finish()?;
        }
        let missing = MessageClass::ALL.iter().find(|class| !ages.iter().any(|age| age.class == **class));
        if let Some(class) = missing {
            return Err(file.wrong("age", format!("has none for `{class}`; add one, or an old schedule would fire")));
        }
        let holdout = Holdout::read(needed(&mut file, "holdout")?, head)?;
        file.finish()?;
        Ok(Self { due, end, window, no_permitted_time, unknown_country, channels, ages, holdout })
    }

    /// The heads of the rules.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Rule> {
        let single = [&self.due, &self.end, &self.window, &self.no_permitted_time, &self.unknown_country, &self.holdout.rule];
        single.into_iter().chain(self.ages.iter().map(|age| &age.rule))
    }
}

fn needed<'a>(file: &mut Section<'a>, key: &'static str) -> Result<Section<'a>, RulesError> {
    file.table(key)?.ok_or_else(|| file.wrong(key, format!("is missing; write [{key}] with id, kind and source")))
}

fn only_rule(file: &mut Section<'_>, key: &'static str, head: FileHead) -> Result<Rule, RulesError> {
    let mut section = needed(file, key)?;
    let rule = Rule::read(&mut section, head)?;
    section.finish()?;
    Ok(rule)
}

/// The moment at which a message is due: for a local time the last of the moments that it may be.
fn due_at(case: &Case<'_>) -> Option<Timestamp> {
    match case.message.schedule? {
        Schedule::At(moment) => Some(moment),
        Schedule::Local(time) => {
            let moments = case.place.zones().filter_map(|zone| local::begins(zone, time));
            moments.max().or_else(|| local::begins(&jiff::tz::TimeZone::UTC, time))
        }
    }
}

/// When a message that is not yet due will be, and what to say until then.
pub(crate) fn not_due<L: Log>(sending: &Sending, case: &Case<'_>, log: &mut L) -> Option<(Timestamp, Why)> {
    let due = due_at(case).filter(|due| *due > case.at)?;
    log.begins(case.at);
    let answer = Answer::Defer { until: due, because: Reason::NotDue };
    log.hears(&sending.due, &answer, || format!("due at {due}; it is {}", case.at));
    Some((due, why(&sending.due, Reason::NotDue)))
}

/// Asks whether the country is known where it must be.
pub(crate) fn check_place<L: Log>(sending: &Sending, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let class = case.message.class;
    let answer = if case.place.country.is_some() {
        Answer::permit(Reason::CountryKnown)
    } else if class != MessageClass::Marketing {
        Answer::permit(Reason::ClassExempt(class))
    } else if sending.channels.contains(&case.message.channel) {
        Answer::refuse(Reason::CountryUnknown)
    } else {
        Answer::permit(Reason::CountryUnknown)
    };
    tally.answer(&sending.unknown_country, answer, || format!("{class} by {}; {}", case.message.channel, case.place));
}

/// Asks whether it is due, not too old, not over, and within the hours that the sender wants.
pub(crate) fn check_time<L: Log>(sending: &Sending, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let (message, at) = (case.message, case.at);
    let due = due_at(case);
    let answer = Answer::from_then_on(at, due.unwrap_or(at), Reason::Due, || Reason::NotDue);
    let due_words = || due.map_or("no time was set".to_owned(), |due| format!("due at {due}"));
    tally.answer(&sending.due, answer, || format!("{}; it is {at}", due_words()));
    if let Some(age) = sending.ages.iter().find(|age| age.class == message.class) {
        let last = due.and_then(|due| due.checked_add(age.most.0).ok());
        let is_too_old = last.is_some_and(|last| last < at);
        let answer = if is_too_old { Answer::refuse(Reason::TooOld) } else { Answer::permit(Reason::InTime) };
        tally.answer(&age.rule, answer, || format!("{}; it is {at}; at most {} late", due_words(), age.most));
    }
    let is_over = message.ends.is_some_and(|end| end <= at);
    let answer = if is_over { Answer::refuse(Reason::Ended) } else { Answer::permit(Reason::InTime) };
    tally.answer(&sending.end, answer, || {
        message.ends.map_or("no end was set".to_owned(), |end| format!("ends at {end}; it is {at}"))
    });
    let answer = match &message.window {
        None => Answer::permit(Reason::WithinHours),
        Some(window) => match next_open_in_all(std::slice::from_ref(window), |_| false, case.place.zones(), at) {
            Some(from) => Answer::from_then_on(at, from, Reason::WithinHours, || Reason::OutsideHours),
            None => Answer::refuse(Reason::NeverOpen),
        },
    };
    tally.answer(&sending.window, answer, || {
        let wanted = message.window.map_or("no hours were set".to_owned(), |window| format!("wanted {window}"));
        format!("{wanted}; {}", case.place)
    });
}
