//! The request of a provider as templates: what is filled in is escaped for the place where it stands.

use std::collections::BTreeSet;
use std::fmt;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use reqwest::header::HeaderValue;
use url::Url;

use crate::secrets::Secrets;

/// Where a template stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The address: what is filled in is percent-encoded.
    Url,
    /// Within the quotes of a text in JSON.
    Json,
    /// The value of a header.
    Header,
    /// A value of a form, which is encoded later, or a body of plain text.
    Plain,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Json => "json",
            Self::Header => "header",
            Self::Plain => "plain",
        }
    }
}

/// What templates know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) to: &'a str,
    pub(crate) to_digits: &'a str,
    pub(crate) text: &'a str,
    pub(crate) sender: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) class: &'a str,
    pub(crate) country: &'a str,
}

/// Values that break what escapes badly: for trying a template when it is read and not when it is sent.
const SAMPLE: Fields<'static> = Fields {
    to: "+33612345678",
    to_digits: "33612345678",
    text: "\"5 €\" & 100%\nC:\\new {text}",
    sender: "SHOP & CO",
    message_id: "0123456789abcdef0123456789abcdef",
    class: "marketing",
    country: "FR",
};
/// The names in [`Fields`].
const NAMES: &str = "to, to_digits, text, sender, message_id, class and country";

/// The templates of one gateway, with its secrets.
pub(crate) struct Templates {
    environment: Environment<'static>,
    secrets: Secrets,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

impl Templates {
    pub(crate) fn new(secrets: Secrets) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| match name.split('/').next() {
            Some("url") => AutoEscape::Custom("url".into()),
            Some("json") => AutoEscape::Custom("json".into()),
            _ => AutoEscape::None,
        });
        environment.set_formatter(|output, state, value| {
            let text = value.to_string();
            let written = match state.auto_escape() {
                AutoEscape::Custom(kind) if kind == "url" => content::percent_encoded(&text),
                AutoEscape::Custom(_) => within_quotes(&text),
                _ => text,
            };
            output.write_str(&written).map_err(minijinja::Error::from)
        });
        Self { environment, secrets }
    }

    /// What a template says in place of a secret.
    pub(crate) fn place(name: &str, _value: &str) -> String {
        format!("{{{{ secrets.{name} }}}}")
    }

    /// Takes a template and tries it. `name` tells it from others of its place.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn add(&mut self, place: Place, name: &str, source: String) -> Result<(), String> {
        let key = key(place, name);
        let told = |error: minijinja::Error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        self.environment.add_template_owned(key.clone(), source).map_err(told)?;
        let known: BTreeSet<&str> = NAMES.split(", ").flat_map(|names| names.split(" and ")).chain(["secrets"]).collect();
        let asked = self.environment.get_template(&key).map_err(told)?.undeclared_variables(false);
        // In a fixed order, so that the same file is told the same.
        let unknown: BTreeSet<String> = asked.into_iter().filter(|name| !known.contains(name.as_str())).collect();
        if let Some(unknown) = unknown.first() {
            return Err(format!("`{unknown}` is no name here; there are {NAMES}"));
        }
        self.check(place, &self.render(place, name, &SAMPLE)?)
    }

    fn check(&self, place: Place, written: &str) -> Result<(), String> {
        match place {
            Place::Url => match Url::parse(written) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
                _ => Err("is no address; begin it with https:// and write secrets only after the host".to_owned()),
            },
            Place::Json => serde_json::from_str::<serde_json::Value>(written).map(drop).map_err(|error| {
                format!("does not become JSON ({}); write names within quotes: \"{{{{ text }}}}\"", self.hide(&error.to_string()))
            }),
            Place::Header => HeaderValue::from_str(written)
                .map(drop)
                .map_err(|_| "does not become a header's value; `text` and line breaks cannot stand in one".to_owned()),
            Place::Plain => Ok(()),
        }
    }

    /// Fills a template in.
    ///
    /// # Errors
    /// Why it cannot be, without secrets.
    pub(crate) fn render(&self, place: Place, name: &str, fields: &Fields<'_>) -> Result<String, String> {
        let Fields { to, to_digits, text, sender, message_id, class, country } = *fields;
        let secrets = self.secrets.by_name().iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
        let secrets = Value::from_pairs(secrets);
        let all = context! { to, to_digits, text, sender, message_id, class, country, secrets };
        let template = self.environment.get_template(&key(place, name)).map_err(|error| error.to_string())?;
        template.render(all).map_err(|error| self.hide(&error.to_string()))
    }

    /// Fills a template in with the values that it was tried with.
    ///
    /// # Errors
    /// Why it cannot be, without secrets.
    pub(crate) fn sample(&self, place: Place, name: &str) -> Result<String, String> {
        self.render(place, name, &SAMPLE)
    }

    /// A text without any secret.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.secrets.hide(text)
    }
}

fn key(place: Place, name: &str) -> String {
    format!("{}/{name}", place.word())
}

/// As it stands between the quotes of a text in JSON.
fn within_quotes(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates() -> Templates {
        let mut secrets = Secrets::default();
        let secret_of = |_: &str| Some("k&y\"{{ to }}".to_owned());
        secrets.resolve("${KEY}", &secret_of, Templates::place).expect("has a value");
        Templates::new(secrets)
    }

    fn check(place: Place, source: &str, expect: &str) {
        let mut templates = templates();
        templates.add(place, "x", source.to_owned()).expect("is right");
        let fields = Fields { text: "a \"b\" & ü\n", ..SAMPLE };
        assert_eq!(templates.render(place, "x", &fields).expect("is filled in"), expect, "{source}");
    }

    #[test]
    fn what_is_filled_in_is_escaped_for_its_place() {
        let url = "https://sms.example/send?to={{ to_digits }}&text={{ text }}&key={{ secrets.KEY }}";
        check(
            Place::Url,
            url,
            "https://sms.example/send?to=33612345678&text=a%20%22b%22%20%26%20%C3%BC%0A&key=k%26y%22%7B%7B%20to%20%7D%7D",
        );
        check(Place::Json, r#"{"text": "{{ text }}"}"#, r#"{"text": "a \"b\" & ü\n"}"#);
        check(Place::Header, "id={{ message_id }}", "id=0123456789abcdef0123456789abcdef");
        check(Place::Plain, "{{ text }}", "a \"b\" & ü\n");
    }

    #[test]
    fn bad_templates_are_found_when_they_are_read() {
        let check = |place, source: &str, problem: &str| {
            let error = templates().add(place, "x", source.to_owned()).expect_err(source);
            assert!(error.contains(problem), "{source}: {error}");
            assert!(!error.contains("k&y"), "{error}");
        };
        check(Place::Plain, "{{ phone }}", "`phone` is no name here");
        check(Place::Plain, "{{ to", "unexpected");
        check(Place::Url, "{{ secrets.KEY }}/send", "is no address");
        check(Place::Json, r#"{"text": {{ text }}}"#, "does not become JSON");
        check(Place::Json, r#"{"key": {{ secrets.KEY }}}"#, "does not become JSON");
        check(Place::Header, "{{ text }}", "does not become a header's value");
        check(Place::Plain, "{{ secrets.OTHER }}", "undefined");
    }
}
