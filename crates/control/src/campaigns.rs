//! Campaigns: as people wrote them, where they stand, and the plan in force.

use std::str::FromStr;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::watch;
use vocabulary::{Campaign, CampaignId, Timestamp, VariantName};

use crate::experiments::{from_json, read_experiment, to_json};
use crate::store::{begin, bump, commit, count, count_to_sql, parsed, stored, time};
use crate::{Control, ControlError, NewSlice, edits};

/// Slices stored by one statement: six parameters each, of the 32,766 a statement may have.
const SLICES_PER_STATEMENT: usize = 500;
/// The longest stored error, in bytes: it is one line on a page.
const ERROR_BYTES_MAX: usize = 2000;

vocabulary::words!(
    /// Where a campaign stands.
    CampaignState {
        /// Written, not started.
        Draft = "draft",
        /// Started; its plan is being made.
        Planning = "planning",
        /// Its slices are handed over when due.
        Sending = "sending",
        /// Nothing is handed over for now.
        Paused = "paused",
        /// Every slice is finished.
        Done = "done",
        /// It could not be planned or sent; `error` says why.
        Failed = "failed",
        /// Ended for good by somebody: what had not left does not leave any more.
        Cancelled = "cancelled",
    }
);

/// A campaign with where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRow {
    /// As people wrote it.
    pub campaign: Campaign,
    /// Where it stands.
    pub state: CampaignState,
    /// Recipients in the newest plan.
    pub planned: u64,
    /// The number of the newest plan; 0 before the first. A change of the campaign counts too, and leaves it without a plan.
    pub plan_version: u32,
    /// Whether there is a plan of that number.
    pub has_plan: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was first stored.
    pub created_at: Timestamp,
}

impl Control {
    /// Stores a campaign; whether it is new. A draft can be changed, a failed one, which is a draft again, and of a paused one what
    /// has not left (`edits`); the same one again is harmless in any state.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where its experiment is unknown, [`ControlError::Frozen`] for what can no longer be changed.
    pub async fn put_campaign(&self, campaign: &Campaign) -> Result<bool, ControlError> {
        let definition = to_json("a campaign", campaign)?;
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let old = read_campaign(&mut transaction, &campaign.campaign).await?;
        match &old {
            Some(old) if old.campaign == *campaign => return Ok(false),
            Some(old) => edits::check(&mut transaction, old, campaign).await?,
            None => {}
        }
        if read_experiment(&mut transaction, &campaign.experiment).await?.is_none() {
            return Err(ControlError::NotFound { noun: "experiment", id: campaign.experiment.to_string() });
        }
        // What is paused stays so, and has no plan of this text. A failed one is a draft again.
        let is_started = old.as_ref().is_some_and(|old| old.state == CampaignState::Paused || old.plan_version > 0);
        sqlx::query(
            "INSERT INTO campaigns (campaign_id, experiment_id, definition, state, created_at, updated_at)
             VALUES ($1, $2, $3, 'draft', $4, $4)
             ON CONFLICT (campaign_id) DO UPDATE SET experiment_id = excluded.experiment_id,
                 state = CASE WHEN state = 'paused' THEN state ELSE excluded.state END, plan_version = plan_version + $5,
                 snippets_until = CASE WHEN definition -> 'content' = excluded.definition -> 'content' THEN snippets_until END,
                 definition = excluded.definition, error = NULL, epoch = epoch + 1, updated_at = excluded.updated_at",
        )
        .bind(campaign.campaign.as_str())
        .bind(campaign.experiment.as_str())
        .bind(definition)
        .bind(self.now().as_microsecond())
        .bind(u32::from(is_started))
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing a campaign"))?;
        let change = bump(&mut transaction, "campaigns").await?;
        commit(transaction).await?;
        self.watcher.publish_campaigns(change);
        Ok(old.is_none())
    }

