//! `sendlab bench smtp`: the sender beside Postfix's own load generator, against the same server in the same run; and what each step of
//! the way of a message costs.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use content::{Data, Library, Links, RenderContext, Tracking};
use control::{CampaignState, Control, ControlConfig, NewClaim, NewSlice, Settled, Settlement};
use gateways::{Dkim, DkimKey, DkimKind, Envelope, HandOver, ListHeaders, MailParts, SmtpConfig, SmtpLane, new_dkim_key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use vocabulary::{Campaign, Clock as _, Contact, ContactKey, Experiment, VariantName};

use crate::print::say;
use crate::{SystemClock, SystemIds};

/// Messages claimed and settled together, as the sender does; fewer where not every lane would have two such groups.
const GROUP_MAX: usize = 64;
/// So many groups at least for each lane, so that they end at about the same time.
const GROUPS_PER_LANE: usize = 2;
/// So many messages less are sent over a slow line.
const SLOW_SHARE: usize = 10;
/// The line between the two programs where a round trip takes time holds so much.
const LINE_BYTES: usize = 64 * 1024;
/// The places of Postfix's tools that are not in everybody's path.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/lib/postfix/sbin", "/usr/local/sbin"];
/// Bytes of a rendered mail, roughly.
const PIPELINE_BYTES: usize = 14 * 1024;
const FROM: &str = "Shop <news@shop.example>";

#[derive(Debug, Args)]
pub(crate) struct BenchSmtpArgs {
    /// Messages in each run.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    messages: u32,
    /// Bytes of each message where both programs send the same.
    #[arg(long, default_value_t = 10_240, value_parser = clap::value_parser!(u32).range(512..=1_048_576))]
    bytes: u32,
    /// Connections at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Runs of each; the median is told.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=15))]
    runs: u8,
    /// The round trip of the slow line, in milliseconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=500))]
    round_trip_ms: u16,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
struct Run {
    per_second: f64,
    /// Processor microseconds for each message.
    cpu_micros: f64,
}

pub(crate) async fn run(args: &BenchSmtpArgs) -> anyhow::Result<()> {
    let (source, sink) = (tool("smtp-source")?, tool("smtp-sink")?);
    let sink = Sink::start(&sink).await?;
    let (count, lanes) = (args.messages as usize, usize::from(args.connections));
    say(&format!(
        "{count} messages of {} bytes over {lanes} connections to smtp-sink on this machine; medians of {} runs, in turn.",
        args.bytes, args.runs
    ));
    beside(args, &source, sink.port, count, true).await?;
    let slow_count = (count / SLOW_SHARE).max(lanes);
    let line = slow_line(sink.port, Duration::from_millis(u64::from(args.round_trip_ms)) / 2).await?;
    say(&format!("\n{slow_count} of them over a line with a round trip of {} ms:", args.round_trip_ms));
    beside(args, &source, line, slow_count, false).await?;
    whole_way(args, sink.port).await
}

/// Runs both programs in turn and tells the medians.
async fn beside(args: &BenchSmtpArgs, source: &Path, port: u16, count: usize, with_cpu: bool) -> anyhow::Result<()> {
    let mail = filled(args.bytes as usize);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        theirs.push(by_source(args, source, port, count).await?);
        ours.push(by_lanes(usize::from(args.connections), port, count, &mail).await?);
    }
    let (theirs, ours) = (median(theirs), median(ours));
    tell("smtp-source -d", theirs, with_cpu, None);
    tell("Sendlab", ours, with_cpu, Some(ours.per_second / theirs.per_second));
    Ok(())
}

fn tell(name: &str, run: Run, with_cpu: bool, ratio: Option<f64>) {
    let cpu = if with_cpu { format!("  {:>6.0} us of processor a message", run.cpu_micros) } else { String::new() };
    let ratio = ratio.map(|ratio| format!("  {ratio:.2} x")).unwrap_or_default();
    say(&format!("  {name:<24} {:>8.0} a second{cpu}{ratio}", run.per_second));
}

fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    runs[runs.len() / 2]
}

/// A program of Postfix.
fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = crate::client::variable("PATH").unwrap_or_default();
    let folders = path.split(':').chain(FOLDERS).map(Path::new);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is not here; it comes with Postfix: apt-get install --no-install-recommends postfix"))
}

/// Postfix's server that takes everything; it ends with this.
struct Sink {
    port: u16,
    _process: Child,
}

impl Sink {
    async fn start(program: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
        let mut command = Command::new(program);
        // It will not run as root.
        if std::fs::metadata("/proc/self")?.uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        command.args(["-m", "512", &format!("127.0.0.1:{port}"), "512"]);
        let process =
            command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().context("cannot start smtp-sink")?;
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(Self { port, _process: process });
            }
            sleep(Duration::from_millis(25)).await;
        }
        bail!("smtp-sink does not answer; `{} 127.0.0.1:{port} 512` says why", program.display())
    }
}

