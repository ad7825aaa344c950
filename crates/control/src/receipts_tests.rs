//! Receipts find their message whichever comes first, and what is never known is counted.

use super::*;
use crate::testing::{World, at, claims, message_id, sending_campaign};
use crate::{Settled, Settlement};

fn receipt(id: &str, status: DeliveryStatus) -> Receipt {
    Receipt { gateway: "main".into(), provider_id: id.into(), status, reply: "DELIVRD".into(), at: at(20) }
}

/// Claims the messages m1, m2 and so on, and settles each with the provider's id that is given for it.
async fn settle(control: &Control, given: &[(i64, &str)]) {
    let campaign = crate::testing::campaign_id("c");
    control.claim(&campaign, "w", &claims(given.iter().map(|(key, _)| *key)), at(1)).await.unwrap();
    let accepted = |(key, _): &(i64, &str)| Settled {
        message_id: message_id(&format!("m{key}")),
        outcome: Settlement::Accepted,
        variant: None,
        recommendation_id: None,
        is_fallback: false,
        reply: None,
        at: at(9),
    };
    let id = |(key, id): &(i64, &str)| GivenId {
        gateway: "main".into(),
        provider_id: (*id).into(),
        message_id: message_id(&format!("m{key}")),
    };
    let settled: Vec<Settled> = given.iter().map(accepted).collect();
    let given: Vec<GivenId> = given.iter().map(id).collect();
    control.settle_noting(&settled, &given).await.unwrap();
}

async fn placed(control: &Control, id: &str) -> Option<PlacedReceipt> {
    control.sort_receipts(vec![receipt(id, DeliveryStatus::Delivered)]).await.unwrap().placed.pop()
}

#[tokio::test]
async fn a_receipt_finds_its_message_by_gateway_and_id() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 10, 0)]).await;
    settle(&control, &[(1, "p1"), (2, "p2")]).await;
    let asked = ["none", "p2", "p1"].map(|id| receipt(id, DeliveryStatus::Bounced));
    let SortedReceipts { placed, unplaced } = control.sort_receipts(asked.to_vec()).await.unwrap();
    assert_eq!(unplaced, [asked[0].clone()]);
    let told: Vec<_> = placed.iter().map(|one| (one.receipt.provider_id.as_str(), one.contact.as_i64())).collect();
    assert_eq!(told, [("p2", 2), ("p1", 1)]);
    let event = placed[0].event();
    assert_eq!(event.id.as_str(), "receipt:m2:bounced");
    let context = &event.context;
    assert_eq!(context.campaign_id.as_ref().map(CampaignId::as_str), Some("c"));
    assert_eq!((context.variant.as_ref().map(VariantName::as_str), context.market.as_deref()), (Some("a"), Some("DE")));
    assert_eq!((context.channel, context.provider.as_ref().map(Provider::as_str)), (Some(Channel::Email), Some("main")));
    let other = Receipt { gateway: "other".into(), ..receipt("p1", DeliveryStatus::Delivered) };
    assert_eq!(control.sort_receipts(vec![other.clone()]).await.unwrap().unplaced, [other], "ids are a gateway's own");
}

#[tokio::test]
async fn a_receipt_that_comes_first_waits_for_its_message_and_one_of_nobodys_is_counted() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 10, 0)]).await;
    let early = [receipt("p1", DeliveryStatus::Delivered), receipt("nobody's", DeliveryStatus::Bounced)];
    control.keep_receipts(&early).await.unwrap();
    control.keep_receipts(&early).await.unwrap();
    assert_eq!(control.ripe_receipts().await.unwrap(), []);
    settle(&control, &[(1, "p1")]).await;
    assert_eq!(control.ripe_receipts().await.unwrap(), early[..1]);
    control.drop_receipts(&early[..1]).await.unwrap();
    assert_eq!(control.ripe_receipts().await.unwrap(), []);
    let counts = async || {
        let counts = control.receipt_counts().await.unwrap();
        counts.into_iter().map(|row| (row.gateway, row.waiting, row.unknown)).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, [("main".to_owned(), 1, 0)]);
    world.clock.set(at(20 + WAITING_MINUTES * 60));
    assert_eq!(control.give_receipts_up().await.unwrap(), 0, "its hour is not over");
    world.clock.set(at(21 + WAITING_MINUTES * 60));
    assert_eq!(control.give_receipts_up().await.unwrap(), 1);
    assert_eq!(counts().await, [("main".to_owned(), 0, 1)]);
    let long = receipt(&"p".repeat(PROVIDER_ID_BYTES_MAX + 1), DeliveryStatus::Delivered);
    control.keep_receipts(&[long]).await.unwrap();
    assert_eq!(counts().await, [("main".to_owned(), 0, 2)]);
}

#[tokio::test]
async fn ids_are_forgotten_after_two_weeks_and_with_the_person() {
    let world = World::new();
    let control = world.open().await;
    sending_campaign(&control, &[(0, 10, 0)]).await;
    settle(&control, &[(1, "p1"), (2, "p2")]).await;
    let first = ContactKey::from_i64(1).unwrap();
    control.forget_messages(&[first]).await.unwrap();
    assert!(placed(&control, "p1").await.is_none() && placed(&control, "p2").await.is_some());
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM given_ids").fetch_one(&mut *control.reader().await).await.unwrap();
    assert_eq!(rows, 1);
    world.clock.set(at(KNOWN_DAYS * 86_400));
    settle(&control, &[(3, "p3")]).await;
    assert!(placed(&control, "p2").await.is_some(), "not a second early");
    world.clock.set(at(1 + KNOWN_DAYS * 86_400));
    settle(&control, &[(4, "p2"), (5, "p5")]).await;
    assert_eq!(placed(&control, "p2").await.unwrap().contact.as_i64(), 4, "an id that is given again means the newer message");
    world.clock.set(at(2 + 2 * KNOWN_DAYS * 86_400));
    settle(&control, &[(6, "p6")]).await;
    assert!(placed(&control, "p3").await.is_none() && placed(&control, "p6").await.is_some());
}
