//! Two weeks are driven against a small stand-in that keeps the promises of the public interface and nothing else: it
//! plans, mails, follows its own links and reads out from what it was told over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use content::LinkKind;
use experiment::judge::Before;
use experiment::{ArmObservations, Assigner, Funnel, Judged, Observations, Observed, Readout, in_share, judge};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use vocabulary::{ContactKey, Mode, Money, SendHour, VariantName};

use super::*;
use crate::mailbox::tests::Writer;
use crate::texts::{Appeal, REFUSED_CAMPAIGN, TEST_CAMPAIGN, arms};
use crate::world::next_local_hour;

/// One message of a plan.
struct Planned {
    number: u32,
    variant: VariantName,
    due: Timestamp,
    is_settled: bool,
}

struct Running {
    campaign: Campaign,
    plan: Vec<Planned>,
    progress: CampaignProgress,
}

#[derive(Default)]
struct State {
    contacts: BTreeSet<u32>,
    campaigns: Vec<Running>,
    /// By shopper: the variant and the planned moment.
    assigned: BTreeMap<u32, (VariantName, Timestamp)>,
    clicks: Vec<(u32, Timestamp)>,
    opens: u64,
    unsubscribed: BTreeMap<u32, Timestamp>,
    orders: Vec<(u32, Timestamp, f64)>,
    winner: Option<VariantName>,
    /// Sends the losing copy to one of so many after the decision, and everything twice; 0 for an honest server.
    wrong_one_in: u32,
}

/// The stand-in.
struct StandIn {
    world: World,
    clock: Arc<SteppedClock>,
    mails: UnboundedSender<Mail>,
    writer: Writer,
    state: Mutex<State>,
}

