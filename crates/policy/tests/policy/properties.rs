//! What holds of every decision, whatever the facts: tried with random contacts, messages and moments.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use policy::{
    Basis, ConsentFact, ContactFacts, ContactZone, Decision, MessageFacts, Purpose, Rules, Schedule, SentFact, Suppression,
    SuppressionReason,
};
use proptest::prelude::*;
use vocabulary::{Channel, ContactKey, MessageClass};

const PLACES: [(&str, Option<&str>, &str); 10] = [
    ("US", Some("FL"), "America/New_York"),
    ("US", None, "America/Chicago"),
    ("FR", None, "Europe/Paris"),
    ("BR", None, "America/Sao_Paulo"),
    ("KR", None, "Asia/Seoul"),
    ("ZA", None, "Africa/Johannesburg"),
    ("CO", None, "America/Bogota"),
    ("CL", None, "America/Santiago"),
    ("EG", None, "Africa/Cairo"),
    ("AU", Some("NSW"), "Australia/Lord_Howe"),
];
const CHANNELS: [Channel; 3] = [Channel::Email, Channel::Push, Channel::Sms];

/// Random facts, owned.
#[derive(Debug, Clone)]
struct Facts {
    place: usize,
    channel: usize,
    class: usize,
    /// Whether the clock is known, unknown or guessed.
    clock: u8,
    at: Timestamp,
    due_hours: Option<i64>,
    consents: Vec<(u8, i64)>,
    suppressed: Option<(usize, i64)>,
    sends: Vec<(usize, i64)>,
    window: Option<(usize, u8)>,
}

/// Hours before the moment that is asked about, as a moment.
fn ago(at: Timestamp, hours: i64) -> Timestamp {
    at.checked_sub(SignedDuration::from_hours(hours)).expect("within the years of the test")
}

prop_compose! {
    fn facts()(
        place in 0..PLACES.len(), channel in 0..CHANNELS.len(), class in 0..MessageClass::ALL.len(), clock in 0_u8..3,
        // Minutes from the first of October 2026 on, over two changes of the clock.
        minutes in 0_i64..400 * 24 * 60,
        due_hours in prop::option::of(-100_i64..50),
        consents in prop::collection::vec((0_u8..8, 0_i64..20_000), 0..4),
        suppressed in prop::option::weighted(0.2, (0..SuppressionReason::ALL.len(), 0_i64..1000)),
        sends in prop::collection::vec((0..CHANNELS.len(), -48_i64..744), 0..8),
        window in prop::option::weighted(0.3, (0_usize..4, 0_u8..3)),
    ) -> Facts {
        let start: Timestamp = "2026-10-01T00:00:00Z".parse().expect("a moment");
        let at = start.checked_add(SignedDuration::from_mins(minutes)).expect("within the years of the test");
        Facts { place, channel, class, clock, at, due_hours, consents, suppressed, sends, window }
    }
}

impl Facts {
    fn with<T>(&self, use_them: impl FnOnce(&ContactFacts<'_>, &MessageFacts<'_>) -> T) -> T {
        let (country, region, zone) = PLACES[self.place];
        let zone: TimeZone = TimeZoneDatabase::bundled().get(zone).expect("a time zone");
        let channel = CHANNELS[self.channel];
        let consent = |(basis, hours): &(u8, i64)| ConsentFact {
            channel,
            purpose: Purpose::Marketing,
            given: Basis::ALL.get(usize::from(*basis)).copied(),
            at: ago(self.at, *hours),
        };
        let consents: Vec<ConsentFact> = self.consents.iter().map(consent).collect();
        let suppressions: Vec<Suppression> = self
            .suppressed
            .iter()
            .map(|(reason, hours)| Suppression {
                reason: SuppressionReason::ALL[*reason],
                channel: None,
                at: ago(self.at, *hours),
            })
            .collect();
        let sends: Vec<SentFact<'_>> = self
            .sends
            .iter()
            .map(|(channel, hours)| SentFact {
                at: ago(self.at, *hours),
                channel: CHANNELS[*channel],
                class: MessageClass::ALL[self.class],
                content: Some("spring"),
            })
            .collect();
        let contact = ContactFacts {
            key: ContactKey::from_i64(7).expect("positive"),
            country: Some(country),
            region,
            zone: (self.clock != 1).then_some(ContactZone { zone: &zone, is_derived: self.clock == 2 }),
            consents: &consents,
            suppressions: &suppressions,
            sends: &sends,
        };
        let windows = ["daily 00:30-02:30", "mon-fri 09:00-17:00", "sat,sun 10:00-12:00", "daily 22:00-24:00"];
        let message = MessageFacts {
            content: Some("spring"),
            schedule: self.due_hours.map(|hours| Schedule::At(ago(self.at, hours))),
            window: self.window.map(|(window, _)| windows[window].parse().expect("a window")),
            ..MessageFacts::new(MessageClass::ALL[self.class], channel)
        };
        use_them(&contact, &message)
    }
}

fn rules() -> &'static Rules {
    static RULES: std::sync::LazyLock<Rules> = std::sync::LazyLock::new(|| Rules::embedded().expect("sound"));
    &RULES
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_is_explained_and_a_deferral_is_the_first_moment(facts in facts(), part in 0.0_f64..1.0) {
        facts.with(|contact, message| {
            let decision = rules().decide(contact, message, facts.at);
            prop_assert_eq!(&rules().explain(contact, message, facts.at).decision, &decision);
            if let Decision::Defer { until, .. } = decision {
                prop_assert!(until > facts.at);
                prop_assert_eq!(rules().decide(contact, message, until), Decision::Permit);
                let wait = facts.at.duration_until(until).as_secs_f64();
                let between = facts.at.checked_add(SignedDuration::from_secs((wait * part) as i64)).expect("in between");
                let is_permitted = between < until && rules().decide(contact, message, between) == Decision::Permit;
                prop_assert!(!is_permitted, "{between} would have been permitted before {until}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_order_of_facts_does_not_matter(facts in facts()) {
        let mut turned = facts.clone();
        turned.consents.reverse();
        turned.sends.reverse();
        let decide = |facts: &Facts| facts.with(|contact, message| rules().decide(contact, message, facts.at));
        // Two consents of the same moment are told apart by nothing but their order.
        let mut moments: Vec<i64> = facts.consents.iter().map(|(_, hours)| *hours).collect();
        moments.sort_unstable();
        prop_assume!(moments.windows(2).all(|pair| pair[0] != pair[1]));
        prop_assert_eq!(decide(&facts), decide(&turned));
    }

    #[test]
    fn a_suppression_never_permits_more(facts in facts(), reason in 0..SuppressionReason::ALL.len()) {
        let decide = |facts: &Facts| facts.with(|contact, message| rules().decide(contact, message, facts.at));
        let without = decide(&Facts { suppressed: None, ..facts.clone() });
        let with = decide(&Facts { suppressed: Some((reason, 0)), ..facts.clone() });
        let is_refused = matches!(with, Decision::Refuse { .. });
        prop_assert!(with == without || is_refused);
    }
}
