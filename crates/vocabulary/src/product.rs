//! Products as messages show them, and the slots of a campaign that are filled with those of the contact.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Money;
use crate::label::{LABEL_BYTES_MAX, check};
use crate::words::words;

/// The most slots of a campaign. Each is a query over the lake when a plan is made.
pub const SLOTS_MAX: usize = 8;
/// The most products in a slot: more than a mail can show and anybody looks at.
pub const SLOT_PRODUCTS_MAX: usize = 12;
/// Products of a contact that are kept for each place in a slot, so that one that is not sold any more makes room for the next.
pub const PICKS_PER_PLACE: usize = 2;
/// The longest title, in bytes: a line of a mail in any script.
const TITLE_BYTES_MAX: usize = 500;
/// The longest address, in bytes: what a tracking link can carry.
const URL_BYTES_MAX: usize = 1_400;
/// The most translations of a product: there are some hundred locales that shops write for.
const LOCALES_MAX: usize = 200;

/// A product of the shop, as far as a message shows it. Its price is told apart, because it changes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The shop's own id, as events of the kind `activity` tell it.
    pub product: String,
    /// What it is called.
    pub title: String,
    /// Where it is bought.
    pub url: String,
    /// Where its picture is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What readers of other languages are shown, by BCP 47 tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<String, ProductTranslation>,
}

/// A product in another language. What is absent is the product's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductTranslation {
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it is bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where its picture is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A product with the newest price that was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The product.
    pub product: Product,
    /// Its price; `None` where none was told.
    pub price: Option<Money>,
}

/// A list of products in the messages of a campaign: the contact's own first, then the same for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// One of [`SlotQuery`]'s words, or a query that gives `contact_key`, `product` and `position`, of which the least is first.
    pub query: String,
    /// The most products it shows, 1 to [`SLOT_PRODUCTS_MAX`].
    #[serde(default = "limit_default")]
    pub limit: usize,
    /// The products by which it is filled up where the contact has fewer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
}

/// As many as stand beside each other in a mail.
fn limit_default() -> usize {
    3
}

words!(
    /// The questions about a contact's products that need no SQL.
    SlotQuery {
        /// What they looked at, the last first.
        LastViewed = "last_viewed",
        /// What they put in the cart, the last first.
        LastCarted = "last_carted",
        /// What they put in the cart and no order followed, the last first.
        Abandoned = "abandoned",
        /// What was in the cart before an order, the last order first.
        LastOrdered = "last_ordered",
    }
);

impl Slot {
    /// The first field that is wrong, with what is wrong and the fix. SQL is checked where it is planned, and products where they
    /// are kept.
    ///
    /// # Errors
    /// Field and reason.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let first = self.query.split_whitespace().next().unwrap_or_default();
        let is_sql = ["SELECT", "WITH"].iter().any(|word| first.eq_ignore_ascii_case(word));
        if !is_sql && self.query.parse::<SlotQuery>().is_err() {
            let known: Vec<&str> = SlotQuery::ALL.iter().map(|word| word.as_str()).collect();
            let reason =
                format!("is none of {}; write one of them, or a query that begins with SELECT or WITH", known.join(", "));
            return Err(("query", reason));
        }
        if !(1..=SLOT_PRODUCTS_MAX).contains(&self.limit) {
            return Err(("limit", format!("is {}; write 1 to {SLOT_PRODUCTS_MAX}", self.limit)));
        }
        // Some of them may be what the contact has already.
        let most = SLOT_PRODUCTS_MAX * PICKS_PER_PLACE;
        if self.fallback.len() > most {
            return Err(("fallback", format!("names {} products; name at most {most}", self.fallback.len())));
        }
        let mut seen = BTreeSet::new();
        match self.fallback.iter().find(|product| !seen.insert(product.as_str())) {
            Some(product) => Err(("fallback", format!("names `{product}` twice; keep it once"))),
            None => Ok(()),
        }
    }

    /// How many of a contact's products are looked for.
    #[must_use]
    pub fn picks(&self) -> usize {
        self.limit * PICKS_PER_PLACE
    }
}

