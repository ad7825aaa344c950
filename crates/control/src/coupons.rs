//! Coupons: pools of codes that a shop made, each given to one message and never to another.
//!
//! A code is drawn in the transaction that claims its message ([`Control::claim`]), so it is on disk before the first byte leaves. It
//! is kept by message: one that is made again, after a restart or because a rule put it off, has the same code. Nothing makes a
//! drawn code free again, neither a refusal nor an erasure; a trigger of the schema sees to that.
//!
//! Codes are worth money: the file holds them sealed, and a keyed hash of each tells whether it is known.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use vocabulary::{ContactKey, CouponCode, CouponPool, MessageId, Timestamp};

use crate::experiments::to_json;
use crate::store::{begin, commit, count, parsed, stored, time};
use crate::vault::Handle;
use crate::{Control, ControlError, NewClaim};

/// Codes stored by one transaction: few enough that a claim of another campaign waits for milliseconds.
const CODES_PER_COMMIT: usize = 1_000;
/// Codes that are looked for by one statement, of the 32,766 parameters it may have.
const CODES_PER_READ: usize = 5_000;
/// What codes are sealed for.
const PURPOSE: &str = "coupons";

/// A pool in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponPoolRow {
    /// Its name.
    pub pool: CouponPool,
    /// Codes that were uploaded.
    pub total: u64,
    /// Codes that belong to a message.
    pub drawn: u64,
    /// Codes that are not drawn because they may have been given out before the file was brought back from a backup.
    pub aside: u64,
    /// How many characters its longest code has.
    pub longest: usize,
    /// When it was made.
    pub created_at: Timestamp,
    /// When codes were uploaded last.
    pub changed_at: Timestamp,
}

impl CouponPoolRow {
    /// Codes that can be drawn.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.total.saturating_sub(self.drawn + self.aside)
    }
}

/// What became of uploaded codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddedCoupons {
    /// They are in the pool now.
    pub new: u64,
    /// They were in it before, or stood there twice.
    pub known: u64,
}

/// A code that was drawn for a message.
#[derive(Clone, PartialEq, Eq)]
pub struct DrawnCoupon {
    /// The message.
    pub message_id: MessageId,
    /// The pool.
    pub pool: CouponPool,
    /// The code.
    pub code: CouponCode,
    /// When.
    pub drawn_at: Timestamp,
}

