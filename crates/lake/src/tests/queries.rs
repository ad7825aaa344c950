//! Golden queries: each of `tests/queries/*.slt` over the world of `tests/queries/world.txt`.
//!
//! A record is `query` or `query error`, the SQL, `----`, and what is answered, as CSV with a header, up to an empty line.
//! After a change, `cargo test --workspace fill_in_the_answers -- --ignored` writes down what is answered now; the difference
//! is then read, line by line, against the world.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use vocabulary::{Contact, Profile};

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/queries")
}

/// The world's events, as its file tells them.
fn world() -> Vec<Event> {
    let text = fs::read_to_string(folder().join("world.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.enumerate().map(|(number, line)| read_event(number + 1, line)).collect()
}

fn read_event(number: usize, line: &str) -> Event {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_else(|| panic!("`{line}` is too short"));
    let (kind, time, key) = (word(), word().parse().unwrap(), word().parse().unwrap());
    let mut fields: Map<String, Value> =
        words.map(|word| word.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let money = |minor: Value, code: Value| Money {
        minor: minor.as_str().unwrap().parse().unwrap(),
        currency: currency(code.as_str().unwrap()),
    };
    let machine = |value: Value| value == json!("true");
    let text = |value: Value| value.as_str().map(str::to_owned);
    let body = match kind {
        "assignment" => Body::Assignment { planned_at: text(take("planned")).map(|at| at.parse().unwrap()), propensity: None },
        "message" => Body::Message {
            class: if take("class") == json!("transactional") { MessageClass::Transactional } else { MessageClass::Marketing },
            cost: None,
        },
        "delivery" => Body::Delivery { status: serde_json::from_value(take("status")).unwrap(), reply: None },
        "open" => Body::Open { machine: machine(take("machine")), user_agent: None },
        "click" => Body::Click {
            url: text(take("url")),
            machine: machine(take("machine")),
            user_agent: None,
            position: text(take("position")).map(|place| place.parse().unwrap()),
        },
        "order" => Body::Order {
            order_id: OrderId::new(&text(take("order")).unwrap()).unwrap(),
            amount: money(take("amount"), take("currency")),
            refund_of: text(take("refund_of")).map(|id| OrderId::new(&id).unwrap()),
        },
        "feedback" => Body::Feedback { kind: serde_json::from_value(take("feedback")).unwrap(), text: None },
        other => panic!("`{other}` is no kind of event"),
    };
    let names = ["message", "campaign", "experiment"];
    for (name, value) in names.map(|name| (name, take(name))) {
        fields.insert(format!("{name}_id"), value);
    }
    fields.retain(|_, value| !value.is_null());
    let context: Context = serde_json::from_value(Value::Object(fields)).unwrap();
    Event { context, ..event(&format!("e{number}"), key, time, body) }
}

fn contacts() -> Vec<Contact> {
    let contact = |key, country: &str, language: &str, time_zone: &str| Contact {
        profile: Profile {
            country: Some(country.into()),
            language: Some(language.into()),
            time_zone: Some(time_zone.into()),
            ..Profile::default()
        },
        ..Contact::new(contact(key), at(0))
    };
    let cities = [("DE", "de", "Europe/Berlin"), ("US", "en", "America/New_York"), ("BR", "pt-BR", "America/Sao_Paulo")];
    [1, 2, 4].iter().zip(cities).map(|(key, (country, language, zone))| contact(*key, country, language, zone)).collect()
}

/// The world in a lake: one half landed, the other only acknowledged.
async fn lake(root: &Path) -> Arc<Lake> {
    let lake = Lake::open(config(root)).await.unwrap();
    lake.replace_contacts(1, contact_rows(&contacts()), at(0)).await.unwrap();
    let mut events = world();
    let fresh = events.split_off(events.len() / 2);
    lake.append(events).await.unwrap();
    lake.land().await.unwrap();
    lake.append(fresh).await.unwrap();
    lake
}

/// The text of a file with every answer as it is now.
async fn answered(lake: &Lake, text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(out, "{line}").unwrap();
        let Some(kind) = line.strip_prefix("query") else { continue };
        let query: Vec<&str> = lines.by_ref().take_while(|line| *line != "----").collect();
        let query = query.join("\n");
        lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
        let answer = match (ask(lake, &query, SqlFormat::Csv).await, kind.trim()) {
            (Ok(answer), "") => answer,
            (Err(error), "error") => format!("{error}\n"),
            (Ok(answer), _) => panic!("{query} should fail, and gives\n{answer}"),
            (Err(error), _) => panic!("{query}: {error:?}"),
        };
        write!(out, "{query}\n----\n{answer}\n").unwrap();
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out + "\n"
}

fn files() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "slt")).collect();
    files.sort();
    assert!(files.len() >= 5, "the golden queries are found: {files:?}");
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_queries_are_answered_as_written_down() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake(root.path()).await;
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        let found = answered(&lake, &text).await;
        assert!(found == text, "{} is answered otherwise now:\n{found}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes what is answered now into the files; read the difference against the world"]
async fn fill_in_the_answers() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake(root.path()).await;
    for path in files() {
        let found = answered(&lake, &fs::read_to_string(&path).unwrap()).await;
        fs::write(&path, found).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_column_of_every_view_is_explained() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake(root.path()).await;
    let tables = lake.tables().await.unwrap();
    for table in &tables {
        assert!(!table.comment.is_empty() && !table.columns.is_empty(), "{}", table.name);
        for column in &table.columns {
            assert!(!column.comment.is_empty(), "{}.{}", table.name, column.name);
            assert!(!column.data_type.contains('('), "{}.{} is {}", table.name, column.name, column.data_type);
        }
    }
    for (name, view) in crate::views::views() {
        let table = tables.iter().find(|table| table.name == *name).unwrap();
        for column in view.columns.keys() {
            assert!(table.columns.iter().any(|known| known.name == *column), "{name} has no column {column}");
        }
    }
}

/// What a query reads is told with its answer, and naming a view names the tables behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_tells_what_it_read() {
    let root = tempfile::tempdir().unwrap();
    let lake = lake(root.path()).await;
    let check = async |query: &str, expect: &[(&str, i64)]| {
        let answer = lake.sql(query, SqlFormat::Csv, &SqlOptions::default()).await.unwrap();
        let found: Vec<_> = answer.versions.iter().map(|(table, version)| (table.as_str(), *version)).collect();
        assert_eq!(found, expect, "{query}");
    };
    check("SELECT 1", &[]).await;
    check("SELECT * FROM orders", &[("orders", 1)]).await;
    check("SELECT * FROM human_opens JOIN contacts USING (contact_key)", &[("contacts", 1), ("opens", 1)]).await;
    check("SHOW TABLES", &[]).await;
}
