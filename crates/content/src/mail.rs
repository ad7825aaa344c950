//! HTML as mail programs need it: MJML becomes HTML, styles go into the elements they are for, and the language and its
//! direction are told. All of this is done once, when the template is compiled.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use css_inline::{CSSInliner, InlineOptions};
use lol_html::errors::AttributeNameError;
use lol_html::html_content::Element;
use lol_html::{ElementContentHandlers, RewriteStrSettings, Selector, element, rewrite_str};
use mrml::prelude::parser::{Error as MjmlError, Origin, Span};
use mrml::prelude::render::RenderOptions;

use crate::language::{Direction, Tag};
use crate::markup::Masked;

/// What is wrong with the HTML, and on which line, from 1.
pub(crate) type Problem = (usize, String);

/// The template as it is sent.
///
/// # Errors
/// Where MJML is not valid, and where the HTML or the styles cannot be read.
pub(crate) fn finished(source: &str, tag: Option<&Tag>) -> Result<String, Problem> {
    let mut html = source.to_owned();
    if is_mjml(source) {
        html = from_mjml(source, tag)?;
    } else if has_style(source) {
        html = inlined(source)?;
    }
    match tag {
        Some(tag) => told(&html, tag),
        None => Ok(html),
    }
}

/// Whether it begins with `<mjml`.
pub(crate) fn is_mjml(source: &str) -> bool {
    source.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("<mjml"))
}

fn has_style(source: &str) -> bool {
    source.match_indices('<').any(|(at, _)| source.get(at + 1..at + 6).is_some_and(|name| name.eq_ignore_ascii_case("style")))
}

fn from_mjml(source: &str, tag: Option<&Tag>) -> Result<String, Problem> {
    if !source.trim_start().starts_with("<mjml") {
        return Err((1, "MJML: write <mjml> in small letters".to_owned()));
    }
    let source = &speaking(source, tag);
    let masked = Masked::new(source);
    let parsed = mrml::parse(&masked.html).map_err(|error| {
        let line = match &error {
            MjmlError::ParserError { source, .. } => source.pos().row as usize,
            _ => span_of(&error).map_or(1, |span| masked.line_at(span.start)),
        };
        (line, format!("MJML: {}", plain(&error)))
    })?;
    // Fonts would be fetched from elsewhere when the message is read.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let html = parsed.element.render(&options).map_err(|error| (1, format!("MJML: {error}")))?;
    let html = masked.restored(&html);
    let html = mirrored(html, source, tag);
    // What it does not know it leaves as it is, and no mail program knows it either.
    if let Some((_, rest)) = html.split_once("<mj-") {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let line = source.split(&format!("<mj-{name}")).next().unwrap_or_default().matches('\n').count() + 1;
        return Err((line, format!("MJML: there is no `<mj-{name}>`, or it may not stand here")));
    }
    Ok(html)
}

/// MJML begins at the left whatever the language. Where the template does not say otherwise, it begins where the language does.
fn mirrored(html: String, source: &str, tag: Option<&Tag>) -> String {
    if tag.is_none_or(|tag| tag.direction() == Direction::Ltr) {
        return html;
    }
    let html = if source.contains(" direction=") { html } else { html.replace("direction:ltr", "direction:rtl") };
    if source.contains(" align=") || source.contains("text-align") {
        return html;
    }
    html.replace("text-align:left", "text-align:right").replace("align=\"left\"", "align=\"right\"")
}

/// With language and direction on `<mjml>`, which hands them on to all it makes.
fn speaking(source: &str, tag: Option<&Tag>) -> String {
    let Some(tag) = tag else { return source.to_owned() };
    let start = source.find('<').unwrap_or(0) + "<mjml".len();
    let (before, rest) = source.split_at(start);
    let attributes = rest.split('>').next().unwrap_or_default();
    let lacks = |name: &str| !attributes.split_whitespace().any(|word| word.starts_with(&format!("{name}=")));
    let says = [("lang", tag.to_string()), ("dir", tag.direction().to_string())];
    let says: String =
        says.into_iter().filter(|(name, _)| lacks(name)).map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
    format!("{before}{says}{rest}")
}

fn span_of(error: &MjmlError) -> Option<Span> {
    match error {
        MjmlError::UnexpectedElement { position, .. }
        | MjmlError::UnexpectedToken { position, .. }
        | MjmlError::MissingAttribute { position, .. }
        | MjmlError::InvalidAttribute { position, .. }
        | MjmlError::InvalidFormat { position, .. }
        | MjmlError::IncludeLoaderError { position, .. } => Some(*position),
        _ => None,
    }
}

