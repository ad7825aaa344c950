//! What is refused, with the field and the fix.

use crate::limits::{CONDITIONS_MAX, SQL_BYTES_MAX, VALUES_MAX};
use crate::tests::{at, query_of, read, segment};
use crate::{Segment, SegmentError};

#[test]
fn what_cannot_be_read_names_what_is_known() {
    let check = |condition: &str, expect: &[&str]| {
        let error = read(condition).unwrap_err();
        for expect in expect {
            assert!(error.contains(expect), "{condition}: {error}");
        }
    };
    check("contry: [DE]", &["`contry`", "expected one of all, any, none, not, country"]);
    check("ordered: {within_day: 3}", &["`within_day`", "expected one of channel, campaign, within_days"]);
    check("ordered: sometimes", &["sometimes", "`ever`, `never`"]);
    check("country: [DE]\nlanguage: [de]", &["`language` is a second condition in one block; write `all:`"]);
    check("reachable", &["a condition such as `country: [DE, AT]`"]);
    check("reachable: [fax]", &["fax", "whatsapp"]);
    check("spent: {at_least: 1e}", &["`1e` is no decimal number; write digits with a point"]);
    check("spent: {at_least: 12345678901234567.5}", &["write it in quotes"]);
    check("attribute: {name: d, before: 01.02.2026}", &["01.02.2026"]);
    check("ordered: {within_days: -3}", &["-3"]);
    check("clicked: {campaign: ''}", &["is empty"]);
}

#[test]
fn what_cannot_be_meant_names_the_field_and_the_fix() {
    let check = |condition: &str, expect: &str| {
        let error = segment(condition).check().unwrap_err();
        assert_eq!(error.to_string(), expect, "{condition}");
        assert_eq!(query_of(&segment(condition)).unwrap_err(), error, "a query is checked too");
    };
    let nested = "all: [{country: [DE]}, {tags: [a]}, {not: {ordered: {within_days: 0}}}]";
    check(nested, "`condition.all[2].not.ordered.within_days` is 0; write a number of days from 1 to 3660");
    check("ordered: {within_days: 4000}", "`condition.ordered.within_days` is 4000; the limit is 3660 days");
    check("ordered: {within_hours: 1000}", "`condition.ordered.within_hours` is 1000; the limit is 744 hours");
    check(
        "ordered: {within_days: 3, before_days: 4}",
        "`condition.ordered.before_days` is a second time; give one of within_days, within_hours, before_days and between_days",
    );
    check(
        "ordered: {between_days: [9, 3]}",
        "`condition.ordered.between_days` is [9, 3]; write the fewer days first, such as [30, 120]",
    );
    check(
        "ordered: {at_least: 0}",
        "`condition.ordered.at_least` is 0, which holds for everybody; write `never`, or a count from 1",
    );
    check(
        "ordered: {at_least: 3, at_most: 2}",
        "`condition.ordered.at_least` is 3, more than at_most, which is 2; turn them around",
    );
    check("ordered: {exactly: 1, at_most: 2}", "`condition.ordered.exactly` is given beside at_least or at_most; keep one");
    check("ordered: {at_least: 2000000}", "`condition.ordered.at_least` is above the limit of 1000000");
    check(
        "ordered: {include_machine: true}",
        "`condition.ordered.include_machine` says nothing here; machines only open and click",
    );
    check(
        "any: []",
        "`condition.any` is empty; give at least one condition, or for everybody `sql: SELECT contact_key FROM contacts`",
    );
    check("country: []", "`condition.country` is empty; give at least one value");
    check(
        "country: [DE, germany]",
        "`condition.country[1]` is `germany`, which is no country; write two capital letters, such as DE",
    );
    check(
        "language: [zh_CN]",
        "`condition.language[0]` is `zh_CN`, which is no language tag; write de, zh-Hant or pt-BR; zh means all that begins with zh-",
    );
    check("tags: [' ']", "`condition.tags[0]` is empty; give it at least one visible character");
    check("tags: [\"a\\0b\"]", "`condition.tags[0]` holds a control character; use printable text only");
    check("tags: [\"a\\nb\"]", "`condition.tags[0]` holds a control character; use printable text only");
    check("age: {}", "`condition.age` compares with no age; add at_least, at_most or both");
    check("age: {at_least: 30, at_most: 18}", "`condition.age.at_least` is 30, more than at_most, which is 18; turn them around");
    check("age: {at_most: 200}", "`condition.age.at_most` is above the limit of 130 years");
    check("birthday: {within_days: 200}", "`condition.birthday.within_days` is 200; the limit is 183 days");
    check("registered: {}", "`condition.registered` says no time; add one, such as within_days: 30");
    check("attribute: {name: a}", "`condition.attribute` asks nothing; add is: [gold], known: true or at_least: 5");
    check(
        "attribute: {name: a, after: 2026-02-01, before: 2026-01-01}",
        "`condition.attribute.after` is 2026-02-01, which is not before 2026-01-01",
    );
    check("attribute: {name: '', known: true}", "`condition.attribute.name` is empty; give it at least one visible character");
    check("spent: {within_days: 3}", "`condition.spent` compares with no amount; add one, such as at_least: 100");
    check("spent: {at_least: 3, more_than: 2}", "`condition.spent.more_than` is given beside at_least; keep one");
    check(
        "spent: {more_than: 3, at_most: 3}",
        "`condition.spent.more_than` is 3, which leaves nothing up to at_most, which is 3",
    );
}

