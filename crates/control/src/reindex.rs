//! Contacts that were stored before addresses had an index get it once, so that duplicates and suppressions find them too.

use vocabulary::ContactKey;

use crate::contacts::{add_handles, open, sealed_after};
use crate::store::{begin, commit, put_setting, setting};
use crate::suppressions::suppress_again;
use crate::vault::Handle;
use crate::{Control, ControlError};

/// The setting that tells that it was done.
const INDEXED: &str = "addresses_indexed";

impl Control {
    /// Indexes every contact, all or none, unless it was done before.
    pub(crate) async fn index_addresses(&self) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        if setting(&mut transaction, INDEXED).await?.is_some() {
            return Ok(());
        }
        let mut last = 0;
        let mut contacts = 0;
        loop {
            let mut handles: Vec<(Handle, ContactKey)> = Vec::new();
            let mut domains: Vec<(Handle, ContactKey)> = Vec::new();
            for row in sealed_after(&mut transaction, last).await? {
                let (contact, sealed) = row.read()?;
                last = contact.key.as_i64();
                contacts += 1;
                let secrets = open(&self.vault, contact.key, &sealed)?;
                let in_domain = secrets.addresses.iter().filter_map(|(channel, address)| self.vault.domain_of(*channel, address));
                domains.extend(in_domain.map(|domain| (domain, contact.key)));
                let of_contact = self.vault.handles(&secrets);
                handles.extend(of_contact.into_iter().map(|handle| (handle, contact.key)));
            }
            if handles.is_empty() {
                break;
            }
            add_handles(&mut transaction, handles.iter()).await?;
            suppress_again(&mut transaction, handles.iter().chain(&domains)).await?;
        }
        put_setting(&mut transaction, INDEXED, &[1]).await?;
        commit(transaction).await?;
        if contacts > 0 {
            tracing::info!(contacts, "addresses of contacts are indexed now");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, contact};
    use crate::{Duplicates, NewSuppression};

    #[tokio::test]
    async fn contacts_without_an_index_get_it_once() {
        let world = World::new();
        let control = world.open().await;
        control.upsert_contacts(&[contact("a").check().unwrap()], Duplicates::Merge).await.unwrap();
        let key = control.resolve(&["a".to_owned()]).await.unwrap()[0];
        let address = NewSuppression {
            addresses: vec![(vocabulary::Channel::Email, "a@shop.example".to_owned())],
            ..NewSuppression::new(policy::SuppressionReason::Manual)
        };
        let own_id = control.vault.own_id("a");
        sqlx::query("DELETE FROM handles WHERE hash <> $1")
            .bind(own_id.as_slice())
            .execute(&mut *control.writer().await)
            .await
            .unwrap();
        control.suppress(&address).await.unwrap();
        assert!(control.permissions(&[key], None).await.unwrap().is_empty(), "nobody is known there");
        sqlx::query("DELETE FROM settings WHERE name = $1").bind(INDEXED).execute(&mut *control.writer().await).await.unwrap();

        let again = world.open().await;
        assert_eq!(again.permissions(&[key], None).await.unwrap()[&key].suppressions.len(), 1);
        let handles: i64 =
            sqlx::query_scalar("SELECT count(*) FROM handles").fetch_one(&mut *again.reader().await).await.unwrap();
        assert_eq!(handles, 2, "own id and address");
    }
}
