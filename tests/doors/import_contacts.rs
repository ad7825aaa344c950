//! `sendlab import contacts`: people come in from files, each under one form of their addresses, and no address is ever in
//! clear on the disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::workbook::{Cell, workbook};
use crate::support::{python, run, sendlab, sql_number, text, try_sql, until, workspace};

/// Addresses that are looked for in every file.
const SOUGHT: usize = 60;

fn import(data: &Path, file: &Path) -> Command {
    let mut command = sendlab(data);
    command.args(["import", "contacts"]).arg(file);
    command
}

/// The rows of the query as CSV, without the names of the columns.
fn table(data: &Path, query: &str) -> String {
    let csv = run(sendlab(data).args(["sql", query, "--format", "csv"]));
    csv.split_once('\n').unwrap().1.to_owned()
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn holds(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|window| window == word.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shops_contacts_come_in_and_broken_rows_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("contacts.csv"));
    let maker = workspace().join("crates/sendlab/benches/contacts_data.py");
    run(Command::new(python()).arg(maker).arg(&file).args(["--rows", "3000"]));
    let truth = std::fs::read_to_string(folder.path().join("contacts.csv.truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    let good = truth["good"].as_u64().unwrap();

    let attributes = ["--attribute", "tier,size", "--batch", "500"];
    let output = import(&data, &file).args(attributes).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let expect = format!("{} created, 0 updated, 0 unchanged, {} rejected", thousands(good), 3_000 - good);
    assert!(text(&output).contains(&expect), "{}", text(&output));
    // Each of the ten ways to break a row is named as often as it was done.
    let report = std::fs::read_to_string(folder.path().join("contacts.csv.rejected.csv")).unwrap();
    let fields: Vec<&str> = report.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    for (way, about) in truth["broken"].as_object().unwrap() {
        let field = about["field"].as_str().unwrap();
        let same_field = truth["broken"].as_object().unwrap().values().filter(|about| about["field"] == field);
        let expect: u64 = same_field.map(|about| about["rows"].as_u64().unwrap()).sum();
        let found = fields.iter().filter(|name| **name == field).count() as u64;
        assert!(expect > 0 && found == expect, "{way}: {found} of {expect} rows name `{field}`");
    }

    let again = import(&data, &file).args(attributes).output().unwrap();
    let expect = format!("0 created, 0 updated, {} unchanged, {} rejected", thousands(good), 3_000 - good);
    assert!(text(&again).contains(&expect), "{}", text(&again));

    let (process, client) = crate::support::serve(&data, None).await;
    until("the contacts to be published", async || {
        (sql_number(&client, "select count(*) from contacts").await == i64::try_from(good).unwrap()).then_some(())
    })
    .await;
    let derived = "select count(*) from contacts where country = 'DE' and time_zone = 'Europe/Berlin' and time_zone_derived";
    let germans = sql_number(&client, "select count(*) from contacts where country = 'DE'").await;
    assert!(germans > 0 && sql_number(&client, derived).await == germans);
    let reached = "select count(*) from contacts where array_has(channels, 'sms') and attributes['tier'] = 'gold'";
    assert!(sql_number(&client, reached).await > 0);
    let everything =
        client.text(reqwest::Method::POST, "/v1/sql", "application/json", br#"{"sql":"select * from contacts"}"#.to_vec());
    let everything = everything.await.unwrap();
    assert!(everything.contains("Europe/Berlin"), "{everything}");
    process.kill();

    // Files of the lake are compressed, so what it tells is searched too.
    std::fs::write(data.join("everything"), everything).unwrap();
    let mut all = Vec::new();
    files(&data, &mut all);
    let contents: Vec<Vec<u8>> = all.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(contents.iter().any(|bytes| holds(bytes, "partner")), "the search finds what is in clear");
    let addresses = truth["addresses"].as_array().unwrap();
    assert!(addresses.len() > SOUGHT);
    for address in addresses.iter().take(SOUGHT).map(|address| address.as_str().unwrap()) {
        for (path, bytes) in all.iter().zip(&contents) {
            assert!(!holds(bytes, address), "{} holds {address}", path.display());
        }
    }
}

/// A number as people read it.
fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

#[test]
fn formats_with_the_same_content_are_the_same_contacts() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "id,e-mail,dial,land,born,likes,Size\n\
               1,Ann@Shop.Example,030 22700,DE,17.05.1990,shoes;bags,XL\n\
               2,bob@bücher.example,,FR,,,\n";
    let rows = vec![
        ["id", "e-mail", "dial", "land", "born", "likes", "Size"].map(Cell::Text).to_vec(),
        vec![
            Cell::Number(1.0),
            Cell::Text("ann@shop.example"),
            Cell::Text("+49 30 22700"),
            Cell::Text("DE"),
            Cell::Text("17.05.1990"),
            Cell::Text("bags|shoes"),
            Cell::Text("XL"),
        ],
        vec![Cell::Number(2.0), Cell::Text("bob@xn--bcher-kva.example"), Cell::Empty, Cell::Text("FR")],
    ];
    let lines = [
        json!({ "id": 1, "e-mail": "ann@shop.example", "dial": "03022700", "land": "DE", "born": "17.05.1990", "likes": ["shoes", "bags"], "Size": "XL" }),
        json!({ "id": 2, "e-mail": "bob@bücher.example", "land": "FR" }),
    ];
    let mapping = "key: '{id}'\nemail: '{e-mail}'\nphone: '{dial}'\ncountry: '{land}'\nbirth_date: '{born}'\n\
                   date_format: '%d.%m.%Y'\ninterests: '{likes}'\nattributes.size: '{Size}'\n";
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("mapping.yaml"), mapping).unwrap();
    std::fs::write(path("a.csv"), csv).unwrap();
    std::fs::write(path("a.xlsx"), workbook(&[("People", rows)])).unwrap();
    std::fs::write(path("a.ndjson"), lines.map(|line| line.to_string()).join("\n")).unwrap();
    let data = path("data");
    for (name, expect) in [
        ("a.csv", "2 created, 0 updated, 0 unchanged, 0 rejected"),
        // The mailbox is written differently: the address is the same, and the newest way to write it is kept.
        ("a.xlsx", "0 created, 1 updated, 1 unchanged, 0 rejected"),
        ("a.ndjson", "0 created, 0 updated, 2 unchanged, 0 rejected"),
    ] {
        let said = run(import(&data, &path(name)).arg("--mapping").arg(path("mapping.yaml")));
        assert!(said.contains(expect), "{name}: {said}");
    }
    let query = "select country, birth_date, interests, channels, attributes['size'], time_zone from contacts order by country";
    let found = table(&data, query);
    assert!(found.starts_with(r#"DE,1990-05-17,"[""bags"",""shoes""]","[""email"",""sms""]",XL,Europe/Berlin"#), "{found}");
}

#[test]
fn a_file_whose_columns_are_not_known_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("people.csv"));
    std::fs::write(&file, "customer,email,street\n1,a@shop.example,Elm 1\n").unwrap();
    let refused = |options: &[&str], words: &[&str]| {
        let output = import(&data, &file).args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        for word in words {
            assert!(text(&output).contains(word), "{options:?}: {}", text(&output));
        }
    };
    refused(&[], &["`customer`, `street`: no field of a contact is called so", "--attribute customer,street"]);
    refused(&["--attribute", "street"], &["the field `key` is missing", "--map key="]);
    refused(&["--map", "emial={email}"], &["`emial` is no field of a contact", "did you mean `email`?"]);
    refused(&["--map", "key={custommer}"], &["no column `custommer`", "did you mean `customer`?"]);
    let untouched = folder.path().join("untouched");
    let said = run(import(&untouched, &file).args(["--map", "key={customer}", "--attribute", "street", "--dry-run"]));
    assert!(said.contains("1 can be imported, 0 would be rejected") && !untouched.exists(), "{said}");
}

#[test]
fn two_rows_of_one_person_are_one_contact_unless_the_rule_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    std::fs::write(&file, "key,email,country\nshop-1,kim@shop.example,\nloyalty-9,KIM@shop.example,KR\n").unwrap();
    for (rule, expect, contacts) in [
        ("merge", "1 created, 1 updated, 0 unchanged (1 under a new key), 0 rejected", "1"),
        ("separate", "2 created, 0 updated, 0 unchanged, 0 rejected", "2"),
        ("reject", "1 created, 0 updated, 0 unchanged, 1 rejected", "1"),
    ] {
        let data = folder.path().join(rule);
        let output = import(&data, &file).args(["--duplicates", rule]).output().unwrap();
        assert!(text(&output).contains(expect), "{rule}: {}", text(&output));
        assert_eq!(table(&data, "select count(*) from contacts").trim(), contacts, "{rule}");
    }
}

