//! Who may do what: a key gives scopes, and each group of routes asks for one. A key comes as a bearer, as the user name of Basic
//! authorization, or as `X-API-Key`, which is all that some libraries can send.
//!
//! A group is guarded and documented by the same value, [`Access`], so that the document cannot promise what the guard
//! does not hold.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use control::Scope;
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
        Access::AnyOf(scopes) => router.route_layer(from_fn_with_state((Arc::clone(parts), scopes), require)),
    }
}

type Guard = (Arc<Parts>, &'static [Scope]);

async fn require(State((parts, scopes)): State<Guard>, request: Request, next: Next) -> Result<Response, Problem> {
    let wanted = || scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" or ");
    let refused = |kind, message| {
        let hint = format!("send `Authorization: Bearer KEY` with a key of scope {}; `sendlab keys create` makes one", wanted());
        Problem::new(StatusCode::UNAUTHORIZED, kind, message, hint)
    };
    let secret = secret(request.headers()).ok_or_else(|| refused("no_key", "this needs a key"))?;
    let known = parts.control.authenticate(&secret).await?;
    let info = known.ok_or_else(|| refused("unknown_key", "the key is unknown or was revoked"))?;
    if !scopes.iter().any(|scope| info.scopes.contains(scope)) {
        let wanted = wanted();
        let message = format!("the key `{}` does not have the scope {wanted}", info.name);
        let hint = format!("use a key of scope {wanted}; `sendlab keys create` makes one");
        return Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", message, hint));
    }
    Ok(next.run(request).await)
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
