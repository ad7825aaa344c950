//! The products of many contacts: the same for few, whom the query names, and for many.

use std::collections::BTreeMap;

use vocabulary::Slot;

use super::*;
use crate::Group;

fn acted(number: i64, key: i64, kind: ActivityKind, product: &str) -> Event {
    event(&format!("a{number}-{key}"), key, at(number * HOUR), Body::Activity { kind, product: Some(product.into()) })
}

fn slots(queries: &[(&str, &str)]) -> BTreeMap<String, Slot> {
    let slot = |query: &str| Slot { query: query.to_owned(), limit: 1, fallback: Vec::new() };
    queries.iter().map(|(name, query)| ((*name).to_owned(), slot(query))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_and_many_contacts_get_the_same() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let mut events = Vec::new();
    for key in 1..=1_500 {
        events.push(acted(1, key, ActivityKind::Viewed, "old"));
        events.push(acted(2, key, ActivityKind::Carted, &format!("cart-{}", key % 3)));
        events.push(acted(3, key, ActivityKind::Viewed, &format!("sku-{}", key % 7)));
        events.push(acted(4, key, ActivityKind::Viewed, "new"));
        if key % 2 == 0 {
            events.push(order(&format!("o{key}"), key, at(5 * HOUR), 100));
        }
        events.push(acted(6, key, ActivityKind::Viewed, "tomorrow"));
    }
    lake.append(events).await.unwrap();
    lake.land().await.unwrap();
    let sql = "SELECT contact_key, product, product AS position FROM activities;";
    let slots = slots(&[("had", "last_ordered"), ("left", "abandoned"), ("seen", "last_viewed"), ("sql", sql)]);
    let now = at(5 * HOUR);
    let all: Vec<ContactKey> = (1..=1_400).map(contact).collect();
    let many = lake.picks(&slots, &all, Group::Internal, now).await.unwrap();
    let few = lake.picks(&slots, &all[5..9], Group::Analysts, now).await.unwrap();
    let picks = |pairs: &[(&str, &[&str])]| -> crate::Picks {
        pairs.iter().map(|(name, ids)| ((*name).to_owned(), ids.iter().map(|id| (*id).to_owned()).collect())).collect()
    };
    // Two for the one place there is, the last first; what is ahead of the plan is not known to it.
    let six = picks(&[("had", &["cart-0"]), ("seen", &["new", "sku-6"]), ("sql", &["cart-0", "new"])]);
    let seven = picks(&[("left", &["cart-1"]), ("seen", &["new", "sku-0"]), ("sql", &["cart-1", "new"])]);
    for picked in [&many, &few] {
        assert_eq!((picked.of(contact(6)), picked.of(contact(7))), (six.clone(), seven.clone()));
    }
    assert_eq!((many.of(contact(1_400)).len(), many.of(contact(1_401))), (3, crate::Picks::new()), "they were not asked about");
    assert_eq!(few.of(contact(1)), crate::Picks::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_reads_only_and_has_its_columns() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let check = async |query: &str, expect: Result<(), &str>| {
        let slot = Slot { query: query.to_owned(), limit: 3, fallback: Vec::new() };
        let answer = lake.check_slot(&slot, at(0)).await.map_err(|error| error.to_string());
        match expect {
            Ok(()) => assert_eq!(answer, Ok(()), "{query}"),
            Err(text) => assert!(answer.clone().is_err_and(|error| error.contains(text)), "{query}: {answer:?}"),
        }
    };
    for word in vocabulary::SlotQuery::ALL {
        check(word.as_str(), Ok(())).await;
    }
    check("WITH a AS (SELECT * FROM activities) SELECT contact_key, product, event_time AS position FROM a", Ok(())).await;
    check("SELECT contact_key, product FROM activities", Err("the column position once; this query gives contact_key, product"))
        .await;
    check("SELECT contact_key FROM nowhere", Err("nowhere")).await;
    check("SELECT 1; DELETE FROM orders", Err("")).await;
    check("CREATE TABLE x AS SELECT 1", Err("read only")).await;
}
