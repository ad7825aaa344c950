//! Whom no campaign may reach: `POST /v1/suppressions` puts people or addresses on the list, which nothing takes them from.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::SuppressionRow;
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
/// The reason where none is given.
const REASON_DEFAULT: &str = "manual";

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(suppress)).routes(routes!(show))
}

/// Whom to suppress: at most 10,000 contacts, addresses and domains together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressionParams {
    /// Your own ids of contacts: all addresses of each are suppressed.
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
    /// Why, for people; `manual` where absent.
    #[schema(example = "asked on the telephone")]
    reason: Option<String>,
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
pub(crate) struct SuppressionView {
    /// Whether no campaign may reach them.
    suppressed: bool,
    /// The reason that was given first.
    reason: Option<String>,
    /// Since when.
    since: Option<String>,
}

/// Suppress contacts and addresses. From the answer on no message of any campaign is claimed for them. The list keeps hashes
/// of addresses, so it holds for whoever has such an address now or later, also after an erasure or an import.
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
    let SuppressionParams { contacts, emails, phones, domains, reason } = params;
    let count = contacts.len() + emails.len() + phones.len() + domains.len();
    if count == 0 || count > SUPPRESSIONS_MAX {
        let message = format!("{count} contacts and addresses cannot be suppressed at once");
        return Err(Problem::unprocessable("bad_suppression", message, format!("name 1 to {SUPPRESSIONS_MAX}")));
    }
    let reason = reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()).unwrap_or(REASON_DEFAULT);
    let numbers = phones.iter().flat_map(|phone| [Channel::Sms, Channel::Whatsapp].map(|channel| (channel, phone.clone())));
    let addresses: Vec<_> = emails.iter().map(|email| (Channel::Email, email.clone())).chain(numbers).collect();
    let keys = parts.control.existing(&contacts).await?;
    parts.control.suppress_all(&keys, &addresses, &domains, reason).await?;
    let unknown = contacts.len().saturating_sub(keys.len()) as u64;
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
        (status = 200, description = "Whether they are.", body = SuppressionView),
        (status = 404, description = "There is no such contact.", body = ErrorBody)
    )
)]
async fn show(State(parts): State<Arc<Parts>>, PathText(contact): PathText) -> Result<Json<SuppressionView>, Problem> {
    let found = parts.control.suppression(&contact).await?.ok_or_else(Problem::no_contact)?;
    let (reason, since) = found.map(|SuppressionRow { reason, at }| (reason, at.to_string())).unzip();
    Ok(Json(SuppressionView { suppressed: reason.is_some(), reason, since }))
}
