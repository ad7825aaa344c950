//! Files of other people are read as text.

use std::fs;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use futures::StreamExt;

use super::*;
use crate::read_file;

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
    check("a.xlsx", Some(b"x"), ".csv, .csv.gz or .parquet").await;
    check("none.csv", None, "No such file").await;
    check("bad.parquet", Some(b"no parquet at all"), "cannot read").await;
    check("ragged.csv", Some(b"a,b\n1,2\n1,2,3\n"), "line").await;
}
