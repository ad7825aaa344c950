//! A simulated month: whoever should enter a trigger does so once, at the right moment, and nobody else, over restarts of the
//! server. The truth is computed from the whole history, by what each trigger says and not by how it is evaluated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use sendlab::server::{Server, Settings};
use sendlab::{Client, SystemIds};
use serde_json::{Value, json};
use simulator::SteppedClock;

use crate::support::until;

const DAYS: i64 = 30;
const PEOPLE: usize = 90;
const PRODUCTS: u64 = 6;

const TRIGGERS: &str = "
- { trigger: welcome, when: { registered: { for_days: 3, without: [ordered] } }, campaign: c }
- { trigger: back, when: { inactive: { days: 6, without: [ordered] } }, entry: { once_per_days: 9 }, campaign: c }
- { trigger: spender, when: { spent: { more_than: 100, within_days: 7 } }, entry: each_time, delay_days: 1, exit: [unsubscribed], campaign: c }
- { trigger: birthday, when: { birthday: { at_hour: 9 } }, entry: each_time, campaign: c }
- { trigger: browse, when: { browsed: { for_minutes: 60, without: [carted, ordered] } }, entry: { once_per_days: 4 }, campaign: c }
- { trigger: cart, when: { carted: { for_hours: 2, without: [ordered] } }, entry: each_time, delay_hours: 5, exit: [ordered, unsubscribed], campaign: c }
- { trigger: price, when: { price_dropped: { by_percent: 10, seen_within_days: 5, without: [ordered] } }, entry: { once_per_days: 2 }, campaign: c }
- { trigger: regular, when: { entered: { segment: regulars } }, entry: each_time, campaign: c }
";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Did {
    Order(i64),
    Unsubscribe,
    View(u64),
    Cart(u64),
}

/// One shopper and everything they did, in order.
#[derive(Debug, Default)]
struct Shopper {
    registered: Option<Timestamp>,
    born: Option<(i8, i8)>,
    did: Vec<(Timestamp, Did)>,
}

/// What happened in the whole world.
#[derive(Default)]
struct History {
    shoppers: Vec<Shopper>,
    /// By a tenth or more.
    drops: Vec<(Timestamp, u64)>,
    moments: Vec<Timestamp>,
}

/// Entries of one trigger: who, which, when it became true, how it ended.
type Entries = BTreeSet<(usize, u64, String, String)>;

struct World {
    server: Server,
    client: Client,
}

async fn serve(folder: &Path, clock: &Arc<SteppedClock>) -> World {
    let server = Server::start(Settings::new(folder), clock.clone(), Arc::new(SystemIds)).await.unwrap();
    let client = Client::new(server.door.clone());
    World { server, client }
}

impl World {
    async fn put(&self, path: &str, kind: &str, body: String) -> Value {
        self.client.send(Method::PUT, path, kind, body.into_bytes()).await.unwrap()
    }

    /// Waits until every trigger was evaluated at a moment.
    async fn evaluated(&self, at: Timestamp) {
        let at = at.to_string();
        until("triggers to be evaluated", async || {
            let triggers = self.client.get("/v1/triggers").await.ok()?;
            triggers.as_array()?.iter().all(|trigger| trigger["evaluated_at"] == json!(at)).then_some(())
        })
        .await;
    }

    /// What each trigger did.
    async fn entries(&self, keys: &BTreeMap<String, usize>) -> BTreeMap<String, Entries> {
        let mut found = BTreeMap::new();
        for trigger in self.client.get("/v1/triggers").await.unwrap().as_array().unwrap() {
            let name = trigger["trigger"]["trigger"].as_str().unwrap().to_owned();
            let told = self.client.get(&format!("/v1/triggers/{name}")).await.unwrap();
            let entry = |entry: &Value| {
                let text = |field: &str| entry[field].as_str().unwrap().to_owned();
                (keys[&text("contact_key")], entry["occurrence"].as_u64().unwrap(), text("true_at"), text("outcome"))
            };
            let rows = told["entries"].as_array().unwrap();
            let entries: Entries = rows.iter().map(entry).collect();
            assert_eq!(entries.len(), rows.len(), "{name}: nothing is told twice");
            found.insert(name, entries);
        }
        found
    }
}

