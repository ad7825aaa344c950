//! The links in messages: the pixel, the click, the unsubscribe. They carry a signature instead of a key.
//!
//! What they tell lands in the lake like any other event. A failure to record an open or a click is ours and never the
//! reader's: they get their picture or page all the same.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use content::{Link, LinkKind};
use control::LedgerRow;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::world::to_micros;
use vocabulary::{Body, Channel, ContactKey, Context, Event, EventId, FeedbackKind, MessageId, Timestamp};

use crate::Parts;
use crate::coupons;
use crate::line::TEXT_BYTES_MAX;
use crate::machine::is_machine;
use crate::pages::{Page, Texts, not_found, private};
use crate::problem::Problem;
use crate::request::PathText;

/// A transparent picture of one point.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The address that a click on the link is told with that no person sees; the view `graded_clicks` knows it.
const TRAP: &str = "trap:";

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(open)).routes(routes!(click)).routes(routes!(unsubscribe_page, unsubscribe))
}

/// The pixel of a message: tells that it was opened.
#[utoipa::path(
    get,
    path = "/t/o/{token}",
    tag = "links",
    params(("token" = String, Path, description = "The signed token, followed by `.gif`.")),
    responses((status = 200, description = "A transparent picture.", content_type = "image/gif"), (status = 404, description = "The link is not one of ours."))
)]
async fn open(State(parts): State<Arc<Parts>>, PathText(token): PathText, method: Method, headers: HeaderMap) -> Response {
    let Ok(link) = parts.links.read(LinkKind::Open, token.strip_suffix(".gif").unwrap_or(&token)) else { return not_ours() };
    let seen = Seen::new(&parts, &method, &headers);
    record(&parts, &link, seen, |row, seen| Body::Open { machine: seen.machine(row), user_agent: seen.user_agent.clone() }).await;
    let mut response = ([(header::CONTENT_TYPE, "image/gif")], PIXEL).into_response();
    private(&mut response);
    response
}

/// A link in a message: tells that it was followed and leads to where the message said.
#[utoipa::path(
    get,
    path = "/t/c/{token}",
    tag = "links",
    params(("token" = String, Path, description = "The signed token; it holds the target.")),
    responses((status = 302, description = "To the signed target."), (status = 204, description = "The link is one that no person sees; it leads nowhere."), (status = 404, description = "The link is not one of ours."))
)]
async fn click(State(parts): State<Arc<Parts>>, PathText(token): PathText, method: Method, headers: HeaderMap) -> Response {
    let Ok(link) = parts.links.read(LinkKind::Click, &token) else { return trap(&parts, &token, &method, &headers).await };
    let Some((target, location)) = link.target.as_deref().and_then(|target| Some((target, location(target)?))) else {
        return not_ours();
    };
    let seen = Seen::new(&parts, &method, &headers);
    let url = coupons::hidden(&parts, &link.message_id, target).await;
    let body = |row: &LedgerRow, seen: &Seen| Body::Click {
        url,
        machine: seen.machine(row),
        user_agent: seen.user_agent.clone(),
        // Links count from 0, people from 1.
        position: link.position.map(|place| place.saturating_add(1)),
    };
    record(&parts, &link, seen, body).await;
    let mut response = (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
    private(&mut response);
    response
}

/// The link that no person sees: whoever follows it is a machine, and gets nothing.
async fn trap(parts: &Parts, token: &str, method: &Method, headers: &HeaderMap) -> Response {
    let Ok(link) = parts.links.read(LinkKind::Trap, token) else { return not_ours() };
    let seen = Seen::new(parts, method, headers);
    let body = |_: &LedgerRow, seen: &Seen| Body::Click {
        url: Some(TRAP.into()),
        machine: true,
        user_agent: seen.user_agent.clone(),
        position: None,
    };
    record(parts, &link, seen, body).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    private(&mut response);
    response
}

/// The page of an unsubscribe link. Looking at it changes nothing: scanners follow links.
#[utoipa::path(
    get,
    path = "/t/u/{token}",
    tag = "links",
    params(("token" = String, Path, description = "The signed token.")),
    responses((status = 200, description = "A page with a button.", content_type = "text/html"), (status = 404, description = "The link is not one of ours."))
)]
async fn unsubscribe_page(State(parts): State<Arc<Parts>>, PathText(token): PathText) -> Result<Response, Problem> {
    let Ok(link) = parts.links.read(LinkKind::Unsubscribe, &token) else { return Ok(not_ours()) };
    let contact = parts.control.message(&link.message_id).await?.map(|row| row.contact);
    let texts = texts_for(&parts, contact).await?;
    let content = format!(
        "<p>{}</p><form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">\
         <button>{}</button></form>",
        texts.unsubscribe_question, texts.unsubscribe
    );
    Ok(Page::new(&texts.language, &texts.unsubscribe, &content).response())
}

/// Texts in the language of a contact.
async fn texts_for(parts: &Parts, contact: Option<ContactKey>) -> Result<&'static Texts, Problem> {
    let contact = parts.control.contacts_of(contact.as_slice()).await?.pop();
    Ok(Texts::of(contact.and_then(|contact| contact.profile.language).as_deref()))
}

