//! The few shapes a page is made of: sections, paragraphs, lists, tables. Whatever is handed over is text and stays text.

use std::fmt::Write as _;

use analysis::page::escaped;

/// A page that is being written.
#[derive(Default)]
pub(super) struct Html(String);

/// Columns and rows; the first cell of a row names it.
pub(super) struct Table<'a> {
    pub(super) caption: &'a str,
    pub(super) headings: &'a [&'a str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Html {
    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, "<p>{}</p>", prose(text));
    }

    /// The paragraph of a section that is read if no other one is.
    pub(super) fn lead(&mut self, text: &str) {
        let _ = writeln!(self.0, "<p class=\"lead\">{}</p>", prose(text));
    }

    pub(super) fn list(&mut self, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.0.push_str("<ul>\n");
        for item in items {
            let _ = writeln!(self.0, "<li>{}</li>", prose(item));
        }
        self.0.push_str("</ul>\n");
    }

    /// A heading and what stands beneath it. `id` is a word of ours.
    pub(super) fn section(&mut self, id: &str, title: &str, write: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.0, "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>", escaped(title));
        write(self);
        self.0.push_str("</section>\n");
    }

    /// A drawing that is HTML already, with the words beneath it.
    pub(super) fn figure(&mut self, drawing: &str, caption: &str) {
        let _ = writeln!(self.0, "<figure>{drawing}<figcaption>{}</figcaption></figure>", prose(caption));
    }

    /// A table that scrolls by itself where the page is too narrow; nothing where it has no rows.
    pub(super) fn table(&mut self, table: &Table<'_>) {
        if table.rows.is_empty() {
            return;
        }
        let caption = prose(table.caption);
        let label = escaped(table.caption).replace('`', "");
        let _ = write!(self.0, "<div class=\"scroll\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\"><table>");
        let _ = write!(self.0, "<caption>{caption}</caption>\n<thead><tr>");
        let classes: Vec<&str> = (0..table.headings.len()).map(|column| class_of(table, column)).collect();
        for (heading, class) in table.headings.iter().zip(&classes) {
            let _ = write!(self.0, "<th scope=\"col\"{class}>{}</th>", escaped(heading));
        }
        self.0.push_str("</tr></thead>\n<tbody>\n");
        for row in &table.rows {
            self.0.push_str("<tr>");
            for (column, (cell, class)) in row.iter().zip(&classes).enumerate() {
                let _ = match column {
                    0 => write!(self.0, "<th scope=\"row\"{class}>{}</th>", text(cell)),
                    _ => write!(self.0, "<td{class}>{}</td>", text(cell)),
                };
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</tbody></table></div>\n");
    }

    /// What is HTML already.
    pub(super) fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Longer cells are sentences: their lines break.
const CELL_CHARS_MAX: usize = 40;

/// Columns of words stand to the left, columns of numbers to the right.
fn class_of(table: &Table<'_>, column: usize) -> &'static str {
    let cells = || table.rows.iter().filter_map(|row| row.get(column));
    if cells().any(|cell| cell.chars().count() > CELL_CHARS_MAX) {
        return " class=\"word wide\"";
    }
    let is_word = column == 0 || cells().any(|cell| cell.starts_with(char::is_alphabetic));
    if is_word { " class=\"word\"" } else { "" }
}

/// Text as HTML. No line begins with a percent sign.
fn text(text: &str) -> String {
    escaped(text).replace(" %", "\u{a0}%")
}

/// Text as HTML, names between backticks set apart.
pub(super) fn prose(text: &str) -> String {
    let text = self::text(text);
    let pieces: Vec<&str> = text.split('`').collect();
    let is_paired = |index: usize| index + 1 < pieces.len();
    let mut html = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        let _ = match (index % 2 == 1, is_paired(index)) {
            (true, true) => write!(html, "<code>{piece}</code>"),
            (true, false) => write!(html, "`{piece}"),
            (false, _) => write!(html, "{piece}"),
        };
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let check = |text: &str, expect: &str| assert_eq!(prose(text), expect);
        check("a `b` c `d`", "a <code>b</code> c <code>d</code>");
        check("lonely ` one", "lonely ` one");
        check("`a` and ` one", "<code>a</code> and ` one");
        check("<i> & `<b>`", "&lt;i&gt; &amp; <code>&lt;b&gt;</code>");
        check("at 95 %", "at 95\u{a0}%");
        check("", "");
    }
}