/// What happens at one moment: people register, look, buy and leave, and a price falls.
struct Scene<'a> {
    random: &'a mut ChaCha8Rng,
    history: &'a mut History,
    now: Timestamp,
    lines: Vec<String>,
}

impl Scene<'_> {
    fn act(&mut self, person: usize) {
        let did = match self.random.random_range(0..100) {
            0..30 => Did::View(self.random.random_range(0..PRODUCTS)),
            30..45 => Did::Cart(self.random.random_range(0..PRODUCTS)),
            45..70 => Did::Order(self.random.random_range(500..6_000)),
            70..75 => Did::Order(-self.random.random_range(500..3_000)),
            75..77 => Did::Unsubscribe,
            _ => return,
        };
        let number = self.history.shoppers[person].did.len();
        let id = format!("{person}-{number}");
        let mut event = json!({ "event_id": id, "event_time": self.now.to_string(), "contact": format!("p{person}") });
        let more = match did {
            Did::Order(minor) => {
                let amount = format!("{}{}.{:02}", if minor < 0 { "-" } else { "" }, minor.abs() / 100, minor.abs() % 100);
                let mut order = json!({ "kind": "order", "order_id": id, "amount": amount, "currency": "USD" });
                if minor < 0 {
                    order["refund_of"] = json!("earlier");
                }
                order
            }
            Did::Unsubscribe => json!({ "kind": "feedback", "feedback": "unsubscribe" }),
            Did::View(product) => json!({ "kind": "activity", "activity": "viewed", "product": format!("sku{product}") }),
            Did::Cart(product) => json!({ "kind": "activity", "activity": "carted", "product": format!("sku{product}") }),
        };
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.history.shoppers[person].did.push((self.now, did));
        self.lines.push(event.to_string());
    }
}

fn after(at: Timestamp, length: SignedDuration) -> Timestamp {
    at.checked_add(length).unwrap()
}

const fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// Entries as they follow from the moments at which a condition is true, `gap` apart at least, none while one waits for `delay`.
/// `exits` take out whoever waits.
fn entries(
    person: usize,
    truths: &[Timestamp],
    gap: SignedDuration,
    delay: SignedDuration,
    exits: &[Timestamp],
    end: Timestamp,
) -> Entries {
    let mut entries = Entries::new();
    let mut last: Option<(Timestamp, Timestamp)> = None;
    let mut number = 0;
    for &at in truths {
        if last.is_some_and(|(entered, left)| at < after(entered, gap) || at <= left) {
            continue;
        }
        number += 1;
        let due = after(at, delay);
        let exit = exits.iter().copied().find(|exit| *exit > at && *exit <= due);
        last = Some((at, exit.unwrap_or(due)));
        match exit {
            Some(exit) if exit <= end => drop(entries.insert((person, number, at.to_string(), "exited".to_owned()))),
            None if due <= end => drop(entries.insert((person, number, at.to_string(), "send".to_owned()))),
            _ => {}
        }
    }
    entries
}

impl Shopper {
    fn times(&self, is: impl Fn(&Did) -> bool) -> Vec<Timestamp> {
        self.did.iter().filter(|(_, did)| is(did)).map(|(at, _)| *at).collect()
    }

    fn orders(&self) -> Vec<Timestamp> {
        self.times(|did| matches!(did, Did::Order(amount) if *amount > 0))
    }

    /// The ends of waits: `length` after each of `begins` that neither another of them nor one of `without` follows by then.
    fn waits(begins: &[Timestamp], length: SignedDuration, without: &[Timestamp], end: Timestamp) -> Vec<Timestamp> {
        let wait = |(place, begin): (usize, &Timestamp)| {
            let over = after(*begin, length);
            let is_last = begins.get(place + 1).is_none_or(|next| *next > over);
            let is_clear = !without.iter().any(|at| at >= begin && *at <= over);
            (is_last && is_clear && over <= end).then_some(over)
        };
        begins.iter().enumerate().filter_map(wait).collect()
    }