/// Whether templates can say `slots.NAME`: up to 64 small letters, digits and underscores, a letter first.
#[must_use]
pub fn is_slot_name(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(is_sign)
}

impl Product {
    /// The first field that is wrong, with what is wrong and the fix. Tags are checked where languages are known.
    ///
    /// # Errors
    /// Field and reason.
    pub fn check(&self) -> Result<(), (String, String)> {
        check(&self.product, LABEL_BYTES_MAX).map_err(|error| ("product".to_owned(), error.to_string()))?;
        title("title", &self.title)?;
        address("url", &self.url)?;
        self.image.iter().try_for_each(|image| address("image", image))?;
        if self.locales.len() > LOCALES_MAX {
            return Err(("locales".to_owned(), format!("has {}; give at most {LOCALES_MAX}", self.locales.len())));
        }
        for (tag, other) in &self.locales {
            other.title.iter().try_for_each(|text| title(&format!("locales.{tag}.title"), text))?;
            other.url.iter().try_for_each(|url| address(&format!("locales.{tag}.url"), url))?;
            other.image.iter().try_for_each(|image| address(&format!("locales.{tag}.image"), image))?;
        }
        Ok(())
    }
}

fn title(field: &str, text: &str) -> Result<(), (String, String)> {
    check(text, TITLE_BYTES_MAX).map(drop).map_err(|error| (field.to_owned(), error.to_string()))
}

fn address(field: &str, url: &str) -> Result<(), (String, String)> {
    let wrong = |reason: String| Err((field.to_owned(), reason));
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return wrong("is no address of the web; write one such as https://shop.example/p/1".to_owned());
    }
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong("holds a blank; write %20 in its place".to_owned());
    }
    if url.len() > URL_BYTES_MAX {
        return wrong(format!("is {} bytes long; the limit is {URL_BYTES_MAX}", url.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_slot_is_named() {
        let good = Slot { query: "last_viewed".into(), limit: 3, fallback: vec!["a".into(), "b".into()] };
        assert_eq!((good.check(), good.picks()), (Ok(()), 6));
        assert_eq!(Slot { query: " with x as (select 1) select *".into(), ..good.clone() }.check(), Ok(()));
        let wrong = |slot: Slot| slot.check().unwrap_err();
        let known = "is none of last_viewed, last_carted, abandoned, last_ordered; write one of them, or a query that begins with \
                     SELECT or WITH";
        assert_eq!(wrong(Slot { query: "last_seen".into(), ..good.clone() }), ("query", known.to_owned()));
        assert_eq!(wrong(Slot { query: "DELETE FROM orders".into(), ..good.clone() }).0, "query");
        assert_eq!(wrong(Slot { limit: 0, ..good.clone() }).0, "limit");
        assert_eq!(wrong(Slot { limit: 13, ..good.clone() }).1, "is 13; write 1 to 12");
        assert_eq!(wrong(Slot { fallback: vec!["a".into(), "a".into()], ..good }).1, "names `a` twice; keep it once");
        assert!(is_slot_name("last_seen2") && !is_slot_name("2") && !is_slot_name("a.b") && !is_slot_name("Viewed"));
    }

    #[test]
    fn what_is_wrong_with_a_product_is_named() {
        let good = Product {
            product: "sku-1".into(),
            title: "Boots".into(),
            url: "https://shop.example/p/1?a=b&c=d".into(),
            image: None,
            locales: BTreeMap::new(),
        };
        assert_eq!(good.check(), Ok(()));
        let field = |product: Product| product.check().unwrap_err().0;
        assert_eq!(field(Product { title: " ".into(), ..good.clone() }), "title");
        for url in ["javascript:alert(1)", "https:///p", "/p/1", "https://shop.example/a b", ""] {
            assert_eq!(field(Product { url: url.into(), ..good.clone() }), "url", "{url}");
        }
        assert_eq!(field(Product { image: Some("data:image/png;base64,x".into()), ..good.clone() }), "image");
        let other = ProductTranslation { url: Some("ftp://x".into()), ..ProductTranslation::default() };
        assert_eq!(field(Product { locales: [("de".to_owned(), other)].into(), ..good }), "locales.de.url");
    }
}
