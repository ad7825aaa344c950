//! Files of other people are read as text.

use std::fs;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use futures::StreamExt;

use super::*;
use crate::{ReadOptions, read_file, read_file_with, read_lines};
use workbook::{Cell, workbook};

#[path = "../../../../tests/support/workbook.rs"]
mod workbook;

type Row = Vec<Option<&'static str>>;

async fn check(path: &Path, columns: &[&str], expect: &[Row]) {
    let file = read_file(path).await.unwrap();
    assert_eq!(file.columns, columns);
    let batches: Vec<_> = file.batches.try_collect().await.unwrap();
    let rows: Vec<Vec<Option<String>>> = batches.into_iter().flatten().collect();
    let expect: Vec<Vec<Option<String>>> =
        expect.iter().map(|row| row.iter().map(|value| value.map(str::to_owned)).collect()).collect();
    assert_eq!(rows, expect, "{}", path.display());
}

#[tokio::test]
async fn csv_is_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.CSV");
    fs::write(&path, "\u{feff}key,Name,spend\r\n007,\"Müller, A.\",1.50\r\n8,,\r\n9,\"two\nlines\",0\r\n").unwrap();
    let expect: [Row; 3] = [
        vec![Some("007"), Some("Müller, A."), Some("1.50")],
        vec![Some("8"), None, None],
        vec![Some("9"), Some("two\nlines"), Some("0")],
    ];
    check(&path, &["key", "Name", "spend"], &expect).await;
}

#[tokio::test]
async fn long_files_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv");
    let text: String = std::iter::once("n\n".to_owned()).chain((0..50_000).map(|n| format!("{n}\n"))).collect();
    fs::write(&path, text).unwrap();
    let mut next = 0;
    let mut batches = read_file(&path).await.unwrap().batches;
    while let Some(batch) = batches.next().await {
        for row in batch.unwrap() {
            assert_eq!(row, [Some(next.to_string())]);
            next += 1;
        }
    }
    assert_eq!(next, 50_000);
}

#[tokio::test]
async fn parquet_is_text_and_keeps_null_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.parquet");
    let columns: [(&str, ArrayRef); 3] = [
        ("Key", Arc::new(Int32Array::from(vec![7, 8]))),
        ("name", Arc::new(StringArray::from(vec![Some(""), None]))),
        ("spend", Arc::new(Float64Array::from(vec![29.99, 0.1]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    check(&path, &["Key", "name", "spend"], &[vec![Some("7"), Some(""), Some("29.99")], vec![Some("8"), None, Some("0.1")]])
        .await;
}

#[tokio::test]
async fn packed_csv_is_unpacked() {
    // `printf 'a,b\n1,2\n' | gzip -n`
    let packed: [u8; 28] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4b, 0xd4, 0x49, 0xe2, 0x32, 0xd4, 0x31, 0xe2, 0x02, 0x00,
        0x7b, 0x07, 0x97, 0x0a, 0x08, 0x00, 0x00, 0x00,
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv.gz");
    fs::write(&path, packed).unwrap();
    check(&path, &["a", "b"], &[vec![Some("1"), Some("2")]]).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let check = async |name: &str, content: Option<&[u8]>, expect: &str| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let opened = read_file(&path).await;
        let error = match opened {
            Err(error) => error,
            Ok(mut file) => loop {
                match file.batches.next().await {
                    Some(Err(error)) => break error,
                    Some(Ok(_)) => {}
                    None => panic!("{name} was read"),
                }
            },
        };
        assert!(error.to_string().contains(expect), "{name}: {error}");
    };
    check("a.xls", Some(b"x"), ".csv, .csv.gz, .parquet or .xlsx").await;
    check("a.xlsx", Some(b"x"), "no readable XLSX workbook").await;
    check("none.xlsx", None, "No such file").await;
    check("empty.csv", Some(b""), "it is empty").await;
    check("twice.csv", Some(b"a,b,a\n1,2,3\n"), "the column `a` twice").await;
    check("none.csv", None, "No such file").await;
    check("bad.parquet", Some(b"no parquet at all"), "cannot read").await;
    check("ragged.csv", Some(b"a,b\n1,2\n1,2,3\n"), "line").await;
}

#[tokio::test]
async fn a_bad_row_is_named_and_those_after_it_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ragged.csv");
    fs::write(&path, b"a;b\n1;2\n\n3;4;5\n\"x\ny\";M\xfcller\n6;7\n").unwrap();
    let file = read_file_with(&path, &ReadOptions { delimiter: b';', sheet: None }).await.unwrap();
    let size = fs::metadata(&path).unwrap().len();
    assert_eq!((file.progress.total(), file.progress.done() <= size, file.typed), (size, true, false));
    let progress = file.progress.clone();
    let mut seen = Vec::new();
    for item in file.batches.collect::<Vec<_>>().await {
        match item {
            Ok(rows) => seen.extend(rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join("|"))),
            Err(LakeError::BadRow { line, why, values, .. }) => {
                seen.push(format!("line {line}: {:.6} {}", why, values.into_iter().flatten().collect::<Vec<_>>().join("|")));
            }
            Err(error) => panic!("{error}"),
        }
    }
    // A row begins where the row before ends: with the empty line.
    assert_eq!(seen, ["1|2", "line 3: has 3  3|4|5", "line 5: is not x\ny|M\u{fffd}ller", "6|7"]);
    assert_eq!(progress.done(), size);
}

