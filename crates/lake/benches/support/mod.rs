//! Events that benches tell.

use vocabulary::{Body, ContactKey, Context, Currency, Event, EventId, Money, OrderId, Timestamp};

/// The first moment that events happen at, in seconds since 1970.
pub(crate) const BEGIN: i64 = 1_767_225_600;

/// Order number `number`, of a contact that follows from it.
pub(crate) fn order(number: u64, time: Timestamp) -> Event {
    let amount = Money { minor: 1_250, currency: Currency::new("EUR").expect("known") };
    Event {
        id: EventId::new(&format!("event-{number:020}")).expect("printable"),
        time,
        received_at: time,
        contact: ContactKey::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        time_doubt: None,
        context: Context::default(),
        body: Body::Order { order_id: OrderId::new(&format!("order-{number}")).expect("printable"), amount, refund_of: None },
    }
}
