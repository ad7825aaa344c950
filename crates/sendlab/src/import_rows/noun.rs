//! What differs between files of events and files of contacts.

use api::fields::{FIELDS, Field, field};
use api::{CONTACT_FIELDS, line};
use vocabulary::Timestamp;

use super::plan::Fault;

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Event,
    Contact,
}

impl Noun {
    /// Its fields.
    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::Event => FIELDS,
            Self::Contact => CONTACT_FIELDS,
        }
    }

    /// The field of that name.
    pub(crate) fn field(self, name: &str) -> Option<&'static Field> {
        match self {
            Self::Event => field(name),
            Self::Contact => CONTACT_FIELDS.iter().find(|field| field.name == name),
        }
    }

    /// For sentences.
    pub(crate) fn a(self) -> &'static str {
        match self {
            Self::Event => "an event",
            Self::Contact => "a contact",
        }
    }

    /// Fields that are not in the list, for sentences.
    pub(crate) fn open_fields(self) -> &'static str {
        match self {
            Self::Event => "",
            Self::Contact => " and attributes.NAME",
        }
    }

    /// The field whom a row is about, without which no row is any good.
    pub(crate) fn who(self) -> &'static str {
        match self {
            Self::Event => "contact",
            Self::Contact => "key",
        }
    }

    /// Reads a line as the server would.
    pub(crate) fn check(self, json: &[u8], now: Timestamp) -> Result<(), Fault> {
        let read = match self {
            Self::Event => line::read(json, now, |_| ()),
            Self::Contact => api::read_contact(json).map(drop),
        };
        read.map_err(|fault| Fault { field: fault.field.unwrap_or_default(), reason: fault.reason })
    }
}
