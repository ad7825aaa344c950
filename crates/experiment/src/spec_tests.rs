//! Each mistake and the complaint it earns.

use vocabulary::{Approval, Bandit, BanditRule, Costs, Cuped, Early, Layer, Metric, Provider, Rollout, Weekday};

use super::*;

pub(super) const EXPERIMENT: &str = "\
experiment: spring
question: Which subject sells?
factors: [copy, timing]
variants:
  - name: plain
    weight: 2
    send_hour: 9
  - name: No E-Mail
    send_hour: 18
control: plain
primary: visit
metrics:
  - {name: visit, outcome: click, measure: occurred}
  - {name: spend, outcome: order, measure: amount}
  - {name: leave, outcome: unsubscribe, measure: occurred, lower_is_better: true}
guardrails:
  - metric: leave
    margin: 0.1
";

const CAMPAIGN: &str = "\
campaign: spring-1
experiment: spring
share: 0.2
from: Shop <news@shop.example>
start: 2026-03-01T08:00:00Z
content:
  plain:
    subject: Hello
    html: <p>Hello</p>
    text: Hello
";

#[test]
fn a_full_experiment_is_read() {
    let experiment = parse(EXPERIMENT).unwrap();
    assert_eq!(experiment.control().as_str(), "plain");
    assert_eq!(experiment.variants[1].weight, 1);
    assert_eq!(experiment.window_hours, 168);
    assert_eq!(experiment.guardrails[0].margin, 0.1);
    let json = serde_json::to_string_pretty(&experiment).unwrap();
    assert_eq!(parse(&json).unwrap(), experiment);
    assert_eq!(parse(&json.replace("  ", "\t")).unwrap(), experiment, "tabs are fine in JSON");
    assert_eq!(parse(&to_yaml(&experiment)).unwrap(), experiment);
}

fn complaint(from: &str, to: &str, expect: &str) {
    assert!(EXPERIMENT.contains(from), "{from}");
    let error = parse(&EXPERIMENT.replacen(from, to, 1)).unwrap_err().to_string();
    assert_eq!(error, expect);
}

#[test]
fn mistakes_in_the_shape_and_the_variants_are_named() {
    let check = complaint;
    check(
        "primary:",
        "primray:",
        "line 11: `primray` is not a known key; known are experiment, question, factors, variants, control, primary, metrics, guardrails, \
         window_hours, audience, alpha, balance, tags, rollout, bandit, approval, layer, cuped, early; the nearest is `primary`",
    );
    check(
        "    weight: 2",
        "    wieght: 2",
        "line 6: `variants[0].wieght` is not a known key; known are name, weight, copy, send_hour, channel, send_day, provider, \
         holdout; the nearest is `weight`",
    );
    check(
        "[copy, t",
        "[coppy, t",
        "line 3: `factors[0]` is `coppy`, which is not one of copy, timing, channel, provider; the nearest is `copy`",
    );
    check("primary: visit\n", "", "line 15: `primary` is missing; add it");
    check("weight: 2", "weight: -1", "line 6: `variants[0].weight` must be a whole number from 0 to 4294967295");
    check(
        "weight: 2",
        "weight: 0",
        "line 6: `variants[0].weight` is 0; it must be at least 1, and a variant nobody gets is left out",
    );
    check("send_hour: 18", "send_hour: 24", "line 9: `variants[1].send_hour` is 24; an hour is from 0 to 23");
    check("name: No E-Mail", "name: ' '", "line 8: `variants[1].name` is empty; give it at least one visible character");
    check("name: No E-Mail", "name: plain", "line 8: `variants[1].name` is `plain`, which is there already; names must differ");
}

