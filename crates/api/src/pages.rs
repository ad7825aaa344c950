//! Pages that people see: small, without script, and nothing of them in a cache or another site's log.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use content::escaped;

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}\
button{font:inherit;padding:.5rem 1.5rem}input[type=email]{font:inherit;padding:.4rem;width:100%;box-sizing:border-box}\
label{display:block}";

/// A page.
pub(crate) struct Page {
    html: String,
    framed: bool,
    status: StatusCode,
}

impl Page {
    /// A page in a language, with a heading and what stands below it, which is HTML.
    pub(crate) fn new(language: &str, title: &str, content: &str) -> Self {
        let (language, title) = (escaped(language), escaped(title));
        let direction = if is_right_to_left(&language) { "rtl" } else { "ltr" };
        let html = format!(
            "<!doctype html><html lang=\"{language}\" dir=\"{direction}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style>\
             </head><body><h1>{title}</h1>{content}</body></html>"
        );
        Self { html, framed: false, status: StatusCode::OK }
    }

    /// It may stand in a frame of another site.
    pub(crate) fn framed(self) -> Self {
        Self { framed: true, ..self }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn response(self) -> Response {
        let policy = if self.framed {
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
        } else {
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        };
        let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
        let mut response = (self.status, headers, self.html).into_response();
        private(&mut response);
        response
    }
}

/// The page where a link or an address leads nowhere.
pub(crate) fn not_found(what: &str) -> Response {
    let page = Page::new("en", "Not found", &format!("<p>This {what} is not valid, or no longer.</p>"));
    page.with_status(StatusCode::NOT_FOUND).response()
}

/// Keeps caches from answering in our place, and the token out of other sites' logs.
pub(crate) fn private(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Whether a language is written from right to left.
fn is_right_to_left(language: &str) -> bool {
    const RIGHT_TO_LEFT: [&str; 8] = ["ar", "fa", "he", "ur", "ps", "sd", "ug", "yi"];
    language.split('-').next().is_some_and(|primary| RIGHT_TO_LEFT.contains(&primary))
}
