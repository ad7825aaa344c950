//! A seeded world for the tests of this crate: a temporary file, a clock that is set by hand, random bits from a seed.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vocabulary::{
    Campaign, CampaignId, Channel, Clock, ContactKey, Experiment, ExperimentId, Ids, MessageId, Recommendation, RecommendationId,
    Timestamp, VariantName,
};

use crate::{CampaignState, Control, ControlConfig, NewClaim, NewContact, NewSlice};

/// Random bits that follow from a seed.
pub(crate) struct SeededIds {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededIds {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Ids for SeededIds {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let number = self.drawn.fetch_add(1, Ordering::Relaxed);
            let hash = Sha256::digest([self.seed.to_be_bytes(), number.to_be_bytes()].concat());
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
    }
}

/// A clock that stands still until it is set.
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_microsecond(), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn sleep_until(&self, _due: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// One control file that several `Control`s, like several processes, may open.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) clock: Arc<HandClock>,
    ids: Arc<SeededIds>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(HandClock(AtomicI64::new(0)));
        clock.set(at(0));
        Self { folder: tempfile::tempdir().unwrap(), clock, ids: Arc::new(SeededIds::new(7)) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("inner").join("control.sqlite")
    }

    pub(crate) fn config(&self) -> ControlConfig {
        ControlConfig { path: self.path(), master_key: [7; 32], root: None, ids: self.ids.clone(), clock: self.clock.clone() }
    }

    pub(crate) async fn open(&self) -> Arc<Control> {
        Control::open(self.config()).await.unwrap()
    }
}

/// So many seconds after the tests' beginning of time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// An experiment with these variants of equal weight.
pub(crate) fn experiment(id: &str, variants: &[&str]) -> Experiment {
    let variants: Vec<_> = variants.iter().map(|name| serde_json::json!({ "name": name })).collect();
    serde_json::from_value(serde_json::json!({
        "experiment": id, "factors": ["copy"], "variants": variants, "primary": "clicks",
        "metrics": [{ "name": "clicks", "outcome": "click", "measure": "occurred" }],
    }))
    .unwrap()
}

/// A campaign of that experiment.
pub(crate) fn campaign(id: &str, experiment: &str) -> Campaign {
    serde_json::from_value(serde_json::json!({
        "campaign": id, "experiment": experiment, "from": "Shop <news@shop.example>",
        "content": { "a": { "subject": "Hello", "html": "<p>Hello</p>", "text": "Hello" } },
    }))
    .unwrap()
}

/// A recommendation of `variant` for the experiment `e`.
pub(crate) fn recommendation(id: &str, variant: &str, parent: Option<&str>) -> Recommendation {
    Recommendation {
        id: RecommendationId::new(id).unwrap(),
        experiment_id: experiment_id("e"),
        scope: vocabulary::RecommendationScope::default(),
        variant: VariantName::new(variant).unwrap(),
        weights: Recommendation::all_to(&VariantName::new(variant).unwrap()),
        parent: parent.map(|parent| RecommendationId::new(parent).unwrap()),
        reason: "because".into(),
        readout_id: None,
        valid_until: None,
        expected: None,
        created_at: at(1),
    }
}

pub(crate) fn experiment_id(id: &str) -> ExperimentId {
    ExperimentId::new(id).unwrap()
}

pub(crate) fn campaign_id(id: &str) -> CampaignId {
    CampaignId::new(id).unwrap()
}

pub(crate) fn message_id(id: &str) -> MessageId {
    MessageId::new(id).unwrap()
}

/// A contact of that own key with an address.
pub(crate) fn contact(key: &str) -> NewContact {
    let addresses = [(Channel::Email, format!("{key}@shop.example"))].into();
    NewContact { key: key.into(), addresses, ..NewContact::default() }
}

/// A claim of the message `c/KEY` to each contact.
pub(crate) fn claims(keys: impl IntoIterator<Item = i64>) -> Vec<NewClaim> {
    let claim = |key: i64| NewClaim {
        contact: ContactKey::from_i64(key).unwrap(),
        step: None,
        message_id: message_id(&format!("m{key}")),
        experiment_id: experiment_id("e"),
        variant: Some(VariantName::new("a").unwrap()),
        market: Some("DE".into()),
        channel: Channel::Email,
        class: vocabulary::MessageClass::Marketing,
        coupon_pool: None,
    };
    keys.into_iter().map(claim).collect()
}

/// Stores experiment `e` (variants a and b) and campaign `c`, planned with these slices of (first row, rows, due second).
pub(crate) async fn sending_campaign(control: &Control, slices: &[(u64, u64, i64)]) -> CampaignId {
    let id = campaign_id("c");
    control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
    control.put_campaign(&campaign("c", "e")).await.unwrap();
    assert!(control.set_campaign_state(&id, &[CampaignState::Draft], CampaignState::Planning).await.unwrap());
    assert!(control.plan_ready(&id, 1, "plans/c-1.parquet", None, &new_slices(slices)).await.unwrap());
    id
}

pub(crate) fn new_slices(slices: &[(u64, u64, i64)]) -> Vec<NewSlice> {
    slices.iter().map(|&(first_row, rows, due)| NewSlice { first_row, rows, due: at(due) }).collect()
}

impl World {
    /// Every byte of the file and its log, before and after the log is copied into the file.
    pub(crate) async fn bytes_of(&self, control: &Control) -> Vec<u8> {
        let path = self.path();
        let mut bytes = std::fs::read(path.with_extension("sqlite-wal")).unwrap_or_default();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *control.writer().await).await.unwrap();
        bytes.extend(std::fs::read(path).unwrap());
        bytes
    }
}
