//! The views for analysts: one `.sql` file each, whose head says what a row is and what each column holds.
//!
//! The head is the comment that a file begins with. Its first paragraph says what a row is; `-- column: text` says what a
//! column holds, and goes on in lines that are set in; `-- like: table` takes what is not said from that table's columns of
//! the same names. All else is for readers of the file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The files by the name of their view.
const FILES: &[(&str, &str)] = &[
    ("contact_facts", include_str!("sql/views/contact_facts.sql")),
    ("funnel", include_str!("sql/views/funnel.sql")),
    ("graded_clicks", include_str!("sql/views/graded_clicks.sql")),
    ("graded_opens", include_str!("sql/views/graded_opens.sql")),
    ("human_clicks", include_str!("sql/views/human_clicks.sql")),
    ("human_opens", include_str!("sql/views/human_opens.sql")),
    ("link_clicks", include_str!("sql/views/link_clicks.sql")),
    ("message_outcomes", include_str!("sql/views/message_outcomes.sql")),
];

/// One view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The whole file, which is a query.
    pub(crate) sql: &'static str,
    /// What a row is.
    pub(crate) comment: String,
    /// What each column holds, by its name.
    pub(crate) columns: BTreeMap<String, String>,
    /// The table whose columns explain the others.
    pub(crate) like: Option<String>,
}

/// The view of that name.
pub(crate) fn view(name: &str) -> Option<&'static View> {
    views().get(name)
}

/// All views, by name. They are read once for the whole process.
pub(crate) fn views() -> &'static BTreeMap<&'static str, View> {
    static VIEWS: LazyLock<BTreeMap<&'static str, View>> =
        LazyLock::new(|| FILES.iter().map(|(name, sql)| (*name, read(sql))).collect());
    &VIEWS
}

fn read(sql: &'static str) -> View {
    let mut view = View { sql, ..View::default() };
    let mut first = true;
    let mut column: Option<String> = None;
    for line in sql.lines().map_while(|line| line.strip_prefix("--")) {
        if line.trim().is_empty() {
            (first, column) = (false, None);
        } else if first {
            append(&mut view.comment, line);
        } else if let (Some(column), true) = (&column, line.starts_with("  ")) {
            append(view.columns.get_mut(column).expect("it was put in a line before"), line);
        } else if let Some((name, text)) = line.trim().split_once(": ").filter(|(name, _)| is_name(name)) {
            if name == "like" {
                view.like = Some(text.to_owned());
            } else {
                view.columns.insert(name.to_owned(), text.to_owned());
                column = Some(name.to_owned());
            }
        }
    }
    view
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(line.trim());
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read() {
        let view = read(
            "-- One row\n-- per day.\n--\n-- day: The day,\n--   in UTC.\n-- n: How many.\n--\n-- Why: because\n-- like: orders\nSELECT 1 -- a: b\n",
        );
        assert_eq!(view.comment, "One row per day.");
        let columns: Vec<(&str, &str)> = view.columns.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(columns, [("day", "The day, in UTC."), ("n", "How many.")]);
        assert_eq!(view.like.as_deref(), Some("orders"));
    }

    #[test]
    fn every_view_says_what_a_row_is() {
        for (name, view) in views() {
            assert!(view.comment.ends_with('.'), "{name}: {}", view.comment);
        }
    }
}
