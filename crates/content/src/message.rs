//! Templates of messages to one person, made ready.

use std::collections::BTreeMap;

use vocabulary::{MessageTemplate, Snippet};

use crate::{ContentError, Given, Library};

/// The name of a template's only copy in its library.
pub const TEMPLATE_COPY: &str = "content";

/// Compiles the content of a template with the snippets there are; [`TEMPLATE_COPY`] names it in the library.
///
/// # Errors
/// The first thing that is wrong with it, with part and line; and [`ContentError::NoPool`] where it asks for a coupon.
pub fn compile_template(template: &MessageTemplate, snippets: &[Snippet]) -> Result<Library, ContentError> {
    let copies = BTreeMap::from([(TEMPLATE_COPY.to_owned(), template.content.clone())]);
    let library = Library::compile_with(&copies, template.channel, Given { snippets, ..Given::default() })?;
    if library.uses_coupon(TEMPLATE_COPY) {
        return Err(ContentError::NoPool);
    }
    Ok(library)
}
