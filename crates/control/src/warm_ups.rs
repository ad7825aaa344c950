//! What of each warm-up's daily allowance is used, by all processes together.
//!
//! A message is counted before it leaves and given back when it did not: a process that dies in between may cost a few of a day's
//! messages, and a day never has more than its allowance.

use std::collections::BTreeMap;

use jiff::Unit;
use jiff::civil::Date;
use sqlx::SqliteConnection;

use crate::store::{begin, commit, count, count_to_sql};
use crate::{Control, ControlError};

/// How many messages a warm-up has on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// What the warm-up is counted under.
    pub warm_up: String,
    /// How many.
    pub most: u64,
}

/// What of the allowances was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// For each message whether it may leave.
    pub messages: Vec<bool>,
    /// For each allowance whether nothing is left of it.
    pub used_up: Vec<bool>,
}

/// A day of a warm-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUpDay {
    /// What the warm-up is counted under.
    pub warm_up: String,
    /// The day, of UTC.
    pub day: Date,
    /// Messages that left, or are about to.
    pub sent: u64,
    /// Whether something had to wait for the next day.
    pub is_full: bool,
}

impl Control {
    /// Takes room for messages from a day's allowances, in one commit: `messages` says for each in which of `allowances` it counts, by
    /// place. Which of them may leave: those for which all of theirs have room, in order.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn take_allowances(
        &self,
        day: Date,
        allowances: &[Allowance],
        messages: &[Vec<usize>],
    ) -> Result<Granted, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let mut room = Vec::with_capacity(allowances.len());
        for allowance in allowances {
            room.push(allowance.most.saturating_sub(sent_on(&mut transaction, &allowance.warm_up, day).await?));
        }
        let (mut taken, mut full) = (vec![0_u64; allowances.len()], vec![false; allowances.len()]);
        let mut granted = Vec::with_capacity(messages.len());
        for places in messages {
            let is_granted = places.iter().all(|place| taken[*place] < room[*place]);
            for place in places {
                if is_granted {
                    taken[*place] += 1;
                } else {
                    full[*place] |= taken[*place] >= room[*place];
                }
            }
            granted.push(is_granted);
        }
        for ((allowance, taken), is_full) in allowances.iter().zip(&taken).zip(full) {
            if *taken > 0 || is_full {
                add(&mut transaction, &allowance.warm_up, day, count_to_sql(*taken), is_full).await?;
            }
        }
        commit(transaction).await?;
        let used_up = room.iter().zip(taken).map(|(room, taken)| *room <= taken).collect();
        Ok(Granted { messages: granted, used_up })
    }

    /// Counts messages in warm-ups, in one commit: those that left without asking, or, below zero, those that did not leave.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn count_in_warm_ups(&self, day: Date, counts: &BTreeMap<String, i64>) -> Result<(), ControlError> {
        if counts.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        for (warm_up, by) in counts {
            add(&mut transaction, warm_up, day, *by, false).await?;
        }
        commit(transaction).await
    }

    /// The days of these warm-ups on which something was counted, the earliest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn warm_up_days(&self, warm_ups: &[String]) -> Result<Vec<WarmUpDay>, ControlError> {
        let names = crate::experiments::to_json("warm-ups", &warm_ups)?;
        let rows: Vec<(String, i64, i64, bool)> = sqlx::query_as(
            "SELECT warm_up, day, sent, is_full FROM warm_up_days WHERE warm_up IN (SELECT value FROM json_each($1))
             ORDER BY day, warm_up",
        )
        .bind(names)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading what of a warm-up is used"))?;
        let read = |(warm_up, day, sent, is_full): (String, i64, i64, bool)| {
            let epoch = Date::constant(1970, 1, 1);
            let day = epoch.checked_add(jiff::Span::new().try_days(day).unwrap_or_default()).unwrap_or(epoch);
            Ok(WarmUpDay { warm_up, day, sent: count(sent)?, is_full })
        };
        rows.into_iter().map(read).collect()
    }
}

