//! A hermetic place to run the real binary and real peers in: own folder, cleared environment, processes that end with
//! the test.

pub(crate) mod collector;
pub(crate) mod kills;
pub(crate) mod sender_kills;
pub(crate) mod shop;
pub(crate) mod workbook;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Method;
use sendlab::Client;
use sendlab::server::{Door, read_door};
use serde_json::{Value, json};

/// An event that has not come after this long will not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// The top folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders deep").to_owned()
}

/// The Python that `make test` has set up with what the tests need.
pub(crate) fn python() -> PathBuf {
    let path = std::env::var_os("SENDLAB_TEST_PYTHON").expect("run the tests with `make test`: it sets up Python and says where");
    assert!(Path::new(&path).exists(), "{path:?} is missing; run the tests with `make test`");
    path.into()
}

/// `sendlab` with a cleared environment.
pub(crate) fn sendlab(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendlab"));
    command.env_clear().env("HOME", data).current_dir(workspace()).arg("--data").arg(data).stdin(Stdio::null());
    command
}

/// Runs a command to its end; its output must be that of a success.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{command:?} failed:\n{}", text(&output));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// Both outputs of a command as text.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A process that ends with the test.
pub(crate) struct Process(pub Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().expect("the process starts"))
    }

    /// The first line it prints.
    pub(crate) fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().expect("stdout is piped")).read_line(&mut line).expect("the process prints");
        line.trim().to_owned()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("the process is ours");
        self.0.wait().expect("the process ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A `sendlab serve` on a folder.
pub(crate) async fn serve(data: &Path, smtp: Option<u16>) -> (Process, Client) {
    let mut command = sendlab(data);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    if let Some(port) = smtp {
        command.arg("--smtp").arg(format!("127.0.0.1:{port}"));
    }
    started(&mut command, data).await
}

/// A server that listens.
pub(crate) async fn started(command: &mut Command, data: &Path) -> (Process, Client) {
    drop(std::fs::remove_file(data.join("server.json")));
    let mut process = Process::start(command);
    let door = until("the server to listen", async || {
        if let Some(status) = process.0.try_wait().expect("the process is ours") {
            panic!("the server ended with {status}");
        }
        let door = read_door(data)?;
        let alive = reqwest::get(format!("{}/healthz", door.url)).await.is_ok_and(|answer| answer.status().is_success());
        alive.then_some(door)
    })
    .await;
    (process, Client::new(door))
}

/// Waits for something to become true, looking often and giving up loudly.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what} in vain"))
}

/// Waits until everything acknowledged can be read.
pub(crate) async fn landed(client: &Client) {
    until("events to land", async || (client.get("/v1/lake").await.ok()?["unlanded"] == 0).then_some(())).await;
}

/// The rows of a query.
pub(crate) async fn sql(client: &Client, query: &str) -> Vec<Value> {
    try_sql(client, query).await.unwrap_or_else(|error| panic!("{query}: {error:#}"))
}

/// The rows of a query, or why there are none.
pub(crate) async fn try_sql(client: &Client, query: &str) -> anyhow::Result<Vec<Value>> {
    let body = serde_json::to_vec(&json!({ "sql": query })).expect("a query is JSON");
    let answer = client.send(Method::POST, "/v1/sql?format=json", "application/json", body).await?;
    Ok(answer.as_array().expect("rows come as an array").clone())
}

/// The only number a query gives.
pub(crate) async fn sql_number(client: &Client, query: &str) -> i64 {
    let rows = sql(client, query).await;
    let row = rows[0].as_object().expect("a row is an object");
    row.values().next().and_then(Value::as_i64).unwrap_or_else(|| panic!("{query} gave {row:?}"))
}

/// How to reach a server, for programs that take it from the environment.
pub(crate) fn door(data: &Path) -> Door {
    read_door(data).expect("the server runs")
}

/// The SMTP server that is not ours, and the file it writes to.
pub(crate) fn smtp_server(folder: &Path) -> (Process, u16, PathBuf) {
    let file = folder.join("mails.jsonl");
    let script = workspace().join("tests/support/smtp_server.py");
    let mut process = Process::start(Command::new(python()).arg(script).arg(&file));
    let port = process.first_line().parse().expect("the SMTP server prints its port");
    (process, port, file)
}

/// The mails the SMTP server wrote down.
pub(crate) fn mails(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a mail is one line of JSON")).collect()
}

/// The server of the S3 API that is not ours, with one bucket. It ends with the test binary, when its input is closed.
pub(crate) struct S3Server {
    pub(crate) bucket: &'static str,
    port: u16,
    _process: std::sync::Mutex<Process>,
}

impl S3Server {
    /// How to reach it, as environment variables say it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let variables = [
            ("AWS_ENDPOINT", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

/// One server for all tests of this binary: it takes a second to start.
pub(crate) fn s3_server() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let (bucket, script) = ("lake", workspace().join("tests/support/s3_server.py"));
        let mut process = Process::start(Command::new(python()).arg(script).arg(bucket).stdin(Stdio::piped()));
        let port = process.first_line().parse().expect("the S3 server prints its port");
        S3Server { bucket, port, _process: std::sync::Mutex::new(process) }
    })
}
