//! The customer's own days in the campaign calendar.

use policy::OwnDay;

use crate::store::{begin, commit, parsed};
use crate::{Control, ControlError};

impl Control {
    /// Replaces all own days.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_own_days(&self, days: &[OwnDay]) -> Result<(), ControlError> {
        let failed = || ControlError::query("storing the own days");
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("DELETE FROM own_days").execute(&mut *transaction).await.map_err(failed())?;
        for day in days {
            sqlx::query("INSERT INTO own_days (name, market, first_day, last_day, effect) VALUES ($1, $2, $3, $4, $5)")
                .bind(&day.name)
                .bind(day.market.as_deref())
                .bind(day.first.to_string())
                .bind(day.last.to_string())
                .bind(day.effect.as_str())
                .execute(&mut *transaction)
                .await
                .map_err(failed())?;
        }
        commit(transaction).await
    }

    /// All own days, the earliest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn own_days(&self) -> Result<Vec<OwnDay>, ControlError> {
        type Row = (String, Option<String>, String, String, String);
        let rows: Vec<Row> =
            sqlx::query_as("SELECT name, market, first_day, last_day, effect FROM own_days ORDER BY first_day, last_day, name")
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading the own days"))?;
        let read = |(name, market, first, last, effect): Row| {
            Ok(OwnDay {
                name,
                market,
                first: parsed("a day", &first, str::parse)?,
                last: parsed("a day", &last, str::parse)?,
                effect: parsed("what a day means", &effect, str::parse)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use policy::Effect;

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn own_days_are_replaced_as_a_whole() {
        let world = World::new();
        let control = world.open().await;
        let day = |name: &str, first: &str, market: Option<&str>| OwnDay {
            name: name.into(),
            market: market.map(str::to_owned),
            first: first.parse().unwrap(),
            last: "2026-12-31".parse().unwrap(),
            effect: Effect::Pause,
        };
        let days = [day("freeze", "2026-12-24", None), day("birthday", "2026-05-02", Some("DE"))];
        control.put_own_days(&days).await.unwrap();
        assert_eq!(control.own_days().await.unwrap(), [days[1].clone(), days[0].clone()]);
        control.put_own_days(&days[..1]).await.unwrap();
        assert_eq!(control.own_days().await.unwrap(), days[..1]);
    }
}
