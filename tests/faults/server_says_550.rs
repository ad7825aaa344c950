//! The mail server refuses one recipient of several, or one's content, for good: that one is refused with the server's words, and the
//! others have their mail.

use simulator::sink::Fault;

use crate::support::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_is_refused_with_the_servers_words() {
    let faults = [Fault::RefuseRecipient("gone".into()), Fault::RefuseContent("strict".into())];
    let shop = Shop::troubled(&faults).await;
    shop.mailing(&["anna", "gone", "bruno", "strict", "clara"]).await;
    assert_eq!(shop.end_of_mailing().await, [3, 2, 0, 0]);
    assert_eq!(shop.recipients(), ["anna@example.test", "bruno@example.test", "clara@example.test"]);
    let rows = shop.ledger(&["gone", "strict", "anna"]).await;
    let told = |place: usize, state: &str, words: &str| rows[place].0 == state && rows[place].1.starts_with(words);
    assert!(told(0, "refused", "550") && told(1, "refused", "554") && told(2, "accepted", "250"), "{rows:?}");
    assert_eq!((shop.deliveries("accepted").await, shop.deliveries("refused").await), (3, 2));
    shop.server.stop().await.unwrap();
}
