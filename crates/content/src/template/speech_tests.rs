//! Which translation a reader gets, from where it takes its parts, and what is wrong with languages.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vocabulary::{Channel, Contact, Copy, Missing, Profile, Snippet, Translation};

use super::*;
use crate::check_snippets;
use crate::testing::{self, context};

fn all(mark: &str) -> Translation {
    Translation { subject: mark.into(), html: format!("<p>{mark}</p>"), text: mark.into(), ..Translation::default() }
}

fn copy(language: Option<&str>, locales: &[(&str, Translation)]) -> Copy {
    Copy {
        subject: "own".into(),
        html: "<p>own</p>".into(),
        text: "own".into(),
        language: language.map(str::to_owned),
        locales: locales.iter().map(|(tag, translation)| ((*tag).to_owned(), translation.clone())).collect(),
        ..Copy::default()
    }
}

fn compile_for(copy: Copy, channel: Channel) -> Result<Library, ContentError> {
    Library::compile(&BTreeMap::from([("a".to_owned(), copy)]), channel)
}

fn compile(copy: Copy) -> Result<Library, ContentError> {
    compile_for(copy, Channel::Email)
}

fn reader(language: Option<&str>) -> Contact {
    testing::reader(Profile { language: language.map(str::to_owned), ..Profile::default() })
}

fn render_with(library: &Library, contact: &Contact, data: &Data) -> Result<Rendered, ContentError> {
    library.render("a", &context(contact, data))
}

fn rendered(library: &Library, language: Option<&str>) -> Rendered {
    render_with(library, &reader(language), &Data::default()).unwrap()
}

#[test]
fn readers_get_the_most_specific_translation_they_understand() {
    let marks = ["zh-Hant", "zh-Hans", "pt-PT", "pt", "es-419", "en-001", "he", "sr-Latn", "no"];
    let translations: Vec<(&str, Translation)> = marks.iter().map(|mark| (*mark, all(mark))).collect();
    let library = compile(copy(Some("en"), &translations)).unwrap();
    let check = |language: Option<&str>, expect: &str| {
        let rendered = rendered(&library, language);
        let mark = if expect == "en" { "own" } else { expect };
        assert_eq!((rendered.subject.as_str(), rendered.language.as_deref()), (mark, Some(expect)), "{language:?}");
    };
    check(Some("zh-Hant-HK"), "zh-Hant");
    check(Some("zh-HK"), "zh-Hant");
    check(Some("zh_TW"), "zh-Hant");
    check(Some("ZH-cn"), "zh-Hans");
    check(Some("zh-SG"), "zh-Hans");
    check(Some("zh"), "zh-Hans");
    check(Some("pt-AO"), "pt-PT");
    check(Some("pt-BR"), "pt");
    check(Some("es-MX"), "es-419");
    check(Some("es-ES"), "en");
    check(Some("en-AU"), "en-001");
    check(Some("en-US"), "en");
    check(Some("iw"), "he");
    check(Some("sr-ME"), "sr-Latn");
    check(Some("nb-NO"), "no");
    check(Some("yue-HK"), "zh-Hant");
    check(Some("ja"), "en");
    check(Some("nonsense, really"), "en");
    check(None, "en");
}

#[test]
fn traditional_and_simplified_are_never_taken_for_each_other() {
    let check = |tag: &str, language: &str, expect: &str| {
        let library = compile(copy(Some("en"), &[(tag, all(tag))])).unwrap();
        assert_eq!(rendered(&library, Some(language)).subject, expect, "{tag} {language}");
    };
    for language in ["zh-TW", "zh-HK", "zh-Hant", "zh-MO", "yue-HK"] {
        check("zh-Hans", language, "own");
        check("zh-CN", language, "own");
    }
    for language in ["zh-CN", "zh-SG", "zh-Hans", "zh"] {
        check("zh-Hant", language, "own");
        check("zh-TW", language, "own");
    }
    check("zh", "zh-HK", "zh");
    check("zh-TW", "zh-Hant-TW", "zh-TW");
}

