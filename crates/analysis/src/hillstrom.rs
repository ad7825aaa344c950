//! Kevin Hillstrom's MineThatData e-mail challenge (2008), a real three-arm experiment on 64,000 customers, as its
//! sufficient statistics by what people bought before, by channel, by past spend, by being new and by kind of place. Counted
//! from the published file; no row of it is carried here.

use std::collections::BTreeMap;

use stats::{CoMoments, Moments};

use crate::cells::{ArmCells, Group, MetricCell};
use crate::fixture::{amount, binary, group, readout};
use crate::report::{Answer, Basis, Code, Difference, Readout, VerdictKind};
use crate::spec::{Kind, MetricSpec, Spec};

const ARMS: [&str; 3] = ["No E-Mail", "Mens E-Mail", "Womens E-Mail"];
const COLUMNS: [&str; 5] = ["bought", "channel", "history_segment", "newbie", "zip_code"];

/// Customers, visits, conversions, and the sum and sum of squares of spend in cents.
type Counts = (u64, u64, u64, u64, u64);

const VALUES: [(&str, &str, [Counts; 3]); 18] = [
    (
        "bought",
        "both",
        [
            (2149, 388, 20, 253_613, 5_802_491_737),
            (2181, 687, 53, 655_419, 16_304_022_055),
            (2118, 533, 31, 284_241, 5_531_768_385),
        ],
    ),
    (
        "bought",
        "mens",
        [
            (9638, 962, 53, 670_252, 15_086_511_118),
            (9558, 1615, 110, 1_317_247, 30_502_582_267),
            (9622, 1067, 59, 936_972, 24_029_107_770),
        ],
    ),
    (
        "bought",
        "womens",
        [
            (9519, 912, 49, 466_968, 7_811_500_766),
            (9568, 1592, 104, 1_058_503, 20_783_640_651),
            (9647, 1638, 99, 1_082_598, 19_553_589_608),
        ],
    ),
    (
        "channel",
        "Multichannel",
        [
            (2606, 335, 18, 160_462, 2_570_299_086),
            (2577, 545, 44, 470_269, 9_146_841_603),
            (2579, 453, 36, 457_328, 11_550_761_116),
        ],
    ),
    (
        "channel",
        "Phone",
        [
            (9327, 813, 50, 601_081, 12_770_451_395),
            (9240, 1504, 100, 1_116_679, 23_716_195_415),
            (9454, 1246, 67, 829_046, 15_763_770_238),
        ],
    ),
    (
        "channel",
        "Web",
        [
            (9373, 1114, 54, 629_290, 13_359_753_140),
            (9490, 1845, 123, 1_444_221, 34_727_207_955),
            (9354, 1539, 86, 1_017_437, 21_799_934_409),
        ],
    ),
    (
        "history_segment",
        "1) $0 - $100",
        [
            (7612, 646, 32, 393_459, 9_087_897_651),
            (7724, 1185, 71, 815_018, 18_852_000_412),
            (7634, 1005, 61, 872_347, 20_037_552_355),
        ],
    ),
    (
        "history_segment",
        "2) $100 - $200",
        [
            (4836, 440, 20, 204_512, 2_709_011_626),
            (4691, 751, 42, 528_743, 12_208_238_205),
            (4727, 631, 37, 416_585, 7_448_114_797),
        ],
    ),
    (
        "history_segment",
        "3) $200 - $350",
        [
            (4044, 511, 28, 377_257, 9_390_440_659),
            (4090, 862, 63, 601_010, 12_185_899_670),
            (4155, 675, 26, 253_347, 4_612_331_013),
        ],
    ),
    (
        "history_segment",
        "4) $350 - $500",
        [
            (2124, 319, 24, 214_581, 3_420_361_125),
            (2097, 502, 42, 540_860, 12_805_155_938),
            (2188, 417, 20, 198_972, 3_745_595_476),
        ],
    ),
    (
        "history_segment",
        "5) $500 - $750",
        [(1652, 181, 9, 89_019, 1_056_441_107), (1597, 333, 22, 262_206, 5_480_677_578), (1662, 292, 26, 303_233, 6_168_433_293)],
    ),
    (
        "history_segment",
        "6) $750 - $1,000",
        [(622, 96, 3, 21_741, 176_547_995), (644, 139, 16, 121_309, 1_514_139_329), (593, 124, 8, 59_169, 697_885_241)],
    ),
    (
        "history_segment",
        "7) $1,000 +",
        [(416, 69, 6, 90_264, 2_859_803_458), (464, 122, 11, 162_023, 4_544_133_841), (428, 94, 11, 200_158, 6_404_553_588)],
    ),
    (
        "newbie",
        "0",
        [
            (10_611, 1419, 82, 992_500, 21_057_722_188),
            (10_621, 2247, 148, 1_607_294, 35_151_439_252),
            (10_624, 1847, 92, 1_114_784, 23_654_785_782),
        ],
    ),
    (
        "newbie",
        "1",
        [
            (10_695, 843, 40, 398_333, 7_642_781_433),
            (10_686, 1647, 119, 1_423_875, 32_438_805_721),
            (10_763, 1391, 97, 1_189_027, 25_459_679_981),
        ],
    ),
    (
        "zip_code",
        "Rural",
        [
            (3139, 482, 26, 240_804, 3_378_216_582),
            (3243, 736, 44, 493_791, 10_075_557_473),
            (3181, 581, 37, 407_797, 7_199_393_577),
        ],
    ),
    (
        "zip_code",
        "Surburban",
        [
            (9625, 953, 48, 644_338, 15_085_576_784),
            (9501, 1647, 118, 1_399_773, 33_063_432_501),
            (9650, 1427, 73, 816_982, 18_267_731_984),
        ],
    ),
    (
        "zip_code",
        "Urban",
        [
            (8542, 827, 48, 505_691, 10_236_710_255),
            (8563, 1511, 105, 1_137_605, 24_451_254_999),
            (8556, 1230, 79, 1_079_032, 23_647_340_202),
        ],
    ),
];