async fn by_source(args: &BenchSmtpArgs, program: &Path, port: u16, count: usize) -> anyhow::Result<Run> {
    let mut command = Command::new(program);
    command.args(["-d", "-s", &args.connections.to_string(), "-m", &count.to_string(), "-l", &args.bytes.to_string()]);
    command.args(["-f", "news@shop.example", "-t", "ann@home.example", &format!("127.0.0.1:{port}")]);
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().context("cannot start smtp-source")?;
    let stat = format!("/proc/{}/stat", child.id().context("smtp-source has ended already")?);
    // The times of a process can be read until somebody waits for it.
    let mut ticks = 0;
    while let Some((state, used)) = std::fs::read_to_string(&stat).ok().as_deref().and_then(read_stat) {
        ticks = used;
        if state == 'Z' {
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    let took = began.elapsed();
    ensure!(child.wait().await?.success(), "smtp-source failed; nothing can be compared");
    Ok(measured(count, took, ticks))
}

/// Sends one mail again and again over so many lanes.
async fn by_lanes(lanes: usize, port: u16, count: usize, mail: &Arc<[u8]>) -> anyhow::Result<Run> {
    let (next, group) = (Arc::new(AtomicUsize::new(0)), group_of(count, lanes));
    let one = |_| {
        let (next, mail) = (next.clone(), mail.clone());
        async move {
            let mut lane = SmtpLane::new(SmtpConfig::new("127.0.0.1", port));
            while let Some(group) = take(&next, group, count) {
                let envelopes = vec![envelope("ann@home.example"); group.len()];
                accepted(&lane.deliver(&envelopes, &mut |_| Some(mail.to_vec())).await)?;
            }
            lane.close().await;
            Ok(())
        }
    };
    together(count, (0..lanes).map(one)).await
}

/// Runs lanes side by side until each is done with its part of so many messages.
async fn together<L>(count: usize, lanes: impl Iterator<Item = L>) -> anyhow::Result<Run>
where
    L: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (began, before) = (Instant::now(), own_ticks());
    let mut tasks: JoinSet<anyhow::Result<()>> = lanes.collect();
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(measured(count, began.elapsed(), own_ticks() - before))
}

/// How many messages are taken together.
fn group_of(count: usize, lanes: usize) -> usize {
    count.div_ceil(lanes * GROUPS_PER_LANE).clamp(1, GROUP_MAX)
}

/// The next group of messages.
fn take(next: &AtomicUsize, group: usize, count: usize) -> Option<std::ops::Range<usize>> {
    let first = next.fetch_add(group, Ordering::Relaxed);
    (first < count).then(|| first..count.min(first + group))
}

fn envelope(to: &str) -> Envelope {
    Envelope { from: "news@shop.example".to_owned(), to: to.to_owned() }
}

fn accepted(outcomes: &[HandOver]) -> anyhow::Result<()> {
    match outcomes.iter().find(|outcome| !matches!(outcome, HandOver::Accepted { .. })) {
        None => Ok(()),
        Some(other) => bail!("smtp-sink did not take a message: {other:?}"),
    }
}

fn filled(bytes: usize) -> Arc<[u8]> {
    let mut mail = b"From: news@shop.example\r\nTo: ann@home.example\r\nSubject: bench\r\n\r\n".to_vec();
    while mail.len() < bytes {
        mail.extend_from_slice(b"All work and no play makes mail a dull thing to read, line by line.\r\n");
    }
    mail.truncate(bytes - 2);
    mail.extend_from_slice(b"\r\n");
    mail.into()
}

/// A processor's time is counted in hundredths of a second (`sysconf(_SC_CLK_TCK)`, which is 100 on every Linux that Rust runs on).
const MICROS_PER_TICK: f64 = 10_000.0;

fn measured(count: usize, took: Duration, ticks: u64) -> Run {
    Run { per_second: count as f64 / took.as_secs_f64(), cpu_micros: ticks as f64 * MICROS_PER_TICK / count as f64 }
}

fn own_ticks() -> u64 {
    std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(read_stat).map_or(0, |(_, ticks)| ticks)
}

/// State and ticks of a process (proc(5)): the fields after the name, which stands in parentheses and may hold anything.
fn read_stat(text: &str) -> Option<(char, u64)> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some((fields.first()?.chars().next()?, ticks(11)? + ticks(12)?))
}

