//! A campaign as people write it: to whom, when, which content.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{CampaignId, Channel, CouponPool, ExperimentId, MessageClass, SendHour, Slot, Variant};

/// The attribute by which a contact says by which channel they want to be written to, such as `sms`.
pub const PREFERRED_CHANNEL: &str = "preferred_channel";

/// One campaign: compiled by the planner into a plan, sent by the senders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its id.
    pub campaign: CampaignId,
    /// The experiment whose variants it sends.
    pub experiment: ExperimentId,
    /// Whether each recipient gets a variant of their own or all get the recommended one.
    #[serde(default)]
    pub mode: Mode,
    /// A query that gives `contact_key`; the experiment's audience, else everybody, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The segment it goes to, as it is when the plan is made; instead of `audience`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Whether it goes to whom triggers name, whenever they do, and not to an audience. It runs until `ends`, or for ever.
    #[serde(default, skip_serializing_if = "is_false")]
    pub triggered: bool,
    /// The share of the audience that is mailed, chosen by hash, more than 0 and at most 1.
    #[serde(default = "share_default")]
    pub share: f64,
    /// The sender's mailbox, such as `Shop <news@shop.example>`; e-mail alone has one.
    #[serde(default)]
    pub from: String,
    /// What kind of message it is.
    #[serde(default = "class_default")]
    pub class: MessageClass,
    /// The channel, where there is one.
    #[serde(default = "channel_default")]
    pub channel: Channel,
    /// Several channels instead: each contact gets their message by one of them, the one they prefer ([`PREFERRED_CHANNEL`]) first, then in
    /// this order the first by which they can be reached and may be written to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// Nothing leaves before; at once where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The hour in the recipient's own time zone, 0 to 23 or `learned`, where the variant names none; at once where absent. Beside a
    /// variant's `learned` it is the hour of those of whom nothing was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_hour: Option<SendHour>,
    /// Nothing leaves from this moment on, such as the end of a sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// The days and hours by the recipient's own clock at which it may leave, such as `mon-fri 09:00-20:00`. What laws and
    /// customs ask holds beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// What handing one message over costs, in the base currency's major unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What web analytics read from the links of a mail, in its HTML and its text part; they are left as they are where absent. Text
    /// messages get none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utm: Option<Utm>,
    /// Whether HTML parts hold a link that no person sees, which tells of scanners that follow every link.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trap_link: bool,
    /// The pool that `{{ coupon }}` is drawn from: each message gets a code that no other message gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon_pool: Option<CouponPool>,
    /// The pools of copies that draw from another one, by the copy's name, such as ten percent off in one and twenty in another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub coupon_pools: BTreeMap<String, CouponPool>,
    /// Lists of products by the name that templates know below `slots`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, Slot>,
    /// The content by the name that variants give in `copy`.
    pub content: BTreeMap<String, Copy>,
}

/// The `utm_` fields that links get, unless the author wrote the same field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Utm {
    /// `utm_source`: who sends; `sendlab` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `utm_medium`; the channel where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// `utm_campaign`; the campaign's id where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// `utm_content`; the variant's name where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// `utm_term`; none where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
}

impl Campaign {
    /// The channels by which it goes, in their order.
    #[must_use]
    pub fn chain(&self) -> &[Channel] {
        if self.channels.is_empty() { std::slice::from_ref(&self.channel) } else { &self.channels }
    }

    /// The channels by which messages of a variant may go: its own, else all of the campaign's.
    #[must_use]
    pub fn chain_of<'a>(&'a self, variant: &'a Variant) -> &'a [Channel] {
        variant.channel.as_ref().map_or_else(|| self.chain(), std::slice::from_ref)
    }

    /// The same as [`Self::chain`] for a contact who prefers one of them.
    pub fn chain_for(&self, prefers: Option<Channel>) -> impl Iterator<Item = Channel> + '_ {
        let first = prefers.filter(|prefers| self.chain().contains(prefers));
        first.into_iter().chain(self.chain().iter().copied().filter(move |channel| Some(*channel) != first))
    }

    /// The `utm_` fields of the links of a variant, by name; none where the campaign wants none.
    #[must_use]
    pub fn utm_of(&self, variant: &str) -> Vec<(&'static str, String)> {
        let Some(utm) = &self.utm else { return Vec::new() };
        let or = |given: &Option<String>, otherwise: &str| given.clone().unwrap_or_else(|| otherwise.to_owned());
        let fields = [
            ("utm_source", or(&utm.source, "sendlab")),
            // Only e-mail has links of this kind.
            ("utm_medium", or(&utm.medium, Channel::Email.as_str())),
            ("utm_campaign", or(&utm.campaign, self.campaign.as_str())),
            ("utm_content", or(&utm.content, variant)),
            ("utm_term", or(&utm.term, "")),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The pool that a copy's coupons are drawn from, if one is named.
    #[must_use]
    pub fn pool_of(&self, copy: &str) -> Option<&CouponPool> {
        self.coupon_pools.get(copy).or(self.coupon_pool.as_ref())
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn share_default() -> f64 {
    1.0
}

fn class_default() -> MessageClass {
    MessageClass::Marketing
}

fn channel_default() -> Channel {
    Channel::Email
}

/// What one message says, as `MiniJinja` templates: in one language, and in others where there are translations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The subject line; e-mail alone has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The HTML part of an e-mail; MJML where it begins with `<mjml>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub html: String,
    /// The text part of an e-mail, made from the HTML where it is absent; all there is of a text message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The BCP 47 language these parts are written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What readers of other languages get, by BCP 47 tag, such as `zh-Hant` or `pt-BR`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<String, Translation>,
    /// What happens when a contact lacks something that a template asks for.
    #[serde(default, skip_serializing_if = "is_fail")]
    pub missing: Missing,
    /// What is written in the place of a name that a contact lacks, such as `contact.attributes.first_name: there`; for
    /// `missing: fallback`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, String>,
}

/// A copy in another language. A part that is absent is the one of the next less specific tag of the same language, such as
/// `zh-Hant` for `zh-Hant-HK`; parts are never mixed over languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// The subject line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The HTML part.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub html: String,
    /// The text part.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What is written in the place of a name that a contact lacks, before [`Copy::defaults`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, String>,
}

fn is_fail(missing: &Missing) -> bool {
    *missing == Missing::Fail
}

words!(
    /// What happens when a contact lacks something that a template asks for without `| default`.
    #[derive(Default)]
    Missing {
        /// The message counts as refused, and says why.
        #[default]
        Fail = "fail",
        /// The message is left out, and says why.
        Skip = "skip",
        /// What `defaults` says is written; without an entry there it is as `fail`.
        Fallback = "fallback",
    }
);

words!(
    /// How a campaign chooses the variant of a recipient.
    #[derive(Default)]
    Mode {
        /// Each recipient is assigned a variant by hash: the experiment.
        #[default]
        Test = "test",
        /// Each recipient gets the variant that is recommended at the moment of handing over.
        Recommended = "recommended",
    }
);
