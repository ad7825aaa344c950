//! `sendlab bench plan`: how long a plan takes, and how much memory, for an audience of any size with its consents and everything it
//! was sent in the last weeks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use control::{Control, Duplicates, Evidence, NewConsent, NewContact};
use lake::{Lake, LakeError};
use policy::{Basis, Purpose};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use vocabulary::{
    Body, CampaignId, Channel, Clock as _, ContactKey, Context, Event, EventId, MessageClass, Profile, Timestamp, VariantName,
};

use crate::client::Client;
use crate::mail_server::local_smtp;
use crate::print::{note, say};
use crate::server::{Server, Settings, lake_config};
use crate::{SystemClock, SystemIds, master_key};

/// Contacts stored at once.
const CONTACTS_AT_ONCE: usize = 20_000;
/// Messages landed at once.
const MESSAGES_AT_ONCE: usize = 1_000_000;
/// Messages appended at once.
const APPENDED_AT_ONCE: usize = 20_000;
/// Messages before are spread over so many hours: further than any cap looks back.
const HOURS: usize = 40 * 24;
/// How often is looked whether a step is done.
const LOOK: Duration = Duration::from_millis(20);

/// Forty time zones with the country of each.
const PLACES: [(&str, &str); 40] = [
    ("GB", "Europe/London"),
    ("DE", "Europe/Berlin"),
    ("FR", "Europe/Paris"),
    ("ES", "Europe/Madrid"),
    ("IT", "Europe/Rome"),
    ("NL", "Europe/Amsterdam"),
    ("BE", "Europe/Brussels"),
    ("AT", "Europe/Vienna"),
    ("CH", "Europe/Zurich"),
    ("SE", "Europe/Stockholm"),
    ("NO", "Europe/Oslo"),
    ("DK", "Europe/Copenhagen"),
    ("FI", "Europe/Helsinki"),
    ("PL", "Europe/Warsaw"),
    ("CZ", "Europe/Prague"),
    ("PT", "Europe/Lisbon"),
    ("IE", "Europe/Dublin"),
    ("GR", "Europe/Athens"),
    ("TR", "Europe/Istanbul"),
    ("AE", "Asia/Dubai"),
    ("SA", "Asia/Riyadh"),
    ("IN", "Asia/Kolkata"),
    ("TH", "Asia/Bangkok"),
    ("VN", "Asia/Ho_Chi_Minh"),
    ("MY", "Asia/Kuala_Lumpur"),
    ("SG", "Asia/Singapore"),
    ("PH", "Asia/Manila"),
    ("ID", "Asia/Jakarta"),
    ("HK", "Asia/Hong_Kong"),
    ("TW", "Asia/Taipei"),
    ("JP", "Asia/Tokyo"),
    ("KR", "Asia/Seoul"),
    ("AU", "Australia/Sydney"),
    ("NZ", "Pacific/Auckland"),
    ("BR", "America/Sao_Paulo"),
    ("MX", "America/Mexico_City"),
    ("CL", "America/Santiago"),
    ("US", "America/New_York"),
    ("US", "America/Chicago"),
    ("US", "America/Los_Angeles"),
];

