//! Reads one line of a batch of events.
//!
//! A good line goes one way only: [`crate::scan`] borrows its values, [`crate::check`] judges them, and the caller is
//! handed the event while the line is still in memory, so that nothing of it is copied. What the scan cannot read is looked
//! at again by [`crate::diagnose`], slowly: to say what is wrong with it, or to read it after all.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vocabulary::{BodyRef, ContactKey, ContextRef, EventRef, TimeDoubt, Timestamp};

use crate::diagnose;
use crate::fields::Name;
use crate::items::LINE_BYTES_MAX;
use crate::scan::scan;

pub use crate::times::{FUTURE_MAX, SKEW_MAX, TIME_MAX, TIME_MIN};

/// The longest URL that is kept; browsers and mail programs cut longer ones.
pub const URL_BYTES_MAX: usize = 4096;
/// The longest free text (reply, user agent, the contact's words) that is kept in a row of the lake.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Numbers in JSON carry 15 decimal digits exactly; amounts from here on must be written as text.
pub(crate) const NUMBER_EXACT_MAX: f64 = 1e15;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LineFault)]
pub struct Fault {
    /// The field that is wrong; `null` when it is the line as a whole.
    pub field: Option<String>,
    /// Why, and what to write instead.
    pub reason: String,
}

impl Fault {
    #[cold]
    pub(crate) fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), reason: reason.into() }
    }

    #[cold]
    pub(crate) fn whole(reason: impl Into<String>) -> Self {
        Self { field: None, reason: reason.into() }
    }
}

/// Whom an event happened to, as the caller named them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// By the customer's own id, which `control` turns into a key.
    Own(&'a str),
    /// By the surrogate key.
    Key(ContactKey),
}

/// A checked event that only lacks its contact's key and the time of receipt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it happened, corrected where the sender's clock is known to be wrong.
    pub time: Timestamp,
    /// Why `time` may be wrong.
    pub time_doubt: Option<TimeDoubt>,
    /// Whom it happened to.
    pub who: Who<'a>,
    /// What it belongs to.
    pub context: ContextRef<'a>,
    /// What happened.
    pub body: BodyRef<'a>,
}

impl<'a> Told<'a> {
    /// The event as the lake takes it.
    #[must_use]
    pub fn event(&self, contact: ContactKey, received_at: Timestamp) -> EventRef<'a> {
        let Self { id, time, time_doubt, who: _, context, body } = *self;
        EventRef { id, time, received_at, contact, time_doubt, context, body }
    }
}

/// Reads one line and hands on what it tells; `now` is when it was received.
///
/// # Errors
/// [`Fault`]: what is wrong with it.
pub fn read<T>(json: &[u8], now: Timestamp, hand_on: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault> {
    if json.len() > LINE_BYTES_MAX {
        return Err(Fault::whole(format!("the line is {} bytes long; the limit is {LINE_BYTES_MAX} bytes", json.len())));
    }
    let mut line = Line::default();
    let scanned = simdutf8::basic::from_utf8(json).ok().and_then(|json| scan(json, &mut line));
    if scanned.is_some() && line.escaped == 0 {
        return line.check(now).map(hand_on);
    }
    match scanned.and_then(|()| line.unescaped()) {
        Some(texts) => texts.complete(line).check(now).map(hand_on),
        None => diagnose::event(json)?.complete(Line::default()).check(now).map(hand_on),
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Text, or a number, `true` or `false` as it is written.
    Text(&'a str),
    /// A time in microseconds since 1970, from a format that has times.
    Micros(i64),
}

/// A line as it is told: the fields of [`crate::fields::FIELDS`], flat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The fields that have a value, as a set of [`Name::bit`].
    given: u64,
    /// The fields that were named, with a value or as `null`.
    seen: u64,
    /// The fields whose text is set as written, with escapes.
    pub(crate) escaped: u64,
    values: [Value<'a>; Name::ALL.len()],
}

impl Default for Line<'_> {
    fn default() -> Self {
        Self { given: 0, seen: 0, escaped: 0, values: [Value::Text(""); Name::ALL.len()] }
    }
}

impl<'a> Line<'a> {
    /// Notes that a field is named; `false` when it was already.
    pub(crate) fn see(&mut self, name: Name) -> bool {
        let is_new = self.seen & name.bit() == 0;
        self.seen |= name.bit();
        is_new
    }

    /// Gives a field its value.
    pub(crate) fn set(&mut self, name: Name, value: Value<'a>) {
        self.given |= name.bit();
        self.values[name as usize] = value;
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: Name) -> Option<Value<'a>> {
        self.has(name).then(|| self.values[name as usize])
    }

    /// The text of a field.
    pub(crate) fn text(&self, name: Name) -> Option<&'a str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            Value::Micros(_) => None,
        }
    }

    /// Whether a field has a value.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.given & name.bit() != 0
    }

    /// The first field that has a value and is not in `set`.
    pub(crate) fn first_outside(&self, set: u64) -> Option<Name> {
        let outside = self.given & !set;
        (outside != 0).then(|| Name::ALL[outside.trailing_zeros() as usize])
    }

    /// The texts that were written with escapes, as they are meant. `None` when an escape is none.
    fn unescaped(&self) -> Option<Texts> {
        let escaped = Name::ALL.iter().filter(|name| self.escaped & name.bit() != 0);
        let mean = |name: &Name| Some((*name, serde_json::from_str(&format!("\"{}\"", self.text(*name)?)).ok()?));
        escaped.map(mean).collect::<Option<Vec<(Name, String)>>>().map(Texts)
    }
}

/// Values that had to be made, because no line holds them as they are meant.
#[derive(Debug, Default)]
pub(crate) struct Texts(pub(crate) Vec<(Name, String)>);

impl Texts {
    /// `line` with these values.
    pub(crate) fn complete<'a>(&'a self, mut line: Line<'a>) -> Line<'a> {
        self.0.iter().for_each(|(name, text)| line.set(*name, Value::Text(text)));
        line
    }
}

/// Cuts what the caller wrote to a length that an answer can repeat.
pub(crate) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
