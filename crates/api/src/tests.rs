//! The server in one process: real lake and control in a temporary folder, requests handed to the router directly.

mod access;
mod batches;
mod coupons;
mod document;
mod feeding;
mod formats;
mod links;
mod looking;
mod looks;
mod recommending;
mod sending;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use control::{ControlConfig, NewClaim, Settled, Settlement};
use lake::LakeConfig;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use vocabulary::{CampaignId, ContactKey, ExperimentId, MessageId, Rates, RecommendationId, Timestamp, VariantName};

use super::*;

/// The time of every test.
/// A domain that began today.
const WARM_UPS: &str = "[[warm_up]]\ndomain = 'new.example'\nstart = 2026-03-01\nfirst_day = 10\ngrowth = 2.0\nuntil = 40\n";

pub(super) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A clock that stands still.
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn sleep_until(&self, due: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if due <= now() { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) }
    }
}

/// Bits that are different each time and the same in each run.
struct CountingIds(AtomicU64);

impl Ids for CountingIds {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // The odd multiplier spreads a counter over all bits and never meets itself.
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let length = chunk.len();
            chunk.copy_from_slice(&next.to_be_bytes()[..length]);
        }
    }
}

/// A server with a key for each scope.
pub(super) struct Server {
    router: Router,
    pub(super) lake: Arc<Lake>,
    pub(super) control: Arc<Control>,
    pub(super) links: Arc<Links>,
    /// Ends streams and long polls.
    pub(super) stop: CancellationToken,
    keys: BTreeMap<Scope, String>,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Fails unless the status is as expected, and says what came instead.
    pub(super) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base_currency = Currency::new("EUR").unwrap();
        let sql_limits = SqlLimits { rows_max: 1_000, ..SqlLimits::default() };
        let config = LakeConfig { limits: sql_limits, ..LakeConfig::new(folder.path().join("lake"), Rates::new(base_currency)) };
        let lake = Lake::open(config).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(StillClock);
        let ids: Arc<dyn Ids> = Arc::new(CountingIds(AtomicU64::new(1)));
        let path = folder.path().join("control.sqlite");
        let config = ControlConfig { path, master_key: [7; 32], root: None, ids: Arc::clone(&ids), clock: Arc::clone(&clock) };
        let control = Control::open(config).await.unwrap();
        let mut keys = BTreeMap::new();
        for scope in Scope::ALL {
            keys.insert(*scope, control.create_key(scope.as_str(), &[*scope]).await.unwrap().secret);
        }
        let links = Arc::new(Links::new([9; 32], "http://test.example"));
        let settings = Settings { base_currency, sql_limits, channels: &[Channel::Email], webhook_loopback: false };
        let rules = Arc::new(policy::InForce::new(policy::Rules::embedded().unwrap()));
        let stop = CancellationToken::new();
        let (shared_lake, shared_control, shared_links) = (Arc::clone(&lake), Arc::clone(&control), Arc::clone(&links));
        let parts = Parts {
            lake: shared_lake,
            control: shared_control,
            links: shared_links,
            clock,
            ids,
            rules,
            sms: gateways::SmsConfig::default(),
            warm_ups: Arc::new(gateways::WarmUps::read(WARM_UPS).unwrap()),
            feed: Feed::new(stop.clone()),
            settings,
        };
        Self { router: router(parts), lake, control, links, stop, keys, _folder: folder }
    }

    pub(super) fn key(&self, scope: Scope) -> &str {
        &self.keys[&scope]
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request with the key of a scope.
    pub(super) async fn call(
        &self,
        scope: Scope,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.key(scope));
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, bearer);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call(Scope::Read, Method::GET, path, &[], Body::empty()).await
    }

    pub(super) async fn manage(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.call(Scope::Manage, method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Tells events as lines.
    pub(super) async fn collect(&self, body: impl Into<Body>) -> Answer {
        self.call(Scope::Collect, Method::POST, "/v1/events", &[("content-type", "application/x-ndjson")], body).await
    }

    /// Lands what was told and asks in SQL.
    pub(super) async fn rows(&self, sql: &str) -> Value {
        self.lake.land().await.unwrap();
        let answer = self.call(Scope::Read, Method::POST, "/v1/sql", &[("content-type", "text/plain")], sql.to_owned()).await;
        answer.expect(StatusCode::OK).json()
    }

    /// Stores an experiment of two copies.
    pub(super) async fn put_experiment(&self) -> ExperimentId {
        self.manage(Method::PUT, "/v1/experiments", &experiment()).await.expect(StatusCode::CREATED);
        ExperimentId::new("spring").unwrap()
    }

    pub(super) async fn put_campaign(&self) -> CampaignId {
        self.put_experiment().await;
        self.manage(Method::PUT, "/v1/campaigns", &campaign()).await.expect(StatusCode::CREATED);
        CampaignId::new("spring-1").unwrap()
    }

    /// A message that the next server took `seconds` ago.
    pub(super) async fn sent_message(&self, seconds: i64) -> (MessageId, ContactKey) {
        let campaign = self.put_campaign().await;
        let contact = self.control.resolve(&["c1".to_owned()]).await.unwrap()[0];
        let message_id = MessageId::new("0123456789abcdef0123456789abcdef").unwrap();
        let experiment_id = ExperimentId::new("spring").unwrap();
        let variant = Some(VariantName::new("warm").unwrap());
        let (channel, class) = (vocabulary::Channel::Email, vocabulary::MessageClass::Marketing);
        let market = Some("DE".into());
        let claim = NewClaim {
            contact,
            step: None,
            message_id: message_id.clone(),
            experiment_id,
            variant,
            market,
            channel,
            class,
            coupon_pool: None,
        };
        let at = now() - jiff::SignedDuration::from_secs(seconds);
        self.start_sending(&campaign).await;
        let claimed = self.control.claim(&campaign, "test", &[claim], at).await.unwrap();
        assert_eq!(claimed, std::slice::from_ref(&message_id));
        let recommendation_id = Some(RecommendationId::new("r1").unwrap());
        let settled = Settled {
            message_id: message_id.clone(),
            outcome: Settlement::Accepted,
            variant: None,
            recommendation_id,
            is_fallback: false,
            reply: None,
            at,
        };
        assert_eq!(self.control.settle(&[settled]).await.unwrap(), 1);
        (message_id, contact)
    }

    /// Brings a stored campaign to where a worker may claim messages of it.
    pub(super) async fn start_sending(&self, campaign: &CampaignId) {
        self.manage(Method::POST, &format!("/v1/campaigns/{campaign}/start"), &Value::Null).await.expect(StatusCode::OK);
        let slices = [control::NewSlice { first_row: 0, rows: 1, due: now() }];
        assert!(self.control.plan_ready(campaign, 1, "plan.parquet", None, &slices).await.unwrap());
    }
}

pub(super) fn experiment() -> Value {
    json!({
        "experiment": "spring",
        "question": "Does a warm tone sell more?",
        "factors": ["copy"],
        "variants": [{"name": "plain"}, {"name": "warm"}],
        "primary": "bought",
        "metrics": [
            {"name": "bought", "outcome": "order", "measure": "occurred"},
            {"name": "unsubscribed", "outcome": "unsubscribe", "measure": "occurred", "lower_is_better": true}
        ],
        "guardrails": [{"metric": "unsubscribed", "margin": 0.5}],
        "window_hours": 24
    })
}

pub(super) fn campaign() -> Value {
    let copy = json!({"subject": "Hello", "html": "<p>Hello <a href=\"https://shop.example/\">shop</a></p>", "text": "Hello"});
    json!({
        "campaign": "spring-1",
        "experiment": "spring",
        "from": "Shop <news@shop.example>",
        "content": {"plain": copy, "warm": copy}
    })
}
