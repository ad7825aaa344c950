//! Tests of [`super`]: days and hours are the recipient's own, nobody gets one variant who may not get each, reasons come in order.

use experiment::Balanced;
use policy::{Basis, Purpose, SuppressionReason};
use vocabulary::MessageClass;

use super::*;

fn experiment() -> Experiment {
    let variants = [("early", 9), ("late", 23)].map(|(name, hour)| serde_json::json!({ "name": name, "send_hour": hour }));
    serde_json::from_value(serde_json::json!({
        "experiment": "e", "factors": ["timing"], "variants": variants, "primary": "clicks",
        "metrics": [{ "name": "clicks", "outcome": "click", "measure": "occurred" }],
    }))
    .unwrap()
}

fn campaign() -> Campaign {
    serde_json::from_value(serde_json::json!({
        "campaign": "c", "experiment": "e", "from": "Shop <news@shop.example>",
        "content": { "early": { "subject": "a", "html": "a", "text": "a" } },
    }))
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn consent(given: Option<Basis>) -> ConsentFact {
    ConsentFact { channel: Channel::Email, purpose: Purpose::Marketing, given, at: at("2026-01-01T00:00:00Z") }
}

fn nobody() -> Person<'static> {
    Person {
        key: ContactKey::from_i64(1).unwrap(),
        country: None,
        region: None,
        time_zone: None,
        is_zone_derived: false,
        channels: &[Channel::Email],
        consents: &[],
        suppressions: &[],
        sends: &[],
        learned: None,
        prefers: None,
    }
}

#[test]
fn the_hour_is_the_recipients_own() {
    let check = |start: &str, hour: Option<u8>, zone: Option<&str>, expect: &str| {
        assert_eq!(due(at(start), None, hour, zone).to_string(), expect, "{start} {hour:?} {zone:?}");
    };
    check("2026-11-11T00:30:00Z", None, Some("Asia/Shanghai"), "2026-11-11T00:30:00Z");
    check("2026-11-11T00:30:00Z", Some(9), Some("Asia/Shanghai"), "2026-11-11T01:00:00Z");
    check("2026-11-11T01:00:01Z", Some(9), Some("Asia/Shanghai"), "2026-11-12T01:00:00Z");
    check("2026-11-11T00:30:00Z", Some(20), Some("America/New_York"), "2026-11-11T01:00:00Z");
    check("2026-11-11T00:30:00Z", Some(9), Some("Nowhere/Land"), "2026-11-11T09:00:00Z");
    // On this night New York's clocks go from 2 to 3: half past two is skipped.
    check("2026-03-08T06:00:00Z", Some(2), Some("America/New_York"), "2026-03-08T07:00:00Z");
}

