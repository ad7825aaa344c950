//! The one door: collector, tracking links, REST, and the console's files, over HTTP.
//!
//! *Invariant:* only this crate knows HTTP. It holds no rule of its own about experiments, money or sending: it reads what
//! callers write, asks `lake`, `control` and the pure crates, and writes down what they say.
//! *Invariant:* a route is open only where [`groups`] says so.
//!
//! Reading order: [`request`] and [`problem`] (what comes in, what goes wrong), [`auth`], [`collect`] with [`intake`],
//! [`items`], [`line`], [`scan`], [`check`], [`diagnose`] and [`keeping`], its other
//! formats [`cloud_events`], [`segment`] and [`arrow`], [`contacts`], [`tracking`], [`sql`], [`experiments`], [`recommendations`] with [`picks`], [`feed`] and [`ofrep`], [`campaigns`], [`coupons`],
//! [`keys`], [`console`], [`views`].

mod arrow;
mod attributes;
mod auth;
mod calendar;
mod campaigns;
mod check;
mod cloud_events;
mod collect;
mod consents;
mod console;
mod contacts;
mod coupons;
mod decisions;
mod diagnose;
mod dry_run;
mod erasures;
mod experiments;
mod explanations;
mod feed;
pub mod fields;
mod forms;
mod held;
mod intake;
mod items;
mod keeping;
mod keys;
mod library;
pub mod line;
mod looks;
mod machine;
mod messages;
mod ofrep;
mod pages;
mod picks;
mod preferences;
mod preview;
mod problem;
mod products;
mod proposals;
mod rates;
mod receipts;
mod recommendations;
mod request;
mod scan;
mod schema;
mod segment;
mod segments;
mod serve;
mod sizing;
mod snippets;
mod sql;
mod statistics;
mod suppressions;
mod test_sends;
mod times;
mod tracking;
mod triggers;
pub mod views;
mod warm_ups;
mod webhooks;
mod weights;

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use content::Links;
use control::{Control, Scope};
use gateways::{SmsConfig, WarmUps};
use lake::{Lake, SqlLimits};
use policy::InForce;
use tower_http::trace::TraceLayer;
use tracing::level_filters::LevelFilter;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Tag};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Channel, Clock, Currency, Ids};

use auth::Access;
use problem::Problem;
use views::{ErrorBody, ErrorView, Health};

pub use arrow::ARROW_ROWS_MAX;
pub use contacts::{ATTRIBUTES, CONTACT_FIELDS, read_contact};
pub use feed::{Feed, STREAMS_MAX};
pub use intake::BYTES_IN_FLIGHT_MAX;
pub use items::{BATCH_LINES_MAX, BODY_BYTES_MAX, LINE_BYTES_MAX};
pub use picks::PICKS_MAX;
pub use recommendations::WAIT_SECONDS_MAX;
pub use serve::serve;

/// What the server is made of.
pub struct Parts {
    /// Where events go and numbers come from.
    pub lake: Arc<Lake>,
    /// What people edit and senders trust.
    pub control: Arc<Control>,
    /// Reads the signed links.
    pub links: Arc<Links>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives fresh ids.
    pub ids: Arc<dyn Ids>,
    /// Who may get what, and the calendar.
    pub rules: Arc<InForce>,
    /// The gateways for text messages, for their prices.
    pub sms: SmsConfig,
    /// Which domains send how much a day.
    pub warm_ups: Arc<WarmUps>,
    /// How many streams there may be, and when they end.
    pub feed: Feed,
    /// What can be set.
    pub settings: Settings,
}

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The currency amounts are compared in.
    pub base_currency: Currency,
    /// What one query may use.
    pub sql_limits: SqlLimits,
    /// The channels by which something can be sent.
    pub channels: &'static [Channel],
    /// Whether webhooks may lead to this machine.
    pub webhook_loopback: bool,
}

/// The server as a router, ready to be served.
pub fn router(parts: Parts) -> axum::Router {
    let parts = Arc::new(parts);
    let guarded = groups().into_iter().map(|(access, routes)| auth::guard(routes, access, &parts));
    let routes = guarded.fold(OpenApiRouter::default(), OpenApiRouter::merge);
    let router: axum::Router<Arc<Parts>> = routes.into();
    let router = router.method_not_allowed_fallback(wrong_method).fallback(console::serve);
    // What it tells is of level debug; where nobody hears it, no request pays for it. Failures are logged where they become a problem.
    let is_traced = LevelFilter::current() >= LevelFilter::DEBUG;
    let router = if is_traced { router.layer(TraceLayer::new_for_http()) } else { router };
    router.with_state(parts)
}

/// The OpenAPI 3.1 document of the server.
#[must_use]
pub fn openapi() -> OpenApi {
    let documented = groups().into_iter().map(|(access, mut routes)| {
        auth::document(&mut routes, access);
        routes.into_openapi()
    });
    documented.fold(frame(), OpenApi::merge_from)
}

