//! Events in, events out, across restarts and crashes.

use std::sync::{Arc, Mutex};

use lake::faults::{Faults, Point};
use lake::{AsOf, ContactRows, Group, Lake, LakeError, SqlOptions};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use vocabulary::{Contact, ContactKey, Event, Profile, Timestamp};

use super::{HOUR, Place, ask, ask_with, at, click, counts, landed, order, three};

const SEED: u64 = 20_261_128;
const BATCH: usize = 5_000;
const CALLERS: usize = 4;

pub(super) async fn events_come_back_through_sql(place: &Place) {
    let lake = Lake::open(place.config()).await.unwrap();
    assert_eq!(lake.append(three("a")).await.unwrap().accepted, 3);
    let orders = "SELECT event_id, event_time, contact_key, amount_minor, amount_base_minor, event_date FROM orders";
    let expect = "a-order,2026-01-02T02:00:00Z,2,1250,1000,2026-01-02";
    assert_eq!(ask(&lake, orders).await, expect, "from memory");
    assert_eq!(lake.land().await.unwrap().events, 3);
    assert_eq!(lake.unlanded(), 0);
    assert_eq!(ask(&lake, orders).await, expect, "from the table");
    lake.append(three("b")).await.unwrap();
    assert_eq!(ask(&lake, "SELECT contact_key, count(*) FROM clicks WHERE event_date = '2026-01-02' GROUP BY 1").await, "1,2");
    assert_eq!(ask(&lake, "SELECT url FROM clicks WHERE event_id = 'b-click'").await, "https://shop.example/");
    assert_eq!(counts(&lake).await, (6, 6));
}

pub(super) async fn what_is_landed_is_there_after_reopening(place: &Place) {
    // More commits than lie between two checkpoints, in one table.
    for round in 0..3 {
        let lake = Lake::open(place.config()).await.unwrap();
        for n in 0..40 {
            lake.append(vec![click(&format!("{round}-{n}"), n + 1, at(n))]).await.unwrap();
            assert_eq!(lake.land().await.unwrap().events, 1);
        }
        assert_eq!(counts(&lake).await, (40 * (round + 1), 40 * (round + 1)));
    }
    assert_eq!(landed(place).await, (120, 120));
}

pub(super) async fn an_event_told_twice_over_a_restart_is_kept_once(place: &Place) {
    let lake = Lake::open(place.config()).await.unwrap();
    lake.append(three("a")).await.unwrap();
    drop(lake);
    let lake = Lake::open(place.config()).await.unwrap();
    assert_eq!((lake.unlanded(), lake.append(three("a")).await.unwrap().accepted), (3, 0));
    lake.land().await.unwrap();
    drop(lake);
    // Without its files the index is read from the tables.
    std::fs::remove_dir_all(place.folder.path().join("index")).unwrap();
    let lake = Lake::open(place.config()).await.unwrap();
    assert_eq!((lake.unlanded(), lake.append(three("a")).await.unwrap().accepted), (0, 0));
    assert_eq!(counts(&lake).await, (3, 3));
}

/// One event in three kinds, by its number.
fn numbered(number: u64) -> Event {
    let (id, key, time) = (format!("event-{number}"), number as i64 % 1_000 + 1, at(number as i64 % 100 * HOUR));
    match number % 3 {
        0 => order(&id, key, time, "EUR"),
        _ => click(&id, key, time),
    }
}

/// Tells these events, several callers at once. Returns how many were new.
async fn tell(lake: &Arc<Lake>, numbers: &[u64]) -> usize {
    let mut new = 0;
    for batches in numbers.chunks(BATCH * CALLERS) {
        let call = |batch: &[u64]| {
            let (lake, batch) = (lake.clone(), batch.to_vec());
            let fill = move |rows: &mut lake::Rows<'_>| {
                for number in batch {
                    rows.push(numbered(number).borrowed());
                }
            };
            tokio::spawn(async move { lake.append_with(fill).await.unwrap().accepted })
        };
        let calls: Vec<_> = batches.chunks(BATCH).map(call).collect();
        for call in calls {
            new += call.await.unwrap();
        }
    }
    new
}

pub(super) async fn many_events_told_three_times_over_a_restart_are_kept_once(place: &Place) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut numbers: Vec<u64> = (0..place.many).collect();
    let mut told = Vec::with_capacity(numbers.len() * 3);
    for _ in 0..3 {
        numbers.shuffle(&mut rng);
        told.extend_from_slice(&numbers);
    }
    // A landing after every fifth part, a restart in the middle of the second round and one before the end.
    let mut new = 0;
    let (restarts, landings) = ([told.len() / 2, told.len() * 9 / 10], told.len().div_ceil(5));
    let mut lake = Lake::open(place.config()).await.unwrap();
    for (part, numbers) in told.chunks(told.len() / 10).enumerate() {
        new += tell(&lake, numbers).await;
        let so_far = (part + 1) * (told.len() / 10);
        if so_far % landings == 0 {
            lake.land().await.unwrap();
        }
        if restarts.contains(&so_far) {
            drop(lake);
            lake = Lake::open(place.config()).await.unwrap();
        }
    }
    assert_eq!(new as u64, place.many, "each event is new once");
    assert_eq!(counts(&lake).await, (place.many, place.many), "before the last landing");
    lake.land().await.unwrap();
    assert_eq!(lake.unlanded(), 0);
    assert_eq!(counts(&lake).await, (place.many, place.many));
    drop(lake);
    assert_eq!(landed(place).await, (place.many, place.many));
}

