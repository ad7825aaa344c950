//! What is written is read again as it was, and no text makes reading panic.

use proptest::prelude::*;
use vocabulary::{
    Approval, Balance, Bandit, BanditRule, Covariate, Cuped, Early, ExperimentId, Factor, Guardrail, Layer, Measure, Metric,
    Outcome, Provider, Rollout, SendHour, Variant, VariantName, Weekday,
};

use super::tests::EXPERIMENT;
use super::*;

fn any_experiment() -> impl Strategy<Value = Experiment> {
    let name = "[A-Za-z0-9:#'\" äß早{}\\[\\],&*!|>%@-]{1,20}".prop_filter("visible", |name| !name.trim().is_empty());
    let variant = (name.clone(), 1..u32::MAX, prop::option::of(0..24_u8));
    let written = (prop::collection::vec(variant, 2..6), ".{0,40}", name, 0.001..0.5_f64, 1..=366_u32);
    written.prop_map(|(variants, question, metric, alpha, window)| {
        Experiment {
            experiment: ExperimentId::new("e").unwrap(),
            question,
            factors: vec![Factor::Copy, Factor::Timing],
            variants: variants
                .into_iter()
                .enumerate()
                .map(|(index, (name, weight, send_hour))| {
                    let name = VariantName::new(&format!("{name}{index}")).unwrap();
                    // The last hour there is stands for the one that is learned.
                    let learned = |hour| if hour == 23 { SendHour::Learned } else { SendHour::At(hour) };
                    Variant {
                        weight,
                        send_hour: send_hour.map(learned),
                        send_day: send_hour.and_then(|hour| Weekday::ALL.get(usize::from(hour)).copied()),
                        provider: Provider::new("a: b # c").ok(),
                        holdout: weight.is_multiple_of(7) && index == 1,
                        ..Variant::new(name)
                    }
                })
                .collect(),
            control: None,
            primary: metric.clone(),
            metrics: ["", "2"]
                .map(|suffix| Metric {
                    lower_is_better: true,
                    human_only: false,
                    ..Metric::new(&format!("{metric}{suffix}"), Outcome::Complaint, Measure::Count)
                })
                .to_vec(),
            guardrails: vec![Guardrail { metric: format!("{metric}2"), margin: alpha }],
            window_hours: 24,
            audience: Some("SELECT contact_key FROM contacts\nWHERE country = 'DE' -- x: y".to_owned()),
            alpha,
            balance: Some(Balance { covariates: Covariate::ALL.to_vec(), days: window, acceptance: alpha.max(0.01) }),
            tags: if window.is_multiple_of(2) { vec!["double-eleven".to_owned(), "a: b # c".to_owned()] } else { Vec::new() },
            rollout: (window > 24).then(|| Rollout { steps: vec![1, 99, 100], hours: window }),
            layer: window.is_multiple_of(3).then(|| Layer { name: "a layer".to_owned(), from: 0, to: 50 }),
            approval: (window > 24).then_some(Approval { from: window.into() }),
            cuped: window.is_multiple_of(5).then_some(Cuped { days: window }),
            early: (window < 24).then_some(Early { age_hours: 4 }),
            bandit: (window < 24).then_some(Bandit { rule: BanditRule::TopTwo, floor: 0.01, wave_hours: window }),
        }
    })
}

proptest! {
    #[test]
    fn yaml_that_was_written_is_read_again(experiment in any_experiment()) {
        prop_assume!(experiment.question.is_empty() || !experiment.question.trim().is_empty());
        prop_assert_eq!(parse(&to_yaml(&experiment)).unwrap(), experiment);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", line in 0..18_usize) {
        let _ = parse(&text);
        let mut lines: Vec<&str> = EXPERIMENT.lines().collect();
        lines[line] = &text;
        let _ = parse(&lines.join("\n"));
    }
}
