//! The ledger: which message was claimed for whom, and how that ended.
//!
//! A worker claims messages before handing them over and settles them after, both in groups, each group in one commit. The
//! primary key (campaign, contact, step) admits each message once, whatever crashes or runs twice. What was claimed and not
//! settled when a worker died is still there as open claims.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use serde::Serialize;
use sqlx::SqliteConnection;
use vocabulary::{
    CampaignId, Channel, ContactKey, CouponPool, ExperimentId, MessageClass, MessageId, RecommendationId, Step, Timestamp,
    VariantName,
};

use crate::campaigns::{CampaignState, unknown};
use crate::contacts::contact_key;
use crate::experiments::to_json;
use crate::receipts::{GivenId, note_given};
use crate::store::{begin, commit, count, parsed, time};
use crate::{Control, ControlError, Lease, coupons};

/// Rows written by one statement. They are handed over as one JSON parameter, because a statement with parameters for each
/// row would be prepared anew for each group's size; this bounds that parameter to a fraction of a megabyte.
const ROWS_PER_STATEMENT: usize = 1000;
/// The longest stored reply of a server, in bytes (RFC 5321, section 4.5.3.1.5: a reply line has at most 512).
const REPLY_BYTES_MAX: usize = 512;

vocabulary::words!(
    /// Where a message stands.
    LedgerState {
        /// A worker is about to hand it over, or died while doing so.
        Claimed = "claimed",
        /// The next server took responsibility.
        Accepted = "accepted",
        /// The next server will not have it.
        Refused = "refused",
        /// It may or may not have been taken; it is not sent again.
        InDoubt = "in_doubt",
        /// It was not and will not be handed over: a rule refused it, or the contact cannot be reached.
        Skipped = "skipped",
    }
);

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// The next server took responsibility.
    Accepted,
    /// The next server will not have it.
    Refused,
    /// It may or may not have been taken. A later settlement that knows better replaces this one.
    InDoubt,
    /// It surely was not handed over and will not be, such as to a contact without an address.
    Skipped,
}

impl Settlement {
    /// The state of a message that ended so.
    #[must_use]
    pub fn state(self) -> LedgerState {
        match self {
            Self::Accepted => LedgerState::Accepted,
            Self::Refused => LedgerState::Refused,
            Self::InDoubt => LedgerState::InDoubt,
            Self::Skipped => LedgerState::Skipped,
        }
    }
}

/// A message a worker is about to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// To whom.
    pub contact: ContactKey,
    /// Which of the campaign's messages to the contact, where there may be several.
    pub step: Option<Step>,
    /// The same for the same campaign, contact and step, so that a provider can tell a repetition.
    pub message_id: MessageId,
    /// The experiment it counts in.
    pub experiment_id: ExperimentId,
    /// The variant, where it is fixed already.
    pub variant: Option<VariantName>,
    /// The contact's market.
    pub market: Option<String>,
    /// The channel it goes by.
    pub channel: Channel,
    /// Its class.
    pub class: MessageClass,
    /// The pool a code is drawn from for it, in the same commit.
    pub coupon_pool: Option<CouponPool>,
}

/// How a claimed message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The message.
    pub message_id: MessageId,
    /// How it ended.
    pub outcome: Settlement,
    /// The variant that was sent; the claim's where absent.
    pub variant: Option<VariantName>,
    /// The recommendation that was followed.
    pub recommendation_id: Option<RecommendationId>,
    /// Whether it carried the control because no recommendation held.
    pub is_fallback: bool,
    /// The server's own words, of which the first 512 bytes are kept.
    pub reply: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// One message in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The message.
    pub message_id: MessageId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The experiment it counts in.
    pub experiment_id: ExperimentId,
    /// The variant, where known.
    pub variant: Option<VariantName>,
    /// To whom.
    pub contact: ContactKey,
    /// The contact's market.
    pub market: Option<String>,
    /// The recommendation that was followed.
    pub recommendation_id: Option<RecommendationId>,
    /// Where it stands.
    pub state: LedgerState,
    /// The worker that claimed it.
    pub worker: String,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// The server's own words.
    pub reply: Option<String>,
}

