//! Tests of [`super`]: sealing in the file, upserts that notice what changed, look-up and suppression.

use policy::SuppressionReason;
use vocabulary::Profile;

use super::*;
use crate::NewSuppression;
use crate::contact_store::Upserted;
use crate::testing::{World, at, contact};

fn attributes(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn upserted(created: u64, updated: u64, unchanged: u64) -> Upserted {
    Upserted { created, updated, unchanged, ..Upserted::default() }
}

async fn upsert(control: &Control, contacts: Vec<NewContact>) -> Upserted {
    upsert_by(control, contacts, Duplicates::Merge).await
}

async fn upsert_by(control: &Control, contacts: Vec<NewContact>, rule: Duplicates) -> Upserted {
    let contacts: Vec<_> = contacts.into_iter().map(|contact| contact.check().unwrap()).collect();
    control.upsert_contacts(&contacts, rule).await.unwrap()
}

fn with_profile(key: &str, profile: Profile) -> NewContact {
    NewContact { profile, ..contact(key) }
}

fn with_email(key: &str, email: &str) -> NewContact {
    NewContact { addresses: [(Channel::Email, email.to_owned())].into(), ..contact(key) }
}

fn unsubscribed(contacts: &[ContactKey]) -> NewSuppression {
    NewSuppression { contacts: contacts.to_vec(), ..NewSuppression::new(SuppressionReason::Unsubscribed) }
}

async fn everybody(control: &Control) -> Vec<Contact> {
    control.contacts_after(None, usize::MAX).await.unwrap()
}

fn email_of(row: &RecipientRow) -> Option<&str> {
    row.addresses.get(&Channel::Email).map(String::as_str)
}

#[tokio::test]
async fn only_real_changes_move_the_change_number() {
    let world = World::new();
    let control = world.open().await;
    let check = async |contacts: Vec<NewContact>, expect: Upserted, change: i64| {
        assert_eq!(upsert(&control, contacts.clone()).await, expect, "{contacts:?}");
        assert_eq!(control.contacts_change().await.unwrap(), change, "{contacts:?}");
    };
    let with = |pairs: &[(&str, &str)]| with_profile("a", Profile { attributes: attributes(pairs), ..Profile::default() });
    check(vec![], upserted(0, 0, 0), 0).await;
    check(vec![contact("a"), contact("b")], upserted(2, 0, 0), 1).await;
    check(vec![contact("a"), contact("b")], upserted(0, 0, 2), 1).await;
    check(vec![with(&[("size", "XL")]), contact("b")], upserted(0, 1, 1), 2).await;
    check(vec![NewContact { key: "a".into(), ..NewContact::default() }], upserted(0, 0, 1), 2).await;
    check(vec![with_email("b", "new@shop.example")], upserted(0, 1, 0), 3).await;
    check(
        vec![with_profile("c", Profile { country: Some("DE".into()), ..Profile::default() }), contact("c")],
        upserted(1, 0, 1),
        4,
    )
    .await;
    check(vec![with(&[("size", ""), ("colour", "")])], upserted(0, 1, 0), 5).await;
    check(vec![with(&[("size", "")])], upserted(0, 0, 1), 5).await;
}

#[tokio::test]
async fn what_is_absent_stays_known() {
    let world = World::new();
    let control = world.open().await;
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<std::collections::BTreeSet<_>>();
    let known = Profile {
        country: Some("BR".into()),
        region: Some("BR-SP".into()),
        language: Some("pt-BR".into()),
        time_zone: Some("America/Sao_Paulo".into()),
        market: Some("PT".into()),
        interests: labels(&["shoes", "bags"]),
        tags: labels(&["vip"]),
        device: Some("android".into()),
        birth: Some("1990-05-17".parse().unwrap()),
        source: Some("fair".into()),
        phone_country: None,
        attributes: attributes(&[("size", "XL"), ("tier", "gold")]),
    };
    upsert(&control, vec![with_profile("a", known.clone())]).await;
    let news = Profile { interests: labels(&["hats"]), attributes: attributes(&[("size", "M")]), ..Profile::default() };
    let phone = [(Channel::Sms, "(11) 91234-5678".to_owned())].into();
    let new = NewContact { key: "a".into(), profile: news, addresses: phone, ..NewContact::default() };
    // The number is a local one, so the row must say of which country.
    let error = new.clone().check().unwrap_err();
    assert_eq!(error.field, "phone");
    let profile = Profile { country: Some("BR".into()), ..new.profile.clone() };
    upsert(&control, vec![NewContact { profile, ..new }]).await;
    let key = control.resolve(&["a".to_owned()]).await.unwrap()[0];
    let expect = Contact {
        channels: vec![Channel::Email, Channel::Sms],
        profile: Profile {
            interests: labels(&["hats"]),
            phone_country: Some("BR".into()),
            attributes: attributes(&[("size", "M"), ("tier", "gold")]),
            ..known
        },
        ..Contact::new(key, control.now())
    };
    assert_eq!(everybody(&control).await, std::slice::from_ref(&expect));
    let recipients = control.recipients(&[key]).await.unwrap();
    let addresses = [(Channel::Email, "a@shop.example".to_owned()), (Channel::Sms, "+5511912345678".to_owned())].into();
    assert!(recipients == [RecipientRow { contact: expect, addresses }]);
}

#[tokio::test]
async fn a_row_at_fault_is_named_and_the_others_are_stored() {
    let world = World::new();
    let control = world.open().await;
    let half = |letter: &str| (0..30).map(|number| (format!("{letter}{number}"), "x".to_owned())).collect();
    let with = |letter: &str| with_profile("c", Profile { attributes: half(letter), ..Profile::default() });
    let found = upsert(&control, vec![contact("a"), with("x"), with("y"), contact("b")]).await;
    let fault = FieldError::new("attributes", "are 60; a contact can have 50");
    assert_eq!(found, Upserted { faults: vec![(2, fault)], ..upserted(3, 0, 0) });
    assert_eq!((control.contacts_change().await.unwrap(), everybody(&control).await.len()), (1, 3));
}

#[tokio::test]
async fn another_id_with_the_same_address_is_the_same_person_if_the_rule_says_so() {
    let world = World::new();
    let control = world.open().await;
    let key_of = async |id: &str| control.resolve(&[id.to_owned()]).await.unwrap()[0];
    upsert(&control, vec![with_email("a", "Kim@Shop.example")]).await;
    let tier = |tier: &str| Profile { attributes: attributes(&[("tier", tier)]), ..Profile::default() };
    let again = || NewContact { profile: tier("gold"), ..with_email("a2", "kim@shop.example") };

    let rejected = upsert_by(&control, vec![again()], Duplicates::Reject).await;
    let reason = "is that of another contact; give that contact's key, or allow duplicates to merge";
    assert_eq!(rejected, Upserted { faults: vec![(0, FieldError::new("email", reason))], ..Upserted::default() });

    assert_eq!(upsert(&control, vec![again()]).await, Upserted { merged: 1, ..upserted(0, 1, 0) });
    assert_eq!(upsert(&control, vec![again()]).await, upserted(0, 0, 1), "the further id is known now");
    assert_eq!(key_of("a2").await, key_of("a").await);
    let everybody_now = everybody(&control).await;
    assert_eq!((everybody_now.len(), everybody_now[0].profile.clone()), (1, tier("gold")));

    let separate = upsert_by(&control, vec![with_email("a3", "kim@shop.example")], Duplicates::Separate).await;
    assert_eq!(separate, upserted(1, 0, 0));
    assert_ne!(key_of("a3").await, key_of("a").await);
    assert_eq!(upsert(&control, vec![with_email("a3", "kim@shop.example")]).await, upserted(0, 0, 1), "and stays so");
}

#[tokio::test]
async fn what_cannot_be_put_together_is_refused() {
    let world = World::new();
    let control = world.open().await;
    let phone = |key: &str, phone: &str| NewContact {
        key: key.into(),
        addresses: [(Channel::Sms, phone.to_owned())].into(),
        ..NewContact::default()
    };
    upsert(&control, vec![contact("a"), phone("b", "+12127365000")]).await;
    let both = NewContact {
        addresses: [(Channel::Email, "a@shop.example".to_owned()), (Channel::Sms, "+12127365000".to_owned())].into(),
        ..contact("c")
    };
    let found = upsert(&control, vec![both, with_email("b", "a@shop.example"), phone("d", "+12127365000")]).await;
    let faults: Vec<_> = found.faults.iter().map(|(row, fault)| (*row, fault.to_string())).collect();
    let expect = [
        (0, "phone is that of one other contact and `email` that of another; leave one out".to_owned()),
        (
            1,
            "email is that of another contact, and what happened to two contacts cannot be put together; leave it out, \
             erase one of them, or allow duplicates to stay separate"
                .to_owned(),
        ),
    ];
    assert_eq!(faults, expect);
    assert_eq!((found.merged, found.unchanged + found.updated), (1, 1), "d is b");
    // A family's telephone: other mailboxes, other people.
    let family = |key: &str| NewContact {
        addresses: [(Channel::Email, format!("{key}@shop.example")), (Channel::Sms, "+12127365009".to_owned())].into(),
        ..contact(key)
    };
    assert_eq!(upsert(&control, vec![family("mum"), family("dad")]).await, upserted(2, 0, 0));
    assert_eq!(upsert(&control, vec![family("mum"), family("dad")]).await, upserted(0, 0, 2));
    // An address that was given up is free again.
    upsert(&control, vec![phone("b", "+12127365001")]).await;
    assert_eq!(upsert(&control, vec![phone("e", "+12127365000")]).await, upserted(1, 0, 0));
}

#[tokio::test]
async fn a_suppressed_address_stays_so_whoever_has_it() {
    let world = World::new();
    let control = world.open().await;
    let key_of = async |id: &str| control.resolve(&[id.to_owned()]).await.unwrap()[0];
    upsert(&control, vec![contact("a"), with_email("b", "other@shop.example")]).await;
    upsert_by(&control, vec![with_email("twin", "a@shop.example")], Duplicates::Separate).await;
    control.suppress(&unsubscribed(&[key_of("a").await])).await.unwrap();
    let is_suppressed = async |id: &str| {
        let found = control.permissions(&[key_of(id).await], None).await.unwrap();
        found.values().any(|permission| !permission.suppressions.is_empty())
    };
    assert!(is_suppressed("a").await && is_suppressed("twin").await && !is_suppressed("b").await);

    control.erase_contacts(&["a".to_owned(), "twin".to_owned()]).await.unwrap();
    upsert(&control, vec![with_email("new", "A@shop.example")]).await;
    assert!(is_suppressed("new").await, "erased and imported again");
    upsert(&control, vec![with_email("b", "a@shop.example"), contact("c")]).await;
    upsert_by(&control, vec![with_email("b", "a@shop.example")], Duplicates::Separate).await;
    assert!(is_suppressed("b").await && !is_suppressed("c").await);
    // What was said of an address that is gone is gone with it; that somebody unsubscribed stays.
    let bounced = NewSuppression {
        addresses: vec![(Channel::Email, "c@shop.example".to_owned())],
        ..NewSuppression::new(SuppressionReason::HardBounced)
    };
    control.suppress(&bounced).await.unwrap();
    assert!(is_suppressed("c").await);
    upsert(&control, vec![with_email("b", "b3@shop.example"), with_email("c", "c3@shop.example")]).await;
    assert!(is_suppressed("b").await && !is_suppressed("c").await);
}

#[tokio::test]
async fn own_ids_resolve_to_the_same_contact_in_both_processes() {
    let world = World::new();
    let (one, two) = (world.open().await, world.open().await);
    upsert(&one, vec![contact("a")]).await;
    let ids: Vec<_> = ["b", "a", "b"].map(str::to_owned).into();
    let keys = one.resolve(&ids).await.unwrap();
    assert!(keys[0] == keys[2] && keys[0] != keys[1]);
    assert_eq!(two.resolve(&ids).await.unwrap(), keys);
    assert_eq!((two.contacts_change().await.unwrap(), everybody(&two).await.len()), (2, 2));
    let error = two.resolve(&["a".to_owned(), String::new()]).await.unwrap_err();
    assert_eq!(error.to_string(), "contact number 2: key is empty; give your own id of the contact");
}

#[tokio::test]
async fn neither_address_nor_own_id_is_in_the_file() {
    let world = World::new();
    let control = world.open().await;
    let visible = Profile { attributes: attributes(&[("visible", "needle-in-the-file")]), ..Profile::default() };
    let with = |email: &str| NewContact {
        addresses: [(Channel::Email, email), (Channel::Sms, "+12025550143"), (Channel::Telegram, "hopper_42")]
            .map(|(channel, address)| (channel, address.to_owned()))
            .into(),
        ..with_profile("customer-number-4711", visible.clone())
    };
    upsert(&control, vec![with("grace.hopper@navy.example")]).await;
    upsert(&control, vec![with("admiral@navy.example")]).await;
    let bytes = world.bytes_of(&control).await;
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    assert!(holds("needle-in-the-file"), "the search finds what is in clear");
    for hidden in ["grace.hopper", "admiral", "navy.example", "customer-number", "4711", "2025550143", "hopper_42"] {
        assert!(!holds(hidden), "{hidden}");
    }
    let key = control.resolve(&["customer-number-4711".to_owned()]).await.unwrap();
    assert_eq!(email_of(&control.recipients(&key).await.unwrap()[0]), Some("admiral@navy.example"));
}

#[tokio::test]
async fn recipients_are_in_order_without_the_unknown() {
    let world = World::new();
    let (one, two) = (world.open().await, world.open().await);
    upsert(&one, ["a", "b", "c"].map(contact).into()).await;
    let keys = one.resolve(&["c", "a", "b"].map(str::to_owned)).await.unwrap();
    let unknown = ContactKey::from_i64(5).unwrap();
    let recipients = two.recipients(&[keys[0], unknown, keys[2]]).await.unwrap();
    let found: Vec<_> = recipients.iter().map(|row| (row.contact.key, email_of(row))).collect();
    assert_eq!(found, [(keys[0], Some("c@shop.example")), (keys[2], Some("b@shop.example"))]);
}

#[tokio::test]
async fn the_list_tells_reason_channel_and_the_last_time() {
    let world = World::new();
    let (one, two) = (world.open().await, world.open().await);
    upsert(&one, vec![contact("a")]).await;
    let key = one.resolve(&["a".to_owned()]).await.unwrap()[0];
    let by_mail = NewSuppression { channel: Some(Channel::Email), note: Some("by link".into()), ..unsubscribed(&[key]) };
    one.suppress(&by_mail).await.unwrap();
    world.clock.set(at(60));
    one.suppress(&NewSuppression { note: None, ..by_mail.clone() }).await.unwrap();
    one.suppress(&NewSuppression { reason: SuppressionReason::Complained, ..unsubscribed(&[key]) }).await.unwrap();
    // Whoever has the address is on the list for the address's channel.
    let found = two.suppressions("a").await.unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|row| (row.reason.as_str(), row.channel, row.note.as_deref(), row.at)).collect();
    let (mail, all) = (Some(Channel::Email), None);
    assert_eq!(
        found,
        [("complained", all, None, at(60)), ("complained", mail, None, at(60)), ("unsubscribed", mail, Some("by link"), at(60))]
    );
    assert!(two.suppressions("nobody").await.unwrap().is_none());
    // Somebody may be on the list before they are known.
    let unknown = ContactKey::from_i64(5).unwrap();
    one.suppress(&unsubscribed(&[unknown])).await.unwrap();
    assert_eq!(two.permissions(&[unknown], None).await.unwrap()[&unknown].suppressions.len(), 1);
    assert!(two.permissions(&[], None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_address_moved_to_another_row_is_noticed() {
    let world = World::new();
    let control = world.open().await;
    upsert(&control, ["a", "b"].map(contact).into()).await;
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
    assert_eq!(upsert(&control, batch.clone()).await, upserted(1300, 0, 0));
    assert_eq!(upsert(&control, batch.clone()).await, upserted(0, 0, 1300));
    let ids: Vec<_> = batch.into_iter().map(|contact| contact.key).collect();
    let keys = control.resolve(&ids).await.unwrap();
    let recipients = control.recipients(&keys).await.unwrap();
    for ((id, key), row) in ids.iter().zip(&keys).zip(&recipients) {
        assert_eq!((row.contact.key, email_of(row)), (*key, Some(format!("{id}@shop.example").as_str())));
    }
    assert_eq!(control.contacts_change().await.unwrap(), 1);
}

#[tokio::test]
async fn everybody_of_a_suppressed_domain_is_on_the_list() {
    let world = World::new();
    let control = world.open().await;
    upsert(
        &control,
        vec![with_email("a", "a@spam.example"), with_email("b", "b@shop.example"), with_email("c", "c@Bücher.example")],
    )
    .await;
    let keys = control.resolve(&["a", "b", "c", "d"].map(str::to_owned)).await.unwrap();
    let found = async || {
        let found = control.permissions(&keys, None).await.unwrap();
        keys.iter().map(|key| found.contains_key(key)).collect::<Vec<_>>()
    };
    let domains = |names: &[&str]| NewSuppression {
        domains: names.iter().map(|name| (*name).to_owned()).collect(),
        ..NewSuppression::new(SuppressionReason::Manual)
    };
    let error = control.suppress(&domains(&["spam.example", "a..b"])).await.unwrap_err();
    assert_eq!(error.to_string(), "contact number 2: domain cannot exist; write one such as `shop.example`");
    assert_eq!(found().await, [false; 4], "nothing was stored");
    control.suppress(&domains(&["Spam.Example", "bücher.example"])).await.unwrap();
    assert_eq!(found().await, [true, false, true, false]);
    upsert(&control, vec![with_email("d", "d@spam.example")]).await;
    assert_eq!(found().await, [true, false, true, true], "who comes later too");
}
