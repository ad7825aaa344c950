//! Each word of the language, what it becomes in SQL and how it reads.

use crate::tests::{at, clause, euro, query, query_of, segment};
use crate::{Decimal, Segment};

#[test]
fn a_person_is_asked_for_by_columns_of_contacts() {
    let check = |condition: &str, expect: &str| assert_eq!(clause(condition), expect, "{condition}");
    check("country: [DE]", "country = 'DE'");
    check("country: [NO, SE]", "country IN ('NO', 'SE')");
    check("market: [DE]", "market = 'DE'");
    check("language: [zh]", "regexp_like(language, '^(zh)(-|$)', 'i')");
    check("language: [pt-BR, de]", "regexp_like(language, '^(pt-BR|de)(-|$)', 'i')");
    check("time_zone: [Asia/Shanghai]", "time_zone = 'Asia/Shanghai'");
    check("interests: [shoes]", "array_has(interests, 'shoes')");
    check("tags: [vip, '1']", "array_has_any(tags, make_array('vip', '1'))");
    check("device: [ios]", "device = 'ios'");
    check("source: [shop, fair]", "source IN ('shop', 'fair')");
    check("reachable: [whatsapp, sms]", "array_has_any(channels, make_array('whatsapp', 'sms'))");
    check(
        "registered: {within_hours: 36}",
        "created_at > TIMESTAMP '2026-02-28T00:30:00Z' AND created_at <= TIMESTAMP '2026-03-01T12:30:00Z'",
    );
    check("registered: {before_days: 1}", "created_at <= TIMESTAMP '2026-02-28T12:30:00Z'");
}

#[test]
fn ages_and_birthdays_know_leap_years() {
    let at_day = |day: &str, condition: &str, expect: &str| {
        let at = format!("{day}T23:59:00Z").parse().unwrap();
        let query = segment(condition).query(at, euro()).unwrap();
        let day = "extract(month FROM birth_date) * 100 + extract(day FROM birth_date)";
        let clause = query.rsplit_once("WHERE ").unwrap().1.replace(day, "day").replace("\n   ", "");
        assert_eq!(clause.trim(), expect, "{day} {condition}");
    };
    at_day("2026-03-01", "age: {at_least: 18}", "birth_date <= DATE '2008-03-01'");
    at_day("2026-02-28", "age: {at_least: 18}", "birth_date <= DATE '2008-02-28'");
    at_day("2028-02-29", "age: {at_least: 18}", "birth_date <= DATE '2010-02-28'");
    at_day(
        "2026-03-01",
        "age: {at_least: 18, at_most: 29}",
        "birth_date <= DATE '2008-03-01' AND birth_date > DATE '1996-03-01'",
    );
    at_day("2026-05-10", "birthday: {within_days: 1}", "day BETWEEN 510 AND 510");
    at_day("2026-05-28", "birthday: {within_days: 7}", "day BETWEEN 528 AND 603");
    at_day("2026-12-29", "birthday: {within_days: 7}", "day >= 1229 OR day <= 104");
    at_day("2026-02-28", "birthday: {within_days: 1}", "day BETWEEN 228 AND 228");
    at_day("2026-02-28", "birthday: {within_days: 2}", "day BETWEEN 228 AND 301");
    at_day("2026-03-01", "birthday: {within_days: 1}", "day BETWEEN 229 AND 301");
    at_day("2028-02-28", "birthday: {within_days: 2}", "day BETWEEN 228 AND 229");
    at_day("2028-03-01", "birthday: {within_days: 1}", "day BETWEEN 301 AND 301");
}

#[test]
fn an_attribute_is_a_text_a_number_a_date_or_an_answer() {
    let check = |condition: &str, expect: &str| assert_eq!(clause(&format!("attribute: {condition}")), expect, "{condition}");
    check("{name: tier, is: [gold]}", "attributes['tier'] = 'gold'");
    check("{name: tier, is: [gold, 2]}", "attributes['tier'] IN ('gold', '2')");
    check("{name: tier, known: true}", "attributes['tier'] IS NOT NULL");
    check("{name: tier, known: false}", "attributes['tier'] IS NULL");
    check("{name: vip, is_true: true}", "lower(attributes['vip']) IN ('true', 'yes', '1')");
    check("{name: vip, is_true: false}", "lower(attributes['vip']) IN ('false', 'no', '0')");
    check(
        "{name: points, at_least: 10, less_than: '20.50'}",
        "TRY_CAST(attributes['points'] AS DECIMAL(38, 9)) >= CAST('10' AS DECIMAL(38, 9)) \
         AND TRY_CAST(attributes['points'] AS DECIMAL(38, 9)) < CAST('20.5' AS DECIMAL(38, 9))",
    );
    check(
        "{name: renewal, after: 2026-01-01, before: 2026-07-01}",
        "TRY_CAST(attributes['renewal'] AS DATE) < DATE '2026-07-01' AND TRY_CAST(attributes['renewal'] AS DATE) > DATE '2026-01-01'",
    );
}

