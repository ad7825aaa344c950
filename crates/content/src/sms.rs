//! How many text messages a text becomes: the GSM 7-bit alphabet, UCS-2, and the parts of a long message.
//!
//! Networks carry and bill segments of 140 bytes. 3GPP TS 23.038 (once GSM 03.38) gives most Latin letters 7 bits, some
//! signs twice that, and everything else 16 bits for *every* character of the message; 3GPP TS 23.040 takes 6 bytes of
//! each segment for the header that puts a long message together again. So one curly quote can double what a campaign
//! costs, which is why [`Segments`] names the character.
//!
//! The national tables of 23.038 are left out: networks use them only by agreement, and none reads them everywhere.

use std::ops::Range;

/// Septets in a message of one segment: 140 bytes of 8 bits hold 160 of 7.
pub const GSM7_UNITS_ALONE: usize = 160;
/// Septets in a segment of a long message: the header takes 7 of them.
pub const GSM7_UNITS_EACH: usize = 153;
/// UTF-16 units in a message of one segment.
pub const UCS2_UNITS_ALONE: usize = 70;
/// UTF-16 units in a segment of a long message: the header takes 3 of them.
pub const UCS2_UNITS_EACH: usize = 67;
/// The most segments a message may have: the header counts them in one byte (3GPP TS 23.040, 9.2.3.24.1).
pub const SEGMENTS_MAX: usize = 255;

/// The basic table of 3GPP TS 23.038, 6.2.1, without the escape to the other.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                     abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table of 6.2.1.1: each takes an escape and a septet.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// What is written for what the alphabet lacks: the replacement, and all it replaces.
const INSTEAD: &[(&str, &str)] = &[
    ("'", "‘’‚‛′`´ʼ＇"),
    ("\"", "“”„‟«»″＂"),
    ("-", "‐‑‒–—―−•·"),
    ("...", "…"),
    (" ", "\t\u{a0}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{202f}\u{3000}"),
    ("", "\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{200e}\u{200f}\u{fe0f}"),
    ("\n", "\u{2028}\u{2029}\u{85}"),
    ("a", "áâãāăąª"),
    ("A", "ÀÁÂÃĀĂĄ"),
    ("c", "çćĉċč"),
    ("C", "ĆĈĊČ"),
    ("d", "ďđ"),
    ("D", "ĎĐ"),
    ("e", "êëēĕėęě"),
    ("E", "ÈÊËĒĔĖĘĚ"),
    ("g", "ĝğġģ"),
    ("G", "ĜĞĠĢ"),
    ("h", "ĥħ"),
    ("H", "ĤĦ"),
    ("i", "íîïĩīĭįı"),
    ("I", "ÌÍÎÏĨĪĬĮİ"),
    ("j", "ĵ"),
    ("J", "Ĵ"),
    ("k", "ķ"),
    ("K", "Ķ"),
    ("l", "ĺļľŀł"),
    ("L", "ĹĻĽĿŁ"),
    ("n", "ńņň"),
    ("N", "ŃŅŇ"),
    ("o", "óôõōŏőº"),
    ("O", "ÒÓÔÕŌŎŐ"),
    ("r", "ŕŗř"),
    ("R", "ŔŖŘ"),
    ("s", "śŝşšș"),
    ("S", "ŚŜŞŠȘ"),
    ("t", "ţťŧț"),
    ("T", "ŢŤŦȚ"),
    ("u", "úûũūŭůűų"),
    ("U", "ÙÚÛŨŪŬŮŰŲ"),
    ("w", "ŵ"),
    ("W", "Ŵ"),
    ("y", "ýÿŷ"),
    ("Y", "ÝŶŸ"),
    ("z", "źżž"),
    ("Z", "ŹŻŽ"),
    ("oe", "œ"),
    ("OE", "Œ"),
    ("TM", "™"),
    ("(c)", "©"),
    ("(R)", "®"),
    ("x", "×"),
    ("1/2", "½"),
    ("1/4", "¼"),
    ("3/4", "¾"),
    ("<", "‹"),
    (">", "›"),
    ("Rs", "₹"),
    ("->", "→"),
    ("<-", "←"),
];

/// How the characters of a message are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Seven bits each, or twice seven.
    Gsm7,
    /// Sixteen bits each, or twice sixteen.
    Ucs2,
}

impl Encoding {
    /// How many units a message of one segment holds.
    #[must_use]
    pub fn units_alone(self) -> usize {
        match self {
            Self::Gsm7 => GSM7_UNITS_ALONE,
            Self::Ucs2 => UCS2_UNITS_ALONE,
        }
    }

    /// How many units each segment of a long message holds.
    #[must_use]
    pub fn units_each(self) -> usize {
        match self {
            Self::Gsm7 => GSM7_UNITS_EACH,
            Self::Ucs2 => UCS2_UNITS_EACH,
        }
    }

    /// How many units a character takes; a pair is never parted.
    fn units_of(self, character: char) -> usize {
        match self {
            Self::Gsm7 if EXTENSION.contains(character) => 2,
            Self::Gsm7 => 1,
            Self::Ucs2 => character.len_utf16(),
        }
    }
}

