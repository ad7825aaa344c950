//! The report of rejected rows: a CSV with the reason before the row's own columns, so that it can be mended in a
//! spreadsheet and imported with the same mapping.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::plan::Fault;

/// The columns before the row's own.
pub(crate) const COLUMNS: [&str; 3] = ["rejected_row", "rejected_field", "rejected_reason"];

/// One rejected row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) row: u64,
    pub(crate) fault: Fault,
    /// The row as it was.
    pub(crate) values: Vec<Option<String>>,
}

/// The file, made when the first row is rejected.
#[derive(Debug)]
pub(crate) struct Report {
    path: PathBuf,
    columns: Vec<String>,
    delimiter: u8,
    file: Option<File>,
}

impl Report {
    /// A report at `path` that is not there yet.
    pub(crate) fn new(path: PathBuf, columns: Vec<String>, delimiter: u8) -> Self {
        Self { path, columns, delimiter, file: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on with the report of an import that was stopped, at the length it had when its state was written: rows
    /// behind that belong to requests that are sent again.
    pub(crate) fn go_on(&mut self, bytes: u64) -> anyhow::Result<()> {
        if bytes > 0 {
            let open = || {
                let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
                file.set_len(bytes)?;
                file.seek(SeekFrom::End(0))?;
                std::io::Result::Ok(file)
            };
            self.file =
                Some(open().with_context(|| format!("cannot go on with {}; begin anew with --restart", self.path.display()))?);
        }
        Ok(())
    }

    /// Adds rows and gives the length the report now has.
    pub(crate) fn add(&mut self, rejected: &[Rejected]) -> anyhow::Result<u64> {
        let failed = || format!("cannot write {}", self.path.display());
        let mut text = Vec::new();
        if self.file.is_none() && !rejected.is_empty() {
            self.file = Some(File::create(&self.path).with_context(failed)?);
            let names = COLUMNS.into_iter().chain(self.columns.iter().map(String::as_str));
            line(&mut text, self.delimiter, names);
        }
        for row in rejected {
            let number = row.row.to_string();
            let head = [number.as_str(), &row.fault.field, &row.fault.reason];
            line(
                &mut text,
                self.delimiter,
                head.into_iter().chain(row.values.iter().map(|value| value.as_deref().unwrap_or(""))),
            );
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        let mut write = || {
            file.write_all(&text)?;
            file.stream_position()
        };
        write().with_context(failed)
    }
}

/// One line, with quotation marks where RFC 4180 wants them.
fn line<'a>(text: &mut Vec<u8>, delimiter: u8, fields: impl Iterator<Item = &'a str>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            text.push(delimiter);
        }
        if field.bytes().any(|byte| byte == delimiter || b"\"\r\n".contains(&byte)) {
            text.push(b'"');
            text.extend(field.replace('"', "\"\"").bytes());
            text.push(b'"');
        } else {
            text.extend(field.bytes());
        }
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(row: u64, value: &str) -> Rejected {
        Rejected { row, fault: Fault::new("amount", "is; \"odd\""), values: vec![Some(value.to_owned()), None] }
    }

    #[test]
    fn the_report_is_made_with_the_first_row_and_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.rejected.csv");
        let new = || Report::new(path.clone(), vec!["a".into(), "b;c".into()], b';');
        let mut report = new();
        assert_eq!((report.add(&[]).unwrap(), path.exists()), (0, false));
        let bytes = report.add(&[rejected(3, "x")]).unwrap();
        report.add(&[rejected(4, "not acknowledged")]).unwrap();

        let mut report = new();
        report.go_on(bytes).unwrap();
        report.add(&[rejected(5, "two\nlines")]).unwrap();
        let expect = "rejected_row;rejected_field;rejected_reason;a;\"b;c\"\n\
                      3;amount;\"is; \"\"odd\"\"\";x;\n5;amount;\"is; \"\"odd\"\"\";\"two\nlines\";\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expect);
    }
}
