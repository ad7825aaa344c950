//! What the page says of every kind of decision, and that it stays a page whatever it is handed.

use stats::Interval;
use vocabulary::{Currency, ExperimentId};

use super::fixture::*;
use super::*;
use crate::decision::{BoundaryMethod, Look, ReasonCode, Shown, decide};
use crate::readout::hillstrom;

/// The page must say all of these, and none of those.
fn check(case: &Case, says: &[&str], not: &[&str]) {
    let page = case.page();
    let text = text(&page);
    for sentence in says {
        assert!(text.contains(sentence), "{sentence:?} is not in {text}");
    }
    for sentence in not {
        assert!(!text.contains(sentence), "{sentence:?} is in {text}");
    }
    well_formed(&page);
}

/// A page without its tags, drawings and style, with signs as they are read.
fn text(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let skipped = [("style", "</style>"), ("svg", "</svg>")].into_iter().find(|(tag, _)| after.starts_with(tag));
        rest = after.split_once(skipped.map_or(">", |(_, end)| end)).unwrap().1;
    }
    let signs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&"), ("\u{a0}", " ")];
    signs.iter().fold(text + rest, |text, (written, sign)| text.replace(written, sign))
}

/// Every tag is closed in its order, every `&` is an entity, and text holds no `>`.
fn well_formed(page: &str) {
    let body = page.strip_prefix("<!doctype html>").expect("a page says what it is");
    let (before, after) = body.split_once("<style>").unwrap();
    let body = format!("{before}<style>{}", after.split_once("</style>").map(|(_, rest)| format!("</style>{rest}")).unwrap());
    let mut open = Vec::new();
    let mut rest = body.as_str();
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "a sign is not escaped in {before:?}");
        let (tag, after) = after.split_once('>').expect("a tag ends");
        assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "a broken tag {tag:?}");
        match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
            (Some(closed), _) => assert_eq!(open.pop().as_deref(), Some(closed), "before {after:.80}"),
            (None, Some(_)) => {}
            (None, None) if tag.starts_with("meta ") => {}
            (None, None) => open.push(tag.split_whitespace().next().unwrap().to_owned()),
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} is not closed, {rest:?} is left");
    for entity in page.split('&').skip(1) {
        assert!(["lt;", "gt;", "quot;", "amp;"].iter().any(|known| entity.starts_with(known)), "&{entity:.10}");
    }
}

fn cases() -> [Case; 6] {
    [ship(), with_markets(), keep_testing(), stop_for_harm(), cannot_judge(), no_data()]
}

fn with_markets() -> Case {
    let mut case = ship();
    case.decision.markets = vec![
        market("DE", "bold", 9_000, Some(forecast("bold", 0.97, 0.16, (0.09, 0.02, 0.16), (0.04, 0.01, 0.07), 0.001))),
        market("FR", "plain", 7_000, Some(Forecast { probability_best: 0.7, expected_loss: 0.004, ..plain() })),
        market("", "bold", 4_000, None),
    ];
    case
}

#[test]
fn shipping_says_what_it_brings() {
    check(
        &ship(),
        &[
            "Ship",
            "Send bold to everybody: it sells more than plain.",
            "As of 9 March 2026, 06:30 UTC",
            "20,000 people are counted, in 2 variants. The measure is revenue: what a person pays, less what is paid back, within 7 days",
            "plain: 1.60 EUR per person, of 10,000 people. The others are compared with it.",
            "bold: 1.80 EUR per person, of 10,000 people, 13 % more than plain (raw). Forecast: 8 % more, likely between 1 % and 15 % \
             more.",
            "a winner’s raw difference is too large on average",
            "bold is the best variant to send in 19 of 20 cases; one time in 20 the other one is better.",
            "bold is shown to be better than plain on revenue.",
            "“Likely” means in 19 of 20 cases.",
            "The test is complete",
            "left with bold: kept. It is shown to be at most 10 % worse than with plain.",
            "bold brings about 4,200 EUR more than sending plain to the remaining 120,000 people; likely between 900 and 7,600 EUR \
             more.",
            "That is 0.035 EUR more per recipient, or about 35 EUR more per 1,000 recipients (likely between 7.50 and 63 EUR more).",
            "that is about 2 EUR per 1,000 recipients.",
            "Send bold to everybody.",
            "bold beats plain clearly.",
            "Nothing that was looked for was found.",
        ],
        &["not because it is shown", "still missing", "What to send in each market", "going on"],
    );
}