/// The first character that the GSM alphabet lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Culprit {
    /// The character.
    pub character: char,
    /// How many characters stand before it.
    pub index: usize,
    /// Its line, from 1.
    pub line: usize,
    /// What could be written in its place; empty where it can be left out, `None` where nothing would do.
    pub instead: Option<&'static str>,
}

/// What a text needs on the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// How its characters are written.
    pub encoding: Encoding,
    /// How many units they take: septets, where a sign of the extension table counts two, or UTF-16 units, where a
    /// character beyond the basic plane does.
    pub units: usize,
    /// How many segments are sent and billed; none for an empty text. More than [`SEGMENTS_MAX`] cannot be sent.
    pub segments: usize,
    /// How many units are free in the last segment, or in a first one for an empty text.
    pub units_left: usize,
    /// Why it is not the GSM alphabet, where it is not.
    pub culprit: Option<Culprit>,
}

impl Segments {
    /// Counts the segments of a text, in one pass or two and without allocating.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let culprit = culprit(text);
        let encoding = if culprit.is_none() { Encoding::Gsm7 } else { Encoding::Ucs2 };
        let units = text.chars().map(|character| encoding.units_of(character)).sum();
        let mut parts = Parts::new(text, encoding, units);
        let (mut segments, mut units_last) = (0, 0);
        while let Some((_, used)) = parts.next_part() {
            segments += 1;
            units_last = used;
        }
        let units_max = if segments > 1 { encoding.units_each() } else { encoding.units_alone() };
        Self { encoding, units, segments, units_left: units_max - units_last, culprit }
    }
}

/// The parts in which a text is sent: each fits into a segment, and together they are the text. An empty text has none.
#[must_use]
pub fn split(text: &str) -> Vec<&str> {
    let Segments { encoding, units, .. } = Segments::of(text);
    let mut parts = Parts::new(text, encoding, units);
    let mut found = Vec::new();
    while let Some((part, _)) = parts.next_part() {
        found.push(&text[part]);
    }
    found
}

/// Whether the GSM alphabet has the character, in one of its two tables.
#[must_use]
pub fn is_gsm7(character: char) -> bool {
    BASIC.contains(character) || EXTENSION.contains(character)
}

/// What could be written in the GSM alphabet in place of a character: empty where it can be left out, `None` where nothing
/// would do.
#[must_use]
pub fn instead_of(character: char) -> Option<&'static str> {
    INSTEAD.iter().find(|(_, replaced)| replaced.contains(character)).map(|(instead, _)| *instead)
}

fn culprit(text: &str) -> Option<Culprit> {
    let mut line = 1;
    for (index, character) in text.chars().enumerate() {
        if !is_gsm7(character) {
            return Some(Culprit { character, index, line, instead: instead_of(character) });
        }
        line += usize::from(character == '\n');
    }
    None
}

