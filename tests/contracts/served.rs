//! The server itself with its tables in an object store.

use serde_json::json;

use crate::support::{Process, landed, run, s3_server, sendlab, sql, sql_number, started, until};

/// The second start says nothing of the place: the folder remembers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_tables_are_on_s3_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = format!("s3://{}/served", s3_server().bucket);
    for (round, place) in [&["--lake", url.as_str()][..], &[]].into_iter().enumerate() {
        let mut command = sendlab(&data);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(place).envs(s3_server().variables());
        let (server, client) = started(&mut command, &data).await;
        let mut follow = sendlab(&data);
        let follow = Process::start(follow.args(["lake", "land", "--follow"]).envs(s3_server().variables()));
        let line = |n: usize| {
            let id = format!("{round}-{n}");
            json!({ "event_id": id, "kind": "click", "event_time": "2026-01-05T10:00:00Z", "contact": format!("c{n}") })
                .to_string()
        };
        let lines: Vec<String> = (0..50).map(line).collect();
        let answer = client.lines("/v1/events", lines.join("\n").into_bytes()).await.unwrap();
        assert_eq!(answer["accepted"], 50, "{answer}");
        landed(&client).await;
        let count = "SELECT count(DISTINCT event_id) FROM clicks";
        assert_eq!(sql_number(&client, count).await, 50 * (round as i64 + 1));
        assert_eq!(sql(&client, "SELECT contact_key FROM clicks WHERE event_id = '0-7'").await.len(), 1);
        let version = async || {
            client.get("/v1/tables").await.ok()?.as_array()?.iter().find(|table| table["name"] == "clicks")?["version"].as_i64()
        };
        until("a commit", async || version().await.filter(|version| *version > round as i64)).await;
        server.kill();
        drop(follow);
    }
    assert!(!data.join("lake/tables").exists());
    let elsewhere = sendlab(&data).args(["tables", "--lake", "s3://lake/other"]).output().unwrap();
    let told = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(!elsewhere.status.success() && told.contains(&url), "{told}");
    assert!(run(sendlab(&data).arg("tables").envs(s3_server().variables())).contains("clicks"));
}