#[test]
fn behaviours_are_counted_and_compared() {
    let check = |condition: &str, expect: &str| assert_eq!(clause(condition), expect, "{condition}");
    check("ordered: ever", "ordered_1 >= 1");
    check("ordered: {}", "ordered_1 >= 1");
    check("ordered: never", "coalesce(ordered_1, 0) = 0");
    check("ordered: {at_most: 0}", "coalesce(ordered_1, 0) = 0");
    check("ordered: {exactly: 0}", "coalesce(ordered_1, 0) = 0");
    check("ordered: {exactly: 2}", "ordered_1 = 2");
    check("ordered: {at_least: 2}", "ordered_1 >= 2");
    check("ordered: {at_most: 2}", "coalesce(ordered_1, 0) <= 2");
    check("ordered: {at_least: 2, at_most: 5}", "ordered_1 BETWEEN 2 AND 5");
    check("spent: {at_least: 0.29}", "spent_1 >= 29");
    check("spent: {at_least: 0}", "coalesce(spent_1, 0) >= 0");
    check("spent: {more_than: 0}", "spent_1 > 0");
    check("spent: {less_than: '12.5'}", "coalesce(spent_1, 0) < 1250");
    check(
        "spent: {at_least: -5, at_most: '92233720368547758.07'}",
        "coalesce(spent_1, 0) >= -500 AND coalesce(spent_1, 0) <= 9223372036854775807",
    );
}

#[test]
fn rows_are_chosen_by_what_they_are() {
    let check = |condition: &str, from: &str, filter: &str| {
        let query = query(condition);
        assert!(query.contains(&format!("FROM {from}\n    WHERE {filter}event_date")), "{condition}: {query}");
    };
    let and = |filter: &str| format!("{filter}\n        AND ");
    check("sent: ever", "messages", "");
    check("accepted: ever", "deliveries", &and("status = 'accepted'"));
    check("delivered: ever", "deliveries", &and("status = 'delivered'"));
    check("bounced: ever", "deliveries", &and("status = 'bounced'"));
    check("opened: ever", "opens", &and("NOT machine"));
    check("opened: {include_machine: true}", "opens", "");
    check(
        "clicked: {channel: sms, campaign: it's}",
        "clicks",
        &and("NOT machine\n        AND channel = 'sms'\n        AND campaign_id = 'it''s'"),
    );
    check("ordered: ever", "orders", &and("refund_of IS NULL"));
    check("unsubscribed: ever", "feedback", &and("feedback = 'unsubscribe'"));
    check("complained: ever", "feedback", &and("feedback = 'complaint'"));
    check("spent: {at_least: 1}", "orders", "");
}

#[test]
fn the_same_behaviour_is_counted_once_and_each_table_read_once() {
    let query = query(
        "any:\n  - ordered: {within_days: 2}\n  - all: [{ordered: {within_hours: 48, at_least: 3}}, {ordered: {before_days: 30}}]\n  \
         - unsubscribed: ever\n  - not: {complained: ever}",
    );
    assert_eq!(query.matches("FROM orders").count(), 1, "{query}");
    assert_eq!(query.matches("FROM feedback").count(), 1, "{query}");
    assert_eq!(query.matches(" AS ordered_").count(), 2, "{query}");
    assert_eq!(query.matches("ordered_1 >= ").count(), 2, "{query}");
    assert!(query.contains("count(*) FILTER (WHERE feedback = 'complaint') AS complained_1"), "{query}");
    assert!(query.contains("count(*) FILTER (WHERE event_time <= TIMESTAMP '2026-01-30T12:30:00Z') AS ordered_2"), "{query}");
}

#[test]
fn logic_keeps_its_brackets_and_is_two_valued() {
    let check = |condition: &str, expect: &str| assert_eq!(clause(condition), expect, "{condition}");
    check("not: {country: [DE]}", "(country = 'DE') IS NOT TRUE");
    check("not: {not: {country: [DE]}}", "((country = 'DE') IS NOT TRUE) IS NOT TRUE");
    check("none: [{country: [DE]}, {device: [ios]}]", "(country = 'DE' OR device = 'ios') IS NOT TRUE");
    check("all: [{any: [{country: [DE]}]}]", "country = 'DE'");
    check("any: [{country: [DE]}, {any: [{device: [ios]}, {source: [a]}]}]", "country = 'DE' OR device = 'ios' OR source = 'a'");
    check(
        "all: [{device: [ios]}, {any: [{country: [DE]}, {all: [{source: [a]}, {market: [b]}]}]}]",
        "device = 'ios' AND (country = 'DE' OR (source = 'a' AND market = 'b'))",
    );
    check("not: {all: [{source: [a]}, {market: [b]}]}", "(source = 'a' AND market = 'b') IS NOT TRUE");
}