#[derive(Debug, Args)]
pub(crate) struct BenchPlanArgs {
    /// Contacts.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=50_000_000))]
    contacts: u32,
    /// Messages that each was sent in the last 40 days.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=50))]
    sent: u8,
    /// Where contacts and messages are made and kept for the next time; nothing is kept where absent.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

pub(crate) async fn run(args: &BenchPlanArgs) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    // Nothing is sent: the campaign begins tomorrow, and nobody listens here.
    let smtp = Some(local_smtp(std::net::SocketAddr::from(([127, 0, 0, 1], 9))));
    let settings = Settings { smtp, ..Settings::new(&folder.join("data")) };
    let made = folder.join(format!("{}-{}", args.contacts, args.sent));
    if !made.exists() {
        ensure!(!settings.data.exists(), "{} holds another audience; name an empty folder", folder.display());
        make(args, &settings).await?;
        std::fs::write(&made, "")?;
    }
    let server = Server::start(settings.clone(), Arc::new(SystemClock), Arc::new(SystemIds)).await?;
    let client = Client::new(server.door.clone());
    published(&client, args.contacts).await?;
    say(&format!("{} contacts in 40 time zones, {} messages each before, 4 variants by 3 hours.", args.contacts, args.sent));
    // So that what was needed before does not count.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_memory()?;
    let name = format!("bench-{}", SystemClock.now().as_microsecond());
    let plan = settings.data.join("plans");
    let (decided, told) = compile(&client, &name, &plan).await?;
    say(&format!("  The plan      {:.1} s, with every decision and its reason, on disk", decided.as_secs_f64()));
    say(&format!("  Assignments   {:.1} s more, told to the lake", told.as_secs_f64()));
    say(&format!("  Memory        {:.2} GiB at most, {:.2} GiB before it began", gib(peak_memory()?), gib(before)));
    client.send(Method::POST, &format!("/v1/campaigns/{name}/pause"), "application/json", b"{}".to_vec()).await?;
    server.stop().await
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// The most memory this process had since the last reset, in bytes.
fn peak_memory() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("needs /proc, as Linux has it")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/self/status has no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM is no number")?;
    Ok(kib * 1024)
}

