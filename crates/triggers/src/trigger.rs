//! A trigger as people write it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vocabulary::{CampaignId, Currency};

use crate::condition::Condition;
use crate::engine::Engine;
use crate::error::TriggerError;
use crate::fact::{Act, Fact};
use crate::span::Written;
use crate::{check, describe};

/// When something becomes true of a contact, they are sent the messages of a campaign.
///
/// A contact *enters* when the condition becomes true, waits for the delay, and leaves: sent to, held out, or taken out by an act
/// of `exit`. While they wait they cannot enter again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name, such as `welcome-no-order`. The holdout depends on it.
    pub trigger: String,
    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What becomes true.
    pub when: Condition,
    /// How often a contact may enter.
    #[serde(default, skip_serializing_if = "Entry::is_once")]
    pub entry: Entry,
    /// So many minutes after the condition became true the message is due. At most one of the three delays is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_minutes: Option<u32>,
    /// So many hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_hours: Option<u32>,
    /// So many days of 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_days: Option<u32>,
    /// One of these, after the condition became true, takes the contact out again: during the delay, and for as long as a rule
    /// such as a window of hours puts the message off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit: Vec<Act>,
    /// The share of contacts, 0 to 1, who enter but are sent nothing, so that the effect can be measured. Chosen by hash of the
    /// trigger's name and the contact: nobody changes sides, and whoever is in a share is in each larger one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub holdout: f64,
    /// The campaign whose messages are sent.
    pub campaign: CampaignId,
}

/// How often a contact may enter, counted by when the condition became true. An entry that was held out or taken out counts too:
/// whoever ordered during the delay of a `once` trigger has had their one entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// One time, for ever.
    #[default]
    Once,
    /// Again when so many days of 24 hours have passed since the last entry.
    OncePerDays(u32),
    /// Whenever the condition becomes true.
    EachTime,
}

impl Entry {
    fn is_once(&self) -> bool {
        *self == Self::Once
    }
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl Trigger {
    /// Checks it. A trigger that was read is not checked yet. Amounts are in `base`, the currency of [`crate::What::Ordered`].
    ///
    /// # Errors
    /// [`TriggerError`] names the first field that is wrong, and the fix.
    pub fn check(&self, base: Currency) -> Result<(), TriggerError> {
        self.engine(base).map(drop)
    }

    /// Checks it and makes it ready to be evaluated.
    ///
    /// # Errors
    /// As [`Trigger::check`].
    pub fn engine(&self, base: Currency) -> Result<Engine, TriggerError> {
        check::engine(self, base)
    }

    /// When the first of these facts, in any order, takes out a contact for whom the condition became true before it. For entries
    /// whose message is due and was put off.
    #[must_use]
    pub fn exit_after(&self, true_at: Timestamp, facts: &[Fact<'_>]) -> Option<Timestamp> {
        let is_exit = |fact: &&Fact<'_>| fact.at > true_at && fact.what.act().is_some_and(|act| self.exit.contains(&act));
        facts.iter().filter(is_exit).map(|fact| fact.at).min()
    }

    /// The whole trigger as one English sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        describe::describe(self)
    }

    pub(crate) fn delay(&self) -> Written {
        Written { minutes: self.delay_minutes, hours: self.delay_hours, days: self.delay_days }
    }
}
