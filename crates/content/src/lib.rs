//! What a message says: templates in the reader's language, and the signed links inside them.
//!
//! *Invariant:* rendering is a pure function of its arguments: no clock, no randomness, no IO. The same contact, copy
//! and key give the same bytes, so that a message can be explained and repeated.
//!
//! Reading order: [`template`] (copies become subject, HTML and text), [`language`] (which translation a reader gets),
//! [`filters`] (amounts, dates and plurals as the reader writes them), `mail` and `plain` (HTML as mail programs need it, and
//! its text), `slots` (products of the contact), `snippets` (pieces that many messages take in), [`links`] (signed tokens), [`track`] (links in the HTML are led through them), [`sms`] (what a text
//! message is on the air), [`mod@lint`] (what to look at before launch), [`html`].

mod channels;
pub mod error;
pub mod filters;
mod formats;
pub mod html;
pub mod language;
pub mod links;
pub mod lint;
mod mail;
mod markup;
pub mod message;
mod plain;
mod readers;
mod slots;
pub mod sms;
mod snippets;
pub mod template;
#[cfg(test)]
mod testing;
pub mod track;
mod values;

pub use channels::{copies_by_channel, libraries, use_coupon};
pub use error::{ContentError, Part, Place};
pub use html::escaped;
pub use language::{Direction, is_language};
pub use links::{Link, LinkKind, Links, message_id, percent_encoded};
pub use lint::{LintInput, LintRules, Severity, Warning, lint};
pub use message::{TEMPLATE_COPY, compile_template};
pub use slots::{NO_SLOTS, Slots};
pub use sms::Segments;
pub use snippets::{check_snippets, takes_snippets, with_snippets};
pub use template::{Given, Library, RenderContext, Rendered};
pub use track::{Tracking, track, track_text};
pub use values::Data;
