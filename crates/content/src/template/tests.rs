//! Templates: what is refused when they are stored, and what comes out of the others.

use proptest::prelude::*;
use vocabulary::{Missing, Profile, Snippet};

use super::engine::one_line;
use super::*;
use crate::testing::{context, reader};

fn copy(subject: &str, html: &str, text: &str) -> Copy {
    Copy { subject: subject.to_owned(), html: html.to_owned(), text: text.to_owned(), ..Copy::default() }
}

fn compile(copy: Copy) -> Result<Library, ContentError> {
    Library::compile(&BTreeMap::from([("mens".to_owned(), copy)]), Channel::Email)
}

fn contact(attributes: &[(&str, &str)]) -> Contact {
    let profile = Profile {
        country: Some("BR".into()),
        language: Some("pt-BR".into()),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Profile::default()
    };
    reader(profile)
}

fn render(copy: Copy, contact: &Contact) -> Result<Rendered, ContentError> {
    compile(copy).expect("it compiles").render("mens", &context(contact, &Data::default()))
}

#[test]
fn what_is_wrong_is_named_when_it_is_stored() {
    let check = |copy: Copy, expect: &str| assert_eq!(compile(copy).unwrap_err().to_string(), expect);
    check(copy("  ", "h", "t"), "content: copy `mens`, subject: is empty; write it");
    check(
        copy("s", "a\nb\n{{ contact.country", "t"),
        "content: copy `mens`, html, line 3: syntax error: unexpected end of input, expected end of variable block",
    );
    check(
        copy("s", "h", "Dear\n{{ contct.country }}"),
        "content: copy `mens`, text, line 2: `contct` is not known; there are contact, data, \
         campaign, coupon, direction, locale, now, preferences_url, unsubscribe_url, variant",
    );
    check(
        copy("{{ contact.email }}", "h", "t"),
        "content: copy `mens`, subject, line 1: `contact.email` is not known; there are contact.attributes, contact.country, \
         contact.language, contact.time_zone",
    );
    check(
        copy(&"x".repeat(SUBJECT_TEMPLATE_BYTES_MAX + 1), "h", "t"),
        "content: copy `mens`, subject: is 4097 bytes long; the limit is 4096",
    );
    assert_eq!(Library::compile(&BTreeMap::new(), Channel::Email).unwrap_err(), ContentError::CopyCount(0));
}

#[test]
fn unknown_filters_are_named_with_their_line() {
    let error = compile(copy("s", "h", "{{ campaign }}\n{{ campaign|uper }}"))
        .and_then(|library| library.render("mens", &context(&contact(&[]), &Data::default())).map(|_| library));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("text, line 2") && message.contains("uper"), "{message}");
}

#[test]
fn the_three_parts_are_filled_in() {
    let copy = copy(
        "{{ contact.attributes.name }} in {{ contact.country }}",
        "<p>{{ contact.attributes.name }}</p><a href=\"{{ unsubscribe_url }}\">x</a>",
        "{{ contact.attributes.name }} {{ campaign }} {{ variant }} {% if contact.language == 'pt-BR' %}oi{% endif %}",
    );
    let rendered = render(copy, &contact(&[("name", "Ann & <Bob>")])).unwrap();
    assert_eq!(rendered.subject, "Ann & <Bob> in BR");
    assert_eq!(
        rendered.html,
        "<p>Ann &amp; &lt;Bob&gt;</p><a href=\"https:&#x2f;&#x2f;mail.shop.example&#x2f;t&#x2f;u&#x2f;x\">x</a>"
    );
    assert_eq!(rendered.text, "Ann & <Bob> autumn Mens E-Mail oi");
}

#[test]
fn what_a_contact_lacks_is_an_error_or_its_default() {
    let check = |text: &str, expect: Result<&str, &str>| {
        let answer = render(copy("s", "h", text), &contact(&[]));
        assert_eq!(answer.map(|r| r.text).map_err(|e| e.to_string()), expect.map(String::from).map_err(String::from), "{text}");
    };
    check("Dear {{ contact.attributes.name | default('friend') }}", Ok("Dear friend"));
    check("{{ contact.time_zone | default('UTC') }}", Ok("UTC"));
    check("{% if contact.attributes.vip is defined %}Hello VIP{% else %}Hello{% endif %}", Ok("Hello"));
    let answer = render(copy("s", "h", "Dear\n{{ contact.attributes.name }}"), &contact(&[])).unwrap_err().to_string();
    let expect = "this contact has no `contact.attributes.name`; say what to write instead with `| default(\"...\")`";
    assert_eq!(answer, format!("render copy `mens`, text, line 2: {expect}"));
}

#[test]
fn too_much_is_stopped() {
    let check = |copy: Copy, expect: &str| {
        let message = render(copy, &contact(&[])).unwrap_err().to_string();
        assert!(message.contains(expect), "{message}");
    };
    let loops = "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}";
    check(copy("s", "h", loops), "text, line 1: takes more than 100000 steps; shorten its loops");
    let line = "x".repeat(2_000);
    check(
        copy("s", &format!("{{% for a in range(1000) %}}{line}{{% endfor %}}"), "t"),
        "html: more than 1048576 bytes came out; shorten it",
    );
    check(copy(&"x".repeat(251), "h", "t"), "subject: more than 250 characters came out; shorten it");
    check(copy("{% if campaign == 'no' %}x{% endif %}", "h", "t"), "subject: nothing came out");
}

