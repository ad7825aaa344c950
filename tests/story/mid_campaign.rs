//! A campaign is being sent, and the world changes: rules, consents, the server's clock, its disk. What changed holds for every
//! message that has not left, and nobody gets two.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use reqwest::Method;
use sendlab::Client;
use serde_json::{Value, json};
use simulator::sink::{Mail, Sink, SinkConfig};
use tokio::sync::mpsc::Receiver;

use crate::support::shop::Shop;
use crate::support::{PATIENCE, run, sendlab, sql_number, started, text, until};

const CONTACTS: usize = 240;
/// What may be on the wire at one moment: one message for each lane, and one that the mail server holds until the test reads it.
const ON_THE_WIRE: usize = 4 + 1;
/// What was known of a contact is not relied on for longer.
const A_SECOND: std::time::Duration = std::time::Duration::from_secs(1);

fn name(number: usize) -> String {
    format!("k{number}")
}

/// A mail server whose pace the test sets, by reading its mails.
async fn held_sink() -> (Sink, Receiver<Mail>) {
    Sink::start(SinkConfig { queue_mails_max: 1, ..SinkConfig::default() }).await.unwrap()
}

/// To whom a mail went.
fn reader(mail: &Mail) -> String {
    mail.to[0].split_once('@').expect("an address has an @").0.to_owned()
}

/// To whom the next mails went.
async fn receive(mails: &mut Receiver<Mail>, count: usize) -> Vec<String> {
    let mut to = Vec::with_capacity(count);
    while to.len() < count {
        let mail = tokio::time::timeout(PATIENCE, mails.recv()).await.expect("mails keep coming").expect("the mail server runs");
        to.push(reader(&mail));
    }
    to
}

/// To whom mails go until the campaign is done.
async fn receive_rest(client: &Client, campaign: &str, mails: &mut Receiver<Mail>) -> (Vec<String>, Value) {
    let mut to = Vec::new();
    let end = until(&format!("campaign {campaign} to end"), async || {
        while let Ok(mail) = mails.try_recv() {
            to.push(reader(&mail));
        }
        let row = client.get(&format!("/v1/campaigns/{campaign}")).await.ok()?;
        (row["state"] == "done").then_some(row)
    })
    .await;
    while let Ok(mail) = mails.try_recv() {
        to.push(reader(&mail));
    }
    (to, end["progress"].clone())
}

async fn send(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let sent = client.send(method, path, "application/json", body.to_string().into_bytes()).await;
    sent.unwrap_or_else(|error| panic!("{path}: {error:#}"))
}