/// Unsubscribe (RFC 8058): at once, without cookie, question or redirect.
#[utoipa::path(
    post,
    path = "/t/u/{token}",
    tag = "links",
    params(("token" = String, Path, description = "The signed token.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "`List-Unsubscribe=One-Click`; it is not looked at."),
    responses((status = 200, description = "Unsubscribed.", content_type = "text/html"), (status = 404, description = "The link is not one of ours."))
)]
async fn unsubscribe(
    State(parts): State<Arc<Parts>>,
    PathText(token): PathText,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(link) = parts.links.read(LinkKind::Unsubscribe, &token) else { return Ok(not_ours()) };
    let Some(row) = parts.control.message(&link.message_id).await? else { return of_no_message(&parts, &link.message_id).await };
    // Senders obey this from here on; the event below is for the statistics and may be told again.
    parts.control.unsubscribe(row.contact, Channel::Email, "the link of a message").await?;
    let seen = Seen::new(&parts, &Method::POST, &headers);
    // One per message: mailbox providers repeat the request until they are answered.
    let id = EventId::new(&format!("unsubscribe:{}", row.message_id)).map_err(|error| Problem::internal(&error))?;
    let body = Body::Feedback { kind: FeedbackKind::Unsubscribe, text: None };
    parts.lake.append(vec![event(id, &row, body, seen.now)]).await?;
    let texts = texts_for(&parts, Some(row.contact)).await?;
    Ok(Page::new(&texts.language, &texts.unsubscribed, &format!("<p>{}</p>", texts.unsubscribed_text)).response())
}

/// The page behind a link of a message that is in no ledger: one that was a test, else one of nobody.
pub(crate) async fn of_no_message(parts: &Parts, message: &MessageId) -> Result<Response, Problem> {
    if !parts.control.is_test(message).await? {
        return Ok(not_ours());
    }
    // Its reader is whoever writes the campaign.
    let content = "<p>This link is in a test message. In a real one it does what it says; here nothing was changed.</p>";
    Ok(Page::new("en", "Test message", content).response())
}

/// Who asked, and when.
struct Seen {
    now: Timestamp,
    user_agent: Option<String>,
    /// Asking for the headers only is what link checkers do.
    head_only: bool,
}

impl Seen {
    fn new(parts: &Parts, method: &Method, headers: &HeaderMap) -> Self {
        let user_agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let user_agent = user_agent.map(|text| text.chars().take(TEXT_BYTES_MAX / 4).collect());
        Self { now: to_micros(parts.clock.now()), user_agent, head_only: method == Method::HEAD }
    }

    fn machine(&self, row: &LedgerRow) -> bool {
        self.head_only || is_machine(self.user_agent.as_deref(), row.settled_at, self.now)
    }
}

/// Records an open or a click, each an event of its own. What cannot be recorded is logged.
async fn record(parts: &Parts, link: &Link, seen: Seen, body: impl FnOnce(&LedgerRow, &Seen) -> Body) {
    let row = match parts.control.message(&link.message_id).await {
        Ok(Some(row)) => row,
        // Of a test nothing is kept.
        Ok(None) if matches!(parts.control.is_test(&link.message_id).await, Ok(true)) => return,
        Ok(None) => {
            return tracing::warn!(message = %link.message_id, "a link of a message that is not in the ledger was followed");
        }
        Err(error) => return drop(Problem::internal(&error)),
    };
    match parts.control.is_erased(row.contact).await {
        Ok(false) => {}
        // Whoever follows a link in an old mail after an erasure gets there, and nothing is kept of it.
        Ok(true) => return,
        Err(error) => return drop(Problem::internal(&error)),
    }
    let body = body(&row, &seen);
    let Ok(id) = EventId::new(&format!("link:{}", parts.ids.token())) else { return };
    if let Err(error) = parts.lake.append(vec![event(id, &row, body, seen.now)]).await {
        drop(Problem::internal(&error));
    }
}

fn event(id: EventId, row: &LedgerRow, body: Body, now: Timestamp) -> Event {
    let context = Context {
        message_id: Some(row.message_id.clone()),
        campaign_id: Some(row.campaign_id.clone()),
        experiment_id: Some(row.experiment_id.clone()),
        variant: row.variant.clone(),
        channel: Some(Channel::Email),
        market: row.market.clone(),
        provider: None,
        recommendation_id: row.recommendation_id.clone(),
    };
    Event { id, time: now, received_at: now, contact: row.contact, time_doubt: None, context, body }
}

/// The target as a header value: what a header cannot hold is percent-encoded. `None` unless it is a web address.
fn location(target: &str) -> Option<HeaderValue> {
    let scheme = target.split(':').next()?.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return None;
    }
    let encoded = target.bytes().fold(String::with_capacity(target.len()), |mut text, byte| {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    });
    HeaderValue::from_str(&encoded).ok()
}

fn not_ours() -> Response {
    not_found("link")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_headers() {
        let check = |target: &str, expect: Option<&str>| {
            assert_eq!(location(target).map(|value| value.to_str().unwrap().to_owned()).as_deref(), expect, "{target}");
        };
        check("https://shop.example/?a=1&b=%20#x", Some("https://shop.example/?a=1&b=%20#x"));
        check("https://shop.example/ü x", Some("https://shop.example/%C3%BC%20x"));
        check("https://shop.example/\r\nSet-Cookie: a=b", Some("https://shop.example/%0D%0ASet-Cookie:%20a=b"));
        check("javascript:alert(1)", None);
        check("//shop.example", None);
    }
}
