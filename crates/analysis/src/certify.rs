//! What the default procedures promise, tried out: false alarms at any look, coverage, power, and honest forecasts, on
//! made data whose truth is known and on a customer's own history.
//!
//! A promise counts as kept when the simulated value lies within it, give or take three standard errors of the simulation.
//! Everything follows from one seed.

mod procedures;
mod trials;
mod world;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::Degenerate;
use stats::numeric::draws::Draws;

use crate::words::percent;
pub use world::History;
use world::World;

/// The total error of every procedure that is tried.
pub const ALPHA: f64 = 0.05;

/// How much is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Everything random follows from it.
    pub seed: u64,
    /// Simulated experiments per line of the certificate.
    pub runs: u32,
    /// Units per arm at the end of a made experiment.
    pub units_per_arm: u32,
    /// Units per arm between two looks at made data.
    pub units_per_look: u32,
    /// Units per arm between two looks at a history.
    pub history_units_per_look: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { seed: 1, runs: 2_000, units_per_arm: 20_000, units_per_look: 400, history_units_per_look: 200 }
    }
}

impl Effort {
    /// A few seconds instead of minutes.
    #[must_use]
    pub fn short() -> Self {
        Self { runs: 300, units_per_arm: 8_000, ..Self::default() }
    }
}

/// What was promised and what came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// What computed it, with its version.
    pub engine: String,
    /// Everything random followed from it.
    pub seed: u64,
    /// The total error every procedure was held to.
    pub alpha: f64,
    /// One line per data, procedure and promise.
    pub lines: Vec<Line>,
    /// Whether every promise of a default procedure was kept.
    pub kept: bool,
}

/// One promise on one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The data.
    pub data: String,
    /// The procedure.
    pub procedure: String,
    /// What was counted.
    pub measure: String,
    /// What came out.
    pub value: f64,
    /// The standard error of the simulation.
    pub standard_error: f64,
    /// How many simulated experiments it rests on.
    pub runs: u32,
    /// The promise; `null` for procedures shown for comparison only.
    pub promise: Option<Promise>,
    /// Whether it was kept; `null` without a promise.
    pub kept: Option<bool>,
}

/// Bounds on a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Promise {
    /// At least this much.
    pub least: Option<f64>,
    /// At most this much.
    pub most: Option<f64>,
}

impl Promise {
    fn most(most: f64) -> Self {
        Self { least: None, most: Some(most) }
    }

    fn least(least: f64) -> Self {
        Self { least: Some(least), most: None }
    }

    fn between(least: f64, most: f64) -> Self {
        Self { least: Some(least), most: Some(most) }
    }

    /// What must never happen has no slack.
    fn is_kept(&self, value: f64, slack: f64) -> bool {
        let slack = if self.most == Some(0.0) { 0.0 } else { slack };
        self.least.is_none_or(|least| value >= least - slack) && self.most.is_none_or(|most| value <= most + slack)
    }
}

/// Standard errors of the simulation that a promise may be missed by.
const SLACK: f64 = 3.0;

impl Line {
    /// A share of the runs, with its binomial standard error; Agresti & Coull's, so that none or all of the runs have one too.
    fn share(data: String, procedure: &str, measure: &str, hits: u32, runs: u32, promise: Option<Promise>) -> Self {
        let value = f64::from(hits) / f64::from(runs.max(1));
        let (hits, runs_and_four) = (f64::from(hits) + 2.0, f64::from(runs) + 4.0);
        let standard_error = (hits * (runs_and_four - hits) / runs_and_four.powi(3)).sqrt();
        Self::new(data, procedure, measure, (value, standard_error), runs, promise)
    }

    fn new(data: String, procedure: &str, measure: &str, value: (f64, f64), runs: u32, promise: Option<Promise>) -> Self {
        let (value, standard_error) = value;
        let kept = promise.map(|promise| promise.is_kept(value, SLACK * standard_error));
        Self { data, procedure: procedure.to_owned(), measure: measure.to_owned(), value, standard_error, runs, promise, kept }
    }
}