#[test]
fn a_bet_is_not_called_shown() {
    let mut case = ship();
    case.decision.shown = false;
    case.decision.information.tests[0].shown = Shown::Neither;
    check(
        &case,
        &[
            "bold is sent because it is the best bet, not because it is shown to be better.",
            "bold is not shown to be better or worse than plain on revenue: what was seen may be luck.",
        ],
        &["bold is shown to be better"],
    );
}

#[test]
fn control_may_be_the_best_to_send() {
    let mut case = ship();
    case.decision.variant = name("plain");
    case.decision.best = Some(plain());
    check(
        &case,
        &[
            "No gain: nothing is expected to bring more than plain",
            "Send plain to everybody.",
            "plain is the best variant to send in 1 of 20 cases",
        ],
        &["bold brings"],
    );
}

#[test]
fn markets_that_differ_are_a_table() {
    let case = with_markets();
    check(
        &case,
        &[
            "Send each market what is best there, and bold wherever no market is named.",
            "This counts bold for everybody, also in markets that are to get something else",
            "Cost if wrong, EUR per 1,000",
        ],
        &["Send bold to everybody, in all"],
    );
    let page = case.page().replace('\u{a0}', " ");
    for row in [
        "<th scope=\"row\" class=\"word\">DE</th><td class=\"word\">bold</td><td>+9 %</td><td>97 of 100 cases</td><td>1</td><td>9,000</td>",
        "<th scope=\"row\" class=\"word\">FR</th><td class=\"word\">plain</td><td>–</td><td>7 of 10 cases</td><td>4</td><td>7,000</td>",
        "<th scope=\"row\" class=\"word\">(no market)</th><td class=\"word\">bold</td><td>–</td><td>–</td><td>–</td><td>4,000</td>",
    ] {
        assert!(page.contains(row), "{row} is not in {page}");
    }
    assert!(page.contains(">DE: bold</text>") && !page.contains("FR: plain</text>"), "{page}");
}

#[test]
fn markets_that_agree_are_a_sentence() {
    let mut case = with_markets();
    case.decision.markets.truncate(1);
    check(&case, &["Send bold to everybody; there is one market, DE."], &["What to send in each market"]);
    case.decision.markets.push(market("PL", "bold", 10, None));
    check(&case, &["Send bold to everybody, in all 2 markets."], &["What to send in each market"]);
}

#[test]
fn going_on_says_who_is_missing() {
    let mut case = keep_testing();
    check(
        &case,
        &[
            "Keep testingNothing is shown yet.",
            "One thing a careful reader should know.",
            "12,000 people are counted so far",
            "As of now bold is the best variant to send in 19 of 20 cases",
            "bold is not shown to be better or worse than plain on revenue so far: what was seen may be luck.",
            "The test is under way: 12,000 of 40,000 people are counted (30 %).",
            "would bring about 1.2 % more than the best bets do",
            "left with bold: open.",
            "bold would bring about 4,200 EUR more",
            "no result: they move",
            "28,000 of 40,000 people are still missing. Of these, 8,000 wait until their 7 days are over and 20,000 are still to be \
             assigned.",
            "the earlier the look, the clearer",
        ],
        &["The test is complete", "Send bold", "Do not send"],
    );
    case.decision.best.as_mut().unwrap().expected_loss = 1e-9;
    check(&case, &["that is next to nothing."], &["that is about"]);
    case.decision.information.planned = Some(14_000);
    check(&case, &["2,000 of 14,000 people are still missing. Of these, 2,000 wait"], &["still to be assigned"]);
    case.decision.information.method = BoundaryMethod::AlwaysValid;
    case.decision.information.planned = None;
    case.decision.information.fraction = None;
    check(
        &case,
        &[
            "The test has no fixed end: 12,000 people are counted so far.",
            "8,000 people more will be counted when their 7 days are over.",
        ],
        &["still missing", "30 %"],
    );
}