/// How far a campaign is. `claimed`, `accepted`, `refused`, `in_doubt` and `skipped` do not overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Recipients in the newest plan; of a triggered campaign in all plans.
    pub planned: u64,
    /// Those of them in slices whose first row is due.
    pub due: u64,
    /// Claimed and not settled.
    pub claimed: u64,
    /// Taken by the next server.
    pub accepted: u64,
    /// Refused by the next server.
    pub refused: u64,
    /// Perhaps taken.
    pub in_doubt: u64,
    /// Passed over: refused by a rule, or not reachable.
    pub skipped: u64,
    /// Of those accepted, refused and in doubt: how many carried the control because no recommendation held.
    pub fallback: u64,
}

impl Control {
    /// Claims messages for `worker` in one commit; those really claimed, in the order given. Contacts who are in the ledger of
    /// this campaign already, at the same step, are passed over. A campaign that is not sending claims nothing. Claims that name a
    /// coupon pool get a code of it, as long as it has some ([`Control::coupons_of`]).
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown campaign.
    pub async fn claim(
        &self,
        campaign: &CampaignId,
        worker: &str,
        claims: &[NewClaim],
        now: Timestamp,
    ) -> Result<Vec<MessageId>, ControlError> {
        self.claim_at(campaign, None, worker, claims, now).await
    }

    /// The same for a leased slice. A campaign that was paused, planned or changed since the lease began claims nothing, because
    /// what the holder knows of it may be old; the slice is then leased again.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown campaign.
    pub async fn claim_leased(&self, lease: &Lease, claims: &[NewClaim], now: Timestamp) -> Result<Vec<MessageId>, ControlError> {
        self.claim_at(&lease.campaign, Some(lease.epoch), &lease.worker, claims, now).await
    }

    async fn claim_at(
        &self,
        campaign: &CampaignId,
        epoch: Option<i64>,
        worker: &str,
        claims: &[NewClaim],
        now: Timestamp,
    ) -> Result<Vec<MessageId>, ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let row: Option<(String, i64)> = sqlx::query_as("SELECT state, epoch FROM campaigns WHERE campaign_id = $1")
            .bind(campaign.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(ControlError::query("reading a campaign's state"))?;
        let (state, at) = row.ok_or_else(|| unknown(campaign))?;
        if state != CampaignState::Sending.as_str() || epoch.is_some_and(|epoch| epoch != at) {
            return Ok(Vec::new());
        }
        let mut stored = HashSet::new();
        for claims in claims.chunks(ROWS_PER_STATEMENT) {
            let group = ClaimGroup { campaign, worker, claims, now };
            stored.extend(group.insert(&mut transaction).await?);
        }
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        coupons::draw(&mut transaction, claims, &stored, now).await?;
        let counts = Counts::from([(LedgerState::Claimed, stored.len() as i64)]);
        move_counts(&mut transaction, campaign.as_str(), &counts).await?;
        commit(transaction).await?;
        // Removed when met, so that a message given twice is claimed once.
        Ok(claims.iter().map(|claim| &claim.message_id).filter(|id| stored.remove(id.as_str())).cloned().collect())
    }

