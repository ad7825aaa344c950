//! Tests of [`super`]: the files as they are published, and what is said of files that are not so.

use jiff::civil::date;

use super::*;
use crate::{Money, Rate};

/// The form of the ECB's history: a comma ends each line, `N/A` stands where there is no rate, the newest day is first.
const HISTORY: &str = "Date,USD,JPY,CYP,GBP,HRK,ISK,\n\
                       2026-11-27,1.25,160.5,N/A,0.875,N/A,140.1,\n\
                       2026-11-26,1.2,160,N/A,0.87,N/A,N/A,\n\
                       2008-01-02,N/A,163.1,0.585274,0.74,7.3,90,\n";
/// The form of its daily file: a comma and a blank between fields and at the end of lines.
const DAILY: &str = "Date, USD, JPY, GBP, \n27 November 2026, 1.2500, 160.50, 0.87500, \n";

fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

fn good(text: &str, base: &str) -> Rates {
    read(text, currency(base)).unwrap_or_else(|error| panic!("{error}"))
}

fn rows(rates: &Rates) -> Vec<String> {
    let row = |Rate { date, currency, ratio, source }: Rate| format!("{date} {currency} {ratio} {source}");
    rates.iter().map(row).collect()
}

#[test]
fn the_history_of_the_ecb_is_read() {
    let expect = [
        "2008-01-02 GBP 0.74 ecb",
        "2026-11-26 GBP 0.87 ecb",
        "2026-11-27 GBP 0.875 ecb",
        "2008-01-02 ISK 90 ecb",
        "2026-11-27 ISK 140.1 ecb",
        "2008-01-02 JPY 163.1 ecb",
        "2026-11-26 JPY 160 ecb",
        "2026-11-27 JPY 160.5 ecb",
        "2026-11-26 USD 1.2 ecb",
        "2026-11-27 USD 1.25 ecb",
    ];
    assert_eq!(rows(&good(HISTORY, "EUR")), expect);
    let windows = format!("\u{feff}{}", HISTORY.replace('\n', "\r\n"));
    assert_eq!(rows(&good(&windows, "EUR")), expect, "line ends and byte order mark of Windows");
}

#[test]
fn the_daily_file_of_the_ecb_is_read() {
    let expect = ["2026-11-27 GBP 0.875 ecb", "2026-11-27 JPY 160.5 ecb", "2026-11-27 USD 1.25 ecb"];
    assert_eq!(rows(&good(DAILY, "EUR")), expect);
    assert_eq!(good("Date, USD, \n3 May 2026, 1.1, \n", "EUR").iter().next().unwrap().date, date(2026, 5, 3));
}

#[test]
fn another_base_is_reached_through_the_euro() {
    let rates = good(HISTORY, "USD");
    let expect = [
        "2026-11-26 EUR 0.833333333333333333 ecb",
        "2026-11-27 EUR 0.8 ecb",
        "2026-11-26 GBP 0.725 ecb",
        "2026-11-27 GBP 0.7 ecb",
        "2026-11-27 ISK 112.08 ecb",
        "2026-11-26 JPY 133.333333333333333333 ecb",
        "2026-11-27 JPY 128.4 ecb",
    ];
    assert_eq!(rows(&rates), expect, "and none of 2008, when the dollar has no rate here");
    let check = |minor, code, day, expect: i64| {
        assert_eq!(rates.to_base(Money { minor, currency: currency(code) }, day).unwrap().minor, expect, "{minor} {code}");
    };
    // Thirds are exact: 1,000,000,000,000 euros of 26 November are 1,200,000,000,000 dollars, 400 yen are 3.
    check(100_000_000_000_000, "EUR", date(2026, 11, 26), 120_000_000_000_000);
    check(400, "JPY", date(2026, 11, 26), 300);
    check(100, "JPY", date(2026, 11, 26), 75);
    check(700, "GBP", date(2026, 11, 29), 1_000);
}

#[test]
fn our_own_files_are_read_with_and_without_header() {
    let expect = ["2026-01-03 JPY 157 own", "2026-01-02 USD 1.0842 own"];
    let check = |text: &str| assert_eq!(rows(&good(text, "EUR")), expect, "{text:?}");
    check("date,currency,rate\n2026-01-02,USD,1.0842\n2026-01-03,JPY,157\n");
    check("2026-01-02,USD,1.0842\n2026-01-03,JPY,157");
    check("\nDate, Currency, Rate\r\n\"2026-01-02\", \"USD\", 1.0842\r\n\r\n2026-01-03,JPY,157,\r\n");
    check("date,currency,rate\n2026-01-02,USD,1.0842\n2026-01-02,USD,1.08420\n2026-01-03,JPY,157\n2026-01-03,EUR,1\n");
}

