//! Slices of a plan and the leases on them.
//!
//! A lease names a fence, a number that grows with each lease of the slice, so that a worker that comes back late cannot
//! finish what another has taken over. It also names the campaign's epoch: where the campaign was paused or changed since, claims
//! are turned away, so the slice is not finished but leased again. Doing a slice twice is harmless, because the
//! ledger admits each contact once.

use sqlx::SqliteConnection;
use vocabulary::{CampaignId, Timestamp};

use crate::campaigns::{CampaignState, set_state, version};
use crate::store::{begin, bump, commit, count, parsed, time};
use crate::{Control, ControlError};

/// A run of rows of a plan file that one worker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSlice {
    /// Its first row in the plan file.
    pub first_row: u64,
    /// How many rows.
    pub rows: u64,
    /// When its first row is due.
    pub due: Timestamp,
}

/// A slice leased to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its campaign.
    pub campaign: CampaignId,
    /// The slice.
    pub slice_id: i64,
    /// The plan it belongs to.
    pub plan_version: u32,
    /// The plan file.
    pub plan_file: String,
    /// Its first row in the plan file.
    pub first_row: u64,
    /// How many rows.
    pub rows: u64,
    /// When its first row is due.
    pub due: Timestamp,
    /// Who holds it.
    pub worker: String,
    fence: i64,
    pub(crate) epoch: i64,
}

impl Control {
    /// Leases to `worker`, until `until`, the slice that has been due longest: of a campaign that is sending, due at
    /// `now`, not finished, and on no lease that still runs.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read or written.
    pub async fn lease_slice(&self, worker: &str, now: Timestamp, until: Timestamp) -> Result<Option<Lease>, ControlError> {
        let doing = "leasing a slice";
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let leased: Option<i64> = sqlx::query_scalar(
            "UPDATE slices SET worker = $1, lease_until = $2, fence = fence + 1
             WHERE slice_id = (
                 SELECT s.slice_id FROM slices s JOIN campaigns c ON c.campaign_id = s.campaign_id
                 WHERE s.finished_at IS NULL AND s.due <= $3 AND (s.lease_until IS NULL OR s.lease_until <= $3)
                     AND c.state = 'sending'
                 ORDER BY s.due, s.slice_id LIMIT 1)
             RETURNING slice_id",
        )
        .bind(worker)
        .bind(until.as_microsecond())
        .bind(now.as_microsecond())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(ControlError::query(doing))?;
        let Some(slice_id) = leased else { return Ok(None) };
        let row: Row = sqlx::query_as(
            "SELECT s.campaign_id, s.slice_id, s.plan_version, p.plan_file, s.first_row, s.row_count, s.due, s.fence, c.epoch
             FROM slices s JOIN campaigns c ON c.campaign_id = s.campaign_id
                 JOIN plans p ON p.campaign_id = s.campaign_id AND p.plan_version = s.plan_version
             WHERE s.slice_id = $1",
        )
        .bind(slice_id)
        .fetch_one(&mut *transaction)
        .await
        .map_err(ControlError::query(doing))?;
        let lease = row.read(worker)?;
        commit(transaction).await?;
        Ok(Some(lease))
    }

    /// Moves the end of a lease; `false` where it is no longer held, because another worker took the slice over or a newer
    /// plan dropped it.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn renew_slice(&self, lease: &Lease, until: Timestamp) -> Result<bool, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let renewed = sqlx::query(
            "UPDATE slices SET lease_until = $1
             WHERE slice_id = $2 AND fence = $3 AND finished_at IS NULL AND lease_until IS NOT NULL",
        )
        .bind(until.as_microsecond())
        .bind(lease.slice_id)
        .bind(lease.fence)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("renewing a lease"))?;
        commit(transaction).await?;
        Ok(renewed.rows_affected() > 0)
    }

    /// Marks the slice as finished; with the last one the campaign is done, unless it is triggered. `false` where it is not:
    /// because the lease is no longer held, or because the campaign was paused or otherwise moved since the lease began, so
    /// that claims may have been turned away. Then the slice is given back, to be leased again.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn finish_slice(&self, lease: &Lease) -> Result<bool, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let finished = sqlx::query(
            "UPDATE slices SET finished_at = $1, worker = NULL, lease_until = NULL
             WHERE slice_id = $2 AND fence = $3 AND finished_at IS NULL AND lease_until IS NOT NULL
                 AND (SELECT epoch FROM campaigns WHERE campaign_id = $4) = $5",
        )
        .bind(self.now().as_microsecond())
        .bind(lease.slice_id)
        .bind(lease.fence)
        .bind(lease.campaign.as_str())
        .bind(lease.epoch)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("finishing a slice"))?;
        let finished = finished.rows_affected() > 0;
        if !finished {
            give_back(&mut transaction, lease).await?;
        }
        let change = if finished && ends_by_itself(&mut transaction, &lease.campaign).await? {
            set_state(&mut transaction, &lease.campaign, CampaignState::Done, None, self.now()).await?;
            Some(bump(&mut transaction, "campaigns").await?)
        } else {
            None
        };
        commit(transaction).await?;
        if let Some(change) = change {
            self.watcher.publish_campaigns(change);
        }
        Ok(finished)
    }

    /// Gives a slice back unfinished, so that anybody can lease it at once.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn release_slice(&self, lease: &Lease) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        give_back(&mut transaction, lease).await?;
        commit(transaction).await
    }

    /// Gives back every slice leased to `worker`; how many. For a worker that starts again after a crash under a name that
    /// nobody else uses.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn release_leases(&self, worker: &str) -> Result<u64, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let released =
            sqlx::query("UPDATE slices SET worker = NULL, lease_until = NULL WHERE worker = $1 AND finished_at IS NULL")
                .bind(worker)
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("giving leases back"))?;
        commit(transaction).await?;
        Ok(released.rows_affected())
    }

    /// When the next slice of a sending campaign can be leased: its due time, or the end of the lease that is on it. `None`
    /// when there is none.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, ControlError> {
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT min(CASE WHEN s.lease_until > s.due THEN s.lease_until ELSE s.due END)
             FROM slices s JOIN campaigns c ON c.campaign_id = s.campaign_id
             WHERE s.finished_at IS NULL AND c.state = 'sending'",
        )
        .fetch_one(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for the next due slice"))?;
        next.map(time).transpose()
    }
}

