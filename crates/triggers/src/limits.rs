//! How much a trigger may ask for, and how much is remembered of a contact: a state is kept for each contact and trigger.

/// The most days of any time: two years, longer than a message can refer back to.
pub const DAYS_MAX: u32 = 730;
/// The most hours of any time: 31 days. For more, days are meant.
pub const HOURS_MAX: u32 = 24 * 31;
/// The most minutes of any time: a day. For more, hours are meant.
pub const MINUTES_MAX: u32 = 24 * 60;
/// The most days before a birthday.
pub const BIRTHDAY_DAYS_MAX: u32 = 60;
/// The largest price drop to wait for, in percent.
pub const PERCENT_MAX: u32 = 99;
/// The longest description, in bytes: a few sentences.
pub const DESCRIPTION_BYTES_MAX: usize = 1000;
/// Products that a contact saw and that are remembered. Of more, those seen longest ago are forgotten.
pub const PRODUCTS_MAX: usize = 50;
/// Payments of a contact that are remembered by their time. Of more, the oldest two are joined and count as of the later time.
pub const PAYMENTS_MAX: usize = 200;
