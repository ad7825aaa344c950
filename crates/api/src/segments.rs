//! Named audiences: stored with every version, looked at before they are used.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::{SegmentRow, SegmentUse};
use lake::{Group, SqlFormat, SqlOptions};
use segments::Segment;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::Timestamp;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{PathText, Text};
use crate::views::ErrorBody;

/// Contacts that a preview shows.
const SAMPLE_ROWS: usize = 10;
/// Segments in one document.
const SEGMENTS_MAX: usize = 200;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(preview))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put))
}

/// A segment in its newest version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentView {
    /// The segment as it was stored: `segment` (its name), `description`, and `condition` or `sql`.
    segment: Value,
    /// Counted from 1; a change makes the next.
    version: u32,
    /// When this version was stored.
    stored_at: String,
    /// Who is in it in English, a sentence for each condition.
    meaning: Vec<String>,
}

/// A segment with what it was in the plans that were made with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentWithUses {
    #[serde(flatten)]
    segment: SegmentView,
    /// The newest first.
    uses: Vec<SegmentUseView>,
}

/// What a segment was when a plan was made with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentUseView {
    /// The campaign.
    campaign: String,
    /// The number of its plan.
    plan_version: u32,
    /// The version of the segment.
    version: u32,
    /// How many contacts it named, before consent, addresses and the campaign's share.
    contacts: u64,
    /// The version of each table of the lake that it read.
    lake_versions: BTreeMap<String, i64>,
    /// The query that was asked.
    query: String,
    /// When.
    at: String,
}

/// Who would be in a segment now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentPreview {
    /// How many contacts.
    count: u64,
    /// The surrogate keys of some of them.
    sample: Vec<String>,
    /// How long it took, as it will when a plan is made.
    milliseconds: f64,
    /// Who is in it in English, a sentence for each condition.
    meaning: Vec<String>,
    /// The query.
    query: String,
    /// The version of each table of the lake that it read.
    lake_versions: BTreeMap<String, i64>,
}

fn view(row: &SegmentRow) -> Result<SegmentView, Problem> {
    let segment = serde_json::to_value(&row.segment).map_err(|error| {
        Problem::unprocessable("bad_segment", format!("the stored segment cannot be shown: {error}"), "store it again")
    })?;
    let (version, stored_at) = (row.version, row.stored_at.to_string());
    Ok(SegmentView { segment, version, stored_at, meaning: row.segment.describe() })
}

fn missing(name: &str) -> Problem {
    Problem::not_found("segment", name, "GET /v1/segments lists them")
}

/// The query of a segment now.
fn query_of(parts: &Parts, segment: &Segment, now: Timestamp) -> Result<String, Problem> {
    segment.query(now, parts.settings.base_currency).map_err(|error| {
        let message = format!("segment `{}`: {error}", segment.segment);
        Problem::unprocessable("bad_segment", message, "correct it and send it again")
    })
}

/// Store segments.
///
/// YAML or JSON, one or a list; all are stored or none. Conditions are checked, and each query is planned against the tables.
/// A segment that differs from what is known becomes its next version. Campaigns name it as `segment` and take its newest
/// version when they are planned.
#[utoipa::path(
    put,
    path = "/v1/segments",
    tag = "segments",
    operation_id = "put_segments",
    request_body(content((Value = "application/json"), (String = "application/yaml")), description = "A segment, or a list of them."),
    responses(
        (status = 200, description = "They are as given.", body = Vec<SegmentView>),
        (status = 422, description = "Something is wrong with one; the message names the place and the fix. None was stored.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<Vec<SegmentView>>, Problem> {
    let segments = experiment::parse_segments(&text)?;
    if segments.is_empty() || segments.len() > SEGMENTS_MAX {
        let message = format!("there are {} segments", segments.len());
        return Err(Problem::unprocessable("bad_segment", message, format!("send 1 to {SEGMENTS_MAX}")));
    }
    let now = parts.clock.now();
    for segment in &segments {
        let plan = format!("EXPLAIN {}", query_of(&parts, segment, now)?);
        parts
            .lake
            .sql(&plan, SqlFormat::Json, &SqlOptions { limits: parts.settings.sql_limits, ..SqlOptions::default() })
            .await?;
    }
    let mut views = Vec::with_capacity(segments.len());
    for segment in &segments {
        views.push(view(&parts.control.put_segment(segment).await?)?);
    }
    Ok(Json(views))
}

/// All segments in their newest versions.
#[utoipa::path(
    get,
    path = "/v1/segments",
    tag = "segments",
    operation_id = "list_segments",
    responses((status = 200, description = "The segments, by name.", body = Vec<SegmentView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<SegmentView>>, Problem> {
    parts.control.segments().await?.iter().map(view).collect::<Result<_, _>>().map(Json)
}

/// One segment, and what it was in the plans that were made with it.
#[utoipa::path(
    get,
    path = "/v1/segments/{name}",
    tag = "segments",
    operation_id = "segment",
    params(("name" = String, Path, description = "The segment's name.")),
    responses((status = 200, description = "The segment.", body = SegmentWithUses), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn one(State(parts): State<Arc<Parts>>, PathText(name): PathText) -> Result<Json<SegmentWithUses>, Problem> {
    let row = parts.control.segment(&name).await?.ok_or_else(|| missing(&name))?;
    let used = |used: SegmentUse| SegmentUseView {
        campaign: used.campaign.to_string(),
        plan_version: used.plan_version,
        version: used.version,
        contacts: used.contacts,
        lake_versions: used.lake_versions,
        query: used.query,
        at: used.at.to_string(),
    };
    let uses = parts.control.segment_uses(&name).await?.into_iter().map(used).collect();
    Ok(Json(SegmentWithUses { segment: view(&row)?, uses }))
}

/// Look at a segment.
///
/// Send a whole segment that is not stored, or `{"segment": "NAME"}` for one that is. It is asked as it will be when a plan is
/// made, so the time is that of a plan.
#[utoipa::path(
    post,
    path = "/v1/segments/preview",
    tag = "segments",
    operation_id = "preview_segment",
    request_body(content((Value = "application/json"), (String = "application/yaml")), description = "A segment, or the name of one."),
    responses(
        (status = 200, description = "Who would be in it now.", body = SegmentPreview),
        (status = 404, description = "There is no segment of that name.", body = ErrorBody),
        (status = 422, description = "Something is wrong with it; the message names the place and the fix.", body = ErrorBody),
    )
)]
async fn preview(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<SegmentPreview>, Problem> {
    let segment = match name_only(&text) {
        Some(name) => parts.control.segment(&name).await?.ok_or_else(|| missing(&name))?.segment,
        None => {
            let mut segments = experiment::parse_segments(&text)?;
            let alone = if segments.len() == 1 { segments.pop() } else { None };
            alone.ok_or_else(|| Problem::unprocessable("bad_segment", "there is not one segment", "send one at a time"))?
        }
    };
    let query = query_of(&parts, &segment, parts.clock.now())?;
    let began = Instant::now();
    let audience = parts.lake.audience(Some(&query), Group::Analysts).await?;
    let milliseconds = (began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
    let sample = audience.recipients.iter().take(SAMPLE_ROWS).map(|recipient| recipient.key.to_string()).collect();
    Ok(Json(SegmentPreview {
        count: audience.recipients.len() as u64,
        sample,
        milliseconds,
        meaning: segment.describe(),
        query,
        lake_versions: audience.versions,
    }))
}

/// The name, where the document holds nothing else.
fn name_only(text: &str) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return None };
    (fields.len() == 1).then(|| fields.get("segment")?.as_str().map(str::to_owned)).flatten()
}
