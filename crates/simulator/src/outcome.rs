//! What a run of the simulated world tells while it goes and when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use experiment::{Readout, VerdictKind};
use serde::Serialize;
use vocabulary::{Recommendation, Timestamp, VariantName};

use crate::client::{CampaignProgress, Decision};
use crate::texts::control;
use crate::truth::Truth;

/// The parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Contacts are created.
    Contacts,
    /// The experiment runs on the tested share.
    Test,
    /// The experiment is decided.
    Decision,
    /// The rest gets the winner.
    Rest,
}

impl Phase {
    /// The phase in a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Test => "test",
            Self::Decision => "decision",
            Self::Rest => "rest",
        }
    }
}

/// News from a running world.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A phase began.
    Began(Phase),
    /// Contacts were created.
    Contacts {
        /// So many so far.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// Time went on, and everything due by then was done.
    Moment {
        /// The simulated time.
        now: Timestamp,
        /// What happened since the beginning.
        counts: Counts,
    },
    /// Somebody looked at the experiment while it ran.
    Look(Box<Readout>),
    /// The experiment was decided.
    Decided(Box<Decision>),
}

/// What happened in the world so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Mails received.
    pub mails: u64,
    /// Mails opened by a person.
    pub opens: u64,
    /// Mails opened by a machine.
    pub machine_opens: u64,
    /// Links followed.
    pub clicks: u64,
    /// Orders told to the server.
    pub orders: u64,
    /// People who unsubscribed.
    pub unsubscribes: u64,
}

/// One true effect beside its estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The metric.
    pub metric: String,
    /// The variant, which is compared with control.
    pub variant: VariantName,
    /// Control's true mean.
    pub control_true: f64,
    /// The exact expected difference to control.
    pub effect_true: f64,
    /// The estimated difference; `None` where there is none.
    pub effect_estimated: Option<f64>,
    /// The lower end of the interval.
    pub lower: Option<f64>,
    /// The upper end of the interval.
    pub upper: Option<f64>,
    /// Whether the truth lies in the interval.
    pub covered: Option<bool>,
    /// Whether the readout calls the difference distinguishable from none.
    pub significant: bool,
}

/// How one run went.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How many contacts there were.
    pub contacts: u32,
    /// What is true.
    pub truth: Truth,
    /// The metric the winner is picked by.
    pub primary: String,
    /// True effects beside estimates, by metric and variant.
    pub comparisons: Vec<Comparison>,
    /// The best variant in truth, on the primary metric.
    pub best: VariantName,
    /// Which way the verdict went.
    pub verdict: VerdictKind,
    /// The variant of the verdict.
    pub verdict_variant: VariantName,
    /// The verdict in a sentence.
    pub sentence: String,
    /// What senders used from then on.
    pub recommendation: Option<Recommendation>,
    /// When it was decided, in simulated time.
    pub decided_at: Timestamp,
    /// Mails received before the decision, by variant as the recipients saw it.
    pub mails_before: BTreeMap<String, u64>,
    /// Mails received after the decision, by variant as the recipients saw it.
    pub mails_after: BTreeMap<String, u64>,
    /// What happened in all.
    pub counts: Counts,
    /// Mails to people who had unsubscribed before: must be 0.
    pub unsubscribed_mailed: u64,
    /// Mails of a campaign to people who had it already: must be 0.
    pub duplicates: u64,
    /// People who were mailed by the test and by the rest's campaign: must be 0.
    pub mailed_twice: u64,
    /// Where each campaign ended, in order.
    pub campaigns: Vec<(String, CampaignProgress)>,
    /// How long each phase took, in wall time.
    pub walls: Vec<(Phase, Duration)>,
}

impl Outcome {
    /// Mails received after the decision that carried another variant than the one decided.
    #[must_use]
    pub fn losers_after(&self) -> u64 {
        let winner = self.recommendation.as_ref().map_or("", |recommendation| recommendation.variant.as_str());
        self.mails_after.iter().filter(|(variant, _)| variant.as_str() != winner).map(|(_, count)| count).sum()
    }

    /// Whether the verdict is the truth.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.verdict == VerdictKind::Winner && self.verdict_variant == self.best
    }
}

/// Puts every estimate against control beside its truth, metrics in the readout's order.
#[must_use]
pub fn compare(truth: &Truth, readout: &Readout) -> Vec<Comparison> {
    let control = control();
    let against_control = readout.estimates.iter().filter(|estimate| estimate.baseline == control);
    let rows = against_control.filter_map(|estimate| {
        let effect_true = truth.effect(&estimate.variant, &estimate.metric)?;
        let effect = estimate.absolute.computed();
        Some(Comparison {
            metric: estimate.metric.clone(),
            variant: estimate.variant.clone(),
            control_true: truth.arm(&control)?.expected.metric(&estimate.metric)?,
            effect_true,
            effect_estimated: effect.map(|effect| effect.difference),
            lower: effect.and_then(|effect| effect.interval.lower),
            upper: effect.and_then(|effect| effect.interval.upper),
            covered: effect.map(|effect| effect.interval.contains(effect_true)),
            significant: estimate.significant,
        })
    });
    rows.collect()
}
