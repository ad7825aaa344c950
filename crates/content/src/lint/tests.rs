//! Each check has a copy that raises it and one that does not.

use std::collections::BTreeMap;

use vocabulary::{Channel, Copy, MessageClass, Translation};

use super::{LintInput, LintRules, Severity, Warning, lint};
use crate::Part;

/// A mail that nothing is to be said about.
fn good() -> Copy {
    let html = "<p>Hello {{ contact.attributes.first_name | default('you') }}, the coats that you looked at in autumn are back in all \
                sizes, and they are warmer than last year. We have kept one of each size for you until Sunday evening.</p>\n\
                <a href=\"https://shop.example/coats?c={{ campaign }}\">See the coats</a>\n\
                <img src=\"https://shop.example/coat.png\" alt=\"A blue coat\">\n\
                <p>Shop Inc., 12 Main Street, Springfield</p>\n\
                <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";
    Copy { subject: "Your coat is back".to_owned(), html: html.to_owned(), language: Some("en".to_owned()), ..Copy::default() }
}

fn short(text: &str) -> Copy {
    Copy { text: text.to_owned(), language: Some("en".to_owned()), ..Copy::default() }
}

/// The audience and what is registered.
#[derive(Default)]
struct Audience<'a> {
    markets: &'a [&'a str],
    languages: &'a [&'a str],
    registered: &'a [(&'a str, &'a str)],
}

fn linted(copy: Copy, channel: Channel, class: MessageClass, audience: &Audience<'_>) -> Vec<Warning> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let registered: Vec<(String, String)> =
        audience.registered.iter().map(|(copy, country)| ((*copy).to_owned(), (*country).to_owned())).collect();
    let copies = BTreeMap::from([("a".to_owned(), copy)]);
    let (markets, languages) = (owned(audience.markets), owned(audience.languages));
    let input = LintInput { copies: &copies, channel, class, markets: &markets, languages: &languages, registered: &registered };
    let rules = LintRules::built_in().expect("the shipped rules are right");
    let found = lint(&input, &rules);
    assert_eq!(found, lint(&input, &rules), "the same is found again");
    assert!(found.is_sorted(), "in order");
    found
}

fn mail(copy: Copy) -> Vec<Warning> {
    linted(copy, Channel::Email, MessageClass::Marketing, &Audience::default())
}

fn text(text: &str, markets: &[&str]) -> Vec<Warning> {
    let registered: Vec<(&str, &str)> = markets.iter().map(|market| ("a", *market)).collect();
    let audience = Audience { markets, registered: &registered, ..Audience::default() };
    linted(short(text), Channel::Sms, MessageClass::Marketing, &audience)
}

fn told(found: &[Warning]) -> Vec<(&str, usize)> {
    found.iter().map(|warning| (warning.code.as_str(), warning.line)).collect()
}

/// Checks that a change to the good mail raises exactly this, at this line.
fn check(change: impl FnOnce(&mut Copy), expect: &[(&str, usize)]) {
    let mut copy = good();
    change(&mut copy);
    let found = mail(copy);
    assert_eq!(told(&found), expect, "{found:#?}");
}

#[test]
fn a_good_mail_raises_nothing() {
    check(|_| {}, &[]);
}

#[test]
fn marketing_needs_a_way_out_and_an_address() {
    check(|copy| copy.html = copy.html.replace("{{ unsubscribe_url }}", "https://shop.example/"), &[("unsubscribe_missing", 0)]);
    check(|copy| copy.text = "Coats are back".to_owned(), &[("unsubscribe_missing", 0)]);
    check(|copy| copy.html = copy.html.replace("12 Main Street", "the coat shop"), &[("postal_address_missing", 0)]);
    check(|copy| copy.html = copy.html.replace("12 Main Street", "{{ campaign }} postal_address"), &[]);
    let mut copy = good();
    copy.html = copy.html.replace("{{ unsubscribe_url }}", "https://shop.example/").replace("12 Main Street", "the coat shop");
    let found = linted(copy, Channel::Email, MessageClass::Transactional, &Audience::default());
    assert_eq!(told(&found), [], "an order's mail needs neither");
}

