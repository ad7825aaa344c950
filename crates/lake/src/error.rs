//! What can go wrong in the lake. Each variant names the operation that failed; the cause is its source.

use std::path::PathBuf;

/// Why the lake could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// Another process has the folder open.
    #[error("the lake {} is open in {holder}; stop that process or choose another data folder", root.display())]
    Locked {
        /// The folder.
        root: PathBuf,
        /// Who holds it, such as `process 4711`.
        holder: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried, such as `write`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A sealed log segment does not hold what was written to it.
    #[error("the log segment {} is damaged at byte {offset}: {why}", path.display())]
    LogDamaged {
        /// The segment.
        path: PathBuf,
        /// Where its first unreadable frame begins.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// The events could not be made durable; none of them counts as told.
    #[error("the events could not be stored; send them again: {why}")]
    NotDurable {
        /// What went wrong with the log.
        why: String,
    },
    /// More is waiting for the disk than memory allows; nothing was kept.
    #[error("the disk is behind; send the events again in {retry_after_seconds} s")]
    Busy {
        /// How long to wait.
        retry_after_seconds: u64,
    },
    /// The place of the tables cannot be used.
    #[error("the tables cannot be kept at {place}: {why}")]
    BadPlace {
        /// As it was written.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object could not be read or written.
    #[error("cannot {operation} {object}")]
    Store {
        /// What was tried, such as `write`.
        operation: &'static str,
        /// Which object.
        object: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A version of a table that never was or is no longer kept.
    #[error("{0}")]
    NoVersion(String),
    /// A Delta table could not be read or changed.
    #[error("cannot {operation} the table {table}")]
    Table {
        /// What was tried, such as `commit to`.
        operation: &'static str,
        /// The table.
        table: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The statement is no query. The text says what is allowed.
    #[error("{0}")]
    Refused(String),
    /// The query is wrong: it cannot be parsed or planned, or fails on the data.
    #[error("{message}")]
    Query {
        /// What is wrong.
        message: String,
        /// What would be right, where that can be guessed.
        hint: Option<String>,
    },
    /// The query ran into a limit. The text names the limit and what to do.
    #[error("{0}")]
    Limit(String),
    /// The query took too much time and was stopped.
    #[error("the query ran longer than {seconds_max} seconds and was stopped; look at fewer days or columns")]
    TooLong {
        /// How long it was allowed to run.
        seconds_max: u64,
    },
    /// The query got no place to run. The text says why.
    #[error("{why}")]
    Crowded {
        /// Who is in the way.
        why: String,
        /// When it is worth trying again.
        retry_after_seconds: u64,
    },
    /// A query of the lake's own failed.
    #[error("cannot {operation}")]
    Internal {
        /// What was tried, such as `observe the experiment`.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A plan file does not hold a plan.
    #[error("{} is no plan: {why}", path.display())]
    BadPlan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file to import cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// One row of a file to import cannot be read; those after it can.
    #[error("cannot read {}, line {line}: {why}", path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The line on which the row begins, from 1.
        line: u64,
        /// What is wrong with it and what would be right.
        why: String,
        /// The row's fields as far as they can be read.
        values: Vec<Option<String>>,
    },
    /// A stream of Arrow record batches cannot be read.
    #[error("the Arrow stream cannot be read: {why}")]
    BadStream {
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A test stopped the work at this point.
    #[error("stopped at {0:?}, as asked")]
    Stopped(crate::faults::Point),
}

impl LakeError {
    /// Whether the caller can mend it by asking for something else; all other errors are the server's.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::Query { .. }
                | Self::Limit(_)
                | Self::TooLong { .. }
                | Self::BadFile { .. }
                | Self::BadRow { .. }
                | Self::BadStream { .. }
                | Self::NoVersion(_)
        )
    }

    pub(crate) fn file(operation: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }

    pub(crate) fn table<E: std::error::Error + Send + Sync + 'static>(
        operation: &'static str,
        table: &str,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let table = table.to_owned();
        move |source| Self::Table { operation, table, source: Box::new(source) }
    }

    pub(crate) fn internal<E: std::error::Error + Send + Sync + 'static>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Internal { operation, source: Box::new(source) }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
