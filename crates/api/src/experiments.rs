//! Experiments: written, listed, read out.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{CampaignRow, CampaignState};
use experiment::cells::is_age;
use experiment::{Adjusted, Breakdown, Cut, Dimension, Overlap, Series, overlaps};
use futures::TryStreamExt;
use lake::{Group, SqlFormat, SqlOptions};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{CampaignId, Costs, Experiment, ExperimentId};

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Ask, Id, Text};
use crate::views::adjusted::AdjustedDocument;
use crate::views::breakdowns::{BreakdownDocument, OverlapDocument};
use crate::views::documents::ExperimentDocument;
use crate::views::readouts::ReadoutDocument;
use crate::views::series::SeriesDocument;
use crate::views::{ErrorBody, ExperimentAnswer, ExperimentRow, ReadoutAnswer, RecommendationView};

/// How far back the holdout is looked at where nobody says since when.
const HOLDOUT_DAYS_DEFAULT: i32 = 90;

/// Counts the assigned contacts of every experiment.
const ASSIGNED: &str = include_str!("../sql/assigned.sql");

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(readout))
        .routes(routes!(by_group))
        .routes(routes!(overlapping))
        .routes(routes!(less_noise))
        .routes(routes!(by_time))
        .routes(routes!(global_holdout))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put))
}

/// The experiment of that id, or a 404.
pub(crate) async fn known(parts: &Parts, id: &ExperimentId) -> Result<Experiment, Problem> {
    let found = parts.control.experiment(id).await?;
    found.ok_or_else(|| Problem::not_found("experiment", id.as_str(), "GET /v1/experiments lists them"))
}

/// Store an experiment.
///
/// YAML or JSON; the id is inside. Variants, weights and `balance` cannot change once a campaign of it was started.
#[utoipa::path(
    put,
    path = "/v1/experiments",
    tag = "experiments",
    operation_id = "put_experiment",
    request_body(content((ExperimentDocument = "application/json"), (String = "application/yaml")), description = "The experiment."),
    responses(
        (status = 200, description = "It was known and is now as given.", body = ExperimentDocument),
        (status = 201, description = "It is new.", body = ExperimentDocument),
        (status = 409, description = "It can no longer be changed like that.", body = ErrorBody),
        (status = 422, description = "Something is wrong with it; the message names line, key and fix.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<(StatusCode, Json<Experiment>), Problem> {
    let experiment = experiment::parse(&text)?;
    let created = parts.control.put_experiment(&experiment).await?;
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(experiment)))
}

/// All experiments.
#[utoipa::path(
    get,
    path = "/v1/experiments",
    tag = "experiments",
    operation_id = "list_experiments",
    responses((status = 200, description = "The experiments, oldest first.", body = Vec<ExperimentRow>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<ExperimentRow>>, Problem> {
    let experiments = parts.control.experiments().await?;
    let assigned = if experiments.is_empty() { HashMap::new() } else { assigned(&parts).await? };
    let mut rows = Vec::with_capacity(experiments.len());
    for experiment in experiments {
        let recommendation = parts.control.current(&experiment.experiment).await?;
        let assigned = assigned.get(experiment.experiment.as_str()).copied().unwrap_or(0);
        rows.push(ExperimentRow::new(experiment, recommendation, assigned));
    }
    Ok(Json(rows))
}

async fn assigned(parts: &Parts) -> Result<HashMap<String, u64>, Problem> {
    #[derive(Deserialize)]
    struct Row {
        experiment_id: String,
        assigned: u64,
    }
    let limits = parts.settings.sql_limits;
    let options = SqlOptions { limits, group: Group::Internal, asked_at: Some(parts.clock.now()), ..SqlOptions::default() };
    let answer = parts.lake.sql(ASSIGNED, SqlFormat::Json, &options).await?;
    let chunks: Vec<bytes::Bytes> = answer.body.try_collect().await?;
    let rows: Vec<Row> = serde_json::from_slice(&chunks.concat()).map_err(|error| Problem::internal(&error))?;
    Ok(rows.into_iter().map(|row| (row.experiment_id, row.assigned)).collect())
}

/// One experiment as it was written, with the draw of its assignment where its groups were balanced.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}",
    tag = "experiments",
    operation_id = "experiment",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses((status = 200, description = "The experiment.", body = ExperimentAnswer), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn one(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<ExperimentAnswer>, Problem> {
    let experiment = known(&parts, &id).await?;
    let balanced = parts.control.balanced(&id).await?;
    Ok(Json(ExperimentAnswer { experiment, balanced }))
}

/// Of which recipients and outcomes a readout is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CutParams {
    market: Option<String>,
    age_hours: Option<u32>,
}

/// Read an experiment out as it stands now.
///
/// The numbers are computed at once from what SQL can see. Looking decides nothing. `age_hours` compares all recipients at one age: those
/// who are old enough, with what they did up to it.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/readout",
    tag = "experiments",
    params(
        ("id" = String, Path, description = "The experiment's id."),
        ("market" = Option<String>, Query, description = "Recipients of this market only: ISO 3166 alpha-2."),
        ("age_hours" = Option<u32>, Query, description = "Recipients of at least this age, and what they did up to it: 1, 2, 4, 8, 12, or whole days in hours, less than the window. The window where absent."),
    ),
    responses(
        (status = 200, description = "The readout.", body = ReadoutAnswer),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "`age_hours` is no age that is kept.", body = ErrorBody),
    )
)]
async fn readout(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Ask(CutParams { market, age_hours }): Ask<CutParams>,
) -> Result<Json<ReadoutAnswer>, Problem> {
    let experiment = known(&parts, &id).await?;
    if let Some(hours) = age_hours.filter(|hours| !is_age(*hours) || *hours > experiment.window_hours) {
        let message = format!("age_hours is {hours}; sums are kept by the ages of 1, 2, 4, 8 and 12 hours and of whole days");
        let hint = format!("use one of these of at most {} hours, the window of `{id}`", experiment.window_hours);
        return Err(Problem::unprocessable("bad_age", message, hint));
    }
    let cut = Cut { market: market.clone(), age_hours };
    let readout = observed_cut(&parts, &experiment, &cut).await?;
    let recommendation = parts.control.current(&id).await?.map(RecommendationView::from);
    Ok(Json(ReadoutAnswer { readout, market, age_hours, recommendation }))
}

