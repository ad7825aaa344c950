//! The table of contacts and audiences drawn from it.

use std::sync::Arc;

use vocabulary::{Channel, Profile};

use super::*;
use crate::{Group, Traits};

fn person(key: i64, country: &str, segment: Option<&str>) -> Contact {
    let attributes = segment.map(|segment| ("segment".to_owned(), segment.to_owned()));
    let profile = Profile {
        country: Some(country.to_owned()),
        language: (key % 2 == 0).then(|| "pt-BR".to_owned()),
        time_zone: Some("Asia/Shanghai".to_owned()),
        attributes: attributes.into_iter().collect(),
        ..Profile::default()
    };
    Contact { profile, ..Contact::new(contact(key), at(0)) }
}

/// What an audience knows of a contact.
fn recipient(contact: &Contact) -> Recipient {
    let traits = Traits {
        country: contact.profile.country.clone(),
        region: contact.profile.region.clone(),
        market: contact.profile.country.clone(),
        time_zone: contact.time_zone().map(str::to_owned),
        is_zone_derived: false,
        channels: contact.channels.clone(),
    };
    Recipient { key: contact.key, traits: Arc::new(traits) }
}

fn recipients(contacts: &[Contact]) -> Vec<Recipient> {
    contacts.iter().map(recipient).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_replaced_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(
        (lake.contacts_change().await.unwrap(), lake.audience(None, Group::Internal).await.unwrap().recipients),
        (0, vec![])
    );
    let first = [person(3, "DE", None), person(1, "BR", Some("new")), person(2, "BR", Some("old"))];
    lake.replace_contacts(5, contact_rows(&first), Timestamp::UNIX_EPOCH).await.unwrap();
    let second = [person(9, "FR", Some("new")), person(2, "BR", Some("new"))];
    lake.replace_contacts(7, contact_rows(&second), Timestamp::UNIX_EPOCH).await.unwrap();
    // An older or equal change brings nothing.
    lake.replace_contacts(7, contact_rows(&[]), Timestamp::UNIX_EPOCH).await.unwrap();
    lake.replace_contacts(6, contact_rows(&[person(4, "US", None)]), Timestamp::UNIX_EPOCH).await.unwrap();
    let expect: Vec<Recipient> = second.iter().rev().map(recipient).collect();
    assert_eq!(
        (lake.contacts_change().await.unwrap(), lake.audience(None, Group::Internal).await.unwrap().recipients),
        (7, expect.clone())
    );
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(
        (lake.contacts_change().await.unwrap(), lake.audience(None, Group::Internal).await.unwrap().recipients),
        (7, expect)
    );
    let answer = ask(&lake, "SELECT * FROM contacts ORDER BY contact_key", SqlFormat::Csv).await.unwrap();
    assert!(answer.contains("2,BR,pt-BR,Asia/Shanghai,\"{\"\"segment\"\":\"\"new\"\"}\",false,BR,"), "{answer}");
    let answer = ask(&lake, "SELECT attributes FROM contacts WHERE contact_key = 2", SqlFormat::Json).await.unwrap();
    assert_eq!(answer, r#"[{"attributes":{"segment":"new"}}]"#);
}

/// Often enough that files nobody reads are cleaned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_replaced_often() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for change in 1..=45 {
        lake.replace_contacts(change, contact_rows(&[person(change, "DE", None)]), Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(lake.audience(None, Group::Internal).await.unwrap().recipients, recipients(&[person(change, "DE", None)]));
        assert_eq!(lake.contacts_change().await.unwrap(), change);
    }
    lake.replace_contacts(46, contact_rows(&[]), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(lake.audience(None, Group::Internal).await.unwrap().recipients, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_is_a_query() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let people: Vec<Contact> = (1..=10).map(|n| person(n, if n < 4 { "BR" } else { "DE" }, Some("x"))).collect();
    lake.replace_contacts(1, contact_rows(&people), Timestamp::UNIX_EPOCH).await.unwrap();
    lake.append(vec![order("a", 2, at(0), 1), order("b", 9, at(0), 1), order("c", 9, at(0), 1), order("d", 77, at(0), 1)])
        .await
        .unwrap();
    lake.land().await.unwrap();
    let keys = async |query: &str| -> Vec<i64> {
        lake.audience(Some(query), Group::Internal).await.unwrap().recipients.iter().map(|contact| contact.key.as_i64()).collect()
    };
    assert_eq!(keys("SELECT contact_key FROM contacts WHERE country = 'BR'").await, [1, 2, 3]);
    assert_eq!(keys("SELECT contact_key, country FROM contacts WHERE attributes['segment'] = 'x' LIMIT 100").await.len(), 10);
    // Keys that occur twice or belong to nobody do no harm.
    assert_eq!(keys("SELECT contact_key FROM orders").await, [2, 9]);
    assert_eq!(
        keys("SELECT c.contact_key FROM contacts c LEFT ANTI JOIN orders o ON c.contact_key = o.contact_key").await.len(),
        8
    );

    let error = lake.audience(Some("SELECT country FROM contacts"), Group::Internal).await.unwrap_err();
    assert!(matches!(&error, LakeError::Query { message, .. } if message.contains("contact_key")), "{error:?}");
    let error = lake.audience(Some("DELETE FROM contacts"), Group::Internal).await.unwrap_err();
    assert!(matches!(error, LakeError::Refused(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_of_people_can_be_asked() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut known = person(1, "AT", None);
    known.channels = vec![Channel::Email, Channel::Whatsapp];
    known.profile = Profile {
        market: Some("DE".to_owned()),
        interests: labels(&["bags", "shoes"]),
        tags: labels(&["vip"]),
        device: Some("ios".to_owned()),
        birth: Some("1990-05-17".parse().unwrap()),
        source: Some("fair".to_owned()),
        ..known.profile
    };
    let mut derived = Contact::new(contact(2), at(3600));
    derived.derived_time_zone = Some("Asia/Tokyo".to_owned());
    derived.profile.birth = Some("2001".parse().unwrap());
    let mut rows = ContactRows::default();
    // In two parts, which need not be in order.
    rows.push(&[derived]).unwrap();
    rows.push(&[Contact::new(contact(3), at(0)), known]).unwrap();
    lake.replace_contacts(1, rows, at(0)).await.unwrap();

    let found = lake.audience(None, Group::Internal).await.unwrap().recipients;
    let zones: Vec<_> = found.iter().map(|who| (who.traits.time_zone.as_deref(), who.traits.is_zone_derived)).collect();
    assert_eq!(zones, [(Some("Asia/Shanghai"), false), (Some("Asia/Tokyo"), true), (None, false)]);
    assert_eq!((found[0].traits.country.as_deref(), found[0].traits.market.as_deref()), (Some("AT"), Some("DE")));
    let count =
        async |condition: &str| ask(&lake, &format!("SELECT count(*) FROM contacts WHERE {condition}"), SqlFormat::Csv).await;
    for (condition, expect) in [
        ("array_has(interests, 'shoes') AND array_has(channels, 'whatsapp') AND NOT array_has(tags, 'new')", 1),
        ("birth_year >= 1990", 2),
        ("birth_date = DATE '1990-05-17' AND device = 'ios' AND source = 'fair'", 1),
        ("cardinality(interests) = 0 OR interests = []", 2),
        ("time_zone_derived IS NULL", 1),
        ("created_at > TIMESTAMP '1970-01-01T00:00:00Z'", 3),
        ("market IS NULL", 2),
    ] {
        let answer = count(condition).await.unwrap();
        assert_eq!(answer.lines().nth(1), Some(expect.to_string().as_str()), "{condition}");
    }
}
