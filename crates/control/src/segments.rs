//! Named audiences, every version of each, and what they were when plans were made with them.

use std::collections::BTreeMap;

use segments::Segment;
use sqlx::SqliteConnection;
use vocabulary::{CampaignId, Timestamp};

use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit, count, count_to_sql, stored, time};
use crate::{Control, ControlError};

/// A segment in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// As people wrote it.
    pub segment: Segment,
    /// Counted from 1; a change makes the next.
    pub version: u32,
    /// When this version was stored.
    pub stored_at: Timestamp,
}

/// What a segment was when a plan was made with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentUse {
    /// The campaign.
    pub campaign: CampaignId,
    /// The number of its plan.
    pub plan_version: u32,
    /// The segment's name.
    pub segment: String,
    /// Its version.
    pub version: u32,
    /// The query that was asked.
    pub query: String,
    /// How many contacts it named.
    pub contacts: u64,
    /// The version of each table of the lake that it read.
    pub lake_versions: BTreeMap<String, i64>,
    /// When.
    pub at: Timestamp,
}

impl Control {
    /// Stores a segment that passed its check. Where it differs from the newest version it becomes the next one; the same
    /// again is harmless.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_segment(&self, segment: &Segment) -> Result<SegmentRow, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let newest = newest(&mut transaction, &segment.segment).await?;
        if let Some(known) = newest.as_ref().filter(|known| known.segment == *segment) {
            return Ok(known.clone());
        }
        let version = newest.map_or(0, |known| known.version) + 1;
        let row = SegmentRow { segment: segment.clone(), version, stored_at: self.now() };
        sqlx::query("INSERT INTO segments (segment, version, definition, stored_at) VALUES ($1, $2, $3, $4)")
            .bind(&segment.segment)
            .bind(version)
            .bind(to_json("a segment", segment)?)
            .bind(row.stored_at.as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a segment"))?;
        commit(transaction).await?;
        Ok(row)
    }

    /// The newest version of a segment.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn segment(&self, name: &str) -> Result<Option<SegmentRow>, ControlError> {
        newest(&mut *self.reader().await, name).await
    }

    /// The newest version of every segment, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn segments(&self) -> Result<Vec<SegmentRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT definition, version, stored_at FROM segments s
             WHERE version = (SELECT max(version) FROM segments o WHERE o.segment = s.segment) ORDER BY segment",
        )
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading the segments"))?;
        rows.into_iter().map(read).collect()
    }

    /// Notes what a segment was when a plan was made with it. Of two notes about one plan the last counts.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn note_segment_use(&self, used: &SegmentUse) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO segment_uses
                 (campaign_id, plan_version, segment, version, query, contact_count, lake_versions, used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(used.campaign.as_str())
        .bind(used.plan_version)
        .bind(&used.segment)
        .bind(used.version)
        .bind(&used.query)
        .bind(count_to_sql(used.contacts))
        .bind(to_json("the versions of tables", &used.lake_versions)?)
        .bind(used.at.as_microsecond())
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("noting the use of a segment"))?;
        commit(transaction).await
    }

    /// What a segment was in each plan that was made with it, the newest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn segment_uses(&self, name: &str) -> Result<Vec<SegmentUse>, ControlError> {
        type Used = (String, i64, i64, String, i64, String, i64);
        let rows: Vec<Used> = sqlx::query_as(
            "SELECT campaign_id, plan_version, version, query, contact_count, lake_versions, used_at FROM segment_uses
             WHERE segment = $1 ORDER BY used_at DESC, campaign_id, plan_version DESC",
        )
        .bind(name)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading the uses of a segment"))?;
        let read = |(campaign, plan, version, query, contacts, versions, at): Used| {
            Ok(SegmentUse {
                campaign: CampaignId::new(&campaign).map_err(|_| stored("a campaign's id", campaign.clone()))?,
                plan_version: number(plan)?,
                segment: name.to_owned(),
                version: number(version)?,
                query,
                contacts: count(contacts)?,
                lake_versions: from_json("the versions of tables", &versions)?,
                at: time(at)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

/// A definition, its version and when it was stored.
type Row = (String, i64, i64);

async fn newest(connection: &mut SqliteConnection, name: &str) -> Result<Option<SegmentRow>, ControlError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT definition, version, stored_at FROM segments WHERE segment = $1 ORDER BY version DESC LIMIT 1")
            .bind(name)
            .fetch_optional(connection)
            .await
            .map_err(ControlError::query("reading a segment"))?;
    row.map(read).transpose()
}

fn read((definition, version, at): Row) -> Result<SegmentRow, ControlError> {
    Ok(SegmentRow { segment: from_json("a segment", &definition)?, version: number(version)?, stored_at: time(at)? })
}

fn number(value: i64) -> Result<u32, ControlError> {
    u32::try_from(value).map_err(|_| stored("a version", value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, campaign_id};

    fn segment(name: &str, country: &str) -> Segment {
        let text = format!(r#"{{"segment":"{name}","condition":{{"country":["{country}"]}}}}"#);
        from_json("a segment", &text).unwrap()
    }

    #[tokio::test]
    async fn a_change_is_a_new_version() {
        let world = World::new();
        let control = world.open().await;
        let versions = async |name: &str| control.segment(name).await.unwrap().map(|row| row.version);
        assert_eq!(control.put_segment(&segment("b", "DE")).await.unwrap().version, 1);
        assert_eq!(control.put_segment(&segment("b", "DE")).await.unwrap().version, 1, "the same again");
        assert_eq!(control.put_segment(&segment("b", "AT")).await.unwrap().version, 2);
        assert_eq!(control.put_segment(&segment("a", "DE")).await.unwrap().version, 1);
        assert_eq!((versions("a").await, versions("b").await, versions("c").await), (Some(1), Some(2), None));
        let all: Vec<_> = control.segments().await.unwrap().into_iter().map(|row| (row.segment, row.version)).collect();
        assert_eq!(all, [(segment("a", "DE"), 1), (segment("b", "AT"), 2)]);
    }

    #[tokio::test]
    async fn what_a_plan_used_is_kept() {
        let world = World::new();
        let control = world.open().await;
        let used = SegmentUse {
            campaign: campaign_id("c"),
            plan_version: 1,
            segment: "b".into(),
            version: 2,
            query: "SELECT contact_key FROM contacts".into(),
            contacts: 7,
            lake_versions: [("contacts".to_owned(), 4)].into(),
            at: control.now(),
        };
        control.note_segment_use(&used).await.unwrap();
        control.note_segment_use(&SegmentUse { contacts: 8, ..used.clone() }).await.unwrap();
        assert_eq!(control.segment_uses("b").await.unwrap(), [SegmentUse { contacts: 8, ..used }]);
        assert_eq!(control.segment_uses("a").await.unwrap(), []);
    }
}
