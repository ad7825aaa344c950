//! Text that stays text in HTML.

/// A text as HTML writes it, in an element or between quotes.
#[must_use]
pub fn escaped(text: &str) -> String {
    if text.contains(['&', '"', '\'', '<', '>']) {
        text.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;").replace('>', "&gt;")
    } else {
        text.to_owned()
    }
}