    /// The campaign of that id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn campaign(&self, id: &CampaignId) -> Result<Option<CampaignRow>, ControlError> {
        read_campaign(&mut *self.reader().await, id).await
    }

    /// All campaigns, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn campaigns(&self) -> Result<Vec<CampaignRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT definition, state, cancelled_at, planned, plan_version, error, created_at,
                 EXISTS (SELECT 1 FROM plans p WHERE p.campaign_id = c.campaign_id AND p.plan_version = c.plan_version) AS has_plan
             FROM campaigns c ORDER BY created_at, campaign_id",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading the campaigns"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Moves a campaign to `to` where it is in one of `from`; whether it moved.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown id.
    pub async fn set_campaign_state(
        &self,
        id: &CampaignId,
        from: &[CampaignState],
        to: CampaignState,
    ) -> Result<bool, ControlError> {
        self.move_campaign(id, from, to, None).await
    }

    /// Moves a campaign that is not done to `failed` and keeps the reason; whether it moved.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown id.
    pub async fn fail_campaign(&self, id: &CampaignId, error: &str) -> Result<bool, ControlError> {
        use CampaignState::{Draft, Failed, Paused, Planning, Sending};
        let error = &error[..error.floor_char_boundary(ERROR_BYTES_MAX)];
        self.move_campaign(id, &[Draft, Planning, Sending, Paused], Failed, Some(error)).await
    }

    /// A number that grows whenever any campaign was stored, moved or planned: at once by this process, within a quarter
    /// of a second by another.
    #[must_use]
    pub fn campaigns_changed(&self) -> watch::Receiver<u64> {
        self.watcher.campaigns()
    }

    /// Puts plan number `plan_version` in force. It names every recipient of the campaign; those in the ledger already
    /// will be passed over. In the same transaction the unfinished slices of older plans vanish, and a planning campaign
    /// starts sending (one without recipients is done).
    ///
    /// `planned_for` is the variant whose hour was planned for, where the campaign follows the recommendation.
    ///
    /// `false`, and nothing happened, where the plan in force is not the one before `plan_version` or the campaign is
    /// not planning, sending or paused: somebody else was faster.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown campaign.
    pub async fn plan_ready(
        &self,
        id: &CampaignId,
        plan_version: u32,
        plan_file: &str,
        planned_for: Option<&VariantName>,
        slices: &[NewSlice],
    ) -> Result<bool, ControlError> {
        use CampaignState::{Paused, Planning, Sending};
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let row = read_campaign(&mut transaction, id).await?.ok_or_else(|| unknown(id))?;
        if row.plan_version.checked_add(1) != Some(plan_version) || !matches!(row.state, Planning | Sending | Paused) {
            return Ok(false);
        }
        let planned: u64 = slices.iter().map(|slice| slice.rows).sum();
        let now = self.now();
        drop_open_slices(&mut transaction, id).await?;
        insert_plan(&mut transaction, &NewPlan { id, plan_version, plan_file, planned_for, planned, now }).await?;
        insert_slices(&mut transaction, id, plan_version, slices).await?;
        sqlx::query(
            "UPDATE campaigns SET plan_version = $1, planned = $2, error = NULL, epoch = epoch + 1, updated_at = $3,
                 state = CASE WHEN $2 = 0 THEN 'done' WHEN state = 'planning' THEN 'sending' ELSE state END
             WHERE campaign_id = $4",
        )
        .bind(plan_version)
        .bind(count_to_sql(planned))
        .bind(now.as_microsecond())
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("putting a plan in force"))?;
        let change = bump(&mut transaction, "campaigns").await?;
        commit(transaction).await?;
        self.watcher.publish_campaigns(change);
        Ok(true)
    }

    async fn move_campaign(
        &self,
        id: &CampaignId,
        from: &[CampaignState],
        to: CampaignState,
        error: Option<&str>,
    ) -> Result<bool, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let row = read_campaign(&mut transaction, id).await?.ok_or_else(|| unknown(id))?;
        if !from.contains(&row.state) || row.state == to {
            return Ok(false);
        }
        set_state(&mut transaction, id, to, error, self.now()).await?;
        let change = bump(&mut transaction, "campaigns").await?;
        commit(transaction).await?;
        self.watcher.publish_campaigns(change);
        Ok(true)
    }
}

/// Moves a campaign within a transaction and begins a new epoch.
pub(crate) async fn set_state(
    connection: &mut SqliteConnection,
    id: &CampaignId,
    to: CampaignState,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), ControlError> {
    // Who starts it takes the snippets of this moment. Who cancels ends it: for everything that leases and plans a cancelled campaign is one that is done.
    let cancelled_at = (to == CampaignState::Cancelled).then(|| now.as_microsecond());
    let stored = if cancelled_at.is_some() { CampaignState::Done } else { to };
    let query = "UPDATE campaigns SET state = $1, error = $2, epoch = epoch + 1, updated_at = $3, cancelled_at = $5,
                     snippets_until = CASE
                         WHEN $1 = 'planning' AND (state IN ('draft', 'failed') OR snippets_until IS NULL)
                         THEN (SELECT coalesce(max(number), 0) FROM snippets) ELSE snippets_until END
                 WHERE campaign_id = $4";
    sqlx::query(query)
        .bind(stored.as_str())
        .bind(error)
        .bind(now.as_microsecond())
        .bind(id.as_str())
        .bind(cancelled_at)
        .execute(connection)
        .await
        .map_err(ControlError::query("moving a campaign"))?;
    Ok(())
}

