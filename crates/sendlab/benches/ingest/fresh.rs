//! How soon SQL sees what was acknowledged, while others send at full rate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join;

use crate::clock::{instant, millis, quantile, timestamp};
use crate::lines::Source;
use crate::load::{Shape, Tally, Until, drive};
use crate::server::Server;
use crate::wire::Connection;

/// Between two looks, so that looking does not become the load.
const PAUSE: Duration = Duration::from_millis(5);
/// An event that nobody sees for so long is lost.
const SIGHT_MAX: Duration = Duration::from_secs(120);
const PROMISE: Duration = Duration::from_secs(2);
/// Markers belong to an experiment of their own, so that a look reads little of what else is there.
const EXPERIMENT: &str = "exp-marker";

/// Markers that were acknowledged and not seen yet, by id.
type Waiting = RefCell<BTreeMap<String, Instant>>;

/// Sends `markers` events one by one beside a full load, and prints how long each took to be seen.
pub(crate) async fn measure(server: &Server, shape: Shape, source: &RefCell<Source>, markers: usize) {
    let (stop, tally, waiting) = (Cell::new(false), RefCell::default(), Waiting::default());
    let begin = instant();
    let load = drive(server, shape, source, Until::Told(&stop), &tally);
    let day = source.borrow().day().to_owned();
    let run = timestamp().as_microsecond();
    let looking = async {
        let send = mark(server, &day, run, markers, &waiting);
        let ((), mut seen) = join(send, look(server, &day, run, markers, &waiting)).await;
        stop.set(true);
        seen.sort_unstable();
        seen
    };
    let ((), seen) = join(load, looking).await;
    let tally: Tally = tally.into_inner();
    report(&seen, tally.accepted as f64 / begin.elapsed().as_secs_f64());
}

async fn mark(server: &Server, day: &str, run: i64, markers: usize, waiting: &Waiting) {
    let mut connection = Connection::open(&server.address).await.expect("the server listens");
    for number in 0..markers {
        let id = format!("marker-{run}-{number:06}");
        let line = format!(
            "{{\"event_id\":\"{id}\",\"kind\":\"delivery\",\"event_time\":\"{day}T00:00:00Z\",\"contact_key\":\"{}\",\"experiment_id\":\
             \"{EXPERIMENT}\",\"status\":\"delivered\"}}",
            number + 1
        );
        let request = server.events_request(&line);
        while connection.call(&request).await.expect("an answer").status != 200 {
            tokio::time::sleep(PAUSE).await;
        }
        waiting.borrow_mut().insert(id, instant());
    }
}

/// Asks again and again for the markers that are missing; gives the microseconds each took.
async fn look(server: &Server, day: &str, run: i64, markers: usize, waiting: &Waiting) -> Vec<u32> {
    let mut connection = Connection::open(&server.address).await.expect("the server listens");
    let mut seen = Vec::with_capacity(markers);
    while seen.len() < markers {
        tokio::time::sleep(PAUSE).await;
        let Some((first, since)) = waiting.borrow().first_key_value().map(|(id, at)| (id.clone(), *at)) else { continue };
        assert!(since.elapsed() < SIGHT_MAX, "{first} was acknowledged and is not seen");
        let query = format!(
            "SELECT event_id FROM deliveries WHERE event_date = DATE '{day}' AND experiment_id = '{EXPERIMENT}' \
             AND event_id >= '{first}' AND event_id < 'marker-{run}-~'"
        );
        let answer = connection.call(&server.sql_request(&query)).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut waiting = waiting.borrow_mut();
        for id in answer.text().split('"') {
            if let Some(at) = waiting.remove(id) {
                seen.push(at.elapsed().as_micros() as u32);
            }
        }
    }
    seen
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn report(seen: &[u32], rate: f64) {
    let last = quantile(seen, 1.0);
    println!("\nFrom the acknowledgement until SQL sees the event: {} events one by one, beside {rate:.0} events/s", seen.len());
    let [half, most] = [0.5, 0.99].map(|share| millis(quantile(seen, share)));
    let holds = if last <= PROMISE { "holds" } else { "BROKEN" };
    println!("  p50 {half} ms, p99 {most} ms, longest {} ms; promised: at most {} ms: {holds}", millis(last), millis(PROMISE));
}
