//! A code goes to one message and to no other: over drawers at once, messages made again, erasures and restored files.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use vocabulary::{ContactKey, CouponCode, CouponPool, MessageId};

use crate::testing::{World, at, claims, contact, message_id, sending_campaign};
use crate::{AddedCoupons, Control, ControlError, Duplicates, NewClaim, mark_restored};

fn pool(name: &str) -> CouponPool {
    CouponPool::new(name).unwrap()
}

fn codes(numbers: impl IntoIterator<Item = i64>) -> Vec<CouponCode> {
    numbers.into_iter().map(|number| CouponCode::new(&format!("NEEDLE-{number}")).unwrap()).collect()
}

fn drawing(keys: impl IntoIterator<Item = i64>, from: &str) -> Vec<NewClaim> {
    claims(keys).into_iter().map(|claim| NewClaim { coupon_pool: Some(pool(from)), ..claim }).collect()
}

fn ids(keys: impl IntoIterator<Item = i64>) -> Vec<MessageId> {
    keys.into_iter().map(|key| message_id(&format!("m{key}"))).collect()
}

/// The code of each of these messages that has one.
async fn drawn(control: &Control, keys: impl IntoIterator<Item = i64>) -> BTreeMap<String, String> {
    let drawn = control.coupons_of(&ids(keys)).await.unwrap_or_else(|error| panic!("{error}"));
    drawn.into_iter().map(|drawn| (drawn.message_id.to_string(), drawn.code.as_str().to_owned())).collect()
}

/// Total, drawn, set aside, left.
async fn numbers(control: &Control, name: &str) -> [u64; 4] {
    let row = control.coupon_pool(&pool(name)).await.unwrap().unwrap();
    [row.total, row.drawn, row.aside, row.left()]
}

#[tokio::test]
async fn codes_are_added_once() {
    let world = World::new();
    let control = world.open().await;
    let add = async |name: &str, codes: Vec<CouponCode>| control.add_coupons(&pool(name), &codes).await.unwrap();
    assert_eq!(add("ten", codes([1, 2, 1])).await, AddedCoupons { new: 2, known: 1 });
    assert_eq!(add("ten", codes(2..=2_500)).await, AddedCoupons { new: 2_498, known: 1 });
    assert_eq!(control.coupon_elsewhere(&pool("ten"), &codes([1])).await.unwrap(), None);
    let found = control.coupon_elsewhere(&pool("twenty"), &codes((3_000..9_000).chain([7]))).await.unwrap();
    assert_eq!(found, Some((6_000, pool("ten"))));
    // Who does not look gets it in no second pool.
    assert_eq!(add("twenty", codes([7])).await, AddedCoupons { new: 0, known: 1 });
    assert_eq!((numbers(&control, "ten").await, numbers(&control, "twenty").await), ([2_500, 0, 0, 2_500], [0; 4]));
    let row = &control.coupon_pools().await.unwrap()[0];
    assert_eq!((row.pool.as_str(), row.longest), ("ten", "NEEDLE-2500".len()));
    assert!(control.coupon_pool(&pool("none")).await.unwrap().is_none());
    let bytes = world.bytes_of(&control).await;
    assert!(!bytes.windows(6).any(|window| window == b"NEEDLE"), "no code is in the file in clear");
}