/// A stored slice with its plan and campaign.
#[derive(sqlx::FromRow)]
struct Row {
    campaign_id: String,
    slice_id: i64,
    plan_version: i64,
    plan_file: String,
    first_row: i64,
    row_count: i64,
    due: i64,
    fence: i64,
    epoch: i64,
}

impl Row {
    fn read(self, worker: &str) -> Result<Lease, ControlError> {
        Ok(Lease {
            campaign: parsed("a campaign's id", &self.campaign_id, CampaignId::new)?,
            slice_id: self.slice_id,
            plan_version: version(self.plan_version)?,
            plan_file: self.plan_file,
            first_row: count(self.first_row)?,
            rows: count(self.row_count)?,
            due: time(self.due)?,
            worker: worker.to_owned(),
            fence: self.fence,
            epoch: self.epoch,
        })
    }
}

async fn give_back(connection: &mut SqliteConnection, lease: &Lease) -> Result<(), ControlError> {
    sqlx::query("UPDATE slices SET worker = NULL, lease_until = NULL WHERE slice_id = $1 AND fence = $2 AND finished_at IS NULL")
        .bind(lease.slice_id)
        .bind(lease.fence)
        .execute(connection)
        .await
        .map_err(ControlError::query("giving a slice back"))?;
    Ok(())
}

/// Whether nothing of a campaign is left to send and nothing can come.
async fn ends_by_itself(connection: &mut SqliteConnection, id: &CampaignId) -> Result<bool, ControlError> {
    // First, because it is nearly always so, and the definition is long.
    if has_open_slices(&mut *connection, id).await? {
        return Ok(false);
    }
    let triggered: Option<bool> = sqlx::query_scalar("SELECT definition ->> 'triggered' FROM campaigns WHERE campaign_id = $1")
        .bind(id.as_str())
        .fetch_one(connection)
        .await
        .map_err(ControlError::query("looking whether a campaign goes on"))?;
    Ok(triggered != Some(true))
}

