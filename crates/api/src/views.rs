//! The wire types: what answers and bodies look like, with their schemas.
//!
//! Experiments, campaigns and readouts have a written form of their own in their crates; [`documents`] mirrors those
//! forms for the OpenAPI document only, and a test holds the mirrors true. Everything else is a view made here.

pub mod adjusted;
pub mod bandits;
pub mod breakdowns;
pub mod decisions;
pub mod documents;
pub mod library;
pub mod looks;
pub mod proposals;
pub mod readouts;
pub mod recommending;
pub mod rollouts;
pub mod series;
pub mod sizing;
pub mod statistics;
pub mod timing;

use std::collections::BTreeMap;

use control::{KeyRow, Progress, Scope};
use jiff::Timestamp;
use lake::{TableInfo, TableKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vocabulary::{Experiment, Recommendation};

use crate::line::Fault;
use documents::{CampaignDocument, VariantDocument};
use readouts::ReadoutDocument;
pub use recommending::{AdviceView, ContactsParams, DecisionParams, PickView, Picks, RecommendationView, ScopeView};

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorView,
}

/// What went wrong, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorView {
    /// For programs: stays the same when the words change.
    #[schema(example = "missing_scope")]
    pub kind: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A decision that came too late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConflictBody {
    /// What went wrong.
    pub error: ErrorView,
    /// The recommendation that is current now; `null` where there is none.
    pub current: Option<RecommendationView>,
}

/// The server is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: String,
}

/// What became of a batch of events. Accepted events are on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collected {
    /// Events that were new.
    pub accepted: u64,
    /// Events that were known already.
    pub duplicate: u64,
    /// Lines that could not be kept.
    pub rejected: u64,
    /// One for each rejected line.
    pub errors: Vec<LineError>,
    /// One for each duplicate.
    pub duplicates: Vec<Duplicate>,
}

/// A batch of calls by Segment's public specification. Fields that are not listed are left aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SegmentBatch {
    /// The calls.
    pub batch: Vec<SegmentCall>,
    /// The sender's clock as it sends the batch.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(rename = "sentAt")]
    pub sent_at: Option<Timestamp>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SegmentCall {
    /// `track`; the others are named in the answer and not kept.
    #[serde(rename = "type")]
    #[schema(example = "track")]
    pub call: String,
    /// Names the call for ever; it becomes `event_id`.
    #[serde(rename = "messageId")]
    pub message_id: String,
    /// The contact.
    #[serde(rename = "userId")]
    pub user_id: Option<String>,
    /// The contact, where there is no `userId`.
    #[serde(rename = "anonymousId")]
    pub anonymous_id: Option<String>,
    /// When it happened; now where absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub timestamp: Option<Timestamp>,
    /// The event's name in the specification.
    #[schema(example = "Order Completed")]
    pub event: String,
    /// What the specification says of this event.
    #[serde(default)]
    pub properties: BTreeMap<String, serde_json::Value>,
    /// Where it happened; `userAgent` is read.
    #[serde(default)]
    pub context: BTreeMap<String, serde_json::Value>,
}

/// What became of a batch of calls. Accepted events are on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SegmentAnswer {
    /// `true`: the batch was read, whatever became of each call.
    pub success: bool,
    /// What became of the calls.
    #[serde(flatten)]
    pub collected: Collected,
}

/// An event in the envelope of CloudEvents 1.0. Attributes that are not listed are left aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CloudEventV1 {
    /// `1.0`.
    #[schema(example = "1.0")]
    pub specversion: String,
    /// `sendlab.` and the kind of event.
    #[serde(rename = "type")]
    #[schema(example = "sendlab.order")]
    pub kind: String,
    /// Who tells it; together with `id` it becomes `event_id`, unless `data` gives one.
    #[schema(example = "/shop/orders")]
    pub source: String,
    /// Names the event within its source.
    pub id: String,
    /// When it happened; it becomes `event_time`, unless `data` gives one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<Timestamp>,
    /// The other fields of the event.
    #[serde(default)]
    pub data: BTreeMap<String, serde_json::Value>,
}

/// Why nothing of a batch of events was kept: every line is bad, or the batch as a whole is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum EventsRefused {
    /// Every line is bad.
    Lines(Collected),
    /// There are no lines, or too many.
    Batch(ErrorBody),
}

/// Why nothing of a batch of contacts was kept: every line is bad, or the batch as a whole is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ContactsRefused {
    /// Every line is bad.
    Lines(ContactsStored),
    /// There are no lines, or too many.
    Batch(ErrorBody),
}

/// A line that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineError {
    /// Its number, from 1: the line in the body, or the element of the array.
    pub line: u64,
    /// The field that is wrong; `null` where it is the line as a whole.
    pub field: Option<String>,
    /// Why, and what to write instead.
    pub reason: String,
}

impl LineError {
    pub(crate) fn new(line: usize, fault: Fault) -> Self {
        Self { line: line as u64, field: fault.field, reason: fault.reason }
    }
}

