//! What a message says: templates, and the signed links inside them.
//!
//! *Invariant:* rendering is a pure function of its arguments: no clock, no randomness, no IO. The same contact, copy
//! and key give the same bytes, so that a message can be explained and repeated.
//!
//! Reading order: [`template`] (copies become subject, HTML and text), [`links`] (signed tokens), [`track`] (links in
//! the HTML are led through them), [`html`].

pub mod html;
pub mod links;
pub mod template;
pub mod track;

pub use html::escaped;
pub use links::{Link, LinkKind, Links, message_id};
pub use template::{ContentError, Library, Part, RenderContext, Rendered};
pub use track::track;