    /// Settles messages in one commit; how many of them were open, which is claimed or in doubt. The others stay as they
    /// are, so settling twice is harmless. Of two settlements of one message the last counts.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn settle(&self, settled: &[Settled]) -> Result<u64, ControlError> {
        self.settle_noting(settled, &[]).await
    }

    /// The same, and notes in that commit the ids that providers gave some of them, for the receipts that come later.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn settle_noting(&self, settled: &[Settled], given: &[GivenId]) -> Result<u64, ControlError> {
        let last: BTreeMap<&str, &Settled> = settled.iter().map(|settled| (settled.message_id.as_str(), settled)).collect();
        if last.is_empty() {
            return Ok(0);
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        let mut fallbacks: BTreeMap<String, i64> = BTreeMap::new();
        let mut open_count = 0;
        for group in last.into_values().collect::<Vec<_>>().chunks(ROWS_PER_STATEMENT) {
            let open = read_states(&mut transaction, group.iter().map(|settled| &settled.message_id)).await?;
            let group: Vec<_> = group.iter().filter(|settled| open.contains_key(settled.message_id.as_str())).copied().collect();
            for settled in &group {
                let (campaign, state) = &open[settled.message_id.as_str()];
                let counts = counts.entry(campaign.clone()).or_default();
                *counts.entry(*state).or_default() -= 1;
                *counts.entry(settled.outcome.state()).or_default() += 1;
                // What was in doubt was counted when it came to be.
                if settled.is_fallback && *state == LedgerState::Claimed {
                    *fallbacks.entry(campaign.clone()).or_default() += 1;
                }
            }
            open_count += group.len() as u64;
            update_settled(&mut transaction, &group).await?;
        }
        for (campaign, counts) in &counts {
            move_counts(&mut transaction, campaign, counts).await?;
        }
        for (campaign, count) in &fallbacks {
            count_fallbacks(&mut transaction, campaign, *count).await?;
        }
        note_given(&mut transaction, given, self.now()).await?;
        commit(transaction).await?;
        Ok(open_count)
    }

    /// Takes back claims whose messages surely were not handed over, so that they can be claimed again; how many there were.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn release(&self, messages: &[MessageId]) -> Result<u64, ControlError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let campaigns: Vec<String> = sqlx::query_scalar(
            "DELETE FROM ledger WHERE message_id IN (SELECT value FROM json_each($1)) AND state = 'claimed'
             RETURNING campaign_id",
        )
        .bind(json_list(messages)?)
        .fetch_all(&mut *transaction)
        .await
        .map_err(ControlError::query("taking claims back"))?;
        let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
        for campaign in &campaigns {
            *counts.entry(campaign).or_default().entry(LedgerState::Claimed).or_default() -= 1;
        }
        for (campaign, counts) in &counts {
            move_counts(&mut transaction, campaign, counts).await?;
        }
        commit(transaction).await?;
        Ok(campaigns.len() as u64)
    }

    /// Says that claimed messages go by another channel than they were claimed for; how many there were. Whoever asks afterwards what
    /// contacts are sent sees them there.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn reroute(&self, messages: &[(MessageId, Channel)]) -> Result<u64, ControlError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let values: Vec<(&str, &str)> = messages.iter().map(|(id, channel)| (id.as_str(), channel.as_str())).collect();
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let done = sqlx::query(
            "WITH v AS (SELECT value ->> 0 AS message_id, value ->> 1 AS channel FROM json_each($1))
             UPDATE ledger SET channel = v.channel
             FROM v WHERE ledger.message_id = v.message_id AND ledger.state = 'claimed'",
        )
        .bind(to_json("messages that go by another channel", &values)?)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("sending messages by another channel"))?;
        commit(transaction).await?;
        Ok(done.rows_affected())
    }

    /// Messages claimed and not settled, oldest first, of one worker or of all. After a crash these are the ones of which
    /// nobody knows whether they were handed over.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn open_claims(&self, worker: Option<&str>) -> Result<Vec<LedgerRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT message_id, campaign_id, experiment_id, variant, contact_key, market, recommendation_id, state, worker,
                 claimed_at, settled_at, reply
             FROM ledger WHERE state = 'claimed' AND ($1 IS NULL OR worker = $1) ORDER BY claimed_at, message_id",
        )
        .bind(worker)
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading open claims"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Whether any of these messages is claimed and not settled, by whichever worker.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn are_claimed(&self, messages: &[MessageId]) -> Result<bool, ControlError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM ledger WHERE message_id IN (SELECT value FROM json_each($1)) AND state = 'claimed' LIMIT 1",
        )
        .bind(json_list(messages)?)
        .fetch_optional(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("looking for claims"))?;
        Ok(found.is_some())
    }

    /// The message of that id.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn message(&self, id: &MessageId) -> Result<Option<LedgerRow>, ControlError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT message_id, campaign_id, experiment_id, variant, contact_key, market, recommendation_id, state, worker,
                 claimed_at, settled_at, reply
             FROM ledger WHERE message_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading a message"))?;
        row.map(Row::read).transpose()
    }

    /// Everything in the ledger about one contact, oldest first.
    pub(crate) async fn ledger_of(&self, contact: ContactKey) -> Result<Vec<LedgerRow>, ControlError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT message_id, campaign_id, experiment_id, variant, contact_key, market, recommendation_id, state, worker,
                 claimed_at, settled_at, reply
             FROM ledger WHERE contact_key = $1 ORDER BY claimed_at, message_id",
        )
        .bind(contact.as_i64())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading a contact's messages"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// How far a campaign is. It costs the same however many messages there are.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown campaign.
    pub async fn progress(&self, id: &CampaignId) -> Result<Progress, ControlError> {
        let row: Option<ProgressRow> = sqlx::query_as(
            "SELECT planned,
                 (SELECT coalesce(sum(s.row_count), 0) FROM slices s
                  WHERE s.campaign_id = c.campaign_id AND s.due <= $2
                      AND (s.plan_version = c.plan_version OR c.definition ->> 'triggered' IS TRUE)),
                 claimed_count, accepted_count, refused_count, in_doubt_count, skipped_count, fallback_count
             FROM campaigns c WHERE campaign_id = $1",
        )
        .bind(id.as_str())
        .bind(self.now().as_microsecond())
        .fetch_optional(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading a campaign's progress"))?;
        let (planned, due, claimed, accepted, refused, in_doubt, skipped, fallback) = row.ok_or_else(|| unknown(id))?;
        Ok(Progress {
            planned: count(planned)?,
            due: count(due)?,
            claimed: count(claimed)?,
            accepted: count(accepted)?,
            refused: count(refused)?,
            in_doubt: count(in_doubt)?,
            skipped: count(skipped)?,
            fallback: count(fallback)?,
        })
    }
}

