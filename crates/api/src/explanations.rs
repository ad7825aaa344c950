//! `POST /v1/explanations`: why contacts get a message of a campaign, or get none.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lake::PlanRow;
use planning::{Asked, Explained, Habit, Learned, Sources};
use policy::{Answer, Decision, Finding, Rules};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Campaign, CampaignId, Channel, ContactKey};

use crate::Parts;
use crate::held::MessageView;
use crate::problem::Problem;
use crate::request::Params;
use crate::views::ErrorBody;

/// Contacts explained by one request: each answer is some kilobytes.
const CONTACTS_MAX: usize = 1_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// Which decisions to explain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplanationParams {
    /// The campaign.
    #[schema(value_type = String, example = "spring-test")]
    campaign: CampaignId,
    /// Your own ids of contacts, 1 to 1,000.
    #[schema(example = json!(["customer-17"]))]
    contacts: Vec<String>,
}

/// Why contacts get a message, or get none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplanationsView {
    /// The campaign.
    campaign: String,
    /// The version of the rules that were asked.
    rules: String,
    /// One for each contact that is known, in the order they were given.
    contacts: Vec<ExplanationView>,
    /// Ids that mean nobody.
    unknown: Vec<String>,
}

/// Why one contact gets a message, or gets none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplanationView {
    /// Your own id of the contact.
    contact: String,
    /// The moment of which it tells: when the plan was made, else now.
    at: String,
    /// The number of the plan: the one in force, or the one that their newest entry went into where triggers name whom the
    /// campaign goes to. `null` where there is none yet.
    plan: Option<u32>,
    /// The entry of a trigger that it is about, the contact's newest: trigger, version and number. `null` where the campaign has an
    /// audience.
    step: Option<String>,
    /// What the plan says; `null` without a plan, or where the contact was not in its audience.
    planned: Option<DecisionView>,
    /// What the rules say of that moment.
    decided: DecisionView,
    /// Whether both are the same; `null` without a plan. Where not, what is known of the contact has changed since.
    agrees: Option<bool>,
    /// The hour that was learned for them; `null` where no variant leaves at it.
    learned_hour: Option<LearnedHourView>,
    /// Every rule's input and answer, for each variant that was asked about.
    variants: Vec<VariantView>,
    /// What became of the message since, by the ledger.
    message: Option<MessageView>,
}

/// An hour that was learned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LearnedHourView {
    /// By the contact's own clock, 0 to 23.
    hour: u8,
    /// Whose habit it is: `contact` their own, `market` that of people of their market, `default` nobody's, as too little is known.
    from: &'static str,
    /// Hours of the last 90 days in which they opened or clicked something themselves.
    own_acts: u64,
    /// The same of all contacts of the audience that are of their market.
    market_acts: u64,
    /// Why this hour, in a sentence.
    because: String,
}

impl From<Learned> for LearnedHourView {
    fn from(learned: Learned) -> Self {
        let Learned { hour, own_acts, market_acts } = learned;
        let because = match hour.from {
            Habit::Contact => {
                format!("in {own_acts} hours of 90 days they opened or clicked, which outweighs what their market does")
            }
            Habit::Market => format!(
                "people of their market opened or clicked in {market_acts} hours; their own {own_acts} do not outweigh that"
            ),
            Habit::Default => {
                format!("{own_acts} hours of their own and {market_acts} of their market are too few to know a habit")
            }
        };
        Self { hour: hour.hour, from: hour.from.as_str(), own_acts, market_acts, because }
    }
}

/// A decision about one contact.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    /// Whether a message is sent.
    sent: bool,
    /// The variant they were assigned; `null` where none is sent or the recommended one is taken.
    variant: Option<String>,
    /// The channel it goes by; `null` where none is sent.
    channel: Option<&'static str>,
    /// When it is due.
    due: Option<String>,
    /// The rule that refuses it or puts it off; `null` where none does.
    rule: Option<String>,
    /// The rule's version.
    rule_version: Option<u32>,
    /// What the rule said.
    reason: Option<String>,
}

impl DecisionView {
    /// A row of a plan of this campaign. Older ones leave out the channel where there was only one.
    fn new(row: &PlanRow, campaign: &Campaign) -> Self {
        let why = row.why.as_ref();
        let channel = row.channel.or(campaign.chain().first().copied()).filter(|_| row.due.is_some());
        Self {
            sent: row.due.is_some(),
            variant: row.variant.as_ref().map(ToString::to_string),
            channel: channel.map(Channel::as_str),
            due: row.due.map(|due| due.to_string()),
            rule: why.map(|why| why.rule.to_string()),
            rule_version: why.map(|why| why.version),
            reason: why.map(|why| why.reason.to_string()),
        }
    }
}

/// The answers about one variant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VariantView {
    /// The variant.
    variant: String,
    /// The channel it was asked about for.
    channel: &'static str,
    /// What it was meant for.
    due: String,
    /// `permit`, `defer` or `refuse`.
    decision: &'static str,
    /// The answers at that moment, then at each moment that a deferral led to.
    rounds: Vec<RoundView>,
}