/// The rule "a re-import cannot resurrect": by key, by another key, and after an erasure.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_unsubscribed_stays_so_when_imported_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (process, client) = crate::support::serve(&data, None).await;
    let contact = |key: &str, email: &str| json!({ "key": key, "email": email }).to_string();
    let post = async |lines: Vec<String>, rule: &str| {
        client.lines(&format!("/v1/contacts?duplicates={rule}"), lines.join("\n").into_bytes()).await.unwrap()
    };
    post(vec![contact("a", "ann@shop.example"), contact("b", "bob@shop.example")], "merge").await;
    let body = json!({ "contacts": ["a"], "note": "asked on the telephone" });
    let suppressed = client.send(reqwest::Method::POST, "/v1/suppressions", "application/json", body.to_string().into_bytes());
    assert_eq!(suppressed.await.unwrap()["suppressed"], 1);
    let told = async |key: &str| {
        let suppressed = client.get(&format!("/v1/suppressions/{key}")).await.unwrap();
        suppressed["suppressed"].as_bool().unwrap()
    };
    assert!(told("a").await && !told("b").await);
    // Nothing is done where one thing is wrong.
    let wrong = json!({ "contacts": ["b"], "phones": ["123"] }).to_string().into_bytes();
    let error = client.send(reqwest::Method::POST, "/v1/suppressions", "application/json", wrong).await.unwrap_err();
    assert!(error.to_string().contains("phone is no international number") && !told("b").await, "{error}");
    post(vec![contact("a", "ann@shop.example")], "merge").await;
    post(vec![contact("c", "Ann@Shop.example")], "separate").await;
    assert!(told("a").await && told("c").await && !told("b").await);
    let erase = json!({ "contacts": ["a", "c"] }).to_string().into_bytes();
    client.send(reqwest::Method::POST, "/v1/erasures", "application/json", erase).await.unwrap();
    post(vec![contact("d", "ann@shop.example")], "merge").await;
    assert!(told("d").await, "the hash of an address outlives the person's data");
    assert!(try_sql(&client, "select 1").await.is_ok());
    process.kill();
}