/// A stored [`Progress`], in its order.
type ProgressRow = (i64, i64, i64, i64, i64, i64, i64, i64);

/// By how much the number of messages in each state changes.
type Counts = BTreeMap<LedgerState, i64>;

/// Claims of one statement.
struct ClaimGroup<'a> {
    campaign: &'a CampaignId,
    worker: &'a str,
    claims: &'a [NewClaim],
    now: Timestamp,
}

impl ClaimGroup<'_> {
    /// Stores those of contacts who are not in the ledger yet; their message ids.
    async fn insert(&self, connection: &mut SqliteConnection) -> Result<Vec<String>, ControlError> {
        let values = self.claims.iter().map(|claim| {
            let variant = claim.variant.as_ref().map(VariantName::as_str);
            let (message_id, experiment_id) = (claim.message_id.as_str(), claim.experiment_id.as_str());
            let (channel, class) = (claim.channel.as_str(), claim.class.as_str());
            let step = claim.step.as_ref().map_or("", Step::as_str);
            (claim.contact.as_i64(), message_id, experiment_id, variant, claim.market.as_deref(), channel, class, step)
        });
        let values = to_json("claims", &values.collect::<Vec<_>>())?;
        sqlx::query_scalar(
            "INSERT INTO ledger (campaign_id, contact_key, message_id, experiment_id, variant, market, channel, class, step,
                 state, worker, claimed_at)
             SELECT $2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                 value ->> 7, 'claimed', $3, $4
             FROM json_each($1) WHERE true
             ON CONFLICT DO NOTHING RETURNING message_id",
        )
        .bind(values)
        .bind(self.campaign.as_str())
        .bind(self.worker)
        .bind(self.now.as_microsecond())
        .fetch_all(connection)
        .await
        .map_err(ControlError::query("claiming messages"))
    }
}

/// Campaign and state of those of `messages` that are open: claimed or in doubt.
async fn read_states(
    connection: &mut SqliteConnection,
    messages: impl Iterator<Item = &MessageId>,
) -> Result<HashMap<String, (String, LedgerState)>, ControlError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT message_id, campaign_id, state FROM ledger
         WHERE message_id IN (SELECT value FROM json_each($1)) AND state IN ('claimed', 'in_doubt')",
    )
    .bind(json_list(messages)?)
    .fetch_all(connection)
    .await
    .map_err(ControlError::query("reading the messages to settle"))?;
    rows.into_iter().map(|(id, campaign, state)| Ok((id, (campaign, read_state(&state)?)))).collect()
}