#[test]
fn harm_is_told_from_what_was_seen() {
    check(
        &stop_for_harm(),
        &[
            "Stop for harm",
            "bold: 1.20 EUR per person, of 10,000 people, 25 % less than plain (raw).",
            "There is no forecast of what is not to be sent any more.",
            "bold is shown to be worse than plain on revenue.",
            "left with bold: broken.",
            "bold brought about 400 EUR less per 1,000 recipients than plain (raw).",
            "Send plain to everybody from now on.",
            "Do not send bold any more: harm is shown.",
        ],
        &["bold brings", "is the wrong choice"],
    );
}

#[test]
fn what_cannot_be_judged_is_not_compared() {
    check(
        &cannot_judge(),
        &[
            "Cannot judge",
            "bold: 1.80 EUR per person, of 10,000 people.",
            "Do not compare these numbers yet",
            "Not at all: before any number is believed",
            "That cannot be told as long as the numbers cannot be judged.",
            "Find out first why the groups do not have the sizes they were meant to have",
            "plain has 11,000 people; 10,500 were meant (50 %).",
            "bold has 10,000 people; 10,500 were meant (50 %).",
        ],
        &["(raw)", "is the best variant", "brings about", "kept. It is", "Forecast:"],
    );
    let mut case = cannot_judge();
    case.decision.reasons = vec![reason(ReasonCode::FunnelMismatch, "Messages were lost.")];
    check(
        &case,
        &["bold: of 10,000 people counted, 9,900 were sent a message and 9,700 messages were accepted."],
        &["10,500 were meant"],
    );
    case.decision.reasons = vec![reason(ReasonCode::NoData, "Nothing.")];
    check(&case, &["Find out first whether revenue is recorded at all: 20,000 people are counted, and nothing was seen."], &[]);
    case.decision.reasons = vec![];
    check(&case, &["Find out first what the reasons below say."], &["Why:"]);
}

#[test]
fn there_may_be_nothing_yet() {
    check(
        &no_data(),
        &["Nothing yet: nobody was assigned to one of the 2 variants.", "Find out first whether anything was planned"],
        &["is the best variant", "There are no guardrails"],
    );
    let mut case = no_data();
    case.readout = crate::readout::readout(&case.experiment, &observations(0), "ro-1");
    check(
        &case,
        &[
            "Nothing that counts yet: 20,000 people take part",
            "Wait: 20,000 people take part, and the first of them count when their 7 days are over.",
        ],
        &["Nothing yet"],
    );
}

#[test]
fn numbers_may_be_missing() {
    let mut case = ship();
    case.experiment.guardrails.clear();
    case.decision.guardrails.clear();
    check(&case, &["There are no guardrails: nothing was watched that must not get worse."], &[]);
    case.rest = None;
    check(&case, &["Against plain, bold brings 0.035 in the base currency more per recipient"], &["remaining", "EUR"]);
    for arm in case.decision.arms.iter_mut().chain(&mut case.decision.best) {
        (arm.lift, arm.raw_lift, arm.lift_interval) = (None, None, Interval { lower: None, upper: None });
    }
    check(&case, &["A forecast in percent cannot be told"], &["13 % more", "Forecast:"]);
    assert!(!case.page().contains("<svg"), "nothing is to be drawn");
    case.decision.arms.clear();
    case.decision.best = None;
    check(&case, &["There is nothing to forecast from yet", "That cannot be told: there is nothing to forecast from yet."], &[]);
    for arm in &mut case.readout.arms {
        arm.means.clear();
    }
    check(&case, &["bold: no result yet."], &[]);
}

