//! Entries of triggers on their way to a message: found by the campaign they name, planned, put off or taken out; what became of
//! some in one commit with the plan that they went into.

use std::collections::HashMap;
use std::path::PathBuf;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use triggers::Firing;
use vocabulary::{CampaignId, ContactKey, Step, Timestamp, VariantName};

use crate::campaigns::{CampaignState, NewPlan, insert_plan, insert_slices, read_campaign, set_state, unknown};
use crate::contacts::json_list;
use crate::experiments::to_json;
use crate::slices::has_open_slices;
use crate::store::{begin, bump, commit, count_to_sql};
use crate::trigger_states::FiringRow;
use crate::{Control, ControlError, NewSlice, PlanInForce};

/// An entry of a trigger and what became of its message so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Names it in this file.
    pub number: i64,
    /// The entry.
    pub firing: FiringRow,
    /// The plan that it went into; `None` while it waits.
    pub plan: Option<PlanInForce>,
    /// Whether a rule put its message off before.
    pub is_held: bool,
}

impl EntryRow {
    /// Names the entry among those of its campaign and contact: trigger, version and occurrence.
    ///
    /// # Panics
    /// Never: a trigger's name is short enough.
    #[must_use]
    pub fn step(&self) -> Step {
        let FiringRow { trigger, version, firing: Firing { occurrence, .. }, .. } = &self.firing;
        Step::new(&format!("{trigger}/{version}/{occurrence}")).expect("a trigger's name and two numbers are a step")
    }
}

/// What became of entries of one campaign.
#[derive(Debug, Clone, Default)]
pub struct PlannedEntries {
    /// Numbers of those that went into the plan, sent or refused.
    pub planned: Vec<i64>,
    /// Those whose message may not leave before a time.
    pub held: Vec<(i64, Timestamp)>,
    /// Those that were taken out while they were held, and when.
    pub exited: Vec<(i64, Timestamp)>,
}

/// A plan that is added to those a campaign has.
#[derive(Debug, Clone)]
pub struct AddedPlan {
    /// Its number: one more than the campaign's newest.
    pub version: u32,
    /// Its file.
    pub file: PathBuf,
    /// The variant whose hour was planned for, where the campaign follows the recommendation.
    pub planned_for: Option<VariantName>,
    /// Its slices.
    pub slices: Vec<NewSlice>,
}

impl Control {
    /// Entries that wait for a message of this campaign and whose time has come, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn waiting_entries(&self, id: &CampaignId, now: Timestamp, most: u32) -> Result<Vec<EntryRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT firing_seq, trigger_name, version, contact_key, occurrence, true_at, due, outcome, fired_at, not_before,
                 NULL AS plan_version, NULL AS plan_file, NULL AS planned_for
             FROM firings WHERE campaign_id = $1 AND outcome = 'send' AND plan_version IS NULL AND not_before <= $2
             ORDER BY not_before, firing_seq LIMIT $3",
        )
        .bind(id.as_str())
        .bind(now.as_microsecond())
        .bind(most)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for entries that wait"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The newest entry of each of these contacts that named this campaign.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn newest_entries(
        &self,
        id: &CampaignId,
        contacts: &[ContactKey],
    ) -> Result<HashMap<ContactKey, EntryRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT f.firing_seq, f.trigger_name, f.version, f.contact_key, f.occurrence, f.true_at, f.due, f.outcome, f.fired_at,
                 f.not_before, p.plan_version, p.plan_file, p.planned_for
             FROM firings f LEFT JOIN plans p ON p.campaign_id = f.campaign_id AND p.plan_version = f.plan_version
             WHERE f.campaign_id = $1 AND f.contact_key IN (SELECT value FROM json_each($2)) ORDER BY f.firing_seq",
        )
        .bind(id.as_str())
        .bind(json_list(contacts)?)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for entries"))?;
        rows.into_iter().map(|row| Row::read(row).map(|entry| (entry.firing.contact, entry))).collect()
    }

    /// Keeps what became of entries, all of it, and puts a plan beside those that are in force. `false`, and nothing is kept,
    /// where another plan came first or the campaign is not sending.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown campaign.
    pub async fn keep_entries(
        &self,
        id: &CampaignId,
        entries: &PlannedEntries,
        plan: Option<&AddedPlan>,
    ) -> Result<bool, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let row = read_campaign(&mut transaction, id).await?.ok_or_else(|| unknown(id))?;
        let is_next = plan.is_none_or(|plan| row.plan_version.checked_add(1) == Some(plan.version));
        if row.state != CampaignState::Sending || !is_next {
            return Ok(false);
        }
        if let Some(plan) = plan {
            add_plan(&mut transaction, id, plan, self.now()).await?;
            let planned: Vec<_> = entries.planned.iter().map(|number| (*number, i64::from(plan.version))).collect();
            move_entries(&mut transaction, "UPDATE firings SET plan_version = value ->> 1", &planned).await?;
        }
        let times = |entries: &[(i64, Timestamp)]| -> Vec<_> {
            entries.iter().map(|(number, at)| (*number, at.as_microsecond())).collect()
        };
        move_entries(&mut transaction, "UPDATE firings SET not_before = value ->> 1", &times(&entries.held)).await?;
        let taken_out = "UPDATE firings SET outcome = 'exited', fired_at = value ->> 1";
        move_entries(&mut transaction, taken_out, &times(&entries.exited)).await?;
        commit(transaction).await?;
        Ok(true)
    }

    /// Ends a campaign that is sending and has nothing more to send; whether it did.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown campaign.
    pub async fn end_campaign(&self, id: &CampaignId) -> Result<bool, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let row = read_campaign(&mut transaction, id).await?.ok_or_else(|| unknown(id))?;
        if row.state != CampaignState::Sending || has_open_slices(&mut transaction, id).await? {
            return Ok(false);
        }
        set_state(&mut transaction, id, CampaignState::Done, None, self.now()).await?;
        let change = bump(&mut transaction, "campaigns").await?;
        commit(transaction).await?;
        self.watcher.publish_campaigns(change);
        Ok(true)
    }
}

