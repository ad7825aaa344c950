//! Pages that people see: small, without script, in their language, and nothing of them in a cache or another site's log.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use content::escaped;
use serde::Deserialize;
use vocabulary::Channel;

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}\
button{font:inherit;padding:.5rem 1.5rem}input[type=email]{font:inherit;padding:.4rem;width:100%;box-sizing:border-box}\
label{display:block}";

/// What pages say in one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texts {
    #[serde(skip)]
    pub(crate) language: String,
    pub(crate) unsubscribe: String,
    pub(crate) unsubscribe_question: String,
    pub(crate) unsubscribed: String,
    pub(crate) unsubscribed_text: String,
    pub(crate) preferences: String,
    offer: String,
    pub(crate) save: String,
    pub(crate) saved: String,
    pub(crate) in_any_case: String,
    email: String,
    sms: String,
    push: String,
}

static TEXTS: LazyLock<BTreeMap<String, Texts>> = LazyLock::new(|| {
    let mut texts: BTreeMap<String, Texts> = toml::from_str(include_str!("pages.toml")).expect("a test reads it");
    texts.iter_mut().for_each(|(language, texts)| texts.language.clone_from(language));
    texts
});

impl Texts {
    /// Those of a language (BCP 47) or of the nearest that is there: `zh-Hant-HK` reads `zh-Hant`, `de-AT` reads `de`.
    pub(crate) fn of(language: Option<&str>) -> &'static Self {
        let language = match language.unwrap_or("en") {
            // Where Chinese is written the traditional way even if nobody says so.
            "zh-TW" | "zh-HK" | "zh-MO" => "zh-Hant",
            "no" | "nn" => "nb",
            language => language,
        };
        let lengths = language.match_indices('-').map(|(at, _)| at).chain([language.len()]);
        let found = lengths.filter_map(|length| TEXTS.get(&language[..length])).next_back();
        found.unwrap_or_else(|| &TEXTS["en"])
    }

    /// What somebody agrees to who wants to be written to on a channel.
    pub(crate) fn offer(&self, channel: Channel) -> String {
        let called = match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.sms,
            Channel::Push => &self.push,
            Channel::Whatsapp => "WhatsApp",
            Channel::Wechat => "WeChat",
            Channel::Line => "LINE",
            Channel::Telegram => "Telegram",
        };
        self.offer.replace("{channel}", called)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_the_nearest_language() {
        let check = |language: Option<&str>, expect: &str, offer: &str| {
            let texts = Texts::of(language);
            assert_eq!((texts.language.as_str(), &*texts.offer(Channel::Email)), (expect, offer), "{language:?}");
        };
        let english = "Send me news and offers by e-mail";
        check(None, "en", english);
        check(Some("sw-KE"), "en", english);
        check(Some("en-GB"), "en", english);
        check(Some("de-AT"), "de", "Senden Sie mir Neuigkeiten und Angebote per E-Mail");
        check(Some("pt-PT"), "pt-PT", "Quero receber novidades e ofertas por e-mail");
        check(Some("zh-Hant-HK"), "zh-Hant", "透過電子郵件向我發送新品和優惠資訊");
        check(Some("zh-TW"), "zh-Hant", "透過電子郵件向我發送新品和優惠資訊");
        check(Some("zh-Hans-CN"), "zh", "通过电子邮件向我发送新品和优惠信息");
        for texts in TEXTS.values() {
            assert!(texts.offer.contains("{channel}"), "{}", texts.language);
        }
    }
}
