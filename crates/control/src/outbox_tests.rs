//! Messages to one person: told once, taken once, sealed until their end.

use serde_json::json;
use vocabulary::Copy;

use super::*;
use crate::Duplicates;
use crate::testing::{World, at, contact};

fn template(class: MessageClass) -> MessageTemplate {
    let (template, from) = (class.as_str().to_owned(), "Shop <a@shop.example>".to_owned());
    MessageTemplate { template, class, channel: Channel::Email, from, content: Copy::default(), expires_minutes: None }
}

fn message(id: &str, to: Recipient) -> NewMessage {
    NewMessage { id: id.to_owned(), to, language: None, country: None, data: json!({ "code": "needle" }) }
}

fn to(address: &str) -> Recipient {
    Recipient::Address(address.to_owned())
}

fn end(taken: &Taken, state: OutboxState, next: i64) -> OutboxEnd {
    OutboxEnd { message_id: taken.row.message_id.clone(), state, next_at: at(next), reply: Some("250 ok".to_owned()) }
}

async fn enqueue(control: &Control, id: &str, recipient: Recipient) -> Enqueued {
    control.enqueue(&template(MessageClass::Verification), &message(id, recipient)).await.unwrap()
}

#[tokio::test]
async fn a_message_is_taken_once_and_its_secrets_go_with_its_end() {
    let world = World::new();
    let control = world.open().await;
    let Enqueued::New(new) = enqueue(&control, "code-1", to("Needle@shop.example")).await else { panic!("it is new") };
    assert_eq!((new.state, new.expires_at), (OutboxState::Waiting, at(600)));
    let mut bytes = world.bytes_of(&control).await;
    assert!(!bytes.windows(6).any(|window| window.eq_ignore_ascii_case(b"needle")), "address and values are sealed");

    assert!(control.take_messages(MessageClass::Transactional, "w", 5).await.unwrap().is_empty(), "another class");
    let taken = control.take_messages(MessageClass::Verification, "w", 5).await.unwrap().pop().unwrap();
    assert_eq!(taken.told.address.as_deref(), Some("Needle@shop.example"));
    assert_eq!((&taken.told.data, taken.row.tries), (&json!({ "code": "needle" }), 1));
    assert!(control.take_messages(MessageClass::Verification, "v", 5).await.unwrap().is_empty());
    assert_eq!(control.taken_messages("w").await.unwrap().len(), 1);
    assert!(control.taken_messages("v").await.unwrap().is_empty());

    // Put off until later, then ended.
    control.end_messages(&[end(&taken, OutboxState::Waiting, 30)]).await.unwrap();
    assert!(control.take_messages(MessageClass::Verification, "w", 5).await.unwrap().is_empty());
    world.clock.set(at(30));
    let taken = control.take_messages(MessageClass::Verification, "w", 5).await.unwrap().pop().unwrap();
    assert_eq!(taken.row.tries, 2);
    control.end_messages(&[end(&taken, OutboxState::Accepted, 30)]).await.unwrap();
    control.end_messages(&[end(&taken, OutboxState::Refused, 30)]).await.unwrap();
    let row = control.outbox_message("code-1").await.unwrap().unwrap();
    assert_eq!((row.state, row.settled_at, row.reply.as_deref()), (OutboxState::Accepted, Some(at(30)), Some("250 ok")));
    let count = OutboxCount { class: MessageClass::Verification, state: OutboxState::Accepted, messages: 1 };
    assert_eq!(control.outbox_counts().await.unwrap(), [count]);
    bytes = world.bytes_of(&control).await;
    assert!(!bytes.windows(6).any(|window| window.eq_ignore_ascii_case(b"needle")));
}

#[tokio::test]
async fn told_again_it_is_the_same_and_with_other_words_it_is_refused() {
    let world = World::new();
    let control = world.open().await;
    let Enqueued::New(first) = enqueue(&control, "1", to("a@shop.example")).await else { panic!("it is new") };
    assert_eq!(enqueue(&control, "1", to("a@shop.example")).await, Enqueued::Known(first));
    assert_eq!(enqueue(&control, "1", to("b@shop.example")).await, Enqueued::Different);
    assert!(matches!(enqueue(&control, "2", to("a@shop.example")).await, Enqueued::New(_)));
    let error = control.enqueue(&template(MessageClass::Verification), &message("3", to("nobody"))).await.unwrap_err();
    assert!(matches!(error, ControlError::InvalidContact { .. }), "{error}");
    // Long after its end it is forgotten.
    for taken in control.take_messages(MessageClass::Verification, "w", 5).await.unwrap() {
        control.end_messages(&[end(&taken, OutboxState::Accepted, 0)]).await.unwrap();
    }
    world.clock.set(at(31 * 24 * 60 * 60));
    assert!(matches!(enqueue(&control, "4", to("a@shop.example")).await, Enqueued::New(_)));
    assert_eq!(control.outbox_message("1").await.unwrap(), None);
}