    /// When the sum of seven days rises above 100.00.
    fn rises(&self) -> Vec<Timestamp> {
        let payments: Vec<(Timestamp, i64)> = self
            .did
            .iter()
            .filter_map(|(at, did)| match did {
                Did::Order(amount) => Some((*at, *amount)),
                _ => None,
            })
            .collect();
        let ends = payments.iter().map(|(at, _)| after(*at, hours(7 * 24)));
        let moments: BTreeSet<Timestamp> = payments.iter().map(|(at, _)| *at).chain(ends).collect();
        let is_above = |moment: Timestamp| {
            let within = payments.iter().filter(|(at, _)| *at <= moment && after(*at, hours(7 * 24)) > moment);
            within.map(|(_, amount)| amount).sum::<i64>() > 10_000
        };
        let mut was_above = false;
        let mut rises = Vec::new();
        for moment in moments {
            let above = is_above(moment);
            if above && !was_above {
                rises.push(moment);
            }
            was_above = above;
        }
        rises
    }
}

/// The truth of one trigger.
fn truth(trigger: &str, history: &History, end: Timestamp) -> Entries {
    let none = SignedDuration::ZERO;
    let of = |(person, shopper): (usize, &Shopper)| -> Entries {
        let orders = shopper.orders();
        let exits = shopper.times(|did| *did == Did::Unsubscribe);
        let Some(registered) = shopper.registered else { return Entries::new() };
        match trigger {
            "welcome" => {
                let waits = Shopper::waits(&[registered], hours(72), &orders, end);
                entries(person, &waits, hours(24 * 999), none, &[], end)
            }
            "back" => entries(person, &Shopper::waits(&orders, hours(6 * 24), &[], end), hours(9 * 24), none, &[], end),
            "spender" => entries(person, &shopper.rises(), none, hours(24), &exits, end),
            "birthday" => {
                let year = history.moments[0].to_zoned(jiff::tz::TimeZone::UTC).year();
                let zone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
                let day = shopper.born.and_then(|(month, day)| jiff::civil::Date::new(year, month, day).ok());
                let at = day.map(|day| day.at(9, 0, 0, 0).to_zoned(zone).unwrap().timestamp());
                let known: Vec<Timestamp> = at.into_iter().filter(|at| *at >= registered && *at <= end).collect();
                entries(person, &known, none, none, &[], end)
            }
            "browse" => {
                let begins = shopper.times(|did| matches!(did, Did::View(_)));
                let without = shopper.times(|did| matches!(did, Did::Cart(_)) || matches!(did, Did::Order(a) if *a > 0));
                entries(person, &Shopper::waits(&begins, hours(1), &without, end), hours(4 * 24), none, &[], end)
            }
            "cart" => {
                let begins = shopper.times(|did| matches!(did, Did::Cart(_)));
                let exits = shopper.times(|did| *did == Did::Unsubscribe || matches!(did, Did::Order(a) if *a > 0));
                entries(person, &Shopper::waits(&begins, hours(2), &orders, end), none, hours(5), &exits, end)
            }
            "price" => {
                let wanted = |(at, product): &(Timestamp, u64)| {
                    let saw = |did: &Did| matches!(did, Did::View(p) | Did::Cart(p) if p == product);
                    let last = shopper.times(saw).into_iter().rfind(|seen| seen <= at);
                    let is_wanted = |seen: Timestamp| {
                        after(seen, hours(5 * 24)) > *at && !orders.iter().any(|order| *order >= seen && order <= at)
                    };
                    last.is_some_and(is_wanted).then_some(*at)
                };
                let truths: Vec<Timestamp> = history.drops.iter().filter_map(wanted).collect();
                entries(person, &truths, hours(2 * 24), none, &[], end)
            }
            _ => {
                // Two orders make a regular; it is noticed when triggers are evaluated the next time.
                let noticed = orders.get(1).and_then(|second| history.moments.iter().find(|moment| *moment > second));
                entries(person, &noticed.copied().into_iter().collect::<Vec<_>>(), none, none, &[], end)
            }
        }
    };
    history.shoppers.iter().enumerate().flat_map(of).collect()
}