#[test]
fn the_day_is_the_recipients_own() {
    let check = |start: &str, day: Weekday, hour: Option<u8>, zone: Option<&str>, expect: &str| {
        assert_eq!(due(at(start), Some(day), hour, zone).to_string(), expect, "{start} {day} {hour:?} {zone:?}");
    };
    use Weekday::{Friday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let shanghai = Some("Asia/Shanghai");
    // It is Wednesday in Shanghai: before nine, at nine, after nine.
    check("2026-11-11T00:30:00Z", Wednesday, Some(9), shanghai, "2026-11-11T01:00:00Z");
    check("2026-11-11T01:00:00Z", Wednesday, Some(9), shanghai, "2026-11-11T01:00:00Z");
    check("2026-11-11T01:00:01Z", Wednesday, Some(9), shanghai, "2026-11-18T01:00:00Z");
    check("2026-11-11T01:00:01Z", Thursday, Some(9), shanghai, "2026-11-12T01:00:00Z");
    check("2026-11-11T01:00:01Z", Tuesday, Some(9), shanghai, "2026-11-17T01:00:00Z");
    // Without an hour: at once on the day itself, else when it begins there; it is Thursday in Shanghai already.
    check("2026-11-11T20:00:00Z", Thursday, None, shanghai, "2026-11-11T20:00:00Z");
    check("2026-11-11T20:00:00Z", Friday, None, shanghai, "2026-11-12T16:00:00Z");
    check("2026-11-11T20:00:00Z", Thursday, None, None, "2026-11-12T00:00:00Z");
    // New York's clocks go from 2 to 3 on Sunday 8 March.
    let new_york = Some("America/New_York");
    check("2026-03-04T12:00:00Z", Saturday, Some(9), new_york, "2026-03-07T14:00:00Z");
    check("2026-03-04T12:00:00Z", Sunday, Some(9), new_york, "2026-03-08T13:00:00Z");
    check("2026-03-04T12:00:00Z", Sunday, Some(2), new_york, "2026-03-08T07:00:00Z");
    check("2026-03-08T07:00:01Z", Sunday, Some(2), new_york, "2026-03-15T06:00:00Z");
    // In Cairo this Friday begins at one o'clock, and Samoa had no 30 December 2011, which was to be a Friday.
    check("2026-04-21T12:00:00Z", Friday, None, Some("Africa/Cairo"), "2026-04-23T22:00:00Z");
    check("2011-12-28T12:00:00Z", Friday, Some(9), Some("Pacific/Apia"), "2012-01-05T19:00:00Z");
}

#[test]
fn a_day_is_a_variant_like_others() {
    let rules = Arc::new(Rules::embedded().unwrap());
    let consents = [consent(Some(Basis::Express))];
    let person = Person { country: Some("GB"), time_zone: Some("Europe/London"), consents: &consents, ..nobody() };
    // It is Thursday, ten o'clock.
    let now = at("2026-11-12T10:00:00Z");
    let check = |campaign: Campaign, days: [(&str, Option<SendHour>); 2], learned: Option<u8>, expect: &[&str]| {
        let mut experiment = experiment();
        for (variant, (day, hour)) in experiment.variants.iter_mut().zip(days) {
            (variant.send_day, variant.send_hour) = (day.parse().ok(), hour);
        }
        let brief = Arc::new(Brief { campaign, experiment, recommended: None, balanced: None });
        let planner = Planner::new(brief, rules.clone(), now);
        let learned = learned.map(|hour| LearnedHour { hour, from: crate::Habit::Contact });
        let told = |key: i64| {
            let person = Person { key: ContactKey::from_i64(key).unwrap(), learned, ..person };
            let fate = planner.decide(&person, None);
            assert_eq!(planner.explain(&person, None).0, fate);
            match fate {
                Fate::Send { variant: Some(variant), due, moved, .. } => {
                    format!("{variant} {due}{}", moved.map(|why| format!(" {}", why.rule)).unwrap_or_default())
                }
                Fate::Send { .. } => panic!("it is a test"),
                Fate::LeftOut(LeftOut::Rule { why, variant }) => format!("{variant} {}", why.rule),
                Fate::LeftOut(why) => why.rule().0.to_owned(),
            }
        };
        let found: std::collections::BTreeSet<String> = (1..=40).map(told).collect();
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expect, "{days:?}");
    };
    let (none, nine, noon) = (None, Some(SendHour::At(9)), Some(SendHour::At(12)));
    check(campaign(), [("thu", noon), ("thu", nine)], None, &["early 2026-11-12T12:00:00Z", "late 2026-11-19T09:00:00Z"]);
    check(campaign(), [("tue", nine), ("", nine)], None, &["early 2026-11-17T09:00:00Z", "late 2026-11-13T09:00:00Z"]);
    // The hour is the campaign's, or learned, where the variant has none of its own.
    let fixed = Campaign { send_hour: noon, ..campaign() };
    check(fixed, [("thu", none), ("sat", none)], None, &["early 2026-11-12T12:00:00Z", "late 2026-11-14T12:00:00Z"]);
    let learned = Some(SendHour::Learned);
    check(
        campaign(),
        [("fri", learned), ("sat", learned)],
        Some(18),
        &["early 2026-11-13T18:00:00Z", "late 2026-11-14T18:00:00Z"],
    );
    // Without any hour it is for the campaign's window to say when a day begins, and a day that it leaves out becomes the next.
    check(campaign(), [("thu", none), ("fri", none)], None, &["early 2026-11-12T10:00:00Z", "late 2026-11-13T00:00:00Z"]);
    let weekdays = || Campaign { window: Some("mon-fri 08:00-20:00".to_owned()), ..campaign() };
    let put_off = ["early 2026-11-13T08:00:00Z schedule/window", "late 2026-11-16T08:00:00Z schedule/window"];
    check(weekdays(), [("fri", none), ("sun", noon)], None, &put_off);
    // The campaign ends before the day of one of them: who would get the other one gets none either.
    let ends = Campaign { ends: Some(at("2026-11-14T00:00:00Z")), ..campaign() };
    check(ends, [("fri", nine), ("sat", nine)], None, &["late schedule/end"]);
}

