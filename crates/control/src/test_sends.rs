//! Test messages: what a campaign would send somebody, sent to addresses of those who write it.
//!
//! They wait in the outbox beside messages to one person, but are made already. *Invariant:* nothing of a test counts: its contact is a
//! new one, its address is found by nobody, and it is in no ledger.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vocabulary::{CampaignId, Channel, MessageClass, MessageId, Provider, VariantName};

use crate::contact_check::{FieldError, normalised};
use crate::experiments::to_json;
use crate::outbox::{OutboxRow, OutboxState, Row, SEALED_FOR, Told, forget_old};
use crate::store::{begin, commit};
use crate::{Control, ControlError};

/// A test that could not be handed over for so long is given up: whoever waits for it has gone.
const EXPIRES_MINUTES: i64 = 60;
/// The tests of a campaign that are listed.
const LISTED_MAX: i64 = 100;

/// A message that is made, but for what depends on the moment it leaves. It has no `Debug`, because it may hold what is known of
/// somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeMessage {
    /// The sender's mailbox; empty where the channel has none.
    pub from: String,
    /// The subject; empty where the channel has none.
    pub subject: String,
    /// The HTML part; empty where the channel has none.
    pub html: String,
    /// The text part.
    pub text: String,
    /// Names the list that it pretends to be of.
    pub list: String,
    /// Where it says that a POST ends all messages.
    pub unsubscribe_url: String,
    /// The gateway that a text message goes by, where its variant names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
}

/// A test message. It has no `Debug`, so that no address is logged by accident.
#[derive(Clone)]
pub struct NewTest {
    /// Its id, of [`Control::test_id`]; its links name it.
    pub message_id: MessageId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// Of which variant.
    pub variant: VariantName,
    /// By which channel.
    pub channel: Channel,
    /// The campaign's class: a test goes the way of real messages.
    pub class: MessageClass,
    /// To whom, of [`Control::test_address`].
    pub address: String,
    /// The message.
    pub made: MadeMessage,
}

/// A test message and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRow {
    /// Which variant it shows.
    pub variant: String,
    /// Where it stands.
    pub row: OutboxRow,
}

impl Control {
    /// A new id for a test message. It is in no ledger, so nothing that is done with its links counts.
    #[must_use]
    pub fn test_id(&self) -> MessageId {
        let mut bytes = [0; 32];
        self.ids.fill(&mut bytes);
        MessageId::of_hash(&bytes)
    }

    /// An address in its normal form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn test_address(&self, channel: Channel, address: &str) -> Result<String, FieldError> {
        normalised(channel, address)
    }

    /// Takes test messages down, all or none. When this returns they are on disk, and who hands them over is told.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn enqueue_tests(&self, tests: &[NewTest]) -> Result<(), ControlError> {
        let now = self.now();
        let expires_at = now.checked_add(jiff::SignedDuration::from_mins(EXPIRES_MINUTES)).unwrap_or(now);
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        forget_old(&mut transaction, now).await?;
        for test in tests {
            let told = Told {
                address: Some(test.address.clone()),
                language: None,
                country: None,
                data: Value::Null,
                made: Some(test.made.clone()),
            };
            let sealed = self.vault.seal_for(SEALED_FOR, self.ids.as_ref(), &to_json("a message", &told)?);
            sqlx::query(
                "INSERT INTO outbox (message_id, request, class, channel, template, contact_key, handle, sealed, state, told_at,
                     next_at, expires_at, test_campaign, test_variant)
                 VALUES ($1, x'', $2, $3, '', $4, x'', $5, $6, $7, $7, $8, $9, $10)",
            )
            .bind(test.message_id.as_str())
            .bind(test.class.as_str())
            .bind(test.channel.as_str())
            .bind(self.ids.contact_key().as_i64())
            .bind(sealed)
            .bind(OutboxState::Waiting.as_str())
            .bind(now.as_microsecond())
            .bind(expires_at.as_microsecond())
            .bind(test.campaign.as_str())
            .bind(test.variant.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("taking a test message down"))?;
        }
        commit(transaction).await?;
        drop(writer);
        self.watcher.ring_outbox();
        Ok(())
    }

    /// The newest test messages of a campaign, newest first, at most 100. To whom they went is not kept.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn tests_of(&self, campaign: &CampaignId) -> Result<Vec<TestRow>, ControlError> {
        let rows: Vec<TestedRow> =
            sqlx::query_as("SELECT * FROM outbox WHERE test_campaign = $1 ORDER BY told_at DESC, message_id LIMIT $2")
                .bind(campaign.as_str())
                .bind(LISTED_MAX)
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading test messages"))?;
        rows.into_iter().map(|row| Ok(TestRow { variant: row.test_variant, row: row.row.read()? })).collect()
    }

    /// Whether this is the id of a test message of the last month.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn is_test(&self, id: &MessageId) -> Result<bool, ControlError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM outbox WHERE message_id = $1 AND test_campaign IS NOT NULL")
            .bind(id.as_str())
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("looking for a test message"))?;
        Ok(found.is_some())
    }
}

