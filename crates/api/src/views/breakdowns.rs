//! The mirrors of a breakdown, of overlaps and of layers, for the OpenAPI document: see [`super::documents`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decisions::ForecastDocument;
use super::documents::document;
use super::readouts::IntervalDocument;

document!(
    /// A part of a layer, in percent of all contacts. Experiments of one layer never share a recipient.
    LayerDocument as Layer {
        /// Its name.
        name: String,
        /// Where the part begins.
        from: u8,
        /// Where it ends: up to, and without.
        to: u8,
    }
);
document!(
    /// One group of recipients.
    PartDocument as BreakdownPart {
        /// What they have in common; `(unknown)` where it is not known.
        part: String,
        /// Recipients whose window is over, of all variants.
        mature: u64,
        /// What is believed of each variant in it, control first: shrunk towards all recipients. Empty where there is nothing to forecast from.
        variants: Vec<ForecastDocument>,
        /// The best bet in it.
        #[schema(required = true)]
        best: Option<String>,
    }
);
document!(
    /// Whether a variant's effect differs between groups: Cochran's test, over the groups with outcomes enough.
    DifferenceDocument as BreakdownDifference {
        /// The variant.
        variant: String,
        /// Cochran's Q.
        statistic: f64,
        /// Groups less one.
        degrees_of_freedom: u64,
        /// The chance of as much where groups do not differ.
        p_value: f64,
        /// The same over all variants together (Holm).
        p_adjusted: f64,
        /// Whether they differ at the experiment's alpha.
        differs: bool,
    }
);
document!(
    /// An experiment by groups of its recipients.
    BreakdownDocument as Breakdown {
        /// What they are grouped by.
        by: String,
        /// The primary metric, which all of it is about.
        metric: String,
        /// The largest first.
        parts: Vec<PartDocument>,
        /// Every variant but control, in the experiment's order; without those of whom too few did anything in two groups.
        differences: Vec<DifferenceDocument>,
        /// What to make of it.
        sentence: String,
    }
);
document!(
    /// How much more a variant brings with one of the other experiment than with the other's control.
    InteractionDocument as Interaction {
        /// The variant.
        variant: String,
        /// The other experiment's variant.
        with: String,
        /// The difference in differences, in the primary metric's unit per recipient.
        difference: f64,
        /// Of `difference`, at one minus the experiment's alpha.
        interval: IntervalDocument,
    }
);
document!(
    /// What another experiment does to this one.
    OverlapDocument as Overlap {
        /// The other experiment.
        other: String,
        /// Recipients of both whose window is over.
        recipients: u64,
        /// The chance of groups as uneven as these where they are independent (Pearson). `null` where it cannot be computed.
        #[schema(required = true)]
        independence_p: Option<f64>,
        /// Whether the groups of the one do not hold those of the other alike.
        is_dependent: bool,
        /// The chance of effects as different as these where none changes the other (Wald). `null` where too few did anything.
        #[schema(required = true)]
        interaction_p: Option<f64>,
        /// The same over all experiments that are scanned (Benjamini & Hochberg).
        #[schema(required = true)]
        interaction_p_adjusted: Option<f64>,
        /// Whether effects change each other.
        interacts: bool,
        /// By how much: every variant of both but control.
        interactions: Vec<InteractionDocument>,
        /// What to make of it.
        sentence: String,
    }
);
