//! What the senders should use now, as an immutable value, and for whom it speaks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::label::{LabelError, check};
use crate::{ExperimentId, RecommendationId, VariantName};

/// The longest part of a scope in bytes: a segment's name, the longest of the three, has at most so many.
pub const SCOPE_BYTES_MAX: usize = 64;

/// How far the weights of a recommendation may be from 1 in sum: what adding a few dozen decimal fractions loses.
pub const WEIGHTS_TOLERANCE: f64 = 1e-9;

/// One decision. It never changes; "current" is one row for each scope in `control` that points to it, moved by compare-and-set from
/// `parent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Its own id.
    pub id: RecommendationId,
    /// The experiment it speaks for.
    pub experiment_id: ExperimentId,
    /// For whom it speaks.
    #[serde(default)]
    pub scope: RecommendationScope,
    /// The variant to send, where one is asked for: the one of the greatest weight.
    pub variant: VariantName,
    /// The share of each variant among the contacts it speaks for: from 0 to 1, in sum 1. A decided winner alone has 1.
    #[serde(default)]
    pub weights: BTreeMap<VariantName, f64>,
    /// The recommendation it replaces, which has the same scope; `None` for the first.
    pub parent: Option<RecommendationId>,
    /// One sentence for people: why.
    pub reason: String,
    /// The readout it rests on, which is the look at the numbers; `None` when a person decided or when the experiment began.
    pub readout_id: Option<String>,
    /// From when on it does not hold any more: senders send the control then. `None` where it holds until it is replaced.
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
    /// What is expected of it; `None` where a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is expected of sending a recommended variant, in the primary metric's unit per intended recipient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// How much better than the control it is expected to do; positive is better, also where less is better.
    pub gain: f64,
    /// How far the best variant is expected to lie ahead of it: what a wrong choice costs on average.
    pub loss: f64,
}

impl Recommendation {
    /// The weights of one variant for everybody.
    #[must_use]
    pub fn all_to(variant: &VariantName) -> BTreeMap<VariantName, f64> {
        BTreeMap::from([(variant.clone(), 1.0)])
    }

    /// Whether it sends everybody it speaks for the same variant.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.weights.values().filter(|weight| **weight > 0.0).count() == 1
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

/// For whom a recommendation speaks. What is not named is not looked at, so that the empty scope is everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecommendationScope {
    /// The market, such as `DE`.
    #[serde(default)]
    pub market: Option<String>,
    /// The language tag: `de` speaks for `de-AT` too.
    #[serde(default)]
    pub locale: Option<String>,
    /// The name of a segment.
    #[serde(default)]
    pub segment: Option<String>,
}

/// Who asks: what is known of the contact a message is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asker<'a> {
    /// The contact's market.
    pub market: Option<&'a str>,
    /// The contact's language tag.
    pub locale: Option<&'a str>,
    /// The segment that is written to.
    pub segment: Option<&'a str>,
}

/// The field of a scope that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {source}")]
pub struct ScopeError {
    /// `market`, `locale` or `segment`.
    pub field: &'static str,
    /// Why it cannot be.
    pub source: LabelError,
}

impl RecommendationScope {
    /// Checks the parts and writes them in one way: markets in capital letters, language tags as `zh-Hant-HK`.
    ///
    /// # Errors
    /// [`ScopeError`] for a part that is empty, longer than [`SCOPE_BYTES_MAX`] or holds control characters.
    pub fn new(market: Option<&str>, locale: Option<&str>, segment: Option<&str>) -> Result<Self, ScopeError> {
        Ok(Self {
            market: part("market", market)?.map(str::to_uppercase),
            locale: part("locale", locale)?.map(as_tag),
            segment: part("segment", segment)?.map(str::to_owned),
        })
    }

    /// Whether it is everybody.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self == &Self::default()
    }

    /// Whether it speaks for `asker`.
    #[must_use]
    pub fn speaks_for(&self, asker: Asker<'_>) -> bool {
        let is = |own: &Option<String>, asked: Option<&str>, same: fn(&str, &str) -> bool| {
            own.as_deref().is_none_or(|own| asked.is_some_and(|asked| same(own, asked)))
        };
        is(&self.market, asker.market, str::eq_ignore_ascii_case)
            && is(&self.locale, asker.locale, is_within)
            && is(&self.segment, asker.segment, |own, asked| own == asked)
    }

    /// How specific it is: of the scopes that speak for somebody, the greatest answers. First the number of parts it names; among
    /// as many, a segment counts more than a market and a market more than a locale; among locales the longer tag.
    #[must_use]
    pub fn specificity(&self) -> (u8, bool, bool, usize) {
        let named = [&self.market, &self.locale, &self.segment].into_iter().flatten().count() as u8;
        let subtags = self.locale.as_deref().map_or(0, |tag| tag.split('-').count());
        (named, self.segment.is_some(), self.market.is_some(), subtags)
    }
}

