//! What tests of templates share: a reader, and what a template is filled in with for them.

use vocabulary::{Contact, ContactKey, Profile, Timestamp};

use crate::{Data, NO_SLOTS, RenderContext};

/// A contact of whom this is known.
pub(crate) fn reader(profile: Profile) -> Contact {
    Contact { profile, ..Contact::new(ContactKey::from_random(8), Timestamp::UNIX_EPOCH) }
}

/// A message to a contact at noon of the 11th of November, without coupon and products.
pub(crate) fn context<'a>(contact: &'a Contact, data: &'a Data) -> RenderContext<'a> {
    RenderContext {
        contact,
        campaign: "autumn",
        variant: "Mens E-Mail",
        unsubscribe_url: "https://mail.shop.example/t/u/x",
        preferences_url: "p",
        data,
        coupon: None,
        slots: &NO_SLOTS,
        now: "2026-11-11T12:00:00Z".parse().unwrap(),
    }
}
