//! What is told of recommendations: each as it was made, what follows from them for who asks, and what each contact gets.

use std::collections::BTreeMap;

use experiment::Advice;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vocabulary::{ExperimentId, Recommendation, RecommendationScope, VariantName};

/// For whom a recommendation speaks; what is `null` is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecommendationScope)]
pub struct ScopeView {
    /// The market.
    #[schema(example = "DE")]
    pub market: Option<String>,
    /// The language tag; `de` speaks for `de-AT` too.
    #[schema(example = "de")]
    pub locale: Option<String>,
    /// The name of a segment.
    pub segment: Option<String>,
}

impl From<RecommendationScope> for ScopeView {
    fn from(scope: RecommendationScope) -> Self {
        let RecommendationScope { market, locale, segment } = scope;
        Self { market, locale, segment }
    }
}

/// What the senders should use, as decided once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Recommendation)]
pub struct RecommendationView {
    /// Its id, which is also its ETag.
    pub id: String,
    /// The experiment it speaks for.
    pub experiment_id: String,
    /// For whom it speaks.
    pub scope: ScopeView,
    /// The variant to send where all get the same: the one of the greatest weight.
    pub variant: String,
    /// The share of each variant, in sum 1; a decided winner alone has 1.
    #[schema(example = json!({"warm": 1.0}))]
    pub weights: BTreeMap<String, f64>,
    /// The recommendation it replaced; `null` for the first of its scope.
    pub parent: Option<String>,
    /// Why, in a sentence.
    pub reason: String,
    /// The readout it rests on; `null` where a person decided.
    pub readout_id: Option<String>,
    /// How much better than the control it is expected to do, in the primary metric's unit per recipient; `null` where a person decided.
    pub expected_gain: Option<f64>,
    /// What choosing it costs on average where it is not the best, in the same unit; `null` where a person decided.
    pub expected_loss: Option<f64>,
    /// From when on it does not hold any more; `null` where it holds until it is replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub valid_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<Recommendation> for RecommendationView {
    fn from(made: Recommendation) -> Self {
        Self {
            id: made.id.into(),
            experiment_id: made.experiment_id.into(),
            scope: made.scope.into(),
            variant: made.variant.into(),
            weights: by_name(&made.weights),
            parent: made.parent.map(String::from),
            reason: made.reason,
            readout_id: made.readout_id,
            expected_gain: made.expected.map(|expected| expected.gain),
            expected_loss: made.expected.map(|expected| expected.loss),
            valid_until: made.valid_until,
            created_at: made.created_at,
        }
    }
}

fn by_name(weights: &BTreeMap<VariantName, f64>) -> BTreeMap<String, f64> {
    weights.iter().map(|(name, weight)| (name.to_string(), *weight)).collect()
}

/// What to send now: what the most specific recommendation that speaks for who asks says, else the control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Advice)]
pub struct AdviceView {
    /// The experiment.
    pub experiment_id: String,
    /// The recommendation that is followed; `null` where the control is sent for want of one.
    pub id: Option<String>,
    /// The variant to send where all get the same.
    pub variant: String,
    /// The share of each variant.
    #[schema(example = json!({"warm": 1.0}))]
    pub weights: BTreeMap<String, f64>,
    /// Whether the control is sent because no recommendation holds.
    pub fallback: bool,
    /// Why it is: `no_recommendation`, `expired` or `unknown_variant`; `null` where a recommendation is followed.
    #[schema(example = "expired")]
    pub fallback_kind: Option<String>,
    /// Why, in a sentence.
    pub reason: String,
    /// For whom the recommendation speaks.
    pub scope: ScopeView,
    /// The recommendation that it replaced.
    pub parent: Option<String>,
    /// The readout it rests on.
    pub readout_id: Option<String>,
    /// How much better than the control it is expected to do, in the primary metric's unit per recipient; `null` where that is not known.
    pub expected_gain: Option<f64>,
    /// What choosing it costs on average where it is not the best, in the same unit; `null` where that is not known.
    pub expected_loss: Option<f64>,
    /// Until when it holds; `null` where it holds until it is replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub valid_until: Option<Timestamp>,
    /// When it was made; `null` where none is followed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
}

impl AdviceView {
    pub(crate) fn new(experiment: &ExperimentId, advice: &Advice<'_>) -> Self {
        let variant = advice.variant();
        let fallback = advice.fallback();
        let of_control = || by_name(&Recommendation::all_to(variant));
        let common = Self {
            experiment_id: experiment.to_string(),
            id: None,
            variant: variant.to_string(),
            weights: BTreeMap::new(),
            fallback: fallback.is_some(),
            fallback_kind: fallback.map(|why| why.kind().to_owned()),
            reason: fallback.map(ToString::to_string).unwrap_or_default(),
            scope: ScopeView::default(),
            parent: None,
            readout_id: None,
            expected_gain: None,
            expected_loss: None,
            valid_until: None,
            created_at: None,
        };
        let Some(made) = advice.followed() else { return Self { weights: of_control(), ..common } };
        Self {
            id: Some(made.id.to_string()),
            weights: by_name(&made.weights),
            reason: made.reason.clone(),
            scope: made.scope.clone().into(),
            parent: made.parent.as_ref().map(ToString::to_string),
            readout_id: made.readout_id.clone(),
            expected_gain: made.expected.map(|expected| expected.gain),
            expected_loss: made.expected.map(|expected| expected.loss),
            valid_until: made.valid_until,
            created_at: Some(made.created_at),
            ..common
        }
    }
}

/// A person's decision. Give `variant`, or `weights` where several are to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionParams {
    /// The variant to send from now on.
    #[serde(default)]
    pub variant: Option<String>,
    /// The share of each variant: positive numbers of which only the proportions count.
    #[serde(default)]
    #[schema(example = json!({"plain": 30, "warm": 70}))]
    pub weights: Option<BTreeMap<String, f64>>,
    /// Only for this market.
    #[serde(default)]
    pub market: Option<String>,
    /// Only for this language; `de` speaks for `de-AT` too.
    #[serde(default)]
    pub locale: Option<String>,
    /// Only for this segment.
    #[serde(default)]
    pub segment: Option<String>,
    /// From when on it does not hold any more; until it is replaced where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub valid_until: Option<Timestamp>,
    /// The recommendation of the same scope that is current as far as the person knows; `null` where there is none.
    #[serde(default)]
    pub parent: Option<String>,
    /// Why, in a sentence for those who come after.
    pub reason: String,
}

/// Contacts to whom something is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactsParams {
    /// Your own ids, at most 1,000.
    pub contacts: Vec<String>,
    /// The market of all of them; what is known of each where absent.
    #[serde(default)]
    pub market: Option<String>,
    /// The language of all of them; what is known of each where absent.
    #[serde(default)]
    pub locale: Option<String>,
    /// The segment they are written to as.
    #[serde(default)]
    pub segment: Option<String>,
}

/// What contacts get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Picks {
    /// The experiment.
    pub experiment_id: String,
    /// One for each contact, in the order given.
    pub picks: Vec<PickView>,
}

/// What a contact gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Pick)]
pub struct PickView {
    /// Your own id of the contact.
    pub contact: String,
    /// The variant: for the same weights always the same one.
    pub variant: String,
    /// How likely this variant was before it was picked. Keep it with what is sent: estimates need it.
    pub propensity: f64,
    /// The recommendation that is followed; `null` where the control is sent for want of one.
    pub recommendation_id: Option<String>,
    /// Whether the control is sent because no recommendation holds.
    pub fallback: bool,
}
