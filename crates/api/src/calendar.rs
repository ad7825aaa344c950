//! The campaign calendar of a market, and what stands in the way of a campaign before it is planned.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use policy::{CampaignOutline, Conflict, ConflictKind, OwnDay};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Channel, MessageClass, is_country};

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Ask, Params};
use crate::views::ErrorBody;

/// How far the calendar looks where no last day is given.
const SPAN_DAYS_DEFAULT: i64 = 90;
/// Own days of one customer.
const OWN_DAYS_MAX: usize = 1_000;
/// The longest name of an own day, in bytes.
const NAME_BYTES_MAX: usize = 128;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(days)).routes(routes!(conflicts)).routes(routes!(own_days))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put_own_days))
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalendarParams {
    /// ISO 3166 alpha-2 country.
    #[param(example = "CN")]
    market: String,
    /// The part of the country after the hyphen of ISO 3166-2, such as `FL`; every part where absent.
    region: Option<String>,
    /// The first day; today in UTC where absent.
    from: Option<String>,
    /// The last day; 90 days later where absent. At most 800 days after the first.
    until: Option<String>,
}

/// A campaign before it is planned.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConflictParams {
    /// ISO 3166 alpha-2 country.
    #[param(example = "CN")]
    market: String,
    /// The part of the country after the hyphen of ISO 3166-2; every part where absent.
    region: Option<String>,
    /// By which channel.
    #[param(value_type = String, example = "sms")]
    channel: Channel,
    /// Of which class; `marketing` where absent.
    #[param(value_type = Option<String>)]
    class: Option<MessageClass>,
    /// The first day on which messages leave; today in UTC where absent.
    from: Option<String>,
    /// The last day; the first where absent.
    until: Option<String>,
    /// How many messages each contact is meant to get; 1 where absent.
    messages: Option<u32>,
}

/// A day, or several in a row.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DayView {
    /// What people call it.
    name: String,
    /// `peak` (everybody sends and buys), `care` (mind tone, goods and hour), `pause` (better not to advertise) or `free`.
    effect: String,
    /// The first day, by the local calendar.
    first: String,
    /// The last day.
    last: String,
    /// The rule that gives the day; `own` for one of your own.
    rule: String,
    /// Whether the date was compared with an authority's.
    verified: bool,
}

/// Something in the way of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConflictView {
    /// What it is, in a sentence.
    what: String,
    /// The first day of it within the campaign.
    first: String,
    /// The last day of it within the campaign.
    last: String,
    /// The rule.
    rule: String,
}

/// A day of your own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnDayView {
    /// What people call it.
    #[schema(example = "stocktaking")]
    name: String,
    /// ISO 3166 alpha-2 country; every market where absent.
    #[serde(default)]
    market: Option<String>,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    first: Date,
    /// The last day.
    #[schema(value_type = String, format = Date)]
    last: Date,
    /// `peak`, `care`, `pause` or `free`.
    #[schema(value_type = String, example = "pause")]
    effect: policy::Effect,
}

fn refused(message: impl Into<String>, hint: &str) -> Problem {
    Problem::unprocessable("bad_calendar", message.into(), hint)
}

fn market(code: &str) -> Result<&str, Problem> {
    if is_country(code) {
        Ok(code)
    } else {
        Err(refused(format!("`{code}` is no market"), "write an ISO 3166 country such as CN"))
    }
}

fn day(field: &str, text: &str) -> Result<Date, Problem> {
    text.parse().map_err(|_| refused(format!("{field} is `{text}`, which is no day"), "write it like 2026-11-11"))
}

/// The first and the last day.
fn span(parts: &Parts, from: Option<&str>, until: Option<&str>, days: i64) -> Result<(Date, Date), Problem> {
    let today = || Ok(parts.clock.now().to_zoned(TimeZone::UTC).date());
    let first = from.map_or_else(today, |from| day("from", from))?;
    let later = || Ok(first.saturating_add(days.days()));
    let last = until.map_or_else(later, |until| day("until", until))?;
    if last < first {
        return Err(refused(format!("until is {last}, before {first}"), "give a last day that is not before the first"));
    }
    Ok((first, last))
}

/// The calendar of a market.
///
/// Shopping festivals, public holidays and your own days, in the order in which they begin.
#[utoipa::path(
    get,
    path = "/v1/calendar",
    tag = "calendar",
    operation_id = "calendar",
    params(CalendarParams),
    responses((status = 200, description = "The days.", body = Vec<DayView>), (status = 422, description = "No market, or no days.", body = ErrorBody))
)]
async fn days(State(parts): State<Arc<Parts>>, Ask(asked): Ask<CalendarParams>) -> Result<Json<Vec<DayView>>, Problem> {
    let (first, last) = span(&parts, asked.from.as_deref(), asked.until.as_deref(), SPAN_DAYS_DEFAULT)?;
    let own = parts.control.own_days().await?;
    let days = parts.rules.current().calendar(market(&asked.market)?, asked.region.as_deref(), first, last, &own);
    let view = |day: policy::CalendarDay| DayView {
        name: day.name.to_string(),
        effect: day.effect.to_string(),
        first: day.first.to_string(),
        last: day.last.to_string(),
        rule: day.rule.to_string(),
        verified: day.verified,
    };
    Ok(Json(days.into_iter().map(view).collect()))
}

