//! What can go wrong in control, each with what was being done.

use std::path::PathBuf;

use vocabulary::{ContactKey, Recommendation};

use crate::FieldError;

/// Why control could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The file or its folder cannot be made or opened.
    #[error("cannot open the control file {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file was opened before with another master key, so no address in it could be read.
    #[error("{path} was made with another master key; hand in the key it was made with")]
    WrongMasterKey {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer Sendlab.
    #[error("the control file has schema version {found}, this Sendlab knows versions up to {known}; run a newer Sendlab")]
    SchemaTooNew {
        /// The version in the file.
        found: i64,
        /// The newest version this code knows.
        known: i64,
    },
    /// A step of the schema failed.
    #[error("cannot bring the control file to schema version {version}")]
    Migrate {
        /// The step.
        version: i64,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("cannot finish {doing}")]
    Query {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Something stored cannot be read back, or something given cannot be stored, as JSON.
    #[error("cannot turn {what} to or from its stored form")]
    Json {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A stored word, number or id is not one this code knows.
    #[error("the control file holds `{value}` as {what}, which is not valid")]
    Stored {
        /// What it should be.
        what: &'static str,
        /// What is there.
        value: String,
    },
    /// A contact's sealed address does not open: the row was changed by another hand.
    #[error("the sealed address of contact {contact} does not open; its row was changed by something other than Sendlab")]
    Unsealed {
        /// The contact.
        contact: ContactKey,
    },
    /// There is no such thing.
    #[error("there is no {noun} `{id}`")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// Its id.
        id: String,
    },
    /// A field cannot be as given.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A contact among those given cannot be as given. None of them was stored.
    #[error("contact number {row}: {source}")]
    InvalidContact {
        /// Which, counted from 1.
        row: usize,
        /// The field and the fix.
        #[source]
        source: FieldError,
    },
    /// It can no longer be changed.
    #[error("{noun} `{id}` can no longer be changed: {reason}")]
    Frozen {
        /// What it is.
        noun: &'static str,
        /// Its id.
        id: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// Another recommendation became current in the meantime.
    #[error("the parent is not the current recommendation; read the current one and decide again")]
    Conflict {
        /// The one that is current now; `None` when there is none yet.
        current: Option<Box<Recommendation>>,
    },
}

impl ControlError {
    /// Says what was being done when a statement failed; for `map_err`.
    pub(crate) fn query(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Query { doing, source }
    }

    /// Says what could not be turned to or from JSON; for `map_err`.
    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }
}
