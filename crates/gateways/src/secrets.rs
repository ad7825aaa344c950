//! Secrets of a configuration: named in its text as `${NAME}`, handed in, and taken out of everything that is told.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded::byte_serialize;

/// What stands where a secret would be told.
const HIDDEN: &str = "***";

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The secrets that one gateway knows, by name.
#[derive(Clone, Default)]
pub(crate) struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Asks for the value of a secret by its name.
pub(crate) type SecretOf<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Secrets {
    /// Puts `place(name, value)` where a text says `${NAME}`, and remembers the secrets.
    ///
    /// # Errors
    /// What is wrong with a name, or that it has no value.
    pub(crate) fn resolve(
        &mut self,
        text: &str,
        secret_of: SecretOf<'_>,
        place: impl Fn(&str, &str) -> String,
    ) -> Result<String, String> {
        let mut output = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            output.push_str(before);
            let (name, after) = after.split_once('}').ok_or("has `${` without `}`; write a secret as ${NAME}")?;
            if !is_name(name) {
                return Err(format!("`${{{name}}}` is no secret's name; use capital letters, digits and `_`"));
            }
            let value = secret_of(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| format!("the secret {name} has no value; set it where the program starts"))?;
            output.push_str(&place(name, &value));
            self.0.insert(name.to_owned(), value);
            rest = after;
        }
        output.push_str(rest);
        Ok(output)
    }

    /// Reads a value that is a secret as a whole. A literal one is refused, because it is told with the file.
    pub(crate) fn whole(&mut self, text: &str, secret_of: SecretOf<'_>) -> Result<Secret, String> {
        let is_named = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(is_name);
        if !is_named {
            return Err("is a secret; write ${NAME} and give its value where the program starts".to_owned());
        }
        self.resolve(text, secret_of, |_, value| value.to_owned()).map(Secret)
    }

    /// By name, for templates.
    pub(crate) fn by_name(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// A text without any secret, as it is written, in an address, or as the password of a login.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut told = text.to_owned();
        for value in self.0.values() {
            for form in [value.clone(), byte_serialize(value.as_bytes()).collect(), STANDARD.encode(value)] {
                told = told.replace(&form, HIDDEN);
            }
        }
        told
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_part) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Takes the recipient's number out of a text.
pub(crate) fn without_number(text: &str, digits: &str) -> String {
    text.replace(&format!("+{digits}"), "(the number)").replace(digits, "(the number)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_put_in_and_never_told() {
        let mut secrets = Secrets::default();
        let secret_of = |name: &str| (name == "KEY").then(|| "s3cr&t".to_owned());
        let as_is = |_: &str, value: &str| value.to_owned();
        assert_eq!(secrets.resolve("Bearer ${KEY}!", &secret_of, as_is).expect("KEY is known"), "Bearer s3cr&t!");
        assert_eq!(secrets.hide("s3cr&t and s3cr%26t and czNjciZ0"), "*** and *** and ***");
        assert_eq!(format!("{secrets:?} {:?}", Secret("s3cr&t".to_owned())), r#"{"KEY"} ***"#);
        for (text, problem) in [("${OTHER}", "has no value"), ("${key}", "is no secret's name"), ("${KEY", "without `}`")] {
            let error = secrets.resolve(text, &secret_of, as_is).expect_err("cannot be resolved");
            assert!(error.contains(problem), "{error}");
        }
        let error = secrets.whole("literal", &secret_of).expect_err("is no name");
        assert!(!error.contains("literal"), "{error}");
    }

    #[test]
    fn numbers_are_taken_out() {
        assert_eq!(without_number("'+33612345678' (33612345678)", "33612345678"), "'(the number)' ((the number))");
    }
}
