//! At which hour of the recipient's own day a message is to leave: one that is written down, or the one that was learned.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word for an hour that is learned.
const LEARNED: &str = "learned";

/// The hour by the recipient's clock. It is written as a number from 0 to 23, or as the word `learned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendHour {
    /// This one, 0 to 23.
    At(u8),
    /// The one in which the recipient has usually opened and clicked, else people of their market.
    Learned,
}

impl SendHour {
    /// The hour, where it is written down.
    #[must_use]
    pub fn fixed(self) -> Option<u8> {
        match self {
            Self::At(hour) => Some(hour),
            Self::Learned => None,
        }
    }
}

impl Serialize for SendHour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(hour) => serializer.serialize_u8(*hour),
            Self::Learned => serializer.serialize_str(LEARNED),
        }
    }
}

impl<'de> Deserialize<'de> for SendHour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hour;

        impl Visitor<'_> for Hour {
            type Value = SendHour;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an hour from 0 to 23, or `{LEARNED}`")
            }

            fn visit_u64<E: de::Error>(self, hour: u64) -> Result<SendHour, E> {
                let at = u8::try_from(hour).map(SendHour::At);
                at.map_err(|_| E::custom(format!("is {hour}; an hour is from 0 to 23")))
            }

            fn visit_i64<E: de::Error>(self, hour: i64) -> Result<SendHour, E> {
                let hour = u64::try_from(hour).map_err(|_| E::custom(format!("is {hour}; an hour is from 0 to 23")))?;
                self.visit_u64(hour)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<SendHour, E> {
                if word == LEARNED {
                    return Ok(SendHour::Learned);
                }
                Err(E::custom(format!("is `{word}`; write an hour from 0 to 23, or `{LEARNED}`")))
            }
        }

        deserializer.deserialize_any(Hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_a_number_or_a_word() {
        let check = |text: &str, expect: Result<SendHour, &str>| {
            let read: Result<SendHour, _> = serde_json::from_str(text);
            match expect {
                Ok(hour) => {
                    assert_eq!(read.unwrap(), hour);
                    assert_eq!(serde_json::to_string(&hour).unwrap(), text);
                }
                Err(why) => assert!(read.unwrap_err().to_string().starts_with(why), "{text}"),
            }
        };
        check("0", Ok(SendHour::At(0)));
        check("23", Ok(SendHour::At(23)));
        check("\"learned\"", Ok(SendHour::Learned));
        check("\"lerned\"", Err("is `lerned`; write an hour from 0 to 23, or `learned`"));
        check("300", Err("is 300; an hour is from 0 to 23"));
        check("-1", Err("is -1; an hour is from 0 to 23"));
        check("true", Err("invalid type: boolean `true`, expected an hour from 0 to 23, or `learned`"));
    }
}