#[test]
fn parts_are_taken_down_the_line_of_one_language() {
    let subject_only = Translation { subject: "香港".into(), ..Translation::default() };
    let library = compile(copy(Some("en"), &[("zh-Hant-HK", subject_only.clone()), ("zh-Hant", all("臺灣"))])).unwrap();
    let hong_kong = rendered(&library, Some("zh-HK"));
    assert_eq!((hong_kong.subject.as_str(), hong_kong.text.as_str()), ("香港", "臺灣"));
    assert_eq!(hong_kong.html, "<div lang=\"zh-Hant\" dir=\"ltr\"><p>臺灣</p></div>");
    assert_eq!(hong_kong.language.as_deref(), Some("zh-Hant-HK"));

    // Its own parts are those of a copy's language.
    let library = compile(copy(Some("zh"), &[("zh-Hant", subject_only.clone())])).unwrap();
    assert_eq!(rendered(&library, Some("zh-TW")).text, "own");

    let check = |language: Option<&str>, tag: &str, translation: Translation, expect: &str| {
        let error = compile(copy(language, &[(tag, translation)])).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(
        Some("en"),
        "zh-Hant",
        subject_only.clone(),
        "content: copy `a`, zh-Hant: has no html, and there is no `zh` to take it from; write it",
    );
    check(
        Some("en"),
        "zh_hant_hk",
        subject_only,
        "content: copy `a`, zh-Hant-HK: has no html, and there is no `zh-Hant` or `zh` to take it from; write it",
    );
    let html_only = Translation { html: "<p>x</p>".into(), ..Translation::default() };
    check(None, "ja", html_only, "content: copy `a`, ja: has no subject; write it");
}

#[test]
fn a_text_is_not_less_specific_than_its_html() {
    let own_html = Translation { html: "<p>香港</p>".into(), ..Translation::default() };
    let library = compile(copy(Some("en"), &[("zh-Hant", own_html), ("zh", all("中国"))])).unwrap();
    let rendered = rendered(&library, Some("zh-HK"));
    assert_eq!((rendered.subject.as_str(), rendered.text.as_str()), ("中国", "香港"));
}

#[test]
fn bad_tags_are_named() {
    let check = |language: Option<&str>, tags: &[&str], expect: &str| {
        let translations: Vec<(&str, Translation)> = tags.iter().map(|tag| (*tag, all(tag))).collect();
        assert_eq!(compile(copy(language, &translations)).unwrap_err().to_string(), expect);
    };
    let advice = "is no BCP 47 language tag; write one such as `de`, `pt-BR` or `zh-Hant`";
    check(None, &["german"], &format!("content: copy `a`: `german` {advice}"));
    check(Some("english, please"), &[], &format!("content: copy `a`: `english, please` {advice}"));
    check(None, &["zh-Hant-TW", "zh_TW"], "content: copy `a`: `zh-Hant-TW` and `zh_TW` are the same language; keep one of them");
    check(Some("he"), &["iw"], "content: copy `a`: `he` and `iw` are the same language; keep one of them");
}

#[test]
fn channels_have_their_parts() {
    let check = |copy: Copy, channel: Channel, expect: &str| {
        assert_eq!(compile_for(copy, channel).unwrap_err().to_string(), expect);
    };
    let text = |text: &str| Copy { text: text.into(), ..Copy::default() };
    check(copy(None, &[]), Channel::Sms, "content: copy `a`: sms takes text alone; leave the subject out");
    let html = Copy { html: "<p>".into(), ..text("t") };
    check(html, Channel::Whatsapp, "content: copy `a`: whatsapp takes text alone; leave the html out");
    check(text(" "), Channel::Sms, "content: copy `a`, text: is empty; write it");
    check(text("t"), Channel::Email, "content: copy `a`, subject: is empty; write it");
    let translated = Copy { locales: BTreeMap::from([("de".into(), all("de"))]), ..text("t") };
    check(translated, Channel::Sms, "content: copy `a`, de: sms takes text alone; leave the subject out");

    let library = compile_for(text("{{ contact.language | default('?') }}"), Channel::Sms).unwrap();
    let rendered = rendered(&library, Some("de"));
    assert_eq!(rendered, Rendered { text: "de".into(), ..Rendered::default() });
}

#[test]
fn templates_know_how_they_are_read() {
    let template = "{{ locale }} {{ direction }} {{ now }} {{ data.code }}";
    let speaks = Translation { text: template.into(), ..all("ar") };
    let library = compile(copy(Some("en"), &[("ar", speaks)])).unwrap();
    let data = Data::new(&BTreeMap::from([("code", "4711")]));
    let rendered = render_with(&library, &reader(Some("ar-AE")), &data).unwrap();
    assert_eq!(rendered.text, "ar-AE rtl 2026-11-11T12:00:00Z 4711");
    assert_eq!(rendered.direction, Direction::Rtl);
    assert_eq!(rendered.html, "<div lang=\"ar\" dir=\"rtl\"><p>ar</p></div>");
}

fn lacking(missing: Missing, text: &str) -> Copy {
    let defaults = [("contact.attributes.first_name", "there"), ("data.order.id", "your order")];
    let german = Translation { text: text.into(), ..all("de") };
    let german = Translation { defaults: BTreeMap::from([("contact.attributes.first_name".into(), "du".into())]), ..german };
    Copy {
        text: text.into(),
        missing,
        defaults: defaults.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        ..copy(Some("en"), &[("de", german), ("de-AT", Translation { text: text.into(), ..Translation::default() })])
    }
}

#[test]
fn what_is_lacking_is_told_apart_from_failures() {
    let check = |missing: Missing, text: &str, expect: &str, is_skip: bool| {
        let library = compile(lacking(missing, text)).unwrap();
        let error = render_with(&library, &reader(None), &Data::default()).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.is_skip()), (expect, is_skip), "{text}");
    };
    let contact = "render copy `a`, text, line 1: this contact has no `contact.attributes.first_name`; say what to write \
                   instead with `| default(\"...\")`";
    check(Missing::Fail, "{{ contact.attributes.first_name }}", contact, false);
    check(Missing::Skip, "{{ contact.attributes.first_name }}", contact, true);
    let name = "render copy `a`, text, line 1: this contact has no `contact.attributes.name`; say what to write instead with \
                `| default(\"...\")`";
    check(Missing::Fallback, "{{ contact.attributes.name }}", name, false);
    let message =
        "render copy `a`, text, line 1: this message has no `data.code`; say what to write instead with `| default(\"...\")`";
    check(Missing::Skip, "{{ data.code }}", message, true);
    check(Missing::Skip, "{{ data.code | money('EUR') }}", message, true);
    let wrong = "render copy `a`, text, line 1: `money` takes a number such as 12.5, not `autumn`";
    check(Missing::Skip, "{{ campaign | money('EUR') }}", wrong, false);
}

