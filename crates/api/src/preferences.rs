//! The preference centre: the page behind a link of a message on which its recipient says what they want to get, channel by channel,
//! without login.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use content::LinkKind;
use control::{Evidence, NewConsent, Permission};
use policy::{Basis, Purpose, newest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Channel, Contact, ContactKey, Timestamp};

use crate::Parts;
use crate::forms::ip_of;
use crate::pages::{Page, Texts, not_found};
use crate::problem::Problem;
use crate::request::PathText;
use crate::tracking::of_no_message;

/// Where consents come from that are given here.
const SOURCE: &str = "the preference centre";

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(show, choose))
}

/// Whether marketing is wanted on a channel, by what was said last: a word of the contact, or an entry of the list.
fn is_on(permission: &Permission, channel: Channel) -> bool {
    let last = newest(&permission.consents, channel, Purpose::Marketing, Timestamp::MAX);
    let mut stops = permission.suppressions.iter().filter(|entry| entry.channel.is_none_or(|of| of == channel));
    match last {
        Some(fact) if fact.given.is_none() => false,
        Some(fact) => !stops.any(|entry| entry.at >= fact.at),
        None => stops.next().is_none(),
    }
}

/// Whose page a link leads to.
async fn whose(parts: &Parts, token: &str) -> Result<Option<(Contact, Permission)>, Problem> {
    let Ok(link) = parts.links.read(LinkKind::Preferences, token) else { return Ok(None) };
    let Some(row) = parts.control.message(&link.message_id).await? else { return Ok(None) };
    let keys: [ContactKey; 1] = [row.contact];
    let Some(contact) = parts.control.contacts_of(&keys).await?.pop() else { return Ok(None) };
    let permission = parts.control.permissions(&keys, None).await?.remove(&row.contact).unwrap_or_default();
    Ok(Some((contact, permission)))
}

/// The page where a link leads to nobody: that of a test, or of no message at all.
async fn of_nobody(parts: &Parts, token: &str) -> Result<Response, Problem> {
    match parts.links.read(LinkKind::Preferences, token) {
        Ok(link) => of_no_message(parts, &link.message_id).await,
        Err(_) => Ok(not_found("link")),
    }
}

fn page(contact: &Contact, permission: &Permission, is_saved: bool) -> Response {
    let texts = Texts::of(contact.profile.language.as_deref());
    let choice = |channel: &Channel| {
        let checked = if is_on(permission, *channel) { " checked" } else { "" };
        format!("<label><input type=\"checkbox\" name=\"{channel}\"{checked}> {}</label>", texts.offer(*channel))
    };
    let choices: String = contact.channels.iter().map(choice).collect();
    let said = if is_saved { format!("<p><strong>{}</strong></p>", texts.saved) } else { String::new() };
    let content =
        format!("{said}<form method=\"post\">{choices}<p><button>{}</button></p></form><p>{}</p>", texts.save, texts.in_any_case);
    Page::new(&texts.language, &texts.preferences, &content).response()
}

/// What the recipient of a message gets, as a form. Looking at it changes nothing.
#[utoipa::path(
    get,
    path = "/t/p/{token}",
    tag = "links",
    operation_id = "show_preferences",
    params(("token" = String, Path, description = "The signed token.")),
    responses((status = 200, description = "A page with a box for each channel.", content_type = "text/html"), (status = 404, description = "The link is not one of ours."))
)]
async fn show(State(parts): State<Arc<Parts>>, PathText(token): PathText) -> Result<Response, Problem> {
    Ok(match whose(&parts, &token).await? {
        Some((contact, permission)) => page(&contact, &permission, false),
        None => of_nobody(&parts, &token).await?,
    })
}

/// Say what is wanted: each channel that is named stays or comes back, each other one is unsubscribed from.
#[utoipa::path(
    post,
    path = "/t/p/{token}",
    tag = "links",
    operation_id = "choose_preferences",
    params(("token" = String, Path, description = "The signed token.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "A field for each channel that is wanted, such as `email=on`."),
    responses((status = 200, description = "It is noted.", content_type = "text/html"), (status = 404, description = "The link is not one of ours."))
)]
async fn choose(
    State(parts): State<Arc<Parts>>,
    PathText(token): PathText,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Some((contact, permission)) = whose(&parts, &token).await? else { return of_nobody(&parts, &token).await };
    let fields = String::from_utf8_lossy(&body);
    let wanted = |channel: Channel| fields.split('&').any(|field| field.split('=').next() == Some(channel.as_str()));
    for channel in contact.channels.iter().copied() {
        match (is_on(&permission, channel), wanted(channel)) {
            (true, false) => parts.control.unsubscribe(contact.key, channel, SOURCE).await?,
            (false, true) => parts.control.say(contact.key, &[agreed(&contact, channel, &headers)]).await?,
            _ => {}
        }
    }
    let permission = parts.control.permissions(&[contact.key], None).await?.remove(&contact.key).unwrap_or_default();
    Ok(page(&contact, &permission, true))
}

/// A consent given here. The link was sent to the mailbox, so by e-mail it is confirmed; on other channels it is asked for.
fn agreed(contact: &Contact, channel: Channel, headers: &HeaderMap) -> NewConsent {
    let basis = if channel == Channel::Email { Basis::DoubleOptIn } else { Basis::Express };
    NewConsent {
        source: Some(SOURCE.to_owned()),
        wording: Some(Texts::of(contact.profile.language.as_deref()).offer(channel)),
        evidence: Evidence { ip: ip_of(headers), proof: Some("chosen behind the link of a message".to_owned()) },
        ..NewConsent::new(channel, Some(basis))
    }
}