#[test]
fn links_that_lead_nowhere() {
    let link = |to: &'static str| {
        move |copy: &mut Copy| copy.html = copy.html.replace("https://shop.example/coats?c={{ campaign }}", to)
    };
    check(link("https://shop.example/other"), &[]);
    check(link(""), &[("link_empty", 2)]);
    check(link("#"), &[("link_empty", 2)]);
    check(link("shop.example/coats"), &[("link_no_scheme", 2)]);
    check(link("http://shop.example/coats"), &[("link_http", 2)]);
    check(link("https://localhost/coats"), &[("link_local", 2)]);
    check(link("https://shop.example/blue coats"), &[("link_spaces", 2)]);
    check(link("https://shop.example/{campaign}"), &[("link_braces", 2)]);
    let plain = |link: &str| format!("Coats are back:\n{link}\n{{{{ unsubscribe_url }}}}");
    check(|copy| copy.text = plain("https://shop.example/coats"), &[]);
    check(|copy| copy.text = plain("http://localhost/coats"), &[("link_local", 2)]);
}

#[test]
fn html_that_is_not_shown() {
    check(|copy| copy.html.push_str(&" ".repeat(102 * 1024)), &[("html_large", 0)]);
    check(|copy| copy.html = copy.html.replace(" alt=\"A blue coat\"", ""), &[("image_no_alt", 3)]);
    check(|copy| copy.html = copy.html.replace("A blue coat", ""), &[]);
    let images = "<img src=a.png alt='Coats'>\n<p>12 Main Street</p><a href='{{ unsubscribe_url }}'>Unsubscribe</a>";
    check(|copy| copy.html = images.to_owned(), &[("image_only", 1)]);
    check(|copy| copy.html = images.replace("<img src=a.png alt='Coats'>", ""), &[]);
}

#[test]
fn subjects_that_are_not_read() {
    let subject = |text: &'static str| move |copy: &mut Copy| copy.subject = text.to_owned();
    let long = "The coats that you looked at in autumn are back in all sizes, and warm too";
    check(subject(long), &[("subject_long", 1)]);
    check(
        subject("Hello {{ contact.attributes.first_name | default('a name that is long enough for a very long subject') }}"),
        &[],
    );
    check(subject("COATS ARE BACK"), &[("subject_capitals", 1)]);
    check(subject("NEW COATS for you"), &[]);
    check(subject("Coats are back!!!"), &[("subject_exclamation", 1)]);
    check(subject("Coats are back!"), &[]);
}

#[test]
fn words_of_unwanted_mail_by_language() {
    check(|copy| copy.subject = "Click here for coats".to_owned(), &[("spam_word", 1)]);
    check(|copy| copy.subject = "Jetzt zuschlagen".to_owned(), &[]);
    let german = |copy: &mut Copy| {
        copy.subject = "Jetzt zuschlagen".to_owned();
        copy.language = Some("de-AT".to_owned());
    };
    check(german, &[("spam_word", 1)]);
    let unknown = |copy: &mut Copy| {
        copy.subject = "Jetzt zuschlagen".to_owned();
        copy.language = None;
    };
    check(unknown, &[("spam_word", 1)]);
}

#[test]
fn text_messages_and_what_they_cost() {
    assert_eq!(told(&text("Coats are back: https://shop.example {{ unsubscribe_url }}", &[])), []);
    let found = text("Coats are back\nand it’s cold", &[]);
    assert_eq!(told(&found), [("sms_unicode", 2)]);
    assert_eq!(found[0].found, "`’` (U+2019); write `'`");
    let found = text(&"coat ".repeat(40), &[]);
    assert_eq!(told(&found), [("sms_long", 0)]);
    assert!(found[0].found.starts_with("2 segments in GSM 7-bit, 199 units of 160"), "{found:?}");
    assert_eq!(text(&"coat ".repeat(100), &[])[0].severity, Severity::Warning, "four segments");
    assert_eq!(told(&text("コートが入荷しました", &[])), [], "the script itself is no fault");
    assert_eq!(told(&text(&format!("Coats {{{{ '{}' }}}}", "x".repeat(200)), &[])), [], "what is filled in is not counted");
}

