//! What readers see, letter by letter. `_` stands for a no-break space, `^` for a narrow one, `>` and `<` for the marks of right
//! and left, so that they can be seen here.

use std::collections::BTreeMap;

use vocabulary::{Channel, Copy, Profile};

use crate::testing::{context, reader};
use crate::{ContentError, Data, Library};

fn written(tag: &str, zone: Option<&str>, template: &str) -> Result<String, ContentError> {
    let language = tag.split('-').next().map(str::to_owned);
    let language = if tag.starts_with("zh-Hant") { Some("zh-Hant".to_owned()) } else { language };
    let copy = Copy { text: template.to_owned(), language, ..Copy::default() };
    let library = Library::compile(&BTreeMap::from([("a".to_owned(), copy)]), Channel::Sms)?;
    let profile = Profile { language: Some(tag.into()), time_zone: zone.map(str::to_owned), ..Profile::default() };
    library.render("a", &context(&reader(profile), &Data::default())).map(|rendered| rendered.text)
}

fn seen(text: &str) -> String {
    text.replace('\u{a0}', "_").replace('\u{202f}', "^").replace('\u{200f}', ">").replace('\u{200e}', "<")
}

fn check(tag: &str, template: &str, expect: &str) {
    assert_eq!(seen(&written(tag, None, template).unwrap()), expect, "{tag} {template}");
}

#[test]
fn amounts() {
    check("zh-Hant-HK", "{{ 1299.5 | money('HKD') }}", "HK$1,299.50");
    check("zh-Hant-HK", "{{ -1299.5 | money('USD') }}", "-US$1,299.50");
    check("zh-CN", "{{ 1299.5 | money('CNY') }}", "¥1,299.50");
    check("ar-AE", "{{ 1299.5 | money('AED') }}", ">1,299.50_د.إ.>");
    check("ar-EG", "{{ 1299.5 | money('EGP') }}", ">١٬٢٩٩٫٥٠_ج.م.>");
    check("pt-BR", "{{ '1299.50' | money('BRL') }}", "R$_1.299,50");
    check("pt-PT", "{{ 12999.5 | money('EUR') }}", "12_999,50_€");
    check("ja-JP", "{{ 1299 | money('JPY') }}", "￥1,299");
    check("de-DE", "{{ 1299.5 | money('EUR') }}", "1.299,50_€");
    check("de-CH", "{{ 1299.5 | money('CHF') }}", "CHF_1'299.50");
    check("fr-FR", "{{ 1299.5 | money('EUR') }}", "1^299,50_€");
    check("en-IN", "{{ 1299500.5 | money('INR') }}", "₹12,99,500.50");
    check("en-US", "{{ 1299.5 | money('JPY') }}", "¥1,300");
    check("pl", "{{ 1299.5 | money('PLN') }}", "1299,50_zł");
    check("en-US", "{{ 5 | money('XPF') }}", "CFPF_5");
    check("en-US", "{{ 5 | money('CHF') }}", "CHF_5.00");
}

#[test]
fn decimals_are_those_of_iso_4217() {
    check("en-US", "{{ 1.5 | money('KWD') }}", "KWD_1.500");
    check("en-US", "{{ 1.5 | money('IQD') }}", "IQD_1.500");
    check("en-US", "{{ 1.005 | money('USD') }}", "$1.01");
    check("ja-JP", "{{ 129950 | money_minor('JPY') }}", "￥129,950");
    check("de-DE", "{{ 129950 | money_minor('EUR') }}", "1.299,50_€");
    check("en-US", "{{ '1500' | money_minor('KWD') }}", "KWD_1.500");
    check("en-US", "{{ -5 | money_minor('USD') }}", "-$0.05");
}

#[test]
fn numbers_and_shares() {
    check("en-IN", "{{ 1234567.8 | number }}", "12,34,567.8");
    check("de-DE", "{{ 1234567.8912 | number }}", "1.234.567,891");
    check("de-DE", "{{ '12.50' | number }}", "12,5");
    check("de-DE", "{{ '007' | number }}", "7");
    check("ar-AE", "{{ 1234 | number }}", "1,234");
    check("ar-EG", "{{ 1234 | number }}", "١٬٢٣٤");
    check("pl", "{{ 1234 | number }}", "1234");
    check("pl", "{{ 12345 | number }}", "12_345");
    check("pt-BR", "{{ 0.2 | percent }}", "20%");
    check("de-DE", "{{ 0.125 | percent }}", "12,5_%");
    check("en-US", "{{ '0.33333' | percent }}", "33.33%");
    check("ja-JP", "{{ 1 | percent }}", "100%");
}

