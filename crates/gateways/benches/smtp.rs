//! A pipelined lane beside lettre's own connection, one command after the other, against the same server in the same run:
//! the ratio is what counts, because rates on shared machines are not steady.
//!
//! Run with `cargo bench -p gateways` and compare the elements per second. The second line shows the lane where the
//! server announces no PIPELINING.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateways::{Envelope, HandOver, SmtpConfig, SmtpLane};
use lettre::address::Envelope as LettreEnvelope;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use simulator::sink::{Sink, SinkConfig};
use tokio::runtime::Runtime;

const MESSAGES: usize = 500;
/// Fewer, because each takes about 40 ms: Nagle's delay and the server's delayed acknowledgement.
const LETTRE_MESSAGES: usize = 20;
const MESSAGE_BYTES: usize = 10_000;

fn mail() -> Vec<u8> {
    let mut mail = b"Subject: bench\r\n\r\n".to_vec();
    while mail.len() < MESSAGE_BYTES {
        mail.extend_from_slice(b"All work and no play makes mail a dull thing to read, line by line.\r\n");
    }
    mail
}

/// A server whose mails are thrown away as they come.
fn server(runtime: &Runtime, is_pipelining: bool) -> Sink {
    let config = SinkConfig { is_pipelining, ..SinkConfig::default() };
    let (sink, mut received) = runtime.block_on(Sink::start(config)).expect("a port is free");
    runtime.spawn(async move { while received.recv().await.is_some() {} });
    sink
}

async fn by_lane(lane: &mut SmtpLane, envelopes: &[Envelope], mail: &[u8]) {
    let outcomes = lane.deliver(envelopes, &mut |_| Some(mail.to_vec())).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, HandOver::Accepted { .. })));
}

async fn by_lettre(port: u16, envelope: &LettreEnvelope, mail: &[u8]) {
    let hello = ClientId::Domain("localhost".into());
    let timeout = Some(Duration::from_secs(60));
    let connected = AsyncSmtpConnection::connect_tokio1(("127.0.0.1", port), timeout, &hello, None, None).await;
    let mut connection = connected.expect("the server is there");
    for _ in 0..LETTRE_MESSAGES {
        connection.send(envelope, mail).await.expect("the server takes everything");
    }
    connection.quit().await.expect("the server says goodbye");
}

fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let mail = mail();
    let envelopes = vec![Envelope { from: "news@shop.example".into(), to: "ann@home.example".into() }; MESSAGES];
    let mut group = criterion.benchmark_group("smtp");
    group.throughput(Throughput::Elements(MESSAGES as u64)).sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, is_pipelining) in [("lane, pipelined", true), ("lane, step by step", false)] {
        let sink = server(&runtime, is_pipelining);
        let mut lane = SmtpLane::new(SmtpConfig::new("127.0.0.1", sink.address().port()));
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(by_lane(&mut lane, &envelopes, &mail))));
    }
    let sink = server(&runtime, true);
    let parsed = |text: &str| text.parse().expect("an address");
    let envelope = LettreEnvelope::new(Some(parsed("news@shop.example")), vec![parsed("ann@home.example")]).expect("an envelope");
    let port = sink.address().port();
    group.throughput(Throughput::Elements(LETTRE_MESSAGES as u64));
    group.bench_function("lettre, its own connection", |bencher| {
        bencher.iter(|| runtime.block_on(by_lettre(port, &envelope, &mail)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
