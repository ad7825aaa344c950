//! Styles, MJML, languages and text, with the expressions of templates in all of them.

use super::*;
use crate::plain::{squeezed, text_of};

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

#[test]
fn languages_are_told_where_they_are_not() {
    let check = |language: &str, html: &str, expect: &str| assert_eq!(finished(html, Some(&tag(language))).unwrap(), expect);
    check("ar", "<p>x</p>", "<div lang=\"ar\" dir=\"rtl\"><p>x</p></div>");
    check("de", "<html><body>x</body></html>", "<html lang=\"de\" dir=\"ltr\"><body>x</body></html>");
    check("he", "<!doctype html>\n<HTML lang='iw'>x", "<!doctype html>\n<HTML lang='iw' dir=\"rtl\">x");
    check(
        "de",
        "<html lang=\"{{ locale }}\" dir={{ direction }}>{{ a > b }}",
        "<html lang=\"{{ locale }}\" dir={{ direction }}>{{ a > b }}",
    );
    check("de", "{% if a <b %}<p {{ x }}>{% endif %}", "<div lang=\"de\" dir=\"ltr\">{% if a <b %}<p {{ x }}>{% endif %}</div>");
    assert_eq!(finished("<p>x</p>", None).unwrap(), "<p>x</p>");
}

#[test]
fn styles_go_into_elements_and_expressions_survive() {
    let style = "<style>.a { color: red } td { color: {{ data.color }} } .a:hover { color: blue }</style>";
    let check = |html: &str, expect: &str| {
        let document = |body: &str| format!("<!DOCTYPE html>\n<html><head>{style}</head>\n<body>{body}</body></html>");
        assert_eq!(finished(&document(html), None).unwrap(), document(expect));
    };
    check("<p class=\"a\">{{ a > b }}&nbsp;</p>", "<p class=\"a\" style=\"color: red;\">{{ a > b }}&nbsp;</p>");
    check(
        "<table>{% for x in data.rows %}<tr><td>{{ x }}</td></tr>{% endfor %}</table>",
        "<table>{% for x in data.rows %}<tr><td style=\"color: {{ data.color }};\">{{ x }}</td></tr>{% endfor %}</table>",
    );
    let link =
        "<a class=\"a\" href=\"https://s.example/{{ data.code }}?a=1&amp;b={{ \"2\" }}\" {% if a < b %}title=\"t\"{% endif %}";
    check(&format!("{link}>x</a>"), &format!("{} style=\"color: red;\">x</a>", link.replace("\"t\"", "\"t\" ")));
    check("<p class=a style='margin: 0'>{# <p> #}</p>", "<p class=a style=\"color: red;margin: 0\">{# <p> #}</p>");
}

#[test]
fn styles_under_a_condition_stay_where_they_are() {
    let made = finished("<style>{% if a %}p { color: red }{% endif %} p { margin: 0 }</style><p>x</p>", None).unwrap();
    assert!(made.contains("<style>{% if a %}p { color: red }{% endif %} p { margin: 0 }</style>"), "{made}");
    assert!(made.contains("<p>x</p>"), "{made}");
}

#[test]
fn without_a_style_nothing_is_touched() {
    let html = "<P CLASS=a>{{ x }}<br/><stylish>{% if y %}<div>{% endif %}";
    assert_eq!(finished(html, None).unwrap(), html);
}

#[test]
fn elements_cut_by_conditions_stay_as_they_are() {
    let html = "<style>p { margin: 0 }</style>\n{% if x %}<div class=\"a\">{% else %}<div>{% endif %}<P>b</div>";
    assert_eq!(finished(html, None).unwrap(), html.replace("<P>", "<P style=\"margin: 0;\">"));
}

#[test]
fn remote_styles_are_not_loaded() {
    let html = "<style>p { margin: 0 }</style><link rel=\"stylesheet\" href=\"https://s.example/a.css\"><p>x</p>";
    assert!(finished(html, None).unwrap().contains("<p style=\"margin: 0;\">x</p>"));
}

#[test]
fn mjml_becomes_html() {
    let mjml = "\n<mjml><mj-head><mj-preview>{{ data.code }}</mj-preview></mj-head><mj-body>\n<mj-section><mj-column>\n\
                <mj-text>{% if a < b %}Hi {{ contact.attributes.name }}{% endif %}</mj-text>\n\
                <mj-button href=\"https://s.example/{{ data.code }}\">{{ a > b }}</mj-button>\n\
                </mj-column></mj-section></mj-body></mjml>";
    let made = finished(mjml, Some(&tag("ar"))).unwrap();
    let check = |part: &str| assert!(made.contains(part), "{part}\n{made}");
    check("dir=\"rtl\"");
    check("lang=\"ar\"");
    check("{% if a < b %}Hi {{ contact.attributes.name }}{% endif %}");
    check("href=\"https://s.example/{{ data.code }}\"");
    check("{{ a > b }}");
    assert!(!made.contains("fonts.googleapis.com"), "{made}");
}

