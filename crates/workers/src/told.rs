//! What senders tell the lake of a campaign's messages.

use control::{LedgerRow, Settlement};
use jiff::Timestamp;
use vocabulary::{Body, Channel, Context, DeliveryStatus, Event, EventId, MessageId, Money, Provider};

use crate::claim::{Job, Outgoing};

/// That nobody knows what became of a message.
pub(crate) fn doubt(row: &LedgerRow, why: &str, now: Timestamp) -> Event {
    Event {
        id: delivery_event(&row.message_id, DeliveryStatus::InDoubt),
        time: now,
        received_at: now,
        contact: row.contact,
        time_doubt: None,
        context: Context {
            message_id: Some(row.message_id.clone()),
            campaign_id: Some(row.campaign_id.clone()),
            experiment_id: Some(row.experiment_id.clone()),
            variant: row.variant.clone(),
            market: row.market.clone(),
            recommendation_id: row.recommendation_id.clone(),
            ..Context::default()
        },
        body: Body::Delivery { status: DeliveryStatus::InDoubt, reply: Some(why.to_owned()) },
    }
}

pub(crate) fn delivery_event(message: &MessageId, status: DeliveryStatus) -> EventId {
    EventId::new(&format!("delivery:{message}:{status}")).expect("a message id and a word fit into an event id")
}

/// How a message was handed over.
pub(crate) struct Handed<'a> {
    pub(crate) outcome: Settlement,
    pub(crate) reply: &'a str,
    pub(crate) provider: Option<Provider>,
    pub(crate) cost: Option<Money>,
}

/// Who a message of a channel is handed to, where no gateway has a name.
fn provider(channel: Channel) -> Option<Provider> {
    Provider::new(if channel == Channel::Email { "smtp" } else { channel.as_str() }).ok()
}

/// What a message belongs to.
fn context(job: &Job, out: &Outgoing, provider: Option<Provider>) -> Context {
    let (variant, recommendation_id) = out.variant_and_recommendation();
    Context {
        message_id: Some(out.message_id.clone()),
        campaign_id: Some(job.campaign.campaign.clone()),
        experiment_id: Some(job.experiment.experiment.clone()),
        variant,
        channel: Some(out.channel),
        market: out.recipient.contact.profile.market().map(str::to_owned),
        provider,
        recommendation_id,
    }
}

/// That a message was made and would have been handed over.
pub(crate) fn held_out_event(job: &Job, out: &Outgoing, at: Timestamp) -> Event {
    Event {
        id: delivery_event(&out.message_id, DeliveryStatus::HeldOut),
        time: at,
        received_at: at,
        contact: out.recipient.contact.key,
        time_doubt: None,
        context: context(job, out, None),
        body: Body::Delivery { status: DeliveryStatus::HeldOut, reply: None },
    }
}

/// The events of one settled message: that it was handed over, and how that ended.
pub(crate) fn hand_over_events(job: &Job, out: &Outgoing, handed: &Handed<'_>, at: Timestamp) -> Vec<Event> {
    let context = context(job, out, handed.provider.clone().or_else(|| provider(out.channel)));
    let status = match handed.outcome {
        Settlement::Accepted => DeliveryStatus::Accepted,
        Settlement::InDoubt => DeliveryStatus::InDoubt,
        Settlement::Refused | Settlement::Skipped => DeliveryStatus::Refused,
    };
    let id = EventId::new(&format!("message:{}", out.message_id)).expect("a message id fits into an event id");
    let event = |id, body| Event {
        id,
        time: at,
        received_at: at,
        contact: out.recipient.contact.key,
        time_doubt: None,
        context: context.clone(),
        body,
    };
    let delivery = Body::Delivery { status, reply: Some(handed.reply.to_owned()) };
    let mut events = vec![event(delivery_event(&out.message_id, status), delivery)];
    if out.sent.is_some() {
        events.push(event(id, Body::Message { class: job.campaign.class, cost: handed.cost.or(job.cost) }));
    }
    events
}
