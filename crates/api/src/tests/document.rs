//! The OpenAPI document: fresh, whole, and true to what is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::views::adjusted::AdjustedDocument;
use crate::views::bandits::BanditStandingDocument;
use crate::views::breakdowns::{BreakdownDocument, OverlapDocument};
use crate::views::decisions::DecisionDocument;
use crate::views::documents::{BalancedDocument, CampaignDocument, ExperimentDocument, ProductDocument, SnippetDocument};
use crate::views::library::{EntryDocument, LessonDocument, PatternDocument, ProgrammeDocument};
use crate::views::readouts::ReadoutDocument;
use crate::views::rollouts::ScopeStandingDocument;
use crate::views::series::SeriesDocument;
use crate::views::sizing::{DesignsDocument, MetricsCheckDocument, SimulatedDocument, SizingDocument};

#[test]
fn the_committed_document_is_fresh() {
    let committed = include_str!("../../openapi.json");
    assert!(
        committed == openapi_json(),
        "crates/api/openapi.json is stale; refresh it: cargo run -p sendlab -- openapi > crates/api/openapi.json"
    );
}

#[test]
fn every_operation_is_described() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let known: BTreeSet<&str> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place} has no summary");
            assert!(
                operation["tags"].as_array().unwrap().iter().all(|tag| known.contains(tag.as_str().unwrap())),
                "{place} has an unknown tag"
            );
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place} shares its operationId");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2') || status.starts_with('3')), "{place} cannot succeed");
            assert!(path == "/healthz" || responses.keys().any(|status| status.starts_with('4')), "{place} cannot fail");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = serde_json::to_value(openapi()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    found.extend(
        document["components"]["schemas"]["EventV1"]["discriminator"]["mapping"]
            .as_object()
            .unwrap()
            .values()
            .map(|to| to.as_str().unwrap().to_owned()),
    );
    assert!(found.contains("#/components/schemas/ClickEventV1"));
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
}

fn check<Mirror: serde::Serialize + serde::de::DeserializeOwned>(real: &Value) {
    let mirror: Mirror = serde_json::from_value(real.clone()).unwrap_or_else(|error| panic!("{error}: {real}"));
    assert_eq!(serde_json::to_value(mirror).unwrap(), *real);
}

/// The mirrors of the document hold all that is sent, and nothing else.
#[test]
fn mirrors_are_true() {
    let written = experiment::parse(&experiment().to_string()).unwrap();
    check::<ExperimentDocument>(&serde_json::to_value(&written).unwrap());
    let mut full = experiment();
    full["variants"][1] = json!({"name": "warm", "weight": 2, "copy": "sunny", "send_hour": 9, "channel": "sms", "send_day": "sun", "provider": "europe"});
    full["variants"].as_array_mut().unwrap().push(json!({"name": "nobody", "copy": "sunny", "holdout": true}));
    full["factors"] = json!(vocabulary::Factor::ALL);
    full["audience"] = json!("SELECT contact_key FROM contacts");
    let costs = json!({"margin": 0.45, "message": 0.004, "unsubscribe": 1.5, "complaint": 10.0});
    full["metrics"][0] = json!({"name": "bought", "outcome": "order", "measure": "profit", "lower_is_better": false, "human_only": true, "costs": costs, "cap": 500.0, "per": "unsubscribed", "window_hours": 24, "unit": "EUR", "owner": "crm"});
    full["control"] = json!("plain");
    full["variants"][0]["send_hour"] = json!("learned");
    full["balance"] = json!({"covariates": vocabulary::Covariate::ALL, "days": 30, "acceptance": 0.25});
    full["tags"] = json!(["scarcity"]);
    full["layer"] = json!({"name": "subjects", "from": 0, "to": 50});
    full["approval"] = json!({"from": 1_000});
    full["cuped"] = json!({"days": 30});
    full["early"] = json!({"age_hours": 4});
    full["rollout"] = json!({"steps": [5, 100], "hours": 12});
    let full: vocabulary::Experiment = serde_json::from_value(full).unwrap();
    check::<ExperimentDocument>(&serde_json::to_value(full).unwrap());
    let covariate = json!({"covariate": "revenue", "first": 0.5, "chosen": 0.0625});
    let mut balanced = json!({"draw": 3, "draws": 4, "accepted": true, "threshold": 2.5, "distance": 1.25, "first_distance": null,
        "contacts": 1_000, "covariates": [covariate], "campaign": "spring-1", "at": "2026-03-01T12:00:00Z"});
    for distance in [json!(1.25), Value::Null] {
        balanced["distance"] = distance;
        let balanced: experiment::Balanced = serde_json::from_value(balanced.clone()).unwrap();
        check::<BalancedDocument>(&serde_json::to_value(balanced).unwrap());
    }
    check_what_is_sent();
    for (count, conversions) in [(0, 0), (1_000, 100)] {
        check_looks(&written, &observations(&written, count, conversions));
    }
}

