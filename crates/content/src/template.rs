//! Copies become messages in the reader's language: `MiniJinja` templates for the subject, the HTML and the text part.
//!
//! Everything that can be known to be wrong is found by [`Library::compile`], when a campaign is stored and not when it
//! is sent: syntax errors, names that no message knows, parts that are absent, empty or too large, tags that are no
//! languages. What depends on the contact (an attribute they do not have) is an error of [`Library::render`] unless the
//! template says `| default("...")` or the copy says what is written instead.
//!
//! Templates know `contact.attributes`, `contact.country`, `contact.language`, `contact.time_zone`, `data` (the values of this
//! one message, such as a code or an order), `slots` (lists of products, each with `product`, `title`, `url` and, where they are known,
//! `image`, `price` and `currency`), `coupon` (a code that no other message has), `campaign`, `variant`, `unsubscribe_url`, `preferences_url`, `now`, and `locale`
//! and `direction` of what is read. [`crate::filters`] lists what they can do with numbers and dates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::Environment;
use vocabulary::{Channel, Contact, Copy, Slot, Snippet};

use crate::error::{ContentError, Part, Place};
use crate::filters::{Reader, with_reader};
use crate::language::{Direction, Tag, unknown_locale};
use crate::readers::{Readers, Wish};
use crate::slots::Slots;
use crate::values::{Data, values_of};

pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod engine;

pub(crate) use compile::NO_LANGUAGE;
use compile::{Compiled, Known, Spoken};
use engine::Text;

/// The most copies in one campaign: far above what an experiment can tell apart.
pub const COPIES_MAX: usize = 200;
/// The most translations of one copy: there are some hundred locales that shops write for.
pub const LOCALES_MAX: usize = 200;
/// The most snippets a library is given.
pub const SNIPPETS_MAX: usize = 1_000;
/// The longest subject template. Subjects are short; this leaves room for conditions.
pub const SUBJECT_TEMPLATE_BYTES_MAX: usize = 4 * 1024;
/// The longest template of another part: ten times a rich newsletter.
pub const BODY_TEMPLATE_BYTES_MAX: usize = 512 * 1024;
/// The longest rendered subject. Mail clients show less than 100 characters; RFC 5322 ends lines at 998 bytes.
pub const SUBJECT_CHARS_MAX: usize = 250;
/// The longest rendered part. Large mail servers cut what is shown at about 100 KB.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most instructions one part may take, so that a loop in a template cannot hold up the senders: about 10 ms.
pub const FUEL_PER_PART: u64 = 100_000;

/// What copies may use beside what every message knows.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Pieces that templates take in with `{% include "snippets/NAME" %}`.
    pub snippets: &'a [Snippet],
    /// The lists of products that templates know below `slots`, by name.
    pub slots: &'a BTreeMap<String, Slot>,
}

static UNDECLARED: BTreeMap<String, Slot> = BTreeMap::new();

impl Default for Given<'_> {
    /// Nothing.
    fn default() -> Self {
        Self { snippets: &[], slots: &UNDECLARED }
    }
}

/// What a template is filled in with.
#[derive(Debug, Clone, Copy)]
pub struct RenderContext<'a> {
    /// The recipient.
    pub contact: &'a Contact,
    /// The campaign's id.
    pub campaign: &'a str,
    /// The variant's name.
    pub variant: &'a str,
    /// The address that ends all messages.
    pub unsubscribe_url: &'a str,
    /// The address of the page on which the recipient says what they want to get.
    pub preferences_url: &'a str,
    /// The values of this one message, such as a code or an order; `&Data::default()` where there are none.
    pub data: &'a Data,
    /// The message's own code; `None` where its pool has none left, and where no part of the copy asks for one.
    pub coupon: Option<&'a str>,
    /// The products of its slots; [`NO_SLOTS`](crate::NO_SLOTS) where it has none.
    pub slots: &'a Slots,
    /// The moment at which it is written.
    pub now: Timestamp,
}

