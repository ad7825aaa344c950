//! Languages: what a tag means, which tags a reader also understands, in which direction they read.
//!
//! Tags are BCP 47 in the form of Unicode's UTS 35. They are brought into canonical form (`iw` is `he`, `zh_TW` is `zh-TW`)
//! and compared with the script they are most likely written in, so that `zh-TW` and `zh-Hant-TW` are one. The ways from
//! a tag to less specific ones are CLDR's parent locales.

use std::fmt;

use icu_locale::fallback::{LocaleFallbackConfig, LocaleFallbacker, LocaleFallbackerBorrowed};
use icu_locale::{LanguageIdentifier, Locale, LocaleCanonicalizer, LocaleDirectionality, LocaleExpander, langid};

/// The longest tag that is looked at: longer than any that means something, and RFC 5646 asks for 35 characters.
pub(crate) const TAG_BYTES_MAX: usize = 64;

static CANONICALIZER: LocaleCanonicalizer = LocaleCanonicalizer::new_extended();
static EXPANDER: LocaleExpander = LocaleExpander::new_extended();
static DIRECTIONALITY: LocaleDirectionality = LocaleDirectionality::new_extended();
const FALLBACKER: LocaleFallbackerBorrowed<'static> = LocaleFallbacker::new();

/// Languages whose readers also read another one, which is looked at after all that is written in their own: what CLDR's
/// `languageMatching` names nearest for the written languages of Norway and for Cantonese. Only whole messages are taken
/// from there, and with the script of the reader.
const ALSO_READ: [(&str, &[&str]); 4] = [("nb", &["no"]), ("nn", &["nb", "no"]), ("no", &["nb"]), ("yue", &["zh"])];

/// The direction a language is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// From left to right.
    #[default]
    Ltr,
    /// From right to left, such as Arabic and Hebrew.
    Rtl,
}

impl Direction {
    /// As HTML's `dir` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A language as tags name it, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(LanguageIdentifier);

impl Tag {
    /// Reads the tag of a text. `None` where it is not well-formed or names no language.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let locale = canonical(text)?;
        locale.extensions.is_empty().then_some(Self(locale.id))
    }

    /// Reads what a contact told, as well as it goes: what follows a part that cannot be read is left out, and so are
    /// extensions. `None` where not even the language can be read.
    pub(crate) fn of_contact(text: &str) -> Option<Self> {
        let text = text.trim().split(['.', '@']).next().unwrap_or_default();
        let mut end = text.len().min(TAG_BYTES_MAX);
        loop {
            if let Some(locale) = text.get(..end).and_then(canonical) {
                return Some(Self(locale.id));
            }
            end = text.get(..end)?.rfind(['-', '_'])?;
        }
    }

    /// The same for all tags that mean the same language, and different for others.
    pub(crate) fn key(&self) -> String {
        scripted(self.0.clone()).to_string()
    }

    /// The keys of what a reader of this language understands in it, from what is most their own to the bare language.
    pub(crate) fn keys(&self) -> Vec<String> {
        let language = self.0.language;
        let mut full = self.0.clone();
        full.script = full.script.or_else(|| EXPANDER.get_likely_script(&full));
        let mut keys = vec![full.to_string()];
        let keys_begin_in_macau = full == langid!("zh-Hant-MO");
        let mut add = |id: LanguageIdentifier| {
            let key = id.to_string();
            if !keys.contains(&key) {
                keys.push(key);
            }
        };
        if !self.0.variants.is_empty() {
            add(scripted(self.0.clone()));
        }
        // CLDR's table has this one under a name that the crate looks up without the script.
        if keys_begin_in_macau {
            add(langid!("zh-Hant-HK"));
        }
        let mut steps = FALLBACKER.for_config(LocaleFallbackConfig::default()).fallback_for((&full).into());
        while steps.get().language == language {
            let mut id = steps.get().into_locale().id;
            id.script = id.script.or_else(|| EXPANDER.get_likely_script(&id));
            add(id);
            steps.step();
        }
        add(LanguageIdentifier { language, script: full.script, ..LanguageIdentifier::UNKNOWN });
        add(LanguageIdentifier { language, ..LanguageIdentifier::UNKNOWN });
        keys
    }

