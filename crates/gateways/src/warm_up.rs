//! Warm-ups: how many messages a new sending domain may send a day, growing from day to day, so that mailbox providers learn to know it.
//!
//! Providers say why and publish no numbers: Yahoo puts unusual traffic off with `421 4.7.0 [TS..]`
//! (<https://help.yahoo.com/kb/postmaster/SLN3326.html>). That one begins low and works up to larger volumes day by day is the advice of
//! large senders (<https://www.twilio.com/docs/sendgrid/concepts/reputation/warm-up-ip-addresses>); schedules that are published begin
//! with 50 to 100 messages and about double each day
//! (<https://www.connected.app/library/email-protocols/deliverability/articles/warming-up-ip-addresses-ui0acap>). So a first day and a
//! factor tell one.
//!
//! *Invariant:* nothing here counts or reads a clock. A day is a day of UTC.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::error::GatewayError;
use crate::pace::Destinations;
use crate::sms_config_read::line_of;

/// Warm-ups of one file: a domain is warmed up a few times in its life.
pub const WARM_UPS_MAX: usize = 200;
/// A day is at most so many times the day before. Published schedules about double; beyond this it is no warm-up.
pub const GROWTH_MAX: f64 = 5.0;
/// The least growth, so that a warm-up comes to its end.
pub const GROWTH_MIN: f64 = 1.05;

/// One warm-up: of all mail from a domain, or of that to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmUp {
    /// The domain of `From`, in lower case.
    pub domain: String,
    /// The operator (`google`, as in `data/rules/destinations.toml`) or domain that mail goes to; all of them where absent.
    pub destination: Option<String>,
    /// The first day. Nothing of a campaign leaves before.
    pub start: Date,
    /// Messages on the first day.
    pub first_day: u64,
    /// Each day's messages are so many times those of the day before.
    pub growth: f64,
    /// The warm-up is over on the first day that would have as many.
    pub until: u64,
}

impl WarmUp {
    /// What it is counted under, such as `news.shop.example` or `news.shop.example to google`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.destination {
            None => self.domain.clone(),
            Some(destination) => format!("{} to {destination}", self.domain),
        }
    }

    /// Messages that may leave on a day; `None` when the warm-up is over.
    #[must_use]
    pub fn allowance(&self, day: Date) -> Option<u64> {
        let days = day.since(self.start).map_or(0, |span| span.get_days());
        if days < 0 {
            return Some(0);
        }
        let most = self.first_day as f64 * self.growth.powi(days);
        (most < self.until as f64).then_some(most as u64)
    }

    /// The first day without a limit.
    #[must_use]
    pub fn over_on(&self) -> Date {
        let days = (self.until as f64 / self.first_day as f64).ln() / self.growth.ln();
        let guess = days.max(0.0).floor() as i64;
        // A logarithm may be off by the last digit.
        let day = |offset: i64| self.start.checked_add(jiff::Span::new().days(guess + offset)).unwrap_or(Date::MAX);
        (-1..=2).map(day).find(|day| *day >= self.start && self.allowance(*day).is_none()).unwrap_or(Date::MAX)
    }
}

