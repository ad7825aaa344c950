//! The calendar of a market, and what of it stands in the way of a campaign.

use jiff::civil::{Date, date};
use policy::{CampaignOutline, ConflictKind, Effect, OwnDay, Rules};
use vocabulary::{Channel, MessageClass};

fn rules() -> Rules {
    Rules::embedded().expect("the built-in rules are sound")
}

/// The first and last days of a day's comings between 2025 and 2026, then between 2027 and 2028, then in 2029 and 2030.
fn comings(rules: &Rules, market: &str, rule: &str) -> Vec<String> {
    let years = [(2025, 2026), (2027, 2028), (2029, 2030)];
    let days =
        years.into_iter().flat_map(|(first, last)| rules.calendar(market, None, date(first, 1, 1), date(last, 12, 31), &[]));
    let days = days.filter(|day| &*day.rule == rule);
    days.map(|day| if day.first == day.last { day.first.to_string() } else { format!("{}/{}", day.first, day.last) }).collect()
}

#[test]
fn festivals_fall_on_their_days() {
    let rules = rules();
    let check =
        |market: &str, rule: &str, expect: &[&str]| assert_eq!(comings(&rules, market, rule), expect, "{rule} in {market}");
    let black_fridays = ["2025-11-28", "2026-11-27", "2027-11-26", "2028-11-24", "2029-11-23", "2030-11-29"];
    check("US", "festival/black-friday", &black_fridays);
    check("BR", "festival/black-friday", &black_fridays);
    check("US", "festival/cyber-monday", &["2025-12-01", "2026-11-30", "2027-11-29", "2028-11-27", "2029-11-26", "2030-12-02"]);
    let carnivals = ["2025-02-28/2025-03-05", "2026-02-13/2026-02-18", "2027-02-05/2027-02-10", "2028-02-25/2028-03-01"];
    assert_eq!(comings(&rules, "BR", "festival/carnival")[..4], carnivals);
    assert_eq!(comings(&rules, "CN", "festival/double-eleven")[1], "2026-11-01/2026-11-11");
    assert_eq!(comings(&rules, "CN", "festival/six-eighteen")[1], "2026-06-01/2026-06-18");
    assert_eq!(comings(&rules, "AE", "festival/ramadan")[1..3], ["2026-02-18/2026-03-19", "2027-02-08/2027-03-08"]);
    assert_eq!(comings(&rules, "IN", "festival/diwali")[1], "2026-11-07/2026-11-09");
    assert_eq!(comings(&rules, "CN", "festival/lunar-new-year").len(), 6);
    assert_eq!(comings(&rules, "KR", "festival/chuseok")[1], "2026-09-24/2026-09-26");
    assert_eq!(comings(&rules, "GB", "festival/mothering-sunday")[1], "2026-03-15");
    assert!(comings(&rules, "DE", "festival/double-eleven").is_empty());
}

/// The lunar new year is a day later in Korea in 2027 and 2028, and a day earlier in Vietnam in 2030: the new moon comes close
/// to midnight.
#[test]
fn the_new_moon_depends_on_the_meridian() {
    let rules = rules();
    let eves = |market: &str, rule: &str| -> Vec<String> {
        comings(&rules, market, rule).into_iter().map(|span| span[..10].to_owned()).collect()
    };
    let china = eves("CN", "festival/lunar-new-year");
    assert_eq!(china, ["2025-01-28", "2026-02-16", "2027-02-05", "2028-01-25", "2029-02-12", "2030-02-02"]);
    assert_eq!(
        eves("KR", "festival/seollal"),
        ["2025-01-28", "2026-02-16", "2027-02-06", "2028-01-26", "2029-02-12", "2030-02-02"]
    );
    assert_eq!(eves("VN", "festival/tet"), ["2025-01-28", "2026-02-16", "2027-02-05", "2028-01-25", "2029-02-12", "2030-02-01"]);
}

