//! `sendlab demo`: the whole loop in a simulated world, watched in the terminal, with the truth beside the estimates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use simulator::sink::{Sink, SinkConfig};
use simulator::{DrivePlan, Outcome, Phase, Progress, SeededIds, SteppedClock, World};
use vocabulary::{Currency, VariantName};

use crate::cli::{DemoArgs, Place};
use crate::commands::until_stopped;
use crate::mail_server::local_smtp;
use crate::print::{say, table};
use crate::server::{RatesSource, Server, Settings};

/// The file that marks a folder as the demo's own, to be emptied by the next demo.
const MARK: &str = "this-is-a-demo";

/// The simulated Monday on which everything begins.
const START: &str = "2026-03-02T00:00:00Z";

/// Connections from the sender to the built-in mail server.
const LANES: usize = 2;

/// Runs the demo.
pub(crate) async fn run(place: &Place, args: &DemoArgs) -> anyhow::Result<()> {
    let data = fresh_folder(&place.data)?;
    let world = World { seed: args.seed, contacts: args.contacts, start: START.parse()? };
    let clock = Arc::new(SteppedClock::new(world.start));
    let (sink, mails) = Sink::start(SinkConfig::default()).await.context("cannot start the built-in mail server")?;
    let settings = Settings {
        listen: args.listen,
        base_currency: Some(Currency::new("EUR")?),
        rates: RatesSource::Given(world.rate_table()),
        smtp: Some(local_smtp(sink.address())),
        lanes: LANES,
        ..Settings::new(&data)
    };
    let server = Server::start(settings, clock.clone(), Arc::new(SeededIds::new(args.seed))).await?;
    introduce(&server, &sink, args);

    let client = simulator::Client::new(&server.door.url, &server.door.key)?;
    let bar =
        ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid"));
    let mut report = |progress: Progress| show(&bar, &progress);
    let outcome = simulator::run(&client, &world, &clock, mails, DrivePlan::default(), &mut report).await;
    bar.finish_and_clear();
    let outcome = outcome?;
    conclude(&outcome);
    check(&outcome)?;
    if !args.exit {
        say(&format!("The console stays up at {}/#key={} until Ctrl-C.", server.door.url, server.door.key));
        let program = std::env::current_exe()?;
        say("Ask its lake yourself, in another terminal:");
        say(&format!(
            "  {} --data {} sql \"select variant, count(*) from messages group by variant\"",
            program.display(),
            data.display()
        ));
        until_stopped().await?;
    }
    server.stop().await
}

/// An empty folder for this run. A folder that is not a demo's is never touched.
fn fresh_folder(data: &Path) -> anyhow::Result<PathBuf> {
    let folder = data.join("demo");
    if folder.exists() {
        if !folder.join(MARK).exists() {
            bail!("{} exists and is no demo's folder; choose another place with --data", folder.display());
        }
        if crate::server::read_door(&folder).is_some_and(|door| is_taken(&door.url)) {
            bail!("another demo runs in {}; stop it with Ctrl-C, or choose another place with --data", folder.display());
        }
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(folder.join(MARK), "`sendlab demo` empties this folder each time it runs.\n")?;
    Ok(folder)
}

/// Whether something listens at that address.
fn is_taken(url: &str) -> bool {
    std::net::TcpStream::connect(url.trim_start_matches("http://")).is_ok()
}

fn introduce(server: &Server, sink: &Sink, args: &DemoArgs) {
    say(&format!("A simulated shop with {} contacts, seed {}.", HumanCount(u64::from(args.contacts)), args.seed));
    say(
        "Two subjects are tried at two hours of the reader's own day; 40 % of the contacts take part, the rest wait for the winner.",
    );
    say(&format!("  Console      {}/#key={}", server.door.url, server.door.key));
    say(&format!("  Mail server  {} (built in; nothing leaves this machine)", sink.address()));
    say("");
}

fn sentence(phase: Phase) -> &'static str {
    match phase {
        Phase::Contacts => "Contacts come in through the API.",
        Phase::Test => "The experiment runs: mails leave at each reader's own hour, readers answer through the real links.",
        Phase::Decision => "Every window is over: the experiment is decided.",
        Phase::Rest => "Everybody else gets what is recommended.",
    }
}