/// What recipients are grouped by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakdownParams {
    by: String,
}

/// An experiment by groups of its recipients.
///
/// By market, country, region, language, device, source, channel, the local hour at which messages were planned, or an attribute of contacts
/// such as `attributes.tier`: what is believed of each variant in each group, shrunk towards all recipients, and whether groups differ beyond
/// chance.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/breakdown",
    tag = "experiments",
    operation_id = "breakdown",
    params(
        ("id" = String, Path, description = "The experiment's id."),
        ("by" = String, Query, description = "What to group by, such as `device` or `attributes.tier`."),
    ),
    responses(
        (status = 200, description = "The groups, the largest first.", body = BreakdownDocument),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "There is no such dimension, or it has too many groups.", body = ErrorBody),
    )
)]
async fn by_group(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Ask(BreakdownParams { by }): Ask<BreakdownParams>,
) -> Result<Json<Breakdown>, Problem> {
    let experiment = known(&parts, &id).await?;
    let by: Dimension = by.parse().map_err(|why: String| {
        Problem::unprocessable("bad_dimension", format!("by {why}"), "name one of these; GET /v1/attributes lists the attributes")
    })?;
    let observed = parts.lake.observe_by(&experiment, &by, to_micros(parts.clock.now())).await?;
    Ok(Json(experiment::breakdown::breakdown(&experiment, &by, &observed)))
}

/// The primary metric with less noise.
///
/// What recipients did before their message is taken out (CUPED), in as many days as the experiment's `cuped` says and else in 90, and
/// markets are weighted as they are in all variants together (post-stratification), beside the plain difference. Intervals are those of
/// this one look; what is decided rests on the plain numbers unless the experiment has `cuped`.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/adjusted",
    tag = "experiments",
    operation_id = "adjusted",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "Every variant against control.", body = AdjustedDocument),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn less_noise(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Adjusted>, Problem> {
    let experiment = known(&parts, &id).await?;
    let seen = parts.lake.observe_with_before(&experiment, to_micros(parts.clock.now())).await?;
    let found = experiment::adjusted(&experiment, &seen);
    found.map(Json).ok_or_else(|| no_primary(&id))
}

/// An experiment by time.
///
/// What recipients had done at each age of their message, of all who are as old, and how far the messages of each day came. Intervals are
/// those of one look at one age.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/series",
    tag = "experiments",
    operation_id = "series",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "The ages and the days.", body = SeriesDocument),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn by_time(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Series>, Problem> {
    let experiment = known(&parts, &id).await?;
    let series = parts.lake.observe_series(&experiment, to_micros(parts.clock.now())).await?;
    series.map(Json).ok_or_else(|| no_primary(&id))
}

fn no_primary(id: &ExperimentId) -> Problem {
    Problem::not_found("primary metric of the experiment", id.as_str(), "store the experiment again")
}

/// Since when, for how long, and at what cost.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HoldoutParams {
    /// Who was written to, or would have been, since this moment counts. Since others were held out where they take turns, else 90 days
    /// where absent.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<jiff::Timestamp>,
    /// How long a contact's outcomes count: 672, which is four weeks, where absent.
    window_hours: Option<u32>,
    /// The margin of what is paid, such as 0.4: then profit is compared instead of revenue.
    margin: Option<f64>,
    /// What handing one message over costs, beside `margin`.
    message: Option<f64>,
}