/// A line that told what was known already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Duplicate {
    /// Its number, from 1.
    pub line: u64,
    /// The event.
    pub event_id: String,
}

/// What became of a batch of contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContactsStored {
    /// New contacts.
    pub created: u64,
    /// Contacts that changed.
    pub updated: u64,
    /// Contacts that were so already.
    pub unchanged: u64,
    /// Those of them whose own id was new and became a further one of a contact with the same address.
    #[serde(default)]
    pub merged: u64,
    /// Lines that could not be kept.
    pub rejected: u64,
    /// One for each rejected line.
    pub errors: Vec<LineError>,
}

/// One contact as the customer's system knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Contact)]
pub struct ContactView {
    /// The customer's own id, at most 128 bytes.
    #[schema(example = "customer-4711")]
    pub key: String,
    /// The e-mail address. Like all addresses it is kept encrypted and never enters the lake.
    #[schema(example = "kim@example.test")]
    pub email: Option<String>,
    /// The phone number for SMS: international with +, or as it is dialled in `country`. Kept as E.164.
    #[schema(example = "+493022700")]
    pub phone: Option<String>,
    /// The phone number of the WhatsApp account, written the same way.
    pub whatsapp: Option<String>,
    /// The WeChat OpenID.
    pub wechat: Option<String>,
    /// The push token.
    pub push: Option<String>,
    /// The LINE user id.
    pub line: Option<String>,
    /// The Telegram chat id.
    pub telegram: Option<String>,
    /// ISO 3166 alpha-2 country, two capital letters.
    #[schema(example = "DE")]
    pub country: Option<String>,
    /// ISO 3166-2 part of the country; laws may differ between parts.
    #[schema(example = "DE-BY")]
    pub region: Option<String>,
    /// BCP 47 language tag.
    #[schema(example = "de-AT")]
    pub language: Option<String>,
    /// IANA time zone. Without one, the only one of the country, or of the phone number's, is taken.
    #[schema(example = "Europe/Vienna")]
    pub time_zone: Option<String>,
    /// ISO 3166 alpha-2 country they buy in, where it is not `country`.
    #[schema(example = "AT")]
    pub market: Option<String>,
    /// What they are interested in: a list, or text with `;` or `|` between. It replaces what was known.
    #[serde(default)]
    #[schema(example = json!(["shoes", "bags"]))]
    pub interests: Vec<String>,
    /// The customer's own marks, written the same way.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When they registered: a time or a day. When they are first stored, where absent.
    #[schema(example = "2026-01-05T10:00:00Z")]
    pub registered_at: Option<String>,
    /// The device they use most.
    #[schema(example = "android")]
    pub device: Option<String>,
    /// When they were born; the year alone where nothing else is known.
    #[schema(example = "1990-05-17")]
    pub birth_date: Option<String>,
    /// Where they came from: the acquisition source.
    #[schema(example = "spring-fair")]
    pub source: Option<String>,
    /// Own attributes for segmentation: text, numbers, or true and false.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlParams {
    /// One statement that only reads.
    #[schema(example = "SELECT variant, count(*) AS assigned FROM assignments GROUP BY variant")]
    pub sql: String,
    /// Reads all tables as they were at this time; else as they are now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-01-31T00:00:00Z")]
    pub as_of: Option<Timestamp>,
    /// Reads these tables at these versions, and the others as they are now.
    #[serde(default)]
    #[schema(example = json!({"orders": 12}))]
    pub versions: Option<BTreeMap<String, i64>>,
}

/// A table or view of the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Table)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// `table`, or `view`: a query with a name.
    pub kind: String,
    /// Its Delta version; `null` for a view.
    pub version: Option<i64>,
    /// How many rows it has; `null` for a view, where that is a question of its own.
    pub rows: Option<u64>,
    /// What a row is.
    pub comment: String,
    /// Its columns, in order.
    pub columns: Vec<ColumnView>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Column)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// Its type, in Arrow's words.
    pub r#type: String,
    /// What it holds.
    pub comment: String,
}

