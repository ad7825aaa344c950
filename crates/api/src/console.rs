//! The console's files, built from `dashboards/` and embedded. They hold no data: everything the console shows it
//! fetches from the public API with the visitor's own key.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;

use crate::problem::Problem;

/// What `make console` built. In a debug build the files are read from the folder at run time.
#[derive(Embed)]
#[folder = "../../dashboards/dist"]
struct Files;

/// Scripts only from here; charts set styles on their elements, so styles may be inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Shown where the console was not built.
const EMPTY: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sendlab</title></head><body>\
    <h1>Sendlab is running</h1><p>Its console is not built. Run <code>make console</code> and load this page again.</p>\
    <p>The API works without it: <code>/openapi.json</code> describes it.</p></body></html>";

/// Media types of the files a build makes.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("txt", "text/plain; charset=utf-8"),
];

/// Answers what no route of the API does: a file, the console's first page for its own addresses, or a 404.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if method != Method::GET && method != Method::HEAD {
        return nothing(path).into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = (!name.is_empty()).then(|| file(name, &headers)).flatten() {
        return file;
    }
    if !is_page(name) {
        return nothing(path).into_response();
    }
    file("index.html", &headers).unwrap_or_else(|| page(EMPTY.into_response(), "text/html; charset=utf-8", "no-cache"))
}

/// Whether the console's own router may know the address: it has no file ending and is not the API's.
fn is_page(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    !matches!(first, "v1" | "t" | "assets") && !last.contains('.')
}

fn nothing(path: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        format!("there is nothing at {path}"),
        "/openapi.json lists the paths of the API",
    )
}

fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    if name.split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    let found = Files::get(name)?;
    let hash: String = found.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    // The build names files in assets by their content, so they never change; everything else is asked for again.
    let caching = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let ending = name.rsplit('.').next().unwrap_or_default();
    let media_type =
        MEDIA_TYPES.iter().find(|(known, _)| *known == ending).map_or("application/octet-stream", |(_, media_type)| media_type);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let answer = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { found.data.into_owned().into_response() };
    let mut response = page(answer, media_type, caching);
    response.headers_mut().insert(header::ETAG, HeaderValue::from_str(&tag).ok()?);
    Some(response)
}

fn page(mut response: Response, media_type: &'static str, caching: &'static str) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, caching),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_consoles_own_addresses_are_pages() {
        let check = |name: &str, expect: bool| assert_eq!(is_page(name), expect, "{name}");
        check("", true);
        check("experiments/spring", true);
        check("v1/nothing", false);
        check("t/x/abc", false);
        check("assets/index-1234.js", false);
        check("favicon.ico", false);
        check("version", true);
    }

    #[test]
    fn hidden_files_are_not_served() {
        let check = |name: &str| assert!(file(name, &HeaderMap::new()).is_none(), "{name}");
        check(".gitignore");
        check("assets/../.gitignore");
    }
}
