//! Messages to one person: templates stored, a message told, and what became of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{Enqueued, NewMessage, OutboxCount, OutboxRow, Recipient};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Channel, MessageTemplate, label};

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Params, PathText, Text};
use crate::views::ErrorBody;

/// Templates in one document.
const TEMPLATES_MAX: usize = 200;
/// The longest values of one message, as JSON: an order of a hundred lines.
const DATA_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn sending() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(tell, counts)).routes(routes!(one))
}

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put))
}

/// A message to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageLine {
    /// Your own id of it. Told again with the same content it is not sent again; you hear what became of it.
    #[schema(example = "code-8431")]
    id: String,
    /// The template it is made of.
    #[schema(example = "login-code")]
    template: String,
    /// To whom.
    to: To,
    /// What the template calls `data`.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"code": "482913"}))]
    data: Map<String, Value>,
    /// BCP 47 language to write in; the contact's where absent.
    #[serde(default)]
    #[schema(example = "pt-BR")]
    language: Option<String>,
    /// ISO 3166 alpha-2 country of somebody who is no contact, for what the law asks there.
    #[serde(default)]
    #[schema(example = "BR")]
    country: Option<String>,
}

/// To whom a message goes: one of the fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct To {
    /// Your own id of a contact; they get it at the address they have when it leaves.
    #[serde(default)]
    contact: Option<String>,
    /// An address, whose owner need not be a contact.
    #[serde(default)]
    email: Option<String>,
    /// An international phone number, whose owner need not be a contact.
    #[serde(default)]
    phone: Option<String>,
}

/// A message and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    /// Your own id of it.
    id: String,
    /// Its id in the lake's tables.
    message_id: String,
    /// `waiting`, `claimed`, `accepted`, `refused`, `in_doubt` or `expired`.
    state: &'static str,
    /// `verification` or `transactional`.
    class: &'static str,
    /// The channel.
    channel: &'static str,
    /// The template.
    template: String,
    /// How often it was offered.
    tries: u64,
    /// When it was told.
    told_at: String,
    /// When it is given up.
    expires_at: String,
    /// When it came to its end; `null` before.
    settled_at: Option<String>,
    /// The next server's words, or why it was not offered.
    reply: Option<String>,
}

/// How many messages of the last month are in each state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountView {
    /// `verification` or `transactional`.
    class: &'static str,
    /// `waiting`, `claimed`, `accepted`, `refused`, `in_doubt` or `expired`.
    state: &'static str,
    /// How many.
    messages: u64,
}

impl From<OutboxCount> for CountView {
    fn from(count: OutboxCount) -> Self {
        Self { class: count.class.as_str(), state: count.state.as_str(), messages: count.messages }
    }
}

fn view(id: &str, row: OutboxRow) -> MessageView {
    MessageView {
        id: id.to_owned(),
        message_id: row.message_id.to_string(),
        state: row.state.as_str(),
        class: row.class.as_str(),
        channel: row.channel.as_str(),
        template: row.template,
        tries: row.tries,
        told_at: row.told_at.to_string(),
        expires_at: row.expires_at.to_string(),
        settled_at: row.settled_at.map(|at| at.to_string()),
        reply: row.reply,
    }
}

/// Send a message to one person: a code, a receipt, news of a parcel.
///
/// When this answers, the message is on disk and on its way; lanes of its class hand it over, whatever campaigns are running.
/// Ask again with the same body after a time-out: it is sent once.
#[utoipa::path(
    post,
    path = "/v1/messages",
    tag = "messages",
    operation_id = "send_message",
    request_body = MessageLine,
    responses(
        (status = 202, description = "It is on disk and will be handed over.", body = MessageView),
        (status = 200, description = "It was told before; this is where it stands.", body = MessageView),
        (status = 404, description = "There is no such contact.", body = ErrorBody),
        (status = 409, description = "Another message was told under this id, or no gateway for its channel is set up.", body = ErrorBody),
        (status = 422, description = "Something is wrong with it; the message names the field and the fix.", body = ErrorBody),
    )
)]
async fn tell(
    State(parts): State<Arc<Parts>>,
    Params(line): Params<MessageLine>,
) -> Result<(StatusCode, Json<MessageView>), Problem> {
    let template = parts.control.template(&line.template).await?.ok_or_else(|| {
        let message = format!("template: there is none named `{}`", line.template);
        Problem::unprocessable("unknown_template", message, "GET /v1/templates lists them; store it first with PUT /v1/templates")
    })?;
    let new = checked(line, template.channel)?;
    if !parts.settings.channels.contains(&template.channel) {
        let message = format!("no gateway for {} is set up, so the message could not leave", template.channel);
        return Err(Problem::conflict("no_gateway", message, gateway_hint(template.channel)));
    }
    match parts.control.enqueue(&template, &new).await? {
        Enqueued::New(row) => Ok((StatusCode::ACCEPTED, Json(view(&new.id, row)))),
        Enqueued::Known(row) => Ok((StatusCode::OK, Json(view(&new.id, row)))),
        Enqueued::Different => {
            let message = format!("another message was told as `{}` in the last month", new.id);
            Err(Problem::conflict("other_message", message, "give this one an id of its own"))
        }
        Enqueued::NoContact => Err(Problem::no_contact()),
        Enqueued::NoAddress => {
            let message = format!("to: the contact has no address for {}", template.channel);
            Err(Problem::unprocessable("no_address", message, "give the address itself, or import the contact with one"))
        }
    }
}

