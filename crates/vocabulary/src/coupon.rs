//! Coupon codes that a shop made: what may be one, and the files they come in. A code is worth money, so nothing here tells one: a
//! fault names its line.

/// The longest code. Shops make codes of 6 to 20 characters; beyond this nobody types one in.
pub const CODE_CHARS_MAX: usize = 64;

/// The most codes of one file that are read at once: a second's work to seal and store.
pub const CODES_MAX: usize = 50_000;

/// A coupon code. It has no `Debug` and no `Display`, so that it cannot be logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct CouponCode(Box<str>);

impl CouponCode {
    /// Checks that `text` can be a code: 1 to [`CODE_CHARS_MAX`] letters, digits and signs of ASCII, which every channel carries
    /// and every shop takes. Blanks, quotes and what separates the columns of files are none of them.
    ///
    /// # Errors
    /// What is wrong and what to do, without the code.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; write one code a line".to_owned());
        }
        if text.len() > CODE_CHARS_MAX {
            return Err(format!("is {} bytes long; a code has at most {CODE_CHARS_MAX}", text.len()));
        }
        match text.chars().find(|c| !is_sign(*c)) {
            None => Ok(Self(text.into())),
            Some(',' | ';' | '\t' | '"') => {
                Err("holds a comma, semicolon, tab or quote; send a table as CSV and name its column".to_owned())
            }
            Some(c) if c.is_whitespace() => Err("holds a blank; write one code a line".to_owned()),
            Some(_) => Err("holds a character that no code has; letters, digits and signs such as - _ . are allowed".to_owned()),
        }
    }

    /// The code itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a code may be made of. `< > & '` are left out because mail and text show them differently, the backslash because
/// half of all programs take it for the beginning of something.
fn is_sign(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '&' | '\\' | ',' | ';')
}

/// Why codes are not taken: the first fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CouponFileError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

/// A code and the line it stands on, from 1.
pub type CodeLine = (u64, CouponCode);

/// Reads codes, one a line; blank lines are passed over, and so is the mark some editors begin files with.
///
/// # Errors
/// The first line that is no code.
pub fn read_lines(text: &str) -> Result<Vec<CodeLine>, CouponFileError> {
    let lines = without_mark(text).lines().zip(1..).map(|(line, number)| (number, line.trim()));
    lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| code(number, line)).collect()
}

/// Reads the codes of one column of a CSV file (RFC 4180, also with semicolons or tabs) whose first line names the columns. A
/// file of one column needs no name. Rows without a code are passed over.
///
/// # Errors
/// An unknown column, or the first line that is no code or cannot be read.
pub fn read_csv(text: &str, column: Option<&str>) -> Result<Vec<CodeLine>, CouponFileError> {
    let text = without_mark(text);
    let head = text.lines().next().unwrap_or_default();
    let count = |mark: char| head.matches(mark).count();
    let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|mark| (count(char::from(*mark)), *mark == b',')).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let broken = |error: &csv::Error| CouponFileError {
        line: error.position().map_or(1, csv::Position::line),
        reason: "cannot be read as CSV; look for a quote that is not closed".to_owned(),
    };
    let names = reader.headers().map_err(|error| broken(&error))?;
    let place = match column {
        Some(column) => names.iter().position(|name| name.trim() == column),
        None => (names.len() == 1).then_some(0),
    };
    // The names are not listed: the first line of a file without names is a code.
    let reason = || match column {
        Some(column) => format!("names no column `{column}`; name one that it has"),
        None => format!("has {} columns; name the one that holds the codes", names.len()),
    };
    let place = place.ok_or_else(|| CouponFileError { line: 1, reason: reason() })?;
    let mut codes = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let Some(text) = record.get(place).map(str::trim).filter(|text| !text.is_empty()) else { continue };
        codes.push(code(line, text)?);
    }
    Ok(codes)
}

/// A code that is marked as none, of as many characters as the longest of a pool, so that previews are as long as messages.
#[must_use]
pub fn sample(chars: usize) -> String {
    const MARK: &str = "SAMPLE";
    MARK.chars().chain(std::iter::repeat('X')).take(chars.clamp(MARK.len(), CODE_CHARS_MAX)).collect()
}

fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

fn code(line: u64, text: &str) -> Result<CodeLine, CouponFileError> {
    CouponCode::new(text).map(|code| (line, code)).map_err(|reason| CouponFileError { line, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(codes: Result<Vec<CodeLine>, CouponFileError>) -> Result<Vec<(u64, String)>, String> {
        let told = |codes: Vec<CodeLine>| codes.into_iter().map(|(line, code)| (line, code.as_str().to_owned())).collect();
        codes.map(told).map_err(|error| error.to_string())
    }

    fn expected(codes: &[(u64, &str)]) -> Result<Vec<(u64, String)>, String> {
        Ok(codes.iter().map(|(line, code)| (*line, (*code).to_owned())).collect())
    }

    #[test]
    fn lines_are_codes() {
        let check = |text: &str, expect| assert_eq!(told(read_lines(text)), expect, "{text:?}");
        check("\u{feff}AB-1\r\n\n  ab-1 \nX_y.9#", expected(&[(1, "AB-1"), (3, "ab-1"), (4, "X_y.9#")]));
        check("", expected(&[]));
        check("A\nB,10\n", Err("line 2: holds a comma, semicolon, tab or quote; send a table as CSV and name its column".into()));
        check("A\nB 1", Err("line 2: holds a blank; write one code a line".into()));
        check(
            "早安",
            Err("line 1: holds a character that no code has; letters, digits and signs such as - _ . are allowed".into()),
        );
        check(&"x".repeat(65), Err("line 1: is 65 bytes long; a code has at most 64".into()));
    }

    #[test]
    fn a_column_is_codes() {
        let check =
            |text: &str, column: Option<&str>, expect| assert_eq!(told(read_csv(text, column)), expect, "{text:?} {column:?}");
        let table = "name,code\n\"ten, off\",A1\n,\nx,B2\n";
        check(table, Some("code"), expected(&[(2, "A1"), (4, "B2")]));
        check("name;code\nx;A1\n", Some("code"), expected(&[(2, "A1")]));
        check("code\nA1\n", None, expected(&[(2, "A1")]));
        check(table, None, Err("line 1: has 2 columns; name the one that holds the codes".into()));
        check(table, Some("voucher"), Err("line 1: names no column `voucher`; name one that it has".into()));
        check("code\nA 1\n", None, Err("line 2: holds a blank; write one code a line".into()));
    }

    #[test]
    fn samples_are_marked_and_as_long_as_codes() {
        assert_eq!((sample(0), sample(8), sample(1_000).len()), ("SAMPLE".into(), "SAMPLEXX".into(), CODE_CHARS_MAX));
    }
}
