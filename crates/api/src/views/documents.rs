//! Mirrors of the written forms that other crates own, for the OpenAPI document.
//!
//! The real values are what is sent; a test reads them into these types and back and compares, so that a change of
//! either side that the other does not follow is found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timing::{SendHourDocument, WeekdayDocument};

/// Makes an enum of words for the document.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident as $schema:ident { $($(#[$vdoc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = $schema)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }
    };
}

pub(super) use words;

/// Makes a struct that refuses fields it does not know when it is read.
macro_rules! document {
    ($(#[$doc:meta])* $name:ident as $schema:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(as = $schema)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)+ }
    };
}

pub(super) use document;

words!(
    /// What a key may do.
    ScopeDocument as Scope {
        /// Tell events.
        Collect,
        /// Read experiments, readouts, campaigns and SQL.
        Read,
        /// Change contacts, experiments, campaigns and keys.
        Manage,
        /// Read what a sender needs.
        Send,
    }
);
words!(
    /// Where a campaign stands.
    CampaignStateDocument as CampaignState {
        /// Written, not started.
        Draft,
        /// Its plan is being made.
        Planning,
        /// Its messages are handed over when due.
        Sending,
        /// Nothing is handed over for now.
        Paused,
        /// Everything was handed over.
        Done,
        /// It could not be planned or sent.
        Failed,
        /// Ended for good: what had not left does not leave any more.
        Cancelled,
    }
);
words!(
    /// What can differ between variants.
    FactorDocument as Factor {
        /// Subject, text, pictures, offer.
        Copy,
        /// The day of the week and the hour.
        Timing,
        /// The way to reach the person.
        Channel,
        /// The gateway for text messages.
        Provider,
    }
);
words!(
    /// A way to reach a person.
    ChannelDocument as Channel {
        /// E-mail.
        Email,
        /// Short message.
        Sms,
        /// WhatsApp.
        Whatsapp,
        /// WeChat.
        Wechat,
        /// App or web push.
        Push,
    }
);
words!(
    /// What happens when a contact lacks something that a template asks for.
    MissingDocument as Missing {
        /// The message counts as refused.
        Fail,
        /// The message is left out.
        Skip,
        /// What `defaults` says is written.
        Fallback,
    }
);
words!(
    /// The events a metric can count.
    OutcomeDocument as Outcome {
        /// Deliveries: a server took the message, or it arrived. One that comes back later is a bounce as well.
        Delivery,
        /// Messages that no server would have, or that came back.
        Bounce,
        /// Opens.
        Open,
        /// Clicks.
        Click,
        /// Orders.
        Order,
        /// Answers.
        Reply,
        /// Unsubscribes.
        Unsubscribe,
        /// Spam complaints.
        Complaint,
    }
);
words!(
    /// What is made of a recipient's events.
    MeasureDocument as Measure {
        /// 1 if there was at least one, else 0.
        Occurred,
        /// How many.
        Count,
        /// Their sum of money in the base currency; orders only.
        Amount,
        /// The margin of that sum less the messages sent, and less what an unsubscription and a complaint cost, each once; orders only.
        Profit,
        /// Within how many hours the first came, in steps: 1, 2, 4, 8, 12, 24, then whole days; the whole window where none came.
        HoursToFirst,
    }
);
words!(
    /// How a campaign chooses the variant of a recipient.
    ModeDocument as Mode {
        /// Each recipient is assigned a variant by hash.
        Test,
        /// Each recipient gets the variant recommended at the moment of handing over.
        Recommended,
    }
);
words!(
    /// The lanes of sending.
    MessageClassDocument as MessageClass {
        /// One-time codes.
        Verification,
        /// Order and account mail.
        Transactional,
        /// Everything else.
        Marketing,
    }
);

document!(
    /// One arm.
    VariantDocument as Variant {
        /// Its name.
        name: String,
        /// Its share, relative to the other weights; 1 where absent.
        #[schema(required = false)]
        weight: u32,
        /// The name of the campaign's content it uses; the variant's own name where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<String>,
        /// The hour of sending in the recipient's own time zone, 0 to 23 or `learned`; the campaign's where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        send_hour: Option<SendHourDocument>,
        /// The channel, one of the campaign's; whichever of those it is for the contact where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<ChannelDocument>,
        /// The day by the recipient's own clock: it leaves on the next such day, at the hour that holds for the variant, else at the first
        /// moment of that day; today where today is that day and the hour has not passed. What rules put off may leave on another day.
        /// Any day where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        send_day: Option<WeekdayDocument>,
        /// The gateway for text messages by which it leaves, and by no other: where that does not take it, it is not sent. Whichever takes
        /// its class and country where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
        /// Whether it is the holdout: everything is done for its recipients but handing the message over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holdout: Option<bool>,
    }
);
document!(
    /// What profit is made of. Amounts are in the base currency's major unit; all have at most six decimals.
    CostsDocument as Costs {
        /// The share of what was paid that is left after goods and fulfilment, more than 0 and at most 1.
        margin: f64,
        /// What handing one message over costs; 0 where absent.
        #[schema(required = false)]
        message: f64,
        /// What a recipient is worth who unsubscribes; 0 where absent.
        #[schema(required = false)]
        unsubscribe: f64,
        /// What a recipient costs who complains, beyond an unsubscription; 0 where absent.
        #[schema(required = false)]
        complaint: f64,
    }
);
document!(
    /// One number per intended recipient.
    MetricDocument as Metric {
        /// Its name.
        name: String,
        /// What is looked at.
        outcome: OutcomeDocument,
        /// What is made of it.
        measure: MeasureDocument,
        /// Whether less is better; `false` where absent.
        #[schema(required = false)]
        lower_is_better: bool,
        /// Whether machine opens and clicks are left out; `true` where absent.
        #[schema(required = false)]
        human_only: bool,
        /// What profit is made of; for `profit`, and only for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        costs: Option<CostsDocument>,
        /// What a recipient counts at most, on either side of zero, in the metric's unit; for counts, amounts and profit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cap: Option<f64>,
        /// The name of the metric whose sum its own is divided by: a ratio of sums, such as revenue per order. Per intended recipient
        /// where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per: Option<String>,
        /// Outcomes count for so many hours, where that is shorter than the experiment's window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window_hours: Option<u32>,
        /// What its numbers are in, such as `EUR`, for people; for counts, amounts and profit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        /// Who answers for it, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    }
);
document!(
    /// A metric that must not get worse than `margin`.
    GuardrailDocument as Guardrail {
        /// The name of one of `metrics`.
        metric: String,
        /// How much worse, relative to control, is still tolerated: 0.1 is 10 %.
        margin: f64,
    }
);
words!(
    /// What is known of a contact before an experiment.
    CovariateDocument as Covariate {
        /// What they spent less what was paid back to them, in the base currency; its logarithm is compared.
        Revenue,
        /// How often they ordered; its logarithm.
        Orders,
        /// How often they clicked themselves; its logarithm.
        Clicks,
        /// How often they opened themselves; its logarithm.
        Opens,
        /// For how many days they have been known.
        Tenure,
        /// Where they are.
        Country,
    }
);
document!(
    /// What the groups of an experiment are to agree in: its first plan draws the assignment anew until they do.
    BalanceDocument as Balance {
        /// What is compared, over all who are sent something.
        covariates: Vec<CovariateDocument>,
        /// What contacts did in so many days before the plan counts, 1 to 366; 90 where absent.
        #[schema(required = false)]
        days: u32,
        /// The share of all assignments that is balanced enough, 0.01 to 0.5; 0.1 where absent.
        #[schema(required = false)]
        acceptance: f64,
    }
);
document!(
    /// How far groups differ in a covariate: the largest difference between two variants' means, in standard deviations.
    CovariateBalanceDocument as CovariateBalance {
        /// The covariate; of countries each by itself.
        covariate: String,
        /// In draw 0.
        first: f64,
        /// In the draw that counts.
        chosen: f64,
    }
);
document!(
    /// The draw of an experiment's assignment, and how it was found. It is never changed.
    BalancedDocument as Balanced {
        /// Its number; 0 is the draw of experiments that are not balanced.
        draw: u32,
        /// How many draws were looked at; 0 where a triggered campaign was the first, whose contacts nobody knows before.
        draws: u32,
        /// Whether its groups agree as well as was asked for; else they agree best of all draws that were looked at.
        accepted: bool,
        /// The largest distance that is accepted.
        threshold: f64,
        /// The Mahalanobis distance of its groups; `null` where a variant had nobody in any draw.
        #[schema(required = true)]
        distance: Option<f64>,
        /// That of draw 0.
        #[schema(required = true)]
        first_distance: Option<f64>,
        /// The contacts whose groups were compared.
        contacts: u64,
        /// What was compared.
        covariates: Vec<CovariateBalanceDocument>,
        /// The campaign whose plan decided.
        campaign: String,
        /// When.
        #[schema(format = DateTime)]
        at: String,
    }
);
document!(
    /// How a variant that is shipped goes to everybody: to a part of those who follow first, and on as long as no harm is shown.
    RolloutDocument as Rollout {
        /// The share of each step in percent of those who follow, the others get control: rising, 100 last; 5, 25, 50 and 100 where absent.
        #[schema(required = false)]
        steps: Vec<u8>,
        /// How many hours a step lasts at least, 1 to 720; 24 where absent.
        #[schema(required = false)]
        hours: u32,
    }
);
document!(
    /// An experiment. YAML is read too.
    ExperimentDocument as Experiment {
        /// Its id, also the salt of its assignment.
        experiment: String,
        /// What it asks, in a sentence.
        #[schema(required = false)]
        question: String,
        /// What differs between the variants.
        factors: Vec<FactorDocument>,
        /// At least two.
        variants: Vec<VariantDocument>,
        /// The variant the others are compared with; the first where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        control: Option<String>,
        /// The metric the winner is picked by.
        primary: String,
        /// What is measured, per intended recipient. Where an experiment is told, the name of a built-in metric can stand for it: `delivered`,
        /// `bounced`, `opened`, `clicked`, `replied`, `ordered`, `orders`, `revenue`, `unsubscribed`, `complained` or `time_to_open`.
        metrics: Vec<MetricDocument>,
        /// What must not get worse.
        #[schema(required = false)]
        guardrails: Vec<GuardrailDocument>,
        /// Outcomes count from the planned hour of sending for so many hours; 168 where absent.
        #[schema(required = false)]
        window_hours: u32,
        /// A query that gives `contact_key`: who may take part. Everybody where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// The share of false alarms accepted over all comparisons together; 0.05 where absent.
        #[schema(required = false)]
        alpha: f64,
        /// What its groups are to agree in before anything is sent; they are as chance makes them where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        balance: Option<BalanceDocument>,
        /// By what it is found in the learning library, such as `scarcity` or `double-eleven`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// How a variant that is shipped goes to everybody in steps; at once where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<RolloutDocument>,
        /// How those who follow its recommendation are dealt its variants while it is learnt which is best; they get control until it is
        /// decided where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bandit: Option<super::bandits::BanditDocument>,
        /// When a second person must approve what is decided; never where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<super::proposals::ApprovalDocument>,
        /// The part of a layer it has to itself: nobody is in two experiments of one layer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layer: Option<super::breakdowns::LayerDocument>,
        /// What recipients did before their message is taken out of the numbers that decide; they are as they are where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cuped: Option<super::series::CupedDocument>,
        /// When a look may decide before windows are over; never where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        early: Option<super::series::EarlyDocument>,
    }
);
document!(
    /// What one message says, as MiniJinja templates: in one language, and in others where there are translations.
    CopyDocument as Copy {
        /// The subject line; e-mail alone has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// The HTML part of an e-mail; MJML where it begins with `<mjml>`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<String>,
        /// The text part of an e-mail, made from the HTML where it is absent; all there is of a text message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The BCP 47 language these parts are written in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
        /// What readers of other languages get, by BCP 47 tag, such as `zh-Hant` or `pt-BR`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locales: Option<BTreeMap<String, TranslationDocument>>,
        /// What happens when a contact lacks something that a template asks for; `fail` where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<MissingDocument>,
        /// What is written in the place of a name that a contact lacks, such as `contact.attributes.first_name: there`; for
        /// `missing: fallback`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        defaults: Option<BTreeMap<String, String>>,
    }
);
document!(
    /// A copy in another language. A part that is absent is the one of the next less specific tag of the same language.
    TranslationDocument as Translation {
        /// The subject line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// The HTML part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<String>,
        /// The text part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// What is written in the place of a name that a contact lacks, before those of the copy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        defaults: Option<BTreeMap<String, String>>,
    }
);
document!(
    /// The `utm_` fields that links get, unless the author wrote the same field.
    UtmDocument as Utm {
        /// `utm_source`: who sends; `sendlab` where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// `utm_medium`; the channel where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        medium: Option<String>,
        /// `utm_campaign`; the campaign's id where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        campaign: Option<String>,
        /// `utm_content`; the variant's name where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// `utm_term`; none where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term: Option<String>,
    }
);
document!(
    /// A list of products in the messages of a campaign: the contact's own first, then the same for everybody, none twice.
    SlotDocument as Slot {
        /// `last_viewed`, `last_carted`, `abandoned` or `last_ordered`; or a query that gives `contact_key`, `product` and `position`,
        /// of which the least is first.
        query: String,
        /// The most products it shows, 1 to 12; 3 where absent.
        #[schema(required = false)]
        limit: u32,
        /// The products by which it is filled up where the contact has fewer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback: Option<Vec<String>>,
    }
);
document!(
    /// A product as messages show it. Its price is told by `PUT /v1/prices`.
    ProductDocument as Product {
        /// Your own id of it, as in events of the kind `activity`.
        product: String,
        /// What it is called.
        title: String,
        /// Where it is bought.
        url: String,
        /// Where its picture is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
        /// What readers of other languages are shown, by BCP 47 tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locales: Option<BTreeMap<String, ProductTranslationDocument>>,
    }
);
document!(
    /// A product in another language. What is absent is the product's own.
    ProductTranslationDocument as ProductTranslation {
        /// What it is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Where it is bought.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        /// Where its picture is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
    }
);
document!(
    /// A piece of template that copies take in with `{% include "snippets/NAME" %}`.
    SnippetDocument as Snippet {
        /// Its name: small letters, digits and hyphens.
        snippet: String,
        /// What it says: HTML, or text where texts take it in.
        content: String,
        /// What it says in other languages, by BCP 47 tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locales: Option<BTreeMap<String, String>>,
    }
);
document!(
    /// A campaign. YAML is read too.
    CampaignDocument as Campaign {
        /// Its id.
        campaign: String,
        /// The experiment whose variants it sends.
        experiment: String,
        /// How the variant of a recipient is chosen; `test` where absent.
        #[schema(required = false)]
        mode: ModeDocument,
        /// A query that gives `contact_key`; the experiment's audience, else everybody, where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// The segment it goes to, as it is when the plan is made; instead of `audience`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        segment: Option<String>,
        /// The share of the audience that is mailed, more than 0 and at most 1; 1 where absent.
        #[schema(required = false)]
        share: f64,
        /// The sender's mailbox, such as `Shop <news@shop.example>`; e-mail alone has one.
        #[schema(required = false)]
        from: String,
        /// What kind of message it is; `marketing` where absent.
        #[schema(required = false)]
        class: MessageClassDocument,
        /// The channel, where there is one; `email` where absent.
        #[schema(required = false)]
        channel: ChannelDocument,
        /// Several channels instead: each contact gets their message by one of them, the one they prefer (the attribute
        /// `preferred_channel`) first, then in this order the first by which they can be reached and may be written to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channels: Option<Vec<ChannelDocument>>,
        /// Whether it goes to whom triggers name, whenever they do, and not to an audience.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        triggered: Option<bool>,
        /// Nothing leaves before; at once where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(format = DateTime)]
        start: Option<String>,
        /// The hour in the recipient's own time zone, 0 to 23 or `learned`, where the variant names none; at once where absent. Beside
        /// a variant's `learned` it is the hour of those of whom nothing was learned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        send_hour: Option<SendHourDocument>,
        /// Nothing leaves from this moment on, such as the end of a sale.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(format = DateTime)]
        ends: Option<String>,
        /// The days and hours by the recipient's own clock at which it may leave, such as `mon-fri 09:00-20:00`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<String>,
        /// What handing one message over costs, in the base currency.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<f64>,
        /// What web analytics read from the links of a mail, in its HTML and its text part; they are left as they are where absent.
        /// Text messages get none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        utm: Option<UtmDocument>,
        /// Whether HTML parts hold a link that no person sees, which tells of scanners that follow every link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trap_link: Option<bool>,
        /// The pool that `{{ coupon }}` is drawn from: each message gets a code that no other message gets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        coupon_pool: Option<String>,
        /// The pools of copies that draw from another one, by the copy's name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        #[schema(required = false)]
        coupon_pools: BTreeMap<String, String>,
        /// Lists of products by the name that templates know below `slots`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slots: Option<BTreeMap<String, SlotDocument>>,
        /// The content by the name that variants give in `copy`.
        content: BTreeMap<String, CopyDocument>,
    }
);