/// A part of a scope, without spaces around it.
fn part<'t>(field: &'static str, text: Option<&'t str>) -> Result<Option<&'t str>, ScopeError> {
    text.map(|text| check(text.trim(), SCOPE_BYTES_MAX)).transpose().map_err(|source| ScopeError { field, source })
}

/// Whether the tag `asked` is `own` or one of its kind: `de-AT` is of the kind of `de`. `_` is read as `-`.
fn is_within(own: &str, asked: &str) -> bool {
    let mut asked = asked.split(['-', '_']);
    own.split('-').all(|subtag| asked.next().is_some_and(|other| subtag.eq_ignore_ascii_case(other)))
}

/// A language tag as BCP 47 writes it: the language small, a script of four letters with a capital, a country of two in capitals.
fn as_tag(text: &str) -> String {
    let subtag = |(place, subtag): (usize, &str)| match subtag.len() {
        2 if place > 0 => subtag.to_ascii_uppercase(),
        4 if place > 0 && subtag.is_ascii() => subtag[..1].to_ascii_uppercase() + &subtag[1..].to_ascii_lowercase(),
        _ => subtag.to_ascii_lowercase(),
    };
    text.split(['-', '_']).enumerate().map(subtag).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(market: &'static str, locale: &'static str, segment: &'static str) -> RecommendationScope {
        let named = |text| Some(text).filter(|text: &&str| !text.is_empty());
        RecommendationScope::new(named(market), named(locale), named(segment)).unwrap()
    }

    #[test]
    fn parts_are_written_one_way_and_checked() {
        let check = |locale: &'static str, expect: &str| assert_eq!(scope("de", locale, "").locale.as_deref(), Some(expect));
        check("DE_at", "de-AT");
        check("ZH-hant-hk", "zh-Hant-HK");
        check("es-419", "es-419");
        assert_eq!(scope("de", "", "").market.as_deref(), Some("DE"));
        let error = RecommendationScope::new(Some("DE"), Some(" "), None).unwrap_err();
        assert_eq!(error.to_string(), "locale is empty; give it at least one visible character");
        assert_eq!(RecommendationScope::new(None, None, Some(&"x".repeat(65))).unwrap_err().field, "segment");
    }

    #[test]
    fn a_scope_speaks_for_those_who_have_all_it_names() {
        let german = Asker { market: Some("DE"), locale: Some("de-DE"), segment: Some("vip") };
        let check = |scope: RecommendationScope, asker: Asker<'_>, expect: bool| {
            assert_eq!(scope.speaks_for(asker), expect, "{scope:?} {asker:?}");
        };
        check(scope("", "", ""), Asker::default(), true);
        check(scope("", "", ""), german, true);
        check(scope("DE", "", ""), german, true);
        check(scope("DE", "", ""), Asker::default(), false);
        check(scope("DE", "de", "vip"), german, true);
        check(scope("DE", "en", "vip"), german, false);
        check(scope("", "de-AT", ""), german, false);
        check(scope("", "de", ""), Asker { locale: Some("DE_at"), ..german }, true);
        check(scope("", "de-DE", ""), Asker { locale: Some("de"), ..german }, false);
        check(scope("", "", "VIP"), german, false);
    }

    #[test]
    fn more_parts_then_segment_market_and_longer_locale_are_more_specific() {
        let order = [
            scope("", "", ""),
            scope("", "de", ""),
            scope("", "de-AT", ""),
            scope("AT", "", ""),
            scope("", "", "vip"),
            scope("AT", "de", ""),
            scope("", "de", "vip"),
            scope("AT", "", "vip"),
            scope("AT", "de", "vip"),
        ];
        assert!(order.is_sorted_by(|one, next| one.specificity() < next.specificity()));
    }

    #[test]
    fn what_was_written_before_there_were_scopes_is_read() {
        let old = r#"{"id":"r1","experiment_id":"e","variant":"a","parent":null,"reason":"because","readout_id":null,
            "created_at":"2026-01-05T10:00:00Z"}"#;
        let read: Recommendation = serde_json::from_str(old).unwrap();
        assert!(read.scope.is_everybody() && read.holds(Timestamp::MAX) && read.weights.is_empty());
    }
}