#[test]
fn who_may_not_get_one_variant_gets_none() {
    let (experiment, mut campaign, rules) = (experiment(), campaign(), Arc::new(Rules::embedded().unwrap()));
    let now = at("2026-11-12T10:00:00Z");
    let fates = |campaign: &Campaign, person: Person<'_>| {
        let brief = Brief { campaign: campaign.clone(), experiment: experiment.clone(), recommended: None, balanced: None };
        let planner = Planner::new(Arc::new(brief), rules.clone(), now);
        let person = |key: i64| Person { key: ContactKey::from_i64(key).unwrap(), ..person };
        (1..=40).map(|key| planner.decide(&person(key), None)).collect::<Vec<_>>()
    };
    let consents = [consent(Some(Basis::Express))];
    let person = Person { country: Some("GB"), time_zone: Some("Europe/London"), consents: &consents, ..nobody() };
    let all = fates(&campaign, person);
    let due_at = |fate: &Fate| match fate {
        Fate::Send { due, moved: None, channel: Channel::Email, .. } => due.to_string(),
        other => panic!("{other:?}"),
    };
    let times: std::collections::BTreeSet<String> = all.iter().map(due_at).collect();
    assert_eq!(times.into_iter().collect::<Vec<_>>(), ["2026-11-12T23:00:00Z", "2026-11-13T09:00:00Z"]);

    // The sale ends between the two hours: whoever would get the earlier one gets none either.
    campaign.ends = Some(at("2026-11-13T00:00:00Z"));
    for fate in fates(&campaign, person) {
        let Fate::LeftOut(LeftOut::Rule { why, variant }) = fate else { panic!("{fate:?}") };
        assert_eq!((&*why.rule, variant.as_str()), ("schedule/end", "early"));
    }
    // By the sender's own hours the later one waits for the morning.
    campaign.ends = None;
    campaign.window = Some("daily 08:00-21:00".to_owned());
    let late = fates(&campaign, person).into_iter().find_map(|fate| match fate {
        Fate::Send { variant, due, moved: Some(why), .. } => Some((variant, due, why.rule.to_string())),
        _ => None,
    });
    let late_name = VariantName::new("late").unwrap();
    assert_eq!(late, Some((Some(late_name), at("2026-11-13T08:00:00Z"), "schedule/window".to_owned())));
}

#[test]
fn the_draw_that_was_kept_counts() {
    let (experiment, rules) = (experiment(), Arc::new(Rules::embedded().unwrap()));
    let consents = [consent(Some(Basis::Express))];
    let person = Person { country: Some("GB"), time_zone: Some("Europe/London"), consents: &consents, ..nobody() };
    let assigned = |draw: Option<u32>| {
        let first = Balanced::triggered(campaign().campaign, Timestamp::UNIX_EPOCH);
        let balanced = draw.map(|draw| Balanced { draw, ..first });
        let brief = Brief { campaign: campaign(), experiment: experiment.clone(), recommended: None, balanced };
        let planner = Planner::new(Arc::new(brief), rules.clone(), at("2026-11-12T10:00:00Z"));
        let variant = |key: i64| {
            let person = Person { key: ContactKey::from_i64(key).unwrap(), ..person };
            let fate = planner.decide(&person, None);
            assert_eq!(planner.explain(&person, None).0, fate);
            match fate {
                Fate::Send { variant: Some(variant), due, .. } => {
                    let hour = if variant.as_str() == "early" { 9 } else { 23 };
                    assert_eq!(due.to_zoned(TimeZone::UTC).hour(), hour, "its hour is that of the variant");
                    variant
                }
                fate => panic!("{fate:?}"),
            }
        };
        (1..=60).map(variant).collect::<Vec<_>>()
    };
    for (balanced, draw) in [(None, 0), (Some(0), 0), (Some(1), 1), (Some(7), 7)] {
        let assigner = Assigner::new(&experiment, draw);
        let expect = (1..=60).map(|key| assigner.assign(ContactKey::from_i64(key).unwrap()).variant.clone());
        assert_eq!(assigned(balanced), expect.collect::<Vec<_>>(), "{draw}");
    }
    assert_ne!(assigned(Some(1)), assigned(None));
}

