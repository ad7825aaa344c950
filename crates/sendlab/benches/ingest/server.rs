//! The program under load: a process of its own on a folder of its own, and what the system says about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::clock::instant;
use crate::wire::{Answer, Connection};

/// The system counts processor time in hundredths of a second, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
const START_MAX: Duration = Duration::from_secs(120);
/// Landing is promised within seconds; a server that needs longer is not waited for.
const LAND_MAX: Duration = Duration::from_secs(120);
const TABLES: [&str; 7] = ["assignments", "messages", "deliveries", "opens", "clicks", "orders", "feedback"];

/// A running server. It ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    root_key: String,
    /// A key that may send events and ask.
    pub(crate) key: String,
}

impl Server {
    /// Starts `program` on `data` and waits until it listens.
    pub(crate) async fn start(program: &Path, data: &Path) -> Self {
        let door = data.join("server.json");
        drop(fs::remove_file(&door));
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).env("SENDLAB_LOG", "error").stdout(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let begin = instant();
        let found: Value = loop {
            if let Some(found) = read_json(&door) {
                break found;
            }
            assert!(child.try_wait().expect("a child").is_none(), "the server ended at once");
            assert!(begin.elapsed() < START_MAX, "the server did not start within {START_MAX:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let text = |name: &str| found[name].as_str().expect("the door names it").to_owned();
        let address = text("url").trim_start_matches("http://").to_owned();
        let mut server = Self { child, address, root_key: text("key"), key: String::new() };
        let asked = r#"{"name":"bench","scopes":["collect","read"]}"#;
        let made = server.ask("POST", "/v1/keys", "application/json", asked).await;
        let made: Value = serde_json::from_slice(&made.body).expect("a key");
        server.key = made["secret"].as_str().expect("a secret").to_owned();
        server
    }

    /// One request on a connection of its own.
    async fn ask(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let mut connection = Connection::open(&self.address).await.expect("the server listens");
        let answer = connection.call(&request(&self.address, &self.root_key, method, path, content_type, body)).await;
        let answer = answer.expect("an answer");
        assert!(answer.status < 300, "{method} {path} was answered {}: {}", answer.status, answer.text());
        answer
    }

    /// The bytes of a request that asks in SQL.
    pub(crate) fn sql_request(&self, query: &str) -> Vec<u8> {
        request(&self.address, &self.key, "POST", "/v1/sql?format=json", "text/plain", query)
    }

    /// The bytes of a request that tells one event.
    pub(crate) fn events_request(&self, line: &str) -> Vec<u8> {
        request(&self.address, &self.key, "POST", "/v1/events", "application/x-ndjson", line)
    }

    /// How many events SQL sees in all tables.
    pub(crate) async fn count(&self) -> u64 {
        let each = TABLES.map(|table| format!("SELECT count(*) AS n FROM {table}")).join(" UNION ALL ");
        let query = format!("SELECT sum(n) AS events FROM ({each})");
        self.ask("POST", "/v1/sql?format=json", "text/plain", &query).await.number("events")
    }

    /// Waits until everything acknowledged is in the tables; how long that took, or `None` where it took too long.
    pub(crate) async fn landed(&self) -> Option<Duration> {
        let begin = instant();
        while begin.elapsed() < LAND_MAX {
            if self.ask("GET", "/v1/lake", "application/json", "").await.number("unlanded") == 0 {
                return Some(begin.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Processor seconds it has used.
    pub(crate) fn processor_seconds(&self) -> f64 {
        processor_seconds(&self.proc("stat"))
    }

    /// `VmRSS:` or `VmHWM:` in MiB.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let text = fs::read_to_string(self.proc("status")).expect("the server runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the system tells it");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
    }

    /// Sets the peak of memory back to what is used now.
    pub(crate) fn forget_peak(&self) {
        drop(fs::write(self.proc("clear_refs"), "5"));
    }

    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }
}

impl Drop for Server {
    /// Asks it politely, so that it lands what it has, and waits.
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}

/// Processor seconds of all threads of the process that `stat` describes.
pub(crate) fn processor_seconds(stat: &Path) -> f64 {
    let text = fs::read_to_string(stat).expect("the process runs");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks / TICKS_PER_SECOND
}

fn request(address: &str, key: &str, method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
