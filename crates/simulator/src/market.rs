//! The markets of the simulated world and its exchange rates.
//!
//! Countries, languages, time zones and currencies are real. Everything else — shares, tastes, baskets and above all the
//! exchange rates — belongs to this world alone and says nothing about the real one.

use jiff::civil::Date;
use serde::Serialize;

/// One country with its own taste.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Market {
    /// ISO 3166 alpha-2.
    pub country: &'static str,
    /// BCP 47; the language of its mails.
    pub language: &'static str,
    /// IANA names; its shoppers are spread evenly over them.
    pub time_zones: &'static [&'static str],
    /// ISO 4217.
    pub currency: &'static str,
    /// How many of a thousand contacts live here.
    pub share_per_mille: u32,
    /// How readily mails are opened, relative to the world.
    pub open_factor: f64,
    /// How readily an opened mail is clicked, relative to the world.
    pub click_factor: f64,
    /// How much more an opened mail with a benefit is clicked than a plain one.
    pub benefit_factor: f64,
    /// How readily something is bought, relative to the world.
    pub order_factor: f64,
    /// The mean basket in EUR.
    pub basket_eur: f64,
    /// What one EUR buys of the currency in this world, in millionths, around which [`rates`] move.
    rate_millionths: i64,
}

/// Every market, largest first. The shares add up to a thousand.
pub const MARKETS: &[Market] = &[
    market("DE", "de", &["Europe/Berlin"], 180, [1.02, 0.98, 1.60, 1.00], 62.0, ("EUR", 1_000_000)),
    market("US", "en", &["America/New_York", "America/Los_Angeles"], 160, [0.98, 1.05, 1.65, 1.04], 58.0, ("USD", 1_086_500)),
    market("JP", "ja", &["Asia/Tokyo"], 120, [1.04, 0.92, 1.50, 0.96], 54.0, ("JPY", 162_350_000)),
    market("GB", "en", &["Europe/London"], 110, [1.00, 1.00, 1.60, 1.02], 56.0, ("GBP", 842_700)),
    market("FR", "fr", &["Europe/Paris"], 110, [0.96, 1.02, 1.55, 0.98], 57.0, ("EUR", 1_000_000)),
    market("BR", "pt-BR", &["America/Sao_Paulo"], 90, [1.06, 1.06, 1.65, 0.94], 41.0, ("BRL", 6_121_000)),
    market("PL", "pl", &["Europe/Warsaw"], 80, [1.00, 0.95, 1.60, 1.00], 45.0, ("PLN", 4_263_000)),
    market("MX", "es", &["America/Mexico_City"], 60, [1.05, 1.04, 1.60, 0.95], 43.0, ("MXN", 20_310_000)),
    market("IN", "en", &["Asia/Kolkata"], 50, [0.94, 1.08, 1.65, 0.93], 36.0, ("INR", 94_480_000)),
    market("AU", "en", &["Australia/Sydney"], 40, [0.97, 1.00, 1.50, 1.05], 60.0, ("AUD", 1_704_000)),
];

/// `factors` are open, click, benefit, order; `money` is the currency and its rate.
const fn market(
    country: &'static str,
    language: &'static str,
    time_zones: &'static [&'static str],
    share_per_mille: u32,
    factors: [f64; 4],
    basket_eur: f64,
    money: (&'static str, i64),
) -> Market {
    let [open_factor, click_factor, benefit_factor, order_factor] = factors;
    let (currency, rate_millionths) = money;
    Market {
        country,
        language,
        time_zones,
        currency,
        share_per_mille,
        open_factor,
        click_factor,
        benefit_factor,
        order_factor,
        basket_eur,
        rate_millionths,
    }
}

/// One dated exchange rate of the simulated world.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RateRow {
    /// ISO 4217.
    pub currency: &'static str,
    /// The day from which it holds.
    pub date: Date,
    /// What one EUR buys of the currency, as a decimal number.
    pub rate: String,
}

/// The world's own exchange rates, one a day and currency from `first` on, by currency and then date. They swing by at
/// most one per cent, each currency at its own pace, and are exact decimals, so that every machine makes the same cents.
#[must_use]
pub fn rates(first: Date, days: u32) -> Vec<RateRow> {
    let mut foreign: Vec<&Market> = MARKETS.iter().filter(|market| market.currency != "EUR").collect();
    foreign.sort_by_key(|market| market.currency);
    foreign.dedup_by_key(|market| market.currency);
    let dates: Vec<Date> = first.series(jiff::ToSpan::days(1)).take(days as usize).collect();
    let row =
        |market: &Market, date: Date| RateRow { currency: market.currency, date, rate: decimal(rate_millionths(market, date)) };
    foreign.iter().flat_map(|market| dates.iter().map(|date| row(market, *date))).collect()
}

/// What one EUR buys of the market's currency on that day.
#[must_use]
pub fn rate(market: &Market, date: Date) -> f64 {
    rate_millionths(market, date) as f64 / 1e6
}

fn rate_millionths(market: &Market, date: Date) -> i64 {
    if market.currency == "EUR" {
        return market.rate_millionths;
    }
    // A triangle between -10 and +10 per mille; the period differs by currency.
    let letters: i64 = market.currency.bytes().map(i64::from).sum();
    let half = 11 + letters % 7;
    let day = (i64::from(date.year()) * 366 + i64::from(date.day_of_year()) + letters).rem_euclid(2 * half);
    let per_mille = 20 * (half - (day - half).abs()) / half - 10;
    market.rate_millionths * (1000 + per_mille) / 1000
}

fn decimal(millionths: i64) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use vocabulary::{Currency, Money, Rates};

    use super::*;

    #[test]
    fn the_markets_are_a_world() {
        assert!(MARKETS.len() >= 8);
        assert_eq!(MARKETS.iter().map(|market| market.share_per_mille).sum::<u32>(), 1000);
        let countries: BTreeSet<_> = MARKETS.iter().map(|market| market.country).collect();
        assert_eq!(countries.len(), MARKETS.len());
        for market in MARKETS {
            Currency::new(market.currency).unwrap();
            for zone in market.time_zones {
                TimeZone::get(zone).unwrap();
            }
        }
    }

    #[test]
    fn the_rates_move_a_little_and_convert_back() {
        let rows = rates(date(2026, 2, 20), 40);
        assert_eq!(rows.len(), 40 * 8, "eight currencies besides EUR");
        let mut table = Rates::new(Currency::new("EUR").unwrap());
        for row in &rows {
            table.insert(Currency::new(row.currency).unwrap(), row.date, &row.rate).unwrap();
        }
        for market in MARKETS {
            let day = date(2026, 3, 9);
            let currency = Currency::new(market.currency).unwrap();
            let local = 50.0 * rate(market, day) * currency.minor_per_major() as f64;
            let back = table.to_base(Money { minor: local.round() as i64, currency }, day).unwrap();
            assert!((back.major() - 50.0).abs() < 0.02, "{} comes back as {back}", market.country);
            let span = rows.iter().filter(|row| row.currency == market.currency).map(|row| &row.rate).collect::<BTreeSet<_>>();
            assert!(market.currency == "EUR" || span.len() > 3, "{} stands still", market.currency);
        }
    }

    #[test]
    fn decimals_keep_their_zeros() {
        let check = |millionths, expect: &str| assert_eq!(decimal(millionths), expect);
        check(1_086_500, "1.086500");
        check(842_007, "0.842007");
        check(162_350_000, "162.350000");
    }
}
