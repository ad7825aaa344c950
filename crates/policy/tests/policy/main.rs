//! The rules as a lawyer reads them: every row of every table in `scenarios/*.md` is decided and compared.
//!
//! A row says what is given, when, what the decision is and which rule in which version makes it. A row that cannot be read
//! is an error, like one that fails. Beside the decision each row checks what must always hold: the explanation agrees,
//! every answer names a known rule, a deferral is permitted at its moment and not a second before.

mod calendar;
mod explain;
mod given;
mod markdown;
mod moment;
mod properties;
mod rule_files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use policy::{Answer, Decision, Rules};

use given::Given;
use markdown::Row;

/// Fewer rows than this mean that the reader of tables has lost some.
const ROWS_MIN: usize = 800;

#[test]
fn every_row_of_every_scenario_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder).expect("scenarios/ is there").map(|entry| entry.expect("readable").path());
    let mut files: Vec<_> = files.filter(|file| !file.ends_with("README.md")).collect();
    files.sort();
    let mut world = World::default();
    let (mut count, mut wrong, mut named) = (0, Vec::new(), BTreeSet::new());
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = fs::read_to_string(&file).expect("scenarios are UTF-8");
        match markdown::rows(&text) {
            Err(reason) => wrong.push(format!("{name}: {reason}")),
            Ok(rows) => {
                assert!(!rows.is_empty(), "{name} has no row");
                count += rows.len();
                named.extend(rows.iter().filter_map(|row| row.cell("rule")).map(str::to_owned));
                let failures = rows.iter().filter_map(|row| world.check(row).err().map(|reason| (row, reason)));
                wrong.extend(failures.map(|(row, reason)| format!("{name}:{}: {reason}\n    {}", row.line, row.text)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} rows fail:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= ROWS_MIN, "only {count} rows were found");
    let rules = world.rules("0.0").heads().map(|rule| format!("{} {}", rule.id, rule.version));
    let days = ["holidays/", "festival/"];
    let asked = rules.filter(|name| !days.iter().any(|day| name.starts_with(day)));
    let missing: Vec<String> = asked.filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "no scenario is decided by {}; write one at its edges", missing.join(", "));
}

/// A row that cannot be read must not pass as one that holds.
#[test]
fn rows_that_cannot_be_read_are_errors() {
    let table = |text: &str| markdown::rows(text).map(|rows| rows.len());
    assert_eq!(table("| given | at |\n| --- | --- |\n| - | 2026-12-01 12:00 |\n"), Ok(1));
    assert!(table("| given | at |\n| --- | --- |\n| - |\n").is_err(), "a cell is missing");
    assert!(table("| given | when |\n| --- | --- |\n").is_err(), "there is no such column");
    assert!(table("| given | at |\n| - | 2026-12-01 12:00\n").is_err(), "the row has no end");
    let given = |text: &str| Given::read(&markdown::phrases(text)).map(drop);
    assert_eq!(given("in US-FL; by sms; clock America/New_York; text `a; b`"), Ok(()));
    for phrase in
        ["by fax", "in Florida", "clock Florida", "consent maybe since 2026-01-01", "consent express", "marketing today", "?"]
    {
        assert!(given(phrase).is_err(), "`{phrase}` is no phrase");
    }
    let new_york = moment::named("America/New_York").expect("a time zone");
    let time = |text: &str| moment::moment(text, Some(&new_york)).is_ok();
    assert!(time("2026-12-01 12:00") && time("2026-11-01 01:30 first") && time("2026-11-01 01:30 second"));
    assert!(!time("2026-11-01 01:30"), "it comes twice");
    assert!(!time("2027-03-14 02:30"), "it never comes");
    assert!(!time("2026-12-01 12:00 second"), "it comes once");
    assert!(moment::moment("2026-12-01 12:00", None).is_err(), "by which clock?");
}

/// The rules by the share that is held out, so that each set is read once.
#[derive(Default)]
struct World {
    rules: BTreeMap<String, Rules>,
}

