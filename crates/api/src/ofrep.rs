//! The OpenFeature Remote Evaluation Protocol (OFREP 0.3), so that any OpenFeature client reads recommendations: an experiment is a
//! flag of its id, the variant its value.
//!
//! The protocol's document is <https://github.com/open-feature/protocol>. What it calls `targetingKey` is the customer's own id of the
//! contact; `market`, `locale` and `segment` of the context narrow the question, and the rest of the context is left aside.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use experiment::{Advice, Guidance};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Asker, ExperimentId};

use crate::Parts;
use crate::picks::{People, Person};
use crate::problem::Problem;
use crate::recommendations::KnownTags;
use crate::request::{DOCUMENT_BYTES_MAX, PathText, Payload};

pub(crate) fn sending() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(one)).routes(routes!(all))
}

/// A question of the protocol.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepRequest)]
pub(crate) struct Question {
    /// Whom it is about: `targetingKey`, your own id of the contact, and `market`, `locale`, `segment`.
    #[schema(example = json!({"targetingKey": "customer-17", "market": "DE"}))]
    context: BTreeMap<String, Value>,
}

/// A flag evaluated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepEvaluation)]
pub(crate) struct Evaluation {
    /// The experiment.
    key: String,
    /// The variant to send.
    value: String,
    /// The same.
    variant: String,
    /// `STATIC`: all get it; `TARGETING_MATCH`: those of a market, a locale or a segment get it; `SPLIT`: it was drawn by weights;
    /// `DISABLED`: no recommendation holds, so that it is the control.
    reason: &'static str,
    /// `fallback`, `propensity`, `why`, and of a recommendation `recommendation_id`, `readout_id` and `valid_until`.
    metadata: BTreeMap<&'static str, Value>,
}

/// All flags evaluated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepBulkEvaluation)]
pub(crate) struct Evaluations {
    /// One for each experiment.
    flags: Vec<Evaluation>,
}

/// Why a flag could not be evaluated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfrepFailure)]
pub(crate) struct Failure {
    /// The flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `PARSE_ERROR`, `TARGETING_KEY_MISSING`, `INVALID_CONTEXT` or `FLAG_NOT_FOUND`; absent where the server failed.
    #[serde(rename = "errorCode", skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    /// What is wrong, and what to do.
    #[serde(rename = "errorDetails")]
    error_details: String,
    #[serde(skip)]
    status: StatusCode,
}

impl Failure {
    fn bad(error_code: &'static str, details: impl Into<String>) -> Self {
        Self { key: None, error_code: Some(error_code), error_details: details.into(), status: StatusCode::BAD_REQUEST }
    }

    fn not_found(key: &str) -> Self {
        let error_details = format!("there is no experiment `{key}`; GET /v1/experiments lists them");
        Self { key: None, error_code: Some("FLAG_NOT_FOUND"), error_details, status: StatusCode::NOT_FOUND }
    }

    fn of(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let details = format!("{}; {}", problem.message, problem.hint);
        match problem.status {
            StatusCode::UNPROCESSABLE_ENTITY => Self::bad("INVALID_CONTEXT", details),
            status if status.is_client_error() => Self { status, ..Self::bad("PARSE_ERROR", details) },
            status => Self { key: None, error_code: None, error_details: details, status },
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

/// What a question's context says.
struct Context {
    own_id: String,
    market: Option<String>,
    locale: Option<String>,
    segment: Option<String>,
}

impl Context {
    fn read(body: &Bytes) -> Result<Self, Failure> {
        let text = |context: &Map<String, Value>, name: &str| match context.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Failure::bad("INVALID_CONTEXT", format!("`{name}` of the context is no text"))),
        };
        let parsed: Value =
            serde_json::from_slice(body).map_err(|error| Failure::bad("PARSE_ERROR", format!("the body is no JSON: {error}")))?;
        let missing =
            || Failure::bad("TARGETING_KEY_MISSING", "`context.targetingKey` is missing; give your own id of the contact");
        let context = match parsed.get("context") {
            None | Some(Value::Null) => return Err(missing()),
            Some(Value::Object(context)) => context,
            Some(_) => return Err(Failure::bad("INVALID_CONTEXT", "`context` is no object")),
        };
        let own_id = text(context, "targetingKey")?.filter(|id| !id.trim().is_empty()).ok_or_else(missing)?;
        let (market, locale, segment) = (text(context, "market")?, text(context, "locale")?, text(context, "segment")?);
        Ok(Self { own_id, market, locale, segment })
    }

    fn asker(&self) -> Asker<'_> {
        Asker { market: self.market.as_deref(), locale: self.locale.as_deref(), segment: self.segment.as_deref() }
    }

    async fn person(&self, parts: &Parts, with_profile: bool) -> Result<People, Failure> {
        Ok(People::of(parts, vec![self.own_id.clone()], self.asker(), with_profile).await?)
    }
}

