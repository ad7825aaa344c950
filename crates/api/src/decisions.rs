//! What to do about an experiment: the decision, the page for those who decide, and deciding.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Html;
use control::{ControlError, Moved, ProposalState};
use experiment::rollout::{ScopeStanding, observed_hours};
use experiment::{BanditStanding, Judged, PageInput, Rest, Waiting};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{Experiment, ExperimentId, RecommendationId};

use crate::Parts;
use crate::auth::Caller;
use crate::experiments::known;
use crate::problem::Problem;
use crate::request::Id;
use crate::views::proposals::ProposalView;
use crate::views::{Decided, DecisionAnswer, ErrorBody, RecommendationView};

/// How often a decision is made anew because another one came in between. Two in a row is bad luck, more is a quarrel.
const DECIDE_TRIES_MAX: usize = 3;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(decision)).routes(routes!(page)).routes(routes!(rollout)).routes(routes!(bandit))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(decide))
}

/// A look at an experiment as it stands now, with what follows from it.
async fn judged(parts: &Parts, experiment: &Experiment) -> Result<Judged, Problem> {
    let observed = parts.lake.observe_by_market(experiment, to_micros(parts.clock.now())).await?;
    Ok(parts.control.judge(experiment, observed, &parts.ids.token()).await?)
}

/// What to do about an experiment as it stands now.
///
/// It says what would be decided, overall and by market, with reasons. Asking decides nothing and is no look: it may be asked as often as
/// one likes, as long as nobody acts on it before `POST …/decide`.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/decision",
    tag = "experiments",
    operation_id = "decision",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "The decision.", body = DecisionAnswer),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn decision(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<DecisionAnswer>, Problem> {
    let Judged { readout, decision, .. } = judged(&parts, &known(&parts, &id).await?).await?;
    Ok(Json(DecisionAnswer { decision, as_of: readout.as_of, versions: readout.versions }))
}

/// An experiment on one page.
///
/// A self-contained page in plain words: what happened, how sure that is, what it is worth, what to do and what to doubt.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/page",
    tag = "experiments",
    operation_id = "experiment_page",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "The page.", content_type = "text/html"),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn page(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Html<String>, Problem> {
    let experiment = known(&parts, &id).await?;
    let Judged { readout, decision, .. } = judged(&parts, &experiment).await?;
    let recipients = parts.control.still_to_follow(&id).await?;
    let rest = Some(Rest { recipients, currency: parts.lake.base_currency() });
    let series = parts.lake.observe_series(&experiment, readout.as_of).await?;
    let open = parts.control.proposals(Some(&id)).await?.into_iter().find(|proposal| proposal.state == ProposalState::Open);
    let waiting = open.map(|open| Waiting { recipients: open.recipients, since: open.proposed_at });
    let input =
        PageInput { experiment: &experiment, readout: &readout, decision: &decision, rest, series: series.as_ref(), waiting };
    Ok(Html(experiment::page(&input)))
}

/// Where the rollout of a decision stands.
///
/// Every scope that is rolled out in steps: its share, who followed each step, whether harm is shown, and what comes next. Empty where the
/// experiment has no `rollout` or nothing was decided yet. Asking takes no step.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/rollout",
    tag = "experiments",
    operation_id = "rollout",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "The scopes.", body = Vec<crate::views::rollouts::ScopeStandingDocument>),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
    )
)]
async fn rollout(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<Vec<ScopeStanding>>, Problem> {
    let experiment = known(&parts, &id).await?;
    let Some(age_hours) = observed_hours(&experiment) else { return Ok(Json(Vec::new())) };
    let now = to_micros(parts.clock.now());
    let observed = parts.lake.observe_followers(&experiment, age_hours, now).await?;
    Ok(Json(parts.control.rollout(&experiment, &observed, now).await?))
}

/// Where a bandit stands.
///
/// The shares of everybody and of each market, the chances they follow from, what followers tell whatever the shares were, whether a
/// variant does harm, and what comes next. Asking deals nothing.
#[utoipa::path(
    get,
    path = "/v1/experiments/{id}/bandit",
    tag = "experiments",
    operation_id = "bandit",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "Where it stands.", body = crate::views::bandits::BanditStandingDocument),
        (status = 404, description = "There is no such experiment, or it has no `bandit`.", body = ErrorBody),
    )
)]
async fn bandit(State(parts): State<Arc<Parts>>, Id(id): Id<ExperimentId>) -> Result<Json<BanditStanding>, Problem> {
    let experiment = known(&parts, &id).await?;
    let now = to_micros(parts.clock.now());
    let none =
        || Problem::not_found("bandit of the experiment", id.as_str(), "write `bandit: {}` into the experiment to have one");
    if experiment.bandit.is_none() {
        return Err(none());
    }
    let observed = parts.lake.observe_followers(&experiment, experiment.window_hours, now).await?;
    let audit = parts.lake.observe_by_market(&experiment, now).await?.outcomes;
    parts.control.bandit(&experiment, &observed, &audit, now).await?.map(Json).ok_or_else(none)
}

/// Decide by what is known now.
///
/// The look is stored with its readout and counts: later looks must clear a boundary that knows of it. Where the decision is to ship or to
/// stop for harm, the senders follow it from now on, by market where markets differ. Where the experiment has a bandit, a decision to ship
/// changes nothing for them: the bandit ends by itself. Where it asks for an `approval`, what would be sent waits for a second person.
#[utoipa::path(
    post,
    path = "/v1/experiments/{id}/decide",
    tag = "experiments",
    params(("id" = String, Path, description = "The experiment's id.")),
    responses(
        (status = 200, description = "What it came to.", body = Decided),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 409, description = "Others kept deciding at the same time.", body = crate::views::ConflictBody),
    )
)]
async fn decide(
    State(parts): State<Arc<Parts>>,
    Caller(key): Caller,
    Id(id): Id<ExperimentId>,
) -> Result<Json<Decided>, Problem> {
    let experiment = known(&parts, &id).await?;
    let judged = judged(&parts, &experiment).await?;
    parts.control.put_judged(&judged).await?;
    let mut superseded = None;
    for _ in 0..DECIDE_TRIES_MAX {
        let current = parts.control.recommended(&id).await?;
        let fresh = || RecommendationId::new(&parts.ids.token()).expect("a token is a valid id");
        let made = experiment::recommend(&experiment, &judged, &current, fresh, to_micros(parts.clock.now()));
        let (recommendations, proposal) = match parts.control.follow(&experiment, made, Some(&key), &parts.ids.token()).await {
            Ok(Moved::Recommended(made)) => (made.into_iter().map(RecommendationView::from).collect(), None),
            Ok(Moved::Proposed(proposal)) => (Vec::new(), Some(ProposalView::from(proposal))),
            Err(ControlError::Conflict { current }) => {
                superseded = current.map(|current| *current);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let recommendation = parts.control.current(&id).await?.map(RecommendationView::from);
        let Judged { readout, decision, .. } = judged;
        let changed = !recommendations.is_empty();
        return Ok(Json(Decided { readout, decision, recommendation, recommendations, changed, proposal }));
    }
    Err(Problem::superseded(superseded))
}
