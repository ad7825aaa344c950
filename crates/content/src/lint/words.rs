//! Where a word or a number stands in a text.

/// Where a word stands first, without regard to case. A word that begins or ends with a letter or digit of a script that puts
/// spaces between words must stand alone there: `win` is not in `window`.
pub(super) fn find_word(text: &str, word: &str) -> Option<usize> {
    let first = word.chars().next()?;
    let mut before = None;
    for (place, character) in text.char_indices() {
        let begins_alone = !is_spaced(first) || before.is_none_or(|before| !is_spaced(before));
        if begins_alone && is_same(character, first) && starts_with(&text[place..], word) {
            return Some(place);
        }
        before = Some(character);
    }
    None
}

/// Where a number stands first that is no part of a longer one, nor of a price, a time or a date.
pub(super) fn find_number(text: &str, number: &str) -> Option<usize> {
    let glue = |character: char| matches!(character, '.' | ',' | ':' | '/' | '-');
    let is_digit = |character: char| character.is_ascii_digit() || ('０'..='９').contains(&character);
    let mut from = 0;
    while let Some(place) = text[from..].find(number).map(|offset| from + offset) {
        let end = place + number.len();
        let mut before = text[..place].chars().rev();
        let mut after = text[end..].chars();
        let joins = |next: Option<char>, beyond: Option<char>| {
            next.is_some_and(is_digit) || (next.is_some_and(glue) && beyond.is_some_and(is_digit))
        };
        let letter_before = text[..place].chars().next_back().is_some_and(is_spaced);
        let letter_after = text[end..].chars().next().is_some_and(is_spaced);
        if !joins(before.next(), before.next()) && !joins(after.next(), after.next()) && !letter_before && !letter_after {
            return Some(place);
        }
        from = end;
    }
    None
}

fn starts_with(text: &str, word: &str) -> bool {
    let mut characters = text.chars();
    let is_there = word.chars().all(|expected| characters.next().is_some_and(|found| is_same(found, expected)));
    let last = word.chars().next_back();
    is_there && (!last.is_some_and(is_spaced) || characters.next().is_none_or(|after| !is_spaced(after)))
}

fn is_same(one: char, other: char) -> bool {
    one == other || one.to_lowercase().eq(other.to_lowercase())
}

/// Letters and digits of scripts that write words apart: all but those of China, Japan, Korea, and of Thailand and its
/// neighbours.
fn is_spaced(character: char) -> bool {
    let is_joined = matches!(character, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{11FF}' | '\u{1780}'..='\u{17FF}')
        || matches!(character, '\u{2E80}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FFEF}');
    character.is_alphanumeric() && !is_joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_alone_where_spaces_part_them() {
        let check = |text: &str, word: &str, expect: Option<usize>| assert_eq!(find_word(text, word), expect, "{word} in {text}");
        check("Win a prize", "win", Some(0));
        check("a window, a WIN", "win", Some(12));
        check("window", "win", None);
        check("全国最佳价格", "最佳", Some(6));
        check("ราคาถูกที่สุด", "ถูก", Some(12));
        check("국내 최초입니다", "국내 최초", Some(0));
        check("Ünlü ÇAY", "çay", Some(7));
        check("ok 👍!", "👍", Some(3));
        check("", "free", None);
    }

    #[test]
    fn numbers_stand_alone() {
        let check = |text: &str, expect: Option<usize>| assert_eq!(find_number(text, "4"), expect, "{text}");
        check("buy 4 get 1", Some(4));
        check("买4送1", Some(3));
        check("4 % off", Some(0));
        for text in ["4.99 €", "3.4", "14", "40", "at 4:30", "2026-4-1", "A4", "4th", "1,4"] {
            check(text, None);
        }
        check("14 or 4.", Some(6));
    }
}