/// Campaigns, products and snippets.
fn check_what_is_sent() {
    let mut campaign = campaign();
    check::<CampaignDocument>(&serde_json::to_value(experiment::parse_campaign(&campaign.to_string()).unwrap()).unwrap());
    campaign["start"] = json!("2026-03-01T12:00:00Z");
    campaign["send_hour"] = json!(9);
    campaign["channels"] = json!(["sms", "email"]);
    campaign["cost"] = json!(0.001);
    campaign["audience"] = json!("SELECT contact_key FROM contacts");
    campaign["coupon_pool"] = json!("ten");
    campaign["coupon_pools"] = json!({"warm": "twenty"});
    campaign["slots"] =
        json!({"seen": {"query": "last_viewed", "limit": 2, "fallback": ["sku-1"]}, "left": {"query": "abandoned"}});
    let campaign: vocabulary::Campaign = serde_json::from_value(campaign).unwrap();
    check::<CampaignDocument>(&serde_json::to_value(campaign).unwrap());
    let translation = json!({"title": "Stiefel", "url": "https://shop.example/de/1", "image": "https://shop.example/de/1.png"});
    let product = json!({"product": "sku-1", "title": "Boots", "url": "https://shop.example/1", "image": "https://shop.example/1.png",
        "locales": {"de": translation}});
    let product: vocabulary::Product = serde_json::from_value(product).unwrap();
    check::<ProductDocument>(&serde_json::to_value(product).unwrap());
    let snippet = json!({"snippet": "foot", "content": "<p>Shop</p>", "locales": {"de": "<p>Laden</p>"}});
    let snippet: vocabulary::Snippet = serde_json::from_value(snippet).unwrap();
    check::<SnippetDocument>(&serde_json::to_value(snippet).unwrap());
}