#[test]
fn dates() {
    let all = |tag: &str, expect: [&str; 4]| {
        for (length, expect) in ["full", "long", "medium", "short"].into_iter().zip(expect) {
            check(tag, &format!("{{{{ '2026-11-11' | date('{length}') }}}}"), expect);
        }
    };
    all("zh-Hant-HK", ["2026年11月11日星期三", "2026年11月11日", "2026年11月11日", "11/11/2026"]);
    all("ar-AE", ["الأربعاء، 11 نوفمبر 2026", "11 نوفمبر 2026", "11>/11>/2026", "11>/11>/2026"]);
    all("pt-BR", ["quarta-feira, 11 de novembro de 2026", "11 de novembro de 2026", "11 de nov. de 2026", "11/11/2026"]);
    all("ja-JP", ["2026年11月11日水曜日", "2026年11月11日", "2026/11/11", "2026/11/11"]);
    all("de-DE", ["Mittwoch, 11. November 2026", "11. November 2026", "11.11.2026", "11.11.26"]);
    all("en-IN", ["Wednesday, 11 November 2026", "11 November 2026", "11 Nov 2026", "11/11/26"]);
    all("en-US", ["Wednesday, November 11, 2026", "November 11, 2026", "Nov 11, 2026", "11/11/26"]);
    all("pl", ["środa, 11 listopada 2026", "11 listopada 2026", "11 lis 2026", "11.11.2026"]);
    check("en-US", "{{ '2026-11-11' | date }}", "Nov 11, 2026");
}

#[test]
fn moments_are_told_by_the_readers_clock() {
    let check = |tag: &str, zone: Option<&str>, template: &str, expect: &str| {
        assert_eq!(seen(&written(tag, zone, template).unwrap()), expect, "{tag} {template}");
    };
    let moment = "{{ '2026-11-11T20:30:00Z' | date('short') }} {{ '2026-11-11T20:30:00Z' | time }}";
    check("en-US", Some("America/New_York"), moment, "11/11/26 3:30^PM");
    check("ja-JP", Some("Asia/Tokyo"), moment, "2026/11/12 5:30");
    check("de-DE", None, moment, "11.11.26 20:30");
    check("de-DE", Some("no/where"), moment, "11.11.26 20:30");
    check(
        "de-DE",
        Some("Asia/Tokyo"),
        "{{ '2026-11-11T20:30' | date('short') }} {{ '2026-11-11T20:30' | time }}",
        "11.11.26 20:30",
    );
    check("en-IN", Some("Asia/Kolkata"), "{{ now | time }}", "5:30^PM");
}

#[test]
fn plurals() {
    let polish = "{{ N | plural(one='# kupon', few='# kupony', many='# kuponów', other='# kuponu') }}";
    for (number, expect) in [("1", "1 kupon"), ("2", "2 kupony"), ("5", "5 kuponów"), ("22", "22 kupony"), ("1.5", "1,5 kuponu")]
    {
        check("pl", &polish.replace('N', number), expect);
    }
    let arabic = "{{ N | plural(zero='0', one='1', two='2', few='3 #', many='11 #', other='100 #') }}";
    for (number, expect) in [("0", "0"), ("1", "1"), ("2", "2"), ("3", "3 3"), ("11", "11 11"), ("100", "100 100")] {
        check("ar-AE", &arabic.replace('N', number), expect);
    }
    check("ja-JP", "{{ 1 | plural(one='x', other='#個') }}", "1個");
    check("de-DE", "{{ 1234 | plural(one='# Stück', other='# Stücke') }}", "1.234 Stücke");
    check("en-US", "{{ '1' | plural(one='one', other='#') }}", "one");
    check("pl", "{{ 2 | plural(one='# x', other='# y') }}", "2 y");
}

#[test]
fn filters_also_know_the_reader_in_macros() {
    check(
        "de-DE",
        "{% macro price(n) %}{{ n | money('EUR') }}{% endmacro %}{{ price(2) }} {{ [1, 2.5] | map('number') | join(' ') }}",
        "2,00_€ 1 2,5",
    );
}

#[test]
fn misuse_is_named_with_what_to_write() {
    let check = |template: &str, expect: &str| {
        let error = written("en-US", None, template).unwrap_err().to_string();
        assert_eq!(error, format!("render copy `a`, text, line 1: {expect}"));
    };
    check("{{ 'ten' | money('EUR') }}", "`money` takes a number such as 12.5, not `ten`");
    check("{{ true | number }}", "`number` takes a number such as 12.5, not `True`");
    check("{{ '1e5' | number }}", "`number` takes a number such as 12.5, not `1e5`");
    check("{{ 1 | money }}", "`money` needs a currency; write money(\"EUR\")");
    check("{{ 1 | money('euro') }}", "`money`: `euro` is no ISO 4217 currency code; write three capital letters, such as EUR");
    check(
        "{{ 1.5 | money_minor('EUR') }}",
        "`money_minor` takes whole minor units such as 129950, not `1.5`; `money` takes major ones",
    );
    check("{{ now | date('tiny') }}", "`date` is full, long, medium or short, not `tiny`; write date(\"long\")");
    let dates = "takes an ISO 8601 date such as 2026-11-11, 2026-11-11T20:00 or 2026-11-11T12:00:00Z, not";
    check("{{ '11.11.2026' | date }}", &format!("`date` {dates} `11.11.2026`"));
    check("{{ 20261111 | date }}", &format!("`date` {dates} `20261111`"));
    check(
        "{{ '2026-11-11' | time }}",
        "`time` takes a date-time such as 2026-11-11T20:00, and `2026-11-11` is a day; use `date`",
    );
    check(
        "{{ 1 | plural(one='#') }}",
        "`plural` needs the form `other`, which every language has; write plural(one=\"# item\", other=\"# items\")",
    );
    check("{{ 1 | plural(single='#', other='#') }}", "`plural` has no form `single`; there are zero, one, two, few, many, other");
}