/// A person who registers.
fn newcomer(person: usize, history: &History) -> String {
    let mut line = json!({ "key": format!("p{person}"), "country": "JP", "tags": ["shopper"] });
    if let Some((month, day)) = history.shoppers[person].born {
        line["birth_date"] = json!(format!("1990-{month:02}-{day:02}"));
    }
    line.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_triggers_is_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let start: Timestamp = "2026-03-01T00:00:07Z".parse().unwrap();
    let clock = Arc::new(SteppedClock::new(start));
    let mut history = History { moments: vec![start], ..History::default() };
    let born = |random: &mut ChaCha8Rng| random.random_bool(0.6).then(|| (3, random.random_range(1..=31)));
    history.shoppers = (0..PEOPLE).map(|_| Shopper { born: born(&mut random), ..Shopper::default() }).collect();

    let mut world = serve(folder.path(), &clock).await;
    let segment = json!({ "segment": "regulars", "condition": { "ordered": { "at_least": 2 } } });
    world.put("/v1/segments", "application/json", segment.to_string()).await;
    world.put("/v1/triggers", "application/yaml", TRIGGERS.to_owned()).await;
    world.evaluated(start).await;
    let mut prices = vec![100_000_u64; PRODUCTS as usize];
    let price = |product: usize, minor: u64| json!({ "product": format!("sku{product}"), "price": format!("{}.{:02}", minor / 100, minor % 100), "currency": "USD" });
    let all: Vec<Value> = prices.iter().enumerate().map(|(product, minor)| price(product, *minor)).collect();
    world.put("/v1/prices", "application/json", json!(all).to_string()).await;

    let (mut now, end) = (start, start.checked_add((24 * DAYS).hours()).unwrap());
    let mut registered = 0;
    while now < end {
        now = after(now, SignedDuration::from_secs(random.random_range(1_200..36_000)));
        clock.advance_to(now);
        world.evaluated(now).await;
        history.moments.push(now);
        let mut lines = Vec::new();
        while registered < PEOPLE && random.random_bool(0.45) {
            history.shoppers[registered].registered = Some(now);
            lines.push(newcomer(registered, &history));
            registered += 1;
        }
        if !lines.is_empty() {
            world.client.lines("/v1/contacts", lines.join("\n").into_bytes()).await.unwrap();
        }
        let mut scene = Scene { random: &mut random, history: &mut history, now, lines: Vec::new() };
        for person in 0..registered {
            if scene.random.random_bool(0.12) {
                scene.act(person);
            }
        }
        let lines = scene.lines;
        if !lines.is_empty() {
            world.client.lines("/v1/events", lines.join("\n").into_bytes()).await.unwrap();
            // A shop that is not sure tells it again.
            world.client.lines("/v1/events", lines.join("\n").into_bytes()).await.unwrap();
        }
        if random.random_bool(0.15) {
            let product = random.random_range(0..PRODUCTS) as usize;
            let before = prices[product];
            prices[product] = before * random.random_range(80..97) / 100;
            if (before - prices[product]) * 100 / before >= 10 {
                history.drops.push((now, product as u64));
            }
            world.put("/v1/prices", "application/json", json!([price(product, prices[product])]).to_string()).await;
        }
        if random.random_bool(0.04) {
            world.server.stop().await.unwrap();
            world = serve(folder.path(), &clock).await;
        }
    }
    let end = after(now, SignedDuration::from_secs(70));
    clock.advance_to(after(end, SignedDuration::from_mins(5)));
    let end = after(end, SignedDuration::from_mins(5));
    history.moments.push(end);
    world.evaluated(end).await;
    check(&world, &history, end).await;
    world.server.stop().await.unwrap();
}

async fn check(world: &World, history: &History, end: Timestamp) {
    let mut keys = BTreeMap::new();
    for person in (0..PEOPLE).filter(|person| history.shoppers[*person].registered.is_some()) {
        let held = world.client.get(&format!("/v1/contacts/p{person}/export")).await.unwrap();
        keys.insert(held["contact_key"].as_str().unwrap().to_owned(), person);
    }
    let mut all = 0;
    for (trigger, found) in world.entries(&keys).await {
        let truth = truth(&trigger, history, end);
        let missed: Vec<_> = truth.difference(&found).collect();
        let surplus: Vec<_> = found.difference(&truth).collect();
        assert!(missed.is_empty() && surplus.is_empty(), "{trigger}: missed {missed:?}, surplus {surplus:?}");
        assert!(found.len() >= 10, "{trigger} shows too little: {found:?}");
        all += found.len();
    }
    assert!(all > 300, "{all} entries in all");
}