pub(crate) async fn has_open_slices(connection: &mut SqliteConnection, id: &CampaignId) -> Result<bool, ControlError> {
    let open: Option<i64> =
        sqlx::query_scalar("SELECT slice_id FROM slices WHERE campaign_id = $1 AND finished_at IS NULL LIMIT 1")
            .bind(id.as_str())
            .fetch_optional(connection)
            .await
            .map_err(ControlError::query("looking for open slices"))?;
    Ok(open.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState::{Done, Paused, Sending};
    use crate::testing::{World, at, new_slices, sending_campaign};

    async fn lease(control: &Control, worker: &str, now: i64) -> Option<Lease> {
        control.lease_slice(worker, at(now), at(now + 30)).await.unwrap()
    }

    #[tokio::test]
    async fn due_slices_are_leased_in_order_and_once_across_processes() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let id = sending_campaign(&one, &[(0, 10, 60), (10, 5, 0), (15, 5, 20)]).await;
        let first = lease(&one, "w1", 25).await.unwrap();
        let second = lease(&two, "w2", 25).await.unwrap();
        assert_eq!((first.first_row, first.rows, first.due, first.campaign.clone()), (10, 5, at(0), id));
        assert_eq!((first.plan_file.as_str(), first.plan_version, first.worker.as_str()), ("plans/c-1.parquet", 1, "w1"));
        assert_eq!(second.first_row, 15);
        assert_eq!(lease(&one, "w1", 25).await, None, "the third is not due");
        assert_eq!(one.next_due().await.unwrap(), Some(at(55)), "when the first lease is over");
        assert!(two.finish_slice(&second).await.unwrap());
        assert!(one.finish_slice(&first).await.unwrap());
        assert_eq!(two.next_due().await.unwrap(), Some(at(60)));
        let third = lease(&one, "w1", 60).await.unwrap();
        assert!(one.finish_slice(&third).await.unwrap());
        assert_eq!(two.campaigns().await.unwrap()[0].state, Done);
        assert_eq!(one.next_due().await.unwrap(), None);
        assert!(!one.finish_slice(&third).await.unwrap(), "only once");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn eight_workers_in_two_processes_share_the_slices() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let slices: Vec<_> = (0..40).map(|number| (number * 10, 10, 0)).collect();
        sending_campaign(&one, &slices).await;
        let worker = |number: usize| {
            let control = if number.is_multiple_of(2) { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                let mut rows = Vec::new();
                while let Some(lease) = lease(&control, &format!("w{number}"), 1).await {
                    assert!(control.finish_slice(&lease).await.unwrap());
                    rows.push(lease.first_row);
                }
                rows
            })
        };
        let done = futures::future::join_all((0..8).map(worker)).await;
        let mut rows: Vec<_> = done.into_iter().flat_map(|rows| rows.unwrap()).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..40).map(|number| number * 10).collect::<Vec<_>>());
        assert_eq!(one.campaigns().await.unwrap()[0].state, Done);
    }

    #[tokio::test]
    async fn a_lapsed_lease_is_taken_over_and_fenced_off() {
        let world = World::new();
        let control = world.open().await;
        sending_campaign(&control, &[(0, 10, 0)]).await;
        let late = lease(&control, "w1", 0).await.unwrap();
        assert_eq!(lease(&control, "w2", 29).await, None);
        assert!(control.renew_slice(&late, at(40)).await.unwrap());
        assert_eq!(lease(&control, "w2", 39).await, None);
        let taken = lease(&control, "w2", 40).await.unwrap();
        assert_eq!(taken.slice_id, late.slice_id);
        assert!(!control.renew_slice(&late, at(90)).await.unwrap());
        assert!(!control.finish_slice(&late).await.unwrap());
        control.release_slice(&late).await.unwrap();
        assert_eq!(lease(&control, "w3", 41).await, None, "the late worker cannot give away what it lost");
        assert!(control.finish_slice(&taken).await.unwrap());
    }

    #[tokio::test]
    async fn leases_are_given_back_one_by_one_or_all_of_a_worker() {
        let world = World::new();
        let control = world.open().await;
        sending_campaign(&control, &[(0, 10, 0), (10, 10, 0), (20, 10, 0)]).await;
        let first = lease(&control, "w1", 0).await.unwrap();
        lease(&control, "w1", 0).await.unwrap();
        lease(&control, "w2", 0).await.unwrap();
        control.release_slice(&first).await.unwrap();
        assert!(!control.renew_slice(&first, at(90)).await.unwrap() && !control.finish_slice(&first).await.unwrap());
        assert_eq!(lease(&control, "w3", 0).await.unwrap().first_row, 0);
        assert_eq!(control.release_leases("w1").await.unwrap(), 1);
        assert_eq!(lease(&control, "w3", 0).await.unwrap().first_row, 10);
        assert_eq!(lease(&control, "w3", 0).await, None);
    }

    #[tokio::test]
    async fn a_slice_of_a_campaign_that_was_paused_meanwhile_is_done_again() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[(0, 10, 0)]).await;
        let before = lease(&control, "w1", 0).await.unwrap();
        assert!(control.set_campaign_state(&id, &[Sending], Paused).await.unwrap());
        assert_eq!(lease(&control, "w2", 90).await, None, "a paused campaign leases nothing");
        assert_eq!(control.next_due().await.unwrap(), None);
        assert!(control.set_campaign_state(&id, &[Paused], Sending).await.unwrap());
        assert!(!control.finish_slice(&before).await.unwrap());
        let after = lease(&control, "w2", 1).await.expect("it was given back");
        assert!(control.finish_slice(&after).await.unwrap());
        assert_eq!(control.campaigns().await.unwrap()[0].state, Done);
    }

    #[tokio::test]
    async fn a_newer_plan_takes_the_place_of_unfinished_slices() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[(0, 10, 0), (10, 10, 0), (20, 10, 0)]).await;
        let finished = lease(&control, "w1", 0).await.unwrap();
        assert!(control.finish_slice(&finished).await.unwrap());
        let running = lease(&control, "w1", 0).await.unwrap();
        assert!(control.plan_ready(&id, 2, "plan-2", None, &new_slices(&[(0, 20, 5)])).await.unwrap());
        assert!(!control.renew_slice(&running, at(90)).await.unwrap());
        assert!(!control.finish_slice(&running).await.unwrap());
        assert_eq!(lease(&control, "w1", 0).await, None);
        let newer = lease(&control, "w1", 5).await.unwrap();
        assert_eq!((newer.plan_file.as_str(), newer.plan_version, newer.rows), ("plan-2", 2, 20));
        assert!(newer.slice_id > running.slice_id, "numbers of slices that vanished do not come again");
        assert!(control.finish_slice(&newer).await.unwrap());
        assert_eq!(control.campaigns().await.unwrap()[0].state, Done);
    }
}