#[test]
fn an_unknown_copy_is_named() {
    let library = compile(copy("s", "h", "t")).unwrap();
    let error = library.render("womens", &context(&contact(&[]), &Data::default())).unwrap_err();
    assert_eq!(error.to_string(), "no copy is named `womens`; there are mens");
}

#[test]
fn subjects_are_one_line() {
    let check = |subject: &str, expect: &str| assert_eq!(one_line(subject), expect);
    check("  New\n  shoes\n", "New shoes");
    check("Hi\r\nBcc: all@shop.example", "Hi Bcc: all@shop.example");
    check("a\u{2028}b\u{85}c\u{0}d\u{b}e", "a b c d e");
    check("早安 ☀", "早安 ☀");
}

proptest! {
    #[test]
    fn no_attribute_can_break_out(value in any::<String>()) {
        prop_assume!(value.chars().count() < 200);
        let copy = copy("Hi {{ contact.attributes.name }}", "<p>{{ contact.attributes.name }}</p>", "t");
        let rendered = render(copy, &contact(&[("name", &value)])).unwrap();
        prop_assert!(!rendered.subject.chars().any(char::is_control));
        let inside = rendered.html.strip_prefix("<p>").unwrap().strip_suffix("</p>").unwrap();
        prop_assert!(!inside.contains(['<', '>', '"', '\'']));
    }
}

#[test]
fn lanes_of_senders_share_a_library() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let library = shared(compile(copy("s", "h", "{{ 1299.5 | money('BRL') }} {{ now | date }}")).unwrap());
    let texts: Vec<String> = std::thread::scope(|scope| {
        let render = || library.render("mens", &context(&contact(&[]), &Data::default())).unwrap().text;
        let lanes = [scope.spawn(render), scope.spawn(render)];
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    assert_eq!(texts, ["R$\u{a0}1.299,50 11 de nov. de 2026"; 2]);
}

#[test]
fn a_coupon_is_the_messages_own_or_lacking() {
    let check = |missing: Missing, text: &str, code: Option<&str>, expect: Result<&str, (&str, bool)>| {
        let defaults = BTreeMap::from([("coupon".to_owned(), "WELCOME".to_owned())]);
        let library = compile(Copy { missing, defaults, ..copy("s", "h", text) }).unwrap();
        let (contact, data) = (contact(&[]), Data::default());
        let rendered = library.render("mens", &RenderContext { coupon: code, ..context(&contact, &data) });
        let answer = rendered.map(|rendered| rendered.text).map_err(|error| (error.to_string(), error.is_skip()));
        let expect = expect.map(str::to_owned).map_err(|(message, is_skip)| (message.to_owned(), is_skip));
        assert_eq!(answer, expect, "{text}");
    };
    let empty = "render copy `mens`, text, line 2: its coupon pool is empty; upload more codes, or say what to write instead with \
                 `| default(\"...\")`";
    check(Missing::Fail, "Code:\n{{ coupon }}", Some("A1"), Ok("Code:\nA1"));
    check(Missing::Fail, "Code:\n{{ coupon }}", None, Err((empty, false)));
    check(Missing::Skip, "Code:\n{{ coupon|lower }}", None, Err((empty, true)));
    check(Missing::Skip, "Code:\n{{ coupon | upper }}", None, Err((empty, true)));
    check(Missing::Fallback, "Code: {{ coupon }}", None, Ok("Code: WELCOME"));
    check(Missing::Fallback, "Code: {{ coupon }}", Some("A1"), Ok("Code: A1"));
    check(Missing::Fail, "{{ coupon | default('none') }}", None, Ok("none"));
    check(Missing::Fail, "{% if coupon is defined %}x{% else %}y{% endif %}", None, Ok("y"));
}

#[test]
fn whether_a_copy_asks_for_a_coupon_is_known() {
    let check = |copy: Copy, expect: bool| {
        let snippets = [("foot", "{{ coupon }}"), ("head", "{% include 'snippets/foot' %}")];
        let snippet =
            |(name, content): (&str, &str)| Snippet { snippet: name.into(), content: content.into(), ..Snippet::default() };
        let snippets = snippets.map(snippet);
        let copies = BTreeMap::from([("mens".to_owned(), copy)]);
        let library = Library::compile_with(&copies, Channel::Email, Given { snippets: &snippets, ..Given::default() }).unwrap();
        assert_eq!((library.uses_coupon("mens"), library.uses_coupon("other")), (expect, false));
    };
    check(copy("s", "h", "t"), false);
    check(copy("{{ coupon }}", "h", "t"), true);
    check(copy("s", "<a href=\"https://shop.example/?c={{ coupon | urlencode }}\">x</a>", ""), true);
    check(copy("s", "h", "{% set coupon = 1 %}{{ coupon }}"), false);
    check(copy("s", "h", "{{ data.coupon | default('') }}"), false);
    check(copy("s", "<p>{% include 'snippets/head' %}</p>", "t"), true);
    let german = vocabulary::Translation { subject: "{{ coupon }}".into(), html: "h".into(), ..Default::default() };
    check(Copy { locales: BTreeMap::from([("de".to_owned(), german)]), ..copy("s", "h", "t") }, true);
}