/// The document as it is committed in `crates/api/openapi.json`, with a line break at the end.
///
/// # Panics
/// Never: the document is plain data.
#[must_use]
pub fn openapi_json() -> String {
    openapi().to_pretty_json().expect("the document is plain data") + "\n"
}

/// Every route, grouped by who may use it. A handler that is in none of these groups cannot be reached.
fn groups() -> Vec<(Access, OpenApiRouter<Arc<Parts>>)> {
    let system = || OpenApiRouter::new().routes(routes!(healthz));
    let read = || {
        let groups = [
            experiments::reading().merge(decisions::reading()).merge(library::reading()).merge(sizing::reading()),
            looks::reading(),
            recommendations::reading().merge(proposals::reading()),
            campaigns::reading(),
            coupons::reading(),
            preview::routes(),
            dry_run::routes(),
            warm_ups::routes(),
            calendar::reading(),
            segments::reading(),
            triggers::reading(),
            products::reading(),
            snippets::reading(),
            messages::reading(),
            receipts::reading(),
            webhooks::reading(),
            sql::routes(),
            statistics::routes(),
        ];
        groups.into_iter().fold(OpenApiRouter::default().routes(routes!(document)), OpenApiRouter::merge)
    };
    let manage = || {
        let groups = [
            contacts::routes(),
            attributes::routes(),
            erasures::routes(),
            suppressions::routes(),
            held::routes(),
            rates::routes(),
            experiments::managing(),
            decisions::managing(),
            looks::managing(),
            recommendations::managing().merge(proposals::managing()),
            webhooks::managing(),
            campaigns::managing(),
            test_sends::routes(),
            coupons::managing(),
            explanations::routes(),
            segments::managing(),
            triggers::managing(),
            products::managing(),
            snippets::managing(),
            forms::managing(),
            messages::managing(),
            calendar::managing(),
            keys::routes(),
        ];
        groups.into_iter().fold(OpenApiRouter::default(), OpenApiRouter::merge)
    };
    vec![
        (
            Access::Open,
            OpenApiRouter::default()
                .merge(system())
                .merge(tracking::routes())
                .merge(forms::open())
                .merge(preferences::routes())
                .merge(receipts::open()),
        ),
        (Access::AnyOf(&[Scope::Collect]), collect::routes().merge(segment::routes())),
        (Access::AnyOf(&[Scope::Read]), read()),
        (Access::AnyOf(&[Scope::Send, Scope::Read]), following()),
        (Access::AnyOf(&[Scope::Send]), messages::sending()),
        (Access::AnyOf(&[Scope::Manage]), manage()),
    ]
}

/// What senders ask: what to send now, and when that changes.
fn following() -> OpenApiRouter<Arc<Parts>> {
    let groups = [recommendations::sending(), picks::sending(), feed::sending(), ofrep::sending()];
    groups.into_iter().fold(OpenApiRouter::default(), OpenApiRouter::merge)
}

/// The document without its paths.
fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Sendlab")
        .version("1")
        .description(Some("Experiments on mass messages: events in, scored winners out, senders that follow them."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let (name, scheme) = auth::scheme();
    let components = ComponentsBuilder::new()
        .security_scheme(name, scheme)
        .schema(ErrorBody::name(), ErrorBody::schema())
        .schema(ErrorView::name(), ErrorView::schema())
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).tags(Some(tags())).build()
}

fn tags() -> Vec<Tag> {
    let tag = |(name, about): (&str, &str)| TagBuilder::new().name(name).description(Some(about)).build();
    let tags = [
        ("events", "Telling what happened."),
        ("contacts", "The people, by the customer's own ids."),
        ("segments", "Named audiences."),
        ("forms", "Hosted subscription forms with double opt-in."),
        ("triggers", "Messages that begin by themselves, and prices."),
        ("products", "What messages show of your products."),
        ("snippets", "Pieces of templates that many messages take in."),
        ("experiments", "What is asked, and what the answer is."),
        ("recommendations", "What the senders should use."),
        ("campaigns", "What is sent to whom."),
        ("messages", "Codes, receipts and other messages to one person."),
        ("calendar", "Festivals, holidays and your own days, and what stands in a campaign's way."),
        ("lake", "SQL over everything that happened."),
        ("stats", "Statistical methods by name, for any numbers."),
        ("links", "The signed links in messages; they need no key."),
        ("keys", "Who may do what."),
        ("system", "The server itself."),
    ];
    tags.map(tag).into()
}

/// Is the server there?
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, description = "It is.", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".into() })
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "system",
    operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = serde_json::Value, content_type = "application/json"))
)]
async fn document() -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(openapi_json);
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], text.as_str()).into_response()
}

async fn wrong_method() -> Problem {
    let hint = "/openapi.json lists the methods of each path";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path does not know the method", hint)
}

#[cfg(test)]
mod tests;
