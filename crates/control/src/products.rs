//! The products that messages show, as the shop tells them, with their newest prices.

use std::collections::HashMap;
use std::sync::Arc;

use vocabulary::{Currency, Money, Offer, Product};

use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit, parsed};
use crate::{Control, ControlError};

impl Control {
    /// Stores products, all or none; those that are not named stay as they are.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_products(&self, products: &[Product]) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let now = self.now().as_microsecond();
        for product in products {
            sqlx::query(
                "INSERT INTO products (product, definition, stored_at) VALUES ($1, $2, $3)
                 ON CONFLICT DO UPDATE SET definition = excluded.definition, stored_at = excluded.stored_at",
            )
            .bind(&product.product)
            .bind(to_json("a product", product)?)
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing a product"))?;
        }
        commit(transaction).await
    }

    /// At most so many products, by id, of those behind `after`.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn products(&self, after: &str, most: u32) -> Result<Vec<Offer>, ControlError> {
        let query = "SELECT definition, minor, currency FROM products LEFT JOIN prices USING (product)
                     WHERE product > $1 ORDER BY product LIMIT $2";
        let rows: Vec<Row> = sqlx::query_as(query)
            .bind(after)
            .bind(most)
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading products"))?;
        rows.into_iter().map(read).collect()
    }

    /// Those of these products that are known, by id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn offers(&self, products: impl Iterator<Item = &str>) -> Result<HashMap<String, Arc<Offer>>, ControlError> {
        let ids: Vec<&str> = products.collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let query = "SELECT definition, minor, currency FROM products LEFT JOIN prices USING (product)
                     WHERE product IN (SELECT value FROM json_each($1))";
        let rows: Vec<Row> = sqlx::query_as(query)
            .bind(to_json("ids of products", &ids)?)
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading products"))?;
        let offer = |row| read(row).map(|offer| (offer.product.product.clone(), Arc::new(offer)));
        rows.into_iter().map(offer).collect()
    }

    /// Takes a product out: from now on no message shows it. Whether it was there.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn delete_product(&self, product: &str) -> Result<bool, ControlError> {
        let deleted = sqlx::query("DELETE FROM products WHERE product = $1")
            .bind(product)
            .execute(&mut *self.writer().await)
            .await
            .map_err(ControlError::query("taking out a product"))?;
        Ok(deleted.rows_affected() > 0)
    }
}

/// The product, and its price where one was told.
type Row = (String, Option<i64>, Option<String>);

fn read((definition, minor, currency): Row) -> Result<Offer, ControlError> {
    let price = match minor.zip(currency) {
        Some((minor, code)) => Some(Money { minor, currency: parsed("a currency", &code, Currency::new)? }),
        None => None,
    };
    Ok(Offer { product: from_json("a product", &definition)?, price })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::World;

    fn product(id: &str, title: &str) -> Product {
        let url = format!("https://shop.example/p/{id}");
        Product { product: id.into(), title: title.into(), url, image: None, locales: BTreeMap::new() }
    }

    #[tokio::test]
    async fn products_are_kept_with_their_newest_price() {
        let world = World::new();
        let control = world.open().await;
        control.put_products(&[product("a", "Apples"), product("b", "Bread"), product("c", "Cheese")]).await.unwrap();
        control.put_products(&[product("b", "Rolls")]).await.unwrap();
        let price = Money::parse("2.50", Currency::new("EUR").unwrap()).unwrap();
        control.put_prices(&[("b".to_owned(), price), ("x".to_owned(), price)]).await.unwrap();
        let titles = |offers: Vec<Offer>| offers.into_iter().map(|offer| offer.product.title).collect::<Vec<_>>();
        assert_eq!(titles(control.products("", 2).await.unwrap()), ["Apples", "Rolls"]);
        assert_eq!(titles(control.products("b", 2).await.unwrap()), ["Cheese"]);
        let offers = control.offers(["b", "x", "c", "it's"].into_iter()).await.unwrap();
        assert_eq!(offers.len(), 2);
        assert_eq!((offers["b"].price, offers["c"].price), (Some(price), None));
        assert!(control.delete_product("b").await.unwrap());
        assert!(!control.delete_product("b").await.unwrap());
        assert!(control.offers(["b"].into_iter()).await.unwrap().is_empty());
    }
}