/// Evaluate a flag (OFREP).
///
/// What an OpenFeature client asks of one experiment for one contact. The key of the API comes as a bearer or as `X-API-Key`.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags/{key}",
    tag = "recommendations",
    operation_id = "ofrep_evaluate",
    params(("key" = String, Path, description = "The experiment's id.")),
    request_body(content = Question, description = "Whom it is about."),
    responses(
        (status = 200, description = "What to send.", body = Evaluation),
        (status = 400, description = "The context cannot be used; `errorCode` says why.", body = Failure),
        (status = 404, description = "There is no such experiment.", body = Failure),
    )
)]
async fn one(
    State(parts): State<Arc<Parts>>,
    PathText(key): PathText,
    body: Result<Payload<DOCUMENT_BYTES_MAX>, Problem>,
) -> Result<Json<Evaluation>, Failure> {
    let evaluate = async {
        let context = Context::read(&body?.0)?;
        let id = ExperimentId::new(&key).map_err(|_| Failure::not_found(&key))?;
        let guidance = parts.control.guidance(&id).await.map_err(Problem::from)?;
        let guidance = guidance.ok_or_else(|| Failure::not_found(&key))?;
        let people = context.person(&parts, guidance.depends_on_profile()).await?;
        let person = people.iter().next().ok_or_else(|| Failure::bad("TARGETING_KEY_MISSING", "there is no contact"))?;
        Ok(evaluation(&parts, &guidance, person, context.asker()))
    };
    evaluate.await.map(Json).map_err(|failure: Failure| failure.of(&key))
}

/// Evaluate all flags (OFREP).
///
/// What an OpenFeature client that keeps its flags asks for, again and again with `If-None-Match`.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags",
    tag = "recommendations",
    operation_id = "ofrep_evaluate_all",
    params(("If-None-Match" = Option<String>, Header, description = "The ETag the client knows.")),
    request_body(content = Question, description = "Whom it is about."),
    responses(
        (status = 200, description = "What to send in each experiment.", body = Evaluations, headers(("ETag" = String, description = "Stands for all answers together."))),
        (status = 304, description = "The client knows it already."),
        (status = 400, description = "The context cannot be used; `errorCode` says why.", body = Failure),
    )
)]
async fn all(
    State(parts): State<Arc<Parts>>,
    known: KnownTags,
    body: Result<Payload<DOCUMENT_BYTES_MAX>, Problem>,
) -> Result<Response, Failure> {
    let context = Context::read(&body?.0)?;
    let mut all = Vec::new();
    for experiment in parts.control.experiments().await.map_err(Problem::from)? {
        all.extend(parts.control.guidance(&experiment.experiment).await.map_err(Problem::from)?);
    }
    let people = context.person(&parts, all.iter().any(|guidance| guidance.depends_on_profile())).await?;
    let person = people.iter().next().ok_or_else(|| Failure::bad("TARGETING_KEY_MISSING", "there is no contact"))?;
    let flags = all.iter().map(|guidance| evaluation(&parts, guidance, person, context.asker())).collect();
    let body = serde_json::to_vec(&Evaluations { flags }).map_err(|error| Problem::internal(&error))?;
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..32]);
    let tag = HeaderValue::from_str(&tag).map_err(|error| Problem::internal(&error))?;
    let common = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    if known.have(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    Ok((common, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn evaluation(parts: &Parts, guidance: &Guidance, person: &Person, named: Asker<'_>) -> Evaluation {
    let advice = guidance.advice(person.asker(named), parts.clock.now());
    let picked = advice.pick(person.key());
    let mut metadata = metadata(&advice);
    metadata.insert("propensity", Value::from(picked.propensity));
    let variant = picked.variant.to_string();
    Evaluation {
        key: guidance.experiment().experiment.to_string(),
        value: variant.clone(),
        variant,
        reason: reason(&advice),
        metadata,
    }
}

/// The reason in the protocol's words.
fn reason(advice: &Advice<'_>) -> &'static str {
    match advice.followed() {
        None => "DISABLED",
        Some(made) if !made.is_decided() => "SPLIT",
        Some(made) if !made.scope.is_everybody() => "TARGETING_MATCH",
        Some(_) => "STATIC",
    }
}

/// What the protocol has no field for: booleans, numbers and text.
fn metadata(advice: &Advice<'_>) -> BTreeMap<&'static str, Value> {
    let mut metadata = BTreeMap::from([("fallback", Value::from(advice.fallback().is_some()))]);
    if let Some(why) = advice.fallback() {
        metadata.insert("why", why.to_string().into());
    }
    if let Some(made) = advice.followed() {
        metadata.insert("recommendation_id", made.id.as_str().into());
        metadata.insert("why", made.reason.as_str().into());
        metadata.extend(made.readout_id.as_deref().map(|id| ("readout_id", id.into())));
        metadata.extend(made.valid_until.map(|until| ("valid_until", until.to_string().into())));
    }
    metadata
}