#[test]
fn defaults_stand_in_the_readers_language_first() {
    let text = "{{ contact.attributes.first_name }}, {{ data.order.id }}, {{ data.order.sum | default('?') }}";
    let library = compile(lacking(Missing::Fallback, text)).unwrap();
    let check = |language: Option<&str>, data: &Data, expect: &str| {
        let rendered = render_with(&library, &reader(language), data).unwrap();
        assert_eq!(rendered.text, expect, "{language:?}");
    };
    check(None, &Data::default(), "there, your order, ?");
    check(Some("de"), &Data::default(), "du, your order, ?");
    check(Some("de-AT"), &Data::default(), "du, your order, ?");
    let order = Data::new(&BTreeMap::from([("order", BTreeMap::from([("sum", "12.50")]))]));
    check(None, &order, "there, your order, 12.50");
    let order = Data::new(&BTreeMap::from([("order", BTreeMap::from([("id", "7")]))]));
    check(Some("de"), &order, "du, 7, ?");
}

#[test]
fn defaults_name_what_can_be_lacking() {
    let check = |name: &str, expect: &str| {
        let defaults = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        let error = compile(Copy { defaults, ..copy(None, &[]) }).unwrap_err().to_string();
        assert_eq!(error, format!("content: copy `a`, defaults: {expect}"));
    };
    let form = "write one such as contact.attributes.first_name, contact.country or data.code";
    check(
        "first_name",
        "`first_name` is not known; there are contact, data, campaign, coupon, direction, locale, now, preferences_url, \
         unsubscribe_url, variant",
    );
    check(
        "contact.email",
        "`contact.email` is not known; there are contact.attributes, contact.country, contact.language, \
         contact.time_zone",
    );
    check("campaign", &format!("`campaign` is never lacking; {form}"));
    check("contact.attributes", &format!("`contact.attributes` is never lacking; {form}"));
    check("data..x", &format!("`data..x` is no name; {form}"));
}

