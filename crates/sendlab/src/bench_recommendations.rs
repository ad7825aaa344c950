//! `sendlab bench recommendations`: how many questions for what to send are answered in a second and how late the slowest hundredth, beside
//! a bare handler of the same web framework that answers the same bytes, in the same run; and how late a change is heard by who waits for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::http::header;
use axum::routing::get;
use clap::Args;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::print::say;
use crate::server::{Door, Server, Settings};
use crate::{SystemClock, SystemIds};

/// What the hundredth that is answered last may take.
const P99_MAX: Duration = Duration::from_millis(2);
/// The least share of the bare handler's rate.
const RATE_SHARE_MIN: f64 = 0.7;
/// By when a change is heard by a long poll and a stream.
const HEARD_MAX: Duration = Duration::from_secs(1);
/// How often the recommendation is changed to see when that is heard.
const CHANGES: usize = 50;
/// The longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What is asked.
const PATH: &str = "/v1/recommendations/bench?market=DE&locale=de-AT";

#[derive(Debug, Args)]
pub(crate) struct BenchRecommendationsArgs {
    /// Connections that ask one after the other without a pause.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Seconds of each of the rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Rounds of both in turn; the medians count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
}

pub(crate) async fn run(args: &BenchRecommendationsArgs) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings { campaigns: false, ..Settings::new(&folder.path().join("data")) };
    let server = Server::start(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
    let client = Client::new(server.door.clone());
    prepare(&client).await?;
    let answer = client.bytes(Method::GET, PATH, "application/json", Vec::new()).await?;
    let stop = CancellationToken::new();
    let bare = bare(answer, stop.clone()).await?;
    let address = |url: &str| url.trim_start_matches("http://").parse::<SocketAddr>().context("the server's address");
    let asked = format!("GET {PATH} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n", server.door.key);
    let asked: Arc<[u8]> = asked.into_bytes().into();
    let (ours_at, span) = (address(&server.door.url)?, Duration::from_secs(args.seconds.into()));
    say(&format!("{} connections, {} rounds of {} s each.", args.connections, args.rounds, args.seconds));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // One round to warm up.
    load(ours_at, &asked, args.connections, span / 2).await?;
    for _ in 0..args.rounds {
        theirs.push(load(bare, &asked, args.connections, span).await?);
        ours.push(load(ours_at, &asked, args.connections, span).await?);
    }
    let heard = changes(&client, &server.door).await?;
    stop.cancel();
    server.stop().await?;
    let (ours, theirs) = (Measured::median(ours), Measured::median(theirs));
    tell("Recommendations", ours);
    tell("Bare handler", theirs);
    let share = ours.rate / theirs.rate;
    say(&format!("  Share of the bare rate {share:.2} (promised: at least {RATE_SHARE_MIN})"));
    say(&format!("  99 in 100 within {:.2} ms (promised: {:.0} ms)", millis(ours.p99), millis(P99_MAX)));
    for (who, heard) in ["long poll", "stream"].into_iter().zip(&heard) {
        let (half, last) = (millis(heard[heard.len() / 2]), millis(heard[heard.len() - 1]));
        say(&format!("  A change is heard by a {who} after {half:.1} ms, {last:.1} ms the latest of {CHANGES} (promised: 1 s)"));
    }
    let in_time = heard.iter().flatten().all(|late| *late <= HEARD_MAX);
    ensure!(share >= RATE_SHARE_MIN && ours.p99 <= P99_MAX && in_time, "a promise is broken");
    Ok(())
}

/// How long after it was asked for each of some changes is heard, by a long poll and by a stream: two sorted lists.
async fn changes(client: &Client, door: &Door) -> anyhow::Result<[Vec<Duration>; 2]> {
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{}/v1/recommendations/bench{path}", door.url)).bearer_auth(&door.key);
    let mut stream = get("/events").send().await?.error_for_status()?;
    let mut heard = [Vec::new(), Vec::new()];
    for number in 0..CHANGES {
        let current: serde_json::Value = get("").send().await?.error_for_status()?.json().await?;
        let parent = current["id"].as_str().context("the current recommendation has an id")?;
        let poll = tokio::spawn(get(&format!("?wait_seconds=30&after={parent}")).send());
        // What is there already is told first, and a poll that comes too late would hear at once.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let reason = format!("Change {number}.");
        let change = json!({ "variant": if number % 2 == 0 { "b" } else { "a" }, "parent": parent, "reason": reason });
        let began = Instant::now();
        let made = tokio::spawn({
            let client = client.clone();
            async move {
                client.send(Method::POST, "/v1/recommendations/bench", "application/json", change.to_string().into_bytes()).await
            }
        });
        let told = async {
            let mut text = Vec::new();
            while !String::from_utf8_lossy(&text).contains(&reason) {
                text.extend_from_slice(&stream.chunk().await?.context("the stream has no end")?);
            }
            anyhow::Ok(began.elapsed())
        };
        let polled = async {
            let news = poll.await??.error_for_status()?.text().await?;
            ensure!(news.contains(&reason), "the long poll told something else");
            anyhow::Ok(began.elapsed())
        };
        let (polled, told) = tokio::try_join!(polled, told)?;
        made.await??;
        heard[0].push(polled);
        heard[1].push(told);
    }
    heard.iter_mut().for_each(|late| late.sort_unstable());
    Ok(heard)
}