/// Walks over a text, a segment at a time.
struct Parts<'a> {
    text: &'a str,
    encoding: Encoding,
    units_max: usize,
    at: usize,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str, encoding: Encoding, units: usize) -> Self {
        let is_alone = units <= encoding.units_alone();
        let units_max = if is_alone { encoding.units_alone() } else { encoding.units_each() };
        Self { text, encoding, units_max, at: 0 }
    }

    /// The place of the next part, and how many units it uses: one less than it could where a pair stands at the edge.
    fn next_part(&mut self) -> Option<(Range<usize>, usize)> {
        let start = self.at;
        let mut used = 0;
        for (offset, character) in self.text[start..].char_indices() {
            let units = self.encoding.units_of(character);
            if used + units > self.units_max {
                break;
            }
            used += units;
            self.at = start + offset + character.len_utf8();
        }
        (used > 0).then_some((start..self.at, used))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, encoding: Encoding, units: usize, segments: usize, units_left: usize) {
        let found = Segments::of(text);
        let told = (found.encoding, found.units, found.segments, found.units_left);
        assert_eq!(told, (encoding, units, segments, units_left), "{text:?}");
    }

    #[test]
    fn the_gsm_alphabet_has_its_128_places() {
        assert_eq!(BASIC.chars().count(), 127, "and the escape");
        assert_eq!(EXTENSION.chars().count(), 10);
        assert!(BASIC.chars().all(|character| !EXTENSION.contains(character)), "no character is in both tables");
        assert!(!is_gsm7('`') && !is_gsm7('ç') && is_gsm7('Ç') && is_gsm7('€'), "the usual surprises");
    }

    #[test]
    fn what_is_proposed_is_in_the_alphabet_and_what_it_replaces_is_not() {
        for (instead, replaced) in INSTEAD {
            assert!(instead.chars().all(is_gsm7), "{instead}");
            for character in replaced.chars() {
                assert!(!is_gsm7(character), "{character:?} needs no replacement");
                assert_eq!(instead_of(character), Some(*instead), "{character:?} is replaced in one way");
            }
        }
        assert_eq!(instead_of('猫'), None);
    }

    #[test]
    fn segments_of_gsm_7() {
        use Encoding::Gsm7;
        check("", Gsm7, 0, 0, 160);
        check("Hello", Gsm7, 5, 1, 155);
        check(&"a".repeat(160), Gsm7, 160, 1, 0);
        check(&"a".repeat(161), Gsm7, 161, 2, 145);
        check(&"a".repeat(306), Gsm7, 306, 2, 0);
        check(&"a".repeat(307), Gsm7, 307, 3, 152);
        check(&"€".repeat(80), Gsm7, 160, 1, 0);
        // Each segment holds 76 pairs and leaves a septet unused.
        check(&"€".repeat(81), Gsm7, 162, 2, 143);
        check(&"€".repeat(153), Gsm7, 306, 3, 151);
    }

    #[test]
    fn segments_of_ucs_2() {
        use Encoding::Ucs2;
        check(&"猫".repeat(70), Ucs2, 70, 1, 0);
        check(&"猫".repeat(71), Ucs2, 71, 2, 63);
        check(&"😀".repeat(35), Ucs2, 70, 1, 0);
        // Each segment holds 33 pairs and leaves a unit unused.
        check(&"😀".repeat(67), Ucs2, 134, 3, 65);
        check("€[]猫", Ucs2, 4, 1, 66);
    }

    #[test]
    fn the_character_that_costs_is_named() {
        let culprit = |text| Segments::of(text).culprit;
        assert_eq!(culprit("plain {text} for 5 €"), None);
        let curly = culprit("first\nit’s “here”").expect("the quote is outside");
        assert_eq!((curly.character, curly.index, curly.line, curly.instead), ('’', 8, 2, Some("'")));
        assert_eq!(culprit("猫").expect("no GSM letter").instead, None);
        assert_eq!(culprit("a\u{200b}b").expect("no GSM letter").instead, Some(""));
    }

    /// Letters of both tables, a curly quote, a Chinese character and one beyond the basic plane.
    fn texts() -> impl Strategy<Value = String> {
        let gsm = "[a-zé€{|\n]{0,400}";
        let any = "[a-z€{\n’猫😀]{0,300}";
        prop_oneof![gsm.prop_map(String::from), any.prop_map(String::from), any_text()]
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..200).prop_map(|characters| characters.into_iter().collect())
    }

    /// The sizes of segments, computed on the units themselves: cut at the limit, one earlier where a pair would be parted.
    fn sizes_by_units(text: &str) -> (usize, Vec<usize>) {
        const ESCAPE: u16 = 0x1b;
        let is_gsm = text.chars().all(is_gsm7);
        let (alone, each) = if is_gsm { (160, 153) } else { (70, 67) };
        let mut units: Vec<u16> = Vec::new();
        if is_gsm {
            for character in text.chars() {
                if EXTENSION.contains(character) {
                    units.push(ESCAPE);
                }
                units.push(0);
            }
        } else {
            units.extend(text.encode_utf16());
        }
        let is_first_of_pair = |unit: u16| if is_gsm { unit == ESCAPE } else { (0xd800..0xdc00).contains(&unit) };
        let count = units.len();
        if count <= alone {
            return (count, if count == 0 { vec![] } else { vec![count] });
        }
        let (mut sizes, mut rest) = (Vec::new(), units.as_slice());
        while !rest.is_empty() {
            let mut size = rest.len().min(each);
            if size < rest.len() && is_first_of_pair(rest[size - 1]) {
                size -= 1;
            }
            sizes.push(size);
            rest = &rest[size..];
        }
        (count, sizes)
    }

    proptest! {
        #[test]
        fn parts_are_the_text_and_fit(text in texts()) {
            let found = Segments::of(&text);
            let parts = split(&text);
            prop_assert_eq!(parts.concat(), text.clone());
            prop_assert_eq!(parts.len(), found.segments);
            let (units, sizes) = sizes_by_units(&text);
            prop_assert_eq!(found.units, units);
            let is_gsm = found.encoding == Encoding::Gsm7;
            let size = |part: &&str| match is_gsm {
                true => part.chars().map(|character| 1 + usize::from(EXTENSION.contains(character))).sum(),
                false => part.encode_utf16().count(),
            };
            prop_assert_eq!(parts.iter().map(size).collect::<Vec<usize>>(), sizes.clone());
            let units_max = match (is_gsm, sizes.len() > 1) {
                (true, false) => 160,
                (true, true) => 153,
                (false, false) => 70,
                (false, true) => 67,
            };
            prop_assert!(sizes.iter().all(|size| *size <= units_max));
            prop_assert_eq!(found.units_left, units_max - sizes.last().copied().unwrap_or(0));
        }

        #[test]
        fn the_culprit_is_the_first_outside_the_alphabet(text in texts()) {
            let outside = text.chars().position(|character| !is_gsm7(character));
            let culprit = Segments::of(&text).culprit;
            prop_assert_eq!(culprit.map(|culprit| culprit.index), outside);
            if let Some(culprit) = culprit {
                let before: String = text.chars().take(culprit.index).collect();
                prop_assert_eq!(culprit.line, before.split('\n').count());
            }
        }
    }
}
