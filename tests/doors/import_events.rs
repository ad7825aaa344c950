//! `sendlab import events`: files of other people become events, once, whatever their format and however often the
//! import is stopped.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::support::collector::{Reply, collector};
use crate::support::workbook::{Cell, workbook};
use crate::support::{run, sendlab, text, until, workspace};

/// The orders of the tests: number, shop, customer, minutes after 2026-01-05 10:00 in Berlin, cents.
const ORDERS: [(u32, &str, &str, u32, u32); 5] = [
    (1, "de", "c1", 0, 4_990),
    (2, "de", "c2", 7, 124_900),
    (3, "at", "c1", 30, 5),
    (4, "at", "c3", 59, 700),
    (4, "at", "c3", 59, 700),
];

const MAPPING: &str = "
kind: order
event_time: '{paid at}'
contact: '{customer}'
order_id: '{shop}-{no}'
amount: '{total}'
currency: EUR
time_zone: Europe/Berlin
";

const TABLE: &str =
    "select event_id, event_time, order_id, amount_minor, currency, market from orders order by event_id, order_id";

/// The same orders as Parquet: local times without a zone, exact decimals.
fn parquet_file(path: &Path) {
    let minute = |minute: u32| (1_767_607_200_i64 + i64::from(minute) * 60) * 1_000; // 2026-01-05 10:00, as if it were UTC
    let cents = ORDERS.iter().map(|(.., cents)| i128::from(*cents));
    let columns: [(&str, ArrayRef); 5] = [
        ("no", Arc::new(Int32Array::from_iter_values(ORDERS.iter().map(|(no, ..)| i32::try_from(*no).unwrap())))),
        ("shop", Arc::new(StringArray::from_iter_values(ORDERS.iter().map(|(_, shop, ..)| shop)))),
        ("customer", Arc::new(StringArray::from_iter_values(ORDERS.iter().map(|(_, _, customer, ..)| customer)))),
        ("paid at", Arc::new(TimestampMillisecondArray::from_iter_values(ORDERS.iter().map(|(_, _, _, at, _)| minute(*at))))),
        ("total", Arc::new(Decimal128Array::from_iter_values(cents).with_precision_and_scale(12, 2).unwrap())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The same orders as CSV, as a workbook, as lines of JSON and as Parquet, each as its world would write them.
fn write_files(folder: &Path) -> [(PathBuf, Vec<&'static str>); 4] {
    let mut csv = String::from("no;shop;customer;paid at;total;unused\n");
    let mut lines = String::new();
    let mut rows = vec![["no", "shop", "unused", "customer", "paid at", "total"].map(Cell::Text).to_vec()];
    for (no, shop, customer, minute, cents) in ORDERS {
        let (major, minor) = (cents / 100, cents % 100);
        let grouped = if major >= 1000 { format!("{}.{:03}", major / 1000, major % 1000) } else { major.to_string() };
        writeln!(csv, "{no};{shop};{customer};05.01.2026 10:{minute:02};{grouped},{minor:02};\"a;b\"").unwrap();
        let total = f64::from(cents) / 100.0;
        writeln!(lines, "{}", json!({ "no": no, "shop": shop, "customer": customer, "paid at": format!("2026-01-05T09:{minute:02}:00Z"), "total": total })).unwrap();
        let days = 46_027.0 + (600.0 + f64::from(minute)) / 1_440.0;
        let [shop, customer] = [shop, customer].map(Cell::Text);
        rows.push(vec![Cell::Number(f64::from(no)), shop, Cell::Empty, customer, Cell::Date(days), Cell::Number(total)]);
    }
    let names = ["orders.csv", "orders.xlsx", "orders.ndjson", "orders.parquet"];
    let [csv_file, book_file, lines_file, columns_file] = names.map(|name| folder.join(name));
    parquet_file(&columns_file);
    std::fs::write(&csv_file, csv).unwrap();
    std::fs::write(&book_file, workbook(&[("Orders", rows)])).unwrap();
    std::fs::write(&lines_file, lines).unwrap();
    let german = vec!["--delimiter", ";", "--decimal-comma", "--time-format", "%d.%m.%Y %H:%M"];
    [(csv_file, german), (book_file, Vec::new()), (lines_file, Vec::new()), (columns_file, Vec::new())]
}

fn import(data: &Path, file: &Path, mapping: &Path) -> Command {
    let mut command = sendlab(data);
    command.args(["import", "events"]).arg(file).arg("--mapping").arg(mapping);
    command
}

#[test]
fn formats_with_the_same_content_are_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.yaml");
    std::fs::write(&mapping, MAPPING).unwrap();
    let files = write_files(folder.path());
    let mut tables = Vec::new();
    for (at, (file, options)) in files.iter().enumerate() {
        let data = folder.path().join(format!("data-{at}"));
        let said = run(import(&data, file, &mapping).args(options).args(["--batch", "2"]));
        assert!(said.contains("5 rows") && said.contains("5 accepted, 0 known already, 0 rejected"), "{said}");
        assert!(std::fs::read_dir(data.join("imports")).unwrap().next().is_none(), "no state is left behind");
        tables.push(run(sendlab(&data).args(["sql", TABLE, "--format", "csv"])));
    }
    assert_eq!(tables[0], tables[1], "CSV and XLSX");
    assert_eq!(tables[0], tables[2], "CSV and NDJSON");
    assert_eq!(tables[0], tables[3], "CSV and Parquet");
    let (csv, xlsx) = (&tables[0], &files[1].0);
    assert!(csv.contains("2026-01-05T09:07:00") && csv.contains("de-2,124900,EUR"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + ORDERS.len(), "rows that say the same are rows all the same: {csv}");

    // What came in as CSV is known when it comes as a workbook.
    let said = run(&mut import(&folder.path().join("data-0"), xlsx, &mapping));
    assert!(said.contains("0 accepted, 5 known already, 0 rejected"), "{said}");
}

#[test]
fn events_as_the_collector_knows_them_need_no_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, table) = (folder.path().join("events.jsonl"), folder.path().join("events.csv"));
    let event = json!({ "event_id": "e1", "kind": "delivery", "event_time": "2026-01-05T10:00:00Z", "contact": "c1", "status": "delivered" });
    std::fs::write(&lines, format!("{event}\n\n{event}\n")).unwrap();
    std::fs::write(&table, "kind,event_time,contact,event_id,order_id,amount,currency\norder,2026-01-05T10:00:00Z,c1,e2,o1,5,EUR\nopen,2026-01-05T10:00:00Z,c1,e3,,,\n").unwrap();
    let data = folder.path().join("data");
    let said = run(sendlab(&data).args(["import", "events"]).arg(&lines).arg(&table));
    assert!(said.contains("2 rows") && said.contains("1 accepted, 1 known already"), "{said}");
    assert!(said.contains("2 files: 4 rows") && said.contains("3 accepted, 1 known already, 0 rejected"), "{said}");
}

#[test]
fn rejected_rows_are_reported_mended_and_imported() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("orders.csv"));
    let mapping = folder.path().join("mapping.yaml");
    std::fs::write(&mapping, MAPPING.replace("EUR", "'{currency}'")).unwrap();
    let rows = [
        "no,shop,customer,paid at,total,currency",
        "1,de,c1,2026-01-05 10:00,49.90,EUR",
        "2,de,c2,2026-03-29 02:30,49.90,EUR", // clocks skipped this time
        "3,de,c3,2026-01-05 10:00,\"12 \"\"or so\"\"\",EUR",
        "4,de,c4,2026-01-05 10:00,1,EURO",
        "5,de,c5,2026-01-05 10:00,1,EUR,surplus",
        "6,de,c6,2026-01-05 10:00,1,EUR",
    ];
    std::fs::write(&file, rows.join("\n")).unwrap();

    let report = folder.path().join("orders.csv.rejected.csv");
    for (dry_run, outcome) in
        [(true, "2 can be imported, 4 would be rejected"), (false, "2 accepted, 0 known already, 4 rejected")]
    {
        let mut command = import(&data, &file, &mapping);
        if dry_run {
            command.arg("--dry-run");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(outcome), "{}", text(&output));
        assert_eq!(data.exists(), !dry_run, "a dry run makes no data folder");

        let written = std::fs::read_to_string(&report).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        let expect = [
            ("rejected_row,rejected_field,rejected_reason,no,shop", ""),
            ("2,event_time,", "does not exist in Europe/Berlin"),
            ("3,amount,", "is no amount"),
            ("4,currency,", "ISO 4217"),
            ("5,,", "line 6 has 7 fields"),
        ];
        assert_eq!(lines.len(), expect.len(), "{written}");
        for (line, (start, word)) in lines.iter().zip(expect) {
            assert!(line.starts_with(start) && line.contains(word), "{line}");
        }
        assert!(lines[2].ends_with(r#"3,de,c3,2026-01-05 10:00,"12 ""or so""",EUR"#), "{}", lines[2]);
    }

    let written = std::fs::read_to_string(&report).unwrap();
    let mended =
        written.replace("02:30", "03:30").replace(r#""12 ""or so""""#, "12").replace(",EURO", ",EUR").replace(",surplus", "");
    let mended_file = folder.path().join("mended.csv");
    std::fs::write(&mended_file, mended).unwrap();
    let said = run(&mut import(&data, &mended_file, &mapping));
    assert!(said.contains("4 accepted, 0 known already, 0 rejected"), "{said}");
}

/// A file of a hundred orders, the fifteenth without an amount.
fn write_hundred(folder: &Path) -> (PathBuf, PathBuf) {
    let (file, mapping) = (folder.join("hundred.csv"), folder.join("mapping.yaml"));
    let mut rows = String::from("no,shop,customer,paid at,total\n");
    for no in 1..=100 {
        let total = if no == 15 { "gratis" } else { "1.5" };
        writeln!(rows, "{no},de,c{no},2026-01-05 10:00:00,{total}").unwrap();
    }
    std::fs::write(&file, rows).unwrap();
    std::fs::write(&mapping, MAPPING.replace("'{paid at}'", "{paid at}").replace("no}'", "no}'\nmessage_id: m{row}")).unwrap();
    (file, mapping)
}

fn numbers(events: &[Value]) -> Vec<u32> {
    events.iter().map(|event| event["message_id"].as_str().unwrap()[1..].parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (file, mapping) = write_hundred(folder.path());
    // A row that cannot be made into an event never reaches the server.
    let text_of_file = std::fs::read_to_string(&file).unwrap().replace("c15,2026-01-05 10:00:00", "c15,soon");
    std::fs::write(&file, text_of_file).unwrap();
    let (url, heard) = collector(|request| if [3, 6].contains(&request) { Reply::Silence } else { Reply::Accept }).await;
    let command = || {
        let mut command = import(&data, &file, &mapping);
        command.args(["--server", &url, "--key", "k", "--batch", "10", "--requests", "1"]);
        command
    };
    let interrupted = async |command: &mut Command, requests: usize| {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("the request that is not answered", async || (heard.lock().unwrap().len() == requests).then_some(())).await;
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    };

    let said = interrupted(&mut command(), 4).await;
    assert!(said.contains("stopped behind row 30; the same command goes on there"), "{said}");
    let said = interrupted(command().arg("--restart"), 7).await;
    assert!(said.contains("stopped behind row 20") && !said.contains("going on"), "{said}");
    let output = command().output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("going on behind row 20") && said.contains("100 rows"), "{said}");
    assert!(said.contains("99 accepted, 0 known already, 1 rejected"), "{said}");

    let heard = heard.lock().unwrap();
    assert_eq!(numbers(&heard[2]), (21..=30).collect::<Vec<_>>());
    assert_eq!(heard[4], heard[0], "--restart begins at the first row");
    assert_eq!(heard[7], heard[6], "what was not acknowledged is sent again, with the same ids");
    assert_eq!(heard.len(), 7 + 8);
    let ids: BTreeSet<&str> = heard.iter().flatten().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 99);
    let report = std::fs::read_to_string(folder.path().join("hundred.csv.rejected.csv")).unwrap();
    assert_eq!(report.lines().count(), 2, "the report goes on too: {report}");
    assert!(report.lines().nth(1).unwrap().starts_with("15,event_time,"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_later_is_asked_later() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = write_hundred(folder.path());
    let replies = [Reply::Later(429), Reply::Later(503), Reply::Later(429)];
    let (url, heard) = collector(move |request| replies.get(request).copied().unwrap_or(Reply::Accept)).await;
    let mut command = import(&folder.path().join("data"), &file, &mapping);
    let said = run(command.args(["--server", &url, "--key", "k", "--batch", "50", "--requests", "1"]));
    assert!(said.contains("100 accepted"), "{said}");
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().map(|events| numbers(events)[0]).collect::<Vec<_>>(), [1, 1, 1, 1, 51]);
}

#[test]
fn a_mapping_that_does_not_fit_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = write_hundred(folder.path());
    let check = |options: &[&str], expect: &str| {
        let output = import(&folder.path().join("data"), &file, &mapping).arg("--dry-run").args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(expect), "{}", text(&output));
    };
    check(&["--map", "contact={custmer}"], "did you mean `customer`?");
    check(&["--kind", "open"], "`amount` is no field of `open` events");
    check(&["--time-zone", "Berlin"], "IANA");
    check(&["--sheet", "x", "--delimiter", "tab"], "one column only");
}

#[test]
fn the_sample_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let sample = |ending: &str| workspace().join("data/samples/orders").with_extension(ending);
    let said = run(import(folder.path(), &sample("csv"), &sample("yaml")).arg("--dry-run"));
    assert!(said.contains("4 can be imported, 0 would be rejected"), "{said}");
}
