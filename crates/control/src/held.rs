//! Everything that is held here about one person, for their right to see it (GDPR, articles 15 and 20).

use vocabulary::{Contact, Timestamp};

use crate::consents::ConsentRow;
use crate::contact_check::Addresses;
use crate::contacts::{open, read_sealed};
use crate::ledger::LedgerRow;
use crate::store::time;
use crate::{Control, ControlError, DrawnCoupon, SuppressionRow};

/// One person. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    /// The surrogate key and what is known of them.
    pub contact: Contact,
    /// The customer's own ids of them, the first one first.
    pub own_ids: Vec<String>,
    /// Their addresses.
    pub addresses: Addresses,
    /// When something of this changed last.
    pub updated_at: Timestamp,
    /// What they said about being written to, oldest first.
    pub consents: Vec<ConsentRow>,
    /// Why and since when they are not written to, oldest first.
    pub suppressions: Vec<SuppressionRow>,
    /// What was, or was about to be, handed over for them, oldest first.
    pub messages: Vec<LedgerRow>,
    /// The coupons that were drawn for them, oldest first.
    pub coupons: Vec<DrawnCoupon>,
}

impl Control {
    /// Everything about the contact with this own id; `None` where there is no such contact.
    ///
    /// # Errors
    /// [`ControlError::Unsealed`] where their addresses do not open.
    pub async fn held(&self, own_id: &str) -> Result<Option<Held>, ControlError> {
        let Some(key) = self.existing(&[own_id.to_owned()]).await?.first().copied() else { return Ok(None) };
        let Some(row) = read_sealed(&mut *self.reader().await, &[key]).await?.pop() else { return Ok(None) };
        let updated_at: i64 = sqlx::query_scalar("SELECT updated_at FROM contacts WHERE contact_key = $1")
            .bind(key.as_i64())
            .fetch_one(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading a contact"))?;
        let (contact, sealed) = row.read()?;
        let secrets = open(&self.vault, key, &sealed)?;
        Ok(Some(Held {
            contact,
            own_ids: std::iter::once(secrets.key).chain(secrets.also).collect(),
            addresses: secrets.addresses,
            updated_at: time(updated_at)?,
            consents: self.consents_of(key, &sealed.wrapped_key).await?,
            suppressions: self.suppressions(own_id).await?.unwrap_or_default(),
            messages: self.ledger_of(key).await?,
            coupons: self.coupons_held(key).await?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use vocabulary::Channel;

    use crate::testing::{World, contact, sending_campaign};
    use crate::{Duplicates, NewClaim};

    #[tokio::test]
    async fn all_of_one_person_and_nothing_of_another_is_told() {
        let world = World::new();
        let control = world.open().await;
        let alias = crate::NewContact { addresses: contact("a").addresses, ..contact("loyalty-7") };
        let people = [contact("a"), contact("b"), alias].map(|contact| contact.check().unwrap());
        control.upsert_contacts(&people, Duplicates::Merge).await.unwrap();
        let keys = control.resolve(&["a", "b"].map(str::to_owned)).await.unwrap();
        let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
        let claim = |(contact, message): (vocabulary::ContactKey, &str)| NewClaim {
            contact,
            step: None,
            message_id: crate::testing::message_id(message),
            experiment_id: crate::testing::experiment_id("e"),
            variant: None,
            market: None,
            channel: Channel::Email,
            class: vocabulary::MessageClass::Marketing,
            coupon_pool: None,
        };
        let claims: Vec<_> = [(keys[0], "of-a"), (keys[1], "of-b")].into_iter().map(claim).collect();
        control.claim(&campaign, "w", &claims, control.now()).await.unwrap();
        let manual = crate::NewSuppression::new(policy::SuppressionReason::Manual);
        control.suppress(&crate::NewSuppression { contacts: vec![keys[0]], ..manual }).await.unwrap();

        let held = control.held("loyalty-7").await.unwrap().unwrap();
        assert_eq!(held.own_ids, ["a", "loyalty-7"]);
        assert_eq!(held.addresses[&Channel::Email], "a@shop.example");
        assert_eq!((held.contact.key, held.suppressions[0].reason), (keys[0], policy::SuppressionReason::Manual));
        let messages: Vec<_> = held.messages.iter().map(|row| row.message_id.as_str()).collect();
        assert_eq!(messages, ["of-a"]);
        assert!(control.held("nobody").await.unwrap().is_none());
    }
}