    /// [`Self::keys`], and then those of languages they also read.
    pub(crate) fn all_keys(&self) -> Vec<String> {
        let mut keys = self.keys();
        let mut own = self.0.clone();
        own.script = own.script.or_else(|| EXPANDER.get_likely_script(&own));
        let also = ALSO_READ.iter().find(|(language, _)| own.language.as_str() == *language);
        for other in also.map_or(&[][..], |(_, others)| others) {
            let other = Self(LanguageIdentifier { language: other.parse().expect("a language"), ..own.clone() });
            keys.extend(other.keys());
        }
        keys
    }

    /// The less specific tags of the language, as people write them.
    pub(crate) fn parents(&self) -> Vec<String> {
        let own = self.key();
        let mut parents: Vec<String> = Vec::new();
        for key in self.keys().into_iter().filter(|key| *key != own) {
            let mut id: LanguageIdentifier = key.parse().expect("keys are tags");
            let script = id.script.take();
            if EXPANDER.get_likely_script(&id) != script {
                id.script = script;
            }
            let name = id.to_string();
            if !parents.contains(&name) && name != self.to_string() {
                parents.push(name);
            }
        }
        parents
    }

    /// Where a reader of it reads from.
    pub(crate) fn direction(&self) -> Direction {
        if DIRECTIONALITY.is_right_to_left(&self.0) { Direction::Rtl } else { Direction::Ltr }
    }

    /// The locale by which a text in this language is formatted for a reader who told `wish` and lives in `country`: the
    /// text's language and script, and the reader's region.
    pub(crate) fn locale_for(&self, wish: Option<&Self>, country: Option<&str>) -> Locale {
        let script = self.0.script.or_else(|| EXPANDER.get_likely_script(&self.0));
        let told = wish.filter(|wish| wish.0.language == self.0.language).and_then(|wish| wish.0.region);
        let lives = || country.and_then(|country| country.parse().ok());
        let mut id = LanguageIdentifier { region: told.or_else(lives).or(self.0.region), ..self.0.clone() };
        // Another region may be one of another script, but the text stays as it is written.
        if EXPANDER.get_likely_script(&id) != script {
            id.script = script;
        }
        id.into()
    }
}

/// Whether `text` is a BCP 47 language tag by which translations can be named.
#[must_use]
pub fn is_language(text: &str) -> bool {
    Tag::parse(text).is_some()
}

