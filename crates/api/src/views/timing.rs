//! Mirrors of days and hours of sending, for the OpenAPI document; see [`super::documents`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents::words;

words!(
    /// A day of the week.
    WeekdayDocument as Weekday {
        /// Monday.
        Mon,
        /// Tuesday.
        Tue,
        /// Wednesday.
        Wed,
        /// Thursday.
        Thu,
        /// Friday.
        Fri,
        /// Saturday.
        Sat,
        /// Sunday.
        Sun,
    }
);
words!(
    /// That an hour is learned.
    LearnedDocument as Learned {
        /// The hour in which the recipient has usually opened and clicked, else people of their market.
        Learned,
    }
);

/// An hour by the recipient's clock: a number from 0 to 23, or `learned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = SendHour)]
pub enum SendHourDocument {
    /// This one, 0 to 23.
    At(u8),
    /// The one that was learned.
    Learned(LearnedDocument),
}