/// A surrogate key that has nothing to do with the shopper's number but follows from it.
fn key(number: u32) -> ContactKey {
    ContactKey::from_random((u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl StandIn {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["v1", "contacts"]) => self.take_contacts(body),
            ("POST", ["v1", "events"]) => self.take_orders(body),
            ("PUT", ["v1", "experiments"]) => (201, String::new()),
            ("PUT", ["v1", "campaigns"]) => {
                let campaign = serde_json::from_slice(body).unwrap();
                self.state().campaigns.push(Running { campaign, plan: Vec::new(), progress: CampaignProgress::default() });
                (201, String::new())
            }
            ("POST", ["v1", "campaigns", id, "start"]) => self.plan(id),
            ("GET", ["v1", "campaigns", id]) => self.send_due(id),
            ("GET", ["v1", "lake"]) => (200, json!({"unlanded": 0, "base_currency": "EUR"}).to_string()),
            ("GET", ["v1", "experiments", EXPERIMENT, "readout"]) => (200, serde_json::to_string(&self.judge().readout).unwrap()),
            ("POST", ["v1", "experiments", EXPERIMENT, "decide"]) => self.decide(),
            (_, ["t", kind, token]) => self.follow(method, kind, token),
            _ => (404, format!("{method} {path}")),
        }
    }

    fn take_contacts(&self, body: &[u8]) -> (u16, String) {
        let rows: Vec<Value> = serde_json::from_slice(body).unwrap();
        let numbers: Vec<u32> = rows.iter().map(|row| Shopper::number_of(row["email"].as_str().unwrap()).unwrap()).collect();
        self.state().contacts.extend(numbers);
        (200, json!({"created": rows.len(), "updated": 0, "unchanged": 0, "rejected": 0, "errors": []}).to_string())
    }

    fn take_orders(&self, body: &[u8]) -> (u16, String) {
        let rows: Vec<Value> = serde_json::from_slice(body).unwrap();
        let rates = self.world.rate_table();
        for row in &rows {
            let text = |field: &str| row[field].as_str().unwrap();
            let at: Timestamp = text("event_time").parse().unwrap();
            assert!(at <= self.clock.now(), "an order from the future");
            let money = Money::parse(text("amount"), vocabulary::Currency::new(text("currency")).unwrap()).unwrap();
            let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            let number = text("contact")[1..].parse().unwrap();
            self.state().orders.push((number, at, rates.to_base(money, date).unwrap().major()));
        }
        (200, json!({"accepted": rows.len(), "duplicate": 0, "rejected": 0, "errors": []}).to_string())
    }

    fn plan(&self, id: &str) -> (u16, String) {
        let mut state = self.state();
        let State { campaigns, contacts, assigned, unsubscribed, winner, .. } = &mut *state;
        let running = campaigns.iter_mut().find(|running| running.campaign.campaign.as_str() == id).unwrap();
        let campaign = &running.campaign;
        let experiment = experiment();
        let assigner = Assigner::new(&experiment, 0);
        let from = campaign.start.unwrap_or(self.clock.now()).max(self.clock.now());
        for number in contacts.iter().copied() {
            let is_meant = match campaign.mode {
                Mode::Test => in_share(&campaign.campaign, key(number), campaign.share),
                Mode::Recommended if id == REFUSED_CAMPAIGN => unsubscribed.contains_key(&number),
                Mode::Recommended => !assigned.contains_key(&number),
            };
            if !is_meant {
                continue;
            }
            let variant = match campaign.mode {
                Mode::Test => assigner.assign(key(number)).variant.clone(),
                Mode::Recommended => winner.clone().unwrap(),
            };
            let hour = experiment.variant(&variant).unwrap().send_hour.and_then(SendHour::fixed).unwrap();
            let due = next_local_hour(self.world.shopper(number).time_zone, hour, from).unwrap();
            if campaign.mode == Mode::Test {
                assigned.insert(number, (variant.clone(), due));
            }
            running.plan.push(Planned { number, variant, due, is_settled: false });
        }
        running.progress.planned = running.plan.len() as u64;
        (200, String::new())
    }

    fn send_due(&self, id: &str) -> (u16, String) {
        let mut state = self.state();
        let now = self.clock.now();
        let State { campaigns, unsubscribed, wrong_one_in, .. } = &mut *state;
        let index = campaigns.iter().position(|running| running.campaign.campaign.as_str() == id).unwrap();
        let Running { plan, progress, .. } = &mut campaigns[index];
        for planned in plan.iter_mut().filter(|planned| planned.due <= now && !planned.is_settled) {
            planned.is_settled = true;
            progress.due += 1;
            if unsubscribed.contains_key(&planned.number) && *wrong_one_in == 0 {
                progress.skipped += 1;
                continue;
            }
            progress.accepted += 1;
            let is_wrong = *wrong_one_in > 0 && index > 0 && planned.number.is_multiple_of(*wrong_one_in);
            let appeal = Appeal::ALL.into_iter().find(|appeal| planned.variant.as_str().starts_with(appeal.copy_name())).unwrap();
            let shopper = self.world.shopper(planned.number);
            let raw = self.writer.mail(&shopper, if is_wrong { Appeal::Plain } else { appeal }, index);
            let mail = Mail { from: "news@shop.example.test".to_owned(), to: vec![shopper.email()], raw };
            for _ in 0..=u8::from(is_wrong) {
                self.mails.send(mail.clone()).unwrap();
            }
        }
        progress.claimed = progress.accepted;
        let is_done = plan.iter().all(|planned| planned.is_settled);
        let CampaignProgress { planned, due, claimed, accepted, refused, in_doubt, skipped } = *progress;
        let progress = json!({"planned": planned, "due": due, "claimed": claimed, "accepted": accepted, "refused": refused,
            "in_doubt": in_doubt, "skipped": skipped});
        (200, json!({"state": if is_done { "done" } else { "sending" }, "progress": progress, "error": null}).to_string())
    }

    fn follow(&self, method: &str, kind: &str, token: &str) -> (u16, String) {
        let (kind, method_expected, status) = match kind {
            "o" => (LinkKind::Open, "GET", 200),
            "c" => (LinkKind::Click, "GET", 302),
            _ => (LinkKind::Unsubscribe, "POST", 200),
        };
        assert_eq!(method, method_expected);
        let link = self.writer.links.read(kind, token.trim_end_matches(".gif")).unwrap();
        let number = u32::from_str_radix(&link.message_id.as_str()[16..], 16).unwrap();
        let (mut state, now) = (self.state(), self.clock.now());
        match kind {
            LinkKind::Open => state.opens += 1,
            LinkKind::Click => state.clicks.push((number, now)),
            LinkKind::Unsubscribe => drop(state.unsubscribed.insert(number, now)),
            LinkKind::Preferences | LinkKind::Trap => {}
        }
        (status, link.target.unwrap_or_default())
    }

    fn decide(&self) -> (u16, String) {
        let judged = self.judge();
        let id = || vocabulary::RecommendationId::new("first").unwrap();
        let recommendation = experiment::recommend(&experiment(), &judged, &[], id, self.clock.now()).into_iter().next();
        let Judged { readout, decision, .. } = judged;
        self.state().winner = recommendation.as_ref().map(|recommendation| recommendation.variant.clone());
        let changed = recommendation.is_some();
        (200, json!({"readout": readout, "decision": decision, "recommendation": recommendation, "changed": changed}).to_string())
    }

    /// Looks at what was told so far, contact by contact.
    fn judge(&self) -> Judged {
        let (state, now) = (self.state(), self.clock.now());
        let window = SignedDuration::from_hours(i64::from(WINDOW_HOURS));
        let mut clicks: BTreeMap<u32, Vec<Timestamp>> = BTreeMap::new();
        let mut orders: BTreeMap<u32, Vec<(Timestamp, f64)>> = BTreeMap::new();
        state.clicks.iter().for_each(|(number, at)| clicks.entry(*number).or_default().push(*at));
        state.orders.iter().for_each(|(number, at, amount)| orders.entry(*number).or_default().push((*at, *amount)));
        let mut found: BTreeMap<VariantName, ArmObservations> = BTreeMap::new();
        let mut immature = 0;
        for (number, (variant, from)) in &state.assigned {
            let arm = found.entry(variant.clone()).or_insert_with(|| ArmObservations {
                variant: variant.clone(),
                assigned: 0,
                mature: 0,
                metrics: BTreeMap::new(),
                ratios: BTreeMap::new(),
                before: None,
                adjusted: None,
                bounced: 0,
                funnel: Funnel::default(),
            });
            arm.assigned += 1;
            if *from + window > now {
                immature += 1;
                continue;
            }
            arm.mature += 1;
            let counts = |at: &Timestamp| (*from..*from + window).contains(at);
            let bought = orders.get(number).into_iter().flatten().filter(|(at, _)| counts(at)).map(|(_, amount)| *amount);
            let (ordered, revenue) = bought.fold((0.0, 0.0), |(_, sum), amount| (1.0, sum + amount));
            let clicked = clicks.get(number).is_some_and(|times| times.iter().any(counts));
            let gone = state.unsubscribed.get(number).is_some_and(counts);
            let as_number = |happened: bool| f64::from(u8::from(happened));
            let values =
                [("ordered", ordered), ("clicked", as_number(clicked)), ("revenue", revenue), ("unsubscribed", as_number(gone))];
            for (metric, value) in values {
                arm.metrics.entry(metric.to_owned()).or_default().push(value);
            }
        }
        let observations = Observations {
            versions: BTreeMap::new(),
            engine: "stand-in".to_owned(),
            as_of: now,
            arms: found.into_values().collect(),
            immature,
            crossovers: 0,
            strangers: 0,
            unconverted_orders: 0,
            erased_units: 0,
        };
        let before = Before { is_list: true, fractions: Vec::new(), early: None };
        judge(&experiment(), &Observed::overall(observations), &before, "stand-in")
    }
}

