//! What handlers take from a request: extractors whose refusals have the shape of [`Problem`].

use axum::RequestPartsExt;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts as HttpParts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use vocabulary::LabelError;

use crate::problem::Problem;

/// The largest body of an ordinary request: a campaign with a dozen long templates is a tenth of it.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The body, up to `MAX` bytes.
pub(crate) struct Payload<const MAX: usize>(pub(crate) Bytes);

impl<const MAX: usize, S: Send + Sync> FromRequest<S> for Payload<MAX> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let message = "a compressed body cannot be read";
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                message,
                "send it without Content-Encoding",
            ));
        }
        DefaultBodyLimit::max(MAX).apply(&mut request);
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(refusal) if refusal.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let message = format!("the body is larger than the limit of {MAX} bytes");
                Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    message,
                    "cut it into several requests; nothing of it was kept",
                ))
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "a body broke off");
                Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "body_broke_off",
                    "the body did not arrive whole",
                    "send it again; nothing of it was kept",
                ))
            }
        }
    }
}

/// A body that is text, such as YAML.
pub(crate) struct Text(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Payload(bytes) = Payload::<DOCUMENT_BYTES_MAX>::from_request(request, state).await?;
        let text = String::from_utf8(Vec::from(bytes));
        text.map(Self).map_err(|error| {
            let message = format!("the body is not UTF-8 at byte {}", error.utf8_error().valid_up_to());
            Problem::unprocessable("not_utf8", message, "send it in UTF-8")
        })
    }
}

/// A JSON body of a known shape.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Payload(bytes) = Payload::<DOCUMENT_BYTES_MAX>::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let hint = "send a JSON object with the fields that /openapi.json describes";
            Problem::unprocessable("bad_body", format!("the body cannot be read: {error}"), hint)
        })
    }
}

/// The query of the URL.
pub(crate) struct Ask<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut HttpParts, _state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(value)| Self(value)).map_err(|refusal| {
            Problem::unprocessable("bad_query_string", refusal.body_text(), "/openapi.json lists the parameters of this path")
        })
    }
}

/// The id in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: TryFrom<String, Error = LabelError>, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut HttpParts, _state: &S) -> Result<Self, Problem> {
        let segment = PathText::of(parts).await?;
        T::try_from(segment.0)
            .map(Self)
            .map_err(|error| Problem::unprocessable("bad_id", format!("the id in the path {error}"), "check the path"))
    }
}

/// The only variable segment of the path, as text.
pub(crate) struct PathText(pub(crate) String);

impl PathText {
    async fn of(parts: &mut HttpParts) -> Result<Self, Problem> {
        let segment = parts.extract::<Path<String>>().await;
        segment
            .map(|Path(text)| Self(text))
            .map_err(|refusal| Problem::unprocessable("bad_path", refusal.body_text(), "check the path"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut HttpParts, _state: &S) -> Result<Self, Problem> {
        Self::of(parts).await
    }
}

/// The media type of the body without its parameters, in lower case; empty where none was named.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether the body was declared to be one JSON value per line.
pub(crate) fn is_ndjson(headers: &HeaderMap) -> bool {
    matches!(
        media_type(headers).as_str(),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/jsonlines"
    )
}