#[test]
fn lines_are_those_of_the_author() {
    let check = |html: &str, expect: &str| {
        let library = compile(Copy { html: html.into(), ..copy(Some("en"), &[]) }).unwrap();
        let error = render_with(&library, &reader(None), &Data::default()).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    };
    let lacks = "this contact has no `contact.attributes.name`";
    check(
        "<style>\np { margin: 0 }\n</style>\n<p>\n{{ contact.attributes.name }}</p>",
        &format!("render copy `a`, html, line 5: {lacks}"),
    );
    check(
        "<mjml><mj-body>\n<mj-section><mj-column><mj-text>\n{{ contact.attributes.name }}</mj-text></mj-column></mj-section></mj-body></mjml>",
        &format!("render copy `a`, html, line 3: {lacks}"),
    );
}

#[test]
fn previews_are_in_the_language_asked_for() {
    let library = compile(copy(Some("en"), &[("zh_TW", all("臺灣")), ("de", all("de"))])).unwrap();
    assert_eq!(library.languages("a").unwrap(), ["en", "de", "zh-TW"]);
    let (contact, data) = (reader(Some("de")), Data::default());
    let check = |tag: &str, expect: Result<&str, &str>| {
        let answer = library.render_as("a", tag, &context(&contact, &data));
        assert_eq!(answer.map(|r| r.subject).map_err(|e| e.to_string()), expect.map(String::from).map_err(String::from), "{tag}");
    };
    check("zh-Hant-TW", Ok("臺灣"));
    check("en", Ok("own"));
    check("fr", Err("copy `a` has no `fr`; there are en, de, zh-TW"));
    check("?", Err("copy `a` has no `?`; there are en, de, zh-TW"));
}