pub(crate) fn gateway_hint(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "start the server with --smtp HOST:PORT",
        Channel::Sms => "name one in a file and start the server with --sms FILE",
        _ => "only email and sms can be sent; use a template for one of them",
    }
}

fn checked(line: MessageLine, channel: Channel) -> Result<NewMessage, Problem> {
    let wrong = |message: String, hint: &str| Problem::unprocessable("bad_message", message, hint);
    label::check(&line.id, label::LABEL_BYTES_MAX).map_err(|error| {
        wrong(format!("id: {error}"), "give each message an id of your own, such as the code's or the order's")
    })?;
    let bytes = serde_json::to_string(&line.data).map_err(|error| Problem::internal(&error))?.len();
    if bytes > DATA_BYTES_MAX {
        return Err(wrong(format!("data: is {bytes} bytes as JSON; the limit is {DATA_BYTES_MAX}"), "send less"));
    }
    if let Some(country) = line.country.as_deref().filter(|country| !vocabulary::is_country(country)) {
        return Err(wrong(format!("country: `{country}` is no ISO 3166 country code"), "write two capital letters"));
    }
    let one = "give one of to.contact, to.email and to.phone";
    let to = match (line.to.contact, line.to.email, line.to.phone) {
        (Some(contact), None, None) => Recipient::Contact(contact),
        (None, Some(email), None) if channel == Channel::Email => Recipient::Address(email),
        (None, None, Some(phone)) if matches!(channel, Channel::Sms | Channel::Whatsapp) => Recipient::Address(phone),
        (None, Some(_), None) | (None, None, Some(_)) => {
            return Err(wrong(format!("to: the template goes by {channel}, which needs another kind of address"), one));
        }
        _ => return Err(wrong("to: names nobody, or more than one".to_owned(), one)),
    };
    Ok(NewMessage { id: line.id, to, language: line.language, country: line.country, data: Value::Object(line.data) })
}

/// How many messages to one person are in each state.
#[utoipa::path(
    get,
    path = "/v1/messages",
    tag = "messages",
    operation_id = "count_messages",
    responses((status = 200, description = "Messages of the last month by class and state.", body = Vec<CountView>))
)]
async fn counts(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<CountView>>, Problem> {
    Ok(Json(parts.control.outbox_counts().await?.into_iter().map(CountView::from).collect()))
}

/// What became of a message to one person.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    tag = "messages",
    operation_id = "message",
    params(("id" = String, Path, description = "Your own id of the message.")),
    responses((status = 200, description = "Where it stands.", body = MessageView), (status = 404, description = "None was told under this id in the last month.", body = ErrorBody))
)]
async fn one(State(parts): State<Arc<Parts>>, PathText(id): PathText) -> Result<Json<MessageView>, Problem> {
    let found = parts.control.outbox_message(&id).await?;
    let row =
        found.ok_or_else(|| Problem::not_found("message", &id, "messages are remembered for a month under the id you told"))?;
    Ok(Json(view(&id, row)))
}

/// Store templates of messages to one person.
///
/// YAML or JSON, one or a list; all are stored or none.
#[utoipa::path(
    put,
    path = "/v1/templates",
    tag = "messages",
    operation_id = "put_templates",
    request_body(content((Object = "application/json"), (String = "application/yaml")), description = "A template, or a list of them."),
    responses(
        (status = 200, description = "They are as given.", body = Vec<Object>),
        (status = 422, description = "Something is wrong with one; the message names the place and the fix. None was stored.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<Vec<MessageTemplate>>, Problem> {
    let templates = experiment::parse_templates(&text)?;
    if templates.is_empty() || templates.len() > TEMPLATES_MAX {
        let message = format!("there are {} templates", templates.len());
        return Err(Problem::unprocessable("bad_template", message, format!("send 1 to {TEMPLATES_MAX}")));
    }
    let snippets = parts.control.snippets().await?;
    for template in &templates {
        content::compile_template(template, &snippets).map_err(|error| {
            let message = format!("template `{}`: {error}", template.template);
            Problem::unprocessable("bad_template", message, "correct the template and send it again")
        })?;
    }
    parts.control.put_templates(&templates).await?;
    Ok(Json(templates))
}

/// The templates of messages to one person.
#[utoipa::path(
    get,
    path = "/v1/templates",
    tag = "messages",
    operation_id = "list_templates",
    responses((status = 200, description = "The templates, by name.", body = Vec<Object>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<MessageTemplate>>, Problem> {
    Ok(Json(parts.control.templates().await?))
}