#[test]
fn mistakes_in_metrics_and_settings_are_named() {
    let check = complaint;
    check(
        "control: plain",
        "control: plein",
        "line 10: `control` is `plein`, which is none of the variants; the nearest is `plain`",
    );
    check(
        "primary: visit",
        "primary: vist",
        "line 11: `primary` is `vist`, which is none of the metrics visit, spend, leave; the nearest is `visit`",
    );
    check(
        "order, measure",
        "click, measure",
        "line 14: `metrics[1].measure` is amount, which only orders have; the outcome is click",
    );
    check(
        "metric: leave",
        "metric: visit",
        "line 17: `guardrails[0].metric` is `visit`, which is the primary metric; a guardrail is another one",
    );
    check(
        "margin: 0.1",
        "margin: 0",
        "line 18: `guardrails[0].margin` is 0; it must be more than 0 and, where more is better, less than 1; 0.1 tolerates 10 % worse",
    );
    check("margin: 0.1", "margin: much", "line 18: `guardrails[0].margin` must be a number");
    check("control: plain", "alpha: 0.9", "line 10: `alpha` is 0.9; it must be more than 0 and at most 0.5, and is usually 0.05");
    check(
        "control: plain",
        "alpha: .nan",
        "line 10: `alpha` is NaN; it must be more than 0 and at most 0.5, and is usually 0.05",
    );
    check("control: plain", "window_hours: 0", "line 10: `window_hours` is 0; it must be from 1 to 8784");
    check("control: plain", "audience: ''", "line 10: `audience` is empty; leave it out or fill it in");
    check(
        "[copy, timing]",
        "[copy]",
        "line 3: `factors` leaves out `timing`, but the variants differ in `send_hour`; add it, or give all variants the same `send_hour`",
    );
    check("question: Which subject sells?", "experiment: other", "line 2: `experiment` is given twice; keep one");
    check("factors: [copy, timing]", "factors: copy", "line 3: `factors` must be a list");
    check("  - metric: leave\n    margin: 0.1", "  - leave", "line 17: `guardrails[0]` must be a block of `key: value` pairs");
}

#[test]
fn a_day_belongs_to_timing_and_a_provider_to_text_messages() {
    let with = |factors: &str, plain: &str, other: &str| {
        let text = EXPERIMENT.replacen("factors: [copy, timing]", &format!("factors: [{factors}]"), 1);
        let text = text.replacen("    send_hour: 9\n", &format!("    {plain}\n"), 1);
        parse(&text.replacen("    send_hour: 18\n", &format!("    {other}\n"), 1)).map(|experiment| experiment.variants)
    };
    let refused = |factors: &str, plain: &str, other: &str| with(factors, plain, other).unwrap_err().to_string();
    let read = with("copy, timing", "send_day: mon", "send_day: sun").unwrap();
    assert_eq!([0, 1].map(|at| read[at].send_day), [Some(Weekday::Monday), Some(Weekday::Sunday)]);
    let read = with("copy, provider", "provider: europe", "provider: trial").unwrap();
    assert_eq!([0, 1].map(|at| read[at].provider.clone()), ["europe", "trial"].map(|name| Provider::new(name).ok()));
    assert_eq!(
        refused("copy", "send_day: mon", "send_day: tue"),
        "line 3: `factors` leaves out `timing`, but the variants differ in `send_day`; add it, or give all variants the same `send_day`"
    );
    assert_eq!(
        refused("copy, timing", "send_day: mon", "provider: trial"),
        "line 3: `factors` leaves out `provider`, but the variants differ in `provider`; add it, or give all variants the same `provider`"
    );
    assert_eq!(
        refused("copy, timing", "send_day: mon", "send_day: monday"),
        "line 9: `variants[1].send_day` is `monday`, which is not one of mon, tue, wed, thu, fri, sat, sun; the nearest is `mon`"
    );
    assert_eq!(
        refused("copy, provider, channel", "channel: sms", "provider: trial\n    channel: email"),
        "line 9: `variants[1].provider` is `trial`, but variant `No E-Mail` goes by email, and a provider is a gateway for text messages; \
         leave `provider` out, or write `channel: sms`"
    );
    assert!(with("copy, provider, channel", "channel: email", "provider: trial\n    channel: sms").is_ok());
}

