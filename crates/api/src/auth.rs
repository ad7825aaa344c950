//! Who may do what: a key gives scopes, and each group of routes asks for one. A key comes as a bearer, as the user name of Basic
//! authorization, or as `X-API-Key`, which is all that some libraries can send.
//!
//! A group is guarded and documented by the same value, [`Access`], so that the document cannot promise what the guard
//! does not hold.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts as HttpParts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use control::{KeyInfo, Scope};
use futures::future::{BoxFuture, Either};
use tower::Service;
use tower::layer::layer_fn;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Ref;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, ResponseBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;

use crate::Parts;
use crate::problem::Problem;

/// The name of the security scheme in the OpenAPI document.
const SCHEME: &str = "bearer";

/// Who may use a group of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody: health, signed links.
    Open,
    /// A key with one of these scopes.
    AnyOf(&'static [Scope]),
}

/// Puts a guard before every route of `router`.
pub(crate) fn guard(router: OpenApiRouter<Arc<Parts>>, access: Access, parts: &Arc<Parts>) -> OpenApiRouter<Arc<Parts>> {
    match access {
        Access::Open => router,
        Access::AnyOf(scopes) => {
            let parts = Arc::clone(parts);
            router.route_layer(layer_fn(move |route| Guarded { route, door: Door { parts: Arc::clone(&parts), scopes } }))
        }
    }
}

/// A route with a guard before it. A key that is known goes on at once, without a future of its own: senders ask often.
#[derive(Clone)]
struct Guarded<S> {
    route: S,
    door: Door,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let known = secret(request.headers()).and_then(|secret| self.door.parts.control.authenticated(&secret));
        if known.is_some_and(|info| self.door.admits(&info)) {
            return Either::Left(self.route.call(request));
        }
        let Self { mut route, door } = self.clone();
        Either::Right(Box::pin(async move {
            match door.open(request.headers()).await {
                Ok(()) => route.call(request).await,
                Err(problem) => Ok(problem.into_response()),
            }
        }))
    }
}

/// Who may come in.
#[derive(Clone)]
struct Door {
    parts: Arc<Parts>,
    scopes: &'static [Scope],
}

impl Door {
    fn admits(&self, info: &KeyInfo) -> bool {
        self.scopes.iter().any(|scope| info.scopes.contains(scope))
    }

    async fn open(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let wanted = || self.scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" or ");
        let refused = |kind, message| {
            let hint =
                format!("send `Authorization: Bearer KEY` with a key of scope {}; `sendlab keys create` makes one", wanted());
            Problem::new(StatusCode::UNAUTHORIZED, kind, message, hint)
        };
        let secret = secret(headers).ok_or_else(|| refused("no_key", "this needs a key"))?;
        let known = self.parts.control.authenticate(&secret).await?;
        let info = known.ok_or_else(|| refused("unknown_key", "the key is unknown or was revoked"))?;
        if self.admits(&info) {
            return Ok(());
        }
        let wanted = wanted();
        let message = format!("the key `{}` does not have the scope {wanted}", info.name);
        let hint = format!("use a key of scope {wanted}; `sendlab keys create` makes one");
        Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", message, hint))
    }
}

/// The key that asks.
pub(crate) struct Caller(pub(crate) Arc<KeyInfo>);

impl FromRequestParts<Arc<Parts>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut HttpParts, parts: &Arc<Parts>) -> Result<Self, Problem> {
        let known = match secret(&request.headers) {
            Some(secret) => parts.control.authenticate(&secret).await?,
            None => None,
        };
        // The guard let the request in a moment ago.
        known.map(Self).ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "unknown_key", "the key was revoked meanwhile", "send another key")
        })
    }
}

/// The secret of `Authorization: Bearer SECRET`, the user name of `Authorization: Basic`, or `X-API-Key` where there is neither.
fn secret(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        let given = headers.get("x-api-key")?.to_str().ok()?.trim();
        return (!given.is_empty()).then_some(Cow::Borrowed(given));
    };
    let (scheme, given) = authorization.to_str().ok()?.split_once(' ')?;
    let given = given.trim();
    let secret = if scheme.eq_ignore_ascii_case("bearer") {
        Cow::Borrowed(given)
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(BASE64_STANDARD.decode(given).ok()?).ok()?;
        Cow::Owned(pair.split_once(':')?.0.to_owned())
    } else {
        return None;
    };
    (!secret.is_empty()).then_some(secret)
}

/// Writes the guard into the document: the scopes, and the answers it and every handler can give.
pub(crate) fn document(router: &mut OpenApiRouter<Arc<Parts>>, access: Access) {
    for operation in router.get_openapi_mut().paths.paths.values_mut().flat_map(operations) {
        if let Access::AnyOf(scopes) = access {
            operation.security = Some(scopes.iter().map(|scope| SecurityRequirement::new(SCHEME, [scope.as_str()])).collect());
            add_error(operation, StatusCode::UNAUTHORIZED, "No key, or an unknown or revoked one.");
            add_error(operation, StatusCode::FORBIDDEN, "The key does not have the scope.");
            add_error(operation, StatusCode::INTERNAL_SERVER_ERROR, "The server failed; its log says more.");
        } else {
            operation.security = Some(Vec::new());
        }
    }
}

pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

fn add_error(operation: &mut Operation, status: StatusCode, description: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    let response = ResponseBuilder::new().description(description).content("application/json", content).build();
    operation.responses.responses.entry(status.as_str().to_owned()).or_insert_with(|| response.into());
}

/// The security scheme of the document.
pub(crate) fn scheme() -> (&'static str, SecurityScheme) {
    let words: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let description = format!(
        "A key made by `sendlab keys create` or POST /v1/keys. It may also be the user name of Basic authorization, or come as X-API-Key. Its scopes are among {}.",
        words.join(", ")
    );
    (SCHEME, SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_key_is_read_from_the_header() {
        let check = |value: &'static str, expect: Option<&str>| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(secret(&headers).as_deref(), expect, "{value:?}");
        };
        check("Bearer sl_abc", Some("sl_abc"));
        check("bearer  sl_abc ", Some("sl_abc"));
        check("Basic c2xfYWJjOg==", Some("sl_abc"));
        check("basic c2xfYWJjOnBhc3N3b3Jk", Some("sl_abc"));
        check("Basic c2xfYWJj", None);
        check("Basic sl_abc", None);
        check("Digest sl_abc", None);
        check("Bearer ", None);
        check("sl_abc", None);
        let headers = HeaderMap::from_iter([("x-api-key".parse().unwrap(), HeaderValue::from_static("sl_abc"))]);
        assert_eq!(secret(&headers).as_deref(), Some("sl_abc"));
    }
}
