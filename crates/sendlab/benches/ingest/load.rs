//! The load: connections that each send one request after the other, all on one thread, because the server needs the rest.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::clock::instant;
use crate::lines::{Naming, Source, requests};
use crate::server::Server;
use crate::wire::Connection;

/// Waits for an overloaded server are not longer than this, whatever it asks for.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What is sent, and by how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) lines: usize,
    pub(crate) connections: usize,
    pub(crate) naming: Naming,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until<'a> {
    Time(Instant),
    Events(u64),
    Told(&'a Cell<bool>),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    /// Requests that were told to come again.
    pub(crate) refused: u64,
    /// Microseconds from the first byte sent to the answer read, of each request that was taken.
    pub(crate) latencies: Vec<u32>,
}

/// Sends until told to stop. Events that were refused are sent again, so that each is taken once.
pub(crate) async fn drive(server: &Server, shape: Shape, source: &RefCell<Source>, until: Until<'_>, tally: &RefCell<Tally>) {
    join_all((0..shape.connections).map(|number| connection(server, shape, number, source, until, tally))).await;
    tally.borrow_mut().latencies.sort_unstable();
}

async fn connection(
    server: &Server,
    shape: Shape,
    number: usize,
    source: &RefCell<Source>,
    until: Until<'_>,
    tally: &RefCell<Tally>,
) {
    let day = source.borrow().day().to_owned();
    let mut made = requests(&server.address, &server.key, number, shape.lines, shape.naming, &day);
    let mut connection = Connection::open(&server.address).await.expect("the server listens");
    for turn in 0.. {
        let turn: usize = turn;
        let done = match until {
            Until::Time(end) => instant() >= end,
            Until::Events(events) => tally.borrow().sent >= events,
            Until::Told(stop) => stop.get(),
        };
        if done {
            return;
        }
        let at = turn % made.len();
        let request = &mut made[at];
        tally.borrow_mut().sent += request.events() as u64;
        request.renew(&mut source.borrow_mut());
        send(&mut connection, request.bytes(), tally).await;
    }
}

/// Sends one request until it is taken.
async fn send(connection: &mut Connection, bytes: &[u8], tally: &RefCell<Tally>) {
    loop {
        let begin = instant();
        let answer = connection.call(bytes).await.expect("an answer");
        let took = begin.elapsed();
        match answer.status {
            200 => {
                let mut tally = tally.borrow_mut();
                tally.accepted += answer.number("accepted");
                tally.duplicate += answer.number("duplicate");
                tally.latencies.push(took.as_micros() as u32);
                return;
            }
            429 => {
                tally.borrow_mut().refused += 1;
                let asked = Duration::from_secs_f64(answer.retry_after.unwrap_or(0.1).max(0.001));
                tokio::time::sleep(asked.min(RETRY_MAX)).await;
            }
            status => panic!("events were answered {status}: {}", answer.text()),
        }
    }
}
