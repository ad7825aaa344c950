//! The mirrors of an experiment by time and of early looks, for the OpenAPI document: see [`super::documents`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decisions::ShownDocument;
use super::documents::{MetricDocument, document};
use super::readouts::{FunnelDocument, IntervalDocument};

document!(
    /// What recipients did before their message, by which noise is taken out of the primary metric: the same metric of so many days (CUPED).
    CupedDocument as Cuped {
        /// How many days before.
        days: u32,
    }
);
document!(
    /// Looks that may decide before windows are over, while finished experiments show that what is early tells what is late.
    EarlyDocument as Early {
        /// The age in hours: 4, 24 or 72.
        age_hours: u32,
    }
);
document!(
    /// What a finished experiment's recipients had done at an early age.
    EarlyEffectDocument as EarlyEffect {
        /// The age in hours.
        age_hours: u32,
        /// The window in hours.
        window_hours: u32,
        /// The variant's mean over control's minus one at that age, a fraction.
        lift: f64,
        /// Of `lift`.
        standard_error: f64,
        /// The correlation of its error with that of the lift in the whole window.
        error_correlation: f64,
    }
);
document!(
    /// What is expected of a variant by what recipients did early.
    EarlyForecastDocument as EarlyForecast {
        /// The variant.
        variant: String,
        /// Its lift over control at the early age, a fraction; `null` where control's mean is not clearly above zero.
        early_lift: Option<f64>,
        /// How many finished experiments of the kind there are.
        experiments: u64,
        /// The share of their late lifts' variance that the early ones explain; `null` where there are too few to tell.
        explained: Option<f64>,
        /// Why it cannot decide; `null` where it can.
        why_not: Option<String>,
        /// The lift over control in the whole window that the early one speaks for, a fraction; `null` where it cannot decide.
        lift: Option<f64>,
        /// Of `lift`: it holds at all early looks and for all variants together.
        lift_interval: IntervalDocument,
        /// How far ahead of control in standard errors: positive is better, also where less is better.
        statistic: Option<f64>,
        /// It is shown from here on.
        boundary: Option<f64>,
        /// What is shown.
        shown: ShownDocument,
    }
);
document!(
    /// What is known before windows are over.
    EarlyLookDocument as EarlyLook {
        /// The age in hours.
        age_hours: u32,
        /// Recipients who are as old.
        recipients: u64,
        /// `recipients` over those planned, at most 1; `null` in a triggered flow.
        fraction: Option<f64>,
        /// Whether the action rests on it.
        decides: bool,
        /// Every variant but control, in the experiment's order.
        variants: Vec<EarlyForecastDocument>,
        /// What to make of it.
        sentence: String,
    }
);
document!(
    /// A variant at an age.
    AgeVariantDocument as AgeVariant {
        /// The variant.
        variant: String,
        /// Its recipients who are as old.
        recipients: u64,
        /// The primary metric per recipient, in its unit; `null` without recipients.
        mean: Option<f64>,
        /// Variant less control, in the metric's unit per recipient; `null` for control, and where it cannot be told.
        difference: Option<f64>,
        /// Of `difference`, at one minus the experiment's alpha, at this one look.
        interval: IntervalDocument,
        /// The lift over control, a fraction; `null` where control's mean cannot be told from zero.
        lift: Option<f64>,
        /// Of `lift`, likewise.
        lift_interval: IntervalDocument,
    }
);
document!(
    /// What recipients had done at an age.
    AgePointDocument as AgePoint {
        /// Hours since the planned hour of sending.
        age_hours: u32,
        /// Recipients who are as old, of all variants.
        recipients: u64,
        /// In the experiment's order.
        variants: Vec<AgeVariantDocument>,
    }
);
document!(
    /// A variant on a day.
    DayVariantDocument as DayVariant {
        /// The variant.
        variant: String,
        /// Everybody assigned to it who begins on that day, however old.
        assigned: u64,
        /// How far those came who are a day old.
        funnel: FunnelDocument,
    }
);
document!(
    /// How far the messages of a day's recipients came.
    DayPointDocument as DayPoint {
        /// The day in UTC, such as `2026-11-11`.
        day: String,
        /// In the experiment's order.
        variants: Vec<DayVariantDocument>,
    }
);
document!(
    /// An experiment by time.
    SeriesDocument as Series {
        /// The primary metric, which the ages are about.
        metric: MetricDocument,
        /// By age, the youngest first; without ages that nobody has.
        ages: Vec<AgePointDocument>,
        /// By the day in UTC on which recipients begin, the first one first.
        days: Vec<DayPointDocument>,
        /// What to make of the ages.
        sentence: String,
    }
);