#[derive(sqlx::FromRow)]
struct TestedRow {
    test_variant: String,
    #[sqlx(flatten)]
    row: Row,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at, campaign_id};
    use crate::{GivenId, OutboxEnd, Receipt, SortedReceipts};

    fn test(control: &Control, address: &str) -> NewTest {
        NewTest {
            message_id: control.test_id(),
            campaign: campaign_id("c"),
            variant: VariantName::new("a").unwrap(),
            channel: Channel::Email,
            class: MessageClass::Marketing,
            address: control.test_address(Channel::Email, address).unwrap(),
            made: MadeMessage {
                from: "Shop <news@shop.example>".into(),
                subject: "[Test] Hello".into(),
                html: "<p>needle</p>".into(),
                text: "needle".into(),
                list: "c".into(),
                unsubscribe_url: "https://shop.example/t/u/x".into(),
                provider: None,
            },
        }
    }

    #[tokio::test]
    async fn a_test_is_taken_as_it_was_made_and_counts_nowhere() {
        let world = World::new();
        let control = world.open().await;
        let tests = ["needle@shop.example", "lee@shop.example"].map(|address| test(&control, address));
        control.enqueue_tests(&tests).await.unwrap();
        assert!(!world.bytes_of(&control).await.windows(6).any(|window| window == b"needle"), "address and message are sealed");
        assert!(control.take_messages(MessageClass::Transactional, "w", 5).await.unwrap().is_empty(), "the campaign's class");
        let taken = control.take_messages(MessageClass::Marketing, "w", 5).await.unwrap();
        assert_eq!(taken.len(), 2);
        assert_ne!(taken[0].row.contact, taken[1].row.contact);
        assert!(taken.iter().all(|taken| taken.told.made == Some(tests[0].made.clone())));
        assert!(control.sent_beside(&taken[0].row, at(-60)).await.unwrap().is_empty());
        assert!(control.outbox_counts().await.unwrap().is_empty());
        assert!(control.is_test(&tests[0].message_id).await.unwrap());
        assert!(!control.is_test(&crate::testing::message_id("m1")).await.unwrap());

        let message_id = tests[0].message_id.clone();
        let end = OutboxEnd { message_id: message_id.clone(), state: OutboxState::Accepted, next_at: at(1), reply: None };
        let given = GivenId { gateway: "main".into(), provider_id: "p1".into(), message_id };
        control.end_messages_noting(&[end], &[given]).await.unwrap();
        let listed = control.tests_of(&campaign_id("c")).await.unwrap();
        let mut states: Vec<_> = listed.iter().map(|test| (test.variant.as_str(), test.row.state)).collect();
        states.sort_by_key(|(_, state)| state.as_str());
        assert_eq!(states, [("a", OutboxState::Accepted), ("a", OutboxState::Claimed)]);
        let status = vocabulary::DeliveryStatus::Delivered;
        let receipt = Receipt { gateway: "main".into(), provider_id: "p1".into(), status, reply: String::new(), at: at(2) };
        assert_eq!(control.sort_receipts(vec![receipt]).await.unwrap(), SortedReceipts::default(), "known, and no event");
    }
}