/// Days since 1970-01-01.
fn number(day: Date) -> i64 {
    let since = day.since((Unit::Day, Date::constant(1970, 1, 1)));
    since.map_or(0, |span| span.get_days().into())
}

async fn sent_on(connection: &mut SqliteConnection, warm_up: &str, day: Date) -> Result<u64, ControlError> {
    let sent: Option<i64> = sqlx::query_scalar("SELECT sent FROM warm_up_days WHERE warm_up = $1 AND day = $2")
        .bind(warm_up)
        .bind(number(day))
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading what of a warm-up is used"))?;
    count(sent.unwrap_or(0))
}

async fn add(connection: &mut SqliteConnection, warm_up: &str, day: Date, by: i64, is_full: bool) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO warm_up_days (warm_up, day, sent, is_full) VALUES ($1, $2, max($3, 0), $4)
         ON CONFLICT DO UPDATE SET sent = max(sent + $3, 0), is_full = is_full OR excluded.is_full",
    )
    .bind(warm_up)
    .bind(number(day))
    .bind(by)
    .bind(is_full)
    .execute(connection)
    .await
    .map_err(ControlError::query("counting in a warm-up"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    const DAY: Date = Date::constant(2026, 12, 1);

    fn allowance(warm_up: &str, most: u64) -> Allowance {
        Allowance { warm_up: warm_up.to_owned(), most }
    }

    #[tokio::test]
    async fn a_day_never_has_more_than_its_allowance_whoever_sends() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let all = [allowance("d", 10), allowance("d to google", 3)];
        let take = async |control: &Control, day: Date, count: usize, places: &[usize]| {
            control.take_allowances(day, &all, &vec![places.to_vec(); count]).await.unwrap()
        };
        assert_eq!(take(&one, DAY, 4, &[0]).await.messages, [true; 4]);
        // Who is not held by the whole has no room at one destination.
        assert_eq!(take(&two, DAY, 4, &[0, 1]).await.messages, [true, true, true, false]);
        let days = one.warm_up_days(&["d".into(), "d to google".into()]).await.unwrap();
        let told: Vec<_> = days.iter().map(|day| (day.warm_up.as_str(), day.day, day.sent, day.is_full)).collect();
        assert_eq!(told, [("d", DAY, 7, false), ("d to google", DAY, 3, true)]);
        assert_eq!(take(&one, DAY, 4, &[0]).await.messages, [true, true, true, false]);
        // What did not leave is given back, what left without asking counts, and a new day is empty.
        one.count_in_warm_ups(DAY, &BTreeMap::from([("d".to_owned(), -2)])).await.unwrap();
        assert_eq!(take(&two, DAY, 3, &[0]).await.messages, [true, true, false]);
        two.count_in_warm_ups(DAY, &BTreeMap::from([("d".to_owned(), 5)])).await.unwrap();
        assert_eq!(take(&one, DAY, 1, &[0]).await.messages, [false]);
        assert_eq!(take(&one, DAY, 1, &[]).await.messages, [true], "what counts in none");
        let next = DAY.tomorrow().unwrap();
        assert_eq!(take(&one, next, 1, &[0]).await.messages, [true]);
        let days = two.warm_up_days(&["d".into()]).await.unwrap();
        let told: Vec<_> = days.iter().map(|day| (day.day, day.sent, day.is_full)).collect();
        assert_eq!(told, [(DAY, 15, true), (next, 1, false)]);
    }

    #[tokio::test]
    async fn eight_tasks_in_two_processes_share_an_allowance() {
        let world = World::new();
        let (one, two) = (world.open().await, world.open().await);
        let take = |number: usize| {
            let control = if number.is_multiple_of(2) { one.clone() } else { two.clone() };
            async move {
                let mut taken = 0;
                for _ in 0..5 {
                    let granted = control.take_allowances(DAY, &[allowance("d", 100)], &vec![vec![0]; 7]).await.unwrap();
                    taken += granted.messages.into_iter().filter(|granted| *granted).count();
                }
                taken
            }
        };
        let taken: Vec<usize> = futures::future::join_all((0..8).map(take)).await;
        assert_eq!(taken.iter().sum::<usize>(), 100);
    }
}