#[test]
fn holidays_fall_on_their_days() {
    let rules = rules();
    let names = |market: &str, year: i16| -> Vec<String> {
        let days = rules.calendar(market, None, date(year, 1, 1), date(year, 12, 31), &[]);
        let days = days.into_iter().filter(|day| day.rule.starts_with("holidays/"));
        days.map(|day| format!("{} {}", day.first.strftime("%m-%d"), day.name)).collect()
    };
    assert_eq!(
        names("FR", 2027),
        [
            "01-01 Jour de l'an",
            "03-29 Lundi de Paques",
            "05-01 Fete du travail",
            "05-06 Ascension",
            "05-08 Victoire 1945",
            "05-17 Lundi de Pentecote",
            "07-14 Fete nationale",
            "08-15 Assomption",
            "11-01 Toussaint",
            "11-11 Armistice 1918",
            "12-25 Noel",
        ]
    );
    assert!(names("US", 2027).contains(&"12-24 Christmas Day".to_owned()), "a Saturday's holiday is kept on the Friday");
    assert!(names("US", 2027).contains(&"12-31 New Year's Day".to_owned()), "the new year's of 2028, a Saturday");
    assert!(names("ZA", 2027).contains(&"03-22 Human Rights Day".to_owned()));
    assert!(names("CO", 2027).contains(&"01-11 Reyes Magos".to_owned()));
    assert!(names("GB", 2027).contains(&"12-27 Christmas Day".to_owned()));
}

fn outline(market: &str, first: Date, last: Date, messages: u32) -> CampaignOutline<'_> {
    let (channel, class) = (Channel::Sms, MessageClass::Marketing);
    CampaignOutline { market, region: None, channel, class, first, last, messages }
}

fn told(rules: &Rules, campaign: &CampaignOutline<'_>, own: &[OwnDay]) -> Vec<String> {
    let conflicts = rules.conflicts(campaign, own);
    let line = |conflict: &policy::Conflict| {
        let what = match &conflict.what {
            ConflictKind::Day { name, effect } => format!("{name}, {effect}"),
            ConflictKind::ClosedHoliday { name } => format!("closed: {name}"),
            ConflictKind::ClosedWeekday { weekday } => format!("closed: {weekday:?}"),
            ConflictKind::Cap { limit, within, planned } => format!("{planned} in {within} where {limit} may be"),
            ConflictKind::DatesUnknown { name, last_year } => format!("{name} unknown after {last_year}"),
        };
        format!("{} {} {}: {what}", conflict.first.strftime("%m-%d"), conflict.last.strftime("%m-%d"), conflict.rule)
    };
    conflicts.iter().map(line).collect()
}

#[test]
fn conflicts_are_shown_before_planning() {
    let rules = rules();
    let own = [OwnDay {
        name: "stock-taking".to_owned(),
        market: Some("FR".to_owned()),
        first: date(2026, 11, 10),
        last: date(2026, 11, 20),
        effect: Effect::Pause,
    }];
    assert_eq!(
        told(&rules, &outline("FR", date(2026, 11, 11), date(2026, 11, 15), 5), &own),
        [
            "11-11 11-11 holidays/fr: Armistice 1918, free",
            "11-11 11-11 hours/fr: closed: Armistice 1918",
            "11-11 11-15 cap/sms-week: 5 in 7 days where 4 may be",
            "11-11 11-15 own: stock-taking, pause",
            "11-15 11-15 hours/fr: closed: Sunday",
        ]
    );
    assert_eq!(told(&rules, &outline("GB", date(2026, 11, 10), date(2026, 11, 12), 1), &own), Vec::<String>::new());
    assert_eq!(
        told(&rules, &outline("GB", date(2026, 11, 27), date(2026, 11, 28), 4), &[]),
        ["11-27 11-27 festival/black-friday: Black Friday, peak"],
    );
    assert_eq!(
        told(&rules, &outline("GB", date(2026, 11, 28), date(2026, 11, 28), 4), &[]),
        ["11-28 11-28 cap/sms-day: 4 in 24 hours where 3 may be"],
    );
}

/// A table of dates ends; that a date is unknown is told, not passed over.
#[test]
fn dates_beyond_the_tables_are_told_as_unknown() {
    let rules = rules();
    let told = told(&rules, &outline("AE", date(2031, 1, 10), date(2031, 1, 11), 1), &[]);
    assert!(told.contains(&"01-10 01-11 festival/ramadan: Ramadan unknown after 2030".to_owned()), "{told:?}");
}
