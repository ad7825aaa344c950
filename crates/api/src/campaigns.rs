//! Campaigns: written, started, paused, watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use content::Library;
use control::{CampaignRow, CampaignState};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Campaign, CampaignId, Channel, Experiment, MessageClass, SendHour, Snippet};

use crate::problem::Problem;
use crate::request::{Id, Text};
use crate::views::documents::CampaignDocument;
use crate::views::{CampaignView, ErrorBody};
use crate::{Parts, coupons, products};

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put)).routes(routes!(start)).routes(routes!(pause)).routes(routes!(cancel))
}

pub(crate) async fn known(parts: &Parts, id: &CampaignId) -> Result<CampaignRow, Problem> {
    let found = parts.control.campaign(id).await?;
    found.ok_or_else(|| Problem::not_found("campaign", id.as_str(), "GET /v1/campaigns lists them"))
}

async fn view(parts: &Parts, row: CampaignRow) -> Result<CampaignView, Problem> {
    let progress = parts.control.progress(&row.campaign.campaign).await?.into();
    let is_changed = row.plan_version > 0 && !row.has_plan && row.state == CampaignState::Paused;
    let CampaignRow { campaign, state, error, created_at, .. } = row;
    Ok(CampaignView { campaign, state: state.as_str().to_owned(), progress, is_changed, error, created_at })
}

/// Store a campaign.
///
/// YAML or JSON; the id is inside. Its templates are compiled, and every variant of its experiment must have content.
/// Nothing is sent before it is started.
///
/// Of a paused campaign what has not left can be changed, and it is planned anew when it is started again: nobody who got their message
/// gets another. Its experiment, mode and class stay. Of a test, so do the audience, the channels and the hours, and what the message
/// says once somebody has got it.
#[utoipa::path(
    put,
    path = "/v1/campaigns",
    tag = "campaigns",
    operation_id = "put_campaign",
    request_body(content((CampaignDocument = "application/json"), (String = "application/yaml")), description = "The campaign."),
    responses(
        (status = 200, description = "It was known and is now as given.", body = CampaignView),
        (status = 201, description = "It is new.", body = CampaignView),
        (status = 409, description = "It runs, has ended, or the part that is another can no longer be changed; the message says which.", body = ErrorBody),
        (status = 422, description = "Something is wrong with it; the message names the place and the fix.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<(StatusCode, Json<CampaignView>), Problem> {
    let campaign = experiment::parse_campaign(&text)?;
    let experiment = parts.control.experiment(&campaign.experiment).await?.ok_or_else(|| {
        let message = format!("there is no experiment `{}`", campaign.experiment);
        Problem::unprocessable("unknown_experiment", message, "store it first with PUT /v1/experiments")
    })?;
    let libraries = check_content(&campaign, &experiment, &parts.control.snippets().await?)?;
    coupons::check(&parts, &campaign, &libraries).await?;
    products::check_slots(&parts, &campaign).await?;
    let created = parts.control.put_campaign(&campaign).await?;
    let row = known(&parts, &campaign.campaign).await?;
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(view(&parts, row).await?)))
}

fn check_content(
    campaign: &Campaign,
    experiment: &Experiment,
    snippets: &[Snippet],
) -> Result<BTreeMap<Channel, Library>, Problem> {
    let chain = campaign.chain();
    let names = |channels: &[Channel]| channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(" or ");
    let outside = experiment.variants.iter().find_map(|variant| {
        let own = variant.channel.filter(|own| !chain.contains(own))?;
        Some((&variant.name, own))
    });
    if let Some((variant, own)) = outside {
        let message = format!("channels: variant `{variant}` goes by {own}, and the campaign by {}", names(chain));
        return Err(Problem::unprocessable("other_channel", message, "name each channel that a variant goes by in `channels`"));
    }
    if let Some(held_out) = experiment.holdout().filter(|_| campaign.class != MessageClass::Marketing) {
        let message =
            format!("class: `{}` sends nothing to its recipients, who must get every {} message", held_out.name, campaign.class);
        let fix = "hold nobody out of it: leave `holdout` out of the experiment's variants, or take another experiment";
        return Err(Problem::unprocessable("held_out_class", message, fix));
    }
    let by_provider =
        experiment.variants.iter().find(|variant| variant.provider.is_some() && campaign.chain_of(variant) != [Channel::Sms]);
    if let Some(variant) = by_provider {
        let message = format!(
            "channels: variant `{}` goes by a provider of text messages, and may go by {}",
            variant.name,
            names(campaign.chain_of(variant))
        );
        return Err(Problem::unprocessable(
            "other_channel",
            message,
            "give the variant `channel: sms`, or let the campaign go by sms alone",
        ));
    }
    let libraries = content::libraries(campaign, experiment, snippets).map_err(|error| {
        Problem::unprocessable("bad_template", format!("content: {error}"), "correct the template and send it again")
    })?;
    let learned = experiment.variants.iter().find(|variant| campaign.triggered && variant.send_hour == Some(SendHour::Learned));
    if let Some(variant) = learned {
        let message =
            format!("triggered: variant `{}` leaves at a learned hour, which needs an audience to learn from", variant.name);
        return Err(Problem::unprocessable("no_audience", message, "give the variant an hour, or the campaign an audience"));
    }
    let Some(variant) = experiment.variants.iter().find(|variant| !campaign.content.contains_key(variant.copy_name())) else {
        return Ok(libraries);
    };
    let message = format!("content has no `{}`, which variant `{}` sends", variant.copy_name(), variant.name);
    let names = campaign.content.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(Problem::unprocessable("missing_content", message, format!("add it, or name one of {names} as the variant's `copy`")))
}