#[tokio::test]
async fn a_contact_is_found_by_id_and_by_address_and_erased_with_all_messages() {
    let world = World::new();
    let control = world.open().await;
    control.upsert_contacts(&[contact("a").check().unwrap()], Duplicates::Merge).await.unwrap();
    let key = control.resolve(&["a".to_owned()]).await.unwrap()[0];
    let email = contact("a").addresses[&Channel::Email].clone();
    let whose = async |id: &str, recipient: Recipient| match enqueue(&control, id, recipient).await {
        Enqueued::New(row) => row.contact,
        other => panic!("{other:?}"),
    };
    assert_eq!(whose("1", Recipient::Contact("a".to_owned())).await, key);
    assert_eq!(whose("2", to(&email)).await, key);
    let stranger = whose("3", to("other@shop.example")).await;
    assert_ne!(stranger, key);
    assert_ne!(whose("4", to("other@shop.example")).await, stranger, "who is no contact is nobody twice");
    assert_eq!(enqueue(&control, "5", Recipient::Contact("none".to_owned())).await, Enqueued::NoContact);
    let sms = MessageTemplate { channel: Channel::Sms, from: String::new(), ..template(MessageClass::Verification) };
    let by_sms = control.enqueue(&sms, &message("6", Recipient::Contact("a".to_owned()))).await.unwrap();
    assert_eq!(by_sms, Enqueued::NoAddress);

    control.erase_contacts(&["a".to_owned()]).await.unwrap();
    assert_eq!(control.outbox_message("1").await.unwrap(), None);
    assert_eq!(control.outbox_message("2").await.unwrap(), None);
    assert!(control.outbox_message("3").await.unwrap().is_some());
}

#[tokio::test]
async fn what_else_the_same_address_was_sent_is_known() {
    let world = World::new();
    let control = world.open().await;
    for (seconds, id, address) in [(0, "1", "a@shop.example"), (10, "2", "A@shop.example"), (20, "3", "b@shop.example")] {
        world.clock.set(at(seconds));
        enqueue(&control, id, to(address)).await;
    }
    let taken = control.take_messages(MessageClass::Verification, "w", 5).await.unwrap();
    let beside = async |taken: &Taken| {
        let sent = control.sent_beside(&taken.row, at(0)).await.unwrap();
        sent.iter().map(|sent| sent.at).collect::<Vec<_>>()
    };
    assert_eq!(beside(&taken[0]).await, [], "the later of two that are about to go does not count for the earlier");
    assert_eq!(beside(&taken[1]).await, [at(0)]);
    assert_eq!(beside(&taken[2]).await, []);
    world.clock.set(at(40));
    control.end_messages(&[end(&taken[0], OutboxState::Accepted, 0), end(&taken[1], OutboxState::Refused, 0)]).await.unwrap();
    assert_eq!(beside(&taken[1]).await, [at(40)]);
    assert_eq!(beside(&taken[0]).await, [], "what was refused does not count");
}

#[tokio::test]
async fn what_is_too_old_is_taken_to_be_ended() {
    let world = World::new();
    let control = world.open().await;
    enqueue(&control, "1", to("a@shop.example")).await;
    let taken = control.take_messages(MessageClass::Verification, "w", 5).await.unwrap().pop().unwrap();
    control.end_messages(&[end(&taken, OutboxState::Waiting, 10_000)]).await.unwrap();
    world.clock.set(at(599));
    assert!(control.take_messages(MessageClass::Verification, "w", 5).await.unwrap().is_empty());
    world.clock.set(at(600));
    assert_eq!(control.take_messages(MessageClass::Verification, "w", 5).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_address_on_the_suppression_list_is_known_without_a_contact() {
    let world = World::new();
    let control = world.open().await;
    let new = crate::NewSuppression {
        addresses: vec![(Channel::Email, "a@shop.example".to_owned())],
        domains: vec!["bad.example".to_owned()],
        ..crate::NewSuppression::new(policy::SuppressionReason::HardBounced)
    };
    control.suppress(&new).await.unwrap();
    for (address, count) in [("A@shop.example", 1), ("x@bad.example", 1), ("b@shop.example", 0)] {
        let found = control.suppressions_of_address(Channel::Email, address).await.unwrap();
        assert_eq!(found.len(), count, "{address}");
    }
}

#[tokio::test]
async fn templates_are_stored_by_name() {
    let world = World::new();
    let control = world.open().await;
    let code = template(MessageClass::Verification);
    control.put_templates(&[code.clone(), template(MessageClass::Transactional)]).await.unwrap();
    let changed = MessageTemplate { expires_minutes: Some(5), ..code };
    control.put_templates(std::slice::from_ref(&changed)).await.unwrap();
    assert_eq!(control.template("verification").await.unwrap(), Some(changed));
    assert_eq!(control.template("none").await.unwrap(), None);
    let names: Vec<String> = control.templates().await.unwrap().into_iter().map(|template| template.template).collect();
    assert_eq!(names, ["transactional", "verification"]);
}
