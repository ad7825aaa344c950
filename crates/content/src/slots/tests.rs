//! Slots: whose products stand in them, in which language, and what a template makes of them.

use vocabulary::{Channel, Copy, Currency, Missing, Money, Product, Profile};

use super::*;
use crate::testing::{context, reader};
use crate::{ContentError, Data, Given, Library, RenderContext, Rendered};

fn offer(id: &str, title: &str, price: Option<i64>) -> (String, Arc<Offer>) {
    let url = format!("https://shop.example/p/{id}?a=1&b=2");
    let german = ProductTranslation { title: Some(format!("{title} auf Deutsch")), ..ProductTranslation::default() };
    let product =
        Product { product: id.into(), title: title.into(), url, image: None, locales: [("de".to_owned(), german)].into() };
    let price = price.map(|minor| Money { minor, currency: Currency::new("EUR").unwrap() });
    (id.to_owned(), Arc::new(Offer { product, price }))
}

fn shop() -> HashMap<String, Arc<Offer>> {
    [offer("a", "Apples & <b>", Some(1_250)), offer("b", "Bread", None), offer("c", "Cheese", None), offer("d", "Dates", None)]
        .into()
}

fn slots(limit: usize, fallback: &[&str]) -> BTreeMap<String, Slot> {
    let fallback = fallback.iter().map(|id| (*id).to_owned()).collect();
    [("viewed".to_owned(), Slot { query: "last_viewed".into(), limit, fallback })].into()
}

fn picks(ids: &[&str]) -> BTreeMap<String, Vec<String>> {
    [("viewed".to_owned(), ids.iter().map(|id| (*id).to_owned()).collect())].into()
}

#[test]
fn a_slot_is_filled_with_ones_own_then_with_the_fallback_and_nothing_twice() {
    let check = |limit: usize, own: &[&str], fallback: &[&str], expect: &[&str]| {
        let filled = Slots::fill(&slots(limit, fallback), &picks(own), &shop());
        let shown: Vec<&str> = filled.0["viewed"].iter().map(|offer| offer.product.product.as_str()).collect();
        assert_eq!(shown, expect, "{own:?} {fallback:?}");
    };
    check(3, &["b", "a"], &["c", "d"], &["b", "a", "c"]);
    check(3, &["b", "a"], &["a", "b", "d"], &["b", "a", "d"]);
    check(2, &["c", "b", "a"], &["d"], &["c", "b"]);
    check(3, &[], &["d", "c"], &["d", "c"]);
    // What is not sold any more makes room for the next.
    check(2, &["gone", "b", "c"], &["d"], &["b", "c"]);
    check(2, &["gone"], &["gone", "d"], &["d"]);
    check(2, &[], &[], &[]);
    let (slots, some) = (slots(2, &["d"]), [picks(&["b"]), picks(&["a", "b"])]);
    let named: Vec<&str> = Slots::products(&slots, some.iter()).into_iter().collect();
    assert_eq!(named, ["a", "b", "d"]);
}

const LIST: &str = "{% for item in slots.viewed %}<a href=\"{{ item.url }}\">{{ item.title }}</a>{% if item.price is defined %} \
                    {{ item.price | money(item.currency) }}{% endif %}{% endfor %}";

fn library(html: &str, language: Option<&str>, missing: Missing) -> Result<Library, ContentError> {
    let copy = Copy { subject: "s".into(), html: html.into(), language: language.map(str::to_owned), missing, ..Copy::default() };
    let given = Given { slots: &slots(2, &[]), ..Given::default() };
    Library::compile_with(&[("a".to_owned(), copy)].into(), Channel::Email, given)
}

fn rendered(library: &Library, own: &[&str], language: Option<&str>) -> Result<Rendered, ContentError> {
    let profile = Profile { language: language.map(str::to_owned), ..Profile::default() };
    let (contact, data) = (reader(profile), Data::default());
    let slots = Slots::fill(&slots(2, &[]), &picks(own), &shop());
    library.render("a", &RenderContext { slots: &slots, ..context(&contact, &data) })
}

#[test]
fn products_are_escaped_and_become_text_too() {
    let mail = rendered(&library(LIST, Some("en"), Missing::Fail).unwrap(), &["a", "b"], Some("en")).unwrap();
    let expect = "<a href=\"https:&#x2f;&#x2f;shop.example&#x2f;p&#x2f;a?a=1&amp;b=2\">Apples &amp; &lt;b&gt;</a> €12.50\
                  <a href=\"https:&#x2f;&#x2f;shop.example&#x2f;p&#x2f;b?a=1&amp;b=2\">Bread</a>";
    assert!(mail.html.contains(expect), "{}", mail.html);
    assert!(mail.text.contains("Apples & <b>") && mail.text.contains("https://shop.example/p/a?a=1&b=2"), "{}", mail.text);
}

#[test]
fn products_speak_the_language_of_the_message() {
    let check = |written: Option<&str>, reader: Option<&str>, is_german: bool| {
        let mail = rendered(&library(LIST, written, Missing::Fail).unwrap(), &["b"], reader).unwrap();
        assert_eq!(mail.html.contains("Bread auf Deutsch"), is_german, "{written:?} {reader:?}: {}", mail.html);
    };
    check(None, Some("de-AT"), true);
    check(None, Some("fr"), false);
    check(None, None, false);
    check(Some("de"), Some("de-CH"), true);
    check(Some("de"), Some("fr"), true);
    check(Some("en"), Some("de"), false);
}

#[test]
fn a_slot_with_nothing_in_it_is_lacking() {
    let error = rendered(&library(LIST, None, Missing::Fail).unwrap(), &[], None).unwrap_err();
    let expect = "render copy `a`, html, line 1: there is no product for `slots.viewed`; give the slot a `fallback`, or write \
                  `{% if slots.viewed is defined %}` around it";
    assert_eq!((error.to_string().as_str(), error.is_skip()), (expect, false));
    assert!(rendered(&library(LIST, None, Missing::Skip).unwrap(), &["gone"], None).unwrap_err().is_skip());
    let careful = format!("x{{% if slots.viewed is defined %}}{LIST}{{% endif %}}");
    assert_eq!(rendered(&library(&careful, None, Missing::Fail).unwrap(), &[], None).unwrap().text, "x");
    let bare = "{% for item in slots.viewed %}{{ item.image }}{% endfor %}";
    let error = rendered(&library(bare, None, Missing::Fail).unwrap(), &["a"], None).unwrap_err().to_string();
    assert!(error.contains("`item.image`"), "{error}");
}

#[test]
fn a_slot_that_is_not_declared_is_named_when_it_is_stored() {
    let error = library("{% for item in slots.veiwed %}x{% endfor %}", None, Missing::Fail).unwrap_err().to_string();
    assert_eq!(error, "content: copy `a`, html, line 1: `slots.veiwed` is not known; there are slots.viewed");
    let copy = Copy { text: "{{ slots.viewed[0].title }}".into(), ..Copy::default() };
    let error = Library::compile(&[("a".to_owned(), copy)].into(), Channel::Sms).unwrap_err().to_string();
    assert!(error.ends_with("`slots` is not known here; a campaign that writes `slots` knows them, in its copies"), "{error}");
}