/// What marketing brings as a whole.
///
/// Those who are held out of all marketing, as the rules' `[holdout]` says, beside those who were written to: contacts who would have got a
/// message count from the first one on. Of campaigns that have an end those count that are done. It is read out as any experiment.
#[utoipa::path(
    get,
    path = "/v1/holdout",
    tag = "experiments",
    operation_id = "holdout",
    params(HoldoutParams),
    responses(
        (status = 200, description = "The readout.", body = ReadoutDocument),
        (status = 422, description = "Nobody is held out, or a number is out of range.", body = ErrorBody),
    )
)]
async fn global_holdout(
    State(parts): State<Arc<Parts>>,
    Ask(asked): Ask<HoldoutParams>,
) -> Result<Json<experiment::Readout>, Problem> {
    let now = parts.clock.now();
    let (share, turned) = parts.rules.current().holdout(now);
    if share <= 0.0 || share >= 1.0 {
        let hint = "write a share such as 0.05 into `[holdout]` of sending.toml, and start the server with `--rules FOLDER`";
        return Err(Problem::unprocessable("no_holdout", format!("the holdout has a share of {share}"), hint));
    }
    let costs =
        asked.margin.map(|margin| Costs { margin, message: asked.message.unwrap_or(0.0), unsubscribe: 0.0, complaint: 0.0 });
    let window_hours = asked.window_hours.unwrap_or(experiment::holdout::WINDOW_HOURS_DEFAULT);
    let experiment = experiment::holdout::experiment(share, window_hours, costs);
    experiment::check(&experiment).map_err(|error| {
        Problem::unprocessable("invalid", error.to_string(), "correct `window_hours`, `margin` or `message` and ask again")
    })?;
    let days_ago = || now.checked_sub(HOLDOUT_DAYS_DEFAULT * jiff::SignedDuration::from_hours(24)).unwrap_or(now);
    let since = asked.since.or(turned).unwrap_or_else(days_ago);
    let campaigns = parts.control.campaigns().await?.into_iter();
    let is_over = |row: &CampaignRow| row.state == CampaignState::Done || row.campaign.triggered;
    let campaigns: Vec<CampaignId> = campaigns.filter(is_over).map(|row| row.campaign.campaign).collect();
    let observations = parts.lake.observe_holdout(&experiment, &campaigns, to_micros(since), to_micros(now)).await?;
    Ok(Json(experiment::readout(&experiment, &observations, &parts.ids.token())))
}

/// Other experiments on the same recipients.
///
/// Those whose windows overlap, at most twenty: whether the groups of both are independent, and whether one changes what the other does, with
/// the chances over all of them together.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/overlaps",
    tag = "experiments",
    operation_id = "overlaps",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "The experiment that shares the most recipients first; empty where none does.", body = Vec<OverlapDocument>),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn overlapping(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Vec<Overlap>>, Problem> {
    let experiment = known(&parts, &id).await?;
    let now = to_micros(parts.clock.now());
    let mut shared = Vec::new();
    for other in parts.lake.others(&experiment).await? {
        // Events may name experiments of elsewhere, of which nothing is known.
        if let Some(other) = parts.control.experiment(&other).await? {
            let observed = parts.lake.observe_with(&experiment, &other.experiment, now).await?;
            shared.push(experiment::overlap::shared(other, observed));
        }
    }
    Ok(Json(overlaps(&experiment, &shared)))
}

/// The readout of an experiment as it stands now.
pub(crate) async fn observed(parts: &Parts, experiment: &Experiment) -> Result<experiment::Readout, Problem> {
    observed_cut(parts, experiment, &Cut::default()).await
}

async fn observed_cut(parts: &Parts, experiment: &Experiment, cut: &Cut) -> Result<experiment::Readout, Problem> {
    let mut observations = parts.lake.observe_cut(experiment, cut, to_micros(parts.clock.now())).await?;
    observations.erased_units = parts.control.erased_units(&experiment.experiment).await?;
    // What is said of the window is then said of the age.
    let window_hours = cut.age_hours.unwrap_or(experiment.window_hours);
    let experiment = Experiment { window_hours, ..experiment.clone() };
    Ok(experiment::readout(&experiment, &observations, &parts.ids.token()))
}