/// All campaigns.
#[utoipa::path(
    get,
    path = "/v1/campaigns",
    tag = "campaigns",
    operation_id = "list_campaigns",
    responses((status = 200, description = "The campaigns, oldest first.", body = Vec<CampaignView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<CampaignView>>, Problem> {
    let mut views = Vec::new();
    for row in parts.control.campaigns().await? {
        views.push(view(&parts, row).await?);
    }
    Ok(Json(views))
}

/// One campaign.
#[utoipa::path(
    get,
    path = "/v1/campaigns/{id}",
    tag = "campaigns",
    operation_id = "campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    responses((status = 200, description = "The campaign and how far it is.", body = CampaignView), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn one(State(parts): State<Arc<Parts>>, Id(id): Id<CampaignId>) -> Result<Json<CampaignView>, Problem> {
    let row = known(&parts, &id).await?;
    Ok(Json(view(&parts, row).await?))
}

/// Start a campaign, or go on with a paused one. Harmless when it runs already.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/start",
    tag = "campaigns",
    operation_id = "start_campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    responses(
        (status = 200, description = "It is being planned or sent.", body = CampaignView),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 409, description = "It is done.", body = ErrorBody),
    )
)]
async fn start(State(parts): State<Arc<Parts>>, Id(id): Id<CampaignId>) -> Result<Json<CampaignView>, Problem> {
    move_to(&parts, &id, |row| match row.state {
        CampaignState::Planning | CampaignState::Sending => Move::None,
        // What was planned before the pause is still in force, unless the campaign was changed.
        CampaignState::Paused if row.has_plan => Move::To(CampaignState::Sending),
        CampaignState::Draft | CampaignState::Paused | CampaignState::Failed => Move::To(CampaignState::Planning),
        CampaignState::Done => Move::Refused("it is done", "store it under a new id to send again"),
        CampaignState::Cancelled => Move::Refused("it was cancelled", "store it under a new id to send again"),
    })
    .await
}

/// Pause a campaign: nothing more is handed over until it is started again. Harmless when it is paused already.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/pause",
    tag = "campaigns",
    operation_id = "pause_campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    responses(
        (status = 200, description = "It is paused.", body = CampaignView),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 409, description = "It does not run.", body = ErrorBody),
    )
)]
async fn pause(State(parts): State<Arc<Parts>>, Id(id): Id<CampaignId>) -> Result<Json<CampaignView>, Problem> {
    move_to(&parts, &id, |row| match row.state {
        CampaignState::Paused => Move::None,
        CampaignState::Planning | CampaignState::Sending => Move::To(CampaignState::Paused),
        CampaignState::Draft => Move::Refused("it was not started", "nothing is sent before it is started"),
        CampaignState::Done | CampaignState::Failed | CampaignState::Cancelled => {
            Move::Refused("it does not run any more", "nothing of it is being sent")
        }
    })
    .await
}

/// Cancel a campaign for good: what has not left does not leave any more. What was sent stays counted. Harmless when it is cancelled
/// already.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/cancel",
    tag = "campaigns",
    operation_id = "cancel_campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    responses(
        (status = 200, description = "It is cancelled.", body = CampaignView),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 409, description = "It is done.", body = ErrorBody),
    )
)]
async fn cancel(State(parts): State<Arc<Parts>>, Id(id): Id<CampaignId>) -> Result<Json<CampaignView>, Problem> {
    move_to(&parts, &id, |row| match row.state {
        CampaignState::Cancelled => Move::None,
        CampaignState::Done => Move::Refused("it is done", "everything of it has been sent"),
        _ => Move::To(CampaignState::Cancelled),
    })
    .await
}

enum Move {
    None,
    To(CampaignState),
    Refused(&'static str, &'static str),
}

/// Moves a campaign from the state it was seen in; looks again when it moved by itself in between.
async fn move_to(parts: &Parts, id: &CampaignId, decide: impl Fn(&CampaignRow) -> Move) -> Result<Json<CampaignView>, Problem> {
    // A campaign passes through four states at most, so a fifth look cannot find it moved again.
    const LOOKS_MAX: usize = 5;
    for _ in 0..LOOKS_MAX {
        let row = known(parts, id).await?;
        match decide(&row) {
            Move::None => return Ok(Json(view(parts, row).await?)),
            Move::To(state) => drop(parts.control.set_campaign_state(id, &[row.state], state).await?),
            Move::Refused(why, hint) => {
                return Err(Problem::conflict("wrong_state", format!("campaign `{id}` cannot do that: {why}"), hint));
            }
        }
    }
    Err(Problem::conflict("wrong_state", format!("campaign `{id}` keeps moving"), "try again"))
}
