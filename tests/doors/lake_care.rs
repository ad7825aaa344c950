//! `sendlab lake`: what takes care of a data folder, by the real program, beside a server and without one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{landed, run, sendlab, serve, sql_number, text, until};

fn json(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

async fn tell(client: &sendlab::Client, prefix: &str, count: usize) {
    let event = |n: usize| {
        format!(
            r#"{{"kind":"order","event_id":"{prefix}-{n}","event_time":"2026-01-05T10:00:00Z","contact":"c1","order_id":"{prefix}-{n}","amount":5,"currency":"USD"}}"#
        )
    };
    let lines: Vec<String> = (0..count).map(event).collect();
    let answer = client.lines("/v1/events", lines.join("\n").into_bytes()).await.unwrap();
    assert_eq!(answer["accepted"], count, "{answer}");
}

fn order_file(data: &Path) -> PathBuf {
    let day = data.join("lake/tables/orders/event_date=2026-01-05");
    fs::read_dir(day).unwrap().map(|entry| entry.unwrap().path()).next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_checked_mended_copied_and_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy, back) = (folder.path().join("data"), folder.path().join("copy"), folder.path().join("back"));
    fs::create_dir(&data).unwrap();
    let contacts = folder.path().join("contacts.csv");
    fs::write(&contacts, "key,email,country\nc1,one@shop.example,DE\n").unwrap();
    let (server, client) = serve(&data, None).await;
    run(sendlab(&data).args(["import", "contacts"]).arg(&contacts));
    tell(&client, "a", 50).await;
    landed(&client).await;

    // Beside the server.
    let report = json(&run(sendlab(&data).args(["lake", "check", "--deep", "--json"])));
    assert_eq!((&report["clean"], &report["live"]), (&true.into(), &true.into()), "{report}");
    let refused = sendlab(&data).args(["lake", "repair", "--yes"]).output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("is open in process"), "{}", text(&refused));
    let made = json(&run(sendlab(&data).args(["lake", "backup", "--with-keys", "--json"]).arg(&copy)));
    assert!(made["copied_files"].as_u64().unwrap() > 8, "{made}");
    assert!(!fs::read_dir(&data).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("backup")));
    tell(&client, "b", 7).await;
    let said = run(sendlab(&data).args(["lake", "backup"]).arg(&copy).arg("--with-keys"));
    assert!(said.contains("there already"), "{said}");
    server.kill();

    // Without it, after a power cut.
    run(sendlab(&data).args(["lake", "check"]));
    fs::remove_file(order_file(&data)).unwrap();
    let broken = sendlab(&data).args(["lake", "check"]).output().unwrap();
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken));
    assert!(text(&broken).contains("file_missing") && text(&broken).contains("--forget-missing"), "{}", text(&broken));
    let left = sendlab(&data).args(["lake", "repair", "--yes"]).output().unwrap();
    assert!(!left.status.success() && text(&left).contains("Left as it is"), "{}", text(&left));
    let mended = run(sendlab(&data).args(["lake", "repair", "--forget-missing", "--yes"]));
    assert!(mended.contains("rows are lost"), "{mended}");
    let clean = run(sendlab(&data).args(["lake", "check", "--deep"]));
    assert!(clean.contains("Clean: all data was read."), "{clean}");

    // Back as it was when the backup was made: contacts and their addresses too.
    let restored = run(sendlab(&back).args(["lake", "restore"]).arg(&copy));
    assert!(restored.contains("control.sqlite"), "{restored}");
    let again = sendlab(&back).args(["lake", "restore"]).arg(&copy).output().unwrap();
    assert!(!again.status.success() && text(&again).contains("empty folder"), "{}", text(&again));
    let (_server, client) = serve(&back, None).await;
    assert_eq!(sql_number(&client, "select count(distinct event_id) from orders").await, 57);
    assert_eq!(sql_number(&client, "select count(*) from orders").await, 57);
    let contacts = "select count(*) from contacts where country = 'DE'";
    until("contacts to be back", async || (sql_number(&client, contacts).await == 1).then_some(())).await;
}
