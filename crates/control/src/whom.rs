//! How the rows about many contacts are found: one by one, or all that stand between two keys.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, SqliteConnection};
use vocabulary::ContactKey;

use crate::ControlError;
use crate::contacts::json_list;

/// Contacts beside those asked for that may stand between two keys, for each of these: to look one up costs as much as to read four.
const BYSTANDERS_MAX: usize = 3;
/// The first so-many-th part of the keys tells how many others stand between, because keys are random.
const PROBED_PART: usize = 16;
/// Fewer are looked up one by one.
const BETWEEN_CONTACTS_MIN: usize = 1_000;

/// Contacts, as a statement is told of them.
#[derive(Debug)]
pub(crate) enum Whom {
    /// In a list: `contact_key IN (SELECT value FROM json_each($1))`.
    Listed(String),
    /// And maybe others: `contact_key BETWEEN $1 AND $2`.
    Between(i64, i64),
}

impl Whom {
    /// Just these.
    pub(crate) fn listed(keys: &[ContactKey]) -> Result<Self, ControlError> {
        Ok(Self::Listed(json_list(keys)?))
    }

    /// Whatever is quicker, for consents and the suppression list. To read between two keys they must be in order.
    pub(crate) async fn quickest(connection: &mut SqliteConnection, keys: &[ContactKey]) -> Result<Self, ControlError> {
        let probed = keys.len() / PROBED_PART;
        let ends = [keys.first(), keys.get(probed), keys.last()].map(|key| key.map(|key| key.as_i64()));
        let [Some(low), Some(middle), Some(high)] = ends else { return Self::listed(keys) };
        if keys.len() < BETWEEN_CONTACTS_MIN || !keys.is_sorted() {
            return Self::listed(keys);
        }
        let most = i64::try_from(probed * (1 + BYSTANDERS_MAX)).unwrap_or(i64::MAX);
        let between: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM (SELECT DISTINCT contact_key FROM consents WHERE contact_key BETWEEN $1 AND $2 LIMIT $3))
                  + (SELECT count(*) FROM (SELECT DISTINCT contact_key FROM suppressions WHERE contact_key BETWEEN $1 AND $2 LIMIT $3))",
        )
        .bind(low)
        .bind(middle)
        .bind(most)
        .fetch_one(connection)
        .await
        .map_err(ControlError::query("counting who has a permission"))?;
        if between < most { Ok(Self::Between(low, high)) } else { Self::listed(keys) }
    }

    /// Whether a contact that was found was asked for; `keys` are those of [`Self::quickest`].
    pub(crate) fn asks_for(&self, keys: &[ContactKey], found: ContactKey) -> bool {
        matches!(self, Self::Listed(_)) || keys.binary_search(&found).is_ok()
    }

    /// The first arguments of a statement.
    pub(crate) fn arguments(&self) -> Result<SqliteArguments, ControlError> {
        let mut arguments = SqliteArguments::default();
        let added = match self {
            Self::Listed(list) => arguments.add(list.clone()),
            Self::Between(low, high) => arguments.add(*low).and_then(|()| arguments.add(*high)),
        };
        added.map_err(|error| ControlError::query("naming contacts")(sqlx::Error::Encode(error)))?;
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use policy::{Basis, ConsentFact, Purpose, SuppressionReason};
    use vocabulary::Channel;

    use super::*;
    use crate::consents::{StoredConsent, store_consents};
    use crate::testing::{World, at};
    use crate::{NewSuppression, Permission};

    #[tokio::test]
    async fn both_ways_find_the_same() {
        let world = World::new();
        let control = world.open().await;
        let key = |number: i64| ContactKey::from_i64(number).unwrap();
        let said = |number: i64| StoredConsent {
            contact: key(number),
            said: ConsentFact {
                channel: Channel::Email,
                purpose: Purpose::Marketing,
                given: (number % 4 > 0).then_some(Basis::Express),
                at: at(number),
            },
            source: None,
            wording: None,
            evidence: None,
        };
        let said: Vec<StoredConsent> = (1..9_000).filter(|number| number % 5 > 0).map(said).collect();
        store_consents(&mut *control.writer().await, &said, at(0)).await.unwrap();
        let contacts = (1..9_000).filter(|number| number % 7 == 0).map(key).collect();
        control.suppress(&NewSuppression { contacts, ..NewSuppression::new(SuppressionReason::Manual) }).await.unwrap();

        for (step, is_between) in [(1, true), (2, true), (8, false)] {
            let asked: Vec<ContactKey> = (1..9_000).step_by(step).map(key).collect();
            let whom = Whom::quickest(&mut *control.reader().await, &asked).await.unwrap();
            assert_eq!(matches!(whom, Whom::Between(..)), is_between, "every {step}th");
            let mut one_by_one: HashMap<ContactKey, Permission> = HashMap::new();
            for some in asked.chunks(BETWEEN_CONTACTS_MIN - 1) {
                one_by_one.extend(control.permissions(some, None).await.unwrap());
            }
            assert!(one_by_one.len() > asked.len() / 2);
            assert_eq!(control.permissions(&asked, None).await.unwrap(), one_by_one, "every {step}th");
        }
        let out_of_order: Vec<ContactKey> = (1..9_000).rev().map(key).collect();
        assert!(matches!(Whom::quickest(&mut *control.reader().await, &out_of_order).await.unwrap(), Whom::Listed(_)));
    }
}
