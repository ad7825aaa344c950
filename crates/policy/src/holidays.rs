//! Public holidays by calendar.

use std::sync::Arc;

use jiff::civil::Date;

use crate::dates::DateRule;
use crate::error::RulesError;
use crate::place::{Area, Atlas};
use crate::reader::Section;
use crate::rule::{FileHead, Rule};

/// The holidays of a country or a part of one.
#[derive(Debug)]
pub(crate) struct HolidayCalendar {
    pub(crate) rule: Rule,
    pub(crate) area: Area,
    pub(crate) days: Vec<DateRule>,
}

impl HolidayCalendar {
    /// The name of the holiday that a date is.
    pub(crate) fn holiday(&self, date: Date) -> Option<&Arc<str>> {
        self.days.iter().find(|day| day.has(date)).map(|day| &day.name)
    }
}

/// All calendars.
#[derive(Debug)]
pub(crate) struct Holidays {
    pub(crate) calendars: Vec<Arc<HolidayCalendar>>,
}

impl Holidays {
    /// Reads `holidays.toml`.
    pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas) -> Result<Self, RulesError> {
        let head = FileHead::read(&mut file)?;
        let mut calendars = Vec::new();
        for mut section in file.tables("calendar")? {
            let rule = Rule::read(&mut section, head)?;
            let area = atlas.area(&mut section)?;
            let mut days = Vec::new();
            for mut day in section.tables("days")? {
                days.push(DateRule::read(&mut day)?);
                day.finish()?;
            }
            if days.is_empty() {
                return Err(section.wrong("days", "is missing; write days = [{ name = \"New Year\", on = \"01-01\" }]"));
            }
            section.finish()?;
            calendars.push(Arc::new(HolidayCalendar { rule, area, days }));
        }
        file.finish()?;
        Ok(Self { calendars })
    }

    /// The calendar of a name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<HolidayCalendar>> {
        self.calendars.iter().find(|calendar| &*calendar.rule.id == name).cloned()
    }
}
