//! Statistical methods by name: `GET /v1/stats` lists and explains them, `POST /v1/stats` computes.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use methods::{answer_line, families};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Text, is_ndjson};
use crate::views::ErrorBody;
use crate::views::statistics::{AnswerView, MethodView, QuestionParams};

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(methods, compute))
}

/// List the statistical methods, with formula, reference, inputs and an example each.
#[utoipa::path(get, path = "/v1/stats", tag = "stats", operation_id = "methods",
    responses((status = 200, description = "The methods, by family.", body = Vec<MethodView>)))]
async fn methods() -> Json<Vec<MethodView>> {
    let views = families().flat_map(|(family, methods)| methods.iter().map(move |method| MethodView::new(family, method)));
    Json(views.collect())
}

/// Compute statistics.
///
/// One question as a JSON object, or one per line (`application/x-ndjson`). Each answer is `{id, actual}`; an input without an
/// answer gives `computable: false` and why. Of many lines a bad one is answered with `error` and the others are computed; a
/// single bad question is refused.
#[utoipa::path(
    post,
    path = "/v1/stats",
    tag = "stats",
    operation_id = "stats",
    request_body(content((QuestionParams = "application/json"), (QuestionParams = "application/x-ndjson")), description = "The questions."),
    responses(
        (status = 200, description = "The answers, in order.", content((AnswerView = "application/json"), (AnswerView = "application/x-ndjson"))),
        (status = 413, description = "The body is larger than 2 MiB.", body = ErrorBody),
        (status = 422, description = "The question cannot be read, or its method does not exist.", body = ErrorBody),
    )
)]
async fn compute(headers: HeaderMap, Text(body): Text) -> Result<Response, Problem> {
    let many = is_ndjson(&headers);
    // Resampling and integration take milliseconds to seconds, and other requests must not wait for them.
    let answered = tokio::task::spawn_blocking(move || if many { Ok(lines(&body)) } else { one(&body) }).await;
    let text = answered.map_err(|error| Problem::internal(&error))??;
    let media_type = if many { "application/x-ndjson" } else { "application/json" };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, media_type)], text).into_response())
}

fn lines(body: &str) -> String {
    let lines = body.lines().filter(|line| !line.trim().is_empty());
    lines.fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", answer_line(line).answer);
        text
    })
}

fn one(body: &str) -> Result<String, Problem> {
    let answered = answer_line(body);
    if answered.good {
        return Ok(answered.answer.to_string());
    }
    let message = answered.answer["error"]["message"].as_str().unwrap_or_default().to_owned();
    Err(Problem::unprocessable("bad_question", message, "GET /v1/stats lists the methods with their inputs and an example"))
}
