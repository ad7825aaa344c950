//! Kevin Hillstrom's MineThatData e-mail challenge (2008), a real three-arm experiment on 64,000 customers, as its
//! sufficient statistics: recipients, visits, conversions, and the sum and sum of squares of spend in cents. Counted from
//! the published file; no row of it is carried here.

use std::collections::BTreeMap;

use stats::Moments;
use vocabulary::{Experiment, VariantName};

use super::{Readout, readout};
use crate::observe::{ArmObservations, Funnel, Observations};

const ARMS: [(&str, u64, u64, u64, u64, u64); 3] = [
    ("No E-Mail", 21_306, 2_262, 122, 1_390_833, 28_700_503_621),
    ("Mens E-Mail", 21_307, 3_894, 267, 3_031_169, 67_590_244_973),
    ("Womens E-Mail", 21_387, 3_238, 189, 2_303_811, 49_114_465_763),
];

pub(crate) const SPEC: &str = "\
experiment: hillstrom
question: Which e-mail brings people back?
factors: [copy]
variants:
  - name: No E-Mail
  - name: Mens E-Mail
  - name: Womens E-Mail
primary: visit
metrics:
  - {name: visit, outcome: click, measure: occurred}
  - {name: conversion, outcome: order, measure: occurred}
  - {name: spend, outcome: order, measure: amount}
window_hours: 336
";

pub(crate) fn spec() -> Experiment {
    crate::parse(SPEC).unwrap()
}

pub(crate) fn observations() -> Observations {
    let arm = |(name, count, visits, conversions, cents, cents_squared): (&str, u64, u64, u64, u64, u64)| {
        let spend = Moments::from_sums(count, cents as f64 / 100.0, cents_squared as f64 / 10_000.0).unwrap();
        let metrics = [
            ("visit", Moments::from_successes(count, visits)),
            ("conversion", Moments::from_successes(count, conversions)),
            ("spend", spend),
        ];
        ArmObservations {
            variant: VariantName::new(name).unwrap(),
            assigned: count,
            mature: count,
            metrics: metrics.map(|(name, moments)| (name.to_owned(), moments)).into(),
            ratios: BTreeMap::new(),
            before: None,
            adjusted: None,
            bounced: 0,
            funnel: Funnel { assigned: count, clicked: visits, ordered: conversions, ..Funnel::default() },
        }
    };
    Observations {
        versions: BTreeMap::from([("assignments".to_owned(), 3), ("orders".to_owned(), 5)]),
        engine: "sendlab 0.1.0".to_owned(),
        as_of: "2008-04-30T00:00:00Z".parse().unwrap(),
        arms: ARMS.map(arm).to_vec(),
        immature: 0,
        crossovers: 0,
        strangers: 0,
        unconverted_orders: 0,
        erased_units: 0,
    }
}

pub(crate) fn hillstrom() -> Readout {
    readout(&spec(), &observations(), "ro-1")
}

/// The same recipients, had the mails done nothing.
pub(crate) fn no_effect(immature: u64) -> Readout {
    readout(&spec(), &no_effect_observed(immature), "ro-2")
}

/// What was observed of them.
pub(crate) fn no_effect_observed(immature: u64) -> Observations {
    let mut observations = observations();
    let control = observations.arms[0].metrics.clone();
    for arm in &mut observations.arms {
        for (name, moments) in &mut arm.metrics {
            *moments = Moments { count: moments.count, ..control[name] };
        }
    }
    observations.immature = immature;
    observations
}
