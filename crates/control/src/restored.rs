//! A file that was brought back from a backup does not know what was sent since. Whatever was due by the moment it was brought back
//! may have been, so none of it is sent again: each message is in doubt, and counted so. Coupons that were free in the backup may have been
//! given out since, so none of them is drawn until somebody says that nothing was sent.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use vocabulary::Timestamp;

use crate::coupons::set_aside;
use crate::store::{begin, commit, put_setting, setting, stored, time};
use crate::{Control, ControlError};

/// The setting that holds the moment, in microseconds.
const RESTORED_AT: &str = "restored_at";

/// What a campaign says whose plan was being made when the backup was.
const PLANNING: &str = "the backup was made while this campaign was being planned, so that nobody knows to whom it was sent since; \
                        store it under a new id to send it to whom it did not reach";

/// Notes in a control file, which nobody may have open, that it was brought back at this moment, with the files of plans in the
/// folder `plans`. Campaigns that were being planned fail and say why, and free coupons are
/// set aside. The master key is not needed.
///
/// # Errors
/// [`ControlError`] where the file cannot be written.
pub async fn mark_restored(path: &Path, plans: &Path, at: Timestamp) -> Result<(), ControlError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).disable_statement_logging();
    let mut connection = options.connect().await.map_err(ControlError::query("opening the control file"))?;
    let mut transaction = begin(&mut connection).await?;
    put_setting(&mut transaction, RESTORED_AT, at.as_microsecond().to_string().as_bytes()).await?;
    sqlx::query("UPDATE campaigns SET state = 'failed', error = $1 WHERE state = 'planning'")
        .bind(PLANNING)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("stopping campaigns"))?;
    move_plans(&mut transaction, plans).await?;
    set_aside(&mut transaction).await?;
    commit(transaction).await?;
    connection.close().await.map_err(ControlError::query("closing the control file"))
}

/// Files of plans are where they were brought back to, which need not be where they were.
async fn move_plans(connection: &mut SqliteConnection, plans: &Path) -> Result<(), ControlError> {
    let doing = "naming the files of plans";
    let files: Vec<String> = sqlx::query_scalar("SELECT DISTINCT plan_file FROM plans")
        .fetch_all(&mut *connection)
        .await
        .map_err(ControlError::query(doing))?;
    for file in files {
        let Some(name) = Path::new(&file).file_name() else { continue };
        sqlx::query("UPDATE plans SET plan_file = $2 WHERE plan_file = $1")
            .bind(&file)
            .bind(plans.join(name).to_string_lossy().into_owned())
            .execute(&mut *connection)
            .await
            .map_err(ControlError::query(doing))?;
    }
    Ok(())
}

/// When the file was brought back last, if ever.
pub(crate) async fn read_restored(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, ControlError> {
    let Some(bytes) = setting(connection, RESTORED_AT).await? else { return Ok(None) };
    let micros = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    let micros = micros.ok_or_else(|| stored("when it was brought back", String::from_utf8_lossy(&bytes).into_owned()))?;
    time(micros).map(Some)
}

impl Control {
    /// When the file was brought back from a backup last. What was due by then and is not in the ledger may have been sent.
    #[must_use]
    pub fn restored_at(&self) -> Option<Timestamp> {
        self.restored_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState;
    use crate::testing::{World, at, campaign, campaign_id, sending_campaign};

    #[tokio::test]
    async fn the_moment_is_known_and_what_was_being_planned_stops() {
        let world = World::new();
        let control = world.open().await;
        assert_eq!(control.restored_at(), None);
        let sending = sending_campaign(&control, &[(0, 10, 0)]).await;
        control.put_campaign(&campaign("planned", "e")).await.unwrap();
        let planned = campaign_id("planned");
        control.set_campaign_state(&planned, &[CampaignState::Draft], CampaignState::Planning).await.unwrap();
        drop(control);
        mark_restored(&world.path(), Path::new("/elsewhere"), at(50)).await.unwrap();
        mark_restored(&world.path(), Path::new("/elsewhere"), at(70)).await.unwrap();
        let control = world.open().await;
        assert_eq!(control.restored_at(), Some(at(70)));
        let state = async |id| control.campaign(id).await.unwrap().unwrap();
        assert_eq!(state(&sending).await.state, CampaignState::Sending);
        let plan = control.plan_in_force(&sending).await.unwrap().unwrap();
        assert_eq!(plan.file, Path::new("/elsewhere").join(plan.file.file_name().unwrap()));
        let stopped = state(&planned).await;
        assert_eq!(stopped.state, CampaignState::Failed);
        assert!(stopped.error.unwrap().contains("store it under a new id"));
        assert!(mark_restored(&world.path().with_extension("none"), Path::new("/elsewhere"), at(1)).await.is_err());
    }
}
