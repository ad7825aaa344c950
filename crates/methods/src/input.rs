//! Arms and options as people write them, shared by the families.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::{CoMoments, Degenerate, Moments, Proportion};

use crate::method::{Failure, Field};

/// Successes among `n` recipients.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProportionArm {
    pub(crate) n: u64,
    pub(crate) successes: u64,
}

impl ProportionArm {
    pub(crate) fn proportion(self) -> Proportion {
        Proportion { count: self.n, successes: self.successes }
    }
}

/// Raw sums of one number per recipient.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeanArm {
    pub(crate) n: u64,
    pub(crate) sum: f64,
    pub(crate) sum_squares: f64,
}

impl MeanArm {
    pub(crate) fn moments(self) -> Result<Moments, Degenerate> {
        Moments::from_sums(self.n, self.sum, self.sum_squares)
    }
}

/// Raw sums of a numerator and a denominator per recipient.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RatioArm {
    pub(crate) n: u64,
    pub(crate) numerator_sum: f64,
    pub(crate) numerator_sum_squares: f64,
    pub(crate) denominator_sum: f64,
    pub(crate) denominator_sum_squares: f64,
    pub(crate) sum_of_products: f64,
}

impl RatioArm {
    /// Number 0 is the numerator, number 1 the denominator.
    pub(crate) fn moments(self) -> Result<CoMoments, Degenerate> {
        CoMoments::from_sums(
            self.n,
            &[self.numerator_sum, self.denominator_sum],
            &[self.numerator_sum_squares, self.sum_of_products, self.denominator_sum_squares],
        )
    }
}

/// Raw sums of an outcome and a covariate per recipient.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CupedArm {
    pub(crate) n: u64,
    pub(crate) sum: f64,
    pub(crate) sum_squares: f64,
    pub(crate) covariate_sum: f64,
    pub(crate) covariate_sum_squares: f64,
    pub(crate) sum_of_products: f64,
}

impl CupedArm {
    /// Number 0 is the outcome, number 1 the covariate.
    pub(crate) fn moments(self) -> Result<CoMoments, Degenerate> {
        CoMoments::from_sums(
            self.n,
            &[self.sum, self.covariate_sum],
            &[self.sum_squares, self.sum_of_products, self.covariate_sum_squares],
        )
    }
}

/// Raw sums of numerator and denominator, after and before.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CupedRatioArm {
    pub(crate) n: u64,
    pub(crate) m_post_sum: f64,
    pub(crate) m_post_sum_squares: f64,
    pub(crate) d_post_sum: f64,
    pub(crate) d_post_sum_squares: f64,
    pub(crate) m_pre_sum: f64,
    pub(crate) m_pre_sum_squares: f64,
    pub(crate) d_pre_sum: f64,
    pub(crate) d_pre_sum_squares: f64,
    pub(crate) m_post_d_post_sum_of_products: f64,
    pub(crate) m_post_m_pre_sum_of_products: f64,
    pub(crate) m_post_d_pre_sum_of_products: f64,
    pub(crate) d_post_m_pre_sum_of_products: f64,
    pub(crate) d_post_d_pre_sum_of_products: f64,
    pub(crate) m_pre_d_pre_sum_of_products: f64,
}

impl CupedRatioArm {
    /// Numbers 0 to 3: numerator and denominator after, numerator and denominator before.
    pub(crate) fn moments(self) -> Result<CoMoments, Degenerate> {
        CoMoments::from_sums(
            self.n,
            &[self.m_post_sum, self.d_post_sum, self.m_pre_sum, self.d_pre_sum],
            &[
                self.m_post_sum_squares,
                self.m_post_d_post_sum_of_products,
                self.m_post_m_pre_sum_of_products,
                self.m_post_d_pre_sum_of_products,
                self.d_post_sum_squares,
                self.d_post_m_pre_sum_of_products,
                self.d_post_d_pre_sum_of_products,
                self.m_pre_sum_squares,
                self.m_pre_d_pre_sum_of_products,
                self.d_pre_sum_squares,
            ],
        )
    }
}

/// Absolute or relative to control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Difference {
    #[default]
    Absolute,
    Relative,
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    HigherIsBetter,
    LowerIsBetter,
}

/// The total two-sided error where none is given.
pub(crate) fn default_alpha() -> f64 {
    0.05
}

/// What `alpha` is to most methods.
pub(crate) const ALPHA: Field = Field { name: "alpha", about: "two-sided error, between 0 and 1; 0.05 where not given" };

/// The power where none is given.
pub(crate) fn default_power() -> f64 {
    0.8
}

/// The recipients at which a confidence sequence is narrowest where none are given.
pub(crate) fn default_tuning() -> f64 {
    5000.0
}

/// Arms of equal size where no ratio is given.
pub(crate) fn default_ratio() -> f64 {
    1.0
}

/// An optional number that this call cannot do without.
pub(crate) fn needed(field: &str, value: Option<f64>) -> Result<f64, Failure> {
    value.ok_or_else(|| Failure::Input {
        field: field.to_owned(),
        message: "missing; it is needed for what is to be solved".to_owned(),
    })
}

/// A whole number as JSON without a decimal point, where it is small enough to be one.
pub(crate) fn whole(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}
