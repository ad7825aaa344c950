//! Kills processes that send, at seeded random moments of a campaign, and checks what the mailboxes got against what the ledger says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use sendlab::Client;
use serde_json::{Value, json};
use simulator::sink::{Mail, Sink, SinkConfig};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;

use super::{Process, landed, sendlab, sql_number, started, until};

/// Contacts of one request.
const AT_ONCE: usize = 10_000;
/// Connections of each process, and what each of them claims at once at most.
const IN_FLIGHT: u64 = 4 * 64;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kills: usize,
    pub(crate) contacts: usize,
    /// The server is one of them; the others are `sendlab send`.
    pub(crate) workers: usize,
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) server_kills: usize,
    pub(crate) sender_kills: usize,
    pub(crate) accepted: u64,
    pub(crate) in_doubt: u64,
    /// Mails that arrived, no two of them at one address.
    pub(crate) arrived: u64,
}

/// What the mailboxes got.
#[derive(Default)]
pub(crate) struct Mailboxes {
    /// Messages by recipient.
    pub(crate) mails: Mutex<BTreeMap<String, u64>>,
    /// How many messages there were.
    pub(crate) count: AtomicUsize,
}

/// The processes under test.
struct World {
    data: PathBuf,
    smtp: String,
    server: Option<(Process, Client)>,
    senders: Vec<Option<Process>>,
}

impl World {
    async fn start(&mut self) {
        if self.server.is_none() {
            let mut command = sendlab(&self.data);
            command.args(["serve", "--listen", "127.0.0.1:0", "--smtp", &self.smtp]);
            self.server = Some(started(&mut command, &self.data).await);
        }
        for (number, sender) in self.senders.iter_mut().enumerate() {
            if sender.is_none() {
                *sender = Some(start_sender(&self.data, &self.smtp, number).await);
            }
        }
    }

    fn client(&self) -> &Client {
        &self.server.as_ref().expect("the server runs").1
    }

    /// Kills one of them; whether it was the server.
    fn kill(&mut self, number: usize) -> bool {
        match number.checked_sub(1) {
            None => self.server.take().expect("it runs").0.kill(),
            Some(sender) => self.senders[sender].take().expect("it runs").kill(),
        }
        number == 0
    }
}

async fn start_sender(data: &Path, smtp: &str, number: usize) -> Process {
    let mut command = sendlab(data);
    command.args(["send", "--name", &format!("worker-{number}"), "--smtp", smtp]);
    let mut process = Process::start(&mut command);
    // Its first line says that it has settled what an earlier life left behind.
    let (process, line) = tokio::task::spawn_blocking(move || {
        let line = process.first_line();
        (process, line)
    })
    .await
    .expect("reading does not panic");
    assert!(line.starts_with("Sending as"), "{line}");
    process
}

/// Does it. Panics where a promise is broken.
pub(crate) async fn run(plan: Plan) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (sink, received) = Sink::start(SinkConfig { queue_mails_max: 1, ..SinkConfig::default() }).await.unwrap();
    let (seen, gate) = (Arc::new(Mailboxes::default()), Arc::new(Semaphore::new(0)));
    tokio::spawn(count_mails(received, gate.clone(), seen.clone()));
    let senders = (1..plan.workers).map(|_| None).collect();
    let mut world = World { data: folder.path().join("data"), smtp: sink.address().to_string(), server: None, senders };
    world.start().await;
    prepare(world.client(), plan.contacts).await;

    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut outcome = Outcome::default();
    // So few between two kills that there is always somebody left to mail.
    let between_max = (plan.contacts / plan.kills).max(2);
    for _ in 0..plan.kills {
        let more = rng.random_range(1..between_max);
        let target = seen.count.load(Ordering::Relaxed) + more;
        gate.add_permits(more);
        until("the next moment to kill", async || (seen.count.load(Ordering::Relaxed) >= target).then_some(())).await;
        if world.kill(rng.random_range(0..plan.workers)) {
            outcome.server_kills += 1;
        } else {
            outcome.sender_kills += 1;
        }
        world.start().await;
    }
    assert!(seen.count.load(Ordering::Relaxed) < plan.contacts, "sending was under way at the last kill; {plan:?}");
    gate.add_permits(2 * plan.contacts);
    check(world.client(), &seen, plan, outcome).await
}

