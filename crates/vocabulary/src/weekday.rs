//! The days of the week, as they are written in experiments, campaigns and rules.

use jiff::civil;

use crate::words::words;

words!(
    /// A day of the week.
    Weekday {
        /// Monday.
        Monday = "mon",
        /// Tuesday.
        Tuesday = "tue",
        /// Wednesday.
        Wednesday = "wed",
        /// Thursday.
        Thursday = "thu",
        /// Friday.
        Friday = "fri",
        /// Saturday.
        Saturday = "sat",
        /// Sunday.
        Sunday = "sun",
    }
);

impl From<Weekday> for civil::Weekday {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_words_in_the_order_of_the_week() {
        for (place, day) in (0..).zip(Weekday::ALL) {
            let text = format!("{:?}", civil::Weekday::from(*day)).to_lowercase();
            assert_eq!(day.as_str(), &text[..3]);
            assert_eq!((civil::Weekday::from(*day).to_monday_zero_offset(), *day as i8), (place, place));
            assert_eq!(serde_json::from_str::<Weekday>(&format!("\"{day}\"")).unwrap(), *day);
        }
        assert_eq!("monday".parse::<Weekday>(), Err("`monday` is not one of mon, tue, wed, thu, fri, sat, sun".to_owned()));
    }
}
