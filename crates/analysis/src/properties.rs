//! What must hold for any input: names and the order of rows mean nothing, nor does the unit of an amount; no answer holds
//! what is not a number; and the same input gives the same bytes.

use proptest::prelude::*;
use stats::{CoMoments, Moments};

use crate::cells::{ArmCells, Cells, ExperimentCells, MetricCell};
use crate::fixture::{amount, arm, binary, moments, segmented};
use crate::report::Report;
use crate::spec::{Kind, MetricSpec, Spec};

fn spec(control: &str) -> Spec {
    let metrics = vec![MetricSpec::new("order", Kind::Auto), MetricSpec::new("spend", Kind::Mean)];
    Spec { segments: vec!["age".to_owned()], ..Spec::new("variant", control, metrics) }
}

/// Units, orders, and mean and deviation of spend, by segment.
type Segment = (u64, f64, f64, f64);

fn arm_of(name: &str, segments: &[Segment], scale: f64) -> ArmCells {
    let cells = |(units, rate, mean, deviation): &Segment| {
        let orders = (*units as f64 * rate) as u64;
        vec![binary(*units, orders), amount(moments(*units, mean * scale, deviation * scale))]
    };
    let whole = segments.iter().fold(Moments::default(), |all, (units, _, mean, deviation)| {
        all.merge(&moments(*units, mean * scale, deviation * scale))
    });
    let (units, orders) =
        segments.iter().fold((0, 0), |(units, orders), (n, rate, _, _)| (units + n, orders + (*n as f64 * rate) as u64));
    let names = ["new", "old", "rare"];
    let values: Vec<(&str, Vec<MetricCell>)> = names.into_iter().zip(segments.iter().map(cells)).collect();
    segmented(name, vec![binary(units, orders), amount(whole)], &values)
}

fn report(names: &[&str], arms: &[Vec<Segment>], scale: f64) -> Report {
    let mut arms: Vec<ArmCells> = names.iter().zip(arms).map(|(name, segments)| arm_of(name, segments, scale)).collect();
    arms.sort_by(|one, other| one.variant.cmp(&other.variant));
    let cells = Cells { experiments: vec![ExperimentCells { arms, ..Default::default() }], ..Default::default() };
    crate::report(&spec(names[0]), &cells, "engine")
}

fn arms() -> impl Strategy<Value = Vec<Vec<Segment>>> {
    let segment = (2..5000_u64, 0.0..1.0_f64, 0.5..50.0_f64, 0.1..90.0_f64);
    prop::collection::vec(prop::collection::vec(segment, 3), 3)
}

/// As JSON with variants named alike.
fn renamed(report: &Report, names: &[&str]) -> String {
    let mut json = serde_json::to_string(report).unwrap();
    for (index, name) in names.iter().enumerate() {
        json = json.replace(name, &format!("variant {index}"));
    }
    json
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn names_mean_nothing(arms in arms()) {
        let (one, other) = (["first~", "second~", "third~"], ["x1~", "x2~", "x3~"]);
        let (a, b) = (report(&one, &arms, 1.0), report(&other, &arms, 1.0));
        prop_assert_eq!(renamed(&a, &one), renamed(&b, &other));
        prop_assert_eq!(serde_json::to_string(&a).unwrap(), serde_json::to_string(&report(&one, &arms, 1.0)).unwrap());
    }

    /// With control named last, so that its place among the rows changes.
    #[test]
    fn the_order_of_rows_means_nothing(arms in arms()) {
        let (one, other) = (["a~", "m~", "n~"], ["z~", "m~", "n~"]);
        prop_assert_eq!(renamed(&report(&one, &arms, 1.0), &one), renamed(&report(&other, &arms, 1.0), &other));
    }

    /// In another currency every p-value, lift, doubt and verdict is the same.
    #[test]
    fn the_unit_means_nothing(arms in arms(), power in -20..20_i32) {
        let names = ["a", "b", "c"];
        let scale = 2.0_f64.powi(power);
        let (one, other) = (report(&names, &arms, 1.0), report(&names, &arms, scale));
        let (one, other) = (&one.experiments[0], &other.experiments[0]);
        prop_assert_eq!(&one.verdict, &other.verdict);
        prop_assert_eq!(crate::fixture::codes(one), crate::fixture::codes(other));
        for (a, b) in one.estimates.iter().zip(&other.estimates) {
            prop_assert_eq!(a.p_adjusted, b.p_adjusted);
            prop_assert_eq!(&a.relative, &b.relative);
            prop_assert_eq!(a.significant, b.significant);
        }
        for (a, b) in one.segments[0].heterogeneity.iter().zip(&other.segments[0].heterogeneity) {
            prop_assert_eq!(a.q_value, b.q_value);
        }
    }

    /// Whatever the cells hold, the report is valid JSON without a number that is none, which serde_json writes as null.
    #[test]
    fn anything_gets_an_answer(
        numbers in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>()), 2..4),
        counts in prop::collection::vec(0..4_u64, 4), shape in 0..3_usize, margin in any::<f64>(),
    ) {
        let mut spec = spec("v0");
        spec.metrics[1].margin = Some(margin);
        if shape > 0 {
            spec.covariates = vec!["history".to_owned()];
            spec.stratum = Some("country".to_owned());
        }
        let arms = numbers.iter().zip(&counts).enumerate().map(|(index, ((a, b, c, d, e), count))| {
            let cell = if shape == 2 {
                CoMoments::from_centred(*count, vec![*a, *b, *c], vec![d.abs(), *e, *a, e.abs(), *b, c.abs()])
            } else if shape == 1 {
                CoMoments::from_centred(*count, vec![*a, *b], vec![d.abs(), *c, e.abs()])
            } else {
                CoMoments::from_centred(*count, vec![*a], vec![*d])
            };
            let cell = MetricCell { moments: cell, ..binary(*count, 0) };
            let mut arm = arm(&format!("v{index}"), vec![cell.clone(), cell]);
            arm.strata = [("x".to_owned(), arm.all.clone())].into();
            arm.segments = vec![[("x".to_owned(), arm.all.clone())].into()];
            arm
        });
        let cells = Cells { experiments: vec![ExperimentCells { arms: arms.collect(), ..Default::default() }], ..Default::default() };
        let report = crate::report(&spec, &cells, "engine");
        let json = serde_json::to_string(&report.experiments).unwrap();
        let back: Vec<crate::report::Readout> = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), json, "a number that is none would not come back");
    }
}