#[test]
fn a_channel_is_chosen_before_the_variant() {
    let (experiment, rules) = (experiment(), Arc::new(Rules::embedded().unwrap()));
    let consent_by = |channel: Channel| ConsentFact { channel, ..consent(Some(Basis::DoubleOptIn)) };
    let (both, mail) = ([consent_by(Channel::Email), consent_by(Channel::Sms)], [consent_by(Channel::Email)]);
    let germany = Person { country: Some("DE"), time_zone: Some("Europe/Berlin"), ..nobody() };
    let (all, phone): (&[Channel], &[Channel]) = (&[Channel::Email, Channel::Sms], &[Channel::Sms]);
    let check = |chain: &[Channel], own: [Option<Channel>; 2], person: Person<'_>, expect: &[&str]| {
        let campaign = Campaign { channels: chain.to_vec(), from: "Shop <news@shop.example>".to_owned(), ..campaign() };
        let mut experiment = experiment.clone();
        for (variant, own) in experiment.variants.iter_mut().zip(own) {
            (variant.channel, variant.send_hour) = (own, Some(SendHour::At(12)));
        }
        let planner = Planner::new(
            Arc::new(Brief { campaign, experiment, recommended: None, balanced: None }),
            rules.clone(),
            at("2026-11-12T10:00:00Z"),
        );
        let told = |key: i64| {
            let person = Person { key: ContactKey::from_i64(key).unwrap(), ..person };
            let fate = planner.decide(&person, None);
            assert_eq!(planner.explain(&person, None).0, fate);
            match fate {
                Fate::Send { channel, .. } => channel.to_string(),
                Fate::LeftOut(why) => why.rule().0.to_owned(),
            }
        };
        let found: std::collections::BTreeSet<String> = (1..=40).map(told).collect();
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expect, "{chain:?} {own:?} {person:?}");
    };
    let (chain, free) = ([Channel::Sms, Channel::Email], [None, None]);
    let reached = Person { channels: all, consents: &both, ..germany };
    check(&chain, free, reached, &["sms"]);
    check(&chain, free, Person { prefers: Some(Channel::Email), ..reached }, &["email"]);
    check(&chain, free, Person { prefers: Some(Channel::Push), ..reached }, &["sms"]);
    check(&chain, free, Person { consents: &mail, ..reached }, &["email"]);
    check(&chain, free, Person { channels: phone, consents: &mail, ..reached }, &["consent/de"]);
    check(&chain, free, Person { channels: &[], ..reached }, &["contact/address"]);
    check(&[], free, Person { channels: phone, ..reached }, &["contact/address"]);
    // On trial are the channels: who may not get each of the variants gets none.
    let on_trial = [Some(Channel::Email), Some(Channel::Sms)];
    check(&chain, on_trial, reached, &["email", "sms"]);
    check(&chain, on_trial, Person { channels: phone, ..reached }, &["contact/address"]);
    check(&chain, on_trial, Person { consents: &mail, ..reached }, &["consent/de"]);
    // One variant has its channel, the other whichever it is for the contact.
    check(&chain, [None, Some(Channel::Sms)], Person { prefers: Some(Channel::Email), ..reached }, &["email", "sms"]);
    check(&chain, [None, Some(Channel::Sms)], Person { consents: &mail, ..reached }, &["consent/de"]);
}