#[test]
fn metrics_are_named_or_written_out() {
    let named = |spend: &str| EXPERIMENT.replace("{name: spend, outcome: order, measure: amount}", spend);
    let written = parse(&named("revenue")).unwrap();
    assert_eq!(written.metrics[1], Metric::built_in("revenue").unwrap());
    assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
    assert_eq!(parse(&serde_json::to_string(&written).unwrap()).unwrap(), written);
    let mut json: serde_json::Value = serde_json::to_value(&written).unwrap();
    json["metrics"] = serde_json::json!(["clicked", "unsubscribed"]);
    json["primary"] = serde_json::json!("clicked");
    json["guardrails"][0]["metric"] = serde_json::json!("unsubscribed");
    let read = parse(&json.to_string()).unwrap();
    assert_eq!(read.metrics, ["clicked", "unsubscribed"].map(|name| Metric::built_in(name).unwrap()));
    let check = |spend: &str, expect: &str| {
        assert_eq!(parse(&named(spend)).unwrap_err().to_string(), format!("line 14: `metrics[1]{expect}"));
    };
    check(
        "reveneu",
        "` is `reveneu`, which is not one of delivered, bounced, opened, clicked, replied, ordered, orders, revenue, unsubscribed, \
         complained, time_to_open; the nearest is `revenue`",
    );
    check(
        "profit",
        "` is `profit`, which needs its costs; write `{name: profit, outcome: order, measure: profit, costs: {margin: 0.4}}`",
    );
    check(
        "{name: spend, outcome: order, mesure: amount}",
        ".mesure` is not a known key; known are name, outcome, measure, lower_is_better, human_only, costs, cap, per, window_hours, unit, owner; the \
         nearest is `measure`",
    );
    check(
        "{name: spend, outcome: order, measure: amont}",
        ".measure` is `amont`, which is not one of occurred, count, amount, profit, hours_to_first; the nearest is `amount`",
    );
    check("{name: spend, outcome: order}", ".measure` is missing; add it");
    check(
        "{name: spend, outcome: order, measure: occurred, unit: EUR}",
        ".unit` is for counts and money, and the measure is occurred; leave it out",
    );
    check("{name: spend, outcome: order, measure: amount, owner: ''}", ".owner` is empty; leave it out or fill it in");
    check("{name: visit, outcome: order, measure: amount}", ".name` is `visit`, which is there already; names must differ");
    check("[5]", "` must be a block of `key: value` pairs, or the name of a built-in metric");
}

#[test]
fn mistakes_in_costs_are_named() {
    let check = |metric: &str, expect: &str| {
        let from = "{name: spend, outcome: order, measure: amount}";
        complaint(from, &format!("{{name: spend, outcome: order, {metric}}}"), &format!("line 14: `metrics[1].{expect}"));
    };
    check("measure: profit", "costs` is missing, which profit is made of; add `costs: {margin: 0.4, message: 0.001}`");
    check(
        "measure: count, costs: {margin: 0.4}",
        "costs` is for profit, and the measure is count; leave it out, or write `measure: profit`",
    );
    check(
        "measure: profit, costs: {margin: 40}",
        "costs.margin` is 40; it must be more than 0 and at most 1: 0.4 leaves 40 of 100",
    );
    check(
        "measure: profit, costs: {margin: 0.4, message: -1}",
        "costs.message` is -1; it must be from 0 to 1000000, in the base currency",
    );
    check(
        "measure: profit, costs: {margin: 0.4, message: 0.00000125}",
        "costs.message` is 0.00000125; it can have six decimals, so write 0.000001",
    );
    check(
        "measure: profit, costs: {margin: 0.4, mesage: 1}",
        "costs.mesage` is not a known key; known are margin, message, unsubscribe, complaint; the nearest is `message`",
    );
    check("measure: profit, costs: {message: 1}", "costs.margin` is missing; add it");
    let text =
        EXPERIMENT.replace("measure: amount", "measure: profit, costs: {margin: 0.07, message: 0.000008, complaint: 1000000}");
    let written = parse(&text).unwrap();
    let costs = Costs { margin: 0.07, message: 0.000_008, unsubscribe: 0.0, complaint: 1_000_000.0 };
    assert_eq!(written.metrics[1].costs, Some(costs));
    assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
}

