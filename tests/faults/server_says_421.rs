//! The mail server closes the connection in the middle with 421: what was not taken goes over another connection, and nobody is
//! mailed twice.

use simulator::sink::Fault;

use crate::support::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn who_was_turned_away_with_421_is_mailed_over_another_connection() {
    let shop = Shop::troubled(&[Fault::CloseAfter(3)]).await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    shop.mailing(&names).await;
    assert_eq!(shop.end_of_mailing().await, [8, 0, 0, 0]);
    assert_eq!(shop.recipients(), names.map(|name| format!("{name}@example.test")));
    assert!(shop.sink.counts().sessions >= 3, "three mails a connection: {:?}", shop.sink.counts());
    assert_eq!((shop.deliveries("accepted").await, shop.deliveries("refused").await), (8, 0));
    shop.server.stop().await.unwrap();
}