/// The right to see what is held: all of it, of this person only, under any of their ids; and nothing after an erasure.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_everything_that_is_held_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let (process, client) = crate::support::serve(&folder.path().join("data"), None).await;
    let contacts = [
        json!({ "key": "shop 1", "email": "Kim@Shop.example", "country": "KR", "tags": ["vip"], "attributes": { "tier": "gold" } }),
        json!({ "key": "loyalty/9", "email": "kim@shop.example", "phone": "010-2345-6789", "country": "KR" }),
        json!({ "key": "other", "email": "other@shop.example" }),
    ];
    client.lines("/v1/contacts", contacts.map(|line| line.to_string()).join("\n").into_bytes()).await.unwrap();
    let order = |id: &str, contact: &str| {
        json!({ "event_id": id, "kind": "order", "event_time": "2026-01-05T10:00:00Z", "contact": contact, "order_id": id, "amount": 5, "currency": "USD" }).to_string()
    };
    let events = [order("o1", "shop 1"), order("o2", "loyalty/9"), order("o3", "other")];
    client.lines("/v1/events", events.join("\n").into_bytes()).await.unwrap();

    for id in ["shop%201", "loyalty%2F9"] {
        let held = client.get(&format!("/v1/contacts/{id}/export")).await.unwrap();
        assert_eq!(held["own_ids"], json!(["shop 1", "loyalty/9"]), "{id}");
        assert_eq!(held["addresses"], json!({ "email": "kim@shop.example", "phone": "+821023456789" }));
        assert_eq!((&held["profile"]["tags"], &held["profile"]["attributes"]["tier"]), (&json!(["vip"]), &json!("gold")));
        let orders: Vec<&str> =
            held["events"]["orders"].as_array().unwrap().iter().map(|row| row["order_id"].as_str().unwrap()).collect();
        assert_eq!((orders, &held["events"]["clicks"], &held["suppressions"]), (vec!["o1", "o2"], &json!([]), &json!([])));
    }
    let erase = json!({ "contacts": ["loyalty/9"] }).to_string().into_bytes();
    client.send(reqwest::Method::POST, "/v1/erasures", "application/json", erase).await.unwrap();
    for id in ["shop%201", "loyalty%2F9"] {
        let error = client.get(&format!("/v1/contacts/{id}/export")).await.unwrap_err().to_string();
        assert!(error.contains("there is no such contact"), "{id}: {error}");
    }
    process.kill();
}