#[test]
fn mistakes_in_caps_and_measures_are_named() {
    let check = |metric: &str, expect: &str| {
        let from = "{name: spend, outcome: order, measure: amount}";
        complaint(from, &format!("{{name: spend, {metric}}}"), &format!("line 14: `metrics[1].{expect}"));
    };
    check(
        "outcome: order, measure: occurred, cap: 2",
        "cap` is for values without an end, and the measure is occurred; leave it out",
    );
    check(
        "outcome: order, measure: amount, cap: 0",
        "cap` is 0; it must be more than 0 and at most 1000000000: a recipient beyond it counts as if they had just that",
    );
    check("outcome: order, measure: count, cap: 1.5", "cap` is 1.5; of a count it must be a whole number");
    check("outcome: order, measure: amount, cap: 99.9999999", "cap` is 99.9999999; it can have six decimals, so write 100");
    check(
        "outcome: delivery, measure: count",
        "measure` is count, and a message that is taken by one server and told as arrived by the next would count twice; write `occurred`",
    );
    check("outcome: order, measure: amount, per: spend", "per` is the metric itself, which would always be 1; name another one");
    check(
        "outcome: order, measure: amount, per: visits",
        "per` is `visits`, which is none of the other metrics visit, leave; the nearest is `visit`",
    );
    check(
        "outcome: order, measure: hours_to_first, per: visit",
        "per` is for sums, and the hours to the first are none: name another metric, or leave it out",
    );
    let twice = EXPERIMENT
        .replace("lower_is_better: true}", "lower_is_better: true, per: spend}")
        .replace("amount}", "amount, per: visit}");
    let expect = "line 15: `metrics[2].per` is `spend`, which is a ratio itself; name one without `per`";
    assert_eq!(parse(&twice).unwrap_err().to_string(), expect);
    check("outcome: bounce, measure: profit", "measure` is profit, which only orders have; the outcome is bounce");
    for fine in [
        "outcome: order, measure: amount, per: visit",
        "outcome: order, measure: profit, costs: {margin: 1}, cap: 99.5",
        "outcome: reply, measure: hours_to_first",
    ] {
        let text = EXPERIMENT.replace("outcome: order, measure: amount", fine);
        let written = parse(&text).unwrap();
        assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
    }
}

#[test]
fn mistakes_in_the_balance_are_named() {
    let check = |balance: &str, expect: &str| complaint("control: plain", &format!("balance:\n  {balance}"), expect);
    check(
        "covariates: []",
        "line 11: `balance.covariates` is empty; name what groups are to agree in, such as revenue, or leave `balance` out",
    );
    check(
        "covariates: [revenu]",
        "line 11: `balance.covariates[0]` is `revenu`, which is not one of revenue, orders, clicks, opens, tenure, country; the nearest is \
         `revenue`",
    );
    check(
        "covariates: [orders, orders]",
        "line 11: `balance.covariates[1]` is `orders`, which is there already; names must differ",
    );
    check("covariates: [orders]\n  days: 0", "line 12: `balance.days` is 0; it must be from 1 to 366, and is usually 90");
    check(
        "covariates: [orders]\n  acceptance: 0.001",
        "line 12: `balance.acceptance` is 0.001; it must be from 0.01 to 0.5: 0.1 takes the first of about ten draws that is balanced enough",
    );
    check(
        "covariates: [orders]\n  acceptence: 0.1",
        "line 12: `balance.acceptence` is not a known key; known are covariates, days, acceptance; the nearest is `acceptance`",
    );
    check("days: 30", "line 11: `covariates` is missing; add it");
    let written = parse(&format!("{EXPERIMENT}balance: {{covariates: [revenue, country]}}\n")).unwrap();
    let balance = written.balance.clone().unwrap();
    assert_eq!((balance.days, balance.acceptance), (90, 0.1));
    assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
}

#[test]
fn mistakes_in_the_tags_are_named() {
    let check = |tags: &str, expect: &str| complaint("control: plain", &format!("tags: {tags}"), expect);
    check("[scarcity, '']", "line 10: `tags[1]` is empty; give it at least one visible character");
    check("[scarcity, scarcity]", "line 10: `tags[1]` is `scarcity`, which is there already; names must differ");
    check("[\"a\\tb\"]", "line 10: `tags[0]` holds a control character; use printable text only");
    check("[' scarcity']", "line 10: `tags[0]` is ` scarcity`, which has spaces around it; write `scarcity`");
    check(&format!("[{}]", "x".repeat(65)), "line 10: `tags[0]` is 65 bytes long; the limit is 64");
    let many: Vec<String> = (0..21).map(|tag| format!("t{tag}")).collect();
    check(&format!("[{}]", many.join(", ")), "line 10: `tags` has 21; an experiment has at most 20");
    let written = parse(&format!("{EXPERIMENT}tags: [scarcity, 双十一]\n")).unwrap();
    assert_eq!(written.tags, ["scarcity", "双十一"]);
    assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
    let json = serde_json::to_string(&parse(EXPERIMENT).unwrap()).unwrap();
    assert!(!json.contains("tags"), "an experiment without tags keeps its bytes, and so the hashes of its plans: {json}");
}