#[test]
fn snippets_become_what_includes_them() {
    let snippets = |pairs: &[(&str, &str)]| {
        let snippet = |(name, content): &(&str, &str)| Snippet {
            snippet: (*name).to_owned(),
            content: (*content).to_owned(),
            ..Snippet::default()
        };
        pairs.iter().map(snippet).collect::<Vec<_>>()
    };
    let compiled = |html: &str, text: &str, pairs: &[(&str, &str)]| {
        let copy = Copy { html: html.into(), text: text.into(), ..copy(None, &[]) };
        let snippets = snippets(pairs);
        let given = Given { snippets: &snippets, ..Given::default() };
        Library::compile_with(&BTreeMap::from([("a".to_owned(), copy)]), Channel::Email, given)
    };
    let take = "{% include \"snippets/foot\" %}";
    let foot = ("foot", "<p>{{ contact.attributes.shop }}</p>");
    let mut contact = reader(None);
    contact.profile.attributes.insert("shop".into(), "A & B".into());
    let render = |text: &str| {
        let library = compiled(&format!("<b>x</b>{take}"), text, &[foot]).unwrap();
        render_with(&library, &contact, &Data::default()).unwrap()
    };
    assert_eq!(render("t").html, "<b>x</b><p>A &amp; B</p>");
    assert_eq!(render(take).text, "<p>A & B</p>");
    assert_eq!(render("").text, "x\n\nA & B");

    let library = compiled(take, "t", &[foot]).unwrap();
    let error = render_with(&library, &reader(None), &Data::default()).unwrap_err().to_string();
    assert!(error.starts_with("render snippet `foot`, line 1: this contact has no `contact.attributes.shop`"), "{error}");

    let check = |html: &str, pairs: &[(&str, &str)], expect: &str| {
        assert_eq!(compiled(html, "t", pairs).unwrap_err().to_string(), expect);
    };
    check(take, &[], "content: copy `a`, html, line 1: there is no snippet `foot`; there are none");
    check(&format!("a\n{take}"), &[("head", "x")], "content: copy `a`, html, line 2: there is no snippet `foot`; there are head");
    let quotes = "write the name in quotes, as in {% include \"snippets/NAME\" %}";
    check("{% include campaign %}", &[foot], &format!("content: copy `a`, html, line 1: {quotes}"));
    check("{% include \"/etc/passwd\" %}", &[foot], &format!("content: copy `a`, html, line 1: {quotes}"));
    let circle = [("a", "{% include 'snippets/b' %}"), ("b", "{% include 'snippets/a' %}")];
    check("x", &circle, "content: snippet `a`, line 1: includes itself; take one of its includes out");
    check(
        "{% include 'snippets/a' %}",
        &[("a", "\n{{ contct }}")],
        "content: snippet `a`, line 2: `contct` is not known; there are contact, data, campaign, coupon, \
         direction, locale, now, preferences_url, unsubscribe_url, variant",
    );
}

#[test]
fn snippets_speak_the_language_of_what_takes_them_in() {
    let locales = [("de", "<i>Gruß {% include 'snippets/name' %}</i>"), ("zh-Hant", "<i>祝好</i>")];
    let locales: BTreeMap<String, String> = locales.into_iter().map(|(tag, text)| (tag.to_owned(), text.to_owned())).collect();
    let foot = Snippet { snippet: "foot".into(), content: "<i>Yours</i>".into(), locales };
    let other = BTreeMap::from([("de-AT".to_owned(), "Das G'schäft".to_owned())]);
    let name = Snippet { snippet: "name".into(), content: "The shop".into(), locales: other };
    let take =
        |mark: &str| Translation { html: format!("{mark} {{% include \"snippets/foot\" %}}"), text: String::new(), ..all(mark) };
    let html = take("own").html;
    let copy =
        Copy { html, text: String::new(), ..copy(Some("en"), &[("de-AT", take("at")), ("de", take("de")), ("zh", take("zh"))]) };
    let snippets = [foot, name];
    let given = Given { snippets: &snippets, ..Given::default() };
    let library = Library::compile_with(&BTreeMap::from([("a".to_owned(), copy)]), Channel::Email, given).unwrap();
    let check = |language: Option<&str>, expect: &str| assert_eq!(rendered(&library, language).text, expect, "{language:?}");
    check(None, "own Yours");
    check(Some("de-CH"), "de Gruß The shop");
    check(Some("de-AT"), "at Gruß Das G'schäft");
    // What is written as `zh` is Simplified, and takes nothing in that is Traditional.
    check(Some("zh-TW"), "zh Yours");
    check(Some("zh-CN"), "zh Yours");
}

