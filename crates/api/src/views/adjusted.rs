//! The mirror of the primary metric with less noise, for the OpenAPI document: see [`super::documents`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents::{MetricDocument, document};
use super::readouts::IntervalDocument;

document!(
    /// Variant minus control, in the metric's unit per recipient.
    AdjustedDifferenceDocument as AdjustedDifference {
        /// The difference.
        difference: f64,
        /// Its standard error.
        standard_error: f64,
        /// Of `difference`, at one minus the experiment's alpha, at this one look.
        interval: IntervalDocument,
        /// Two-sided, at this one look.
        p_value: f64,
        /// The lift over control, a fraction; `null` where control's mean cannot be told from zero.
        #[schema(required = true)]
        lift: Option<f64>,
    }
);
document!(
    /// A variant against control.
    AdjustedVariantDocument as AdjustedVariant {
        /// The variant.
        variant: String,
        /// As it is, weighted by recipients.
        plain: AdjustedDifferenceDocument,
        /// With what they did before taken out, and by market.
        adjusted: AdjustedDifferenceDocument,
        /// The share of the difference's variance that both take away together; negative where they add.
        variance_removed: f64,
        /// Markets that are told apart.
        strata: u64,
    }
);
document!(
    /// The primary metric with less noise.
    AdjustedDocument as Adjusted {
        /// The primary metric.
        metric: MetricDocument,
        /// Recipients whose window is over.
        recipients: u64,
        /// Every variant but control, in the experiment's order; without those that cannot be compared.
        variants: Vec<AdjustedVariantDocument>,
        /// What to make of it.
        sentence: String,
    }
);