/// The error for an id that no campaign has.
pub(crate) fn unknown(id: &CampaignId) -> ControlError {
    ControlError::NotFound { noun: "campaign", id: id.to_string() }
}

/// A stored campaign.
#[derive(sqlx::FromRow)]
struct Row {
    definition: String,
    state: String,
    cancelled_at: Option<i64>,
    planned: i64,
    plan_version: i64,
    has_plan: bool,
    error: Option<String>,
    created_at: i64,
}

impl Row {
    fn read(self) -> Result<CampaignRow, ControlError> {
        Ok(CampaignRow {
            campaign: from_json("a campaign", &self.definition)?,
            state: stored_state(&self.state, self.cancelled_at)?,
            planned: count(self.planned)?,
            plan_version: version(self.plan_version)?,
            has_plan: self.has_plan,
            error: self.error,
            created_at: time(self.created_at)?,
        })
    }
}

/// Reads where a campaign stands; one that was cancelled is stored as done.
pub(crate) fn stored_state(state: &str, cancelled_at: Option<i64>) -> Result<CampaignState, ControlError> {
    if cancelled_at.is_some() {
        return Ok(CampaignState::Cancelled);
    }
    parsed("a campaign's state", state, CampaignState::from_str)
}

/// Reads a stored plan number.
pub(crate) fn version(value: i64) -> Result<u32, ControlError> {
    u32::try_from(value).map_err(|_| stored("a plan's number", value.to_string()))
}

pub(crate) async fn read_campaign(
    connection: &mut SqliteConnection,
    id: &CampaignId,
) -> Result<Option<CampaignRow>, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT definition, state, cancelled_at, planned, plan_version, error, created_at,
             EXISTS (SELECT 1 FROM plans p WHERE p.campaign_id = c.campaign_id AND p.plan_version = c.plan_version) AS has_plan
         FROM campaigns c WHERE campaign_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await
    .map_err(ControlError::query("reading a campaign"))?;
    row.map(Row::read).transpose()
}

async fn drop_open_slices(connection: &mut SqliteConnection, id: &CampaignId) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM slices WHERE campaign_id = $1 AND finished_at IS NULL")
        .bind(id.as_str())
        .execute(connection)
        .await
        .map_err(ControlError::query("dropping the slices of older plans"))?;
    Ok(())
}

pub(crate) struct NewPlan<'a> {
    pub(crate) id: &'a CampaignId,
    pub(crate) plan_version: u32,
    pub(crate) plan_file: &'a str,
    pub(crate) planned_for: Option<&'a VariantName>,
    pub(crate) planned: u64,
    pub(crate) now: Timestamp,
}

pub(crate) async fn insert_plan(connection: &mut SqliteConnection, plan: &NewPlan<'_>) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO plans (campaign_id, plan_version, plan_file, planned_for, row_count, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(plan.id.as_str())
    .bind(plan.plan_version)
    .bind(plan.plan_file)
    .bind(plan.planned_for.map(VariantName::as_str))
    .bind(count_to_sql(plan.planned))
    .bind(plan.now.as_microsecond())
    .execute(connection)
    .await
    .map_err(ControlError::query("storing a plan"))?;
    Ok(())
}

pub(crate) async fn insert_slices(
    connection: &mut SqliteConnection,
    id: &CampaignId,
    plan_version: u32,
    slices: &[NewSlice],
) -> Result<(), ControlError> {
    for slices in slices.chunks(SLICES_PER_STATEMENT) {
        insert_some_slices(connection, id, plan_version, slices).await?;
    }
    Ok(())
}