/// What is wrong in words that do not speak of positions, which are those of what was made of the template.
fn plain(error: &MjmlError) -> String {
    match error {
        MjmlError::UnexpectedElement { .. } => "this element may not stand here".to_owned(),
        MjmlError::UnexpectedToken { .. } => "text may not stand here; put it into <mj-text> or <mj-raw>".to_owned(),
        MjmlError::MissingAttribute { name, .. } => format!("the attribute `{name}` is missing"),
        MjmlError::InvalidAttribute { .. } => "this attribute is not valid".to_owned(),
        MjmlError::InvalidFormat { .. } | MjmlError::ParserError { .. } => "this is not well-formed".to_owned(),
        MjmlError::EndOfStream { origin: Origin::Root } => "an element is not closed".to_owned(),
        MjmlError::IncludeLoaderError { .. } => "<mj-include> reads files; use {% include \"snippets/NAME\" %}".to_owned(),
        other => other.to_string(),
    }
}

/// Writes the rules of `<style>` into the elements. They also stay where they are, for what elements cannot hold: other
/// widths, dark screens, the pointer over a link.
///
/// The elements are numbered, the styles worked out on a copy, and written into the template by number. The copy itself would
/// not do: it is a whole document in which attributes and rows have other places than the expressions around them.
fn inlined(source: &str) -> Result<String, Problem> {
    let masked = Masked::new(source);
    let numbered = numbered(&masked.html, |element, number| element.set_attribute(NUMBER, &number.to_string()))?;
    let options =
        InlineOptions { keep_style_tags: true, keep_link_tags: true, load_remote_stylesheets: false, ..InlineOptions::default() };
    let inlined = CSSInliner::new(options).inline(&conditional_styles_left_out(&masked, numbered));
    let inlined = inlined.map_err(|error| (1, format!("CSS: {error}")))?;
    let styles: RefCell<BTreeMap<usize, String>> = RefCell::default();
    self::numbered(&inlined, |element, _| {
        let number = element.get_attribute(NUMBER).and_then(|number| number.parse().ok());
        styles.borrow_mut().extend(number.zip(element.get_attribute("style")));
        Ok(())
    })?;
    let styles = styles.into_inner();
    let html = self::numbered(&masked.html, |element, number| match styles.get(&number) {
        Some(style) if element.get_attribute("style").as_ref() != Some(style) => element.set_attribute("style", style),
        _ => Ok(()),
    })?;
    Ok(masked.restored(&html))
}

/// The attribute that numbers elements while styles are worked out.
const NUMBER: &str = "data-number";

/// Does something with each element, which is handed over with its number.
fn numbered(
    html: &str,
    mut each: impl FnMut(&mut Element<'_, '_>, usize) -> Result<(), AttributeNameError>,
) -> Result<String, Problem> {
    let mut number = 0;
    rewritten(
        html,
        element!("*", move |element: &mut Element<'_, '_>| {
            number += 1;
            Ok(each(element, number)?)
        }),
    )
}

/// Styles that hold statements are not written into elements: nobody knows yet whether they are to hold.
fn conditional_styles_left_out(masked: &Masked<'_>, mut html: String) -> String {
    let lower = html.to_ascii_lowercase();
    for (at, _) in lower.rmatch_indices("<style") {
        let end = lower[at..].find("</style").map_or(lower.len(), |end| at + end);
        if masked.restored(&html[at..end]).contains("{%") {
            html.insert_str(at + "<style".len(), " data-css-inline=\"ignore\"");
        }
    }
    html
}

/// Says the language and the direction, where the template does not: on `<html>`, or around what has none.
fn told(source: &str, tag: &Tag) -> Result<String, Problem> {
    let masked = Masked::new(source);
    let (language, direction) = (tag.to_string(), tag.direction().as_str());
    let is_document = Rc::new(Cell::new(false));
    let seen = is_document.clone();
    let says = [("lang", language.clone()), ("dir", direction.to_owned())];
    let each = element!("html", move |element: &mut Element<'_, '_>| {
        seen.set(true);
        for (name, value) in says.iter().filter(|(name, _)| !element.has_attribute(name)).cloned().collect::<Vec<_>>() {
            element.set_attribute(name, &value)?;
        }
        Ok(())
    });
    let html = masked.restored(&rewritten(&masked.html, each)?);
    Ok(if is_document.get() { html } else { format!("<div lang=\"{language}\" dir=\"{direction}\">{html}</div>") })
}

type Handler<'h> = (Cow<'h, Selector>, ElementContentHandlers<'h>);

fn rewritten(html: &str, handler: Handler<'_>) -> Result<String, Problem> {
    let settings = RewriteStrSettings::new().append_element_content_handler(handler);
    rewrite_str(html, settings).map_err(|error| (1, format!("HTML: {error}")))
}

#[cfg(test)]
mod tests;