/// Serves one connection: enough of HTTP/1.1 for one well-behaved client.
async fn serve(stand_in: Arc<StandIn>, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_ascii_lowercase().to_owned() + "\n" + line.trim());
        }
        let original = |line: &str| line.split_once('\n').map(|(_, original)| original.to_owned()).unwrap_or_default();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")?.split('\n').next()?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let request = original(&head[0]);
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_public = path.starts_with("/t/");
        let has_key = head.iter().any(|line| line.starts_with("authorization: bearer key"));
        assert_ne!(is_public, has_key, "the key goes with the interface and never with a link: {request}");
        let (status, text) = stand_in.answer(method, path, &body);
        let location = if status == 302 { format!("Location: {text}\r\n") } else { String::new() };
        let answer = format!("HTTP/1.1 {status} X\r\n{location}Content-Length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Lives two weeks in a world of that size; gives the outcome, what was reported, and what the stand-in knows.
async fn live(seed: u64, contacts: u32, wrong_one_in: u32) -> (Outcome, Vec<Progress>, Arc<StandIn>) {
    let world = World { seed, contacts, start: "2026-03-02T00:00:00Z".parse().unwrap() };
    let clock = Arc::new(SteppedClock::new(world.start));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (unbounded, mut queue) = unbounded_channel();
    let (bounded, mails) = channel(16);
    tokio::spawn(async move {
        while let Some(mail) = queue.recv().await {
            bounded.send(mail).await.unwrap();
        }
    });
    let state = Mutex::new(State { wrong_one_in, ..State::default() });
    let writer = Writer::new(&url);
    let stand_in = Arc::new(StandIn { world: world.clone(), clock: clock.clone(), mails: unbounded, writer, state });
    tokio::spawn({
        let stand_in = stand_in.clone();
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stand_in.clone(), stream));
            }
        }
    });
    let server = Client::new(&url, "key").unwrap();
    let mut reports = Vec::new();
    let mut report = |progress| reports.push(progress);
    let outcome = run(&server, &world, &clock, mails, DrivePlan::default(), &mut report).await.unwrap();
    (outcome, reports, stand_in)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_winner_is_found_and_reaches_everybody_else() {
    let contacts = 12_000;
    let (outcome, reports, stand_in) = live(42, contacts, 0).await;
    assert!(outcome.is_right(), "{}", outcome.sentence);
    assert_eq!(outcome.best.as_str(), "benefit_20");
    assert_eq!((outcome.duplicates, outcome.mailed_twice, outcome.unsubscribed_mailed), (0, 0, 0));
    assert_eq!(outcome.counts.mails, u64::from(contacts));
    assert_eq!(outcome.mails_before.len(), 4);
    assert_eq!(outcome.mails_after.keys().collect::<Vec<_>>(), ["benefit_20"]);
    assert_eq!(outcome.losers_after(), 0);
    let state = stand_in.state();
    assert_eq!(outcome.counts.clicks, state.clicks.len() as u64);
    assert_eq!(outcome.counts.opens + outcome.counts.machine_opens, state.opens);
    assert_eq!(outcome.counts.orders, state.orders.len() as u64);
    assert_eq!(outcome.counts.unsubscribes, state.unsubscribed.len() as u64);
    let (refused, progress) = outcome.campaigns.last().unwrap();
    assert_eq!(refused, REFUSED_CAMPAIGN);
    assert!(progress.planned > 0 && progress.skipped == progress.planned, "{progress:?}");
    let looks: Vec<&Readout> =
        reports.iter().filter_map(|news| if let Progress::Look(it) = news { Some(&**it) } else { None }).collect();
    assert_eq!(looks.len(), 2);
    assert!(looks[0].arms.iter().all(|arm| arm.mature == 0), "too early");
    assert!(looks[1].arms.iter().any(|arm| 0 < arm.mature && arm.mature < arm.assigned), "half way");
}

