//! The language: the samples, what is refused with the field and the fix, and triggers in English.

use crate::tests::{euro, read, trigger};
use crate::{Act, Trigger};

const SAMPLES: &str = include_str!("../../../../data/samples/triggers.yaml");

fn samples() -> Vec<Trigger> {
    serde_saphyr::from_str(SAMPLES).unwrap()
}

#[test]
fn the_samples_are_taken_and_told_in_english() {
    let told: Vec<_> = samples().iter().map(Trigger::describe).collect();
    assert_eq!(
        told,
        [
            "3 days after a contact registered, if they have not ordered since, campaign welcome-offer is sent, once per contact, but \
         not to a holdout of 10 %.",
            "30 days after a contact last ordered, campaign win-back is sent, at most once in 90 days.",
            "When a contact has spent more than 500 within 90 days, campaign thank-you is sent 1 day later, at most once in 365 days.",
            "On a contact's birthday at 9:00 by their own clock, campaign birthday-wishes is sent, each time.",
            "60 minutes after a contact last looked at a product, if they have not put a product in the cart or ordered since, campaign \
         still-interested is sent, at most once in 7 days.",
            "60 minutes after a contact last put a product in the cart, if they have not ordered since, campaign your-cart is sent 2 \
         hours later, unless the contact ordered, unsubscribed or complained in between, at most once in 3 days.",
            "When a product that a contact saw within 30 days gets cheaper by at least 10 %, if they have not ordered since, campaign \
         price-drop is sent, at most once in 7 days.",
            "When a contact comes into segment rfm-champions, campaign champions-welcome is sent, once per contact.",
        ]
    );
    for sample in samples() {
        sample.check(euro()).unwrap();
        let json = serde_json::to_string(&sample).unwrap();
        assert_eq!(serde_json::from_str::<Trigger>(&json).unwrap(), sample, "{json}");
    }
}

