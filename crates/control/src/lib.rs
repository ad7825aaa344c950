//! What people edit and senders trust: keys, contacts with their sealed addresses, experiments, the current
//! recommendation, campaigns with their leases, and the ledger of what was handed over.
//!
//! Everything is one SQLite file that several processes may share. [`Control`] is the only way in; each noun has a file
//! that adds its methods.
//!
//! *Invariant:* only this crate knows SQL rows. No address is in clear in the file. What was acknowledged is synced to disk.
//!
//! Reading order: `store` (the file and who may write), `keys`, `vault`, `contact_check`, `contact_store`,
//! `contacts`, `consents`, `suppressions`, `permissions`, `known`, `experiments`, `balanced`, `recommendations`, `webhooks`,
//! `segments`, `campaigns`, `edits`, `slices`, `ledger`, `coupons`, `snippets`, `products`, `outbox`, `test_sends`, `receipts`, `warm_ups`, `triggers`, `trigger_states`, `entries`, `decisions` (looks that could decide), `follow_up` (what the loops ask between the nouns), `watcher` (what other processes
//! changed), `copy` and `restored` (for backups).

mod attributes;
mod balanced;
mod bandits;
mod campaigns;
mod consents;
mod contact_check;
mod contact_store;
mod contacts;
mod copy;
mod coupons;
mod days;
mod decisions;
mod edits;
mod entries;
mod erasures;
mod error;
mod experiments;
mod follow_up;
mod held;
mod keys;
mod known;
mod ledger;
mod lessons;
mod looks;
mod outbox;
mod permissions;
mod prices;
mod products;
mod proposals;
mod receipts;
mod recommendations;
mod reindex;
mod restored;
mod rollouts;
mod segments;
mod slices;
mod snippets;
mod store;
mod subscriptions;
mod suppressions;
mod test_sends;
#[cfg(test)]
mod testing;
mod trigger_states;
mod triggers;
mod vault;
mod warm_ups;
mod watcher;
mod webhooks;
mod whom;

pub use attributes::{AttributeRow, AttributeType};
pub use campaigns::{CampaignRow, CampaignState};
pub use consents::{ConsentRow, Evidence, NewConsent};
pub use contact_check::{Addresses, CheckedContact, FieldError, NewContact, address_field};
pub use contact_store::{Duplicates, Upserted};
pub use contacts::RecipientRow;
pub use copy::copy_file;
pub use coupons::{AddedCoupons, CouponPoolRow, DrawnCoupon};
pub use entries::{AddedPlan, EntryRow, PlannedEntries};
pub use erasures::{ERASURE_CONTACTS_MAX, ErasureRow, PendingErasure};
pub use error::ControlError;
pub use follow_up::{OpenTest, PlanInForce};
pub use held::Held;
pub use keys::{KeyInfo, KeyRow, NewKey, Scope};
pub use known::KnownKeys;
pub use ledger::{LedgerRow, LedgerState, NewClaim, Progress, Settled, Settlement};
pub use looks::Look;
pub use outbox::{Enqueued, NewMessage, OutboxCount, OutboxEnd, OutboxRow, OutboxSent, OutboxState, Recipient, Taken, Told};
pub use permissions::{Permission, SentRow};
pub use prices::PriceDrop;
pub use proposals::{Moved, NOTE_BYTES_MAX, Proposal, ProposalState};
pub use receipts::{GivenId, PlacedReceipt, Receipt, ReceiptCount, SortedReceipts};
pub use recommendations::NumberedRecommendation;
pub use restored::mark_restored;
pub use segments::{SegmentRow, SegmentUse};
pub use slices::{Lease, NewSlice};
pub use store::{Control, ControlConfig, change_master_key};
pub use subscriptions::Unsent;
pub use suppressions::{NewSuppression, SuppressionRow};
pub use test_sends::{MadeMessage, NewTest, TestRow};
pub use trigger_states::{Evaluation, FiringRow, StoredState};
pub use triggers::{Cursor, TriggerCounts, TriggerRow};
pub use warm_ups::{Allowance, Granted, WarmUpDay};
pub use webhooks::{DueWebhook, WebhookRow};
