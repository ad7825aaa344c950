//! Before a test: how large it should be and which design is best, by what the list did before.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use experiment::library::Like;
use experiment::sizing::prior_sd;
use experiment::{
    Asked, Library, MetricsCheck, Past, PastError, Simulated, Sizing, check_metrics, parse_designs, simulate, size,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{Channel, Experiment, ExperimentId};

use crate::Parts;
use crate::experiments::known;
use crate::problem::Problem;
use crate::request::{Ask, Id, Text};
use crate::views::ErrorBody;
use crate::views::documents::ExperimentDocument;
use crate::views::sizing::{DesignsDocument, MetricsCheckDocument, SimulatedDocument, SizingDocument};

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(sizing)).routes(routes!(simulated)).routes(routes!(metrics))
}

/// Certificates are the same for the same past.
const SEED: u64 = 1;

/// What the test is to do.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SizingParams {
    /// The lift that is to be shown, a fraction: 0.05 is 5 %. Without it, what the list can show at all is told.
    mde: Option<f64>,
    /// The chance that a variant with that lift is shown to be better; 0.8 where absent.
    power: Option<f64>,
    /// How many equally spaced looks; 5 where absent.
    looks: Option<u32>,
    /// How many contacts can be in the test, all variants together; the whole list where absent.
    test_units: Option<u64>,
    /// How many contacts come into the test a day; all at once where absent.
    contacts_per_day: Option<f64>,
    /// How variants differ among themselves, as a share of the mean; what finished experiments say where absent.
    prior_sd: Option<f64>,
}

/// How large a test should be.
///
/// From what the contacts of the experiment's audience did in a window as long as its own that ends now, and in the 90 days before it: how many
/// recipients show a lift, which lift the list can show at all, and which size earns the most (Test & Roll). How far variants differ comes from
/// the finished experiments that are like it.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/sizing",
    tag = "experiments",
    operation_id = "sizing",
    params(("id" = String, Path, description = "The experiment's id."), SizingParams),
    responses(
        (status = 200, description = "The sizes.", body = SizingDocument),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "The list has no past to go by, or what is asked is not possible.", body = ErrorBody),
    )
)]
async fn sizing(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Ask(params): Ask<SizingParams>,
) -> Result<Json<Sizing>, Problem> {
    let experiment = known(&parts, &id).await?;
    let past = past(&parts, &experiment).await?;
    let usual = Asked::of(&experiment);
    let prior = match params.prior_sd {
        Some(given) => given,
        None => prior_sd(&Library::new(parts.control.lessons().await?).prior(&like(&experiment))),
    };
    let asked = Asked {
        mde: params.mde,
        power: params.power.unwrap_or(usual.power),
        looks: params.looks.unwrap_or(usual.looks),
        test_units: params.test_units,
        contacts_per_day: params.contacts_per_day,
        prior_sd: Some(prior),
        ..usual
    };
    computed(move || size(&experiment, &past, &asked)).await
}

/// Which design of a test is best.
///
/// Each candidate is tried out many times on what the contacts of the experiment's audience did before: how often a winner is false, how often
/// the best variant is shown and sent, what is lost to whom, and how far forecasts are off. The same designs, past and seed give the same
/// numbers.
#[utoipa::path(
    post,
    path = "/v1/experiments/{id}/simulate",
    tag = "experiments",
    operation_id = "simulate",
    params(("id" = String, Path, description = "The experiment's id.")),
    request_body(content = DesignsDocument, description = "The designs, as JSON or YAML."),
    responses(
        (status = 200, description = "What came of each design.", body = SimulatedDocument),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "The list has no past to go by, or a design is not possible.", body = ErrorBody),
    )
)]
async fn simulated(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Text(text): Text,
) -> Result<Json<Simulated>, Problem> {
    let designs = parse_designs(&text)?;
    let experiment = known(&parts, &id).await?;
    let past = past(&parts, &experiment).await?;
    computed(move || simulate(&past, &designs)).await
}

/// Look the metrics of an experiment over.
///
/// They are counted on the real tables, of what the experiment's audience did in a window as long as its own that ends now: what each was, what
/// a contact should count at most (a cap learnt from the past), and whether its test keeps its promise between groups that are the same (an A/A
/// certificate). The experiment is not stored.
#[utoipa::path(
    post,
    path = "/v1/metrics/check",
    tag = "experiments",
    operation_id = "check_metrics",
    request_body(content = ExperimentDocument, description = "An experiment, as JSON or YAML."),
    responses(
        (status = 200, description = "What was found of each metric.", body = MetricsCheckDocument),
        (status = 422, description = "The experiment is not as it must be; the answer names the field and the line.", body = ErrorBody),
    )
)]
async fn metrics(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<MetricsCheck>, Problem> {
    let experiment = experiment::parse(&text)?;
    let pasts = parts.lake.metrics_before_test(&experiment, to_micros(parts.clock.now())).await?;
    computed(move || Ok(check_metrics(&experiment, &pasts, SEED))).await
}

async fn past(parts: &Parts, experiment: &Experiment) -> Result<Past, Problem> {
    Ok(parts.lake.before_test(experiment, to_micros(parts.clock.now())).await?)
}

/// What takes seconds of arithmetic, beside the threads that answer.
async fn computed<T: Send + 'static>(work: impl FnOnce() -> Result<T, PastError> + Send + 'static) -> Result<Json<T>, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?;
    done.map(Json).map_err(|error| Problem::unprocessable("not_planned", error.to_string(), "nothing was changed; ask again"))
}

/// What finished experiments should have in common with this one.
fn like(experiment: &Experiment) -> Like {
    let primary = experiment.primary_metric();
    let mut channels: Vec<Option<Channel>> = experiment.variants.iter().map(|variant| variant.channel).collect();
    channels.dedup();
    Like {
        measure: primary.map_or(vocabulary::Measure::Occurred, |metric| metric.measure),
        lower_is_better: primary.is_some_and(|metric| metric.lower_is_better),
        factors: experiment.factors.clone(),
        tags: experiment.tags.clone(),
        channel: if let [channel] = channels[..] { channel } else { None },
        market: None,
    }
}