/// The day of UTC that a moment is in.
#[must_use]
pub fn day_of(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

/// All warm-ups there are.
#[derive(Debug, Clone)]
pub struct WarmUps {
    list: Vec<WarmUp>,
    destinations: Destinations,
}

impl Default for WarmUps {
    fn default() -> Self {
        Self { list: Vec::new(), destinations: Destinations::built_in() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    warm_up: Vec<Spanned<RawWarmUp>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarmUp {
    domain: Spanned<String>,
    destination: Option<Spanned<String>>,
    start: Spanned<Datetime>,
    first_day: Spanned<u64>,
    growth: Spanned<f64>,
    until: Spanned<u64>,
}

impl WarmUps {
    /// Reads TOML: a list `[[warm_up]]`.
    ///
    /// # Errors
    /// [`GatewayError::Config`] with line, key and what to write.
    pub fn read(text: &str) -> Result<Self, GatewayError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| GatewayError::Config {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            field: "warm_up".to_owned(),
            problem: error.message().to_owned(),
        })?;
        if raw.warm_up.len() > WARM_UPS_MAX {
            let problem = format!("are {}; there may be {WARM_UPS_MAX}", raw.warm_up.len());
            return Err(GatewayError::Config { line: 1, field: "warm_up".to_owned(), problem });
        }
        let destinations = Destinations::built_in();
        let reader = Reader { text, destinations: &destinations };
        let (mut list, mut names) = (Vec::new(), HashSet::new());
        for entry in raw.warm_up {
            let at = entry.span().start;
            let warm_up = reader.warm_up(entry.into_inner())?;
            if !names.insert(warm_up.name()) {
                let problem = format!("there are two warm-ups of {}; write one", warm_up.name());
                return Err(GatewayError::Config { line: line_of(text, at), field: "warm_up".to_owned(), problem });
            }
            list.push(warm_up);
        }
        Ok(Self { list, destinations })
    }

    /// All of them, as they stand in the file.
    #[must_use]
    pub fn list(&self) -> &[WarmUp] {
        &self.list
    }

    /// Those of mail from this address.
    #[must_use]
    pub fn of_sender(&self, from: &str) -> Vec<&WarmUp> {
        let domain = from.rsplit_once('@').map_or(from, |(_, domain)| domain);
        self.list.iter().filter(|warm_up| warm_up.domain.eq_ignore_ascii_case(domain)).collect()
    }

    /// Whether a message to this address counts in the warm-up.
    #[must_use]
    pub fn counts(&self, warm_up: &WarmUp, to: &str) -> bool {
        warm_up.destination.as_ref().is_none_or(|destination| *destination == self.destinations.of(to))
    }
}

/// Where in the text something is wrong.
struct Reader<'a> {
    text: &'a str,
    destinations: &'a Destinations,
}

impl Reader<'_> {
    fn wrong(&self, at: usize, field: &str, problem: impl Into<String>) -> GatewayError {
        let field = format!("warm_up, {field}");
        GatewayError::Config { line: line_of(self.text, at), field, problem: problem.into() }
    }

    fn warm_up(&self, raw: RawWarmUp) -> Result<WarmUp, GatewayError> {
        let (at, domain) = (raw.domain.span().start, raw.domain.into_inner().to_ascii_lowercase());
        if !is_domain(&domain) {
            let problem = format!("`{domain}` is no domain; write `news.shop.example`, with `xn--` for other letters");
            return Err(self.wrong(at, "domain", problem));
        }
        let destination = raw.destination.map(|given| self.destination(given)).transpose()?;
        let start = self.day(&raw.start)?;
        let (first_day, growth, until) = (*raw.first_day.get_ref(), *raw.growth.get_ref(), *raw.until.get_ref());
        if first_day == 0 {
            let problem = "is 0; write how many messages leave on the first day";
            return Err(self.wrong(raw.first_day.span().start, "first_day", problem));
        }
        if !(GROWTH_MIN..=GROWTH_MAX).contains(&growth) {
            let problem = format!("is {growth}; write a factor from {GROWTH_MIN} to {GROWTH_MAX}, such as 1.5");
            return Err(self.wrong(raw.growth.span().start, "growth", problem));
        }
        if until <= first_day {
            let problem = format!("is {until}; write a day's messages above first_day, at which the warm-up is over");
            return Err(self.wrong(raw.until.span().start, "until", problem));
        }
        Ok(WarmUp { domain, destination, start, first_day, growth, until })
    }

    fn destination(&self, given: Spanned<String>) -> Result<String, GatewayError> {
        let (at, destination) = (given.span().start, given.into_inner().to_ascii_lowercase());
        // A domain of an operator would never be met: its mail is counted under the operator.
        let counted_as = self.destinations.of(&destination);
        let is_own_domain = counted_as == destination && is_domain(&destination);
        if is_own_domain || self.destinations.is_operator(&destination) {
            return Ok(destination);
        }
        let operator = if counted_as == destination { "google" } else { &counted_as };
        let problem =
            format!("`{destination}` is no destination; write an operator such as `{operator}`, or a domain of nobody's");
        Err(self.wrong(at, "destination", problem))
    }

    fn day(&self, given: &Spanned<Datetime>) -> Result<Date, GatewayError> {
        let read = match given.get_ref() {
            Datetime { date: Some(date), time: None, .. } => {
                Date::new(date.year as i16, date.month as i8, date.day as i8).map_err(|error| error.to_string())
            }
            _ => Err("is no day; write it without a time, such as 2026-12-01".to_owned()),
        };
        read.map_err(|problem| self.wrong(given.span().start, "start", problem))
    }
}