impl From<TableInfo> for TableView {
    fn from(table: TableInfo) -> Self {
        let columns = table.columns.into_iter();
        let columns =
            columns.map(|column| ColumnView { name: column.name, r#type: column.data_type, comment: column.comment }).collect();
        let kind = match table.kind {
            TableKind::Table => "table",
            TableKind::View => "view",
        };
        Self {
            name: table.name,
            kind: kind.to_owned(),
            version: table.version,
            rows: table.rows,
            comment: table.comment,
            columns,
        }
    }
}

/// The lake as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Lake)]
pub struct LakeView {
    /// Stored events that SQL cannot see yet.
    pub unlanded: u64,
    /// The currency amounts are converted to, ISO 4217.
    #[schema(example = "EUR")]
    pub base_currency: String,
}

/// One experiment in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ExperimentSummary)]
pub struct ExperimentRow {
    /// Its id.
    pub experiment: String,
    /// What it asks.
    pub question: String,
    /// What differs between the variants.
    #[schema(value_type = Vec<documents::FactorDocument>)]
    pub factors: Vec<String>,
    /// Its variants.
    #[schema(value_type = Vec<VariantDocument>)]
    pub variants: Vec<vocabulary::Variant>,
    /// The metric the winner is picked by.
    pub primary: String,
    /// What the senders use now; `null` where nothing is decided.
    pub recommendation: Option<RecommendationView>,
    /// Contacts that were assigned a variant, as far as SQL can see.
    pub assigned: u64,
}

impl ExperimentRow {
    pub(crate) fn new(experiment: Experiment, recommendation: Option<Recommendation>, assigned: u64) -> Self {
        Self {
            experiment: experiment.experiment.into(),
            question: experiment.question,
            factors: experiment.factors.iter().map(|factor| factor.as_str().to_owned()).collect(),
            variants: experiment.variants,
            primary: experiment.primary,
            recommendation: recommendation.map(RecommendationView::from),
            assigned,
        }
    }
}

/// An experiment, and the draw of its assignment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExperimentAnswer {
    /// As it was written.
    #[serde(flatten)]
    #[schema(value_type = documents::ExperimentDocument)]
    pub experiment: Experiment,
    /// How the groups of its first plan were balanced; absent before, and where it has no `balance`. Leave it out to write the
    /// experiment again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<documents::BalancedDocument>)]
    pub balanced: Option<experiment::Balanced>,
}

/// A readout, and what the senders use now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadoutAnswer {
    /// The readout.
    #[serde(flatten)]
    #[schema(value_type = ReadoutDocument)]
    pub readout: experiment::Readout,
    /// The market it is of; absent where it is of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// The age up to which outcomes count, in hours; absent where it is the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_hours: Option<u32>,
    /// What the senders use now; `null` where nothing is decided.
    pub recommendation: Option<RecommendationView>,
}

/// What a decision came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// The readout that was stored.
    #[schema(value_type = ReadoutDocument)]
    pub readout: experiment::Readout,
    /// What to do.
    #[schema(value_type = decisions::DecisionDocument)]
    pub decision: experiment::Decision,
    /// The current recommendation for everybody; `null` where nothing could be decided yet.
    pub recommendation: Option<RecommendationView>,
    /// The recommendations this call made: for everybody, and for the markets that get something else.
    pub recommendations: Vec<RecommendationView>,
    /// Whether this call changed any.
    pub changed: bool,
    /// What waits for a second person instead; `null` where nothing does.
    pub proposal: Option<proposals::ProposalView>,
}

/// What to do about an experiment, and of when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionAnswer {
    /// The decision.
    #[serde(flatten)]
    #[schema(value_type = decisions::DecisionDocument)]
    pub decision: experiment::Decision,
    /// Only outcomes before count.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// The version of each table that was read.
    pub versions: BTreeMap<String, i64>,
}

/// A campaign and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = CampaignStatus)]
pub struct CampaignView {
    /// As it was written.
    #[schema(value_type = CampaignDocument)]
    pub campaign: vocabulary::Campaign,
    /// Where it stands.
    #[schema(value_type = documents::CampaignStateDocument)]
    pub state: String,
    /// How far it is.
    pub progress: ProgressView,
    /// Whether it is paused and was changed, so that it is planned anew when it is started again.
    pub is_changed: bool,
    /// Why it failed; `null` unless it did.
    pub error: Option<String>,
    /// When it was first stored.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// How far a campaign is. `claimed`, `accepted`, `refused`, `in_doubt` and `skipped` do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressView {
    /// Recipients in the newest plan.
    pub planned: u64,
    /// Those of them who are due.
    pub due: u64,
    /// About to be handed over.
    pub claimed: u64,
    /// Taken by the next server.
    pub accepted: u64,
    /// Refused by the next server.
    pub refused: u64,
    /// Perhaps taken; not sent again.
    pub in_doubt: u64,
    /// Passed over: suppressed, or without an address.
    pub skipped: u64,
    /// Of those accepted, refused and in doubt: how many carried the control because no recommendation held.
    pub fallback: u64,
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        let Progress { planned, due, claimed, accepted, refused, in_doubt, skipped, fallback } = progress;
        Self { planned, due, claimed, accepted, refused, in_doubt, skipped, fallback }
    }
}

/// A key to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyParams {
    /// For people: who or what uses it.
    #[schema(example = "shop backend")]
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<documents::ScopeDocument>)]
    pub scopes: Vec<Scope>,
}

/// A fresh key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyMade {
    /// Names it; no secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<documents::ScopeDocument>)]
    pub scopes: Vec<Scope>,
    /// What to send as bearer. It is shown this once.
    pub secret: String,
}

/// A key in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// Names it; no secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<documents::ScopeDocument>)]
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was revoked; `null` while it is in force.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> Self {
        let KeyRow { info, created_at, revoked_at } = row;
        Self { id: info.id, name: info.name, scopes: info.scopes, created_at, revoked_at }
    }
}