#[test]
fn mistakes_about_holdouts_are_named() {
    let check = |variants: &str, expect: &str| {
        let text = format!(
            "experiment: e\nfactors: [copy]\nprimary: ordered\nmetrics: [ordered]\nvariants:\n- {{name: a}}\n- {{name: b, copy: a}}\n{variants}"
        );
        assert_eq!(parse(&text).unwrap_err().to_string(), expect);
    };
    check(
        "- {name: x, copy: a, holdout: true}\n- {name: y, copy: a, holdout: true}\n",
        "line 9: `variants[3].holdout` is true of a second variant; one holdout is enough: give it the weight of both",
    );
    check(
        "- {name: x, copy: a, holdout: true}\ncontrol: x\n",
        "line 8: `variants[2].holdout` is true of `x`, which the others are compared with; name a variant that is sent as `control`, or put \
         it first",
    );
    // What a holdout would be sent and when is no difference between variants.
    let text = "experiment: e\nfactors: [copy]\nprimary: ordered\nmetrics: [ordered]\nvariants: [{name: a}, {name: x, send_hour: 9, holdout: true}]";
    let written = parse(text).unwrap();
    assert_eq!((written.holdout().map(|variant| variant.name.as_str()), written.others().count()), (Some("x"), 0));
}

#[test]
fn mistakes_about_noise_and_early_looks_are_named() {
    let check = |line: &str, expect: &str| complaint("control: plain", line, expect);
    check("cuped: {days: 0}", "line 10: `cuped.days` is 0; it must be from 1 to 366, and is usually 90");
    let ages = "it must be one of 4, 24, 72, of which finished experiments tell";
    check("early: {age_hours: 5}", &format!("line 10: `early.age_hours` is 5; {ages}"));
    let short = format!("{EXPERIMENT}window_hours: 24\nearly: {{}}\n");
    let problem = parse(&short).unwrap_err().to_string();
    assert!(problem.contains("is 24, and windows are over after 24; leave `early` out"), "{problem}");
    let written = parse(&format!("{EXPERIMENT}cuped: {{}}\nearly: {{}}\n")).unwrap();
    assert_eq!((written.cuped, written.early), (Some(Cuped { days: 90 }), Some(Early { age_hours: 24 })));
}

#[test]
fn mistakes_in_the_layer_are_named() {
    let check = |layer: &str, expect: &str| complaint("control: plain", &format!("layer: {layer}"), expect);
    check("{name: '', from: 0, to: 50}", "line 10: `layer.name` is empty; give it at least one visible character");
    check(
        "{name: l, from: 50, to: 50}",
        "line 10: `layer.to` is 50; a part begins before it ends, and ends at 100 at most: it begins at 50",
    );
    check(
        "{name: l, from: 0, to: 101}",
        "line 10: `layer.to` is 101; a part begins before it ends, and ends at 100 at most: it begins at 0",
    );
    let written = parse(&format!("{EXPERIMENT}layer: {{name: subjects, from: 20, to: 60}}\n")).unwrap();
    assert_eq!(written.layer, Some(Layer { name: "subjects".to_owned(), from: 20, to: 60 }));
}

#[test]
fn mistakes_in_the_window_of_a_metric_are_named() {
    let check = |hours: &str, expect: &str| {
        let text = format!("{EXPERIMENT}\n").replace("metrics:", "window_hours: 168\nmetrics:");
        let metric = format!("  - {{name: soon, outcome: click, measure: occurred, window_hours: {hours}}}\n");
        let at = text.find("metrics:\n").map(|at| at + "metrics:\n".len()).unwrap();
        let (head, tail) = text.split_at(at);
        let error = parse(&format!("{head}{metric}{tail}")).unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    };
    check("0", "`metrics[0].window_hours` is 0; it must be from 1 to 168, which is the experiment's window");
    check("169", "`metrics[0].window_hours` is 169; it must be from 1 to 168, which is the experiment's window");
    check(
        "36",
        "`metrics[0].window_hours` is 36, and outcomes are known by 1, 2, 4, 8, 12 and 24 hours and by whole days; write one of these",
    );
}