#[test]
fn a_learned_hour_is_a_variant_like_others() {
    let (mut experiment, rules) = (experiment(), Arc::new(Rules::embedded().unwrap()));
    experiment.variants[1].send_hour = Some(SendHour::Learned);
    let consents = [consent(Some(Basis::Express))];
    let person = Person { country: Some("GB"), time_zone: Some("Europe/London"), consents: &consents, ..nobody() };
    let due_of = |campaign: Campaign, learned: Option<u8>, variant: &str| {
        let brief = Arc::new(Brief { campaign, experiment: experiment.clone(), recommended: None, balanced: None });
        let planner = Planner::new(brief, rules.clone(), at("2026-11-12T10:00:00Z"));
        let learned = learned.map(|hour| LearnedHour { hour, from: crate::Habit::Contact });
        let people = (1..=40).map(|key| Person { key: ContactKey::from_i64(key).unwrap(), learned, ..person });
        let dues = people.filter_map(|person| match planner.decide(&person, None) {
            Fate::Send { variant: Some(name), due, moved: None, .. } if name.as_str() == variant => Some(due.to_string()),
            Fate::Send { .. } => None,
            fate => panic!("{fate:?}"),
        });
        let dues: std::collections::BTreeSet<String> = dues.collect();
        dues.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(due_of(campaign(), Some(18), "late"), ["2026-11-12T18:00:00Z"]);
    assert_eq!(due_of(campaign(), Some(18), "early"), ["2026-11-13T09:00:00Z"]);
    assert_eq!(due_of(campaign(), None, "late"), ["2026-11-12T10:00:00Z"], "the default is ten o'clock");
    let fixed = Campaign { send_hour: Some(SendHour::At(12)), ..campaign() };
    assert_eq!(due_of(fixed, None, "late"), ["2026-11-12T12:00:00Z"]);
}

#[test]
fn reasons_come_in_order_and_explanations_agree() {
    let (experiment, mut campaign, rules) = (experiment(), campaign(), Arc::new(Rules::embedded().unwrap()));
    let check = |campaign: &Campaign, person: Person<'_>, is_reachable: bool, expect: &str| {
        let person = Person { channels: if is_reachable { person.channels } else { &[Channel::Sms] }, ..person };
        let brief = Brief { campaign: campaign.clone(), experiment: experiment.clone(), recommended: None, balanced: None };
        let planner = Planner::new(Arc::new(brief), rules.clone(), at("2026-11-12T10:00:00Z"));
        let fate = planner.decide(&person, None);
        let (explained, asked) = planner.explain(&person, None);
        assert_eq!(fate, explained);
        match fate {
            Fate::LeftOut(why) => assert_eq!(why.rule().0, expect),
            Fate::Send { .. } => assert_eq!((expect, asked.len()), ("", 2)),
        }
    };
    let given = [consent(Some(Basis::DoubleOptIn))];
    let withdrawn = [consent(None)];
    let person = Person { country: Some("DE"), time_zone: Some("Europe/Berlin"), consents: &given, ..nobody() };
    let list = [Suppression { reason: SuppressionReason::Unsubscribed, channel: None, at: at("2026-02-01T00:00:00Z") }];
    check(&campaign, person, true, "");
    check(&campaign, person, false, "contact/address");
    check(&campaign, Person { consents: &withdrawn, ..person }, true, "consent/de");
    check(&campaign, Person { suppressions: &list, ..person }, true, "suppression/unsubscribed");
    check(&campaign, Person { consents: &[], ..person }, true, "consent/de");
    let us = Person { country: Some("US"), region: Some("US-FL"), time_zone: None, consents: &[], ..person };
    check(&campaign, us, true, "");
    campaign.class = MessageClass::Transactional;
    check(&campaign, Person { suppressions: &list, consents: &[], ..person }, true, "");
    let half = |from, to| {
        let layer = Some(vocabulary::Layer { name: "subjects".to_owned(), from, to });
        let experiment = vocabulary::Experiment { layer, ..experiment.clone() };
        let brief = Brief { campaign: campaign.clone(), experiment, recommended: None, balanced: None };
        let fate = Planner::new(Arc::new(brief), rules.clone(), at("2026-11-12T10:00:00Z")).decide(&person, None);
        matches!(fate, Fate::LeftOut(why) if why.rule().0 == "experiment/layer")
    };
    assert_ne!(half(0, 50), half(50, 100), "who is not in one half is in the other");
    campaign.share = 1e-9;
    check(&campaign, person, false, "campaign/share");
}
