//! The campaign calendar from the command line: festivals, holidays, own days, and what of them a campaign meets.

use crate::support::{run, sendlab, text};

#[test]
fn a_market_shows_its_days_and_what_stands_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let calendar = |arguments: &[&str]| run(sendlab(&data).arg("calendar").args(arguments));
    let china = calendar(&["CN", "--from", "2026-11-01", "--until", "2027-02-20"]);
    assert!(china.contains("Double Eleven") && china.contains("peak") && china.contains("festival/double-eleven"), "{china}");
    assert!(calendar(&["US", "--from", "2026-11-20", "--until", "2026-11-30"]).contains("Black Friday"));
    assert!(calendar(&["DE", "--from", "2026-06-10", "--until", "2026-06-12"]).contains("No festival, holiday or own day"));

    let file = folder.path().join("days.json");
    let day = r#"[{"name": "stocktaking", "market": "DE", "first": "2026-06-11", "last": "2026-06-12", "effect": "pause"}]"#;
    std::fs::write(&file, day).unwrap();
    let said = calendar(&["--own-days", file.to_str().unwrap()]);
    assert!(said.contains("1 own days are in the calendar"), "{said}");
    let germany = calendar(&["DE", "--from", "2026-06-10", "--until", "2026-06-12"]);
    assert!(germany.contains("stocktaking") && germany.contains("pause"), "{germany}");
    assert!(!calendar(&["FR", "--from", "2026-06-10", "--until", "2026-06-12"]).contains("stocktaking"));
    let found = calendar(&["DE", "--channel", "email", "--from", "2026-06-10", "--until", "2026-06-14", "--messages", "40"]);
    assert!(found.contains("stocktaking: better not to advertise") && found.contains("40 messages a contact"), "{found}");

    for (arguments, words) in [
        (vec!["UK"], vec!["`UK` is no market"]),
        (vec!["DE", "--from", "tomorrow"], vec!["`tomorrow`", "2026-11-11"]),
        (vec!["DE", "--from", "2026-02-01", "--until", "2026-01-01"], vec!["before 2026-02-01"]),
        (vec!["DE", "--channel", "pigeon"], vec!["pigeon"]),
    ] {
        let output = sendlab(&data).arg("calendar").args(&arguments).output().unwrap();
        assert!(!output.status.success() && words.iter().all(|word| text(&output).contains(word)), "{}", text(&output));
    }
    std::fs::write(&file, r#"[{"name": "x", "first": "2026-06-12", "last": "2026-06-11", "effect": "pause"}]"#).unwrap();
    let output = sendlab(&data).args(["calendar", "--own-days"]).arg(&file).output().unwrap();
    assert!(text(&output).contains("`x` ends on 2026-06-11, before it begins"), "{}", text(&output));
}
