//! The newest price of each product, as the shop tells it, and when one fell: what price drops are told by.

use sqlx::SqliteConnection;
use vocabulary::{Money, Timestamp};

use crate::store::{begin, commit, time};
use crate::{Control, ControlError};

/// A product that got cheaper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceDrop {
    /// Grows with each drop.
    pub number: i64,
    /// The shop's own id of the product.
    pub product: String,
    /// By how much of the price before, in whole percent, rounded down.
    pub percent: u32,
    /// When it was told.
    pub at: Timestamp,
}

impl Control {
    /// Takes down prices, all or none; how many fell. A price in another currency than before is neither higher nor lower.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_prices(&self, prices: &[(String, Money)]) -> Result<u64, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let now = self.now().as_microsecond();
        let mut fell = 0;
        for (product, price) in prices {
            let known = known(&mut transaction, product).await?;
            let before = known.filter(|(_, currency)| currency == price.currency.as_str()).map(|(minor, _)| minor);
            if let Some(percent) = before.and_then(|before| percent_down(before, price.minor)) {
                fell += 1;
                sqlx::query("INSERT INTO price_drops (product, percent, at) VALUES ($1, $2, $3)")
                    .bind(product)
                    .bind(percent)
                    .bind(now)
                    .execute(&mut *transaction)
                    .await
                    .map_err(ControlError::query("noting a price drop"))?;
            }
            sqlx::query(
                "INSERT INTO prices (product, minor, currency, changed_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT DO UPDATE SET minor = excluded.minor, currency = excluded.currency, changed_at = excluded.changed_at",
            )
            .bind(product)
            .bind(price.minor)
            .bind(price.currency.as_str())
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a price"))?;
        }
        commit(transaction).await?;
        Ok(fell)
    }

    /// The drops after a number, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn price_drops(&self, after: i64) -> Result<Vec<PriceDrop>, ControlError> {
        let rows: Vec<(i64, String, u32, i64)> =
            sqlx::query_as("SELECT drop_seq, product, percent, at FROM price_drops WHERE drop_seq > $1 ORDER BY drop_seq")
                .bind(after)
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading price drops"))?;
        let row = |(number, product, percent, at)| Ok(PriceDrop { number, product, percent, at: time(at)? });
        rows.into_iter().map(row).collect()
    }
}

async fn known(connection: &mut SqliteConnection, product: &str) -> Result<Option<(i64, String)>, ControlError> {
    sqlx::query_as("SELECT minor, currency FROM prices WHERE product = $1")
        .bind(product)
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading a price"))
}

/// By how many whole percent a price fell, rounded down; `None` where it did not.
fn percent_down(before: i64, now: i64) -> Option<u32> {
    if now >= before || before <= 0 {
        return None;
    }
    u32::try_from((i128::from(before) - i128::from(now)) * 100 / i128::from(before)).ok()
}

#[cfg(test)]
mod tests {
    use vocabulary::Currency;

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn drops_are_told_once_with_their_size() {
        let world = World::new();
        let control = world.open().await;
        let money = |minor: i64, code: &str| Money { minor, currency: Currency::new(code).unwrap() };
        let put = async |product: &str, minor: i64, code: &str| {
            control.put_prices(&[(product.to_owned(), money(minor, code))]).await.unwrap()
        };
        assert_eq!(put("boots", 10_000, "EUR").await, 0);
        assert_eq!(put("boots", 10_000, "EUR").await, 0);
        assert_eq!(put("boots", 8_999, "EUR").await, 1);
        assert_eq!(put("boots", 5_000, "USD").await, 0);
        assert_eq!(put("boots", 6_000, "USD").await, 0);
        assert_eq!(put("boots", 0, "USD").await, 1);
        let drops: Vec<_> = control.price_drops(0).await.unwrap().into_iter().map(|row| (row.number, row.percent)).collect();
        assert_eq!(drops, [(1, 10), (2, 100)]);
        assert_eq!(control.price_drops(1).await.unwrap().len(), 1);
    }
}
