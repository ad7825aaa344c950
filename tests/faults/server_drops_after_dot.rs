//! The connection breaks after the final dot, before a reply: the server may have the message or not. It is in doubt, a number that
//! everybody sees, and is not sent again.

use simulator::sink::Fault;

use crate::support::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_reply_is_in_doubt_and_not_sent_again() {
    let shop = Shop::troubled(&[Fault::DropAfterDot("unsure".into())]).await;
    shop.mailing(&["anna", "unsure", "bruno"]).await;
    assert_eq!(shop.end_of_mailing().await, [2, 0, 1, 0]);
    // This one did arrive; nobody could know.
    assert_eq!(shop.recipients(), ["anna@example.test", "bruno@example.test", "unsure@example.test"]);
    let rows = shop.ledger(&["unsure"]).await;
    assert!(rows[0].0 == "in_doubt" && !rows[0].1.is_empty(), "{rows:?}");
    assert_eq!((shop.deliveries("accepted").await, shop.deliveries("in_doubt").await), (2, 1));

    let shop = shop.reopen().await;
    assert_eq!(shop.end_of_mailing().await, [2, 0, 1, 0]);
    assert_eq!(shop.recipients().len(), 3, "a restart does not try again");
    shop.server.stop().await.unwrap();
}