/// A look at what was observed, with all that is made of it.
fn check_looks(written: &vocabulary::Experiment, observed: &experiment::Observations) {
    let markets = [("DE".to_owned(), observed.clone())].into();
    let outcomes = experiment::ByMarket { overall: observed.clone(), markets };
    let observed = experiment::Observed { arrivals: outcomes.clone(), outcomes, days: BTreeMap::new(), ages: BTreeMap::new() };
    let by_age = BTreeMap::from([(4, observed.outcomes.overall.clone())]);
    let by_day = BTreeMap::from([("2026-11-11".to_owned(), observed.outcomes.overall.clone())]);
    let series = experiment::series(written, &by_age, &by_day).unwrap();
    check::<SeriesDocument>(&serde_json::to_value(series).unwrap());
    let before = experiment::judge::Before { is_list: true, fractions: vec![0.5], early: None };
    let mut judged = experiment::judge(written, &observed, &before, "r1");
    let effect = json!({"factors": ["copy", "timing"], "levels": ["warm", "20:00"], "baseline": ["plain", "9:00"], "difference": 0.5,
        "interval": {"lower": 0.25, "upper": 0.75}, "statistic": 3.0, "boundary": 2.5, "shown": "better", "sentence": "It is."});
    judged.decision.factors = vec![serde_json::from_value(effect).unwrap()];
    let early = json!({"age_hours": 4, "window_hours": 168, "lift": 0.5, "standard_error": 0.25, "error_correlation": 0.5});
    let early: experiment::EarlyEffect = serde_json::from_value(early).unwrap();
    judged.lessons.iter_mut().for_each(|lesson| lesson.early = vec![early]);
    let forecast = json!({"variant": "warm", "early_lift": 0.5, "experiments": 8, "explained": 0.75, "why_not": null, "lift": 0.25,
        "lift_interval": {"lower": 0.125, "upper": 0.375}, "statistic": 4.0, "boundary": 3.0, "shown": "better"});
    let early = json!({"age_hours": 4, "recipients": 1_000, "fraction": 0.5, "decides": true, "variants": [forecast], "sentence": "It is."});
    judged.decision.early = Some(serde_json::from_value(early).unwrap());
    check_what_follows(written, &judged);
    check_bandit(written, &judged, &observed.outcomes);
    let groups = experiment::breakdown::breakdown(written, &experiment::Dimension::Device, &observed.outcomes);
    check::<BreakdownDocument>(&serde_json::to_value(groups).unwrap());
    let parts = written.variants.iter().map(|variant| (variant.name.to_string(), observed.outcomes.overall.clone()));
    let markets = parts.collect();
    let shared = experiment::ByMarket { markets, ..observed.outcomes.clone() };
    let found = experiment::overlaps(written, &[experiment::overlap::shared(written.clone(), shared)]);
    check::<OverlapDocument>(&serde_json::to_value(&found[0]).unwrap());
    check::<ReadoutDocument>(&serde_json::to_value(judged.readout).unwrap());
    check::<DecisionDocument>(&serde_json::to_value(judged.decision).unwrap());
}

/// What a look leads to: lessons, and a rollout in steps.
fn check_what_follows(written: &vocabulary::Experiment, judged: &experiment::Judged) {
    let library = experiment::Library::new(judged.lessons.clone());
    library.lessons().iter().for_each(|lesson| check::<LessonDocument>(&serde_json::to_value(lesson).unwrap()));
    library.entries().iter().for_each(|entry| check::<EntryDocument>(&serde_json::to_value(entry).unwrap()));
    library.patterns().iter().for_each(|pattern| check::<PatternDocument>(&serde_json::to_value(pattern).unwrap()));
    let programme = experiment::programme(library.lessons(), 0.05).unwrap();
    check::<ProgrammeDocument>(&serde_json::to_value(programme).unwrap());

    let mut judged = judged.clone();
    judged.decision.action = experiment::Action::Ship;
    judged.decision.variant = written.variants[1].name.clone();
    let written =
        vocabulary::Experiment { rollout: Some(vocabulary::Rollout { steps: vec![5, 100], hours: 1 }), ..written.clone() };
    let fresh = || vocabulary::RecommendationId::new("step").unwrap();
    let made = experiment::recommend(&written, &judged, &[], fresh, judged.readout.as_of);
    let observed = Default::default();
    let followed = experiment::rollout::Followed { current: &made[..1], history: &made[..1], observed: &observed };
    let standing = experiment::rollout::standing(&written, &followed, judged.readout.as_of);
    assert_eq!(standing.len(), 1);
    check::<ScopeStandingDocument>(&serde_json::to_value(&standing[0]).unwrap());
}