/// A line to a port of this machine on which everything takes so long in each direction; its own port.
async fn slow_line(to: u16, delay: Duration) -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
            // A line does not wait for more bytes.
            drop((near.set_nodelay(true), far.set_nodelay(true)));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(one_way(near_in, far_out, delay));
            tokio::spawn(one_way(far_in, near_out, delay));
        }
    });
    Ok(port)
}

async fn one_way(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, delay: Duration) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = receiver.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; LINE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if sender.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

/// The whole way of a message: claimed, rendered, made a mail, signed, handed over, settled.
async fn whole_way(args: &BenchSmtpArgs, port: u16) -> anyhow::Result<()> {
    let key = |kind| DkimKey::read("shop.example", "bench", new_dkim_key(kind)?.as_bytes());
    let signed = |kind| anyhow::Ok(Arc::new(Dkim::new(vec![key(kind)?])));
    let none = Arc::new(Dkim::default());
    let ways = [
        ("unsigned", none.clone(), true),
        ("unsigned, no ledger", none, false),
        ("Ed25519", signed(DkimKind::Ed25519)?, true),
        ("RSA-2048", signed(DkimKind::Rsa)?, true),
    ];
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); ways.len()];
    let mut bytes = 0;
    for _ in 0..args.runs {
        for ((_, dkim, has_ledger), runs) in ways.iter().zip(&mut runs) {
            let folder = tempfile::tempdir()?;
            let way = Arc::new(Way::new(args, port, dkim.clone(), has_ledger.then_some(folder.path())).await?);
            runs.push(way.clone().run(usize::from(args.connections)).await?);
            bytes = way.bytes.load(Ordering::Relaxed) / way.count;
        }
    }
    say(&format!("\nThe whole way (claim, render {bytes} bytes, MIME, sign, hand over, settle):"));
    let runs: Vec<Run> = runs.into_iter().map(median).collect();
    for ((name, ..), run) in ways.iter().zip(&runs) {
        tell(name, *run, true, None);
    }
    let cost = 100.0 * (1.0 - runs[0].per_second / runs[1].per_second);
    say(&format!("  The ledger costs {cost:.1} % of the rate."));
    Ok(())
}

/// What the lanes of one run share.
struct Way {
    control: Option<Arc<Control>>,
    campaign: Campaign,
    variant: VariantName,
    library: Library,
    links: Links,
    dkim: Arc<Dkim>,
    port: u16,
    count: usize,
    next: AtomicUsize,
    bytes: AtomicUsize,
}

impl Way {
    async fn new(args: &BenchSmtpArgs, port: u16, dkim: Arc<Dkim>, ledger: Option<&Path>) -> anyhow::Result<Self> {
        let campaign: Campaign = serde_json::from_value(serde_json::json!({
            "campaign": "bench", "experiment": "bench", "from": FROM,
            "content": { "a": { "subject": "{{ contact.attributes.first_name }}, it is spring", "html": template(true), "text": template(false) } },
        }))?;
        let count = args.messages as usize;
        let control = match ledger {
            Some(folder) => Some(ledger_in(folder, &campaign, count).await?),
            None => None,
        };
        let library = Library::compile(&campaign.content, campaign.channel)?;
        let (links, variant) = (Links::new([7; 32], "https://mail.shop.example"), VariantName::new("a")?);
        let (next, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { control, campaign, variant, library, links, dkim, port, count, next, bytes })
    }

    async fn run(self: Arc<Self>, lanes: usize) -> anyhow::Result<Run> {
        let group = group_of(self.count, lanes);
        together(self.count, (0..lanes).map(|number| self.clone().lane(format!("lane-{number}"), group))).await
    }

    async fn lane(self: Arc<Self>, worker: String, group: usize) -> anyhow::Result<()> {
        let mut lane = SmtpLane::new(SmtpConfig::new("127.0.0.1", self.port));
        while let Some(group) = take(&self.next, group, self.count) {
            let claims = group.map(|number| self.claim(number)).collect::<anyhow::Result<Vec<NewClaim>>>()?;
            if let Some(control) = &self.control {
                let taken = control.claim(&self.campaign.campaign, &worker, &claims, SystemClock.now()).await?;
                ensure!(taken.len() == claims.len(), "the ledger did not take every claim");
            }
            let envelopes: Vec<Envelope> =
                claims.iter().map(|claim| envelope(&format!("c{}@home.example", claim.contact))).collect();
            let outcomes = lane.deliver(&envelopes, &mut |place| self.mail(&claims[place], &envelopes[place].to).ok()).await;
            accepted(&outcomes)?;
            if let Some(control) = &self.control {
                let settled: Vec<Settled> = claims.iter().zip(outcomes).map(|(claim, outcome)| settled(claim, outcome)).collect();
                control.settle(&settled).await?;
            }
        }
        lane.close().await;
        Ok(())
    }

