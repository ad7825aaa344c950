//! An experiment as people write it: variants, metrics, window. Parsed and checked by the `experiment` crate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{Channel, ExperimentId, Metric, Provider, SendHour, VariantName, Weekday};

/// One experiment. The unit is the intended recipient, fixed when the campaign is planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its id, also the salt of its assignment.
    pub experiment: ExperimentId,
    /// What it asks, in a sentence.
    #[serde(default)]
    pub question: String,
    /// What differs between the variants.
    pub factors: Vec<Factor>,
    /// At least two.
    pub variants: Vec<Variant>,
    /// The variant the others are compared with; the first where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<VariantName>,
    /// The metric the winner is picked by: the name of one of `metrics`.
    pub primary: String,
    /// What is measured, per intended recipient.
    pub metrics: Vec<Metric>,
    /// What must not get worse.
    #[serde(default)]
    pub guardrails: Vec<Guardrail>,
    /// Outcomes count from the planned hour of sending for so many hours; only recipients whose window is over count.
    #[serde(default = "window_hours_default")]
    pub window_hours: u32,
    /// A query that gives `contact_key`: who may take part. Everybody where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The share of false alarms that is accepted over all comparisons together (Holm).
    #[serde(default = "alpha_default")]
    pub alpha: f64,
    /// What its groups are to agree in before anything is sent; they are as chance makes them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// What it belongs to, in short labels such as `scarcity` or `double-eleven`: by them it is found, and learnt from with others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How a variant that is shipped goes to everybody in steps; at once where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How those who follow its recommendation are dealt its variants while it is learnt which is best; they get control until it is
    /// decided where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandit: Option<Bandit>,
    /// When a second person must approve what is decided; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The part of a layer it has to itself: nobody is in two experiments of one layer. Everybody may take part where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// What recipients did before their message is taken out of the numbers that decide; they are as they are where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuped: Option<Cuped>,
    /// When a look may decide before windows are over; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early: Option<Early>,
}

fn window_hours_default() -> u32 {
    7 * 24
}

fn alpha_default() -> f64 {
    0.05
}

impl Experiment {
    /// An experiment of which only this much is said; it has no variants and no metrics yet.
    #[must_use]
    pub fn new(experiment: ExperimentId, primary: String) -> Self {
        Self {
            experiment,
            question: String::new(),
            factors: Vec::new(),
            variants: Vec::new(),
            control: None,
            primary,
            metrics: Vec::new(),
            guardrails: Vec::new(),
            window_hours: window_hours_default(),
            audience: None,
            alpha: alpha_default(),
            balance: None,
            tags: Vec::new(),
            rollout: None,
            bandit: None,
            approval: None,
            layer: None,
            cuped: None,
            early: None,
        }
    }

    /// The variant the others are compared with. Panics only on an experiment that was never checked.
    #[must_use]
    pub fn control(&self) -> &VariantName {
        self.control.as_ref().unwrap_or(&self.variants[0].name)
    }

    /// The variants that send something, in the experiment's order: all but the holdout.
    pub fn sending(&self) -> impl DoubleEndedIterator<Item = &Variant> {
        self.variants.iter().filter(|variant| !variant.holdout)
    }

    /// The variant whose recipients are sent nothing, if there is one.
    #[must_use]
    pub fn holdout(&self) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.holdout)
    }

    /// Every variant that may be sent but control, in the experiment's order.
    pub fn others(&self) -> impl Iterator<Item = &VariantName> {
        let control = self.control();
        self.sending().map(|variant| &variant.name).filter(move |name| *name != control)
    }

    /// The metric the winner is picked by. `None` only in an experiment that was never checked.
    #[must_use]
    pub fn primary_metric(&self) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == self.primary)
    }

    /// The variant to which weights give the most; of several the first.
    #[must_use]
    pub fn heaviest(&self, weights: &BTreeMap<VariantName, f64>) -> &VariantName {
        let weight = |name: &VariantName| weights.get(name).copied().unwrap_or_default();
        let names = self.variants.iter().map(|variant| &variant.name);
        // `max_by` gives the last of equals.
        names.rev().max_by(|one, other| weight(one).total_cmp(&weight(other))).unwrap_or_else(|| self.control())
    }

    /// The variant of that name.
    #[must_use]
    pub fn variant(&self, name: &VariantName) -> Option<&Variant> {
        self.variants.iter().find(|variant| &variant.name == name)
    }
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name.
    pub name: VariantName,
    /// Its share, relative to the other weights.
    #[serde(default = "weight_default")]
    pub weight: u32,
    /// The name of the campaign's content it uses; the variant's own name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// The hour of sending in the recipient's own time zone, 0 to 23 or `learned`; the campaign's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_hour: Option<SendHour>,
    /// The channel, one of the campaign's; whichever of those it is for the contact where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The day by the recipient's own clock: it leaves on the next such day, at the hour that holds for the variant, else at the first
    /// moment of that day; today where today is that day and the hour has not passed. What rules put off may leave on another day.
    /// Any day where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_day: Option<Weekday>,
    /// The gateway for text messages by which it leaves, and by no other: where that does not take it, it is not sent. Whichever takes
    /// its class and country where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Whether it is the holdout: everything is done for its recipients but handing the message over (a ghost send), so that what sending
    /// brings at all is measured on people who would have got it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub holdout: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn weight_default() -> u32 {
    1
}