impl Control {
    /// Adds codes to a pool, which is made where it is new. Codes it knows stay as they are, so doing it again is harmless. It is done in
    /// several commits; what was stored before a failure stays.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn add_coupons(&self, pool: &CouponPool, codes: &[CouponCode]) -> Result<AddedCoupons, ControlError> {
        let mut added = AddedCoupons::default();
        for codes in codes.chunks(CODES_PER_COMMIT) {
            let seal = |code: &CouponCode| {
                let sealed = self.vault.seal_for(PURPOSE, self.ids.as_ref(), code.as_str());
                (self.vault.coupon(code.as_str()), sealed)
            };
            let sealed: Vec<(Handle, Vec<u8>)> = codes.iter().map(seal).collect();
            let longest = codes.iter().map(|code| code.as_str().len()).max().unwrap_or_default();
            let new = self.add_sealed(pool, &sealed, longest).await?;
            added.new += new;
            added.known += codes.len() as u64 - new;
        }
        Ok(added)
    }

    /// One commit of [`Control::add_coupons`]; how many were new.
    async fn add_sealed(&self, pool: &CouponPool, codes: &[(Handle, Vec<u8>)], longest: usize) -> Result<u64, ControlError> {
        let now = self.now().as_microsecond();
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let doing = "storing coupons";
        let pool_id: i64 = sqlx::query_scalar(
            "INSERT INTO coupon_pools (pool, created_at, changed_at) VALUES ($1, $2, $2)
             ON CONFLICT (pool) DO UPDATE SET changed_at = excluded.changed_at RETURNING pool_id",
        )
        .bind(pool.as_str())
        .bind(now)
        .fetch_one(&mut *transaction)
        .await
        .map_err(ControlError::query(doing))?;
        let mut insert: QueryBuilder<Sqlite> = QueryBuilder::new("INSERT OR IGNORE INTO coupons (pool_id, handle, sealed) ");
        insert.push_values(codes, |mut row, (handle, sealed)| {
            row.push_bind(pool_id).push_bind(handle.as_slice()).push_bind(sealed.as_slice());
        });
        let new = insert.build().execute(&mut *transaction).await.map_err(ControlError::query(doing))?.rows_affected();
        sqlx::query("UPDATE coupon_pools SET total = total + $2, longest = max(longest, $3) WHERE pool_id = $1")
            .bind(pool_id)
            .bind(new as i64)
            .bind(longest as i64)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query(doing))?;
        commit(transaction).await?;
        Ok(new)
    }

    /// The first of these codes that is in another pool already, by its place, and that pool.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn coupon_elsewhere(
        &self,
        pool: &CouponPool,
        codes: &[CouponCode],
    ) -> Result<Option<(usize, CouponPool)>, ControlError> {
        for (number, chunk) in codes.chunks(CODES_PER_READ).enumerate() {
            let handles: Vec<Handle> = chunk.iter().map(|code| self.vault.coupon(code.as_str())).collect();
            let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
                "SELECT c.handle, p.pool FROM coupons c JOIN coupon_pools p ON p.pool_id = c.pool_id WHERE p.pool <> ",
            );
            query.push_bind(pool.as_str()).push(" AND c.handle IN (");
            let mut list = query.separated(", ");
            handles.iter().for_each(|handle| {
                list.push_bind(handle.as_slice());
            });
            let rows = query.push(")").build().fetch_all(&mut *self.reader().await).await;
            let rows = rows.map_err(ControlError::query("looking for coupons"))?;
            let found: HashMap<Vec<u8>, String> = rows.into_iter().map(|row| (row.get(0), row.get(1))).collect();
            let first = handles.iter().enumerate().find_map(|(place, handle)| Some((place, found.get(handle.as_slice())?)));
            if let Some((place, other)) = first {
                return Ok(Some((number * CODES_PER_READ + place, parsed("a coupon pool", other, CouponPool::new)?)));
            }
        }
        Ok(None)
    }

    /// All pools, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn coupon_pools(&self) -> Result<Vec<CouponPoolRow>, ControlError> {
        self.read_pools(None).await
    }

    /// The pool of that name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn coupon_pool(&self, pool: &CouponPool) -> Result<Option<CouponPoolRow>, ControlError> {
        Ok(self.read_pools(Some(pool)).await?.pop())
    }

    async fn read_pools(&self, only: Option<&CouponPool>) -> Result<Vec<CouponPoolRow>, ControlError> {
        let rows = sqlx::query(
            "SELECT pool, total, drawn, aside, longest, created_at, changed_at FROM coupon_pools
             WHERE $1 IS NULL OR pool = $1 ORDER BY pool",
        )
        .bind(only.map(CouponPool::as_str))
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading coupon pools"))?;
        let pool = |row: &sqlx::sqlite::SqliteRow| {
            Ok(CouponPoolRow {
                pool: parsed("a coupon pool", row.get(0), CouponPool::new)?,
                total: count(row.get(1))?,
                drawn: count(row.get(2))?,
                aside: count(row.get(3))?,
                longest: count(row.get(4))? as usize,
                created_at: time(row.get(5))?,
                changed_at: time(row.get(6))?,
            })
        };
        rows.iter().map(pool).collect()
    }

    /// Makes the codes of a pool free again that were set aside when the file was brought back from a backup; how many. Only who knows
    /// that no message left between the backup and its return may say so.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown pool.
    pub async fn free_coupons(&self, pool: &CouponPool) -> Result<u64, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let aside: Option<i64> = sqlx::query_scalar("SELECT aside FROM coupon_pools WHERE pool = $1")
            .bind(pool.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(ControlError::query("reading a coupon pool"))?;
        let aside = aside.ok_or_else(|| ControlError::NotFound { noun: "coupon pool", id: pool.to_string() })?;
        sqlx::query("UPDATE coupon_pools SET aside = 0, aside_upto = 0 WHERE pool = $1")
            .bind(pool.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("freeing coupons"))?;
        commit(transaction).await?;
        count(aside)
    }

    /// The codes of these messages; messages without one are left out.
    ///
    /// # Errors
    /// [`ControlError::Stored`] where a code does not open.
    pub async fn coupons_of(&self, messages: &[MessageId]) -> Result<Vec<DrawnCoupon>, ControlError> {
        let messages: Vec<&str> = messages.iter().map(MessageId::as_str).collect();
        let query =
            "SELECT c.message_id, p.pool, c.sealed, c.drawn_at FROM coupons c JOIN coupon_pools p ON p.pool_id = c.pool_id
             WHERE c.message_id IN (SELECT value FROM json_each($1))";
        self.read_drawn(query, &to_json("a list of message ids", &messages)?).await
    }

    /// Every code that was drawn for a contact, oldest first.
    pub(crate) async fn coupons_held(&self, contact: ContactKey) -> Result<Vec<DrawnCoupon>, ControlError> {
        let query =
            "SELECT c.message_id, p.pool, c.sealed, c.drawn_at FROM coupons c JOIN coupon_pools p ON p.pool_id = c.pool_id
             WHERE c.contact_key IN (SELECT value FROM json_each($1)) ORDER BY c.drawn_at, c.coupon_id";
        self.read_drawn(query, &to_json("a contact", &[contact.as_i64()])?).await
    }

    async fn read_drawn(&self, query: &'static str, list: &str) -> Result<Vec<DrawnCoupon>, ControlError> {
        let rows: Vec<(String, String, Vec<u8>, i64)> = sqlx::query_as(query)
            .bind(list)
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading coupons"))?;
        let drawn = |(message_id, pool, sealed, drawn_at): (String, String, Vec<u8>, i64)| {
            let code = self.vault.open_for(PURPOSE, &sealed).and_then(|code| CouponCode::new(&code).ok());
            Ok(DrawnCoupon {
                message_id: parsed("a message's id", &message_id, MessageId::new)?,
                pool: parsed("a coupon pool", &pool, CouponPool::new)?,
                // What does not open is not shown either.
                code: code.ok_or_else(|| stored("a sealed coupon", format!("that of message {message_id}")))?,
                drawn_at: time(drawn_at)?,
            })
        };
        rows.into_iter().map(drawn).collect()
    }
}

