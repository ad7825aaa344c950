//! What the loops ask between the nouns: whom a campaign can reach, which experiments wait for their verdict.

use std::collections::HashSet;
use std::path::PathBuf;

use vocabulary::{CampaignId, Channel, ContactKey, ExperimentId, Timestamp, VariantName};

use crate::campaigns::{CampaignState, stored_state};
use crate::contacts::{channel_bit, contact_key, json_list};
use crate::store::{begin, commit, parsed, time};
use crate::{Control, ControlError};

/// A plan that senders work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInForce {
    /// Its number, 1 for the campaign's first.
    pub version: u32,
    /// Its file.
    pub file: PathBuf,
    /// The variant whose hour it was made for, where the campaign follows the recommendation.
    pub planned_for: Option<VariantName>,
}

/// An experiment that has no verdict yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTest {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The earliest planned moment of sending.
    pub first_due: Timestamp,
    /// The latest one; `None` while a campaign is still sending, and in a triggered flow, which has no end.
    pub last_due: Option<Timestamp>,
    /// When it was looked at last so that it could have been decided.
    pub looked_at: Option<Timestamp>,
}

impl PlanInForce {
    /// Reads stored columns.
    pub(crate) fn read(version: u32, file: String, planned_for: Option<String>) -> Result<Self, ControlError> {
        let planned_for = planned_for.map(|name| parsed("a variant's name", &name, VariantName::new)).transpose()?;
        Ok(Self { version, file: file.into(), planned_for })
    }
}

