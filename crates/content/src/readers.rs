//! What is worked out once for many readers: what a language tag of theirs means, and how their region writes numbers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use icu_locale::Locale;

use crate::formats::Formats;
use crate::language::Tag;

/// The most tags and the most locales that are remembered: more than there are in use, so that odd ones cannot fill memory.
const REMEMBERED_MAX: usize = 2_048;

/// What a reader told of their language.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) tag: Tag,
    /// The keys of what they understand, best first.
    pub(crate) keys: Vec<String>,
    /// The key of the tag itself.
    pub(crate) key: String,
}

/// Remembers, and forgets all where it becomes too much.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    wishes: RwLock<HashMap<String, Option<Arc<Wish>>>>,
    formats: RwLock<HashMap<String, Arc<Formats>>>,
}

impl Readers {
    /// What the contact's language tag means. `None` where it cannot be read.
    pub(crate) fn wish(&self, language: &str) -> Option<Arc<Wish>> {
        remembered(&self.wishes, language, || {
            let tag = Tag::of_contact(language)?;
            let (keys, key) = (tag.all_keys(), tag.key());
            Some(Arc::new(Wish { tag, keys, key }))
        })
    }

    /// The formats of a locale, empty until they are used.
    pub(crate) fn formats(&self, locale: Locale) -> Arc<Formats> {
        let name = locale.to_string();
        remembered(&self.formats, &name, || Arc::new(Formats::new(locale)))
    }
}

fn remembered<T: Clone>(kept: &RwLock<HashMap<String, T>>, name: &str, make: impl FnOnce() -> T) -> T {
    // A thread that broke off while it held the lock left whole entries behind.
    if let Some(found) = kept.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return found.clone();
    }
    let made = make();
    let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= REMEMBERED_MAX {
        kept.clear();
    }
    kept.entry(name.to_owned()).or_insert(made).clone()
}