/// Tries every default procedure on made data and on each history. `progress` hears how much is done, from 0 to 1.
///
/// # Errors
/// [`Degenerate`] when an effort is zero or a history is too short to be split and looked at.
pub fn certify(
    engine: &str,
    effort: &Effort,
    histories: &[History],
    mut progress: impl FnMut(f64),
) -> Result<Certificate, Degenerate> {
    if effort.runs == 0 || effort.units_per_look == 0 || effort.units_per_arm < 2 * effort.units_per_look {
        return Err(Degenerate::new("there is nothing to try: runs and units must be above zero, with two looks or more"));
    }
    let made = [World::Normal, World::RareBinary, World::Revenue];
    let own = histories.iter().map(|history| World::own(history, effort)).collect::<Result<Vec<_>, _>>()?;
    let worlds: Vec<World<'_>> = made.into_iter().chain(own).collect();
    let draws = Draws::seeded(effort.seed);
    let mut lines = Vec::new();
    for (index, world) in worlds.iter().enumerate() {
        lines.extend(trials::any_look(world, effort, &mut draws.split(4 * index as u64))?);
        lines.extend(trials::coverage(world, effort, &mut draws.split(4 * index as u64 + 1))?);
        lines.extend(trials::power(world, effort, &mut draws.split(4 * index as u64 + 2))?);
        progress((index as f64 + 1.0) / (worlds.len() as f64 + 1.0));
    }
    lines.extend(trials::forecast(effort, &mut draws.split(u64::MAX))?);
    lines.extend(trials::sample_ratio(effort, &mut draws.split(u64::MAX - 1))?);
    progress(1.0);
    let kept = lines.iter().all(|line| line.kept != Some(false));
    Ok(Certificate { engine: engine.to_owned(), seed: effort.seed, alpha: ALPHA, lines, kept })
}

/// The JSON schema of a [`Certificate`].
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Certificate).to_value()
}

/// The certificate as a table for people.
#[must_use]
pub fn text(certificate: &Certificate) -> String {
    let word = |line: &Line| match line.promise {
        None => "for comparison".to_owned(),
        Some(Promise { least: Some(least), most: Some(most) }) => format!("{} to {}", percent(least), percent(most)),
        Some(Promise { least: Some(least), .. }) => format!("at least {}", percent(least)),
        Some(Promise { most: Some(most), .. }) => format!("at most {}", percent(most)),
        Some(Promise { .. }) => String::new(),
    };
    let rows: Vec<Vec<String>> = certificate
        .lines
        .iter()
        .map(|line| {
            let kept = match line.kept {
                Some(true) => "kept",
                Some(false) => "BROKEN",
                None => "",
            };
            let value = format!("{:.2} % ± {:.2}", 100.0 * line.value, 100.0 * line.standard_error);
            let runs = line.runs.to_string();
            vec![line.data.clone(), line.procedure.clone(), line.measure.clone(), value, runs, word(line), kept.to_owned()]
        })
        .collect();
    let headings = ["data", "procedure", "measure", "value", "runs", "promise", ""].map(str::to_owned);
    let mut page = String::new();
    crate::text::table(&mut page, &headings, &rows);
    let verdict = if certificate.kept { "Every promise is kept." } else { "A promise is broken." };
    page + &format!(
        "  {verdict} Seed {}, error {} in total, {}.\n",
        certificate.seed,
        percent(certificate.alpha),
        certificate.engine
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effort() -> Effort {
        Effort { runs: 60, units_per_arm: 4_000, ..Effort::default() }
    }

    fn history() -> History {
        let mut draws = Draws::seeded(7);
        let values = (0..6_000).map(|_| if draws.uniform() < 0.01 { draws.lognormal(4.0, 1.0) } else { 0.0 }).collect();
        History { name: "spend of last spring".to_owned(), values }
    }

    #[test]
    fn the_default_procedures_keep_their_promises() {
        let mut heard = Vec::new();
        let certificate = certify("test", &effort(), &[history()], |done| heard.push(done)).unwrap();
        assert!(certificate.kept, "{}", text(&certificate));
        assert_eq!(heard.last(), Some(&1.0));
        assert!(text(&certificate).contains("spend of last spring"));
        let again = certify("test", &effort(), &[history()], |_| ()).unwrap();
        assert_eq!(certificate, again, "the same seed, the same certificate");
    }

    #[test]
    fn a_broken_procedure_is_seen() {
        let certificate = certify("test", &effort(), &[], |_| ()).unwrap();
        let peeking = |line: &&Line| line.data == "normal" && line.procedure == "fixed test at every look";
        let line = certificate.lines.iter().find(peeking).unwrap();
        assert!(!Promise::most(ALPHA).is_kept(line.value, SLACK * line.standard_error), "{line:?}");
        let raw = certificate.lines.iter().find(|line| line.procedure == "raw lift").unwrap();
        assert!(raw.value > 0.3, "the winner's curse is there: {raw:?}");
    }

    #[test]
    fn what_cannot_be_tried_says_why() {
        let short = History { name: "short".to_owned(), values: vec![1.0; 10] };
        assert!(certify("test", &effort(), &[short], |_| ()).unwrap_err().why.contains("10 values"));
        let mut wrong = history();
        wrong.values[3] = f64::NAN;
        assert!(certify("test", &effort(), &[wrong], |_| ()).unwrap_err().why.contains("not a number"));
        assert!(certify("test", &Effort { runs: 0, ..effort() }, &[], |_| ()).is_err());
    }
}
