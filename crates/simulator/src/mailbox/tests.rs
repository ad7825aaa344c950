//! Mailboxes are tested with the demo's real templates, rendered and tracked as a sender does it.

use content::{Data, Library, Links, RenderContext, Tracking, track};
use vocabulary::{Contact, ContactKey, MessageId, Profile};

use super::*;
use crate::texts::{Appeal, arms, test_campaign};
use crate::truth::Truth;
use crate::world::next_local_hour;

const BASE: &str = "http://127.0.0.1:4321";

/// Writes the mails of one campaign.
pub(crate) struct Writer {
    library: Library,
    pub(crate) links: Links,
}

impl Writer {
    pub(crate) fn new(base_url: &str) -> Self {
        let campaign = test_campaign(0.4);
        let library = Library::compile(&campaign.content, campaign.channel).unwrap();
        Self { library, links: Links::new([7; 32], base_url) }
    }

    /// The mail of a campaign, known by its number, to one shopper, as raw bytes.
    pub(crate) fn mail(&self, shopper: &Shopper, appeal: Appeal, campaign: usize) -> Vec<u8> {
        let attributes = [("first_name", shopper.first_name), ("interest", shopper.interest)];
        let profile = Profile {
            country: Some(shopper.market.country.to_owned()),
            language: Some(shopper.market.language.to_owned()),
            time_zone: Some(shopper.time_zone.to_owned()),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Profile::default()
        };
        let key = ContactKey::from_random(u64::from(shopper.number));
        let contact = Contact { profile, ..Contact::new(key, Timestamp::UNIX_EPOCH) };
        let message = MessageId::new(&format!("{campaign:016x}{:016x}", shopper.number)).unwrap();
        let unsubscribe_url = self.links.unsubscribe(&message);
        let context = RenderContext {
            contact: &contact,
            campaign: "demo",
            variant: "any",
            unsubscribe_url: &unsubscribe_url,
            preferences_url: "",
            data: &Data::default(),
            coupon: None,
            slots: &content::NO_SLOTS,
            now: Timestamp::UNIX_EPOCH,
        };
        let rendered = self.library.render(appeal.copy_name(), &context).unwrap();
        let html = track(&rendered.html, &Tracking { links: &self.links, message: &message, fields: &[], has_trap: false });
        format!(
            "From: <news@shop.example.test>\r\nTo: <{}>\r\nSubject: {}\r\nMIME-Version: 1.0\r\n\
             List-Unsubscribe: <{unsubscribe_url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
             Content-Type: multipart/alternative; boundary=\"frontier\"\r\n\r\n\
             --frontier\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}\r\n\
             --frontier\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{html}\r\n--frontier--\r\n",
            shopper.email(),
            rendered.subject,
            rendered.text,
        )
        .into_bytes()
    }
}

fn world(contacts: u32) -> World {
    World { seed: 42, contacts, start: "2026-03-02T00:00:00Z".parse().unwrap() }
}

/// Sends everybody one mail at its hour, lets them act, and gives the mailbox afterwards.
fn lived(world: &World, appeal: Appeal, hour: u8) -> Mailbox<'_> {
    let writer = Writer::new(BASE);
    let mut mailbox = Mailbox::new(world);
    mailbox.begin_campaign();
    for shopper in world.shoppers() {
        let now = next_local_hour(shopper.time_zone, hour, world.start).unwrap();
        mailbox.receive(&shopper.email(), &writer.mail(&shopper, appeal, 0), now).unwrap();
    }
    for visit in mailbox.take_visits(world.end()) {
        mailbox.visited(&visit, world.start);
    }
    mailbox
}

#[test]
fn every_shopper_understands_the_mail_in_their_own_language() {
    let world = world(300);
    let writer = Writer::new(BASE);
    for shopper in world.shoppers() {
        for appeal in Appeal::ALL {
            let reading = read(&writer.mail(&shopper, appeal, 0)).unwrap();
            let understood = reading.understood.expect("the demo's mails are understood");
            assert_eq!((understood.appeal, understood.language), (appeal, shopper.market.language), "{}", reading.subject);
            assert_eq!((reading.links.len(), reading.images.len()), (2, 1));
            assert!(reading.links.iter().all(|link| link.starts_with(BASE)), "{:?}", reading.links);
            assert!(reading.unsubscribe.is_some_and(|url| url.starts_with(BASE)));
        }
    }
}