/// All answers at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoundView {
    /// The moment.
    at: String,
    /// One for each rule that was asked, in order.
    findings: Vec<FindingView>,
}

/// One rule's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingView {
    /// The rule.
    rule: String,
    /// Its version.
    version: u32,
    /// Where it comes from.
    source: Option<String>,
    /// What it looked at.
    input: String,
    /// `permit`, `defer` or `refuse`.
    answer: &'static str,
    /// Why.
    because: String,
    /// The first moment at which it permits, where it defers.
    until: Option<String>,
}

impl FindingView {
    fn new(rules: &Rules, finding: Finding) -> Self {
        let (answer, because, until) = match finding.answer {
            Answer::Permit { because } => ("permit", because, None),
            Answer::Defer { until, because } => ("defer", because, Some(until.to_string())),
            Answer::Refuse { because } => ("refuse", because, None),
        };
        Self {
            source: rules.head(&finding.rule).map(|rule| rule.source.to_string()),
            rule: finding.rule.to_string(),
            version: finding.version,
            input: finding.input,
            answer,
            because: because.to_string(),
            until,
        }
    }
}

impl VariantView {
    fn new(rules: &Rules, asked: Asked) -> Self {
        let Asked { variant, channel, due, explanation } = asked;
        let decision = match explanation.decision {
            Decision::Permit => "permit",
            Decision::Defer { .. } => "defer",
            Decision::Refuse { .. } => "refuse",
        };
        let finding = |finding| FindingView::new(rules, finding);
        let rounds = explanation
            .rounds
            .into_iter()
            .map(|round| RoundView { at: round.at.to_string(), findings: round.findings.into_iter().map(finding).collect() });
        let (variant, channel) = (variant.to_string(), channel.as_str());
        Self { variant, channel, due: due.to_string(), decision, rounds: rounds.collect() }
    }
}

/// Explain decisions.
///
/// For each contact: what the plan says, what every rule was told and answered at the moment of the plan (now where there
/// is none), and what became of the message since.
#[utoipa::path(
    post,
    path = "/v1/explanations",
    tag = "campaigns",
    operation_id = "explain",
    request_body(content = ExplanationParams, description = "Of which campaign and contacts."),
    responses(
        (status = 200, description = "The decisions and their reasons.", body = ExplanationsView),
        (status = 404, description = "There is no such campaign.", body = ErrorBody),
        (status = 422, description = "No contact is named or too many are, or the campaign cannot be planned as it is.", body = ErrorBody)
    )
)]
async fn explain(
    State(parts): State<Arc<Parts>>,
    Params(ExplanationParams { campaign, contacts }): Params<ExplanationParams>,
) -> Result<Json<ExplanationsView>, Problem> {
    if contacts.is_empty() || contacts.len() > CONTACTS_MAX {
        let message = format!("{} contacts cannot be explained at once", contacts.len());
        return Err(Problem::unprocessable("bad_contacts", message, format!("name 1 to {CONTACTS_MAX}")));
    }
    let row = crate::campaigns::known(&parts, &campaign).await?;
    let written = row.campaign.clone();
    let keys = parts.control.look_up(&contacts).await?;
    let known: Vec<ContactKey> = keys.iter().copied().flatten().collect();
    let unknown = contacts.iter().zip(&keys).filter(|(_, key)| key.is_none()).map(|(id, _)| id.clone()).collect();
    let names: HashMap<ContactKey, String> =
        keys.iter().copied().zip(contacts).filter_map(|(key, id)| Some((key?, id))).collect();
    let from = Sources { control: &parts.control, lake: &parts.lake };
    let rules = parts.rules.current();
    let found = planning::explain(from, &rules, row, &known, parts.clock.now()).await?;
    let mut views = Vec::with_capacity(found.len());
    for Explained { contact, at, plan, step, planned, decided, learned, asked } in found {
        let message = parts.control.message(&content::message_id(&campaign, contact, step.as_ref())).await?;
        let planned = planned.map(|row| DecisionView::new(&row, &written));
        let decided = DecisionView::new(&decided, &written);
        let agrees = match &planned {
            Some(planned) => Some(*planned == decided),
            None => plan.map(|_| !decided.sent),
        };
        views.push(ExplanationView {
            contact: names.get(&contact).cloned().unwrap_or_default(),
            at: at.to_string(),
            plan,
            step: step.map(String::from),
            planned,
            decided,
            agrees,
            learned_hour: learned.map(LearnedHourView::from),
            variants: asked.into_iter().map(|asked| VariantView::new(&rules, asked)).collect(),
            message: message.map(MessageView::from),
        });
    }
    Ok(Json(ExplanationsView { campaign: campaign.to_string(), rules: rules.version().to_string(), contacts: views, unknown }))
}