impl Variant {
    /// A variant of which only the name is said.
    #[must_use]
    pub fn new(name: VariantName) -> Self {
        Self {
            name,
            weight: weight_default(),
            copy: None,
            send_hour: None,
            channel: None,
            send_day: None,
            provider: None,
            holdout: false,
        }
    }

    /// The name of the content this variant sends.
    #[must_use]
    pub fn copy_name(&self) -> &str {
        self.copy.as_deref().unwrap_or(self.name.as_str())
    }
}

/// A metric that must not get worse than `margin` (relative to control, e.g. 0.1 = 10 %).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// The name of one of `metrics`.
    pub metric: String,
    /// How much worse, relative to control, is still tolerated.
    pub margin: f64,
}

/// What the groups of an experiment are to agree in: its first plan draws the assignment anew until they do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// What is compared.
    pub covariates: Vec<Covariate>,
    /// What contacts did in so many days before the plan counts.
    #[serde(default = "balance_days_default")]
    pub days: u32,
    /// The share of all assignments that is balanced enough.
    #[serde(default = "acceptance_default")]
    pub acceptance: f64,
}

fn balance_days_default() -> u32 {
    90
}

fn acceptance_default() -> f64 {
    0.1
}

/// How a variant that is shipped goes to everybody: to a part of those who follow first, and on as long as no harm is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The share of each step in percent of those who follow: rising, 100 last. The others get control.
    #[serde(default = "steps_default")]
    pub steps: Vec<u8>,
    /// How many hours a step lasts at least.
    #[serde(default = "step_hours_default")]
    pub hours: u32,
}

fn steps_default() -> Vec<u8> {
    vec![5, 25, 50, 100]
}

fn step_hours_default() -> u32 {
    24
}

/// What recipients did before their message, by which noise is taken out of the primary metric: the same metric of so many days. Deng, Xu,
/// Kohavi & Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM (2013).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuped {
    /// How many days before.
    #[serde(default = "cuped_days_default")]
    pub days: u32,
}

impl Cuped {
    /// The same in hours.
    #[must_use]
    pub fn hours(self) -> i64 {
        24 * i64::from(self.days)
    }
}

fn cuped_days_default() -> u32 {
    90
}

/// Looks that may decide before windows are over: by what recipients did up to an age, and only while finished experiments show that this
/// tells what they do in the whole window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Early {
    /// The age in hours: 4, 24 or 72.
    #[serde(default = "early_hours_default")]
    pub age_hours: u32,
}

fn early_hours_default() -> u32 {
    24
}

/// A part of a layer. Each layer deals all contacts out by a hash of its own, so that experiments of one layer never share a recipient, and
/// those of different layers share them by chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Where the part begins, in percent of all contacts.
    pub from: u8,
    /// Where it ends: up to, and without.
    pub to: u8,
}

impl Layer {
    /// Whether two parts are of one layer and have contacts in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.name == other.name && self.from < other.to && other.from < self.to
    }
}

/// When a second person must approve: another key than the one that decided, and any where the server did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// From so many people on who are still to follow; 0 is always.
    pub from: u64,
}

/// How those who follow an experiment's recommendation are dealt its variants in waves, more of what looks better. The experiment's own
/// groups are its audit: they stay as they were drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandit {
    /// How shares follow from chances.
    #[serde(default = "bandit_rule_default")]
    pub rule: BanditRule,
    /// The share that every variant keeps, from 0 to 1.
    #[serde(default = "floor_default")]
    pub floor: f64,
    /// How many hours a wave lasts at least.
    #[serde(default = "wave_hours_default")]
    pub wave_hours: u32,
}

fn bandit_rule_default() -> BanditRule {
    BanditRule::Thompson
}

fn floor_default() -> f64 {
    0.05
}

fn wave_hours_default() -> u32 {
    24
}

words!(
    /// How the shares of a bandit follow from the chances of the variants to be best.
    BanditRule {
        /// As the chances are: earns the most while it learns. Thompson 1933.
        Thompson = "thompson",
        /// Half to the best and half to its challengers: finds the best sooner. Russo 2016.
        TopTwo = "top_two",
    }
);
words!(
    /// What is known of a contact before an experiment.
    Covariate {
        /// What they spent less what was paid back to them, in the base currency.
        Revenue = "revenue",
        /// How often they ordered.
        Orders = "orders",
        /// How often they clicked themselves.
        Clicks = "clicks",
        /// How often they opened themselves.
        Opens = "opens",
        /// For how long they have been known.
        Tenure = "tenure",
        /// Where they are.
        Country = "country",
    }
);
words!(
    /// What can differ between variants.
    Factor {
        /// Subject, text, pictures, offer.
        Copy = "copy",
        /// The day of the week and the hour.
        Timing = "timing",
        /// The way to reach the person.
        Channel = "channel",
        /// The gateway for text messages.
        Provider = "provider",
    }
);