impl Control {
    /// Those of `keys` that have an address for the channel, without opening any.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn reachable(&self, keys: &[ContactKey], channel: Channel) -> Result<HashSet<ContactKey>, ControlError> {
        let rows: Vec<i64> = sqlx::query_scalar(
            "SELECT contact_key FROM contacts
             WHERE contact_key IN (SELECT value FROM json_each($1)) AND channels & $2 <> 0",
        )
        .bind(json_list(keys)?)
        .bind(channel_bit(channel))
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for addresses"))?;
        rows.into_iter().map(contact_key).collect()
    }

    /// Where a campaign stands; `None` for an unknown id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn campaign_state(&self, id: &CampaignId) -> Result<Option<CampaignState>, ControlError> {
        let row: Option<(String, Option<i64>)> =
            sqlx::query_as("SELECT state, cancelled_at FROM campaigns WHERE campaign_id = $1")
                .bind(id.as_str())
                .fetch_optional(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading a campaign's state"))?;
        row.map(|(state, cancelled_at)| stored_state(&state, cancelled_at)).transpose()
    }

    /// The plan of a campaign that is in force; `None` where there is none yet.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn plan_in_force(&self, id: &CampaignId) -> Result<Option<PlanInForce>, ControlError> {
        let query = "SELECT p.plan_version, p.plan_file, p.planned_for FROM plans p
                         JOIN campaigns c ON c.campaign_id = p.campaign_id AND c.plan_version = p.plan_version
                     WHERE c.campaign_id = $1";
        self.plan(query, id, "reading the plan in force").await
    }

    /// The newest plan of a campaign, also where the campaign was changed since and will have another.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn newest_plan(&self, id: &CampaignId) -> Result<Option<PlanInForce>, ControlError> {
        let query =
            "SELECT plan_version, plan_file, planned_for FROM plans WHERE campaign_id = $1 ORDER BY plan_version DESC LIMIT 1";
        self.plan(query, id, "reading the newest plan").await
    }

    /// The plan of a campaign that a query finds.
    async fn plan(&self, query: &'static str, id: &CampaignId, doing: &'static str) -> Result<Option<PlanInForce>, ControlError> {
        let row: Option<(u32, String, Option<String>)> = sqlx::query_as(query)
            .bind(id.as_str())
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query(doing))?;
        row.map(|(version, file, planned_for)| PlanInForce::read(version, file, planned_for)).transpose()
    }

    /// The experiments whose tests have plans and which have no verdict yet, by id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn open_tests(&self) -> Result<Vec<OpenTest>, ControlError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            experiment_id: String,
            first_due: i64,
            last_due: i64,
            is_sent: bool,
            looked_at: Option<i64>,
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT c.experiment_id, min(s.due) AS first_due, max(s.due) AS last_due,
                 min(c.state = 'done' AND c.definition ->> 'triggered' IS NOT TRUE) AS is_sent,
                 (SELECT max(d.stored_at) FROM decisions d WHERE d.experiment_id = c.experiment_id) AS looked_at
             FROM campaigns c JOIN slices s ON s.campaign_id = c.campaign_id
             WHERE c.definition ->> 'mode' = 'test'
                 AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.experiment_id = c.experiment_id)
             GROUP BY c.experiment_id ORDER BY c.experiment_id",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for undecided experiments"))?;
        let open = |row: Row| {
            Ok(OpenTest {
                experiment: parsed("an experiment's id", &row.experiment_id, ExperimentId::new)?,
                first_due: time(row.first_due)?,
                last_due: row.is_sent.then(|| time(row.last_due)).transpose()?,
                looked_at: row.looked_at.map(time).transpose()?,
            })
        };
        rows.into_iter().map(open).collect()
    }

    /// Notes that an experiment had its verdict, so that it is not asked for again.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn mark_decided(&self, id: &ExperimentId, readout_id: &str) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("INSERT INTO verdicts (experiment_id, readout_id, decided_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(id.as_str())
            .bind(readout_id)
            .bind(self.now().as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("noting a verdict"))?;
        commit(transaction).await
    }

    /// A key for another purpose that follows from the master key.
    #[must_use]
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        self.vault.derive(purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState::{Done, Draft, Planning, Sending};
    use crate::testing::{World, at, campaign, campaign_id, contact, experiment, experiment_id, new_slices, sending_campaign};
    use crate::{Duplicates, NewContact};
    use vocabulary::Mode;

    #[tokio::test]
    async fn the_reachable_have_an_address() {
        let world = World::new();
        let control = world.open().await;
        let unreachable = NewContact { key: "c".into(), ..NewContact::default() };
        let people = [contact("a"), contact("b"), unreachable].map(|contact| contact.check().unwrap());
        control.upsert_contacts(&people, Duplicates::Merge).await.unwrap();
        let keys = control.resolve(&["a", "b", "c"].map(str::to_owned)).await.unwrap();
        assert_eq!(control.reachable(&keys, Channel::Email).await.unwrap(), HashSet::from([keys[0], keys[1]]));
        control.upsert_contacts(&[contact("c").check().unwrap()], Duplicates::Merge).await.unwrap();
        assert_eq!(control.reachable(&keys, Channel::Sms).await.unwrap(), HashSet::new());
        assert_eq!(control.reachable(&keys[1..], Channel::Email).await.unwrap(), HashSet::from([keys[1], keys[2]]));
        assert_eq!(control.reachable(&[], Channel::Email).await.unwrap(), HashSet::new());
    }

    #[tokio::test]
    async fn a_plan_knows_the_variant_it_was_made_for() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[(0, 10, 0)]).await;
        let plan = async |id| control.plan_in_force(id).await.unwrap();
        assert_eq!(plan(&id).await.unwrap().planned_for, None);
        let variant = VariantName::new("b").unwrap();
        assert!(control.plan_ready(&id, 2, "plan-2", Some(&variant), &new_slices(&[(0, 7, 0)])).await.unwrap());
        let expect = PlanInForce { version: 2, file: "plan-2".into(), planned_for: Some(variant) };
        assert_eq!(plan(&id).await, Some(expect));
        assert_eq!(plan(&campaign_id("none")).await, None);
        assert_eq!(control.campaign_state(&id).await.unwrap(), Some(Sending));
        assert_eq!(control.campaign_state(&campaign_id("none")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_experiment_waits_for_its_verdict_once_all_its_tests_are_done() {
        let world = World::new();
        let control = world.open().await;
        let first = sending_campaign(&control, &[(0, 10, 0), (10, 10, 60)]).await;
        let open = |first, last: Option<i64>, looked: Option<i64>| OpenTest {
            experiment: experiment_id("e"),
            first_due: at(first),
            last_due: last.map(at),
            looked_at: looked.map(at),
        };
        assert_eq!(control.open_tests().await.unwrap(), [open(0, None, None)], "it is still sending");
        let mut rest = campaign("rest", "e");
        rest.mode = Mode::Recommended;
        control.put_campaign(&rest).await.unwrap();
        assert!(control.set_campaign_state(&first, &[Sending], Done).await.unwrap());
        assert_eq!(control.open_tests().await.unwrap(), [open(0, Some(60), None)]);

        let second = campaign_id("second");
        control.put_campaign(&campaign("second", "e")).await.unwrap();
        control.set_campaign_state(&second, &[Draft], Planning).await.unwrap();
        assert!(control.plan_ready(&second, 1, "second", None, &new_slices(&[(0, 1, 90)])).await.unwrap());
        assert_eq!(control.open_tests().await.unwrap(), [open(0, None, None)], "the second test is still sending");
        assert!(control.set_campaign_state(&second, &[Sending], Done).await.unwrap());
        assert_eq!(control.open_tests().await.unwrap(), [open(0, Some(90), None)]);

        let written = experiment("e", &["a", "b"]);
        let observed = experiment::Cells::new(&written, 100).observe(&written, &experiment::Cut::default(), at(0));
        let before = control.looks_before(&experiment_id("e")).await.unwrap();
        let judged = experiment::judge(&written, &experiment::Observed::overall(observed), &before, "look");
        world.clock.set(at(70));
        control.put_judged(&judged).await.unwrap();
        assert_eq!(control.open_tests().await.unwrap(), [open(0, Some(90), Some(70))]);

        control.mark_decided(&experiment_id("e"), "readout").await.unwrap();
        control.mark_decided(&experiment_id("e"), "another").await.unwrap();
        assert_eq!(control.open_tests().await.unwrap(), []);
        control.put_experiment(&experiment("f", &["a", "b"])).await.unwrap();
        assert_eq!(control.open_tests().await.unwrap(), [], "an experiment without campaigns waits for nothing");
    }

    #[tokio::test]
    async fn derived_keys_differ_by_purpose_and_stay() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        assert_eq!(one.derived_key("links"), two.derived_key("links"));
        assert_ne!(one.derived_key("links"), one.derived_key("other"));
    }
}