#[test]
fn amounts_are_checked_against_the_base_currency() {
    let segment = segment("not: {spent: {at_least: 1.005}}");
    assert_eq!(segment.check(), Ok(()));
    let error = query_of(&segment).unwrap_err();
    assert_eq!(error.field(), "condition.not.spent.at_least");
    assert_eq!(
        error.to_string(),
        "`condition.not.spent.at_least` is no amount of EUR: `1.005` has more than the 2 decimals EUR has"
    );
}

#[test]
fn there_is_a_limit_on_everything() {
    let check = |condition: &str, expect: &str| assert_eq!(segment(condition).check().unwrap_err().to_string(), expect);
    let nested = |depth: usize| format!("{}country: [DE]{}", "not: {".repeat(depth), "}".repeat(depth));
    assert_eq!(segment(&nested(7)).check(), Ok(()));
    let path = format!("condition{}", ".not".repeat(8));
    check(&nested(8), &format!("`{path}` has 9 conditions around each other; the limit is 8"));
    let many = |count: usize| format!("all: [{}]", vec!["{country: [DE]}"; count].join(", "));
    assert_eq!(segment(&many(CONDITIONS_MAX - 1)).check(), Ok(()));
    check(&many(CONDITIONS_MAX), "`condition` has 101 conditions; the limit is 100");
    let tags = |count: usize| format!("tags: [{}]", vec!["a"; count].join(", "));
    assert_eq!(segment(&tags(VALUES_MAX)).check(), Ok(()));
    check(&tags(VALUES_MAX + 1), "`condition.tags` has 301 values; the limit is 300");
    check(&format!("tags: [{}]", "x".repeat(129)), "`condition.tags[0]` has 129 bytes; the limit is 128");
    check(
        &format!("attribute: {{name: {}, known: true}}", "x".repeat(65)),
        "`condition.attribute.name` has 65 bytes; the limit is 64",
    );
}

#[test]
fn a_segment_has_a_name_and_one_of_condition_and_sql() {
    let check = |json: &str, expect: &str| {
        let segment: Segment = serde_json::from_str(json).unwrap();
        assert_eq!(segment.check().unwrap_err().to_string(), expect, "{json}");
        assert!(segment.query(at(), crate::tests::euro()).is_err());
    };
    check(r#"{"segment": "s"}"#, "`condition` is missing; give it, or `sql` instead");
    check(
        r#"{"segment": "s", "sql": "x", "condition": {"country": ["DE"]}}"#,
        "`sql` is given beside `condition`; keep one of them",
    );
    check(r#"{"segment": "", "sql": "x"}"#, "`segment` is empty; give it at least one visible character");
    check(r#"{"segment": "s", "sql": " "}"#, "`sql` is empty; write a query such as SELECT contact_key FROM contacts");
    check(r#"{"segment": "s", "sql": "a\u0000b"}"#, "`sql` holds a null character; take it out");
    let long = Segment { segment: "s".to_owned(), description: None, condition: None, sql: Some("x".repeat(SQL_BYTES_MAX + 1)) };
    assert!(matches!(long.check(), Err(SegmentError::TooMuch { .. })));
    let unknown = serde_json::from_str::<Segment>(r#"{"segment": "s", "where": 1}"#).unwrap_err().to_string();
    assert!(unknown.contains("`where`") && unknown.contains("`condition`"), "{unknown}");
}