    fn claim(&self, number: usize) -> anyhow::Result<NewClaim> {
        let contact = ContactKey::from_i64(number as i64 + 1).context("a number above zero is a key")?;
        Ok(NewClaim {
            contact,
            step: None,
            message_id: content::message_id(&self.campaign.campaign, contact, None),
            experiment_id: self.campaign.experiment.clone(),
            variant: Some(self.variant.clone()),
            market: Some("DE".to_owned()),
            channel: self.campaign.channel,
            class: self.campaign.class,
            coupon_pool: None,
        })
    }

    fn mail(&self, claim: &NewClaim, to: &str) -> anyhow::Result<Vec<u8>> {
        let mut contact = Contact::new(claim.contact, SystemClock.now());
        contact.profile.attributes.insert("first_name".to_owned(), format!("Kim {}", claim.contact));
        let (unsubscribe_url, preferences_url) =
            (self.links.unsubscribe(&claim.message_id), self.links.preferences(&claim.message_id));
        let context = RenderContext {
            contact: &contact,
            campaign: "bench",
            variant: "a",
            unsubscribe_url: &unsubscribe_url,
            preferences_url: &preferences_url,
            data: &Data::default(),
            coupon: None,
            slots: &content::NO_SLOTS,
            now: SystemClock.now(),
        };
        let mut rendered = self.library.render("a", &context)?;
        let how = Tracking { links: &self.links, message: &claim.message_id, fields: &[], has_trap: false };
        rendered.html = content::track(&rendered.html, &how);
        let list = Some(ListHeaders { unsubscribe_url: &unsubscribe_url, list_id: "bench", feedback_id: "bench" });
        let (message_id, date) = (&claim.message_id, SystemClock.now());
        let mail = gateways::mime(&MailParts { from: FROM, to, message_id, date, rendered: &rendered, list })?;
        let mail = self.dkim.sign(FROM, mail)?;
        self.bytes.fetch_add(mail.len(), Ordering::Relaxed);
        Ok(mail)
    }
}

fn settled(claim: &NewClaim, outcome: HandOver) -> Settled {
    let reply = match outcome {
        HandOver::Accepted { reply } => Some(reply),
        _ => None,
    };
    Settled {
        message_id: claim.message_id.clone(),
        outcome: Settlement::Accepted,
        variant: claim.variant.clone(),
        recommendation_id: None,
        is_fallback: false,
        reply,
        at: SystemClock.now(),
    }
}

/// A page of products: about as long as mail of shops is.
fn template(is_html: bool) -> String {
    let row = if is_html {
        "<tr><td><a href=\"https://shop.example/p/{{ n }}\">Spring jacket {{ n }} for {{ contact.attributes.first_name }}</a></td>\
         <td>light, warm and dry</td><td>{{ n * 10 }}.90</td></tr>\n"
    } else {
        "Spring jacket {{ n }}, light, warm and dry: {{ n * 10 }}.90\n"
    };
    let count = PIPELINE_BYTES / if is_html { 350 } else { 417 };
    let rows = format!("{{% for n in range({count}) %}}{row}{{% endfor %}}");
    if is_html {
        format!(
            "<p>Hello {{{{ contact.attributes.first_name }}}}</p><table>{rows}</table><p><a href=\"{{{{ unsubscribe_url }}}}\">Unsubscribe</a></p>"
        )
    } else {
        format!("Hello {{{{ contact.attributes.first_name }}}}\n{rows}{{{{ unsubscribe_url }}}}\n")
    }
}

/// A control file in which the campaign is being sent.
async fn ledger_in(folder: &Path, campaign: &Campaign, count: usize) -> anyhow::Result<Arc<Control>> {
    let config = ControlConfig {
        path: folder.join("control.sqlite"),
        master_key: [3; 32],
        root: None,
        ids: Arc::new(SystemIds),
        clock: Arc::new(SystemClock),
    };
    let control = Control::open(config).await?;
    let experiment: Experiment = serde_json::from_value(serde_json::json!({
        "experiment": "bench", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    }))?;
    control.put_experiment(&experiment).await?;
    control.put_campaign(campaign).await?;
    control.set_campaign_state(&campaign.campaign, &[CampaignState::Draft], CampaignState::Planning).await?;
    let slices = [NewSlice { first_row: 0, rows: count as u64, due: SystemClock.now() }];
    control.plan_ready(&campaign.campaign, 1, "none", None, &slices).await?;
    Ok(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_are_read() {
        let line = "42 (a (b) c) Z 1 2 3 4 5 6 7 8 9 10 700 55 1 2 20 0 1 0 99 0 0";
        assert_eq!(read_stat(line), Some(('Z', 755)));
        assert_eq!(read_stat("nothing"), None);
        assert!(std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(read_stat).is_some());
    }
}
