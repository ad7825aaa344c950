//! Takes borrowed events by copying them: stands in for the sink of the log until that takes them as they are.

use std::marker::PhantomData;

use vocabulary::{
    Body, BodyRef, CampaignId, Context, ContextRef, Event, EventId, EventRef, ExperimentId, LabelError, MessageId, OrderId,
    Provider, RecommendationId, VariantName,
};

use crate::{Appended, Lake, LakeError};

/// The sink of an open group.
pub struct Rows<'a> {
    events: Vec<Event>,
    open: PhantomData<&'a mut ()>,
}

impl Rows<'_> {
    /// Adds an event. Positions in [`Appended::duplicates`] count these calls.
    pub fn push(&mut self, event: EventRef<'_>) {
        self.events.push(owned(event).expect("the texts were checked"));
    }
}

impl Lake {
    /// Calls `fill` with the sink of an open group; what it pushes is made durable together with the events of other callers.
    ///
    /// # Errors
    /// As [`Lake::append`], and [`LakeError::Busy`].
    pub async fn append_with(&self, fill: impl FnOnce(&mut Rows<'_>)) -> Result<Appended, LakeError> {
        let mut rows = Rows { events: Vec::new(), open: PhantomData };
        fill(&mut rows);
        self.append(rows.events).await
    }
}

fn owned(event: EventRef<'_>) -> Result<Event, LabelError> {
    let EventRef { id, time, received_at, contact, time_doubt, context, body } = event;
    let ContextRef { message_id, campaign_id, experiment_id, variant, channel, market, provider, recommendation_id } = context;
    let context = Context {
        message_id: message_id.map(MessageId::new).transpose()?,
        campaign_id: campaign_id.map(CampaignId::new).transpose()?,
        experiment_id: experiment_id.map(ExperimentId::new).transpose()?,
        variant: variant.map(VariantName::new).transpose()?,
        channel,
        market: market.map(str::to_owned),
        provider: provider.map(Provider::new).transpose()?,
        recommendation_id: recommendation_id.map(RecommendationId::new).transpose()?,
    };
    let text = |text: Option<&str>| text.map(str::to_owned);
    let body = match body {
        BodyRef::Assignment { planned_at, propensity } => Body::Assignment { planned_at, propensity },
        BodyRef::Message { class, cost } => Body::Message { class, cost },
        BodyRef::Delivery { status, reply } => Body::Delivery { status, reply: text(reply) },
        BodyRef::Open { machine, user_agent } => Body::Open { machine, user_agent: text(user_agent) },
        BodyRef::Click { url, machine, user_agent } => Body::Click { url: text(url), machine, user_agent: text(user_agent) },
        BodyRef::Order { order_id, amount, refund_of } => {
            Body::Order { order_id: OrderId::new(order_id)?, amount, refund_of: refund_of.map(OrderId::new).transpose()? }
        }
        BodyRef::Feedback { kind, text: words } => Body::Feedback { kind, text: text(words) },
    };
    Ok(Event { id: EventId::new(id)?, time, received_at, contact, time_doubt, context, body })
}
