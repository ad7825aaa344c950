//! Forms that people write in YAML and JSON and that serde has no word for: a block of one key, a number that is kept as it was
//! written.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};

/// Digits of a number that a 64-bit floating point number always gives back as they were written.
const FLOAT_DIGITS_MAX: usize = 15;

/// Something that is written as a block of one key, such as `country: [DE, AT]`. Two keys in a block would leave open how they are
/// joined.
pub trait Block: Sized {
    /// What stands there, for errors: `a condition such as ...`.
    const EXPECTING: &'static str;
    /// What a second key is, and the fix: `is a second condition in one block; ...`.
    const SECOND: &'static str;

    /// Reads the block, whatever else stands in it.
    ///
    /// # Errors
    /// What the reader says.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a block of one key.
///
/// # Errors
/// Where it is no block, or one of more keys.
pub fn one_key<'de, T: Block, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(OneKey(PhantomData))
}

struct OneKey<T>(PhantomData<T>);

impl<'de, T: Block> Visitor<'de> for OneKey<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTING)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let block = T::read(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<String>()? {
            None => Ok(block),
            Some(key) => Err(A::Error::custom(format!("`{key}` {}", T::SECOND))),
        }
    }
}

/// Reads a number, or a text, by the digits that were written: 0.1 is not the nearest binary fraction. `expecting` names it in
/// errors.
///
/// # Errors
/// Where it is neither, has too many digits for a number, or `read` refuses it.
pub fn number_or_text<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
    read: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(NumberOrText { expecting, read })
}

struct NumberOrText<T> {
    expecting: &'static str,
    read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        // The shortest text that is read as the same number: what was written, if it had few enough digits.
        let text = number.to_string();
        if text.bytes().filter(u8::is_ascii_digit).count() > FLOAT_DIGITS_MAX {
            return Err(E::custom(format!("{text} has too many digits to be kept exactly as a number; write it in quotes")));
        }
        self.visit_str(&text)
    }
}
