//! The table of contacts and audiences drawn from it.

use std::collections::BTreeMap;

use vocabulary::Contact;

use super::*;

fn person(key: i64, country: &str, segment: Option<&str>) -> Contact {
    let attributes = segment.map(|segment| ("segment".to_owned(), segment.to_owned()));
    Contact {
        key: contact(key),
        country: Some(country.to_owned()),
        language: (key % 2 == 0).then(|| "pt-BR".to_owned()),
        time_zone: Some("Asia/Shanghai".to_owned()),
        attributes: attributes.into_iter().collect::<BTreeMap<_, _>>(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_replaced_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!((lake.contacts_change().await.unwrap(), lake.recipients(None).await.unwrap()), (0, vec![]));
    let first = vec![person(3, "DE", None), person(1, "BR", Some("new")), person(2, "BR", Some("old"))];
    lake.replace_contacts(5, first, Timestamp::UNIX_EPOCH).await.unwrap();
    let second = vec![person(9, "FR", Some("new")), person(2, "BR", Some("new"))];
    lake.replace_contacts(7, second.clone(), Timestamp::UNIX_EPOCH).await.unwrap();
    // An older or equal change brings nothing.
    lake.replace_contacts(7, vec![], Timestamp::UNIX_EPOCH).await.unwrap();
    lake.replace_contacts(6, vec![person(4, "US", None)], Timestamp::UNIX_EPOCH).await.unwrap();
    let expect: Vec<Contact> = second.into_iter().rev().collect();
    assert_eq!((lake.contacts_change().await.unwrap(), lake.recipients(None).await.unwrap()), (7, expect.clone()));
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!((lake.contacts_change().await.unwrap(), lake.recipients(None).await.unwrap()), (7, expect));
    let answer = ask(&lake, "SELECT * FROM contacts ORDER BY contact_key", SqlFormat::Csv).await.unwrap();
    assert!(answer.contains("2,BR,pt-BR,Asia/Shanghai,\"{\"\"segment\"\":\"\"new\"\"}\"\n"), "{answer}");
    let answer = ask(&lake, "SELECT attributes FROM contacts WHERE contact_key = 2", SqlFormat::Json).await.unwrap();
    assert_eq!(answer, r#"[{"attributes":{"segment":"new"}}]"#);
}

/// Often enough that files nobody reads are cleaned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_replaced_often() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for change in 1..=45 {
        lake.replace_contacts(change, vec![person(change, "DE", None)], Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(lake.recipients(None).await.unwrap(), [person(change, "DE", None)]);
        assert_eq!(lake.contacts_change().await.unwrap(), change);
    }
    lake.replace_contacts(46, vec![], Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(lake.recipients(None).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_is_a_query() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.replace_contacts(
        1,
        (1..=10).map(|n| person(n, if n < 4 { "BR" } else { "DE" }, Some("x"))).collect(),
        Timestamp::UNIX_EPOCH,
    )
    .await
    .unwrap();
    lake.append(vec![order("a", 2, at(0), 1), order("b", 9, at(0), 1), order("c", 9, at(0), 1), order("d", 77, at(0), 1)])
        .await
        .unwrap();
    lake.land().await.unwrap();
    let keys = async |query: &str| -> Vec<i64> {
        lake.recipients(Some(query)).await.unwrap().iter().map(|contact| contact.key.as_i64()).collect()
    };
    assert_eq!(keys("SELECT contact_key FROM contacts WHERE country = 'BR'").await, [1, 2, 3]);
    assert_eq!(keys("SELECT contact_key, country FROM contacts WHERE attributes['segment'] = 'x' LIMIT 100").await.len(), 10);
    // Keys that occur twice or belong to nobody do no harm.
    assert_eq!(keys("SELECT contact_key FROM orders").await, [2, 9]);
    assert_eq!(
        keys("SELECT c.contact_key FROM contacts c LEFT ANTI JOIN orders o ON c.contact_key = o.contact_key").await.len(),
        8
    );

    let error = lake.recipients(Some("SELECT country FROM contacts")).await.unwrap_err();
    assert!(matches!(&error, LakeError::Query { message, .. } if message.contains("contact_key")), "{error:?}");
    let error = lake.recipients(Some("DELETE FROM contacts")).await.unwrap_err();
    assert!(matches!(error, LakeError::Refused(_)), "{error:?}");
}