#[test]
fn defaults_are_left_out() {
    let short = serde_json::to_string(&trigger("birthday: {at_hour: 9}", "")).unwrap();
    assert_eq!(short, r#"{"trigger":"test","when":{"birthday":{"days_before":0,"at_hour":9}},"campaign":"c"}"#);
    assert_eq!(Act::ALL.len(), 8);
}

#[test]
fn what_cannot_be_read_names_what_is_known() {
    let check = |when: &str, fields: &str, expect: &[&str]| {
        let error = read(when, fields).unwrap_err();
        for expect in expect {
            assert!(error.contains(expect), "{when} {fields}: {error}");
        }
    };
    check("birthdy: {at_hour: 9}", "", &["`birthdy`", "expected one of", "birthday"]);
    check("carted: {for_minute: 9}", "", &["`for_minute`", "expected one of", "for_minutes"]);
    check("birthday: {}", "", &["missing field `at_hour`"]);
    check("carted: {for_days: 1, without: [order]}", "", &["`order`", "registered, ordered, opened"]);
    check("spent: {more_than: 1}, birthday: {at_hour: 9}", "", &["`birthday` is a second condition in one block"]);
    check("carted: {for_days: -1}", "", &["-1"]);
    check("spent: {more_than: 1234567890123456.7}", "", &["write it in quotes"]);
    check("spent: {more_than: [1]}", "", &["an amount such as 12.50"]);
    let fine = "birthday: {at_hour: 9}";
    check(fine, "delay: 3", &["`delay`", "delay_minutes, delay_hours, delay_days"]);
    check(fine, "entry: twice", &["`twice`", "once, once_per_days, each_time"]);
    check(fine, "exit: [refunded]", &["`refunded`", "registered, ordered, opened"]);
    let scalar = serde_saphyr::from_str::<Trigger>("trigger: t\ncampaign: c\nwhen: carted\n").unwrap_err().to_string();
    assert!(scalar.contains("a condition such as `carted: {for_minutes: 60, without: [ordered]}`"), "{scalar}");
    let nameless = serde_saphyr::from_str::<Trigger>("trigger: t\nwhen: {birthday: {at_hour: 9}}\n").unwrap_err().to_string();
    assert!(nameless.contains("missing field `campaign`"), "{nameless}");
}

#[test]
fn a_condition_that_cannot_be_meant_names_the_field_and_the_fix() {
    let check = |when: &str, expect: &str| {
        assert_eq!(trigger(when, "").check(euro()).unwrap_err().to_string(), expect, "{when}");
    };
    check("registered: {}", "`when.registered` says no time; add one, such as for_days: 3");
    check("registered: {for_hours: 1, for_days: 3}", "`when.registered.for_days` is given beside hours; keep one of them");
    check("carted: {for_minutes: 0}", "`when.carted.for_minutes` is 0; write a number of minutes from 1 to 1440");
    check("carted: {for_minutes: 1441}", "`when.carted.for_minutes` is 1441; the limit is 1440 minutes");
    check("browsed: {for_hours: 745}", "`when.browsed.for_hours` is 745; the limit is 744 hours");
    check("browsed: {for_days: 731}", "`when.browsed.for_days` is 731; the limit is 730 days");
    let own = "`when.carted.without` names carted, which begins the wait; take it out";
    check("carted: {for_days: 1, without: [ordered, carted]}", own);
    let twice = "`when.carted.without[1]` names ordered again; name each act once";
    check("carted: {for_days: 1, without: [ordered, ordered]}", twice);
    check("inactive: {days: 0, without: [ordered]}", "`when.inactive.days` is 0; write a number of days from 1 to 730");
    check("inactive: {days: 1, without: []}", "`when.inactive.without` is empty; name at least one act, such as [ordered]");
    check("spent: {more_than: -5}", "`when.spent.more_than` is -5; write an amount of 0 or more");
    check(
        "spent: {more_than: 5.001}",
        "`when.spent.more_than` is no amount of EUR: `5.001` has more than the 2 decimals EUR has",
    );
    check(
        "spent: {more_than: many}",
        "`when.spent.more_than` is no amount of EUR: `many` is no amount; write a decimal number with a point, such as 12.50",
    );
    check("spent: {more_than: 5, within_days: 731}", "`when.spent.within_days` is 731; the limit is 730 days");
    check("birthday: {at_hour: 24}", "`when.birthday.at_hour` is 24; write an hour from 0 to 23");
    check("birthday: {at_hour: 9, days_before: 61}", "`when.birthday.days_before` is 61; the limit is 60 days");
    check(
        "price_dropped: {by_percent: 0, seen_within_days: 3}",
        "`when.price_dropped.by_percent` is 0; write a number of percent from 1 to 99",
    );
    check(
        "price_dropped: {by_percent: 10, seen_within_days: 3, without: [browsed]}",
        "`when.price_dropped.without` names browsed, by which a product is seen; take it out",
    );
    check("entered: {segment: ''}", "`when.entered.segment` is empty; give it at least one visible character");
}

#[test]
fn a_trigger_that_cannot_be_meant_names_the_field_and_the_fix() {
    let check = |fields: &str, expect: &str| {
        assert_eq!(trigger("entered: {segment: s}", fields).check(euro()).unwrap_err().to_string(), expect, "{fields}");
    };
    check("delay_minutes: 3\ndelay_days: 3", "`delay_days` is given beside minutes; keep one of them");
    check("delay_days: 0", "`delay_days` is 0; write a number of days from 1 to 730");
    check("entry: {once_per_days: 0}", "`entry.once_per_days` is 0; write a number of days from 1 to 730");
    check("delay_days: 1\nexit: [ordered, clicked, ordered]", "`exit[2]` names ordered again; name each act once");
    check("holdout: 1.5", "`holdout` is 1.5; write a share from 0 to 1, such as 0.1");
    check("holdout: .nan", "`holdout` is NaN; write a share from 0 to 1, such as 0.1");
    let description = format!("description: {}", "x".repeat(1001));
    check(&description, "`description` is 1001 bytes long; the limit is 1000");
    let mut nameless = trigger("entered: {segment: s}", "");
    nameless.trigger = " ".to_owned();
    assert_eq!(nameless.check(euro()).unwrap_err().field, "trigger");
}

#[test]
fn other_triggers_in_english() {
    let check = |when: &str, fields: &str, expect: &str| {
        assert_eq!(trigger(when, fields).describe(), expect);
    };
    check(
        "birthday: {at_hour: 18, days_before: 7}",
        "entry: each_time\nholdout: 0.07",
        "7 days before a contact's birthday at 18:00 by their own clock, campaign c is sent, each time, but not to a holdout of 7 %.",
    );
    check(
        "inactive: {days: 1, without: [opened, clicked, ordered]}",
        "delay_minutes: 1",
        "1 day after a contact last opened a message, followed a link or ordered, campaign c is sent 1 minute later, once per contact.",
    );
    check("spent: {more_than: 9.90}", "", "When a contact has spent more than 9.9, campaign c is sent, once per contact.");
}