/// Past spend in cents by arm: its sum, its sum of squares, and the sum of its products with spend in cents.
const HISTORY: [(u64, u64, u64); 3] = [
    (513_224_581, 25_971_724_145_563, 42_679_338_399),
    (517_410_518, 27_006_876_192_752, 98_575_262_586),
    (518_713_098, 26_523_269_785_210, 75_130_961_923),
];

fn metrics((count, visits, conversions, cents, cents_squared): Counts) -> Vec<MetricCell> {
    let spend = Moments::from_sums(count, cents as f64 / 100.0, cents_squared as f64 / 10_000.0).unwrap();
    vec![binary(count, visits), binary(count, conversions), MetricCell { nonzero: conversions, ..amount(spend) }]
}

fn total(arm: usize) -> Counts {
    let of_newbies = VALUES.iter().filter(|(column, _, _)| *column == "newbie").map(|(_, _, arms)| arms[arm]);
    of_newbies.fold((0, 0, 0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3, a.4 + b.4))
}

fn arms() -> Vec<ArmCells> {
    let of_column = |arm: usize, name: &str| -> BTreeMap<String, Group> {
        let values = VALUES.iter().filter(|(column, _, _)| *column == name);
        values.map(|(_, value, arms)| ((*value).to_owned(), group(metrics(arms[arm])))).collect()
    };
    let arm = |arm: usize| ArmCells {
        variant: ARMS[arm].to_owned(),
        all: group(metrics(total(arm))),
        segments: COLUMNS.map(|column| of_column(arm, column)).to_vec(),
        ..ArmCells::default()
    };
    vec![arm(1), arm(0), arm(2)]
}

fn spec() -> Spec {
    let metric = |name| MetricSpec::new(name, Kind::Auto);
    let metrics = vec![metric("visit"), metric("conversion"), metric("spend")];
    Spec { segments: COLUMNS.map(str::to_owned).to_vec(), ..Spec::new("segment", "No E-Mail", metrics) }
}

fn near(actual: f64, expect: f64, digits: f64) {
    assert!((actual - expect).abs() <= digits, "{actual} is not {expect}");
}

fn difference(answer: &Answer<Difference>) -> Difference {
    *answer.computed().unwrap()
}

