//! How large bodies come in: unpacked, bounded each and together.
//!
//! What is being received and worked on is bounded in bytes over all requests, so that memory does not grow when the disk or
//! the lake is slower than the senders; what does not fit is told to come again.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::decompression::RequestDecompressionLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::Parts;
use crate::items::BODY_BYTES_MAX;
use crate::problem::Problem;

/// The bodies in flight together: four of the largest, or a thousand of a hundred thousand bytes.
pub const BYTES_IN_FLIGHT_MAX: usize = 128 * 1024 * 1024;
/// When it is worth sending again: bodies leave within milliseconds where the disk keeps up.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Lets the routes take an [`Upload`]. They share one bound.
pub(crate) fn bounded(routes: OpenApiRouter<Arc<Parts>>) -> OpenApiRouter<Arc<Parts>> {
    let unpack = RequestDecompressionLayer::new().gzip(true).zstd(true).pass_through_unaccepted(true);
    routes.layer(unpack).layer(Extension(InFlight::new(BYTES_IN_FLIGHT_MAX)))
}

/// What all bodies in flight together may take.
#[derive(Clone)]
pub(crate) struct InFlight(Arc<Semaphore>);

impl InFlight {
    fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes_max)))
    }

    /// Sets `bytes` aside until the charge is dropped.
    fn charge(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        // A body is at most a few megabytes; what does not fit into 32 bits does not fit here either.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| Problem::busy(RETRY_AFTER_SECONDS))
    }
}

/// A whole body, unpacked. Its bytes count as in flight for as long as this lives.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    _charge: OwnedSemaphorePermit,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let message = "the body is packed in a way that cannot be read";
            let hint = "use Content-Encoding gzip or zstd, or none";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message, hint));
        }
        let in_flight = request.extensions().get::<InFlight>().cloned();
        let in_flight = in_flight.unwrap_or_else(|| InFlight::new(BYTES_IN_FLIGHT_MAX));
        let declared = declared_length(request.headers());
        receive(request.into_body(), declared, &in_flight, BODY_BYTES_MAX).await
    }
}

/// The length the sender announced. A packed body has none by now: only the unpacking tells.
fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body of at most `bytes_max`. It is charged as announced before its first byte is read, or as it grows.
async fn receive(body: Body, declared: Option<usize>, in_flight: &InFlight, bytes_max: usize) -> Result<Upload, Problem> {
    let announced = declared.unwrap_or(0);
    if announced > bytes_max {
        return Err(too_large(bytes_max));
    }
    let mut charge = in_flight.charge(announced)?;
    let mut chunks = body.into_data_stream();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| broke_off(&error))?;
        let size = first.len() + whole.len() + chunk.len();
        if size > bytes_max {
            return Err(too_large(bytes_max));
        }
        if size > charge.num_permits() {
            charge.merge(in_flight.charge(size - charge.num_permits())?);
        }
        // Most bodies come in one piece, which need not be copied.
        if first.is_empty() && whole.is_empty() {
            first = chunk;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.max(size));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&chunk);
    }
    let bytes = if whole.is_empty() { first } else { whole.freeze() };
    Ok(Upload { bytes, _charge: charge })
}

fn too_large(bytes_max: usize) -> Problem {
    let message = format!("the body is larger than the limit of {bytes_max} bytes, unpacked");
    let hint = "cut it into several requests; nothing of it was kept";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message, hint)
}

fn broke_off(error: &axum::Error) -> Problem {
    tracing::debug!(%error, "a body broke off");
    let message = "the body did not arrive whole, or cannot be unpacked";
    Problem::new(StatusCode::BAD_REQUEST, "body_broke_off", message, "send it again; nothing of it was kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes()))).collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn bodies_are_bounded_each_and_together() {
        let in_flight = InFlight::new(10);
        let receive = |chunks: &'static [&'static str], declared| receive(body(chunks), declared, &in_flight, 8);
        let kept = receive(&["abc", "def"], None).await.unwrap();
        assert_eq!((&kept.bytes[..], in_flight.0.available_permits()), (&b"abcdef"[..], 4));
        let refused = |result: Result<Upload, Problem>| result.err().map(|problem| problem.kind);
        assert_eq!(refused(receive(&["abc", "def"], None).await), Some("busy"));
        assert_eq!(refused(receive(&["a"], Some(5)).await), Some("busy"));
        assert_eq!(refused(receive(&["a"], Some(9)).await), Some("body_too_large"));
        assert_eq!(in_flight.0.available_permits(), 4, "what was refused is not charged");
        drop(kept);
        assert_eq!(refused(receive(&["abcdefgh", "i"], None).await), Some("body_too_large"));
        let whole = receive(&["ab", "cd", "e"], Some(5)).await.unwrap();
        assert_eq!((&whole.bytes[..], in_flight.0.available_permits()), (&b"abcde"[..], 5));
        assert!(receive(&[], Some(0)).await.unwrap().bytes.is_empty());
    }

    #[tokio::test]
    async fn a_torn_body_is_told() {
        let torn = [Ok(Bytes::from_static(b"abc")), Err(std::io::Error::other("gone"))];
        let torn = Body::from_stream(futures::stream::iter(torn));
        let problem = receive(torn, None, &InFlight::new(10), 8).await.err().unwrap();
        assert_eq!((problem.kind, problem.status), ("body_broke_off", StatusCode::BAD_REQUEST));
    }
}
