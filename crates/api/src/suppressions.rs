//! Whom no campaign may reach: `POST /v1/suppressions` puts people or addresses on the list, which nothing takes them from.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::{NewSuppression, SuppressionRow};
use policy::SuppressionReason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::Channel;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Params, PathText};
use crate::views::ErrorBody;

/// Contacts and addresses put on the list by one request.
const SUPPRESSIONS_MAX: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(suppress)).routes(routes!(show))
}

/// Whom to suppress: at most 10,000 contacts, addresses and domains together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressionParams {
    /// Your own ids of contacts, with the addresses they have.
    #[serde(default)]
    contacts: Vec<String>,
    /// E-mail addresses, whether or not anybody is known who has them.
    #[serde(default)]
    emails: Vec<String>,
    /// Phone numbers with + and the country's code, for SMS and WhatsApp.
    #[serde(default)]
    phones: Vec<String>,
    /// Domains of e-mail: nothing is handed over to any mailbox there.
    #[serde(default)]
    domains: Vec<String>,
    /// Why: `unsubscribed`, `complained`, `hard_bounced`, `invalid`, `register`, `legal` or `manual`. It decides what is
    /// stopped: `hard_bounced`, `invalid` and `legal` stop every message, the others marketing.
    #[serde(default = "manual")]
    #[schema(value_type = Option<String>, example = "unsubscribed")]
    reason: SuppressionReason,
    /// The only channel on which the contacts are suppressed; every one where absent. An address is always that of a channel.
    #[schema(value_type = Option<String>, example = "email")]
    channel: Option<Channel>,
    /// More about why, for people.
    #[schema(example = "asked on the telephone")]
    note: Option<String>,
}

fn manual() -> SuppressionReason {
    SuppressionReason::Manual
}

/// What a suppression did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Suppressed {
    /// Contacts, addresses and domains that are on the list now.
    suppressed: u64,
    /// How many of the ids meant nobody: import the contact first, or name the address.
    unknown: u64,
}

/// Whether a contact is on the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuppressionsView {
    /// Whether there is any entry.
    suppressed: bool,
    /// The entries, oldest first.
    entries: Vec<SuppressionView>,
}

/// One entry of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuppressionView {
    /// Why.
    reason: String,
    /// The channel; `null` for every one.
    channel: Option<String>,
    /// More about why, for people.
    note: Option<String>,
    /// Since when; the last time it was said.
    since: String,
}

impl From<SuppressionRow> for SuppressionView {
    fn from(row: SuppressionRow) -> Self {
        let channel = row.channel.map(|channel| channel.to_string());
        Self { reason: row.reason.to_string(), channel, note: row.note, since: row.at.to_string() }
    }
}

/// Suppress contacts and addresses. From the answer on nothing that the reason stops is handed over to them. The list keeps
/// hashes of addresses, so it holds for whoever has such an address now or later, also after an erasure or an import.
#[utoipa::path(
    post,
    path = "/v1/suppressions",
    tag = "contacts",
    operation_id = "suppress",
    request_body(content = SuppressionParams, description = "Whom, and why."),
    responses(
        (status = 200, description = "They are suppressed.", body = Suppressed),
        (status = 422, description = "Nobody is named, too many are, or one cannot be an id or an address; nothing was done.", body = ErrorBody)
    )
)]
async fn suppress(
    State(parts): State<Arc<Parts>>,
    Params(params): Params<SuppressionParams>,
) -> Result<Json<Suppressed>, Problem> {
    let SuppressionParams { contacts, emails, phones, domains, reason, channel, note } = params;
    let count = contacts.len() + emails.len() + phones.len() + domains.len();
    if count == 0 || count > SUPPRESSIONS_MAX {
        let message = format!("{count} contacts and addresses cannot be suppressed at once");
        return Err(Problem::unprocessable("bad_suppression", message, format!("name 1 to {SUPPRESSIONS_MAX}")));
    }
    let numbers = phones.iter().flat_map(|phone| [Channel::Sms, Channel::Whatsapp].map(|channel| (channel, phone.clone())));
    let addresses: Vec<_> = emails.iter().map(|email| (Channel::Email, email.clone())).chain(numbers).collect();
    let keys = parts.control.existing(&contacts).await?;
    let unknown = contacts.len().saturating_sub(keys.len()) as u64;
    parts.control.suppress(&NewSuppression { contacts: keys, addresses, domains, reason, channel, note }).await?;
    Ok(Json(Suppressed { suppressed: count as u64 - unknown, unknown }))
}

/// Whether one contact is suppressed, why and since when.
#[utoipa::path(
    get,
    path = "/v1/suppressions/{contact}",
    tag = "contacts",
    operation_id = "read_suppression",
    params(("contact" = String, Path, description = "Your own id of the contact.")),
    responses(
        (status = 200, description = "Whether they are.", body = SuppressionsView),
        (status = 404, description = "There is no such contact.", body = ErrorBody)
    )
)]
async fn show(State(parts): State<Arc<Parts>>, PathText(contact): PathText) -> Result<Json<SuppressionsView>, Problem> {
    let found = parts.control.suppressions(&contact).await?.ok_or_else(Problem::no_contact)?;
    let entries: Vec<_> = found.into_iter().map(SuppressionView::from).collect();
    Ok(Json(SuppressionsView { suppressed: !entries.is_empty(), entries }))
}
