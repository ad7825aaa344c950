//! How much a segment may hold. A segment is read by people and planned by the query engine, and both give up long before memory
//! does.

/// How deep conditions may stand in each other. Nobody follows more, and whatever walks the tree is recursive.
pub const DEPTH_MAX: usize = 8;
/// Conditions in a segment, those that join others included.
pub const CONDITIONS_MAX: usize = 100;
/// Values in a list: all countries there are, and more than anybody types.
pub const VALUES_MAX: usize = 300;
/// The longest value of a list, in bytes: as long as an id.
pub const VALUE_BYTES_MAX: usize = 128;
/// The longest name of an attribute, in bytes: as long as contacts can have.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
/// The longest value of an attribute, in bytes: as long as contacts can have.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1024;
/// The longest description, in bytes: a few sentences.
pub const DESCRIPTION_BYTES_MAX: usize = 1000;
/// The longest `sql`, in bytes.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// The most days to look back: ten years, longer than behaviour says anything.
pub const DAYS_MAX: u32 = 3660;
/// The most hours to look back: 31 days. For more, days are meant.
pub const HOURS_MAX: u32 = 24 * 31;
/// The most days to look ahead for birthdays: half a year. Beyond, nearly everybody has one.
pub const BIRTHDAY_DAYS_MAX: u32 = 183;
/// The highest count to compare with. Nobody orders or opens more often.
pub const COUNT_MAX: u32 = 1_000_000;
/// The highest age in years. Nobody got older than 122.
pub const AGE_MAX: u32 = 130;
/// Digits of a decimal number before the point: what an amount can have in 64 bits.
pub const WHOLE_DIGITS_MAX: usize = 18;
/// Digits of a decimal number after the point: more than any currency or measure has.
pub const FRACTION_DIGITS_MAX: usize = 9;
