//! Product slots as templates see them: the contact's own products first, then those that the campaign shows to everybody, none twice
//! in one slot, each in the language of the message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use minijinja::Value;
use vocabulary::{Offer, ProductTranslation, Slot};

use crate::readers::Readers;

/// The products of one message, by slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slots(BTreeMap<String, Vec<Arc<Offer>>>);

/// Those of a message without slots.
pub static NO_SLOTS: Slots = Slots(BTreeMap::new());

impl Slots {
    /// Fills the slots of a campaign with the `picks` of a contact, which are ids of products by slot, and then with the fallback.
    /// What is not among `offers` is not sold any more and is passed over.
    #[must_use]
    pub fn fill(
        slots: &BTreeMap<String, Slot>,
        picks: &BTreeMap<String, Vec<String>>,
        offers: &HashMap<String, Arc<Offer>>,
    ) -> Self {
        let filled = |(name, slot): (&String, &Slot)| {
            let mut shown: Vec<Arc<Offer>> = Vec::with_capacity(slot.limit);
            let own = picks.get(name).into_iter().flatten();
            for offer in own.chain(&slot.fallback).filter_map(|product| offers.get(product)) {
                if shown.len() == slot.limit {
                    break;
                }
                if shown.iter().all(|known| known.product.product != offer.product.product) {
                    shown.push(offer.clone());
                }
            }
            (name.clone(), shown)
        };
        Self(slots.iter().map(filled).collect())
    }

    /// The products that the slots of a campaign may show for these picks of contacts.
    #[must_use]
    pub fn products<'a>(
        slots: &'a BTreeMap<String, Slot>,
        picks: impl Iterator<Item = &'a BTreeMap<String, Vec<String>>>,
    ) -> BTreeSet<&'a str> {
        let own = picks.flat_map(|picks| picks.values().flatten());
        own.chain(slots.values().flat_map(|slot| &slot.fallback)).map(String::as_str).collect()
    }

    /// What templates know below `slots`, for who reads these languages, best first. A slot with nothing to show is lacking.
    pub(crate) fn value(&self, readers: &Readers, keys: &[String]) -> Value {
        let filled = self.0.iter().filter(|(_, offers)| !offers.is_empty());
        Value::from_pairs(filled.map(|(name, offers)| {
            let items: Vec<Value> = offers.iter().map(|offer| item(offer, readers, keys)).collect();
            (name.as_str(), Value::from(items))
        }))
    }
}

/// One product. What is not known of it is left out, so that its absence is found.
fn item(offer: &Offer, readers: &Readers, keys: &[String]) -> Value {
    let product = &offer.product;
    let translation = translation(&product.locales, readers, keys);
    let own = |of: fn(&ProductTranslation) -> &Option<String>| translation.and_then(|other| of(other).as_deref());
    let mut fields: Vec<(&str, Value)> = vec![
        ("product", Value::from(product.product.as_str())),
        ("title", Value::from(own(|other| &other.title).unwrap_or(&product.title))),
        ("url", Value::from(own(|other| &other.url).unwrap_or(&product.url))),
    ];
    let image = own(|other| &other.image).or(product.image.as_deref());
    fields.extend(image.map(|image| ("image", Value::from(image))));
    if let Some(price) = offer.price {
        let written = price.to_string();
        let amount = written.split_once(' ').map_or(written.as_str(), |(amount, _)| amount);
        fields.extend([("price", Value::from(amount)), ("currency", Value::from(price.currency.as_str()))]);
    }
    Value::from_pairs(fields)
}

/// The translation of which the language is read best.
fn translation<'a>(
    locales: &'a BTreeMap<String, ProductTranslation>,
    readers: &Readers,
    keys: &[String],
) -> Option<&'a ProductTranslation> {
    let rank = |tag: &String| {
        let wish = readers.wish(tag)?;
        keys.iter().position(|key| *key == wish.key)
    };
    let ranked = locales.iter().filter_map(|(tag, translation)| Some((rank(tag)?, translation)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, translation)| translation)
}

#[cfg(test)]
mod tests;