#[test]
fn mistakes_in_the_rollout_are_named() {
    let check = |rollout: &str, expect: &str| complaint("control: plain", &format!("rollout:\n  {rollout}"), expect);
    check("steps: []", "line 11: `rollout.steps` has 0; a rollout has from 1 to 10 steps");
    check("steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100]", "line 11: `rollout.steps` has 11; a rollout has from 1 to 10 steps");
    check("steps: [0, 100]", "line 11: `rollout.steps[0]` is 0; steps are percent that rise, from 1 to 100");
    check("steps: [5, 5, 100]", "line 11: `rollout.steps[1]` is 5; steps are percent that rise, from 1 to 100");
    check("steps: [50, 101]", "line 11: `rollout.steps[1]` is 101; steps are percent that rise, from 1 to 100");
    check("steps: [100, 100]", "line 11: `rollout.steps[1]` is 100; steps are percent that rise, from 1 to 100");
    check("steps: [5, 50]", "line 11: `rollout.steps` ends with 50; the last step is everybody: 100");
    check("steps: [5.5, 100]", "line 11: `rollout.steps[0]` must be a whole number from 0 to 255");
    check("hours: 0", "line 11: `rollout.hours` is 0; it must be from 1 to 720, and is usually 24");
    check("hours: 721", "line 11: `rollout.hours` is 721; it must be from 1 to 720, and is usually 24");
    check(
        "steps: [100]\n  hour: 1",
        "line 12: `rollout.hour` is not a known key; known are steps, hours; the nearest is `hours`",
    );
    let written = parse(&format!("{EXPERIMENT}rollout: {{}}\n")).unwrap();
    assert_eq!(written.rollout, Some(Rollout { steps: vec![5, 25, 50, 100], hours: 24 }));
    assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
    assert_eq!(parse(EXPERIMENT).unwrap().rollout, None);
}

#[test]
fn mistakes_in_the_bandit_are_named() {
    let check = |bandit: &str, expect: &str| complaint("control: plain", &format!("bandit:\n  {bandit}"), expect);
    let floor =
        "every variant keeps that share, so that with 2 variants it must be more than 0 and less than 0.500, and is usually 0.05";
    check("floor: 0", &format!("line 11: `bandit.floor` is 0; {floor}"));
    check("floor: 0.5", &format!("line 11: `bandit.floor` is 0.5; {floor}"));
    check("wave_hours: 0", "line 11: `bandit.wave_hours` is 0; it must be from 1 to 720, and is usually 24");
    check("rule: greedy", "line 11: `bandit.rule` is `greedy`, which is not one of thompson, top_two; the nearest is `thompson`");
    check(
        "floor: 0.1\nrollout: {}",
        "line 10: `bandit` is given beside `rollout`; a bandit moves the shares by itself: leave one of them out",
    );
    let with_approval = format!("{EXPERIMENT}bandit: {{}}\napproval: {{from: 1000}}\n");
    let refused = "line 20: `approval` is given beside `bandit`, which moves the shares by itself; leave one of them out";
    assert_eq!(parse(&with_approval).unwrap_err().to_string(), refused);
    assert_eq!(parse(&format!("{EXPERIMENT}approval: {{from: 1000}}\n")).unwrap().approval, Some(Approval { from: 1_000 }));
    let written = parse(&format!("{EXPERIMENT}bandit: {{}}\n")).unwrap();
    assert_eq!(written.bandit, Some(Bandit { rule: BanditRule::Thompson, floor: 0.05, wave_hours: 24 }));
    assert_eq!(parse(&to_yaml(&written)).unwrap(), written);
    assert_eq!(parse(EXPERIMENT).unwrap().bandit, None);
}

#[test]
fn too_few_variants_are_refused() {
    let one = "experiment: e\nfactors: [copy]\nvariants: [{name: A}]\nprimary: v\nmetrics: [{name: v, outcome: open, measure: count}]\n";
    assert_eq!(parse(one).unwrap_err().to_string(), "line 3: `variants` has 1; an experiment needs from 2 to 50");
}