async fn prepare(client: &Client) {
    let person = |number| json!({ "key": name(number), "email": format!("{}@example.test", name(number)), "email_consent": "express", "country": "GB" });
    let lines: String = (0..CONTACTS).map(|number| person(number).to_string() + "\n").collect();
    client.lines("/v1/contacts", lines.into_bytes()).await.unwrap();
    let experiment = json!({
        "experiment": "e", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    send(client, Method::PUT, "/v1/experiments", experiment).await;
}

async fn start(client: &Client, campaign: &str, more: Value) {
    let copy = json!({ "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" });
    let mut body =
        json!({ "campaign": campaign, "experiment": "e", "from": "news@shop.example", "content": { "a": copy, "b": copy } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    send(client, Method::PUT, "/v1/campaigns", body).await;
    send(client, Method::POST, &format!("/v1/campaigns/{campaign}/start"), json!({})).await;
}

fn caps(a_day: u8) -> String {
    format!(
        "version = 1\nchecked = 2026-11-28\n\n[[rule]]\nid = \"cap/email-day\"\nkind = \"house\"\nsource = \"The sender's own limit\"\n\
         where = [\"*\"]\nchannels = [\"email\"]\nlimit = {a_day}\nwithin = \"24 hours\"\n"
    )
}

fn in_hours(hours: i64) -> String {
    use vocabulary::Clock as _;
    sendlab::SystemClock.now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap().to_string()
}

/// The version of the rules in force.
async fn rules(client: &Client) -> String {
    let body = json!({ "campaign": "one", "contacts": ["k0"] });
    send(client, Method::POST, "/v1/explanations", body).await["rules"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_and_caps_hold_from_the_next_second_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, own) = (folder.path().join("data"), folder.path().join("rules"));
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("caps.toml"), caps(2)).unwrap();
    let (sink, mut mails) = held_sink().await;
    let mut command = sendlab(&data);
    command.args(["serve", "--listen", "127.0.0.1:0", "--smtp", &sink.address().to_string(), "--rules"]).arg(&own);
    let (_server, client) = started(&mut command, &data).await;
    prepare(&client).await;
    start(&client, "one", json!({})).await;
    let (first, progress) = receive_rest(&client, "one", &mut mails).await;
    assert_eq!((first.len(), &progress["accepted"]), (CONTACTS, &json!(CONTACTS)));

    // A second mail on that day is allowed; it has to be out in three hours.
    start(&client, "two", json!({ "ends": in_hours(3) })).await;
    let mut seen: HashSet<String> = receive(&mut mails, 60).await.into_iter().collect();
    let leavers: HashSet<String> = (0..CONTACTS).map(name).filter(|name| !seen.contains(name)).take(80).collect();
    let withdrawn =
        |key: &String| json!({ "key": key, "consents": [{ "channel": "email", "state": "withdrawn" }] }).to_string() + "\n";
    client.lines("/v1/contacts", leavers.iter().map(withdrawn).collect::<String>().into_bytes()).await.unwrap();
    tokio::time::sleep(A_SECOND).await;
    let after = receive(&mut mails, 40).await;
    let late = after.iter().filter(|to| leavers.contains(*to)).count();
    assert!(late <= ON_THE_WIRE, "{late} got a mail after they had left");
    seen.extend(after);

    // Now one a day is the most.
    let before = rules(&client).await;
    std::fs::write(own.join("caps.toml"), caps(1)).unwrap();
    until("the new rules to be in force", async || (rules(&client).await != before).then_some(())).await;
    tokio::time::sleep(A_SECOND).await;
    let (rest, progress) = receive_rest(&client, "two", &mut mails).await;
    assert!(rest.len() <= ON_THE_WIRE, "{} got a second mail after the cap", rest.len());
    seen.extend(rest);
    let count = |state: &str| progress[state].as_u64().unwrap() as usize;
    assert_eq!(
        (count("accepted"), count("accepted") + count("skipped"), count("in_doubt")),
        (seen.len(), CONTACTS, 0),
        "{progress}"
    );
    let told = sql_number(&client, "select count(*) from messages where campaign_id = 'two'").await;
    assert_eq!(told as usize, seen.len(), "the events say the same");
    // A file that cannot be read changes nothing.
    let before = rules(&client).await;
    std::fs::write(own.join("caps.toml"), "limit = many").unwrap();
    tokio::time::sleep(A_SECOND).await;
    assert_eq!(rules(&client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_a_restart_and_a_clock_that_jumps_double_nothing() {
    let shop = Shop::gated("2026-03-02T09:00:00Z").await;
    let person = |number| json!({ "key": name(number), "email": format!("{}@example.test", name(number)), "email_consent": "express", "country": "GB" });
    shop.contacts((0..CONTACTS).map(person).collect()).await;
    shop.experiment("e", [Some(10), Some(11)]).await;
    shop.campaign("c", "e", json!({})).await;
    let arrived = async |count: usize| until("mails to arrive", async || (shop.recipients().len() >= count).then_some(())).await;
    shop.pass(60);
    shop.let_through(20);
    arrived(20).await;
    shop.send(Method::POST, "/v1/campaigns/c/pause", &json!({})).await;
    // An hour back: what is planned for ten and eleven is not due yet.
    shop.clock.set("2026-03-02T09:00:00Z".parse().unwrap());
    shop.let_through(2 * CONTACTS);
    let settled = async |shop: &Shop| {
        until("nothing to be on the wire", async || {
            let progress = shop.client.get("/v1/campaigns/c").await.ok()?["progress"].clone();
            (progress["claimed"] == 0 && progress["accepted"] == shop.recipients().len()).then_some(())
        })
        .await;
    };
    settled(&shop).await;
    let before = shop.recipients().len();
    assert!((20..=20 + ON_THE_WIRE).contains(&before), "{before} left before the pause held");
    shop.send(Method::POST, "/v1/campaigns/c/start", &json!({})).await;
    let shop = shop.reopen().await;
    settled(&shop).await;
    assert_eq!(shop.recipients().len(), before, "nothing leaves before its hour");
    // Two hours on, at once: everything is due.
    shop.clock.set("2026-03-02T11:00:00Z".parse().unwrap());
    let end = shop.state("c", &["done"]).await["progress"].clone();
    assert_eq!((&end["accepted"], &end["in_doubt"]), (&json!(CONTACTS), &json!(0)), "{end}");
    // Back again, and a new start: it stays done.
    shop.clock.set("2026-03-02T10:00:00Z".parse().unwrap());
    let shop = shop.reopen().await;
    let recipients = shop.recipients();
    let different: HashSet<&String> = recipients.iter().collect();
    assert_eq!((recipients.len(), different.len()), (CONTACTS, CONTACTS));
    shop.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy, other) = (folder.path().join("data"), folder.path().join("copy"), folder.path().join("other"));
    let (sink, mut mails) = held_sink().await;
    let server = |data: &Path| {
        let mut command = sendlab(data);
        command.args(["serve", "--listen", "127.0.0.1:0", "--smtp", &sink.address().to_string()]);
        command
    };
    let (process, client) = started(&mut server(&data), &data).await;
    prepare(&client).await;
    start(&client, "c", json!({})).await;
    let mut got: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |to: Vec<String>| to.into_iter().for_each(|to| *got.entry(to).or_default() += 1);
    count(receive(&mut mails, 50).await);
    run(sendlab(&data).args(["lake", "backup"]).arg(&copy).arg("--with-keys"));
    count(receive(&mut mails, 70).await);
    process.kill();
    // What was on the wire arrives too.
    while let Ok(Some(mail)) = tokio::time::timeout(A_SECOND, mails.recv()).await {
        count(vec![reader(&mail)]);
    }
    let restored = sendlab(&other).args(["lake", "restore"]).arg(&copy).output().unwrap();
    assert!(restored.status.success() && text(&restored).contains("counts as in doubt"), "{}", text(&restored));

    let (_process, client) = started(&mut server(&other), &other).await;
    let (more, progress) = receive_rest(&client, "c", &mut mails).await;
    assert!(more.is_empty(), "nothing that was due before is sent again: {more:?}");
    assert!(got.values().all(|count| *count == 1), "got two: {got:?}");
    let count = |state: &str| progress[state].as_u64().unwrap() as usize;
    assert_eq!(count("accepted") + count("in_doubt"), CONTACTS, "{progress}");
    assert!(count("accepted") >= 50 - ON_THE_WIRE && count("accepted") < got.len(), "{progress}, {} arrived", got.len());
    let doubts = sql_number(&client, "select count(*) from deliveries where status = 'in_doubt'").await;
    assert_eq!(doubts as usize, count("in_doubt"), "every doubt is an event");

    // What comes after goes out as ever.
    start(&client, "next", json!({ "class": "transactional" })).await;
    let (next, progress) = receive_rest(&client, "next", &mut mails).await;
    assert_eq!((next.len(), &progress["accepted"]), (CONTACTS, &json!(CONTACTS)));
}
