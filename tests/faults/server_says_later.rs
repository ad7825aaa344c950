//! The mail server will not have a message for now: it is offered again every five minutes for an hour, and nobody else
//! waits for it.

use serde_json::json;
use simulator::sink::Fault;

use crate::support::shop::Shop;
use crate::support::until;

/// Offers in an hour, five minutes apart.
const OFFERS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_message_is_offered_again_and_then_counts_as_refused() {
    let shop = Shop::troubled(&[Fault::RefuseData("later".into())]).await;
    shop.mailing(&["anna", "later", "bruno"]).await;

    let progress =
        async || shop.client.get("/v1/campaigns/c").await.ok().map(|row| (row["state"].clone(), row["progress"].clone()));
    for offers in 1..=OFFERS {
        until("the message to be offered", async || (shop.sink.counts().refusals >= offers).then_some(())).await;
        let settled = until("the offer to be settled", async || {
            progress().await.filter(|(_, progress)| progress["accepted"] == 2 && progress["claimed"] == 0)
        })
        .await;
        if offers < OFFERS {
            assert_eq!((settled.0, &settled.1["refused"]), (json!("sending"), &json!(0)), "after {offers} offers");
            shop.pass(5);
        }
    }
    let (_, end) = until("the campaign to end", async || progress().await.filter(|(state, _)| state == "done")).await;
    assert_eq!((&end["accepted"], &end["refused"], &end["in_doubt"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(shop.sink.counts().refusals, OFFERS);
    assert_eq!(shop.sink.counts().mails, 2, "the others were not sent again");
    shop.server.stop().await.unwrap();
}
