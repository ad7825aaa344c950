//! The mail server reads a message and never answers: after its time it is in doubt, the others go on over another connection.

use simulator::sink::Fault;

use crate::support::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_keeps_nobody_else_waiting() {
    let shop = Shop::troubled(&[Fault::SilentAfterDot("silent".into())]).await;
    shop.mailing(&["anna", "silent", "bruno", "clara"]).await;
    assert_eq!(shop.end_of_mailing().await, [3, 0, 1, 0]);
    let rows = shop.ledger(&["silent", "clara"]).await;
    assert_eq!((rows[0].0.as_str(), rows[1].0.as_str()), ("in_doubt", "accepted"), "{rows:?}");
    assert_eq!((shop.deliveries("accepted").await, shop.deliveries("in_doubt").await), (3, 1));
    shop.server.stop().await.unwrap();
}
