//! What contacts did before a plan: exact, of the span that was asked about, and of those only who were asked about.

use vocabulary::Covariate;

use super::*;
use crate::Past;

const DAY: i64 = 24 * HOUR;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_before_is_added_up() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let click = |id: &str, key: i64, time: Timestamp, machine: bool| {
        event(id, key, time, Body::Click { url: None, machine, user_agent: None, position: None })
    };
    let refund = Body::Order {
        order_id: OrderId::new("o1-back").unwrap(),
        amount: Money { minor: -400, currency: currency("EUR") },
        refund_of: Some(OrderId::new("o1").unwrap()),
    };
    let dollars = Body::Order {
        order_id: OrderId::new("o3").unwrap(),
        amount: Money { minor: 1_250, currency: currency("USD") },
        refund_of: None,
    };
    let yen = Body::Order {
        order_id: OrderId::new("o4").unwrap(),
        amount: Money { minor: 900, currency: currency("JPY") },
        refund_of: None,
    };
    let events = vec![
        order("before", 1, at(DAY - 1), 9_999),
        order("o1", 1, at(DAY), 1_000),
        event("o1-back", 1, at(2 * DAY), refund),
        event("o3", 1, at(3 * DAY), dollars),
        // Without a rate it is an order, and nothing is known of its amount.
        event("o4", 2, at(3 * DAY), yen),
        order("stranger", 4, at(3 * DAY), 5_000),
        order("now", 2, at(10 * DAY), 5_000),
        click("c1", 2, at(5 * DAY), false),
        click("c2", 2, at(6 * DAY), false),
        click("c3", 2, at(6 * DAY), true),
        event("p1", 3, at(6 * DAY), Body::Open { machine: false, user_agent: None }),
    ];
    lake.append(events).await.unwrap();
    let known = |key: i64, time: i64| Contact::new(contact(key), at(time));
    let people = [known(1, 0), known(2, 9 * DAY + HOUR), known(3, 11 * DAY), known(4, 0)];
    lake.replace_contacts(1, contact_rows(&people), at(10 * DAY)).await.unwrap();
    let asked: Vec<ContactKey> = (1..=3).map(contact).collect();
    for is_landed in [false, true] {
        if is_landed {
            lake.land().await.unwrap();
        }
        let past = lake.past(asked.clone(), Covariate::ALL, at(DAY), at(10 * DAY)).await.unwrap();
        let expect = Past {
            contacts: asked.clone(),
            revenue: vec![1_000 - 400 + 1_000, 0, 0],
            orders: vec![2, 1, 0],
            clicks: vec![0, 2, 0],
            opens: vec![0, 0, 1],
            tenure: vec![10, 0, 0],
        };
        assert_eq!(past, expect, "{is_landed}");
    }
    let past = lake.past(asked.clone(), &[Covariate::Clicks, Covariate::Country], at(DAY), at(10 * DAY)).await.unwrap();
    assert_eq!(past, Past { contacts: asked.clone(), clicks: vec![0, 2, 0], ..Past::default() });
    let past = lake.past(asked.clone(), &[Covariate::Country], at(DAY), at(10 * DAY)).await.unwrap();
    assert_eq!(past, Past { contacts: asked, ..Past::default() });
    assert_eq!(lake.past(Vec::new(), Covariate::ALL, at(DAY), at(10 * DAY)).await.unwrap(), Past::default());
}