/// Draws a code for each claim that wants one and was stored, unless its message has one of that pool already. Where a pool has fewer, the
/// first get one.
pub(crate) async fn draw(
    connection: &mut SqliteConnection,
    claims: &[NewClaim],
    claimed: &HashSet<String>,
    now: Timestamp,
) -> Result<(), ControlError> {
    let mut by_pool: BTreeMap<&CouponPool, Vec<(&str, i64)>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for claim in claims {
        let Some(pool) = claim.coupon_pool.as_ref() else { continue };
        let message = claim.message_id.as_str();
        if claimed.contains(message) && seen.insert(message) {
            by_pool.entry(pool).or_default().push((message, claim.contact.as_i64()));
        }
    }
    for (pool, messages) in by_pool {
        let drawn = sqlx::query(DRAW)
            .bind(pool.as_str())
            .bind(to_json("messages", &messages)?)
            .bind(now.as_microsecond())
            .execute(&mut *connection)
            .await
            .map_err(ControlError::query("drawing coupons"))?;
        if drawn.rows_affected() > 0 {
            sqlx::query("UPDATE coupon_pools SET drawn = drawn + $2 WHERE pool = $1")
                .bind(pool.as_str())
                .bind(drawn.rows_affected() as i64)
                .execute(&mut *connection)
                .await
                .map_err(ControlError::query("counting coupons"))?;
        }
    }
    Ok(())
}

/// The next free codes of a pool go to the messages, in the order of both. An erased contact gets none.
const DRAW: &str = "
    WITH source AS MATERIALIZED (SELECT pool_id, aside_upto FROM coupon_pools WHERE pool = $1),
    wanting AS MATERIALIZED (
        SELECT value ->> 0 AS message_id, value ->> 1 AS contact_key, row_number() OVER (ORDER BY key) AS place
        FROM json_each($2)
        WHERE NOT EXISTS (SELECT 1 FROM coupons c, source s WHERE c.message_id = value ->> 0 AND c.pool_id = s.pool_id)
            AND NOT EXISTS (SELECT 1 FROM erased_contacts e WHERE e.contact_key = value ->> 1)),
    free AS MATERIALIZED (
        SELECT coupon_id, row_number() OVER (ORDER BY coupon_id) AS place
        FROM (
            SELECT coupon_id FROM coupons
            WHERE pool_id = (SELECT pool_id FROM source) AND drawn_at IS NULL AND coupon_id > (SELECT aside_upto FROM source)
            ORDER BY coupon_id LIMIT (SELECT count(*) FROM wanting)))
    UPDATE coupons SET drawn_at = $3, message_id = wanting.message_id, contact_key = wanting.contact_key
    FROM free CROSS JOIN wanting ON wanting.place = free.place
    WHERE coupons.coupon_id = free.coupon_id";

/// Forgets for whom codes were drawn. The codes stay drawn.
pub(crate) async fn forget_draws(connection: &mut SqliteConnection, contacts: &str) -> Result<(), ControlError> {
    sqlx::query(
        "UPDATE coupons SET message_id = NULL, contact_key = NULL WHERE contact_key IN (SELECT value FROM json_each($1))",
    )
    .bind(contacts)
    .execute(connection)
    .await
    .map_err(ControlError::query("erasing for whom coupons were drawn"))?;
    Ok(())
}

/// Sets aside the free codes of a file that was brought back from a backup: what was drawn since is not known. Does nothing in a file
/// that is older than coupons.
pub(crate) async fn set_aside(connection: &mut SqliteConnection) -> Result<(), ControlError> {
    let doing = "setting coupons aside";
    let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM sqlite_schema WHERE name = 'coupon_pools'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(ControlError::query(doing))?;
    if known.is_none() {
        return Ok(());
    }
    sqlx::query("UPDATE coupon_pools SET aside = total - drawn, aside_upto = (SELECT coalesce(max(coupon_id), 0) FROM coupons)")
        .execute(connection)
        .await
        .map_err(ControlError::query(doing))?;
    Ok(())
}

#[cfg(test)]
#[path = "coupons_tests.rs"]
mod tests;