async fn update_settled(connection: &mut SqliteConnection, group: &[&Settled]) -> Result<(), ControlError> {
    if group.is_empty() {
        return Ok(());
    }
    let values = group.iter().map(|settled| {
        let reply = settled.reply.as_deref().map(|reply| &reply[..reply.floor_char_boundary(REPLY_BYTES_MAX)]);
        let variant = settled.variant.as_ref().map(VariantName::as_str);
        let recommendation_id = settled.recommendation_id.as_ref().map(RecommendationId::as_str);
        let state = settled.outcome.state().as_str();
        (settled.message_id.as_str(), state, variant, recommendation_id, reply, settled.at.as_microsecond())
    });
    sqlx::query(
        "WITH v AS (
             SELECT value ->> 0 AS message_id, value ->> 1 AS state, value ->> 2 AS variant, value ->> 3 AS recommendation_id,
                 value ->> 4 AS reply, value ->> 5 AS at
             FROM json_each($1))
         UPDATE ledger SET state = v.state, variant = coalesce(v.variant, ledger.variant),
             recommendation_id = coalesce(v.recommendation_id, ledger.recommendation_id), reply = v.reply, settled_at = v.at
         FROM v WHERE ledger.message_id = v.message_id",
    )
    .bind(to_json("settlements", &values.collect::<Vec<_>>())?)
    .execute(connection)
    .await
    .map_err(ControlError::query("settling messages"))?;
    Ok(())
}

async fn move_counts(connection: &mut SqliteConnection, campaign: &str, counts: &Counts) -> Result<(), ControlError> {
    let by = |state| counts.get(&state).copied().unwrap_or_default();
    sqlx::query(
        "UPDATE campaigns SET claimed_count = claimed_count + $2, accepted_count = accepted_count + $3,
             refused_count = refused_count + $4, in_doubt_count = in_doubt_count + $5, skipped_count = skipped_count + $6
         WHERE campaign_id = $1",
    )
    .bind(campaign)
    .bind(by(LedgerState::Claimed))
    .bind(by(LedgerState::Accepted))
    .bind(by(LedgerState::Refused))
    .bind(by(LedgerState::InDoubt))
    .bind(by(LedgerState::Skipped))
    .execute(connection)
    .await
    .map_err(ControlError::query("counting messages"))?;
    Ok(())
}

async fn count_fallbacks(connection: &mut SqliteConnection, campaign: &str, count: i64) -> Result<(), ControlError> {
    sqlx::query("UPDATE campaigns SET fallback_count = fallback_count + $2 WHERE campaign_id = $1")
        .bind(campaign)
        .bind(count)
        .execute(connection)
        .await
        .map_err(ControlError::query("counting messages that carried the control"))?;
    Ok(())
}

fn read_state(text: &str) -> Result<LedgerState, ControlError> {
    parsed("a message's state", text, LedgerState::from_str)
}

/// A list of ids as one parameter: a statement with a parameter for each would be prepared anew for each length.
fn json_list<'a>(messages: impl IntoIterator<Item = &'a MessageId>) -> Result<String, ControlError> {
    to_json("a list of message ids", &messages.into_iter().map(MessageId::as_str).collect::<Vec<_>>())
}

/// A stored message.
#[derive(sqlx::FromRow)]
struct Row {
    message_id: String,
    campaign_id: String,
    experiment_id: String,
    variant: Option<String>,
    contact_key: i64,
    market: Option<String>,
    recommendation_id: Option<String>,
    state: String,
    worker: String,
    claimed_at: i64,
    settled_at: Option<i64>,
    reply: Option<String>,
}

impl Row {
    fn read(self) -> Result<LedgerRow, ControlError> {
        let variant = |text: &str| parsed("a variant's name", text, VariantName::new);
        let recommendation = |text: &str| parsed("a recommendation's id", text, RecommendationId::new);
        Ok(LedgerRow {
            message_id: parsed("a message's id", &self.message_id, MessageId::new)?,
            campaign_id: parsed("a campaign's id", &self.campaign_id, CampaignId::new)?,
            experiment_id: parsed("an experiment's id", &self.experiment_id, ExperimentId::new)?,
            variant: self.variant.as_deref().map(variant).transpose()?,
            contact: contact_key(self.contact_key)?,
            market: self.market,
            recommendation_id: self.recommendation_id.as_deref().map(recommendation).transpose()?,
            state: read_state(&self.state)?,
            worker: self.worker,
            claimed_at: time(self.claimed_at)?,
            settled_at: self.settled_at.map(time).transpose()?,
            reply: self.reply,
        })
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
