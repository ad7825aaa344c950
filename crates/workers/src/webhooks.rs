//! Tells customers' addresses of each recommendation: in order, at least once, and again with growing pauses until it is heard or given up.

use std::time::Duration;

use control::{DueWebhook, NumberedRecommendation};
use futures::future::join_all;
use gateways::{WebhookCall, WebhookSecret, Webhooks};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vocabulary::Recommendation;

use crate::{Parts, WorkerError, pause_after};

/// How often it is looked for calls whose pause is over, and for what other processes changed.
const POLL: Duration = Duration::from_secs(1);
/// Calls for one address before the others have their turn again.
const CALLS_MAX: u32 = 20;
/// The pause after the first failure; each further one doubles it.
const PAUSE_SECONDS_FIRST: i64 = 5;
/// The longest pause: an address that is well again hears of it within the hour.
const PAUSE_SECONDS_MAX: i64 = 3_600;
/// An address that failed for so many days is given up: nobody looks after it.
const FAILING_DAYS_MAX: i64 = 5;

enum Wake {
    Tick,
    Shutdown,
}

/// What an address hears.
#[derive(Serialize)]
struct News {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Value,
}

/// A recommendation with the fields that the API tells it with.
fn told(made: &Recommendation) -> Result<Value, serde_json::Error> {
    let mut data = serde_json::to_value(made)?;
    if let Some(fields) = data.as_object_mut() {
        fields.remove("expected");
        fields.insert("expected_gain".to_owned(), json!(made.expected.map(|expected| expected.gain)));
        fields.insert("expected_loss".to_owned(), json!(made.expected.map(|expected| expected.loss)));
    }
    Ok(data)
}

pub(crate) async fn run(parts: Parts, webhooks: Webhooks, stop: CancellationToken) {
    let mut changed = parts.control.recommendations_changed();
    loop {
        let told = tokio::select! {
            // A call that is cut off is made again.
            () = stop.cancelled() => return,
            told = step(&parts, &webhooks) => told,
        };
        if let Err(error) = told {
            pause_after("telling webhooks", &error, &stop).await;
        }
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            _ = changed.changed() => Wake::Tick,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Tick => {}
            Wake::Shutdown => return,
        }
    }
}

/// All addresses at once, so that a slow one does not keep the others waiting for longer than a call.
async fn step(parts: &Parts, webhooks: &Webhooks) -> Result<(), WorkerError> {
    let due = parts.control.due_webhooks(parts.clock.now()).await?;
    join_all(due.iter().map(|due| tell(parts, webhooks, due))).await.into_iter().collect()
}

/// Tells one address what waits for it, until it does not hear.
async fn tell(parts: &Parts, webhooks: &Webhooks, due: &DueWebhook) -> Result<(), WorkerError> {
    let secret = WebhookSecret::read(&due.secret);
    let mut tries = due.tries;
    for news in parts.control.recommendations_after(None, due.told, CALLS_MAX).await? {
        let heard = match &secret {
            Ok(secret) => call(parts, webhooks, due, secret, &news).await,
            Err(why) => Err(format!("its secret {why}")),
        };
        let Err(why) = heard else {
            parts.control.webhook_told(&due.webhook, news.number).await?;
            tries = 0;
            continue;
        };
        let now = parts.clock.now();
        let since = due.failing_since.filter(|_| tries == due.tries).unwrap_or(now);
        let next = next_try(tries, since, now);
        tracing::warn!(webhook = due.webhook, why, given_up = next.is_none(), "a webhook did not hear of a recommendation");
        parts.control.webhook_failed(&due.webhook, &why, next).await?;
        return Ok(());
    }
    Ok(())
}

async fn call(
    parts: &Parts,
    webhooks: &Webhooks,
    due: &DueWebhook,
    secret: &WebhookSecret,
    news: &NumberedRecommendation,
) -> Result<(), String> {
    let made = &news.recommendation;
    let body = told(made)
        .and_then(|data| serde_json::to_string(&News { r#type: "recommendation.changed", timestamp: made.created_at, data }));
    let body = body.map_err(|error| format!("the news cannot be written: {error}"))?;
    let (id, at) = (made.id.as_str(), parts.clock.now());
    webhooks.call(&WebhookCall { url: &due.url, secret, id, at, body: &body }).await
}

/// When an address is called again that failed `tries` times before, the first of them at `since`; `None` where it is given up.
fn next_try(tries: u64, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let is_over = now.duration_since(since) >= SignedDuration::from_hours(24 * FAILING_DAYS_MAX);
    let doublings = u32::try_from(tries).unwrap_or(u32::MAX).min(20);
    let pause = (PAUSE_SECONDS_FIRST << doublings).min(PAUSE_SECONDS_MAX);
    now.checked_add(SignedDuration::from_secs(pause)).ok().filter(|_| !is_over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_an_hour_and_end_after_days() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let check = |tries: u64, failing_seconds: i64, expect: Option<i64>| {
            let now = at(1_000_000);
            assert_eq!(
                next_try(tries, at(1_000_000 - failing_seconds), now),
                expect.map(|pause| at(1_000_000 + pause)),
                "{tries}"
            );
        };
        check(0, 0, Some(5));
        check(1, 5, Some(10));
        check(4, 75, Some(80));
        check(10, 5_000, Some(3_600));
        check(u64::MAX, 5 * 86_400 - 1, Some(3_600));
        check(200, 5 * 86_400, None);
    }
}