#[test]
fn what_the_mails_did() {
    let readout = readout(&spec(), arms());
    near(readout.sample_ratio.test.computed().unwrap().p_value, 0.904, 0.000_5);
    let check = |metric: &str, variant: &str, effect: f64, interval: [f64; 2], digits: f64| {
        let found = readout.estimates.iter().find(|e| e.metric == metric && e.variant == variant).unwrap();
        let found_effect = difference(&found.absolute);
        near(found_effect.difference, effect, digits);
        near(found_effect.interval.lower.unwrap(), interval[0], digits);
        near(found_effect.interval.upper.unwrap(), interval[1], digits);
        assert!(found.significant && found.better == Some(true));
        found_effect.p_value
    };
    check("visit", "Mens E-Mail", 0.07659, [0.06995, 0.08323], 6e-6);
    near(check("conversion", "Mens E-Mail", 0.006_805, [0.00500, 0.00861], 6e-6), 1.5e-13, 0.05e-13);
    check("spend", "Mens E-Mail", 0.7698, [0.485, 1.055], 5e-4);
    check("visit", "Womens E-Mail", 0.04523, [0.03889, 0.05157], 6e-6);
    near(check("conversion", "Womens E-Mail", 0.003_111, [0.001_498, 0.004_724], 6e-6), 1.6e-4, 0.05e-4);
    check("spend", "Womens E-Mail", 0.4244, [0.169, 0.680], 5e-4);
    let pair = readout.other_pairs.iter().find(|e| e.metric == "spend").unwrap();
    assert_eq!((pair.variant.as_str(), pair.baseline.as_str()), ("Womens E-Mail", "Mens E-Mail"));
    near(difference(&pair.absolute).difference, -0.3454, 5e-5);
    near(difference(&pair.absolute).p_value, 0.0305, 5e-5);
    assert!(readout.estimates.iter().chain(&readout.other_pairs).all(|estimate| estimate.significant), "all nine survive Holm");
    assert_eq!((readout.verdict.kind, readout.verdict.variant.as_str()), (VerdictKind::Winner, "Mens E-Mail"));
    assert_eq!(
        readout.verdict.sentence,
        "`Mens E-Mail` wins: visit is 18.3 % against 10.6 % with `No E-Mail`, a difference of +7.66 [+7.00, +8.32] percentage points at \
         95 % confidence."
    );
}

#[test]
fn being_new_is_a_bait_and_what_was_bought_before_is_not() {
    let readout = readout(&spec(), arms());
    let test = |column: usize, metric: &str, variant: &str| {
        let tests = &readout.segments[column].heterogeneity;
        tests.iter().find(|test| test.metric == metric && test.variant == variant).unwrap()
    };
    let newbie = test(3, "conversion", "Womens E-Mail");
    near(newbie.p_value, 0.008_362_551_557, 1e-9);
    near(newbie.q_value, 0.084, 0.000_5);
    assert!(!newbie.significant);
    let bought = test(0, "visit", "Womens E-Mail");
    near(bought.p_value / 7.301e-22, 1.0, 1e-3);
    assert!(bought.significant);
    let found = codes(&readout);
    assert_eq!(found, [Code::SubgroupBait, Code::SubgroupBait], "past spend, p 0.035, is the other: {:?}", readout.doubts);
    assert!(readout.doubts[1].sentence.contains("newbie (p 0.00836)"), "{}", readout.doubts[1].sentence);
    assert!(readout.doubts[1].sentence.contains("q 0.0836"));
    let advice: Vec<Option<&str>> = readout.segments.iter().map(|column| column.advice.as_deref()).collect();
    assert_eq!(advice[1..], [None; 4], "nothing is to be done by channel, past spend, newness or place");
    assert!(
        advice[0].unwrap().contains("no value of it is shown to be served better by another variant than `Mens E-Mail`"),
        "{advice:?}"
    );
}

#[test]
fn past_spend_explains_next_to_nothing() {
    let mut arms = arms();
    for cells in &mut arms {
        let index = ARMS.iter().position(|name| *name == cells.variant).unwrap();
        let (count, _, _, cents, cents_squared) = total(index);
        let (sum, squares, products) = HISTORY[index];
        let sums = [cents as f64 / 100.0, sum as f64 / 100.0];
        let raw = [cents_squared, products, squares].map(|cents| cents as f64 / 10_000.0);
        let moments = CoMoments::from_sums(count, &sums, &raw).unwrap();
        cells.all.metrics = vec![MetricCell { moments, ..cells.all.metrics[2].clone() }];
        cells.segments.clear();
    }
    let spec = Spec {
        covariates: vec!["history".to_owned()],
        metrics: vec![MetricSpec::new("spend", Kind::Auto)],
        segments: Vec::new(),
        ..spec()
    };
    let readout = readout(&spec, arms);
    assert_eq!(readout.basis, Basis::Adjusted);
    for estimate in &readout.estimates {
        let adjusted = &estimate.adjusted[0];
        let removed = adjusted.variance_removed.unwrap();
        assert!(removed > 0.0 && removed < 0.001, "{removed}");
        near(difference(&adjusted.absolute).difference, difference(&estimate.absolute).difference, 0.01);
    }
    let explained = readout.covariates[0].variance_removed.unwrap();
    near(explained, 0.000_47, 0.000_005);
    assert!(!readout.balance[0].late);
    assert_eq!(codes(&readout), []);
}

fn codes(readout: &Readout) -> Vec<Code> {
    crate::fixture::codes(readout)
}
