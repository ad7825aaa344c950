//! A piece of template that many messages take in: a footer, an address, what the law asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::label::is_name;

/// A named piece of template, in one language and in others where there are translations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snippet {
    /// Its name: small letters, digits and hyphens.
    pub snippet: String,
    /// What it says: HTML, or text where texts take it in.
    pub content: String,
    /// What it says in other languages, by BCP 47 tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<String, String>,
}

impl Snippet {
    /// The first field that is wrong, with what is wrong and the fix. Templates and tags are checked where they are compiled.
    ///
    /// # Errors
    /// Field and reason.
    pub fn check(&self) -> Result<(), (String, String)> {
        if !is_name(&self.snippet) {
            let reason = "is no name; use up to 64 small letters, digits and hyphens, such as legal-footer";
            return Err(("snippet".to_owned(), reason.to_owned()));
        }
        let texts = self.locales.iter().map(|(tag, text)| (format!("locales.{tag}"), text));
        let mut all = std::iter::once(("content".to_owned(), &self.content)).chain(texts);
        match all.find(|(_, text)| text.trim().is_empty()) {
            Some((field, _)) => Err((field, "is empty; write it".to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let good = Snippet { snippet: "legal-footer".into(), content: "<p>Shop</p>".into(), ..Snippet::default() };
        assert_eq!(good.check(), Ok(()));
        let field = |snippet: Snippet| snippet.check().unwrap_err().0;
        assert_eq!(field(Snippet { snippet: "legal/footer".into(), ..good.clone() }), "snippet");
        assert_eq!(field(Snippet { content: " ".into(), ..good.clone() }), "content");
        assert_eq!(field(Snippet { locales: [("de".to_owned(), String::new())].into(), ..good }), "locales.de");
    }
}