#[test]
fn texts_stay_texts() {
    let check = |value: &str, expect: &str| {
        let value = serde_json::to_string(value).unwrap();
        let lists = [("tags", format!("array_has(tags, {expect})")), ("device", format!("device = {expect}"))];
        for (key, expect) in lists {
            let segment: Segment =
                serde_json::from_str(&format!(r#"{{"segment": "s", "condition": {{"{key}": [{value}]}}}}"#)).unwrap();
            assert_eq!(query_of(&segment).unwrap(), format!("SELECT contacts.contact_key\nFROM contacts\nWHERE {expect}\n"));
        }
        let json = format!(r#"{{"segment": "s", "condition": {{"attribute": {{"name": {value}, "is": [{value}]}}}}}}"#);
        let segment: Segment = serde_json::from_str(&json).unwrap();
        assert!(query_of(&segment).unwrap().ends_with(&format!("WHERE attributes[{expect}] = {expect}\n")));
        let json = format!(r#"{{"segment": "s", "condition": {{"clicked": {{"campaign": {value}}}}}}}"#);
        let segment: Segment = serde_json::from_str(&json).unwrap();
        assert!(query_of(&segment).unwrap().contains(&format!("AND campaign_id = {expect}\n")));
    };
    check("it's", "'it''s'");
    check("'; DROP TABLE contacts; --", "'''; DROP TABLE contacts; --'");
    check("''", "''''''");
    check(r"\'", r"'\'''");
    check(r"a\", r"'a\'");
    check("\"x\"", "'\"x\"'");
    check("a;b", "'a;b'");
    check("$1 ? :x /* */", "'$1 ? :x /* */'");
    check("早安 ’", "'早安 ’'");
}

#[test]
fn a_query_of_ones_own_passes_unchanged() {
    let text = "SELECT contact_key\nFROM contacts -- 'all'\n";
    let yaml = format!("segment: own\nsql: {}\n", serde_json::to_string(text).unwrap());
    let segment: Segment = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(query_of(&segment).unwrap(), text);
    assert_eq!(segment.describe(), ["is given by the segment's own SQL"]);
}

#[test]
fn amounts_follow_the_base_currency() {
    let yen = vocabulary::Currency::new("JPY").unwrap();
    let query = segment("spent: {at_least: 1200}").query(at(), yen).unwrap();
    assert!(query.ends_with("WHERE spent_1 >= 1200\n"), "{query}");
}

#[test]
fn decimals_are_kept_in_their_shortest_form() {
    let check = |text: &str, expect: &str| assert_eq!(Decimal::new(text).unwrap().as_str(), expect);
    check("12.50", "12.5");
    check("007", "7");
    check("0.0", "0");
    check("-0", "0");
    check("-0.50", "-0.5");
    check("123456789012345678.123456789", "123456789012345678.123456789");
    for text in ["", "-", "1.", ".5", "1e3", "+1", "1,5", "１", "NaN", "1234567890123456789", "0.1234567891"] {
        assert!(Decimal::new(text).is_err(), "{text}");
    }
}

#[test]
fn conditions_read_as_english() {
    let check = |condition: &str, expect: &[&str]| assert_eq!(segment(condition).describe(), expect, "{condition}");
    check(
        "all: [{country: [DE, AT]}, {ordered: {at_least: 2, within_days: 90}}]",
        &["country is DE or AT", "ordered at least 2 times within 90 days"],
    );
    check("none: [{opened: {within_days: 1}}, {tags: [a, b, c]}]", &["never opened within 1 day and not (tagged a, b or c)"]);
    check(
        "any: [{sent: never}, {none: [{clicked: ever}, {ordered: ever}]}]",
        &["(was never sent a message or (never clicked and never ordered))"],
    );
    check("not: {any: [{device: [ios]}, {source: [x]}]}", &["not (device is ios or came from x)"]);
    check("delivered: {channel: sms, campaign: c, exactly: 1}", &["had a message delivered on sms in campaign c exactly 1 time"]);
    check("opened: {include_machine: true, at_most: 3}", &["opened at most 3 times, machines included"]);
    check("ordered: {before_days: 30, at_least: 2, at_most: 4}", &["ordered 2 to 4 times 30 days ago or earlier"]);
    check(
        "spent: {more_than: 100.50, at_most: 200, between_days: [1, 30]}",
        &["spent more than 100.5 and at most 200 between 1 and 30 days ago"],
    );
    check("age: {at_least: 18, at_most: 30}", &["is 18 to 30 years old"]);
    check("birthday: {within_days: 7}", &["has birthday today or within 6 days"]);
    check("registered: {within_hours: 2}", &["registered within 2 hours"]);
    check("attribute: {name: tier, is: [gold, red]}", &["attribute tier is gold or red"]);
    check("attribute: {name: tier, known: false}", &["attribute tier is unknown"]);
    check("attribute: {name: n, more_than: 5}", &["attribute n is more than 5"]);
    check("attribute: {name: d, after: 2026-01-01}", &["attribute d is after 2026-01-01"]);
    check("reachable: [email, sms]", &["reachable on email or sms"]);
}