/// Changes entries that wait, each to its value.
async fn move_entries(
    connection: &mut SqliteConnection,
    update: &'static str,
    values: &[(i64, i64)],
) -> Result<(), ControlError> {
    let mut query = QueryBuilder::<Sqlite>::new(update);
    query.push(" FROM json_each(").push_bind(to_json("numbers of entries", &values)?);
    query.push(") WHERE firing_seq = value ->> 0 AND plan_version IS NULL AND outcome = 'send'");
    query.build().execute(connection).await.map_err(ControlError::query("keeping what became of entries"))?;
    Ok(())
}

/// Adds a plan. The epoch stays: what is leased of earlier plans goes on.
async fn add_plan(
    connection: &mut SqliteConnection,
    id: &CampaignId,
    plan: &AddedPlan,
    now: Timestamp,
) -> Result<(), ControlError> {
    let planned: u64 = plan.slices.iter().map(|slice| slice.rows).sum();
    let plan_file = &*plan.file.to_string_lossy();
    let new = NewPlan { id, plan_version: plan.version, plan_file, planned_for: plan.planned_for.as_ref(), planned, now };
    insert_plan(connection, &new).await?;
    insert_slices(connection, id, plan.version, &plan.slices).await?;
    sqlx::query("UPDATE campaigns SET plan_version = $1, planned = planned + $2, updated_at = $3 WHERE campaign_id = $4")
        .bind(plan.version)
        .bind(count_to_sql(planned))
        .bind(now.as_microsecond())
        .bind(id.as_str())
        .execute(connection)
        .await
        .map_err(ControlError::query("adding a plan"))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    firing_seq: i64,
    #[sqlx(flatten)]
    firing: crate::trigger_states::Row,
    not_before: i64,
    plan_version: Option<u32>,
    plan_file: Option<String>,
    planned_for: Option<String>,
}

