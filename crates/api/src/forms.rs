//! Hosted subscription forms: stored, shown, filled, and confirmed by an answer to a message (double opt-in). The pages need no
//! script and may be framed; a form may also stand in a page of the shop and be sent here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Form as Filled, Json};
use content::escaped;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::Form;

use crate::Parts;
use crate::pages::{Page, not_found};
use crate::problem::Problem;
use crate::request::{PathText, Text};
use crate::views::ErrorBody;

/// Forms in one document.
const FORMS_MAX: usize = 200;

pub(crate) fn open() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(show, fill)).routes(routes!(ask, confirm))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put, list))
}

/// A form and how to use it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FormView {
    /// As it was written.
    #[schema(value_type = Object)]
    form: Form,
    /// Where it is.
    url: String,
    /// HTML to put into a page of your own.
    html: String,
}

/// What somebody filled in.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Answers {
    /// Their address.
    #[serde(default)]
    email: String,
    /// A field that people do not see; whoever fills it is a machine.
    #[serde(default)]
    website: String,
}

fn view(parts: &Parts, form: Form) -> FormView {
    let url = parts.links.form(&form.form);
    FormView { html: fields(&form, &url), url, form }
}

/// The form itself, without the page around it.
fn fields(form: &Form, action: &str) -> String {
    let privacy = form.privacy_url.as_deref().map(|url| format!(" <a href=\"{0}\">{0}</a>", escaped(url))).unwrap_or_default();
    format!(
        "<form method=\"post\" action=\"{}\"><p><label>{} <input type=\"email\" name=\"email\" required autocomplete=\"email\" \
         maxlength=\"254\"></label></p><p hidden><label>Website <input name=\"website\" tabindex=\"-1\" autocomplete=\"off\">\
         </label></p><p>{}{privacy}</p><button>{}</button></form>",
        escaped(action),
        escaped(&form.address_label),
        escaped(&form.wording),
        escaped(&form.button)
    )
}

/// Store subscription forms.
///
/// YAML or JSON, one or a list; all are stored or none.
#[utoipa::path(
    put,
    path = "/v1/forms",
    tag = "forms",
    operation_id = "put_forms",
    request_body(content((Object = "application/json"), (String = "application/yaml")), description = "A form, or a list of them."),
    responses(
        (status = 200, description = "They are as given.", body = Vec<FormView>),
        (status = 422, description = "Something is wrong with one; the message names the place and the fix. None was stored.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<Vec<FormView>>, Problem> {
    let forms = experiment::parse_forms(&text)?;
    if forms.is_empty() || forms.len() > FORMS_MAX {
        let message = format!("there are {} forms", forms.len());
        return Err(Problem::unprocessable("bad_form", message, format!("send 1 to {FORMS_MAX}")));
    }
    parts.control.put_forms(&forms).await?;
    Ok(Json(forms.into_iter().map(|form| view(&parts, form)).collect()))
}

/// All subscription forms, with their addresses and the HTML to put into a page.
#[utoipa::path(
    get,
    path = "/v1/forms",
    tag = "forms",
    operation_id = "list_forms",
    responses((status = 200, description = "The forms, by name.", body = Vec<FormView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<FormView>>, Problem> {
    let forms = parts.control.forms().await?;
    Ok(Json(forms.into_iter().map(|form| view(&parts, form)).collect()))
}

/// The page of a form.
#[utoipa::path(
    get,
    path = "/f/{form}",
    tag = "forms",
    operation_id = "show_form",
    params(("form" = String, Path, description = "The form's name.")),
    responses((status = 200, description = "A page with the form.", content_type = "text/html"), (status = 404, description = "There is no such form."))
)]
async fn show(State(parts): State<Arc<Parts>>, PathText(name): PathText) -> Result<Response, Problem> {
    let Some(form) = parts.control.form(&name).await? else { return Ok(missing()) };
    let content = fields(&form, &parts.links.form(&form.form));
    Ok(Page::new(&form.language, &form.title, &content).framed().response())
}

/// Fill a form. A message is sent to the address, which must be confirmed; the answer is the same whether the address is known.
#[utoipa::path(
    post,
    path = "/f/{form}",
    tag = "forms",
    operation_id = "fill_form",
    params(("form" = String, Path, description = "The form's name.")),
    request_body(content = Answers, content_type = "application/x-www-form-urlencoded", description = "`email`."),
    responses(
        (status = 200, description = "A message is on its way.", content_type = "text/html"),
        (status = 404, description = "There is no such form."),
        (status = 422, description = "That is no address; the form again.", content_type = "text/html")
    )
)]
async fn fill(
    State(parts): State<Arc<Parts>>,
    PathText(name): PathText,
    headers: HeaderMap,
    Filled(answers): Filled<Answers>,
) -> Result<Response, Problem> {
    let Some(form) = parts.control.form(&name).await? else { return Ok(missing()) };
    let sent = Page::new(&form.language, &form.title, &format!("<p>{}</p>", escaped(&form.sent))).framed();
    if !answers.website.is_empty() {
        return Ok(sent.response());
    }
    match parts.control.ask_to_confirm(&form, &answers.email, ip_of(&headers)).await {
        Ok(_) => Ok(sent.response()),
        Err(control::ControlError::InvalidContact { .. }) => {
            let content = fields(&form, &parts.links.form(&form.form));
            let page = Page::new(&form.language, &form.title, &content).framed();
            Ok(page.with_status(StatusCode::UNPROCESSABLE_ENTITY).response())
        }
        Err(error) => Err(error.into()),
    }
}

/// The page that the message leads to. Looking at it confirms nothing: scanners follow links.
#[utoipa::path(
    get,
    path = "/f/confirm/{token}",
    tag = "forms",
    operation_id = "show_confirmation",
    params(("token" = String, Path, description = "What the link carries.")),
    responses((status = 200, description = "A page with a button.", content_type = "text/html"), (status = 404, description = "The link is used, too old or not one of ours."))
)]
async fn ask(State(parts): State<Arc<Parts>>, PathText(token): PathText) -> Result<Response, Problem> {
    let Some(form) = parts.control.form_to_confirm(&token).await? else { return Ok(missing()) };
    let content =
        format!("<p>{}</p><form method=\"post\"><button>{}</button></form>", escaped(&form.wording), escaped(&form.confirm));
    Ok(Page::new(&form.language, &form.title, &content).response())
}

/// Confirm a subscription: from now on there is consent, with its proof.
#[utoipa::path(
    post,
    path = "/f/confirm/{token}",
    tag = "forms",
    operation_id = "confirm",
    params(("token" = String, Path, description = "What the link carries.")),
    responses((status = 200, description = "It is confirmed.", content_type = "text/html"), (status = 404, description = "The link is used, too old or not one of ours."))
)]
async fn confirm(State(parts): State<Arc<Parts>>, PathText(token): PathText, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(form) = parts.control.confirm(&token, ip_of(&headers)).await? else { return Ok(missing()) };
    let content = format!("<p>{}</p>", escaped(&form.confirmed));
    Ok(Page::new(&form.language, &form.title, &content).response())
}

fn missing() -> Response {
    not_found("address")
}

/// The address on the net as a proxy in front tells it: the first of `X-Forwarded-For`.
pub(crate) fn ip_of(headers: &HeaderMap) -> Option<IpAddr> {
    let forwarded = headers.get("x-forwarded-for")?.to_str().ok()?;
    forwarded.split(',').next()?.trim().parse().ok()
}