#[test]
fn doubts_come_once_and_the_worst_first() {
    let mut case = ship();
    case.readout.doubts = vec![
        doubt("immature", "Some wait."),
        doubt("other", "Something else."),
        doubt("guardrail_broken", "A guardrail broke."),
        doubt("srm", "The sizes are wrong (p 1.2e-9)."),
    ];
    case.decision.doubts = vec![
        doubt("srm", "The sizes are wrong."),
        doubt("funnel_mismatch", "Fewer mails with `bold`."),
        doubt("immature", "Some wait."),
    ];
    case.readout.erased_units = 3;
    let page = case.page();
    let section = page.split("id=\"doubt\"").nth(1).unwrap().split("id=\"numbers\"").next().unwrap();
    let items: Vec<&str> = section.split("<li>").skip(1).map(|item| item.split("</li>").next().unwrap()).collect();
    assert!(section.contains("Five things"), "{section}");
    assert!(items[0].starts_with("The groups do not have the sizes"), "{items:?}");
    assert_eq!(
        items[1..],
        [
            "Fewer mails with <code>bold</code>.",
            "A guardrail broke.",
            "Something else.",
            "Some wait.",
            "3 people had themselves erased and are not in these numbers any more.",
        ]
    );
}

#[test]
fn other_metrics_have_other_words() {
    let with = |primary: &str| {
        let mut case = ship();
        case.experiment = experiment(primary);
        case.readout = crate::readout::readout(&case.experiment, &observations(10_000), "ro-8");
        case
    };
    check(
        &with("buyers"),
        &[
            "the share of people who order",
            "plain: 4 % of 10,000 people ordered.",
            "about 35 more people who order per 1,000 recipients",
        ],
        &["EUR"],
    );
    check(
        &with("orders"),
        &["plain: 0.0400 orders per person, of 10,000 people.", "about 4,200 more orders than sending"],
        &["EUR"],
    );
    check(
        &with("left"),
        &["plain: 0.5 % of 10,000 people unsubscribed.", "about 4,200 fewer people who unsubscribe than sending"],
        &["EUR"],
    );
    let mut case = with("revenue");
    case.rest = Some(Rest { recipients: 0, currency: Currency::new("JPY").unwrap() });
    check(&case, &["Against plain, bold brings 0.035 JPY more per recipient"], &["remaining", "EUR"]);
}

#[test]
fn what_people_wrote_stays_text() {
    let evil = "x<script>alert(1)</script>&\"'`";
    let mut case = with_markets();
    case.experiment.experiment = ExperimentId::new(evil).unwrap();
    case.experiment.question = evil.to_owned();
    case.experiment.variants[1].name = name(evil);
    case.experiment.primary = evil.to_owned();
    case.experiment.metrics[0].name = evil.to_owned();
    case.experiment.guardrails[0].metric = evil.to_owned();
    case.readout = crate::readout::readout(&case.experiment, &observations(10_000), evil);
    case.readout.engine = evil.to_owned();
    case.readout.plan_hash = evil.to_owned();
    case.readout.versions.insert(evil.to_owned(), 1);
    case.readout.doubts.push(doubt(evil, evil));
    let decision = &mut case.decision;
    decision.sentence = evil.to_owned();
    decision.variant = name(evil);
    decision.stopped = vec![name(evil)];
    decision.reasons.push(reason(ReasonCode::Harm, evil));
    decision.guardrails[0].metric = evil.to_owned();
    decision.guardrails[0].variant = name(evil);
    decision.information.tests[0].variant = name(evil);
    decision.arms[1].variant = name(evil);
    decision.markets[0].market = evil.to_owned();
    decision.markets[0].variant = name(evil);
    decision.markets[0].best = Some(Forecast { variant: name(evil), ..bold() });
    let page = case.page();
    well_formed(&page);
    assert!(!page.contains("<script") && page.matches("x&lt;script&gt;").count() > 25, "{page}");
}