impl Row {
    fn read(self) -> Result<EntryRow, ControlError> {
        let plan = self.plan_version.zip(self.plan_file);
        let plan = plan.map(|(version, file)| PlanInForce::read(version, file, self.planned_for)).transpose()?;
        Ok(EntryRow { number: self.firing_seq, firing: self.firing.read()?, plan, is_held: self.not_before > 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState::{Draft, Paused, Planning, Sending};
    use crate::testing::{World, at, campaign, campaign_id, claims, experiment, new_slices};
    use crate::{Cursor, Evaluation};
    use triggers::Outcome;

    fn contact(key: i64) -> ContactKey {
        ContactKey::from_i64(key).unwrap()
    }

    /// A triggered campaign that is sending, and entries of these contacts.
    async fn entered(control: &Control, keys: &[i64]) -> CampaignId {
        let id = campaign_id("c");
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        control.put_campaign(&vocabulary::Campaign { triggered: true, ..campaign("c", "e") }).await.unwrap();
        control.set_campaign_state(&id, &[Draft], Planning).await.unwrap();
        control.set_campaign_state(&id, &[Planning], Sending).await.unwrap();
        let trigger = serde_json::json!({ "trigger": "cart", "when": { "carted": { "for_minutes": 5 } }, "campaign": "c" });
        let row = control.put_trigger(&serde_json::from_value(trigger).unwrap()).await.unwrap();
        let firing = |(place, key): (usize, &i64)| {
            let outcome = if *key < 0 { Outcome::HeldOut } else { Outcome::Send };
            (contact(key.abs()), Firing { occurrence: place as u32 + 1, true_at: at(1), due: at(2), outcome })
        };
        let firings = keys.iter().enumerate().map(firing).collect();
        let evaluation = Evaluation { firings, states: Vec::new(), cursor: Cursor::default() };
        assert!(control.keep_evaluation(&row, &evaluation, at(3)).await.unwrap());
        id
    }

    async fn waiting(control: &Control, now: i64) -> Vec<String> {
        let entries = control.waiting_entries(&campaign_id("c"), at(now), 100).await.unwrap();
        entries.iter().map(|entry| format!("{} {} {}", entry.firing.contact, entry.step(), entry.is_held)).collect()
    }

    fn plan(version: u32, rows: u64) -> AddedPlan {
        let (file, slices) = (format!("c-{version}").into(), new_slices(&[(0, rows, 2)]));
        AddedPlan { version, file, planned_for: VariantName::new("a").ok(), slices }
    }

    #[tokio::test]
    async fn what_became_of_entries_is_kept_once_and_with_the_plan() {
        let world = World::new();
        let control = world.open().await;
        let id = entered(&control, &[7, -8, 7, 9]).await;
        world.clock.set(at(5));
        assert_eq!(waiting(&control, 5).await, ["7 cart/1/1 false", "7 cart/1/3 false", "9 cart/1/4 false"]);
        let numbers: Vec<i64> =
            control.waiting_entries(&id, at(5), 100).await.unwrap().iter().map(|entry| entry.number).collect();
        let both = PlannedEntries { planned: vec![numbers[0]], held: vec![(numbers[1], at(50))], exited: Vec::new() };
        assert!(!control.keep_entries(&id, &both, Some(&plan(2, 1))).await.unwrap(), "another plan came first");
        assert!(control.set_campaign_state(&id, &[Sending], Paused).await.unwrap());
        assert!(!control.keep_entries(&id, &both, Some(&plan(1, 1))).await.unwrap(), "a pause came in between");
        assert!(control.set_campaign_state(&id, &[Paused], Sending).await.unwrap());
        assert!(control.keep_entries(&id, &both, Some(&plan(1, 1))).await.unwrap());
        assert_eq!(waiting(&control, 5).await, ["9 cart/1/4 false"]);
        assert_eq!(waiting(&control, 50).await, ["9 cart/1/4 false", "7 cart/1/3 true"]);

        // A second plan stands beside the first, whose lease goes on; the campaign does not end with either.
        let first = control.lease_slice("w1", at(5), at(60)).await.unwrap().unwrap();
        let more = PlannedEntries { planned: vec![numbers[2]], held: Vec::new(), exited: vec![(numbers[1], at(40))] };
        assert!(control.keep_entries(&id, &more, Some(&plan(2, 3))).await.unwrap());
        assert!(control.finish_slice(&first).await.unwrap());
        let second = control.lease_slice("w1", at(5), at(60)).await.unwrap().unwrap();
        assert_eq!((first.plan_version, second.plan_version, second.plan_file.as_str()), (1, 2, "c-2"));
        assert!(!control.end_campaign(&id).await.unwrap(), "a slice is open");
        assert!(control.finish_slice(&second).await.unwrap());
        let progress = control.progress(&id).await.unwrap();
        assert_eq!((progress.planned, progress.due), (4, 4));
        assert_eq!(control.campaign(&id).await.unwrap().unwrap().state, Sending);
        assert_eq!(waiting(&control, 99).await, [""; 0]);
        let newest = control.newest_entries(&id, &[contact(7), contact(8), contact(9), contact(10)]).await.unwrap();
        let told = |key: i64| newest.get(&contact(key)).map(|entry| (entry.firing.firing.outcome, entry.plan.is_some()));
        assert_eq!(told(7), Some((Outcome::Exited { at: at(40) }, false)));
        assert_eq!((told(8), told(9), told(10)), (Some((Outcome::HeldOut, false)), Some((Outcome::Send, true)), None));
        assert_eq!(newest[&contact(9)].plan.as_ref().unwrap().planned_for, VariantName::new("a").ok());
        assert_eq!(control.claim(&id, "w1", &claims([7]), at(5)).await.unwrap().len(), 1);
        assert!(control.end_campaign(&id).await.unwrap());
        assert!(!control.end_campaign(&id).await.unwrap());
    }
}