/// A finished message, without its envelope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters. Empty on channels without subjects.
    pub subject: String,
    /// The HTML part. Empty on channels without HTML.
    pub html: String,
    /// The text part.
    pub text: String,
    /// The language it is in; `None` where the copy does not say.
    pub language: Option<String>,
    /// The direction of that language.
    pub direction: Direction,
}

/// The copies of one campaign, compiled for one channel.
pub struct Library {
    environment: Environment<'static>,
    copies: BTreeMap<String, Compiled>,
    readers: Readers,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("copies", &self.copies.keys()).finish_non_exhaustive()
    }
}

impl Library {
    /// Compiles every part of every copy for `channel`, and checks that each name it uses is known. E-mail needs subject and
    /// HTML; the text is made from the HTML where there is none. The other channels need the text alone.
    ///
    /// # Errors
    /// The first thing that is wrong, with copy, language, part and line.
    pub fn compile(copies: &BTreeMap<String, Copy>, channel: Channel) -> Result<Self, ContentError> {
        Self::compile_with(copies, channel, Given::default())
    }

    /// As [`Library::compile`], with snippets, which templates take in with `{% include "snippets/NAME" %}`, and slots. A snippet
    /// is HTML; where it is included into a text that is made from HTML, its text is. It speaks the language of the part that
    /// takes it in, by the same steps as copies.
    ///
    /// # Errors
    /// As [`Library::compile`], and where a snippet is not valid or includes itself.
    pub fn compile_with(copies: &BTreeMap<String, Copy>, channel: Channel, given: Given<'_>) -> Result<Self, ContentError> {
        if copies.is_empty() || copies.len() > COPIES_MAX {
            return Err(ContentError::CopyCount(copies.len()));
        }
        let known = Known::new(given)?;
        let mut environment = engine::new_environment();
        let mut taken = compile::Taken::new();
        let compiled = |(name, copy): (&String, &Copy)| {
            let compiled = compile::copy(&mut environment, &mut taken, name, copy, channel, &known)?;
            Ok((name.clone(), compiled))
        };
        let mut copies = copies.iter().map(compiled).collect::<Result<BTreeMap<String, Compiled>, ContentError>>()?;
        compile::snippets(&mut environment, &known, taken)?;
        copies.values_mut().for_each(|copy| copy.note_coupon(&environment));
        Ok(Self { environment, copies, readers: Readers::default() })
    }

    /// Fills in one copy, in the language of the contact as far as the copy speaks it: the most specific translation they
    /// understand, else the copy's own parts.
    ///
    /// # Errors
    /// When there is no such copy, when the contact lacks something it needs ([`ContentError::is_skip`] tells whether the
    /// message is to be left out for that), and when a part comes out empty or too large.
    pub fn render(&self, copy: &str, context: &RenderContext<'_>) -> Result<Rendered, ContentError> {
        let compiled = self.copy(copy)?;
        let wish = self.wish(context);
        let spoken = wish.as_deref().map_or_else(|| compiled.own(), |wish| compiled.understood(&wish.keys));
        self.render_spoken(compiled, spoken, wish.as_deref(), context)
    }

    /// Fills in one copy in a language it is written in, whatever the contact reads; for previews. The region of numbers and
    /// dates is that of the tag, where it has one.
    ///
    /// # Errors
    /// As [`Library::render`], and when the copy is not written in that language; [`Library::languages`] tells which there are.
    pub fn render_as(&self, copy: &str, tag: &str, context: &RenderContext<'_>) -> Result<Rendered, ContentError> {
        let compiled = self.copy(copy)?;
        let unknown = || ContentError::UnknownLanguage {
            copy: copy.to_owned(),
            tag: tag.to_owned(),
            known: compiled.tags().collect::<Vec<_>>().join(", "),
        };
        let key = Tag::parse(tag).ok_or_else(unknown)?.key();
        let spoken = compiled.exactly(&key).ok_or_else(unknown)?;
        self.render_spoken(compiled, spoken, self.readers.wish(tag).as_deref(), context)
    }