#[test]
fn behaviour_through_real_mails_has_the_true_rates() {
    let world = world(8_000);
    let truth = Truth::of(&world).unwrap();
    for ((appeal, hour), arm) in arms().zip(&truth.arms) {
        let mailbox = lived(&world, appeal, hour);
        let check = |what: &str, count: u64, expected: f64| {
            let total = f64::from(world.contacts);
            let error = (expected * (1.0 - expected) / total).sqrt();
            let rate = count as f64 / total;
            assert!((rate - expected).abs() < 3.5 * error, "{} {what}: {rate} v {expected}", arm.variant);
        };
        check("opens", mailbox.counts.opens, arm.expected.opened);
        check("clicks", mailbox.counts.clicks, arm.expected.clicked);
        check("unsubscribes", mailbox.counts.unsubscribes, arm.expected.unsubscribed);
        let seen: Vec<_> = mailbox.variants[0].iter().collect();
        assert_eq!(
            seen,
            [(&arm.variant.to_string(), &u64::from(world.contacts))],
            "variants are known by what they say and when"
        );
    }
}

#[test]
fn orders_are_in_local_money_and_told_once() {
    let world = world(3_000);
    let mut mailbox = lived(&world, Appeal::Benefit, 20);
    let early = mailbox.take_orders(world.start + jiff::SignedDuration::from_hours(30));
    let late = mailbox.take_orders(world.end());
    assert!(!early.is_empty() && !late.is_empty());
    let orders: Vec<OrderRow> = early.into_iter().chain(late).collect();
    let ids: std::collections::BTreeSet<&str> = orders.iter().map(|order| order.event_id.as_str()).collect();
    assert_eq!(ids.len(), orders.len());
    assert_eq!(mailbox.counts.orders, orders.len() as u64);
    for order in &orders {
        let currency = Currency::new(order.currency).unwrap();
        let amount = vocabulary::Money::parse(&order.amount, currency).unwrap();
        assert!(amount.minor > 0, "{order:?}");
    }
    assert!(orders.iter().any(|order| order.currency == "JPY" && !order.amount.contains('.')));
}

#[test]
fn the_same_mails_in_another_order_lead_to_the_same_visits() {
    let world = world(400);
    let writer = Writer::new(BASE);
    let agenda = |numbers: Vec<u32>| {
        let mut mailbox = Mailbox::new(&world);
        mailbox.begin_campaign();
        for number in numbers {
            let shopper = world.shopper(number);
            mailbox.receive(&shopper.email(), &writer.mail(&shopper, Appeal::Plain, 0), world.start).unwrap();
        }
        format!("{:?}", mailbox.take_visits(world.end()))
    };
    assert_eq!(agenda((0..400).collect()), agenda((0..400).rev().collect()));
}

#[test]
fn wrongs_of_the_sender_are_counted() {
    let world = world(50);
    let writer = Writer::new(BASE);
    let shopper = world.shopper(3);
    let mail = writer.mail(&shopper, Appeal::Plain, 0);
    let mut mailbox = Mailbox::new(&world);
    mailbox.begin_campaign();
    mailbox.receive(&shopper.email(), &mail, world.start).unwrap();
    assert_eq!((mailbox.duplicates, mailbox.mailed_twice(), mailbox.unsubscribed_mailed), (0, 0, 0));
    mailbox.receive(&shopper.email(), &mail, world.start).unwrap();
    assert_eq!((mailbox.duplicates, mailbox.mailed_twice(), mailbox.unsubscribed_mailed), (1, 0, 0));
    mailbox.begin_campaign();
    let visit = Visit {
        number: 3,
        occasion: 0,
        is_machine: false,
        images: Vec::new(),
        link: None,
        purchase: None,
        unsubscribe: Some(BASE.to_owned()),
    };
    mailbox.visited(&visit, world.start);
    mailbox.receive(&shopper.email(), &mail, world.start).unwrap();
    assert_eq!((mailbox.duplicates, mailbox.mailed_twice(), mailbox.unsubscribed_mailed), (1, 1, 1));
}

#[test]
fn strangers_and_incomplete_mails_stop_the_run() {
    let world = world(50);
    let writer = Writer::new(BASE);
    let shopper = world.shopper(3);
    let mail = String::from_utf8(writer.mail(&shopper, Appeal::Plain, 0)).unwrap();
    let check = |to: &str, raw: String, expect: &str| {
        let error = Mailbox::new(&world).receive(to, raw.as_bytes(), world.start).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("c50@shoppers.example.test", mail.clone(), "no shopper of this world");
    check("someone@example.com", mail.clone(), "no shopper of this world");
    check(&shopper.email(), mail.replace("<img", "<hr"), "no tracking pixel");
    check(&shopper.email(), mail.replace("href=", "name="), "no link");
    check(&shopper.email(), mail.replace("List-Unsubscribe-Post", "X-Other"), "no one-click unsubscribe");
}

#[test]
fn amounts_have_the_currency_s_decimals() {
    let at: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    for market in crate::market::MARKETS {
        let shopper = Shopper { market, ..Shopper::new(1, 1) };
        for eur in [0.000_01, 0.07, 12.3, 4_000.0] {
            let currency = Currency::new(market.currency).unwrap();
            let amount = vocabulary::Money::parse(&local_amount(&shopper, at, eur), currency).unwrap();
            assert!(amount.minor >= 1);
        }
    }
}