#[test]
fn languages_of_the_audience() {
    let found = |languages: &[&str], copy: Copy| {
        let audience = Audience { languages, ..Audience::default() };
        linted(copy, Channel::Email, MessageClass::Marketing, &audience)
    };
    let translated = |tag: &str, html: &str| {
        let translation = Translation { subject: "-".to_owned(), html: html.to_owned(), ..Translation::default() };
        Copy { locales: BTreeMap::from([(tag.to_owned(), translation)]), ..good() }
    };
    let html = good().html;
    assert_eq!(told(&found(&["en", "en-GB"], good())), []);
    let holes = found(&["en", "fr", "zh-TW"], good());
    assert_eq!(
        holes.iter().map(|hole| (hole.code.as_str(), hole.found.as_str())).collect::<Vec<_>>(),
        [("language_uncovered", "fr"), ("language_uncovered", "zh-TW")]
    );
    assert_eq!(told(&found(&["en", "zh-TW"], translated("zh-Hant", &html))), []);
    assert_eq!(told(&found(&["en"], Copy { language: None, ..good() })), [("language_unstated", 0)]);
    let lacking = found(&[], translated("fr", ""));
    assert_eq!((told(&lacking), lacking[0].part), (vec![("translation_lacks_part", 0)], Some(Part::Html)));
    assert_eq!(told(&found(&[], translated("en-GB", ""))), [], "the part of `en` is taken");
    let broken = found(&[], translated("fr", &html.replace("12 Main Street", "")));
    assert_eq!((told(&broken), broken[0].language.as_deref()), (vec![("postal_address_missing", 0)], Some("fr")));
}

#[test]
fn templates_that_must_be_registered() {
    let found = |registered: &[(&str, &str)], channel| {
        let audience = Audience { markets: &["FR", "IN"], registered, ..Audience::default() };
        linted(short("Coats are back"), channel, MessageClass::Marketing, &audience)
    };
    let missing = found(&[], Channel::Sms);
    assert_eq!(told(&missing), [("template_unregistered", 0)]);
    assert_eq!(missing[0].found, "IN (template/in)");
    assert_eq!(told(&found(&[("a", "IN")], Channel::Sms)), []);
    assert_eq!(told(&found(&[("b", "IN")], Channel::Sms)), [("template_unregistered", 0)], "another copy is registered");
    assert_eq!(told(&found(&[], Channel::Push)), []);
    assert_eq!(found(&[], Channel::Whatsapp).len(), 2, "the platform asks for it everywhere");
}

/// Checks that a text raises the rule in the market, and that `other` does not.
fn check_market(rule: &str, market: &str, raises: &str, other: &str) {
    let codes = |words: &str, market: &str| text(words, &[market]).into_iter().map(|warning| warning.code).collect::<Vec<_>>();
    assert!(codes(raises, market).iter().any(|code| code == rule), "{rule}: {raises}");
    assert!(!codes(other, market).iter().any(|code| code == rule), "{rule}: {other}");
    assert!(!codes(raises, "NZ").iter().any(|code| code == rule), "{rule} is not about New Zealand");
}

