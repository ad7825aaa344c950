//! Tests of [`super`]: sealing in the file, upserts that notice what changed, look-up and suppression.

use super::*;
use crate::testing::{World, contact};

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn upserted(created: u64, updated: u64, unchanged: u64) -> Upserted {
    Upserted { created, updated, unchanged }
}

#[tokio::test]
async fn only_real_changes_move_the_change_number() {
    let world = World::new();
    let control = world.open().await;
    let check = async |contacts: Vec<NewContact>, expect: Upserted, change: i64| {
        assert_eq!(control.upsert_contacts(contacts.clone()).await.unwrap(), expect, "{contacts:?}");
        assert_eq!(control.contacts_change().await.unwrap(), change, "{contacts:?}");
    };
    let with = |pairs: &[(&str, &str)]| NewContact { attributes: attributes(pairs), ..contact("a") };
    check(vec![], upserted(0, 0, 0), 0).await;
    check(vec![contact("a"), contact("b")], upserted(2, 0, 0), 1).await;
    check(vec![contact("a"), contact("b")], upserted(0, 0, 2), 1).await;
    check(vec![with(&[("size", "XL")]), contact("b")], upserted(0, 1, 1), 2).await;
    check(vec![NewContact { key: "a".into(), ..NewContact::default() }], upserted(0, 0, 1), 2).await;
    check(vec![NewContact { email: Some("new@shop.example".into()), ..contact("b") }], upserted(0, 1, 0), 3).await;
    check(vec![NewContact { country: Some("DE".into()), ..contact("c") }, contact("c")], upserted(1, 0, 1), 4).await;
    check(vec![with(&[("size", ""), ("colour", "")])], upserted(0, 1, 0), 5).await;
    check(vec![with(&[("size", "")])], upserted(0, 0, 1), 5).await;
}

#[tokio::test]
async fn what_is_absent_stays_known() {
    let world = World::new();
    let control = world.open().await;
    let full = NewContact {
        country: Some("BR".into()),
        language: Some("pt-BR".into()),
        time_zone: Some("America/Sao_Paulo".into()),
        attributes: attributes(&[("size", "XL"), ("tier", "gold")]),
        ..contact("a")
    };
    control.upsert_contacts(vec![full]).await.unwrap();
    let new = NewContact { key: "a".into(), attributes: attributes(&[("size", "M")]), ..NewContact::default() };
    control.upsert_contacts(vec![new]).await.unwrap();
    let key = control.resolve(&["a".to_owned()]).await.unwrap()[0];
    let expect = Contact {
        key,
        country: Some("BR".into()),
        language: Some("pt-BR".into()),
        time_zone: Some("America/Sao_Paulo".into()),
        attributes: attributes(&[("size", "M"), ("tier", "gold")]),
    };
    assert_eq!(control.all_contacts().await.unwrap(), std::slice::from_ref(&expect));
    let recipients = control.recipients(&[key]).await.unwrap();
    assert!(recipients == [RecipientRow { contact: expect, email: Some("a@shop.example".into()) }]);
}

#[tokio::test]
async fn a_bad_row_is_named_and_nothing_of_its_batch_is_stored() {
    let world = World::new();
    let control = world.open().await;
    let bad = NewContact { country: Some("Germany".into()), ..contact("b") };
    let error = control.upsert_contacts(vec![contact("a"), bad]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "contact number 2: country `Germany` is no ISO 3166 country code; write two capital letters, such as DE"
    );
    let half = |letter: &str| (0..30).map(|number| (format!("{letter}{number}"), "x".to_owned())).collect();
    let with = |letter: &str| NewContact { attributes: half(letter), ..contact("c") };
    let error = control.upsert_contacts(vec![contact("a"), with("x"), with("y")]).await.unwrap_err();
    assert_eq!(error.to_string(), "contact number 3: attributes are 60; a contact can have 50");
    assert_eq!((control.contacts_change().await.unwrap(), control.all_contacts().await.unwrap()), (0, vec![]));
}

#[tokio::test]
async fn own_ids_resolve_to_the_same_contact_in_both_processes() {
    let world = World::new();
    let (one, two) = (world.open().await, world.open().await);
    one.upsert_contacts(vec![contact("a")]).await.unwrap();
    let ids: Vec<_> = ["b", "a", "b"].map(str::to_owned).into();
    let keys = one.resolve(&ids).await.unwrap();
    assert!(keys[0] == keys[2] && keys[0] != keys[1]);
    assert_eq!(two.resolve(&ids).await.unwrap(), keys);
    assert_eq!((two.contacts_change().await.unwrap(), two.all_contacts().await.unwrap().len()), (2, 2));
    let error = two.resolve(&["a".to_owned(), String::new()]).await.unwrap_err();
    assert_eq!(error.to_string(), "contact number 2: key is empty; give your own id of the contact");
}