pub(super) async fn late_events_land_in_their_own_day(place: &Place) {
    let lake = Lake::open(place.config()).await.unwrap();
    lake.append(vec![click("today", 1, at(26 * HOUR))]).await.unwrap();
    lake.land().await.unwrap();
    let late = |id: &str, hours: i64| Event { received_at: at(26 * HOUR), ..click(id, 1, at(hours * HOUR)) };
    lake.append(vec![late("yesterday", 3), late("last year", -30), late("today too", 24)]).await.unwrap();
    lake.land().await.unwrap();
    let by_day = "SELECT event_date, count(*) FROM clicks GROUP BY 1 ORDER BY 1";
    assert_eq!(ask(&lake, by_day).await, "2025-12-30,1\n2026-01-01,1\n2026-01-02,2");
    let one_day = "SELECT event_id FROM clicks WHERE event_date = '2025-12-30'";
    assert_eq!(ask(&lake, one_day).await, "last year");
}

/// Stops at a point, the `skip + 1`th time that it is reached.
struct StopAt {
    point: Point,
    skip: Mutex<Option<u32>>,
}

impl Faults for StopAt {
    fn reached(&self, point: Point) -> Result<(), LakeError> {
        let mut skip = self.skip.lock().unwrap();
        match *skip {
            Some(0) if point == self.point => {
                *skip = None;
                Err(LakeError::Stopped(point))
            }
            Some(left) if point == self.point => {
                *skip = Some(left - 1);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

pub(super) async fn a_crash_at_any_point_loses_and_doubles_nothing(place: &Place) {
    let mut expect = 0;
    for point in Point::ALL {
        // Points of a table are passed once for each of three.
        let skips: &[u32] = if matches!(point, Point::FilesWritten | Point::TableCommitted) { &[0, 1, 2] } else { &[0] };
        for skip in skips {
            let name = |what: &str| format!("{point:?}-{skip}-{what}");
            let faults = Arc::new(StopAt { point: *point, skip: Mutex::new(Some(*skip)) });
            let lake = Lake::open_with_faults(place.config(), faults).await.unwrap();
            let appended = lake.append(three(&name("crash"))).await;
            let landed = lake.land().await;
            assert!(appended.is_err() || landed.is_err(), "{} was not reached", name("crash"));
            drop(lake);
            let lake = Lake::open(place.config()).await.unwrap();
            // Whoever was not answered tells it again; whoever was answered may do so too.
            lake.append(three(&name("crash"))).await.unwrap();
            lake.append(three(&name("after"))).await.unwrap();
            expect += 6;
            assert_eq!(counts(&lake).await, (expect, expect), "{}", name("before landing"));
            lake.land().await.unwrap();
            assert_eq!((lake.unlanded(), counts(&lake).await), (0, (expect, expect)), "{}", name("after landing"));
        }
    }
    assert_eq!(landed(place).await, (expect, expect));
}

pub(super) async fn the_past_is_read_by_version_and_by_time(place: &Place) {
    let lake = Lake::open(place.config()).await.unwrap();
    for day in 0..3 {
        lake.append(vec![click(&format!("day {day}"), 1, at(day * 24 * HOUR))]).await.unwrap();
        lake.land().await.unwrap();
    }
    drop(lake);
    let lake = Lake::open(place.config()).await.unwrap();
    let count =
        async |as_of: AsOf| ask_with(&lake, "SELECT count(*) FROM clicks", &SqlOptions { as_of, ..SqlOptions::default() }).await;
    assert_eq!(count(AsOf::Versions([("clicks".to_owned(), 2)].into())).await, "2");
    assert_eq!(count(AsOf::Time(at(25 * HOUR))).await, "2");
    assert_eq!(count(AsOf::Now).await, "3");
}

pub(super) async fn contacts_are_replaced_as_a_whole(place: &Place) {
    let people = |people: &[(i64, &str)]| {
        let person = |(key, country): &(i64, &str)| Contact {
            profile: Profile { country: Some((*country).to_owned()), ..Profile::default() },
            ..Contact::new(ContactKey::from_i64(*key).unwrap(), Timestamp::UNIX_EPOCH)
        };
        let mut rows = ContactRows::default();
        rows.push(&people.iter().map(person).collect::<Vec<_>>()).unwrap();
        rows
    };
    let found = async |lake: &Lake, audience: Option<&str>| {
        let found = lake.audience(audience, Group::Internal).await.unwrap().recipients;
        found.into_iter().map(|who| (who.key.as_i64(), who.traits.country.clone().unwrap())).collect::<Vec<_>>()
    };
    let lake = Lake::open(place.config()).await.unwrap();
    assert_eq!(
        (lake.contacts_change().await.unwrap(), lake.audience(None, Group::Internal).await.unwrap().recipients),
        (0, vec![])
    );
    lake.replace_contacts(5, people(&[(1, "BR"), (2, "DE")]), Timestamp::UNIX_EPOCH).await.unwrap();
    lake.replace_contacts(7, people(&[(9, "FR"), (2, "DE")]), Timestamp::UNIX_EPOCH).await.unwrap();
    // An older change brings nothing.
    lake.replace_contacts(6, people(&[(4, "US")]), Timestamp::UNIX_EPOCH).await.unwrap();
    drop(lake);
    let lake = Lake::open(place.config()).await.unwrap();
    let of = |key: i64, country: &str| (key, country.to_owned());
    assert_eq!((lake.contacts_change().await.unwrap(), found(&lake, None).await), (7, vec![of(2, "DE"), of(9, "FR")]));
    assert_eq!(found(&lake, Some("SELECT contact_key FROM contacts WHERE country = 'DE'")).await, [of(2, "DE")]);
}