#[tokio::test(flavor = "multi_thread")]
async fn estimates_are_held_against_the_truth() {
    let (outcome, ..) = live(7, 12_000, 0).await;
    assert_eq!(outcome.comparisons.len(), 3 * 4, "three variants against control on four metrics");
    let covered = outcome.comparisons.iter().filter(|row| row.covered == Some(true)).count();
    assert!(covered >= 9, "{:#?}", outcome.comparisons);
    let (test, progress) = &outcome.campaigns[0];
    assert_eq!(test, TEST_CAMPAIGN);
    assert_eq!(outcome.mails_before.values().sum::<u64>(), progress.accepted);
    assert_eq!(outcome.truth.arms.len(), arms().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_follows_from_its_seed() {
    let summary = |outcome: &Outcome| {
        let walls = Vec::new();
        serde_json::to_string(&Outcome { walls, ..outcome.clone() }).unwrap()
    };
    let (first, second) = (live(5, 2_000, 0).await.0, live(5, 2_000, 0).await.0);
    assert_eq!(summary(&first), summary(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_mails_wrongly_is_found_out() {
    let (outcome, ..) = live(42, 12_000, 10).await;
    assert!(outcome.recommendation.is_some());
    assert!(outcome.duplicates > 100, "{}", outcome.duplicates);
    assert!(outcome.losers_after() > 100, "{:?}", outcome.mails_after);
    assert!(outcome.unsubscribed_mailed > 0);
}