/// A line that stays, above the moving one where there is a terminal.
fn line(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() { say(text) } else { bar.println(text) }
}

fn show(bar: &ProgressBar, progress: &Progress) {
    match progress {
        Progress::Began(phase) => line(bar, &format!("▸ {}", sentence(*phase))),
        Progress::Contacts { done, total } => {
            bar.set_message(format!("{} of {} contacts", HumanCount(*done), HumanCount(*total)))
        }
        Progress::Moment { now, counts } => {
            let [mails, opens, clicks, orders] = [counts.mails, counts.opens, counts.clicks, counts.orders].map(HumanCount);
            bar.set_message(format!(
                "{}  {mails} mails, {opens} opened, {clicks} clicked, {orders} orders",
                now.strftime("%a %d %b %H:%M")
            ));
            bar.tick();
        }
        Progress::Look(readout) => {
            let mature: u64 = readout.arms.iter().map(|arm| arm.mature).sum();
            let day = readout.as_of.strftime("%a %d %b");
            line(bar, &format!("  {day}  a look: {} recipients count so far. {}", HumanCount(mature), readout.verdict.sentence));
        }
        Progress::Decided(decision) => line(bar, &format!("  Decided: {}", decision.readout.verdict.sentence)),
    }
}

fn conclude(outcome: &Outcome) {
    say("");
    say(
        "What is true in the simulated world, and what Sendlab estimated without knowing it (difference to control per recipient):",
    );
    say("");
    let digits = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:+.5}"));
    let row = |row: &simulator::outcome::Comparison| {
        let covered = match row.covered {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        vec![
            row.metric.clone(),
            row.variant.to_string(),
            digits(Some(row.effect_true)),
            digits(row.effect_estimated),
            format!("[{}, {}]", digits(row.lower), digits(row.upper)),
            covered.into(),
            if row.significant { "yes".into() } else { "no".into() },
        ]
    };
    let headings = ["metric", "variant", "truth", "estimate", "95 % interval", "holds truth", "significant"];
    table(&headings, &outcome.comparisons.iter().map(row).collect::<Vec<_>>());
    say("");
    let sent = |mails: &std::collections::BTreeMap<String, u64>| {
        mails.iter().map(|(variant, count)| format!("{} {variant}", HumanCount(*count))).collect::<Vec<_>>().join(", ")
    };
    let used = outcome.recommendation.as_ref().map(|recommendation| &recommendation.variant);
    say(&format!("  True best     {}", outcome.best));
    say(&format!("  Senders use   {}", used.map_or("nothing", VariantName::as_str)));
    say(&format!("  Mails before  {}", sent(&outcome.mails_before)));
    say(&format!("  Mails after   {}", sent(&outcome.mails_after)));
    let [opens, machine, clicks, orders] =
        [outcome.counts.opens, outcome.counts.machine_opens, outcome.counts.clicks, outcome.counts.orders].map(HumanCount);
    say(&format!("  Answers       {opens} opens ({machine} more by machines), {clicks} clicks, {orders} orders"));
    let stopped = HumanCount(outcome.counts.unsubscribes);
    say(&format!(
        "  Unsubscribed  {stopped}, of whom {} were mailed again; nobody got a mail twice: {}",
        outcome.unsubscribed_mailed,
        outcome.duplicates == 0
    ));
    let walls = outcome.walls.iter().map(|(phase, wall)| format!("{} {:.1} s", phase.as_str(), wall.as_secs_f64()));
    let total: f64 = outcome.walls.iter().map(|(_, wall)| wall.as_secs_f64()).sum();
    say(&format!("  Time taken    {total:.1} s ({})", walls.collect::<Vec<_>>().join(", ")));
    say("");
}

/// The promises of the demo; a broken one is a failure, not a footnote.
fn check(outcome: &Outcome) -> anyhow::Result<()> {
    if outcome.duplicates > 0 || outcome.mailed_twice > 0 || outcome.unsubscribed_mailed > 0 {
        bail!(
            "a promise was broken: {} duplicates, {} mailed by both campaigns, {} mailed after unsubscribing",
            outcome.duplicates,
            outcome.mailed_twice,
            outcome.unsubscribed_mailed
        );
    }
    if outcome.losers_after() > 0 {
        bail!("{} mails after the decision carried a loser", outcome.losers_after());
    }
    Ok(())
}