#[tokio::test]
async fn a_quotation_mark_that_is_never_closed_does_not_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open.csv");
    fs::write(&path, format!("a,b\n1,2\n\"3,4\n{}", "5,6\n".repeat(2_000_000))).unwrap();
    let file = read_file(&path).await.unwrap();
    let items: Vec<_> = file.batches.collect().await;
    let error = items.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains("begins on line 3") && error.contains("not closed"), "{error}");
}

#[tokio::test]
async fn a_sheet_is_text_with_its_dates_and_empty_rows() {
    use Cell::{Date, Empty, Number, Text};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.xlsx");
    let orders = vec![
        vec![Text("no"), Text("paid at"), Text("total")],
        vec![Number(7.0), Date(46_027.416_666_666_664), Number(49.9)],
        vec![],
        vec![Text("007"), Date(46_028.0), Empty, Text("to the right of the header")],
    ];
    fs::write(&path, workbook(&[("Orders", orders), ("Other", vec![vec![Text("x")], vec![Number(-1.5)]])])).unwrap();
    let expect: [Row; 3] = [
        vec![Some("7"), Some("2026-01-05T10:00:00"), Some("49.9")],
        vec![None, None, None],
        vec![Some("007"), Some("2026-01-06T00:00:00"), None],
    ];
    check(&path, &["no", "paid at", "total"], &expect).await;

    let other = |sheet: &str| ReadOptions { sheet: Some(sheet.to_owned()), ..ReadOptions::default() };
    let file = read_file_with(&path, &other("Other")).await.unwrap();
    let rows: Vec<_> = file.batches.try_collect().await.unwrap();
    assert_eq!((file.columns, rows), (vec!["x".to_owned()], vec![vec![vec![Some("-1.5".to_owned())]]]));
    let error = read_file_with(&path, &other("Nothing")).await.err().unwrap().to_string();
    assert!(error.contains("it has Orders, Other"), "{error}");
}

#[tokio::test]
async fn lines_keep_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    fs::write(&path, format!("\u{feff}{{\"a\":1}}\r\n\n{}\n{{\"b\":2}}", "x".repeat(1024 * 1024 + 1))).unwrap();
    let items: Vec<_> = read_lines(&path).await.unwrap().batches.collect().await;
    let [Ok(first), Err(LakeError::BadRow { line, .. }), Ok(last)] = &items[..] else { panic!("{} items", items.len()) };
    assert_eq!(first, &[vec![Some("{\"a\":1}".to_owned())], vec![None]]);
    assert_eq!((line, last), (&3, &vec![vec![Some("{\"b\":2}".to_owned())]]));
}