/// One round.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Answers in a second.
    rate: f64,
    p50: Duration,
    p99: Duration,
}

impl Measured {
    /// Each number's median over the rounds.
    fn median(rounds: Vec<Self>) -> Self {
        let middle = rounds.len() / 2;
        let of = |number: fn(&Self) -> f64| {
            let mut numbers: Vec<f64> = rounds.iter().map(number).collect();
            numbers.sort_by(f64::total_cmp);
            numbers[middle]
        };
        let time = |number: fn(&Self) -> f64| Duration::from_secs_f64(of(number));
        Self { rate: of(|one| one.rate), p50: time(|one| one.p50.as_secs_f64()), p99: time(|one| one.p99.as_secs_f64()) }
    }
}

fn tell(what: &str, measured: Measured) {
    let (p50, p99) = (millis(measured.p50), millis(measured.p99));
    say(&format!("  {what:<16} {:>8.0} a second, {p50:.2} ms half of them, {p99:.2} ms 99 in 100", measured.rate));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// An experiment with recommendations for everybody and for some.
async fn prepare(client: &Client) -> anyhow::Result<()> {
    let send = async |method: Method, path: &str, body: serde_json::Value| {
        client.send(method, path, "application/json", body.to_string().into_bytes()).await
    };
    let experiment = json!({
        "experiment": "bench", "factors": ["copy"], "primary": "clicked", "variants": [{ "name": "a" }, { "name": "b" }],
        "metrics": [{ "name": "clicked", "outcome": "click", "measure": "occurred" }],
    });
    send(Method::PUT, "/v1/experiments", experiment).await?;
    for market in ["FR", "DE", "IT", "ES"] {
        let decision = json!({ "weights": { "a": 30, "b": 70 }, "market": market, "reason": "It sells more in this market." });
        send(Method::POST, "/v1/recommendations/bench", decision).await?;
    }
    send(Method::POST, "/v1/recommendations/bench", json!({ "variant": "a", "reason": "To begin with." })).await?;
    Ok(())
}

/// A handler that does nothing but answer, served as the server serves.
async fn bare(answer: Vec<u8>, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    // Shared, so that nothing is copied for an answer.
    let body = axum::body::Bytes::from(answer);
    let handler = move || {
        let body = body.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], body) }
    };
    let router = axum::Router::new().route("/v1/recommendations/{experiment}", get(handler));
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(api::serve(listener, router, stop.cancelled_owned()));
    Ok(address)
}

/// Asks from all connections for a while.
async fn load(address: SocketAddr, asked: &Arc<[u8]>, connections: u16, span: Duration) -> anyhow::Result<Measured> {
    let began = Instant::now();
    let until = began + span;
    let askers: Vec<_> = (0..connections).map(|_| tokio::spawn(ask(address, Arc::clone(asked), until))).collect();
    let mut times = Vec::new();
    for asker in askers {
        times.extend(asker.await.context("a connection's task")??);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    ensure!(!times.is_empty(), "nothing was answered");
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(Measured { rate, p50: at(0.5), p99: at(0.99) })
}

/// Asks over one connection, the next question when the last is answered; how long each answer took.
async fn ask(address: SocketAddr, asked: Arc<[u8]>, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer) = (Vec::new(), vec![0; HEAD_BYTES_MAX]);
    while Instant::now() < until {
        let began = Instant::now();
        stream.write_all(&asked).await?;
        read_answer(&mut stream, &mut buffer).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Reads one answer of status 200 to its end.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let mut length = 0;
    loop {
        ensure!(length < buffer.len(), "an answer is longer than {HEAD_BYTES_MAX} bytes");
        let read = stream.read(&mut buffer[length..]).await?;
        ensure!(read > 0, "the connection broke off");
        length += read;
        let Some(end) = buffer[..length].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).context("the head of an answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("the answer is {}", head.lines().next().unwrap_or_default());
        }
        let body = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("an answer without a length")?;
        let whole = end + 4 + body.trim().parse::<usize>()?;
        if length >= whole {
            return Ok(());
        }
    }
}
