//! The calendar of a market: shopping festivals, public holidays and the sender's own days, and what of it stands in the way
//! of a campaign.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};
use vocabulary::words::words;
use vocabulary::{Channel, MessageClass};

use crate::dates::DateRule;
use crate::error::RulesError;
use crate::place::{Area, Atlas, Country, Region};
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::rules::Rules;

/// The longest span that is looked at, in days: a table of ten years is no calendar of a campaign.
pub const SPAN_DAYS_MAX: i32 = 800;

words!(
    /// What a day means for a campaign.
    Effect {
        /// Everybody sends: networks are slow and inboxes full, and people buy.
        Peak = "peak",
        /// Mind the tone, the goods and the hour.
        Care = "care",
        /// Better not to advertise.
        Pause = "pause",
        /// People are free.
        Free = "free",
    }
);

/// A shopping festival or another day that matters to senders.
#[derive(Debug)]
pub(crate) struct Festival {
    pub(crate) rule: Rule,
    area: Area,
    day: DateRule,
    effect: Effect,
}

/// Reads `festivals.toml`.
pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas) -> Result<Vec<Festival>, RulesError> {
    let head = FileHead::read(&mut file)?;
    let mut festivals = Vec::new();
    for mut section in file.tables("festival")? {
        let (rule, area) = (Rule::read(&mut section, head)?, atlas.area(&mut section)?);
        let (day, effect) = (DateRule::read(&mut section)?, section.word("effect")?);
        let effect = effect.ok_or_else(|| section.wrong("effect", "is missing; write peak, care, pause or free"))?;
        section.finish()?;
        festivals.push(Festival { rule, area, day, effect });
    }
    file.finish()?;
    Ok(festivals)
}

/// A day of the sender's own: a birthday of the shop, a freeze, a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDay {
    /// What people call it.
    pub name: String,
    /// ISO 3166 alpha-2 country; every market when `None`.
    #[serde(default)]
    pub market: Option<String>,
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
    /// What it means.
    pub effect: Effect,
}

/// One coming of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarDay {
    /// The rule that gives the day, such as `festival/diwali`; `own` for the sender's own.
    pub rule: Arc<str>,
    /// The version of that rule.
    pub version: u32,
    /// What people call it.
    pub name: Arc<str>,
    /// What it means.
    pub effect: Effect,
    /// The first day, by the local calendar.
    pub first: Date,
    /// The last day.
    pub last: Date,
    /// Whether the date could be compared with a source.
    pub verified: bool,
}

/// A campaign before it is planned.
#[derive(Debug, Clone, Copy)]
pub struct CampaignOutline<'a> {
    /// ISO 3166 alpha-2 country.
    pub market: &'a str,
    /// The part of the country after the hyphen of ISO 3166-2; every part when `None`.
    pub region: Option<&'a str>,
    /// By which channel.
    pub channel: Channel,
    /// Of which class.
    pub class: MessageClass,
    /// The first day on which messages leave.
    pub first: Date,
    /// The last day.
    pub last: Date,
    /// How many messages each contact is meant to get.
    pub messages: u32,
}

/// Something in the way of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The rule.
    pub rule: Arc<str>,
    /// Its version.
    pub version: u32,
    /// The first day of it within the campaign.
    pub first: Date,
    /// The last day of it within the campaign.
    pub last: Date,
    /// What it is.
    pub what: ConflictKind,
}

/// What can stand in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictKind {
    /// A festival, a holiday or a day of the sender's own.
    Day {
        /// What people call it.
        name: Arc<str>,
        /// What it means.
        effect: Effect,
    },
    /// A holiday on which nothing may be sent.
    ClosedHoliday {
        /// What people call it.
        name: Arc<str>,
    },
    /// A weekday on which nothing may be sent.
    ClosedWeekday {
        /// Which.
        weekday: Weekday,
    },
    /// More messages than a cap allows, even to contacts who got nothing else.
    Cap {
        /// How many there may be.
        limit: u32,
        /// Within which time, in words.
        within: String,
        /// How many fall into that time, spread evenly.
        planned: u32,
    },
    /// A day whose dates are not known so far ahead.
    DatesUnknown {
        /// What people call it.
        name: Arc<str>,
        /// The last year that the table has.
        last_year: i16,
    },
}

fn holds(area: &Area, country: Option<Country>, region: Option<Region>) -> bool {
    let is_at = |(one, part): &(Country, Option<Region>)| {
        Some(*one) == country && (part.is_none() || region.is_none() || *part == region)
    };
    match area {
        Area::All => true,
        Area::Otherwise => false,
        Area::Places(places) => places.iter().any(is_at),
    }
}

/// All days of rules that hold at a place, with their heads.
fn day_rules(
    rules: &Rules,
    country: Option<Country>,
    region: Option<Region>,
) -> impl Iterator<Item = (&Rule, &DateRule, Effect)> {
    let festivals = rules.festivals.iter().filter(move |festival| holds(&festival.area, country, region));
    let festivals = festivals.map(|festival| (&festival.rule, &festival.day, festival.effect));
    let calendars = rules.holidays.calendars.iter().filter(move |calendar| holds(&calendar.area, country, region));
    let days = calendars.flat_map(|calendar| calendar.days.iter().map(|day| (&calendar.rule, day, Effect::Free)));
    festivals.chain(days)
}

