//! The mail server refuses the only recipient and asks for the content all the same, as some do: a lone dot ends it, and nothing
//! of the message is shown to a server that nobody is behind (RFC 2920, section 3.1).

use simulator::sink::Fault;

use crate::support::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_nobody_gets_is_not_sent() {
    let faults = [Fault::RefuseRecipient("gone".into()), Fault::TakeDataWithoutRecipients];
    let shop = Shop::troubled(&faults).await;
    shop.mailing(&["anna", "gone", "bruno"]).await;
    assert_eq!(shop.end_of_mailing().await, [2, 1, 0, 0]);
    assert_eq!(shop.recipients(), ["anna@example.test", "bruno@example.test"]);
    let rows = shop.ledger(&["gone"]).await;
    assert!(rows[0].0 == "refused" && rows[0].1.starts_with("550"), "{rows:?}");
    shop.server.stop().await.unwrap();
}