#[tokio::test]
async fn neither_address_nor_own_id_is_in_the_file() {
    let world = World::new();
    let control = world.open().await;
    let secret = NewContact {
        email: Some("grace.hopper@navy.example".into()),
        attributes: attributes(&[("visible", "needle-in-the-file")]),
        ..contact("customer-number-4711")
    };
    control.upsert_contacts(vec![secret.clone()]).await.unwrap();
    control.upsert_contacts(vec![NewContact { email: Some("admiral@navy.example".into()), ..secret }]).await.unwrap();
    let bytes = world.bytes_of(&control).await;
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    assert!(holds("needle-in-the-file"), "the search finds what is in clear");
    for hidden in ["grace.hopper", "admiral", "navy.example", "customer-number", "4711"] {
        assert!(!holds(hidden), "{hidden}");
    }
    let key = control.resolve(&["customer-number-4711".to_owned()]).await.unwrap();
    assert_eq!(control.recipients(&key).await.unwrap()[0].email.as_deref(), Some("admiral@navy.example"));
}

#[tokio::test]
async fn recipients_are_in_order_without_the_suppressed_and_unknown() {
    let world = World::new();
    let (one, two) = (world.open().await, world.open().await);
    one.upsert_contacts(["a", "b", "c"].map(contact).into()).await.unwrap();
    let keys = one.resolve(&["c", "a", "b"].map(str::to_owned)).await.unwrap();
    let unknown = ContactKey::from_i64(5).unwrap();
    one.suppress(keys[1], "unsubscribed").await.unwrap();
    one.suppress(keys[1], "complained").await.unwrap();
    one.suppress(unknown, "unsubscribed").await.unwrap();
    let recipients = two.recipients(&[keys[0], unknown, keys[1], keys[2]]).await.unwrap();
    let found: Vec<_> = recipients.iter().map(|row| (row.contact.key, row.email.as_deref())).collect();
    assert_eq!(found, [(keys[0], Some("c@shop.example")), (keys[2], Some("b@shop.example"))]);
    assert_eq!(two.suppressed(&keys).await.unwrap(), HashSet::from([keys[1]]));
    assert_eq!(two.suppressed(&[]).await.unwrap(), HashSet::new());
}

#[tokio::test]
async fn an_address_moved_to_another_row_is_noticed() {
    let world = World::new();
    let control = world.open().await;
    control.upsert_contacts(["a", "b"].map(contact).into()).await.unwrap();
    let keys = control.resolve(&["a", "b"].map(str::to_owned)).await.unwrap();
    let swap = "UPDATE contacts SET wrapped_key = (SELECT wrapped_key FROM contacts WHERE contact_key = $1),
                    sealed = (SELECT sealed FROM contacts WHERE contact_key = $1) WHERE contact_key = $2";
    let swap = sqlx::query(swap).bind(keys[0].as_i64()).bind(keys[1].as_i64());
    swap.execute(&mut *control.writer().await).await.unwrap();
    let error = control.recipients(&keys).await.err().unwrap();
    assert!(matches!(error, ControlError::Unsealed { contact } if contact == keys[1]), "{error}");
}

#[tokio::test]
async fn batches_longer_than_a_statement_arrive_whole() {
    let world = World::new();
    let control = world.open().await;
    let batch: Vec<_> = (0..1300).map(|number| contact(&format!("c{number}"))).collect();
    assert_eq!(control.upsert_contacts(batch.clone()).await.unwrap(), upserted(1300, 0, 0));
    assert_eq!(control.upsert_contacts(batch.clone()).await.unwrap(), upserted(0, 0, 1300));
    let ids: Vec<_> = batch.into_iter().map(|contact| contact.key).collect();
    let keys = control.resolve(&ids).await.unwrap();
    let recipients = control.recipients(&keys).await.unwrap();
    for ((id, key), row) in ids.iter().zip(&keys).zip(&recipients) {
        assert_eq!((row.contact.key, row.email.clone()), (*key, Some(format!("{id}@shop.example"))));
    }
    assert_eq!(control.contacts_change().await.unwrap(), 1);
}
