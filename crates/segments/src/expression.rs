//! Pieces of SQL: literals that stay literals, and conditions that are joined without losing their brackets.

use jiff::Timestamp;

/// A text as a literal. Within quotes only the quote itself means something to DataFusion; no backslash does.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Texts as a list of literals.
pub(crate) fn texts<'a>(list: impl IntoIterator<Item = &'a str>) -> String {
    list.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A point in time as a literal. The query engine gives it the column's precision and zone, so that files are skipped by it.
pub(crate) fn time(time: Timestamp) -> String {
    format!("TIMESTAMP '{time}'")
}

/// A condition in SQL. `Is` holds one comparison that can stand beside AND and OR without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Is(String),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    /// Where the condition is false or null.
    Not(Box<Expression>),
}

impl Expression {
    pub(crate) fn is(text: impl Into<String>) -> Self {
        Self::Is(text.into())
    }

    /// All of them, those of an `All` among them one by one.
    pub(crate) fn all(list: impl IntoIterator<Item = Self>) -> Self {
        let flat = list.into_iter().flat_map(|one| match one {
            Self::All(list) => list,
            one => vec![one],
        });
        alone(flat.collect()).unwrap_or_else(Self::All)
    }

    /// Any of them, those of an `Any` among them one by one.
    pub(crate) fn any(list: impl IntoIterator<Item = Self>) -> Self {
        let flat = list.into_iter().flat_map(|one| match one {
            Self::Any(list) => list,
            one => vec![one],
        });
        alone(flat.collect()).unwrap_or_else(Self::Any)
    }

    /// Whether it is false or null.
    ///
    /// AND and OR may take null for false as far as what is true at the end goes, since more truth in never makes less truth out.
    /// So only where a condition is turned around must null become false first: that is what IS NOT TRUE does.
    pub(crate) fn not(inner: Self) -> Self {
        Self::Not(Box::new(inner))
    }

    /// What stands behind WHERE.
    pub(crate) fn clause(&self) -> String {
        let joined = |list: &[Self], word: &str| list.iter().map(|one| one.within(4)).collect::<Vec<_>>().join(word);
        match self {
            Self::All(list) => joined(list, "\n    AND "),
            Self::Any(list) => joined(list, "\n    OR "),
            other => other.within(0),
        }
    }

    /// As a part of another condition whose lines begin `indent` spaces from the left.
    fn within(&self, indent: usize) -> String {
        let joined = |list: &[Self], word: &str| {
            let pad = " ".repeat(indent + 4);
            let list: Vec<_> = list.iter().map(|one| one.within(indent + 4)).collect();
            format!("(\n{pad}{}\n{})", list.join(&format!("\n{pad}{word} ")), " ".repeat(indent))
        };
        match self {
            Self::Is(text) => text.clone(),
            Self::All(list) => joined(list, "AND"),
            Self::Any(list) => joined(list, "OR"),
            Self::Not(inner) => match **inner {
                Self::Is(_) | Self::Not(_) => format!("({}) IS NOT TRUE", inner.within(indent)),
                Self::All(_) | Self::Any(_) => format!("{} IS NOT TRUE", inner.within(indent)),
            },
        }
    }
}

/// The only one of a list, or the list.
fn alone(list: Vec<Expression>) -> Result<Expression, Vec<Expression>> {
    <[Expression; 1]>::try_from(list).map(|[one]| one)
}
