//! XLSX: one sheet of a workbook, its first row the header.
//!
//! Numbers are written as Excel shows them, with 15 digits: `49.9` and not `49.900000000000006`. Dates and times are
//! written as ISO 8601 without an offset, because a workbook knows no time zone.

use std::path::Path;

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx, XlsxError, open_workbook};

use super::thread::{self, Head, Out, Stop, distinct};
use super::{FileRows, Progress};
use crate::LakeError;

/// Opens a sheet, the first where none is named.
pub(super) async fn open(path: &Path, sheet: Option<String>) -> Result<FileRows, LakeError> {
    let path = path.to_owned();
    thread::run(move |out| read(&path, sheet.as_deref(), out)).await
}

fn read(path: &Path, sheet: Option<&str>, out: &mut Out) -> Result<(), Stop> {
    let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
    let failed = |error: XlsxError| bad(format!("it is no readable XLSX workbook: {error}"));
    let mut workbook: Xlsx<_> = open_workbook(path).map_err(|error: XlsxError| match error {
        XlsxError::Io(error) => bad(error.to_string()),
        error => failed(error),
    })?;
    let names = workbook.sheet_names();
    let name = match sheet {
        Some(sheet) => names
            .iter()
            .find(|name| *name == sheet)
            .ok_or_else(|| bad(format!("it has no sheet `{sheet}`; it has {}", names.join(", "))))?,
        None => names.first().ok_or_else(|| bad("it has no sheet".to_owned()))?,
    };
    let name = name.clone();
    let mut cells = workbook.worksheet_cells_reader(&name).map_err(failed)?;
    let dimensions = cells.dimensions();
    let progress = Progress::new(u64::from(dimensions.end.0.saturating_sub(dimensions.start.0)));

    let mut sheet = Sheet { path, progress, out, width: None, next: 0 };
    let mut rows = Rows::default();
    while let Some(cell) = cells.next_cell().map_err(failed)? {
        let (row, column) = cell.get_position();
        if let Some((number, values)) = rows.put(row, column, text(cell.get_value())) {
            sheet.row(number, values)?;
        }
    }
    if let Some((number, values)) = rows.current {
        sheet.row(number, values)?;
    }
    if sheet.width.is_none() {
        return Err(bad(format!("the sheet `{name}` is empty; its first row must name the columns")).into());
    }
    Ok(())
}

/// Hands over whole rows.
struct Sheet<'a> {
    path: &'a Path,
    progress: Progress,
    out: &'a mut Out,
    /// How many columns the header names.
    width: Option<usize>,
    /// The row that is due.
    next: u32,
}

impl Sheet<'_> {
    /// Hands over the first row as the header, and others with the empty rows before them, so that rows keep their
    /// numbers.
    fn row(&mut self, number: u32, mut values: Vec<Option<String>>) -> Result<(), Stop> {
        let due = std::mem::replace(&mut self.next, number + 1);
        let Some(width) = self.width else {
            let columns: Vec<String> = values.into_iter().map(Option::unwrap_or_default).collect();
            distinct(&columns).map_err(|why| LakeError::BadFile { path: self.path.to_owned(), why })?;
            self.width = Some(columns.len());
            self.out.head(Head { columns, progress: self.progress.clone(), typed: true });
            return Ok(());
        };
        for _ in due..number {
            self.out.row(vec![None; width])?;
        }
        self.progress.add(u64::from(number + 1 - due.min(number)));
        // What stands to the right of the header has no name.
        values.resize(width, None);
        Ok(self.out.row(values)?)
    }
}

/// Collects cells, which come in order, into rows.
#[derive(Default)]
struct Rows {
    /// The row being collected.
    current: Option<(u32, Vec<Option<String>>)>,
}

impl Rows {
    /// Takes a cell in; gives the row before where the cell begins a new one.
    fn put(&mut self, row: u32, column: u32, value: Option<String>) -> Option<(u32, Vec<Option<String>>)> {
        // Cells that are only formatted are no values.
        value.as_ref()?;
        let done = if self.current.as_ref().is_some_and(|(number, _)| *number != row) { self.current.take() } else { None };
        let (_, values) = self.current.get_or_insert_with(|| (row, Vec::new()));
        let column = column as usize;
        if values.len() <= column {
            values.resize(column + 1, None);
        }
        values[column] = value;
        done
    }
}

fn text(value: &DataRef<'_>) -> Option<String> {
    let text = match value {
        DataRef::Empty => return None,
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => decimal(*number),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(time) if time.is_datetime() => date_time(time),
        DataRef::DateTime(duration) => decimal(duration.as_f64()),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// The number with the 15 digits that Excel shows.
fn decimal(number: f64) -> String {
    format!("{number:.14e}").parse::<f64>().unwrap_or(number).to_string()
}

fn date_time(time: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    let fraction = if milli == 0 { String::new() } else { format!(".{milli:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_excel_shows_them() {
        let check = |number: f64, expect: &str| assert_eq!(decimal(number), expect);
        check(49.9, "49.9");
        check(49.900_000_000_000_006, "49.9");
        check(1001.0, "1001");
        check(-0.5, "-0.5");
        check(0.1 + 0.2, "0.3");
        check(123_456_789_012_345.0, "123456789012345");
    }
}