impl World {
    fn rules(&mut self, share: &str) -> &Rules {
        self.rules.entry(share.to_owned()).or_insert_with(|| {
            let (name, text) = policy::rules::FILES.into_iter().find(|(name, _)| *name == "sending.toml").expect("it is one");
            assert!(text.contains("\nshare = 0.0\n"), "nobody is held out unless a scenario says so");
            let text = text.replace("\nshare = 0.0\n", &format!("\nshare = {share}\n"));
            Rules::with(&[(name, &text)]).expect("the rules are sound")
        })
    }

    fn check(&mut self, row: &Row) -> Result<(), String> {
        let given = Given::read(&row.given)?;
        if let (Some(planned), Some(then)) = (row.cell("at planning"), row.cell("then")) {
            let at = given.moment(planned)?;
            let decision = self.decide(&given, at)?;
            if decision != Decision::Permit {
                return Err(format!("while planning: expected permit, got {}", told(&decision, &given)));
            }
            let mut phrases = row.given.clone();
            phrases.extend(markdown::phrases(then));
            return self.compare(row, &Given::read(&phrases)?, "at hand-over");
        }
        self.compare(row, &given, "at")
    }

    fn compare(&mut self, row: &Row, given: &Given, when: &str) -> Result<(), String> {
        let at = given.moment(row.needed(when)?)?;
        let decision = self.decide(given, at)?;
        let expected = row.needed("decision")?;
        let is_right = match (&decision, expected.strip_prefix("defer to ")) {
            (Decision::Permit, None) => expected == "permit",
            (Decision::Refuse { .. }, None) => expected == "refuse",
            (Decision::Defer { until, .. }, Some(moment)) => *until == given.moment(moment)?,
            _ if expected == "permit" || expected == "refuse" || expected.starts_with("defer to ") => false,
            _ => return Err(format!("`{expected}` is no decision; write permit, refuse or `defer to` and a time")),
        };
        let why = match &decision {
            Decision::Permit => None,
            Decision::Defer { why, .. } | Decision::Refuse { why } => Some(why),
        };
        let rule = why.map_or("-".to_owned(), |why| format!("{} {}", why.rule, why.version));
        if !is_right || rule != row.needed("rule")? {
            return Err(format!("expected {expected} by {}, got {}", row.needed("rule")?, told(&decision, given)));
        }
        match (row.cell("because"), why) {
            (Some(because), Some(why)) if !why.because.to_string().contains(because) => {
                Err(format!("expected it because `{because}`, got `{}`", why.because))
            }
            _ => Ok(()),
        }
    }

    /// Decides, and checks what must hold of every decision.
    fn decide(&mut self, given: &Given, at: Timestamp) -> Result<Decision, String> {
        let rules = self.rules(&given.share);
        given.with_facts(|contact, message| {
            let decision = rules.decide(contact, message, at);
            let explanation = rules.explain(contact, message, at);
            if explanation.decision != decision || explanation.rules != *rules.version() {
                return Err(format!("the explanation is of {:?}", explanation.decision));
            }
            for finding in explanation.rounds.iter().flat_map(|round| &round.findings) {
                let head = rules.head(&finding.rule).ok_or_else(|| format!("`{}` is no rule", finding.rule))?;
                let (Answer::Permit { because } | Answer::Defer { because, .. } | Answer::Refuse { because }) = &finding.answer;
                let has_words = !finding.input.trim().is_empty() && !because.to_string().is_empty();
                if head.version != finding.version || !has_words {
                    return Err(format!("`{}` is explained badly: {finding:?}", finding.rule));
                }
            }
            if let Decision::Defer { until, .. } = &decision {
                if rules.decide(contact, message, *until) != Decision::Permit {
                    return Err(format!("{until} is not permitted when it comes"));
                }
                let before = *until - SignedDuration::from_secs(1);
                if before >= at && rules.decide(contact, message, before) == Decision::Permit {
                    return Err(format!("{before} would have been permitted already"));
                }
            }
            Ok(decision)
        })
    }
}

/// A decision in the words of the tables.
fn told(decision: &Decision, given: &Given) -> String {
    match decision {
        Decision::Permit => "permit".to_owned(),
        Decision::Refuse { why } => format!("refuse, {why}"),
        Decision::Defer { until, why } => format!("defer to {} ({until}), {why}", given.local(*until)),
    }
}