/// Starts a campaign; how long until its plan is on disk, and from then on until everybody's assignment is told.
async fn compile(client: &Client, name: &str, plans: &Path) -> anyhow::Result<(Duration, Duration)> {
    let put =
        async |path: &str, body: Value| client.send(Method::PUT, path, "application/json", body.to_string().into_bytes()).await;
    let variant =
        |copy: usize, hour: u8| json!({ "name": format!("c{copy}h{hour}"), "copy": format!("c{copy}"), "send_hour": hour });
    let variants: Vec<Value> = (0..4).flat_map(|copy| [9, 13, 19].map(|hour| variant(copy, hour))).collect();
    let experiment = json!({
        "experiment": name, "factors": ["copy", "timing"], "primary": "clicked", "variants": variants,
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    put("/v1/experiments", experiment).await?;
    let copy = json!({ "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" });
    let content: serde_json::Map<String, Value> = (0..4).map(|number| (format!("c{number}"), copy.clone())).collect();
    let start = SystemClock.now() + jiff::SignedDuration::from_hours(24);
    let campaign =
        json!({ "campaign": name, "experiment": name, "from": "news@shop.example", "content": content, "start": start });
    put("/v1/campaigns", campaign).await?;
    let files = || std::fs::read_dir(plans).map_or(0, |files| files.flatten().filter(|file| is_plan(&file.path())).count());
    let (began, plans_before) = (Instant::now(), files());
    client.send(Method::POST, &format!("/v1/campaigns/{name}/start"), "application/json", b"{}".to_vec()).await?;
    while files() == plans_before {
        tokio::time::sleep(LOOK).await;
        let row = client.get(&format!("/v1/campaigns/{name}")).await?;
        ensure!(row["state"] != "failed", "the campaign could not be planned: {}", row["error"]);
    }
    let decided = began.elapsed();
    loop {
        let row = client.get(&format!("/v1/campaigns/{name}")).await?;
        match row["state"].as_str() {
            Some("planning") => tokio::time::sleep(LOOK).await,
            Some("sending") => return Ok((decided, began.elapsed() - decided)),
            _ => bail!("the campaign stands at {}", row["state"]),
        }
    }
}

fn is_plan(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// Waits until the lake knows all contacts.
async fn published(client: &Client, contacts: u32) -> anyhow::Result<()> {
    let question = json!({ "sql": "SELECT count(*) AS contacts FROM contacts" }).to_string().into_bytes();
    loop {
        let answer = client.bytes(Method::POST, "/v1/sql?format=csv", "application/json", question.clone()).await?;
        if String::from_utf8_lossy(&answer).lines().nth(1) == Some(&contacts.to_string()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Stores the contacts with their consents, and what they were sent.
async fn make(args: &BenchPlanArgs, settings: &Settings) -> anyhow::Result<()> {
    std::fs::create_dir_all(&settings.data)?;
    let (ids, clock, began) = (Arc::new(SystemIds), Arc::new(SystemClock), Instant::now());
    let control = master_key::open_control(&settings.data, None, ids, clock.clone()).await?;
    let now = clock.now();
    for first in (0..args.contacts as usize).step_by(CONTACTS_AT_ONCE) {
        let some = first..(args.contacts as usize).min(first + CONTACTS_AT_ONCE);
        let checked: Result<Vec<_>, _> = some.map(|number| contact(number, now).check()).collect();
        control
            .upsert_contacts(
                &checked.map_err(|error| anyhow::anyhow!("{}: {}", error.field, error.reason))?,
                Duplicates::Separate,
            )
            .await?;
        progress("contacts", first + CONTACTS_AT_ONCE, args.contacts as usize);
    }
    note(&format!("{} contacts stored in {:.0} s", args.contacts, began.elapsed().as_secs_f64()));
    let (lake, began) = (Lake::open(lake_config(settings)?).await?, Instant::now());
    let count = send(args, &control, &lake, now).await?;
    note(&format!("{count} messages landed in {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

fn progress(what: &str, done: usize, of: usize) {
    if done % 1_000_000 < CONTACTS_AT_ONCE {
        note(&format!("{} of {of} {what}", done.min(of)));
    }
}

/// The contact of a number. One in twenty has withdrawn.
fn contact(number: usize, now: Timestamp) -> NewContact {
    let (country, zone) = PLACES[number % PLACES.len()];
    let profile = Profile {
        country: Some(country.to_owned()),
        time_zone: Some(zone.to_owned()),
        language: Some("en".to_owned()),
        ..Profile::default()
    };
    let given = (number % 20 != 7).then_some(Basis::DoubleOptIn);
    let consent = NewConsent {
        channel: Channel::Email,
        purpose: Purpose::Marketing,
        given,
        at: Some(now - jiff::SignedDuration::from_hours(24 * 90)),
        source: None,
        wording: None,
        evidence: Evidence::default(),
    };
    NewContact {
        key: format!("k{number}"),
        addresses: [(Channel::Email, format!("k{number}@example.test"))].into(),
        profile,
        registered_at: None,
        consents: vec![consent],
    }
}

/// Tells the lake of messages that each contact was sent.
async fn send(args: &BenchPlanArgs, control: &Control, lake: &Lake, now: Timestamp) -> anyhow::Result<usize> {
    let (mut last, mut count, mut landed) = (None, 0, 0);
    loop {
        let page = control.contacts_after(last, APPENDED_AT_ONCE / usize::from(args.sent.max(1))).await?;
        let Some(contact) = page.last() else { break };
        last = Some(contact.key);
        let messages = page.iter().flat_map(|contact| (0..args.sent).map(|number| message(contact.key, number, now)));
        let messages: Vec<Event> = messages.collect();
        count += messages.len();
        // A log that is full is landed first.
        while let Err(error) = lake.append_with(|rows| messages.iter().for_each(|event| rows.push(event.borrowed()))).await {
            ensure!(matches!(error, LakeError::Busy { .. }), error);
            lake.land().await?;
        }
        if count - landed >= MESSAGES_AT_ONCE {
            lake.land().await?;
            landed = count;
            note(&format!("{count} of {} messages", args.contacts as usize * usize::from(args.sent)));
        }
    }
    lake.land().await?;
    Ok(count)
}

fn message(contact: ContactKey, number: u8, now: Timestamp) -> Event {
    let bits = contact.as_i64().cast_unsigned().rotate_left(u32::from(number) * 7) as usize;
    let time = now - jiff::SignedDuration::from_hours((bits % HOURS) as i64 + 1);
    Event {
        id: EventId::new(&format!("m{number}.{contact}")).expect("a short text is an id"),
        time,
        received_at: time,
        contact,
        time_doubt: None,
        context: Context {
            campaign_id: CampaignId::new(&format!("past-{number}")).ok(),
            variant: VariantName::new("a").ok(),
            channel: Some(Channel::Email),
            ..Context::default()
        },
        body: Body::Message { class: MessageClass::Marketing, cost: None },
    }
}
