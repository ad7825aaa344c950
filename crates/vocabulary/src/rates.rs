//! Dated exchange rates to one base currency, and exact conversion by them.
//!
//! A rate is a fraction of whole numbers, never a float and never rounded: what was written as a decimal is kept digit
//! by digit, and a cross rate (two rates per euro, divided) keeps both. Only the converted amount is rounded, once, so
//! that the same order has the same cents on every machine and after every restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::money::{Currency, Money, MoneyError};
use crate::words::words;

/// The most digits a rate may have before and behind its point together, leading zeros of the whole part left out. 64
/// bits hold them, and a double written in full has 17.
pub const DIGITS_MAX: usize = 18;

/// For so many days a reference rate of the European Central Bank is used after its own. The ECB publishes on working
/// days "except on TARGET closing days" (its page "Euro foreign exchange reference rates"), which leaves at most five
/// days from one rate to the next, as from Maundy Thursday to the Tuesday after Easter or from 24 to 29 December; two
/// more are for a file that is fetched late. After that the ECB has stopped publishing the currency, or the file is an
/// old one, and an order of today must not be converted at last year's rate.
pub const ECB_DAYS_MAX: i32 = 7;

words!(
    /// Where a rate comes from, which decides how long it holds.
    RateSource {
        /// Written by the operator: it holds until the next rate of its currency, as for internal monthly rates.
        Own = "own",
        /// A reference rate of the European Central Bank: it holds until the next one and at most [`ECB_DAYS_MAX`] days.
        Ecb = "ecb",
    }
);

impl RateSource {
    /// The last day a rate of `date` may be used on.
    fn last_day(self, date: Date) -> Date {
        match self {
            Self::Own => Date::MAX,
            Self::Ecb => date.saturating_add(ECB_DAYS_MAX.days()),
        }
    }
}

/// What one unit of the base currency buys of another: an exact fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    numerator: i64,
    denominator: i64,
}

impl Ratio {
    /// The fraction of two positive numbers; `None` when one is not positive or the lowest terms leave 64 bits.
    #[must_use]
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if numerator <= 0 || denominator <= 0 {
            return None;
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        let term = |value: i128| i64::try_from(value / divisor).ok();
        Some(Self { numerator: term(numerator)?, denominator: term(denominator)? })
    }

    /// Reads a positive decimal number, digit by digit.
    ///
    /// # Errors
    /// [`MoneyError::BadRate`] when it is none or has more than [`DIGITS_MAX`] digits.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::BadRate(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || text.ends_with('.') || !is_digits(whole) || !is_digits(fraction) {
            return Err(bad());
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err(bad());
        }
        let numerator: i128 = format!("0{whole}{fraction}").parse().map_err(|_| bad())?;
        let denominator = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| bad())?);
        Self::new(numerator, denominator).ok_or_else(bad)
    }

    /// This rate over another of the same day and base: the rate of its currency where the other's is the base.
    #[must_use]
    pub fn over(self, other: Self) -> Option<Self> {
        let product = |a: i64, b: i64| i128::from(a) * i128::from(b);
        Self::new(product(self.numerator, other.denominator), product(self.denominator, other.numerator))
    }

    /// The upper term.
    #[must_use]
    pub fn numerator(self) -> i64 {
        self.numerator
    }

    /// The lower term.
    #[must_use]
    pub fn denominator(self) -> i64 {
        self.denominator
    }
}

/// The decimal number, exact where [`DIGITS_MAX`] places behind the point hold it, else rounded to so many. For people;
/// the terms are what converts.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_i128.pow(DIGITS_MAX as u32);
        let denominator = i128::from(self.denominator);
        let whole = i128::from(self.numerator) / denominator;
        let rest = i128::from(self.numerator) % denominator;
        let scaled = whole * scale + (rest * scale + denominator / 2) / denominator;
        let text = format!("{}.{:0width$}", scaled / scale, scaled % scale, width = DIGITS_MAX);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn greatest_common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// One rate, as a table keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The first day it holds.
    pub date: Date,
    /// The currency.
    pub currency: Currency,
    /// What one unit of the base currency buys of it.
    pub ratio: Ratio,
    /// Where it comes from.
    pub source: RateSource,
}

/// Days on which one currency converts otherwise than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSpan {
    /// The currency.
    pub currency: Currency,
    /// The first such day.
    pub first: Date,
    /// The last such day; [`Date::MAX`] where there is no end.
    pub last: Date,
}

/// Dated exchange rates to one base currency: how many units of a currency one unit of the base buys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    base: Currency,
    by_currency: BTreeMap<Currency, BTreeMap<Date, Held>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    ratio: Ratio,
    source: RateSource,
    /// The last day it may be used on if no other follows, kept because conversion asks for it every time.
    last: Date,
}

impl Rates {
    /// No rates but the base currency's own.
    #[must_use]
    pub fn new(base: Currency) -> Self {
        Self { base, by_currency: BTreeMap::new() }
    }

    /// The base currency.
    #[must_use]
    pub fn base(&self) -> Currency {
        self.base
    }