async fn insert_some_slices(
    connection: &mut SqliteConnection,
    id: &CampaignId,
    plan_version: u32,
    slices: &[NewSlice],
) -> Result<(), ControlError> {
    let mut builder = QueryBuilder::<Sqlite>::new("INSERT INTO slices (campaign_id, plan_version, first_row, row_count, due) ");
    builder.push_values(slices, |mut values, slice| {
        values.push_bind(id.as_str()).push_bind(plan_version).push_bind(count_to_sql(slice.first_row));
        values.push_bind(count_to_sql(slice.rows)).push_bind(slice.due.as_microsecond());
    });
    let query = builder.build().persistent(slices.len() == SLICES_PER_STATEMENT);
    query.execute(connection).await.map_err(ControlError::query("storing slices"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::CampaignState::{Cancelled, Done, Draft, Failed, Paused, Planning, Sending};
    use super::*;
    use crate::testing::{World, at, campaign, campaign_id, experiment, new_slices, sending_campaign};

    #[tokio::test]
    async fn a_draft_can_be_changed_and_a_started_one_cannot() {
        let world = World::new();
        let control = world.open().await;
        let id = campaign_id("c");
        let error = control.put_campaign(&campaign("c", "e")).await.unwrap_err();
        assert!(matches!(error, ControlError::NotFound { noun: "experiment", .. }), "{error}");
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        assert!(control.put_campaign(&campaign("c", "e")).await.unwrap());
        let mut changed = campaign("c", "e");
        changed.share = 0.5;
        assert!(!control.put_campaign(&changed).await.unwrap());
        assert_eq!(control.campaign(&id).await.unwrap().unwrap().campaign, changed);
        assert!(control.set_campaign_state(&id, &[Draft], Planning).await.unwrap());
        assert!(!control.put_campaign(&changed).await.expect("the same again is harmless"));
        let error = control.put_campaign(&campaign("c", "e")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "campaign `c` can no longer be changed: it is planning; pause it first, then change what has not left"
        );
        assert!(control.fail_campaign(&id, "the audience has no contact_key").await.unwrap());
        let row = control.campaign(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.error.as_deref()), (Failed, Some("the audience has no contact_key")));
        assert!(!control.put_campaign(&campaign("c", "e")).await.unwrap());
        let row = control.campaign(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.error, row.campaign.share), (Draft, None, 1.0));
    }

    #[tokio::test]
    async fn what_is_cancelled_stays_so() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[(0, 10, 0)]).await;
        assert!(control.set_campaign_state(&id, &[Sending], Cancelled).await.unwrap());
        let row = control.campaign(&id).await.unwrap().unwrap();
        assert_eq!((row.state, control.campaign_state(&id).await.unwrap()), (Cancelled, Some(Cancelled)));
        assert_eq!(control.campaigns().await.unwrap()[0].state, Cancelled);
        for from in [Sending, Paused, Done] {
            assert!(!control.set_campaign_state(&id, &[from], Sending).await.unwrap());
        }
        assert!(control.lease_slice("w", at(1_000), at(1_060)).await.unwrap().is_none());
        assert!(!control.fail_campaign(&id, "no").await.unwrap());
    }

    #[tokio::test]
    async fn states_move_by_compare_and_set() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let id = sending_campaign(&one, &[(0, 10, 0)]).await;
        assert!(one.set_campaign_state(&id, &[Sending], Paused).await.unwrap());
        assert!(!two.set_campaign_state(&id, &[Sending], Paused).await.unwrap());
        assert!(!two.set_campaign_state(&id, &[Paused], Paused).await.unwrap());
        assert!(two.set_campaign_state(&id, &[Draft, Paused], Sending).await.unwrap());
        assert_eq!(one.campaigns().await.unwrap()[0].state, Sending);
        let unknown = one.set_campaign_state(&campaign_id("none"), &[Draft], Planning).await;
        assert!(matches!(unknown, Err(ControlError::NotFound { noun: "campaign", .. })));
    }

    #[tokio::test]
    async fn of_two_planners_the_first_wins() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[(0, 10, 0), (10, 5, 60)]).await;
        let row = control.campaign(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.planned, row.plan_version, row.created_at), (Sending, 15, 1, at(0)));
        assert!(!control.plan_ready(&id, 1, "other", None, &[]).await.unwrap());
        assert!(!control.plan_ready(&id, 3, "other", None, &[]).await.unwrap());
        assert!(control.set_campaign_state(&id, &[Sending], Paused).await.unwrap());
        assert!(control.plan_ready(&id, 2, "plan-2", None, &new_slices(&[(0, 7, 0)])).await.unwrap());
        let row = control.campaign(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.planned, row.plan_version), (Paused, 7, 2));
    }

    #[tokio::test]
    async fn a_plan_without_recipients_is_done() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[]).await;
        assert_eq!(control.campaign(&id).await.unwrap().unwrap().state, Done);
        assert!(!control.plan_ready(&id, 2, "later", None, &new_slices(&[(0, 7, 0)])).await.unwrap());
        assert!(!control.fail_campaign(&id, "too late").await.unwrap());
    }

    #[tokio::test]
    async fn workers_in_both_processes_hear_of_a_change() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let id = sending_campaign(&one, &[(0, 10, 0)]).await;
        let (mut near, mut far) = (one.campaigns_changed(), two.campaigns_changed());
        let newest = *near.borrow_and_update();
        let bound = std::time::Duration::from_secs(10);
        tokio::time::timeout(bound, far.wait_for(|number| *number >= newest)).await.expect("polled").unwrap();
        one.set_campaign_state(&id, &[Sending], Paused).await.unwrap();
        assert!(near.has_changed().unwrap());
        tokio::time::timeout(bound, far.wait_for(|number| *number > newest)).await.expect("polled").unwrap();
    }
}