/// The master key is changed in the folder and by the environment; what was sealed before opens, with the new key only.
#[test]
fn the_master_key_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("people.csv"));
    std::fs::write(&file, "key,email\na,kim@shop.example\n").unwrap();
    run(&mut import(&data, &file));
    let exported = |variables: &[(&str, &str)]| {
        let output = sendlab(&data).args(["export", "a"]).envs(variables.iter().copied()).output().unwrap();
        (output.status.success(), text(&output))
    };
    let old = std::fs::read(data.join("master.key")).unwrap();
    run(sendlab(&data).args(["vault", "rotate"]));
    assert_ne!(std::fs::read(data.join("master.key")).unwrap(), old);
    assert!(exported(&[]).1.contains("kim@shop.example"));

    // Cut off after the control file was changed: the new key still lies under its other name.
    let new = std::fs::read(data.join("master.key")).unwrap();
    std::fs::write(data.join("master.key"), &old).unwrap();
    let (opened, said) = exported(&[]);
    assert!(!opened && said.contains("master key"), "{said}");
    std::fs::write(data.join("master.key.new"), &new).unwrap();
    assert!(exported(&[]).1.contains("kim@shop.example"));
    assert!(std::fs::read(data.join("master.key")).unwrap() == new && !data.join("master.key.new").exists());

    let hex: String = new.iter().map(|byte| format!("{byte:02x}")).collect();
    let next = "5a".repeat(32);
    let mut rotate = sendlab(&data);
    rotate.args(["vault", "rotate"]).env("SENDLAB_MASTER_KEY", &hex);
    let output = rotate.output().unwrap();
    assert!(!output.status.success() && text(&output).contains("SENDLAB_NEW_MASTER_KEY"), "{}", text(&output));
    run(rotate.env("SENDLAB_NEW_MASTER_KEY", &next));
    let (opened, said) = exported(&[("SENDLAB_MASTER_KEY", &hex)]);
    assert!(!opened && said.contains("SENDLAB_MASTER_KEY holds another key"), "{said}");
    assert!(exported(&[("SENDLAB_MASTER_KEY", &next)]).1.contains("kim@shop.example"));
    let (opened, said) = exported(&[("SENDLAB_MASTER_KEY", "no key at all")]);
    assert!(!opened && said.contains("must be 64 hexadecimal digits") && !said.contains("no key at all"), "{said}");
}