impl Rules {
    /// The days of a market from one day to another, both included and at most [`SPAN_DAYS_MAX`] apart, in the order in which
    /// they begin. `market` is an ISO 3166 alpha-2 country.
    #[must_use]
    pub fn calendar(&self, market: &str, region: Option<&str>, from: Date, until: Date, own: &[OwnDay]) -> Vec<CalendarDay> {
        let until = from.checked_add(SPAN_DAYS_MAX.days()).map_or(until, |most| until.min(most));
        let (country, region) = (Country::new(market), region.and_then(Region::new));
        let mut days = Vec::new();
        for (rule, day, effect) in day_rules(self, country, region) {
            days.extend(day.between(from, until).map(|(first, last)| CalendarDay {
                rule: rule.id.clone(),
                version: rule.version,
                name: day.name.clone(),
                effect,
                first,
                last,
                verified: rule.verified,
            }));
        }
        let is_here = |own: &&OwnDay| own.market.as_deref().is_none_or(|market| Country::new(market) == country);
        let own = own.iter().filter(is_here).filter(|own| own.first <= until && from <= own.last);
        days.extend(own.map(|own| CalendarDay {
            rule: Arc::from("own"),
            version: 0,
            name: Arc::from(own.name.as_str()),
            effect: own.effect,
            first: own.first,
            last: own.last,
            verified: true,
        }));
        days.sort_by(|one, other| (one.first, one.last, &one.rule).cmp(&(other.first, other.last, &other.rule)));
        days
    }

    /// What stands in the way of a campaign, before it is planned: days of the calendar, days on which nothing may be sent,
    /// and caps that it breaks by itself. In the order of days.
    #[must_use]
    pub fn conflicts(&self, campaign: &CampaignOutline<'_>, own: &[OwnDay]) -> Vec<Conflict> {
        let last = campaign.first.checked_add(SPAN_DAYS_MAX.days()).map_or(campaign.last, |most| campaign.last.min(most));
        let campaign = CampaignOutline { last, ..*campaign };
        let within = |first: Date, last: Date| (first.max(campaign.first), last.min(campaign.last));
        let mut conflicts = Vec::new();
        for day in self.calendar(campaign.market, campaign.region, campaign.first, campaign.last, own) {
            let (first, last) = within(day.first, day.last);
            let what = ConflictKind::Day { name: day.name, effect: day.effect };
            conflicts.push(Conflict { rule: day.rule, version: day.version, first, last, what });
        }
        self.add_unknown_dates(&campaign, &mut conflicts);
        self.add_closed_days(&campaign, &mut conflicts);
        self.add_caps(&campaign, &mut conflicts);
        conflicts.sort_by(|one, other| (one.first, one.last, &one.rule).cmp(&(other.first, other.last, &other.rule)));
        conflicts
    }

    fn add_unknown_dates(&self, campaign: &CampaignOutline<'_>, conflicts: &mut Vec<Conflict>) {
        let (country, region) = (Country::new(campaign.market), campaign.region.and_then(Region::new));
        for (rule, day, _) in day_rules(self, country, region) {
            if let Some(last_year) = day.last_year().filter(|last_year| *last_year < campaign.last.year()) {
                let what = ConflictKind::DatesUnknown { name: day.name.clone(), last_year };
                let first = campaign.first.max(Date::new(last_year + 1, 1, 1).unwrap_or(campaign.first));
                conflicts.push(Conflict { rule: rule.id.clone(), version: rule.version, first, last: campaign.last, what });
            }
        }
    }

    fn add_closed_days(&self, campaign: &CampaignOutline<'_>, conflicts: &mut Vec<Conflict>) {
        let (country, region) = (Country::new(campaign.market), campaign.region.and_then(Region::new));
        let applies = |scope: &crate::scope::Scope| {
            holds(&scope.area, country, region) && scope.has_channel(campaign.channel) && scope.has_class(campaign.class)
        };
        for (_, hours) in self.hours.iter().filter(|(scope, _)| applies(scope)) {
            for date in campaign.first.series(1.day()).take_while(|date| *date <= campaign.last) {
                let holiday = hours.holidays.as_ref().and_then(|calendar| calendar.holiday(date));
                let what = match holiday {
                    Some(name) => ConflictKind::ClosedHoliday { name: name.clone() },
                    None if !hours.has_day(date.weekday()) => ConflictKind::ClosedWeekday { weekday: date.weekday() },
                    None => continue,
                };
                let (rule, version) = (hours.rule.id.clone(), hours.rule.version);
                conflicts.push(Conflict { rule, version, first: date, last: date, what });
            }
        }
    }

    fn add_caps(&self, campaign: &CampaignOutline<'_>, conflicts: &mut Vec<Conflict>) {
        const SECONDS_PER_DAY: i64 = 86_400;
        let (country, region) = (Country::new(campaign.market), campaign.region.and_then(Region::new));
        let days = campaign.first.until(campaign.last).map_or(0, |span| i64::from(span.get_days())) + 1;
        for (scope, cap) in self.caps.iter() {
            let applies =
                holds(&scope.area, country, region) && scope.has_channel(campaign.channel) && scope.has_class(campaign.class);
            let within = cap.window.0.as_secs();
            // Less than a day is a matter of the hour, not of the calendar; and a campaign may have contents enough.
            if !applies || within < SECONDS_PER_DAY || cap.counts == crate::caps::Counts::Content || days < 1 {
                continue;
            }
            let span = (days * SECONDS_PER_DAY).max(within);
            let planned = (i64::from(campaign.messages) * within + span - 1) / span;
            let planned = u32::try_from(planned).unwrap_or(u32::MAX);
            if planned > cap.limit {
                let what = ConflictKind::Cap { limit: cap.limit, within: cap.window.to_string(), planned };
                let (rule, version) = (cap.rule.id.clone(), cap.rule.version);
                conflicts.push(Conflict { rule, version, first: campaign.first, last: campaign.last, what });
            }
        }
    }
}