/// What stands in the way of a campaign before it is planned.
///
/// Days of the calendar, days on which nothing may be sent, and caps that the campaign breaks by itself.
#[utoipa::path(
    get,
    path = "/v1/calendar/conflicts",
    tag = "calendar",
    operation_id = "calendar_conflicts",
    params(ConflictParams),
    responses((status = 200, description = "The conflicts, by day.", body = Vec<ConflictView>), (status = 422, description = "No market, or no days.", body = ErrorBody))
)]
async fn conflicts(State(parts): State<Arc<Parts>>, Ask(asked): Ask<ConflictParams>) -> Result<Json<Vec<ConflictView>>, Problem> {
    let (first, last) = span(&parts, asked.from.as_deref(), asked.until.as_deref(), 0)?;
    let outline = CampaignOutline {
        market: market(&asked.market)?,
        region: asked.region.as_deref(),
        channel: asked.channel,
        class: asked.class.unwrap_or(MessageClass::Marketing),
        first,
        last,
        messages: asked.messages.unwrap_or(1),
    };
    let own = parts.control.own_days().await?;
    let view = |conflict: Conflict| ConflictView {
        what: sentence(&conflict.what),
        first: conflict.first.to_string(),
        last: conflict.last.to_string(),
        rule: conflict.rule.to_string(),
    };
    Ok(Json(parts.rules.current().conflicts(&outline, &own).into_iter().map(view).collect()))
}

fn sentence(what: &ConflictKind) -> String {
    match what {
        ConflictKind::Day { name, effect } => format!("{name}: {}", meaning(*effect)),
        ConflictKind::ClosedHoliday { name } => format!("{name}: nothing may be sent on this holiday"),
        ConflictKind::ClosedWeekday { weekday } => format!("nothing may be sent on a {weekday:?}"),
        ConflictKind::Cap { limit, within, planned } => {
            format!("{planned} messages a contact {within}, where {limit} may be sent")
        }
        ConflictKind::DatesUnknown { name, last_year } => format!("{name}: its date is known until {last_year} only"),
    }
}

fn meaning(effect: policy::Effect) -> &'static str {
    match effect {
        policy::Effect::Peak => "everybody sends and people buy; networks are slow and inboxes full",
        policy::Effect::Care => "mind the tone, the goods and the hour",
        policy::Effect::Pause => "better not to advertise",
        policy::Effect::Free => "people are free",
    }
}

/// Your own days.
#[utoipa::path(get, path = "/v1/calendar/days", tag = "calendar", operation_id = "own_days", responses((status = 200, description = "The days, the earliest first.", body = Vec<OwnDayView>)))]
async fn own_days(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<OwnDayView>>, Problem> {
    let view = |OwnDay { name, market, first, last, effect }| OwnDayView { name, market, first, last, effect };
    Ok(Json(parts.control.own_days().await?.into_iter().map(view).collect()))
}

/// Replace your own days.
#[utoipa::path(
    put,
    path = "/v1/calendar/days",
    tag = "calendar",
    operation_id = "put_own_days",
    request_body(content = Vec<OwnDayView>, description = "All of them; an empty list takes all away."),
    responses((status = 200, description = "They are as given.", body = Vec<OwnDayView>), (status = 422, description = "One is wrong; nothing was changed.", body = ErrorBody))
)]
async fn put_own_days(
    State(parts): State<Arc<Parts>>,
    Params(days): Params<Vec<OwnDayView>>,
) -> Result<Json<Vec<OwnDayView>>, Problem> {
    if days.len() > OWN_DAYS_MAX {
        return Err(refused(format!("there are {} days", days.len()), "send at most 1,000"));
    }
    for day in &days {
        if day.name.trim().is_empty() || day.name.len() > NAME_BYTES_MAX {
            return Err(refused("a day has no name, or a very long one", "name each day in at most 128 bytes"));
        }
        day.market.as_deref().map(market).transpose()?;
        if day.last < day.first {
            let message = format!("`{}` ends on {}, before it begins", day.name, day.last);
            return Err(refused(message, "give a last day that is not before the first"));
        }
    }
    let own = |OwnDayView { name, market, first, last, effect }| OwnDay { name, market, first, last, effect };
    parts.control.put_own_days(&days.into_iter().map(own).collect::<Vec<_>>()).await?;
    own_days(State(parts)).await
}