#[test]
fn the_page_stands_alone_and_is_accessible() {
    for case in cases() {
        let page = case.page();
        well_formed(&page);
        for load in ["http", "src=", "href", "url(", "@import", "<script", "<link", "<img"] {
            assert!(!page.contains(load), "{load} in {page}");
        }
        assert!(page.contains("<html lang=\"en\">") && page.contains("name=\"viewport\""));
        assert_eq!(page.matches("<h1>").count(), 1);
        let heading = |part: &str| part.split_once('>').unwrap().1.split('<').next().unwrap().to_owned();
        let headings: Vec<String> = page.split("<h2").skip(1).map(heading).collect();
        let order = ["What happened", "How sure", "What it is worth", "What to do", "What to doubt", "The numbers"];
        assert_eq!(headings, order);
        let tables = page.matches("<table>").count();
        assert!(tables >= 2 && page.matches("<table><caption>").count() == tables, "{page}");
        assert_eq!(page.matches("<th ").count(), page.matches("<th scope=").count());
        assert_eq!(page.matches("<svg ").count(), page.matches("<svg role=\"img\" aria-label=").count());
        assert_eq!(page.matches("<svg ").count(), page.matches("<title>").count() - 1);
        assert!(!page.contains("NaN") && !page.contains("inf "), "{page}");
        assert_eq!(page, case.page(), "the same input gives the same bytes");
    }
}

#[test]
fn nobody_needs_to_know_statistics() {
    for case in cases() {
        let text = text(&case.page()).to_lowercase();
        let (sections, numbers) = text.rsplit_once("the numbers").unwrap();
        assert!(numbers.contains("alpha") || case.decision.information.tests.is_empty());
        for word in ["p-value", "(p ", "alpha", "posterior", "cuped", "srm", "confidence", "significan", "sample ratio", "null"] {
            assert!(!sections.contains(word), "{word} in {sections}");
        }
    }
}

#[test]
fn anybody_can_compute_it_again() {
    let case = ship();
    let says = ["ro-7", "2026-03-09T06:30:00Z", "sendlab 0.1.0", "Table events", "version 1207", &case.readout.plan_hash];
    check(&case, &says, &[]);
    let row = "<th scope=\"row\" class=\"word\">bold</th><td>50 %</td><td>10,000</td><td>10,000</td><td>9,900</td><td>9,700</td>\
               <td>3,100</td><td>600</td><td>450</td>";
    let page = case.page().replace('\u{a0}', " ");
    assert!(page.contains(row), "{page}");
}

/// The checker itself can fail.
#[test]
fn the_checker_sees_what_is_broken() {
    let breaks = |from: &str, to: &str| {
        let page = ship().page();
        assert!(page.contains(from), "{from}");
        let broken = page.replacen(from, to, 1);
        assert!(std::panic::catch_unwind(|| well_formed(&broken)).is_err(), "{to} is not seen");
    };
    breaks("</table>", "");
    breaks("</section>", "</div>");
    breaks("<h1>", "<h1>a > b");
    breaks("<h1>", "<h1>a & b");
    breaks("lang=\"en\"", "lang=\"en");
}

/// A decision as it is taken of Hillstrom's experiment.
#[test]
fn a_real_decision_is_a_page() {
    let (experiment, readout) = (hillstrom::spec(), hillstrom::hillstrom());
    let overall = hillstrom::observations();
    let markets = Default::default();
    let look = Look::of(&overall, &markets, Some(64_000));
    let decision = decide(&experiment, &look);
    let case = Case { experiment, readout, decision, rest: None };
    check(
        &case,
        &[
            "Ship",
            "Mens E-Mail: 18.3 % of 21,307 people clicked, 72 % more than No E-Mail (raw). Forecast: 7",
            "Mens E-Mail is the best variant to send in more than 999 of 1,000 cases",
            "in fewer than 1 of 1,000 cases another one is better.",
            "Mens E-Mail is shown to be better than No E-Mail on visit.",
            "Send Mens E-Mail to everybody.",
            "There are no guardrails",
        ],
        &["NaN", "Keep testing"],
    );
}