    /// The tags of the languages a copy is written in, in canonical form: that of its own parts first, if it says it.
    ///
    /// # Errors
    /// When there is no such copy.
    pub fn languages(&self, copy: &str) -> Result<Vec<String>, ContentError> {
        Ok(self.copy(copy)?.tags().map(str::to_owned).collect())
    }

    /// Whether a part of a copy, in any of its languages, asks for `coupon`. One that does so only for some readers counts.
    #[must_use]
    pub fn uses_coupon(&self, copy: &str) -> bool {
        self.copies.get(copy).is_some_and(|compiled| compiled.uses_coupon)
    }

    fn copy(&self, copy: &str) -> Result<&Compiled, ContentError> {
        self.copies.get(copy).ok_or_else(|| {
            let known: Vec<&str> = self.copies.keys().map(String::as_str).collect();
            ContentError::UnknownCopy { copy: copy.to_owned(), known: known.join(", ") }
        })
    }

    fn wish(&self, context: &RenderContext<'_>) -> Option<Arc<Wish>> {
        self.readers.wish(context.contact.profile.language.as_deref()?)
    }

    fn render_spoken(
        &self,
        compiled: &Compiled,
        spoken: &Spoken,
        wish: Option<&Wish>,
        context: &RenderContext<'_>,
    ) -> Result<Rendered, ContentError> {
        let country = context.contact.profile.country.as_deref();
        let of_reader = wish;
        let wish = wish.map(|wish| &wish.tag);
        // Who does not say what their text is written in writes for readers of one language: theirs.
        let locale = match spoken.tag.as_ref().or(wish) {
            Some(tag) => tag.locale_for(wish, country),
            None => unknown_locale(country),
        };
        let formats = self.readers.formats(locale);
        let slots = context.slots.value(&self.readers, &languages(spoken.tag.as_ref(), of_reader));
        let values = values_of(context, slots, formats.name(), spoken.direction, &spoken.defaults);
        let reader = Reader { formats, time_zone: context.contact.time_zone().map(Arc::from) };
        with_reader(reader, || {
            let part = |text: &Option<Text>| match text {
                Some(text) => engine::rendered(&self.environment, text, &values, compiled.skips),
                None => Ok(String::new()),
            };
            let mut subject = part(&spoken.subject)?;
            if let Some(text) = &spoken.subject {
                subject = checked_subject(&subject, &text.place)?;
            }
            Ok(Rendered {
                subject,
                html: part(&spoken.html)?,
                text: part(&spoken.text)?,
                language: spoken.name.clone(),
                direction: spoken.direction,
            })
        })
    }
}

/// The keys of the languages in which a message may show what it takes from elsewhere, best first: the reader's, as far as they are
/// more of the message's own language, else those of the message.
fn languages(spoken: Option<&Tag>, reader: Option<&Wish>) -> Vec<String> {
    let language = |key: &str| key.split('-').next().map(str::to_owned);
    let Some(tag) = spoken else { return reader.map(|wish| wish.keys.clone()).unwrap_or_default() };
    let own = tag.key();
    match reader.filter(|wish| wish.keys.contains(&own)) {
        Some(wish) => wish.keys.iter().filter(|key| language(key) == language(&own)).cloned().collect(),
        None => tag.keys(),
    }
}

fn checked_subject(subject: &str, place: &Place) -> Result<String, ContentError> {
    let subject = engine::one_line(subject);
    if subject.is_empty() {
        return Err(ContentError::RenderedEmpty(place.clone()));
    }
    if subject.chars().count() > SUBJECT_CHARS_MAX {
        return Err(engine::too_large(place));
    }
    Ok(subject)
}

impl Part {
    fn template_bytes_max(self) -> usize {
        if self == Self::Subject { SUBJECT_TEMPLATE_BYTES_MAX } else { BODY_TEMPLATE_BYTES_MAX }
    }
}

#[cfg(test)]
mod speech_tests;
#[cfg(test)]
mod tests;