#[test]
fn words_and_numbers_by_market() {
    check_market("culture/four", "CN", "Buy 4 coats", "Buy 3 coats for 44.40");
    check_market("culture/fourteen", "HK", "14 days", "15 days until 14:00");
    check_market("culture/nine-jp", "JP", "9 coats", "99 coats");
    check_market("culture/seventeen-it", "IT", "17 coats", "18 coats");
    check_market("culture/thirteen", "US", "13 coats", "12 coats");
    check_market("culture/green-hat-cn", "CN", "送你一顶绿帽子", "送你一顶红帽子");
    check_market("culture/clock-gift-cn", "CN", "A clock as a gift", "A clock for your kitchen");
    check_market("culture/clock-gift-words-cn", "TW", "過年送鐘", "過年送茶");
    check_market("culture/gifts-cn", "CN", "An umbrella as a present", "An umbrella against rain");
    check_market("culture/owl", "IT", "Un gufo", "Un cane");
    check_market("culture/thumbs-up", "IR", "👍", "🎉");
    check_market("culture/ok-hand", "BR", "👌", "🎉");
    check_market("culture/open-palm-gr", "GR", "✋", "🎉");
    check_market("culture/even-flowers-ru", "RU", "A dozen roses", "Eleven roses");
    check_market("culture/left-hand", "AE", "In your left hand", "In your hand");
    check_market("culture/alcohol-pork", "SA", "Wine and ham", "Tea and hamburgers");
    check_market("culture/beef-in", "IN", "Beef", "Beefed up");
    check_market("politics/cn-1989", "CN", "六四", "六五");
    check_market("politics/cn-1989-number", "CN", "64 coats", "65 coats");
    check_market("politics/cn-regions-as-countries", "CN", "中華民國", "中国台湾");
    check_market("politics/cn-regions-in-lists", "CN", "Choose your country: Taiwan", "Taiwan");
    check_market("politics/cn-map", "CN", "A map of China", "A map of the shop");
    check_market("politics/cn-symbols", "CN", "🇨🇳", "🎉");
    check_market("law/cn-superlatives", "CN", "全国第一", "全国包邮");
    check_market("law/cn-health-claims", "CN", "治疗感冒", "感冒季节");
    check_market("law/eu-health-claims", "DE", "Entgiftet", "Schmeckt");
    check_market("law/us-health-claims", "US", "Clinically proven", "Warm");
    check_market("law/jp-superlatives", "JP", "業界初", "新発売");
    check_market("law/kr-superlatives", "KR", "국내 최초입니다", "새로 나왔습니다");
    check_market("law/de-superlatives", "AT", "Die Nr. 1", "Die Neue");
}

#[test]
fn colours_by_market() {
    let found = |html: &str| {
        let copy = Copy { html: format!("{}\n{html}", good().html), ..good() };
        let audience = Audience { markets: &["KR"], ..Audience::default() };
        linted(copy, Channel::Email, MessageClass::Marketing, &audience)
    };
    assert_eq!(told(&found("<b style='color: #FF0000'>{{ contact.attributes.first_name }}</b>")), [("culture/red-name-kr", 6)]);
    assert_eq!(told(&found("<b style='color: #FF0000'>Sale</b> {{ contact.attributes.first_name }}")), []);
    assert_eq!(told(&found("<p style='background: white'>White flowers</p>")), [("culture/white-black-mourning", 6)]);
    assert_eq!(told(&found("<p style='background: white'>Coats</p>")), []);
}

#[test]
fn every_shipped_rule_has_a_test() {
    let rules = LintRules::built_in().expect("the shipped rules are right");
    let tests = include_str!("tests.rs");
    for rule in &rules.market {
        assert!(tests.contains(&format!("\"{}\"", rule.id)), "{} has no test", rule.id);
    }
    assert_eq!((rules.version(), rules.checked().as_str()), (1, "2026-11-29"));
}

#[test]
fn rules_that_say_nothing_are_refused() {
    let check = |rule: &str, problem: &str| {
        let head = "version = 1\nchecked = 2026-11-29\naddress = { source = \"s\", words = [\"road\"] }\n";
        let error = LintRules::read(&format!("{head}{rule}")).expect_err(rule).to_string();
        assert!(error.contains(problem), "{error}");
    };
    let rule = |rest: &str| {
        format!("[[market]]\nid = \"a/b\"\nwhere = [\"CN\"]\nseverity = \"hint\"\nwhy = \"w\"\nsource = \"s\"\n{rest}\n")
    };
    check(&rule(""), "rule `a/b`: says nothing");
    check(&rule("words = [\" \"]"), "holds an empty word");
    check(&rule("word = [\"x\"]"), "line 10: unknown field `word`");
    check(&rule("words = [\"x\"]").replace("CN", "China"), "`China` is no country");
    check(&rule("words = [\"x\"]").replace("\"s\"", "\"\""), "no reason or no source");
    check(&rule("words = [\"x\"]").replace("hint", "block"), "line 7: unknown variant `block`");
    check(&rule("words = [\"x\"]").repeat(2), "is there twice");
}