/// What is told before a test, of a list in which every fifth contact did something.
#[test]
fn mirrors_of_plans_are_true() {
    let written = experiment::parse(&experiment().to_string()).unwrap();
    let mut moments = stats::CoMoments::new(2);
    (0..1_000).for_each(|at| moments.push(&[f64::from(u8::from(at % 5 == 0)), f64::from(u8::from(at % 10 == 0))]));
    let values = vec![experiment::ValueCount { value: 1.0, contacts: 200 }];
    let market = experiment::PastMarket { market: "DE".to_owned(), contacts: 1_000, values, moments };
    let past = experiment::Past { lower_is_better: false, markets: vec![market] };
    for mde in [None, Some(0.05)] {
        let asked = experiment::Asked { mde, ..experiment::Asked::of(&written) };
        check::<SizingDocument>(&serde_json::to_value(experiment::size(&written, &past, &asked).unwrap()).unwrap());
    }
    let mut overall = observations(&written, 1_000, 100);
    overall.arms.iter_mut().for_each(|arm| arm.before = Some(past.markets[0].moments.clone()));
    let seen = experiment::ByMarket { markets: [(String::new(), overall.clone())].into(), overall };
    check::<AdjustedDocument>(&serde_json::to_value(experiment::adjusted(&written, &seen).unwrap()).unwrap());
    let pasts = [(written.primary.clone(), past.clone())];
    check::<MetricsCheckDocument>(&serde_json::to_value(experiment::check_metrics(&written, &pasts, 1)).unwrap());
    let designs = "runs: 20\ndesigns: [{name: one, test_share: 0.2}, {name: two, units: 400, decide: shown_only}]";
    let designs = experiment::parse_designs(designs).unwrap();
    check::<DesignsDocument>(&serde_json::to_value(&designs).unwrap());
    check::<SimulatedDocument>(&serde_json::to_value(experiment::simulate(&past, &designs).unwrap()).unwrap());
}

/// A bandit before its first wave, and after it.
fn check_bandit(written: &vocabulary::Experiment, judged: &experiment::Judged, audit: &experiment::ByMarket) {
    let bandit = json!({"rule": "top_two", "floor": 0.1, "wave_hours": 6});
    let written = vocabulary::Experiment { bandit: Some(serde_json::from_value(bandit).unwrap()), ..written.clone() };
    check::<ExperimentDocument>(&serde_json::to_value(&written).unwrap());
    let fresh = || vocabulary::RecommendationId::new("wave").unwrap();
    let (mut made, mut observed) = (Vec::new(), BTreeMap::new());
    for _ in 0..2 {
        let followed = experiment::Followed { current: &made, history: &made, observed: &observed };
        let learnt = experiment::Learnt { followed, audit };
        let standing = experiment::bandit::standing(&written, &learnt, judged.readout.as_of).unwrap();
        check::<BanditStandingDocument>(&serde_json::to_value(&standing).unwrap());
        made = experiment::bandit::next_wave(&written, &learnt, fresh, judged.readout.as_of);
        observed = made.iter().map(|made| (made.id.clone(), audit.overall.clone())).collect();
    }
}

/// Made-up observations: empty, so that answers are missing, or full.
fn observations(experiment: &vocabulary::Experiment, count: u64, conversions: u64) -> experiment::Observations {
    let arm = |variant: &vocabulary::Variant, extra: u64| {
        let values = |ones: u64| (0..count).map(|at| if at < ones { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
        let moments = |ones: u64| stats::Moments::from_values(&values(ones));
        let metrics =
            [("bought".to_owned(), moments(conversions + extra)), ("unsubscribed".to_owned(), moments(conversions / 10))];
        let funnel = experiment::Funnel { assigned: count, ..experiment::Funnel::default() };
        experiment::ArmObservations {
            variant: variant.name.clone(),
            assigned: count,
            mature: count,
            metrics: metrics.into(),
            ratios: std::collections::BTreeMap::new(),
            before: None,
            adjusted: None,
            bounced: 0,
            funnel,
        }
    };
    let arms = experiment.variants.iter().zip([0, conversions / 2]).map(|(variant, extra)| arm(variant, extra)).collect();
    let versions = [("orders".to_owned(), 3)].into();
    experiment::Observations {
        versions,
        engine: "test".into(),
        as_of: now(),
        arms,
        immature: 1,
        crossovers: 0,
        strangers: 0,
        unconverted_orders: 0,
        erased_units: 0,
    }
}
