//! Writes XLSX workbooks for tests: just enough of the format that Excel would open them, so that no test needs a file
//! that nobody can read in a review.

use std::fmt::Write as _;

/// A cell of a sheet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Empty,
    Text(&'static str),
    Number(f64),
    /// Days since the end of 1899, shown as date and time.
    Date(f64),
}

/// A workbook with these sheets.
pub(crate) fn workbook(sheets: &[(&str, Vec<Vec<Cell>>)]) -> Vec<u8> {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    const RELATIONS: &str = "http://schemas.openxmlformats.org/package/2006/relationships";
    const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let (mut list, mut relations) = (String::new(), String::new());
    let mut parts = Vec::new();
    for (at, (name, rows)) in sheets.iter().enumerate() {
        let id = at + 1;
        write!(list, r#"<sheet name="{name}" sheetId="{id}" r:id="r{id}"/>"#).unwrap();
        write!(relations, r#"<Relationship Id="r{id}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{id}.xml"/>"#).unwrap();
        let sheet = format!(r#"<worksheet xmlns="{MAIN}"><sheetData>{}</sheetData></worksheet>"#, rows_xml(rows));
        parts.push((format!("xl/worksheets/sheet{id}.xml"), sheet));
    }
    write!(relations, r#"<Relationship Id="styles" Type="{OFFICE}/styles" Target="styles.xml"/>"#).unwrap();
    let styles = format!(
        r#"<styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>"#
    );
    let root = format!(
        r#"<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
    );
    let types = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>"#;
    parts.push(("[Content_Types].xml".to_owned(), types.to_owned()));
    parts.push(("_rels/.rels".to_owned(), root));
    parts.push((
        "xl/workbook.xml".to_owned(),
        format!(r#"<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{list}</sheets></workbook>"#),
    ));
    let book = format!(r#"<Relationships xmlns="{RELATIONS}">{relations}</Relationships>"#);
    parts.push(("xl/_rels/workbook.xml.rels".to_owned(), book));
    parts.push(("xl/styles.xml".to_owned(), styles));
    zip(&parts)
}

fn rows_xml(rows: &[Vec<Cell>]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        write!(text, r#"<row r="{}">"#, at + 1).unwrap();
        for (column, cell) in row.iter().enumerate() {
            let place = format!("{}{}", char::from(b'A' + u8::try_from(column).unwrap()), at + 1);
            match cell {
                Cell::Empty => {}
                Cell::Text(value) => write!(text, r#"<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>"#).unwrap(),
                Cell::Number(value) => write!(text, r#"<c r="{place}"><v>{value}</v></c>"#).unwrap(),
                Cell::Date(value) => write!(text, r#"<c r="{place}" s="1"><v>{value}</v></c>"#).unwrap(),
            }
        }
        text.push_str("</row>");
    }
    text
}

/// A ZIP archive that stores its files as they are.
fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = u32::try_from(bytes.len()).unwrap();
        let size = u32::try_from(content.len()).unwrap();
        let mut about = Vec::new();
        about.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]); // version 2.0, no flags, stored, 1980-01-01
        for number in [crc32(content.as_bytes()), size, size] {
            about.extend(number.to_le_bytes());
        }
        about.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        about.extend([0, 0]); // no extra field
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&about);
        bytes.extend(name.as_bytes());
        bytes.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]); // no comment, first disk, no attributes
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = u32::try_from(bytes.len()).unwrap();
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The checksum of ZIP archives.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