fn is_domain(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../data/samples/warm_up.toml");

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_more_than_the_day_before_until_it_is_over() {
        let all = WarmUps::read(SAMPLE).unwrap();
        let warm_up = &all.list()[0];
        let on = |day: &str| warm_up.allowance(date(day));
        assert_eq!([on("2026-11-30"), on("2026-12-01"), on("2026-12-02")], [Some(0), Some(500), Some(750)]);
        assert_eq!([on("2026-12-03"), on("2026-12-14")], [Some(1_125), Some(97_309)]);
        assert_eq!([on("2026-12-15"), on("2027-12-15")], [None, None], "145,964 is more than 100,000");
        assert_eq!(warm_up.over_on(), date("2026-12-15"));
        assert_eq!((warm_up.name(), all.list()[1].name()), ("news.shop.example".into(), "news.shop.example to yahoo".into()));
        let exact = WarmUp { first_day: 10, growth: 2.0, until: 80, ..warm_up.clone() };
        assert_eq!((exact.allowance(date("2026-12-03")), exact.over_on()), (Some(40), date("2026-12-04")));
        assert_eq!(day_of("2026-12-01T23:59:59.999999Z".parse().unwrap()), date("2026-12-01"));
    }

    #[test]
    fn a_message_counts_for_its_sender_and_its_destination() {
        let all = WarmUps::read(SAMPLE).unwrap();
        let names = |from: &str, to: &str| -> Vec<String> {
            let of = all.of_sender(from);
            of.into_iter().filter(|warm_up| all.counts(warm_up, to)).map(WarmUp::name).collect()
        };
        assert_eq!(names("a@NEWS.shop.example", "b@aol.com"), ["news.shop.example", "news.shop.example to yahoo"]);
        assert_eq!(names("a@news.shop.example", "b@gmail.com"), ["news.shop.example"]);
        assert!(names("a@shop.example", "b@gmail.com").is_empty());
        assert!(WarmUps::default().of_sender("a@news.shop.example").is_empty());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let check = |from: &str, to: &str, expect: &str| {
            let error = WarmUps::read(&SAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("first_day = 500", "first_day = 0", "line 8: warm_up, first_day: is 0");
        check("growth = 1.5", "growth = 1.0", "write a factor from 1.05 to 5");
        check("until = 100_000", "until = 500", "above first_day");
        check("until = 100_000", "untill = 500", "unknown field `untill`");
        check("start = 2026-12-01", "start = 2026-12-01T10:00:00Z", "without a time");
        check("domain = \"news.shop.example\"", "domain = \"shop\"", "`shop` is no domain");
        check("\"yahoo\"", "\"aol.com\"", "write an operator such as `yahoo`");
        check("\"yahoo\"", "\"nobody\"", "write an operator such as `google`");
        check("destination = \"yahoo\"\n", "", "two warm-ups of news.shop.example");
    }
}