#[test]
fn what_is_wrong_with_mjml_is_named_with_its_line() {
    let check = |mjml: &str, line: usize, expect: &str| assert_eq!(finished(mjml, None).unwrap_err(), (line, expect.to_owned()));
    check(
        "<mjml>\n<mj-body>\n<mj-nonsense /></mj-body></mjml>",
        3,
        "MJML: there is no `<mj-nonsense>`, or it may not stand here",
    );
    check("<MJML></MJML>", 1, "MJML: write <mjml> in small letters");
    check("<mjml><mj-body>", 1, "MJML: an element is not closed");
    check("<mjml><mj-body>{% if\nx %}{% endif %}</mj-body>\n<p></p></mjml>", 3, "MJML: this element may not stand here");
    check("<mjml><mj-body>\n<mj-image src='a></mj-body></mjml>", 2, "MJML: this is not well-formed");
    let include = "MJML: <mj-include> reads files; use {% include \"snippets/NAME\" %}";
    check("<mjml><mj-include path='x' /></mjml>", 1, include);
}

#[test]
fn text_is_made_of_html() {
    let check = |html: &str, expect: &str| assert_eq!(squeezed(&text_of(html).unwrap()), expect);
    check(
        "<h1>Hi {{ contact.attributes.name }},</h1>\n<p>new\nshoes&nbsp;&amp; more</p>",
        "Hi {{ contact.attributes.name }},\n\nnew shoes & more",
    );
    check("<a href=\"https://s.example/{{ data.code }}\">Look</a>", "Look (https://s.example/{{ data.code }})");
    check("<a href=\"{{ unsubscribe_url }}\"> </a>", "{{ unsubscribe_url }}");
    check(
        "<a href='https://s.example'>https://s.example</a> <a href='#top'>up</a> <a href='mailto:a@b.example'>a@b.example</a>",
        "https://s.example up a@b.example",
    );
    check("<ul><li>one<li>two</ul><img alt='A shoe' src=x>", "- one\n- two\n\nA shoe");
    check("<table><tr><td>a</td><td>{{ 1 | money('EUR') }}</td></tr><tr><td>b</td></tr></table>", "a {{ 1 | money('EUR') }}\nb");
    check("<title>t</title><style>p {}</style><script>x</script><!-- c --><div style='display: none'>pre</div>a", "a");
    check("&#123;&#123; x }}", "{{ '{' }}{{ '{' }} x }}");
    check("{% raw %}{{ <b> }}{% endraw %}", "{% raw %}{{ <b> }}{% endraw %}");
}

#[test]
fn what_expressions_leave_behind_is_cleared_away() {
    assert_eq!(squeezed("  a  b \n\n\n \nc\n\nd\n"), "a b\n\nc\n\nd");
    let made = text_of("<p>A</p>{% if x %}<p>B</p>{% endif %}<p>C</p>").unwrap();
    assert_eq!(squeezed(&made.replace("{% if x %}", "").replace("{% endif %}", "")), "A\n\nB\n\nC");
    let made = text_of("<table>{% for x in y %}<tr><td>A</td></tr>{% endfor %}</table>").unwrap();
    assert_eq!(squeezed(&made.replace("{% for x in y %}", "").replace("{% endfor %}", "\nA")), "A\nA");
}

#[test]
fn statements_may_stand_between_the_elements_of_mjml() {
    let mjml = "<mjml><mj-body>{% for x in data.rows %}<mj-section><mj-column>{% if x %}<mj-text>{{ x }}</mj-text>{% endif %}\
                <mj-table>{% for y in x %}<tr><td>{{ y }}</td></tr>{% endfor %}</mj-table></mj-column></mj-section>{% endfor %}\
                </mj-body></mjml>";
    let made = finished(mjml, None).unwrap();
    let order = [
        "{% for x in data.rows %}",
        "<tbody>{% if x %}<tr>",
        "{{ x }}</div></td></tr>{% endif %}<tr>",
        ">{% for y in x %}<tr><td>{{ y }}</td></tr>{% endfor %}</table>",
        "{% endfor %}</div></body>",
    ];
    let places: Vec<Option<usize>> = order.iter().map(|part| made.find(part)).collect();
    assert!(places.is_sorted() && !places.contains(&None), "{places:?}\n{made}");
}

#[test]
fn mjml_turns_to_the_side_its_language_begins_at() {
    let mjml = |attribute: &str| {
        format!("<mjml><mj-body><mj-section><mj-column><mj-text{attribute}>x</mj-text></mj-column></mj-section></mj-body></mjml>")
    };
    let check = |language: &str, attribute: &str, expect: &str, other: &str| {
        let made = finished(&mjml(attribute), Some(&tag(language))).unwrap();
        assert!(made.contains(expect) && !made.contains(other), "{made}");
    };
    check("ar", "", "direction:rtl", "direction:ltr");
    check("ar", "", "text-align:right", "text-align:left");
    check("de", "", "text-align:left", "direction:rtl");
    check("ar", " align=\"left\"", "text-align:left", "direction:ltr");
}