#[tokio::test]
async fn a_message_has_one_code_and_keeps_it() {
    let world = World::new();
    let control = world.open().await;
    let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
    control.add_coupons(&pool("ten"), &codes(1..=3)).await.unwrap();
    let claimed = control.claim(&campaign, "w", &[drawing([1, 1, 2], "ten"), claims([9])].concat(), at(1)).await.unwrap();
    assert_eq!(claimed, ids([1, 2, 9]));
    let first = drawn(&control, [1, 2, 9]).await;
    assert_eq!(
        first,
        BTreeMap::from([("m1", "NEEDLE-1"), ("m2", "NEEDLE-2")].map(|(id, code)| (id.to_owned(), code.to_owned())))
    );

    // Given back and claimed again, by another process.
    control.release(&ids([1, 2])).await.unwrap();
    let other = world.open().await;
    other.claim(&campaign, "x", &drawing([2, 1], "ten"), at(2)).await.unwrap();
    assert_eq!(drawn(&other, [1, 2]).await, first);
    assert_eq!(numbers(&other, "ten").await, [3, 2, 0, 1]);

    // An empty pool, or one that nobody knows, gives nothing and stops nothing.
    assert_eq!(other.claim(&campaign, "x", &drawing([3, 4], "ten"), at(3)).await.unwrap().len(), 2);
    assert_eq!(other.claim(&campaign, "x", &drawing([5], "none"), at(3)).await.unwrap().len(), 1);
    assert_eq!(drawn(&other, 3..=5).await.len(), 1);
    assert_eq!(numbers(&other, "ten").await, [3, 3, 0, 0]);
    // What was claimed already draws nothing; what is refilled is there for who comes again.
    other.add_coupons(&pool("ten"), &codes([4])).await.unwrap();
    assert!(other.claim(&campaign, "y", &drawing([1, 4], "ten"), at(4)).await.unwrap().is_empty());
    assert_eq!(numbers(&other, "ten").await, [4, 3, 0, 1]);
    other.release(&ids([4])).await.unwrap();
    other.claim(&campaign, "y", &drawing([4], "ten"), at(5)).await.unwrap();
    assert_eq!(drawn(&other, [4]).await["m4"], "NEEDLE-4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn drawers_at_once_never_get_the_same_code() {
    let world = World::new();
    let control = world.open().await;
    let campaign = sending_campaign(&control, &[(0, 400, 0)]).await;
    control.add_coupons(&pool("ten"), &codes(1..=300)).await.unwrap();
    let mut drawers = Vec::new();
    for number in 0..8_i64 {
        let process: Arc<Control> = world.open().await;
        let campaign = campaign.clone();
        drawers.push(tokio::spawn(async move {
            // Each pair of drawers wants the same hundred messages.
            for group in 0..10 {
                let first = number / 2 * 100 + group * 10 + 1;
                process.claim(&campaign, &format!("w{number}"), &drawing(first..first + 10, "ten"), at(1)).await.unwrap();
            }
        }));
    }
    for drawer in drawers {
        drawer.await.unwrap();
    }
    let drawn = drawn(&control, 1..=400).await;
    assert_eq!(drawn.len(), 300, "every code went out");
    assert_eq!(drawn.values().collect::<HashSet<_>>().len(), 300, "each to one message");
    assert_eq!(numbers(&control, "ten").await, [300, 300, 0, 0]);
}

#[tokio::test]
async fn two_pools_do_not_mix() {
    let world = World::new();
    let control = world.open().await;
    let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
    control.add_coupons(&pool("ten"), &codes([1])).await.unwrap();
    control.add_coupons(&pool("twenty"), &codes([20, 21])).await.unwrap();
    control.claim(&campaign, "w", &[drawing([1, 2], "ten"), drawing([3], "twenty")].concat(), at(1)).await.unwrap();
    let expect = [("m1", "NEEDLE-1"), ("m3", "NEEDLE-20")].map(|(id, code)| (id.to_owned(), code.to_owned()));
    assert_eq!(drawn(&control, 1..=3).await, BTreeMap::from(expect));
}

#[tokio::test]
async fn an_erased_contact_leaves_a_drawn_code_and_no_link() {
    let world = World::new();
    let control = world.open().await;
    let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
    let person = contact("ann").check().unwrap();
    control.upsert_contacts(&[person], Duplicates::Merge).await.unwrap();
    let ann = control.resolve(&["ann".to_owned()]).await.unwrap()[0];
    let of = |contact: ContactKey, id: i64| NewClaim { contact, ..drawing([id], "ten").remove(0) };
    control.add_coupons(&pool("ten"), &codes([1, 2])).await.unwrap();
    control.claim(&campaign, "w", &[of(ann, 1)], at(1)).await.unwrap();
    let held = control.held("ann").await.unwrap().unwrap().coupons;
    assert_eq!(
        held.iter().map(|drawn| (drawn.message_id.as_str(), drawn.code.as_str())).collect::<Vec<_>>(),
        [("m1", "NEEDLE-1")]
    );
    control.erase_contacts(&["ann".to_owned()]).await.unwrap();
    let linked = async || -> i64 {
        let linked = "SELECT count(*) FROM coupons WHERE contact_key IS NOT NULL OR message_id IS NOT NULL";
        sqlx::query_scalar(linked).fetch_one(&mut *control.reader().await).await.unwrap()
    };
    assert_eq!((linked().await, numbers(&control, "ten").await), (0, [2, 1, 0, 1]));
    // A plan that still names them gets no code.
    control.release(&ids([1])).await.unwrap();
    assert_eq!(
        control.claim(&campaign, "w", &[of(ann, 1), of(ContactKey::from_i64(77).unwrap(), 2)], at(2)).await.unwrap().len(),
        2
    );
    assert_eq!(drawn(&control, [1, 2]).await, BTreeMap::from([("m2".to_owned(), "NEEDLE-2".to_owned())]));
    control.forget_messages(&[ContactKey::from_i64(77).unwrap()]).await.unwrap();
    assert_eq!((linked().await, numbers(&control, "ten").await), (0, [2, 2, 0, 0]));
}

#[tokio::test]
async fn a_restored_file_gives_no_code_that_may_be_out() {
    let world = World::new();
    let control = world.open().await;
    let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
    control.add_coupons(&pool("ten"), &codes(1..=3)).await.unwrap();
    control.claim(&campaign, "w", &drawing([1], "ten"), at(1)).await.unwrap();
    drop(control);
    mark_restored(&world.path(), Path::new("/elsewhere"), at(50)).await.unwrap();
    let control = world.open().await;
    assert_eq!(numbers(&control, "ten").await, [3, 1, 2, 0]);
    // Codes that are new since then are drawn, and what is known of the backup still holds.
    control.add_coupons(&pool("ten"), &codes([4])).await.unwrap();
    control.release(&ids([1])).await.unwrap();
    control.claim(&campaign, "w", &drawing([1, 2, 3], "ten"), at(60)).await.unwrap();
    let expect = [("m1", "NEEDLE-1"), ("m2", "NEEDLE-4")].map(|(id, code)| (id.to_owned(), code.to_owned()));
    assert_eq!(drawn(&control, 1..=3).await, BTreeMap::from(expect));
    assert_eq!(numbers(&control, "ten").await, [4, 2, 2, 0]);
    // Somebody knows that nothing was sent.
    assert_eq!(control.free_coupons(&pool("ten")).await.unwrap(), 2);
    assert_eq!((numbers(&control, "ten").await, control.free_coupons(&pool("ten")).await.unwrap()), ([4, 2, 0, 2], 0));
    control.claim(&campaign, "w", &drawing([4], "ten"), at(61)).await.unwrap();
    assert_eq!(drawn(&control, [4]).await["m4"], "NEEDLE-2");
    let error = control.free_coupons(&pool("none")).await.unwrap_err();
    assert!(matches!(error, ControlError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn the_schema_itself_keeps_a_drawn_code() {
    let world = World::new();
    let control = world.open().await;
    let campaign = sending_campaign(&control, &[(0, 10, 0)]).await;
    control.add_coupons(&pool("ten"), &codes([1])).await.unwrap();
    control.claim(&campaign, "w", &drawing([1], "ten"), at(1)).await.unwrap();
    for sql in ["UPDATE coupons SET drawn_at = NULL", "UPDATE coupons SET message_id = 'm2'", "DELETE FROM coupons"] {
        let error = sqlx::query(sql).execute(&mut *control.writer().await).await.unwrap_err().to_string();
        assert!(error.contains("never"), "{sql}: {error}");
    }
}