/// Every fault of `text`, one a line, begins with what is expected of it.
fn bad(text: &str, base: &str, expect: &[&str]) {
    let error = read(text, currency(base)).expect_err(text).to_string();
    let lines: Vec<&str> = error.lines().collect();
    let same = lines.len() == expect.len() && lines.iter().zip(expect).all(|(line, expect)| line.starts_with(expect));
    assert!(same, "{text:?} gives {lines:#?}, expected {expect:#?}");
}

#[test]
fn faults_of_our_own_files_name_line_and_column() {
    let with = |lines: &str| format!("date,currency,rate\n{lines}");
    bad(
        &with(
            "2026-01-02,USD,1.08\n02.01.2026,USD,1.08\n2026-01-02,usd,1.08\n2026-01-02,GBP,0\n2026-01-02,GBP\n2026-01-02,GBP,1,5\n",
        ),
        "EUR",
        &[
            "line 3, column 1: `02.01.2026` is no date; write year, month and day, such as 2026-01-02",
            "line 4, column 2: `usd` is no ISO 4217 currency code",
            "line 5, column 3: the rate `0` must be a positive decimal number",
            "line 6: has 2 columns; expected `date,currency,rate`",
            "line 7: has 4 columns; expected `date,currency,rate`",
        ],
    );
    bad(
        &with("2026-01-02,USD,1.08\n\n2026-01-02,USD,1.09\n"),
        "EUR",
        &["line 4, column 3: line 2 says 1.08 for USD on 2026-01-02"],
    );
    // The usual mistake: rates per euro in a folder that keeps dollars.
    bad(&with("2026-01-02,USD,1.08\n"), "USD", &["line 2, column 3: one USD is one USD, not `1.08`"]);
    bad(&with(""), "EUR", &["line 1: no line has a rate to EUR"]);
}

#[test]
fn faults_of_the_ecbs_files_name_line_and_column() {
    bad(
        "Date,USD,JPY,\n2026-11-27,1.2,x,\nyesterday,1,2,\n2026-11-26,1.2,\n2026-11-25,1,2,3,\n2026-11-27,1,2,\n2026-11-24,0,N/A,\n",
        "EUR",
        &[
            "line 2, column 3: JPY: the rate `x` must be a positive decimal number",
            "line 3, column 1: `yesterday` is no date; write 2026-11-27 or 27 November 2026",
            "line 5: has 4 rates, but the first line names 2 currencies",
            "line 6, column 1: line 2 has the rates of 2026-11-27 already",
            "line 7, column 2: USD: the rate `0` must be a positive decimal number",
        ],
    );
    bad("Date,USD,JPY\n2026-11-27,1.2\n", "EUR", &["line 2: has 1 rates, but the first line names 2 currencies"]);
    bad("Date,USD,yen\n", "EUR", &["line 1, column 3: `yen` is no currency code"]);
    bad("Date,USD,USD\n", "EUR", &["line 1, column 3: USD has two columns"]);
    bad("Date,USD,EUR\n", "EUR", &["line 1, column 3: the ECB's rates are for one EUR"]);
    bad("Date,USD\n2026-11-27,1.2\n", "SAR", &["line 1: there is no column of SAR, the base currency"]);
    bad("Date,USD,SAR\n2026-11-27,1.2,N/A\n", "SAR", &["line 1: no line has a rate to SAR"]);
    bad(
        "Date,USD,JPY\n2026-11-27,1.00000000000000001,160.123456789\n",
        "USD",
        &["line 2, column 3: JPY: has too many digits to be divided by the rate of USD"],
    );
}

#[test]
fn other_files_are_told_what_is_expected() {
    bad("", "EUR", &["line 1: the file is empty; expected `date,currency,rate`"]);
    bad("\n \n", "EUR", &["line 1: the file is empty"]);
    bad("<?xml version=\"1.0\"?>\n", "EUR", &["line 1: this is XML; take the ECB's CSV"]);
    bad("\ndate;currency;rate\n", "EUR", &["line 2, column 1: `date;currency;rate` does not begin a file of rates"]);
    bad("date,rate,currency\n", "EUR", &["line 1, column 2: `rate` is no currency code", "line 1, column 3: `currency` is"]);
}

#[test]
fn many_faults_are_counted() {
    let text = "2026-01-02,USD,?\n".repeat(FAULTS_MAX + 5);
    let error = read(&text, currency("EUR")).unwrap_err();
    assert_eq!((error.faults.len(), error.more), (FAULTS_MAX, 5));
    assert!(error.to_string().ends_with("\nand 5 more"), "{error}");
}

proptest::proptest! {
    /// Whatever stands in the file, the answer is rates or a fault that says something.
    #[test]
    fn nothing_panics(text in "(Date,USD,JPY,\n|date,currency,rate\n|)([0-9A-Z/., \n-]{0,30}|2026-11-2[0-9],[0-9.]{1,20},N/A,\n){0,4}") {
        if let Err(error) = read(&text, currency("USD")) {
            proptest::prop_assert!(!error.faults.is_empty() && error.faults.iter().all(|fault| !fault.reason.is_empty()));
        }
    }
}