#[test]
fn what_is_no_yaml_is_said_to_be_none() {
    let check = |text: &str, line: Option<u64>| {
        let error = parse(text).unwrap_err();
        assert!(matches!(&error, ExperimentError::Unreadable(problem) if problem.line == line), "{error:?}");
    };
    check("experiment: [e\nfactors: {", Some(2));
    check("{\"experiment\": \"e\",, }", Some(1));
    let large = " ".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(parse(&large).unwrap_err(), ExperimentError::TooLarge { bytes: TEXT_BYTES_MAX + 1, limit: TEXT_BYTES_MAX });
    for text in ["", "just words", "[]", "- 1", "null", "{}"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn mistakes_in_campaigns_are_named() {
    assert_eq!(parse_campaign(CAMPAIGN).unwrap().share, 0.2);
    let check = |from: &str, to: &str, expect: &str| {
        assert!(CAMPAIGN.contains(from), "{from}");
        let error = parse_campaign(&CAMPAIGN.replacen(from, to, 1)).unwrap_err().to_string();
        assert_eq!(error, expect);
    };
    check("share: 0.2", "share: 20", "line 3: `share` is 20; it must be more than 0 and at most 1");
    check(
        "from: Shop <news@shop.example>",
        "from: Shop",
        "line 4: `from` is `Shop`, which is no mailbox; write `Shop <news@shop.example>`",
    );
    check(
        "from: Shop <news@shop.example>",
        "from: \"a@b.example\\nBcc: c@d.example\"",
        "line 4: `from` is `a@b.example\\nBcc: c@d.example`, which is no mailbox; write `Shop <news@shop.example>`",
    );
    check(
        "share: 0.2",
        "channel: sms",
        "line 4: `from` is for e-mail; leave it out: the gateway's settings name the sender by sms",
    );
    check(
        "    text: Hello",
        "    txt: Hello",
        "line 10: `content.plain.txt` is not a known key; known are subject, html, text, language, locales, missing, defaults; the nearest is `text`",
    );
    check("share: 0.2", "cost: -1", "line 3: `cost` is -1; it must be zero or more");
    check("share: 0.2", "send_hour: 25", "line 3: `send_hour` is 25; an hour is from 0 to 23");
    check("share: 0.2", "send_hour: lerned", "line 3: `send_hour` is `lerned`; write an hour from 0 to 23, or `learned`");
    check(
        "share: 0.2",
        "triggered: true\nsend_hour: learned",
        "line 4: `send_hour` is `learned`, which needs an audience to learn from; a triggered campaign has none: write an hour, or leave it out",
    );
    check(
        "share: 0.2",
        "channel: whatsapp",
        "line 3: `channel` is whatsapp, for which there is no gateway yet; email and sms can be sent",
    );
    check(
        "share: 0.2",
        "channels: [sms, push]",
        "line 3: `channels[1]` is push, for which there is no gateway yet; email and sms can be sent",
    );
    check("share: 0.2", "channels: [sms, sms]", "line 3: `channels[1]` is `sms`, which is there already; names must differ");
    check(
        "share: 0.2",
        "channel: sms\nchannels: [email, sms]",
        "line 3: `channel` is sms beside `channels`; leave it out, and put the channel that is tried first at their head",
    );
    check(
        "    html: <p>Hello</p>\n    text: Hello",
        "channels: [sms, email]",
        "line 7: `content.plain` is empty; write `subject` and `html` for e-mail, `text` for text messages",
    );
    check("share: 0.2", "mode: tset", "line 3: `mode` is `tset`, which is not one of test, recommended; the nearest is `test`");
}

#[test]
fn programs_get_the_same_checks_without_a_line() {
    let mut experiment = parse(EXPERIMENT).unwrap();
    assert_eq!(check(&experiment), Ok(()));
    experiment.alpha = 0.0;
    let problem = check(&experiment).unwrap_err().problem().cloned().unwrap();
    assert_eq!((problem.field.as_str(), problem.line), ("alpha", None));
    let mut campaign = parse_campaign(CAMPAIGN).unwrap();
    campaign.content.clear();
    assert!(check_campaign(&campaign).unwrap_err().to_string().contains("content"));
}