#[test]
fn snippets_are_looked_at_by_themselves() {
    let snippet = |content: &str, locales: &[(&str, &str)]| Snippet {
        snippet: "foot".into(),
        content: content.into(),
        locales: locales.iter().map(|(tag, text)| ((*tag).to_owned(), (*text).to_owned())).collect(),
    };
    assert_eq!(check_snippets(&[snippet("<p>{{ contact.country }}</p>", &[("de", "{{ unsubscribe_url }}")])]), Ok(()));
    let check = |snippet: Snippet, expect: &str| assert_eq!(check_snippets(&[snippet]).unwrap_err().to_string(), expect);
    check(
        snippet("a", &[("de", "b\n{{ x")]),
        "content: snippet `foot`, de, line 2: syntax error: unexpected end of input, expected end of variable block",
    );
    check(
        snippet("a", &[("deutsch!", "b")]),
        "content: snippet `foot`, deutsch!, line 1: `deutsch!` is no BCP 47 language tag; write one such as `pt-BR`",
    );
    check(
        snippet("a", &[("zh-TW", "b"), ("zh-Hant-TW", "c")]),
        "content: snippet `foot`, zh-TW, line 1: `zh-Hant-TW` and `zh-TW` are the same language; keep one of them",
    );
    check(
        snippet("{% include 'snippets/foot' %}", &[]),
        "content: snippet `foot`, line 1: includes itself; take one of its includes out",
    );
    check(
        snippet("a", &[("de", "{% include 'snippets/foot' %}")]),
        "content: snippet `foot`, line 1: includes itself; take one of its includes out",
    );
    check(
        snippet("{% include 'snippets/head' %}", &[]),
        "content: snippet `foot`, line 1: there is no snippet `head`; there are foot",
    );
    check(
        snippet("{{ slots.viewed }}", &[]),
        "content: snippet `foot`, line 1: `slots` is not known here; a campaign that writes `slots` knows them, in its copies",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_language_gets_a_rendering(language in "[a-zA-Z]{2,3}([-_][a-zA-Z]{4})?([-_]([a-zA-Z]{2}|[0-9]{3}))?|.{0,40}") {
        let text = "{{ 1299.5 | money('EUR') }}{{ 3 | number }}{{ 0.2 | percent }}{{ now | date('full') }}{{ now | time }}\
                    {{ 2 | plural(other='#') }}";
        let library = compile(Copy { text: text.into(), ..copy(None, &[("ar", all("ar"))]) }).unwrap();
        let rendered = rendered(&library, Some(&language));
        prop_assert!(!rendered.text.is_empty());
    }

    #[test]
    fn parts_are_never_mixed_over_languages(
        given in prop::collection::btree_map(
            prop::sample::select(vec!["zh", "zh-Hant", "zh-Hant-HK", "zh-Hans", "pt", "pt-PT", "pt-AO", "en-GB", "en-001"]),
            (any::<bool>(), any::<bool>(), any::<bool>()),
            0..6,
        ),
        language in prop::sample::select(vec!["zh-HK", "zh-TW", "zh-CN", "pt-AO", "pt-BR", "en-AU", "en-GB", "ja"]),
    ) {
        let base = |tag: &str| tag.split('-').next().unwrap_or_default().to_owned();
        let part = |tag: &str, given: bool| if given { base(tag) } else { String::new() };
        let translations: Vec<(&str, Translation)> = given.iter().map(|(tag, (subject, html, text))| {
            let (subject, html, text) = (part(tag, *subject), part(tag, *html), part(tag, *text));
            (*tag, Translation { subject, html, text, ..Translation::default() })
        }).collect();
        if let Ok(library) = compile(Copy { subject: "en".into(), html: "en".into(), text: "en".into(), ..copy(Some("en"), &translations) }) {
            let rendered = rendered(&library, Some(language));
            let spoken = base(rendered.language.as_deref().unwrap());
            prop_assert!(spoken == base(language) || spoken == "en");
            prop_assert_eq!(&rendered.subject, &spoken);
            prop_assert_eq!(&rendered.text, &spoken);
            prop_assert!(rendered.html.contains(&format!("\">{spoken}</div>")), "{}", rendered.html);
        }
    }
}
