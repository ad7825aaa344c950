//! The statistical methods by name: JSON in, JSON out, and an explanation of each. The command line and the API open this
//! door; what is computed is in `stats`.
//!
//! *Invariant:* no IO, no clock, and no randomness but from a seed in the input: the same input gives the same answer.
//! *Invariant:* a method never answers NaN or an infinity; it computes, or says why it cannot.
//!
//! Reading order: [`Method`], [`line`](mod@line) (the JSON lines), `input` (arms and options as people write them),
//! `summary` (effects of any metric), then one file per family.

mod input;
pub mod line;
mod method;
mod summary;

mod bandit;
mod cuped;
mod degenerate;
mod early;
mod factorial;
mod group_sequential;
mod markets;
mod means;
mod multiplicity;
mod posterior;
mod power;
mod proportions;
mod quantiles;
mod ratios;
mod sample_ratio;
mod samples;
mod sequential;
mod sizing;
mod tables;

pub use line::{Answered, answer_line};
pub use method::{Failure, Field, Method};

/// Every family, in the order of `sendlab stats --list`.
const FAMILIES: &[(&str, &[Method])] = &[
    ("Proportions and rates", proportions::METHODS),
    ("Tables of counts", tables::METHODS),
    ("Means", means::METHODS),
    ("Ranks, robust, more than two variants", samples::METHODS),
    ("Ratios and strata", ratios::METHODS),
    ("Covariates", cuped::METHODS),
    ("Quantiles", quantiles::METHODS),
    ("Crossed factors", factorial::METHODS),
    ("Always-valid", sequential::METHODS),
    ("Group-sequential", group_sequential::METHODS),
    ("Sample-ratio mismatch", sample_ratio::METHODS),
    ("Posteriors", posterior::METHODS),
    ("Bandits", bandit::METHODS),
    ("Markets and many experiments", markets::METHODS),
    ("Early and machine-made outcomes", early::METHODS),
    ("Multiplicity", multiplicity::METHODS),
    ("Power", power::METHODS),
    ("Sizing by value", sizing::METHODS),
    ("Asking whether there is an answer", degenerate::METHODS),
];

/// All methods with the title of their family.
pub fn families() -> impl Iterator<Item = (&'static str, &'static [Method])> {
    FAMILIES.iter().copied()
}

/// All methods.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    FAMILIES.iter().flat_map(|(_, methods)| methods.iter())
}

/// The method of that name.
///
/// # Errors
/// [`Failure::UnknownMethod`] with the nearest name.
pub fn find(name: &str) -> Result<&'static Method, Failure> {
    methods().find(|method| method.name == name).ok_or_else(|| {
        let nearest = methods().max_by(|a, b| strsim::jaro_winkler(a.name, name).total_cmp(&strsim::jaro_winkler(b.name, name)));
        Failure::UnknownMethod { name: name.to_owned(), nearest: nearest.map_or("", |method| method.name) }
    })
}
