//! Files of rules: the built-in ones say where each rule comes from, and a bad one is told by file, key and fix.

use policy::rules::FILES;
use policy::{RuleKind, Rules};

fn file(name: &str) -> &'static str {
    FILES.into_iter().find(|(known, _)| *known == name).map(|(_, text)| text).expect("a built-in file")
}

/// Replaces a piece of a built-in file and compares what the reader says.
fn check(name: &str, piece: &str, instead: &str, expect: &str) {
    assert!(file(name).contains(piece), "{name} holds {piece}");
    let text = file(name).replacen(piece, instead, 1);
    let told = Rules::with(&[(name, &text)]).err().unwrap_or_else(|| panic!("{name} is taken with `{instead}`")).to_string();
    assert!(told.contains(expect), "expected `{expect}` in `{told}`");
    assert!(told.starts_with(name) || told.starts_with("the files"), "`{told}` names the file");
}

#[test]
fn the_built_in_rules_are_sound_and_have_sources() {
    let rules = Rules::embedded().expect("sound");
    assert_eq!(rules.version().len(), 12);
    let mut laws = 0;
    for rule in rules.heads() {
        assert!(rule.version >= 1 && rule.source.len() >= 10, "{} has version and source", rule.id);
        assert_eq!(rule.checked.to_string(), "2026-11-28", "{}", rule.id);
        laws += usize::from(rule.kind == RuleKind::Law);
    }
    assert!(laws > 60, "{laws}");
    assert_eq!(rules.head("hours/us-fl").map(|rule| rule.verified), Some(true));
    assert!(rules.head("hours/xx").is_none());
}

#[test]
fn the_version_follows_the_text() {
    let version = |replaced: &[(&str, &str)]| Rules::with(replaced).expect("sound").version().to_string();
    let caps = file("caps.toml");
    assert_eq!(version(&[]), version(&[("caps.toml", caps)]));
    assert_ne!(version(&[]), version(&[("caps.toml", &caps.replacen("limit = 2", "limit = 1", 1))]));
}

#[test]
fn a_rule_counts_its_own_version() {
    let text = file("caps.toml").replace("id = \"cap/email-day\"", "id = \"cap/email-day\"\nversion = 7");
    let rules = Rules::with(&[("caps.toml", &text)]).expect("sound");
    assert_eq!(rules.head("cap/email-day").map(|rule| rule.version), Some(7));
    assert_eq!(rules.head("cap/email-week").map(|rule| rule.version), Some(1));
}

#[test]
fn bad_files_are_told_by_file_key_and_fix() {
    check("hours.toml", "version = 1", "version = ", "is not TOML");
    check("hours.toml", "version = 1", "", "`version` is missing; write version = 1");
    check("hours.toml", "checked = 2026-11-28", "checked = \"today\"", "`checked` is no date; write it without quotes");
    check("hours.toml", "id = \"hours/us\"", "id = \"Hours US\"", "use small letters");
    check(
        "hours.toml",
        "open = [\"daily 08:00-21:00\"]",
        "open = [\"daily 8-21\"]",
        "`rule[1].open` `daily 8-21` is no window; write days and hours",
    );
    check("hours.toml", "open = [\"daily 08:00-21:00\"]", "open = [\"daily 21:00-08:00\"]", "over midnight is written as two");
    check("hours.toml", "open = [\"daily 08:00-21:00\"]", "opens = [\"daily 08:00-21:00\"]", "`rule[1].open` is missing");
    check("hours.toml", "id = \"hours/us\"", "id = \"hours/us\"\nclased = true", "`rule[1].clased` is no key here");
    check("hours.toml", "where = [\"US\"]", "where = [\"UX\"]", "names `UX`, which zones.toml lacks");
    check("hours.toml", "where = [\"US-FL\"]", "where = [\"US-FX\"]", "names `US-FX`");
    check("hours.toml", "where = [\"US\"]", "where = []", "is missing; write [\"*\"]");
    check("hours.toml", "\"holidays/fr\"", "\"holidays/fx\"", "which holidays.toml lacks");
    check("hours.toml", "\"Asia/Kolkata\"", "\"Asia/Delhi\"", "is no time zone");
    check("hours.toml", "id = \"hours/us-fl\"", "id = \"hours/us\"", "stands twice");
    check("hours.toml", "kind = \"law\"", "kind = \"custom\"", "is not one of law, industry, house");
    check("consent.toml", "\"soft_opt_in\"", "\"soft\"", "`soft` is not one of express_written");
    check("consent.toml", "\nneeded = false", "\nneeded = true", "must name kinds of consent where consent is needed");
    check("consent.toml", "implied_purchase = 24", "implied_purchase = 0", "is 0; leave the kind out");
    check("suppression.toml", "reason = \"manual\"", "reason = \"legal\"", "has a rule already");
    check("caps.toml", "within = \"24 hours\"", "within = \"a day\"", "is no length of time; write such as");
    check("caps.toml", "within = \"24 hours\"", "within = \"90 days\"", "above 31 days");
    check("caps.toml", "limit = 3", "limit = 0", "`rule[1].limit` is missing or 0");
    check("sending.toml", "share = 0.0", "share = 5", "5 % is written 0.05");
    check("sending.toml", "class = \"verification\"", "class = \"marketing\"", "has an age already");
    check("sending.toml", "[unknown_country]", "[unknown_land]", "`unknown_country` is missing");
    check("wording.toml", "permit = \"gambling\"", "", "belong together");
    check("wording.toml", "position = \"start\"", "position = \"front\"", "is not one of start, end, anywhere");
    check("holidays.toml", "on = \"easter + 1\"", "on = \"easter monday\"", "`easter monday` is no day; write it like");
    check("holidays.toml", "on = \"12-25\"", "on = \"12-32\"", "is no day");
    check("festivals.toml", "effect = \"peak\"", "", "`festival[1].effect` is missing");
    check("festivals.toml", "2025-01-28, 2025-02-04", "2025-02-04, 2025-01-28", "is no list of dates");
    check(
        "zones.toml",
        "DE = [\"Europe/Berlin\"]",
        "DE = [\"Europe/Bonn\"]",
        "`country.DE` names `Europe/Bonn`, which is no time zone",
    );
}

#[test]
fn files_are_known_by_name() {
    let told = |replaced: &[(&str, &str)]| Rules::with(replaced).expect_err("bad").to_string();
    assert!(told(&[("cap.toml", "")]).starts_with("cap.toml is no file of rules; known are zones.toml"));
    let caps = file("caps.toml");
    assert!(told(&[("caps.toml", caps), ("caps.toml", caps)]).contains("given twice"));
    assert!(told(&[("caps.toml", &"#".repeat(2 << 20))]).contains("the limit is"));
}