    /// Adds the operator's own rate of `currency` from `date` on: one unit of the base buys `rate` of it.
    ///
    /// # Errors
    /// [`MoneyError::BadRate`] when `rate` is not a positive decimal number of at most [`DIGITS_MAX`] digits, and
    /// [`MoneyError::BaseRate`] when the base currency is said not to be worth itself.
    pub fn insert(&mut self, currency: Currency, date: Date, rate: &str) -> Result<(), MoneyError> {
        self.put(Rate { date, currency, ratio: Ratio::parse(rate)?, source: RateSource::Own })
    }

    /// Adds one rate in place of what was known of its currency and date. One of the base currency to itself is passed
    /// over.
    ///
    /// # Errors
    /// [`MoneyError::BaseRate`] when the base currency is said not to be worth itself.
    pub fn put(&mut self, rate: Rate) -> Result<(), MoneyError> {
        let Rate { date, currency, ratio, source } = rate;
        if currency != self.base {
            let held = Held { ratio, source, last: source.last_day(date) };
            self.by_currency.entry(currency).or_default().insert(date, held);
        } else if ratio.numerator != ratio.denominator {
            return Err(MoneyError::BaseRate { base: self.base, rate: ratio.to_string() });
        }
        Ok(())
    }

    /// Every rate, by currency and date.
    pub fn iter(&self) -> impl Iterator<Item = Rate> + '_ {
        self.by_currency.iter().flat_map(|(&currency, by_day)| {
            by_day.iter().map(move |(&date, held)| Rate { date, currency, ratio: held.ratio, source: held.source })
        })
    }

    /// Whether no rate is known but the base currency's own.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_currency.is_empty()
    }

    /// The rate that `currency` is converted at on `date`: the newest of that day or before, as long as it holds.
    #[must_use]
    pub fn ratio(&self, currency: Currency, date: Date) -> Option<Ratio> {
        held_on(self.by_currency.get(&currency)?, date)
    }

    /// Converts to the base currency at the rate of that day, rounded half away from zero.
    ///
    /// `None` when no rate holds on that day, or when the amount in the base currency leaves 64 bits. A rate of 18 digits
    /// reaches the limits of the arithmetic earlier, at amounts of more than 10^15 major units.
    #[must_use]
    pub fn to_base(&self, money: Money, date: Date) -> Option<Money> {
        if money.currency == self.base {
            return Some(money);
        }
        let ratio = self.ratio(money.currency, date)?;
        let upper = i128::from(money.minor) * i128::from(self.base.minor_per_major());
        let numerator = upper.checked_mul(i128::from(ratio.denominator))?;
        let denominator = i128::from(ratio.numerator) * i128::from(money.currency.minor_per_major());
        let half = if numerator < 0 { -denominator / 2 } else { denominator / 2 };
        let minor = numerator.checked_add(half)? / denominator;
        i64::try_from(minor).ok().map(|minor| Money { minor, currency: self.base })
    }

    /// Takes over `newer`, which wins where both know a currency and date, and tells on which days which currency now
    /// converts otherwise than before: at another rate, for the first time or no more. By currency and day.
    ///
    /// # Errors
    /// [`MoneyError::OtherBase`] when `newer` converts to another base currency.
    pub fn merge(&mut self, newer: &Self) -> Result<Vec<RateSpan>, MoneyError> {
        if newer.base != self.base {
            return Err(MoneyError::OtherBase { base: self.base, given: newer.base });
        }
        let mut spans = Vec::new();
        for (&currency, newer) in &newer.by_currency {
            let Some(&first) = newer.keys().next() else { continue };
            let days = self.by_currency.entry(currency).or_default();
            let before = days.clone();
            days.extend(newer);
            spans.extend(changed(&before, days, first).into_iter().map(|(first, last)| RateSpan { currency, first, last }));
        }
        Ok(spans)
    }
}

/// The rate that holds on `date` among those of one currency.
fn held_on(by_day: &BTreeMap<Date, Held>, date: Date) -> Option<Ratio> {
    let (_, held) = by_day.range(..=date).next_back()?;
    (date <= held.last).then_some(held.ratio)
}

/// The days from `first` on, with it, on which a currency's rate can begin or end.
fn turns(by_day: &BTreeMap<Date, Held>, first: Date) -> impl Iterator<Item = Date> + '_ {
    let held_then = by_day.range(..first).next_back();
    let turns =
        held_then.into_iter().chain(by_day.range(first..)).flat_map(|(date, held)| [Some(*date), held.last.tomorrow().ok()]);
    turns.flatten().filter(move |day| *day >= first).chain([first])
}

/// The first and last days of the spans from `first` on in which a currency converts otherwise after than before.
/// Between two turns of either both rates stand still, so that one day speaks for all.
fn changed(before: &BTreeMap<Date, Held>, after: &BTreeMap<Date, Held>, first: Date) -> Vec<(Date, Date)> {
    let turns: BTreeSet<Date> = turns(before, first).chain(turns(after, first)).collect();
    let ends = turns.iter().skip(1).filter_map(|day| day.yesterday().ok()).chain([Date::MAX]);
    let mut spans: Vec<(Date, Date)> = Vec::new();
    for (&first, last) in turns.iter().zip(ends) {
        if held_on(before, first) == held_on(after, first) {
            continue;
        }
        match spans.last_mut().filter(|span| span.1.tomorrow().ok() == Some(first)) {
            Some(span) => span.1 = last,
            None => spans.push((first, last)),
        }
    }
    spans
}

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
