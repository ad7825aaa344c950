//! Quiet hours and days of rest, by law where there is one.

use std::sync::Arc;

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::answer::{Answer, Reason};
use crate::consent::is_given;
use crate::error::RulesError;
use crate::facts::Purpose;
use crate::holidays::{HolidayCalendar, Holidays};
use crate::place::Atlas;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::scope::{Scope, Scoped};
use crate::tally::{Case, Log, Tally};
use crate::window::{Window, next_open_in_all};

/// When messages may be sent.
#[derive(Debug)]
pub(crate) struct HoursRule {
    pub(crate) rule: Rule,
    open: Vec<Window>,
    /// The calendar whose holidays are closed.
    pub(crate) holidays: Option<Arc<HolidayCalendar>>,
    /// The clock that counts, where it is not the contact's.
    zone: Option<TimeZone>,
    /// Whether a separate consent opens the night.
    night_consent: bool,
}

/// Reads `hours.toml`.
pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas, holidays: &Holidays) -> Result<Scoped<HoursRule>, RulesError> {
    let head = FileHead::read(&mut file)?;
    let mut rules = Vec::new();
    for mut section in file.tables("rule")? {
        rules.push((Scope::read(&mut section, atlas)?, HoursRule::read(&mut section, head, holidays)?));
        section.finish()?;
    }
    file.finish()?;
    Ok(Scoped::new(rules))
}

impl HoursRule {
    fn read(section: &mut Section<'_>, head: FileHead, holidays: &Holidays) -> Result<Self, RulesError> {
        let rule = Rule::read(section, head)?;
        let open = section.words::<Window>("open")?;
        if open.is_empty() {
            return Err(section.wrong("open", "is missing; write windows such as [\"mon-fri 09:00-21:00\"]"));
        }
        let calendar = section.text_or_none("closed_on_holidays_of")?;
        let calendar = calendar.map(|name| {
            let found = holidays.named(name);
            found.ok_or_else(|| section.wrong("closed_on_holidays_of", format!("names `{name}`, which holidays.toml lacks")))
        });
        let calendar = calendar.transpose()?;
        let zone = section.text_or_none("time_zone")?.map(|name| {
            let found = TimeZoneDatabase::bundled().get(name);
            found.map_err(|_| section.wrong("time_zone", format!("`{name}` is no time zone; write one such as Asia/Kolkata")))
        });
        let night_consent = section.flag("night_consent", false)?;
        Ok(Self { rule, open, holidays: calendar, zone: zone.transpose()?, night_consent })
    }

    /// Whether anything may be sent on a weekday.
    pub(crate) fn has_day(&self, weekday: Weekday) -> bool {
        self.open.iter().any(|window| window.has_day(weekday))
    }

    fn is_closed(&self, date: Date) -> bool {
        self.holidays.as_ref().is_some_and(|calendar| calendar.holiday(date).is_some())
    }

    fn answer(&self, case: &Case<'_>) -> Answer {
        if self.night_consent && is_given(case, Purpose::Night) {
            return Answer::permit(Reason::NightConsent);
        }
        let closed = |date: Date| self.is_closed(date);
        let own = || self.zone.iter();
        let next = match &self.zone {
            Some(_) => next_open_in_all(&self.open, closed, own(), case.at),
            None if case.place.zones().next().is_none() => return Answer::refuse(Reason::CountryUnknown),
            None => next_open_in_all(&self.open, closed, case.place.zones(), case.at),
        };
        match next {
            None => Answer::refuse(Reason::NeverOpen),
            Some(from) => Answer::from_then_on(case.at, from, Reason::WithinHours, || self.why_closed(case)),
        }
    }

    /// Why it is closed, by the first clock.
    fn why_closed(&self, case: &Case<'_>) -> Reason {
        let Some(zone) = self.zone.as_ref().or_else(|| case.place.zones().next()) else { return Reason::OutsideHours };
        let date = zone.to_datetime(case.at).date();
        let holiday = self.holidays.as_ref().and_then(|calendar| calendar.holiday(date));
        match holiday {
            Some(name) => Reason::ClosedHoliday(name.clone()),
            None if !self.has_day(date.weekday()) => Reason::ClosedWeekday(date.weekday()),
            None => Reason::OutsideHours,
        }
    }

    fn input(&self, case: &Case<'_>) -> String {
        let windows: Vec<String> = self.open.iter().map(Window::to_string).collect();
        let zone = self.zone.as_ref().or_else(|| case.place.zones().next());
        let clock = zone.map_or("no clock is known".to_owned(), |zone| {
            let reading = zone.to_datetime(case.at);
            let name = zone.iana_name().unwrap_or("a fixed offset");
            format!("{} {}, {:?} in {name}", reading.date(), &reading.time().to_string(), reading.weekday())
        });
        format!("{}; {clock}; open {}", case.place, windows.join(" and "))
    }
}

/// Asks every rule that holds.
pub(crate) fn check<L: Log>(rules: &Scoped<HoursRule>, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    let class = case.message.class;
    for (scope, rule) in rules.at(&case.place, case.message.channel, class) {
        let answer = if scope.has_class(class) { rule.answer(case) } else { Answer::permit(Reason::ClassExempt(class)) };
        tally.answer(&rule.rule, answer, || rule.input(case));
    }
}

/// The heads of the rules.
pub(crate) fn heads(rules: &Scoped<HoursRule>) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|(_, rule)| &rule.rule)
}
