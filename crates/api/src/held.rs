//! Everything that is held about one person: what the vault and the ledger know, and each event in the lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{DrawnCoupon, Held, LedgerRow, address_field};
use futures::TryStreamExt as _;
use lake::{Group, SqlFormat, SqlOptions};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::EventKind;

use crate::Parts;
use crate::consents::ConsentView;
use crate::problem::Problem;
use crate::request::PathText;
use crate::suppressions::SuppressionView;
use crate::views::ErrorBody;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(export))
}

/// One person, as far as Sendlab knows them.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeldView {
    /// When this was put together.
    exported_at: String,
    /// The surrogate key, under which the lake holds the events.
    contact_key: String,
    /// Your own ids of them.
    own_ids: Vec<String>,
    /// Their addresses by field: `email`, `phone` and so on.
    addresses: BTreeMap<&'static str, String>,
    /// What is known of them.
    profile: Value,
    /// When they were first known.
    created_at: String,
    /// When something of this changed last.
    updated_at: String,
    /// What they said about being written to, oldest first.
    consents: Vec<ConsentView>,
    /// Why and since when they are on the suppression list; empty where they are not.
    suppressions: Vec<SuppressionView>,
    /// What was handed over for them, oldest first.
    messages: Vec<MessageView>,
    /// The coupons that were drawn for them, oldest first.
    coupons: Vec<CouponView>,
    /// Every event about them by table of the lake, oldest first.
    events: BTreeMap<&'static str, Value>,
}

/// One message in the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    message_id: String,
    campaign: String,
    experiment: String,
    variant: Option<String>,
    state: String,
    claimed_at: String,
    settled_at: Option<String>,
    reply: Option<String>,
}

impl From<LedgerRow> for MessageView {
    fn from(row: LedgerRow) -> Self {
        Self {
            message_id: row.message_id.to_string(),
            campaign: row.campaign_id.to_string(),
            experiment: row.experiment_id.to_string(),
            variant: row.variant.map(|variant| variant.to_string()),
            state: row.state.to_string(),
            claimed_at: row.claimed_at.to_string(),
            settled_at: row.settled_at.map(|at| at.to_string()),
            reply: row.reply,
        }
    }
}

/// A coupon that was drawn for one of their messages.
#[derive(Serialize, ToSchema)]
pub(crate) struct CouponView {
    /// The message.
    message_id: String,
    /// The pool.
    pool: String,
    /// The code.
    code: String,
    /// When.
    drawn_at: String,
}

impl From<DrawnCoupon> for CouponView {
    fn from(drawn: DrawnCoupon) -> Self {
        Self {
            message_id: drawn.message_id.to_string(),
            pool: drawn.pool.to_string(),
            code: drawn.code.as_str().to_owned(),
            drawn_at: drawn.drawn_at.to_string(),
        }
    }
}

/// Export a person.
///
/// Everything that is held about one contact, machine readable, to be given to them: ids, addresses, profile, consents with their proof, suppressions, the
/// ledger's messages, coupons and every event of the lake.
#[utoipa::path(
    get,
    path = "/v1/contacts/{contact}/export",
    tag = "contacts",
    operation_id = "export_contact",
    params(("contact" = String, Path, description = "Your own id of the contact.")),
    responses(
        (status = 200, description = "All there is.", body = HeldView),
        (status = 404, description = "There is no such contact.", body = ErrorBody)
    )
)]
async fn export(State(parts): State<Arc<Parts>>, PathText(contact): PathText) -> Result<Json<HeldView>, Problem> {
    let held = parts.control.held(&contact).await?.ok_or_else(Problem::no_contact)?;
    let Held { contact, own_ids, addresses, updated_at, consents, suppressions, messages, coupons } = held;
    let mut events = BTreeMap::new();
    for kind in EventKind::ALL {
        let table = kind.table();
        let query = format!("SELECT * FROM {table} WHERE contact_key = {} ORDER BY event_time, event_id", contact.key);
        events.insert(table, rows(&parts, &query).await?);
    }
    let profile = serde_json::to_value(&contact.profile).unwrap_or_default();
    Ok(Json(HeldView {
        exported_at: parts.clock.now().to_string(),
        contact_key: contact.key.to_string(),
        own_ids,
        addresses: addresses.into_iter().map(|(channel, address)| (address_field(channel), address)).collect(),
        profile,
        created_at: contact.created_at.to_string(),
        updated_at: updated_at.to_string(),
        consents: consents.into_iter().map(ConsentView::from).collect(),
        suppressions: suppressions.into_iter().map(SuppressionView::from).collect(),
        messages: messages.into_iter().map(MessageView::from).collect(),
        coupons: coupons.into_iter().map(CouponView::from).collect(),
        events,
    }))
}

/// The rows of a query as JSON.
async fn rows(parts: &Parts, query: &str) -> Result<Value, Problem> {
    let options = SqlOptions {
        limits: parts.settings.sql_limits,
        group: Group::Internal,
        asked_at: Some(parts.clock.now()),
        ..SqlOptions::default()
    };
    let answer = parts.lake.sql(query, SqlFormat::Json, &options).await?;
    let bytes = answer.body.try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    let bytes = bytes.await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the rows of the lake cannot be told: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, "try again; the server's log may say more")
    })
}