/// The locale of numbers and dates where neither the text's language nor the reader's is known.
pub(crate) fn unknown_locale(country: Option<&str>) -> Locale {
    let mut id = langid!("en");
    id.region = country.and_then(|country| country.parse().ok());
    id.into()
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn canonical(text: &str) -> Option<Locale> {
    if text.len() > TAG_BYTES_MAX {
        return None;
    }
    let mut locale = Locale::try_from_str(&text.trim().replace('_', "-")).ok()?;
    CANONICALIZER.canonicalize(&mut locale);
    (!locale.id.language.is_unknown()).then_some(locale)
}

/// With the script that a tag with a region is most likely written in. A bare language stays bare: who writes `zh` and
/// `zh-Hans` means two things.
fn scripted(mut id: LanguageIdentifier) -> LanguageIdentifier {
    if id.region.is_some() {
        id.script = id.script.or_else(|| EXPANDER.get_likely_script(&id));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_read_however_they_are_written() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(Tag::of_contact(text).map(|tag| tag.to_string()).as_deref(), expect, "{text}");
        };
        check("PT-br", Some("pt-BR"));
        check("zh_TW", Some("zh-TW"));
        check("zh-hant-hk", Some("zh-Hant-HK"));
        check("iw", Some("he"));
        check("en_US.UTF-8", Some("en-US"));
        check("de@euro", Some("de"));
        check("zh-yue-HK", Some("zh"));
        check("ar-u-nu-latn", Some("ar"));
        check("", None);
        check("C", None);
        check("und", None);
        check("早安", None);
        assert_eq!(Tag::parse("en_US.UTF-8"), None);
        assert_eq!(Tag::parse("ar-u-nu-latn"), None);
    }

    #[test]
    fn a_reader_understands_less_specific_tags_of_their_language() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Tag::of_contact(text).unwrap().all_keys().join(" "), expect, "{text}");
        };
        check("zh-Hant-HK", "zh-Hant-HK zh-Hant zh");
        check("zh-HK", "zh-Hant-HK zh-Hant zh");
        check("zh_TW", "zh-Hant-TW zh-Hant zh");
        check("zh-MO", "zh-Hant-MO zh-Hant-HK zh-Hant zh");
        check("zh-CN", "zh-Hans-CN zh-Hans zh");
        check("zh-SG", "zh-Hans-SG zh-Hans zh");
        check("zh", "zh-Hans zh");
        check("pt-AO", "pt-Latn-AO pt-Latn-PT pt-Latn pt");
        check("es-MX", "es-Latn-MX es-Latn-419 es-Latn es");
        check("en-AU", "en-Latn-AU en-Latn-001 en-Latn en");
        check("sr-ME", "sr-Latn-ME sr-Latn sr");
        check("hi-Latn", "hi-Latn hi");
        check("nn-NO", "nn-Latn-NO nn-Latn nn nb-Latn-NO nb-Latn nb no-Latn-NO no-Latn no");
        check("yue-HK", "yue-Hant-HK yue-Hant yue zh-Hant-HK zh-Hant zh");
    }

    #[test]
    fn tags_of_one_language_have_one_key() {
        let check = |one: &str, other: &str, same: bool| {
            let key = |text| Tag::parse(text).unwrap().key();
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        };
        check("zh-TW", "zh-Hant-TW", true);
        check("iw", "he", true);
        check("pt-br", "pt_BR", true);
        check("zh", "zh-Hans", false);
        check("zh-HK", "zh-Hans-HK", false);
        check("pt", "pt-BR", false);
    }

    #[test]
    fn parents_are_told_as_people_write_them() {
        let check = |tag: &str, expect: &[&str]| assert_eq!(Tag::parse(tag).unwrap().parents(), expect, "{tag}");
        check("zh-Hant-HK", &["zh-Hant", "zh"]);
        check("zh-Hant", &["zh"]);
        check("zh-CN", &["zh"]);
        check("pt-AO", &["pt-PT", "pt"]);
        check("ja", &[]);
    }

    #[test]
    fn directions_are_those_of_the_script() {
        let check = |tag: &str, expect| assert_eq!(Tag::parse(tag).unwrap().direction(), expect, "{tag}");
        check("ar-AE", Direction::Rtl);
        check("he", Direction::Rtl);
        check("ur-PK", Direction::Rtl);
        check("az-Arab", Direction::Rtl);
        check("de", Direction::Ltr);
        check("zh-Hant", Direction::Ltr);
    }

    #[test]
    fn a_text_is_formatted_for_the_region_of_its_reader() {
        let check = |text: &str, wish: &str, country: Option<&str>, expect: &str| {
            let wish = Tag::of_contact(wish);
            let locale = Tag::parse(text).unwrap().locale_for(wish.as_ref(), country);
            assert_eq!(locale.to_string(), expect, "{text} {wish:?} {country:?}");
        };
        check("ar", "ar-AE", None, "ar-AE");
        check("zh-Hant", "zh-Hant-HK", None, "zh-Hant-HK");
        check("zh", "zh-HK", None, "zh-Hans-HK");
        check("en", "ja", Some("JP"), "en-JP");
        check("pt-PT", "", None, "pt-PT");
        check("pt", "pt-PT", Some("BR"), "pt-PT");
        check("en", "de-AT", Some("CH"), "en-CH");
        check("en", "", Some("??"), "en");
    }

    proptest! {
        #[test]
        fn no_tag_stops_it(text in "[a-zA-Z]{2,3}([-_][a-zA-Z]{4})?([-_][a-zA-Z]{2})?([-_][a-zA-Z0-9]{1,8}){0,3}|.{0,70}") {
            if let Some(tag) = Tag::of_contact(&text) {
                let keys = tag.all_keys();
                prop_assert!(keys.contains(&tag.key()));
                prop_assert!(tag.parents().len() < keys.len());
                tag.locale_for(Some(&tag), None);
            }
        }
    }
}