/// Takes as many mails as the gate lets through.
pub(crate) async fn count_mails(mut received: Receiver<Mail>, gate: Arc<Semaphore>, seen: Arc<Mailboxes>) {
    loop {
        gate.acquire().await.expect("the gate is never closed").forget();
        let Some(mail) = received.recv().await else { return };
        *seen.mails.lock().unwrap().entry(mail.to[0].clone()).or_default() += 1;
        seen.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the campaign `kill` to so many contacts, who are new.
pub(crate) async fn prepare(client: &Client, contacts: usize) {
    let line = |n: usize| {
        let email = format!("k{n}@example.test");
        json!({ "key": format!("k{n}"), "email": email, "email_consent": "double_opt_in", "country": "DE" }).to_string() + "\n"
    };
    for first in (0..contacts).step_by(AT_ONCE) {
        let lines: String = (first..contacts.min(first + AT_ONCE)).map(line).collect();
        client.lines("/v1/contacts", lines.into_bytes()).await.unwrap();
    }
    let experiment = json!({
        "experiment": "kill", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    let send = async |method, path: &str, body: Value| {
        client.send(method, path, "application/json", body.to_string().into_bytes()).await.unwrap()
    };
    send(Method::PUT, "/v1/experiments", experiment).await;
    let copy = json!({ "subject": "Hello", "html": "<p><a href=\"https://shop.example/\">Shop</a></p>", "text": "Hello" });
    let campaign =
        json!({ "campaign": "kill", "experiment": "kill", "from": "news@shop.example", "content": { "a": copy, "b": copy } });
    send(Method::PUT, "/v1/campaigns", campaign).await;
    send(Method::POST, "/v1/campaigns/kill/start", json!({})).await;
}

async fn check(client: &Client, seen: &Mailboxes, plan: Plan, outcome: Outcome) -> Outcome {
    // Ten million would take longer than any patience, so it is the progress that is waited for.
    let mut before = 0;
    let row = loop {
        let row = until("more mails, or the end", async || {
            let row = client.get("/v1/campaigns/kill").await.ok()?;
            (row["state"] == "done" || seen.count.load(Ordering::Relaxed) > before).then_some(row)
        })
        .await;
        before = seen.count.load(Ordering::Relaxed);
        if row["state"] == "done" {
            break row;
        }
    };
    landed(client).await;
    let mails = seen.mails.lock().unwrap().clone();
    let doubled: Vec<&String> = mails.iter().filter(|(_, count)| **count > 1).map(|(to, _)| to).collect();
    assert!(doubled.is_empty(), "got two messages: {doubled:?}; {plan:?}");
    let count = |name: &str| row["progress"][name].as_u64().unwrap();
    let [accepted, in_doubt] = ["accepted", "in_doubt"].map(count);
    assert_eq!(accepted + in_doubt, plan.contacts as u64, "every recipient is accounted for: {row}; {plan:?}");
    let arrived = mails.len() as u64;
    assert!(
        (accepted..=accepted + in_doubt).contains(&arrived),
        "{accepted} accepted, {in_doubt} in doubt, {arrived} arrived; {plan:?}"
    );
    assert!(in_doubt <= plan.kills as u64 * IN_FLIGHT, "{in_doubt} in doubt; {plan:?}");
    let told = async |status: &str| {
        let query = format!("select count(distinct message_id) from deliveries where status = '{status}'");
        sql_number(client, &query).await.cast_unsigned()
    };
    // What a killed process told last may be heard after it was settled as in doubt.
    assert!((accepted..=accepted + in_doubt).contains(&told("accepted").await), "{row}; {plan:?}");
    assert_eq!(told("in_doubt").await, in_doubt, "every doubt is an event; {plan:?}");
    Outcome { accepted, in_doubt, arrived, ..outcome }
}
