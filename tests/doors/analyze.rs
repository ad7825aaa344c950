//! `sendlab analyze`: files that others made, through the real program, without a server.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{python, run, sendlab, text};

/// Recipients of three variants: `B` truly orders more, `C` does not. What they spent before moves what they spend.
fn units() -> String {
    let mut state = 42_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut file = "arm,bought,spend,before,country,day\n".to_owned();
    for unit in 0..12_000 {
        let arm = ["A", "B", "C"][unit % 3];
        let before = (uniform() * 100.0).round() / 10.0;
        let rate = 0.08 + 0.01 * before * 0.5 + if arm == "B" { 0.06 } else { 0.0 };
        let bought = uniform() < rate;
        let spend = if bought { ((20.0 + 30.0 * uniform() + before) * 100.0).round() / 100.0 } else { 0.0 };
        let country = ["DE", "FR, south", "US"][(uniform() * 3.0) as usize];
        let day = 1 + unit / 2_000;
        let _ = writeln!(file, "{arm},{},{spend},{before},\"{country}\",2026-03-{day:02}", u8::from(bought));
    }
    file
}

fn analyze(folder: &Path, file: &str, options: &[&str]) -> Value {
    let mut command = sendlab(folder);
    let output = run(command.arg("analyze").arg(folder.join(file)).args(options).arg("--json"));
    serde_json::from_str(&output).expect("the report is JSON")
}

fn codes(report: &Value) -> Vec<&str> {
    report["experiments"][0]["doubts"].as_array().unwrap().iter().map(|doubt| doubt["code"].as_str().unwrap()).collect()
}

fn estimate<'a>(report: &'a Value, metric: &str, variant: &str) -> &'a Value {
    let estimates = report["experiments"][0]["estimates"].as_array().unwrap();
    estimates.iter().find(|estimate| estimate["metric"] == metric && estimate["variant"] == variant).unwrap()
}

const OPTIONS: &[&str] = &[
    "--variant",
    "arm",
    "--control",
    "A",
    "--metric",
    "bought:binary",
    "--metric",
    "spend",
    "--covariate",
    "before",
    "--segment",
    "country",
];

#[test]
fn units_are_read_out_with_what_a_careful_reader_should_know() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("units.csv"), units()).unwrap();
    let report = analyze(folder.path(), "units.csv", OPTIONS);
    assert_eq!(report["rows"], 12_000);
    let readout = &report["experiments"][0];
    assert_eq!((&readout["verdict"]["kind"], &readout["verdict"]["variant"]), (&"winner".into(), &"B".into()), "{readout}");

    // The means are those of the file.
    let bought = |arm: &str| {
        let file = units();
        let mine = file.lines().filter(|line| line.starts_with(arm)).map(|line| line.split(',').nth(1) == Some("1"));
        let (count, sum) = mine.fold((0, 0), |(count, sum), bought| (count + 1, sum + i32::from(bought)));
        f64::from(sum) / f64::from(count)
    };
    let difference = estimate(&report, "bought", "B")["absolute"]["computed"]["difference"].as_f64().unwrap();
    assert!((difference - (bought("B") - bought("A"))).abs() < 1e-12);
    let removed = estimate(&report, "spend", "B")["adjusted"][0]["variance_removed"].as_f64().unwrap();
    assert!(removed > 0.001 && removed < 0.2, "the covariate explains a little: {removed}");
    let columns = readout["segments"][0]["values"].as_array().unwrap();
    assert_eq!(columns.iter().map(|value| value["value"].as_str().unwrap()).collect::<Vec<_>>(), ["DE", "FR, south", "US"]);

    // The same as a table and as a page.
    let page = folder.path().join("page.html");
    let printed =
        run(sendlab(folder.path()).arg("analyze").arg(folder.path().join("units.csv")).args(OPTIONS).arg("--html").arg(&page));
    assert!(printed.contains("`B`") && printed.contains("Sample ratio"), "{printed}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("FR, south") && !page.contains("<script") && !page.contains("NaN"));
    assert!(!folder.path().join("control.sqlite").exists(), "no data folder is made");
}

#[test]
fn packed_csv_and_parquet_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("units.csv"), units()).unwrap();
    let convert = "import sys, gzip\nimport pyarrow.csv as csv, pyarrow.parquet as pq\n\
                   path = sys.argv[1]\ngzip.open(path + '.gz', 'wb').write(open(path, 'rb').read())\n\
                   pq.write_table(csv.read_csv(path), path.replace('.csv', '.parquet'), row_group_size=1000)";
    run(Command::new(python()).arg("-c").arg(convert).arg(folder.path().join("units.csv")));
    let plain = analyze(folder.path(), "units.csv", OPTIONS);
    for other in ["units.csv.gz", "units.parquet"] {
        let report = analyze(folder.path(), other, OPTIONS);
        assert!(near(&plain, &report), "{other} differs");
    }
}

/// Equal but for the last digits, which follow from the order of summation.
fn near(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= 1e-9 * one.abs().max(1e-12)
        }
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| near(a, b)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| near(value, other)))
        }
        _ => one == other,
    }
}

#[test]
fn sums_say_what_units_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = units();
    std::fs::write(folder.path().join("units.csv"), &file).unwrap();
    let mut sums = "variant,metric,n,sum,sum_squares\n".to_owned();
    for arm in ["A", "B", "C"] {
        let values: Vec<f64> = file
            .lines()
            .filter(|line| line.starts_with(arm))
            .map(|line| line.split(',').nth(2).unwrap().parse().unwrap())
            .collect();
        let (sum, squares) = values.iter().fold((0.0, 0.0), |(sum, squares), value| (sum + value, squares + value * value));
        let _ = writeln!(sums, "{arm},spend,{},{sum},{squares}", values.len());
    }
    std::fs::write(folder.path().join("sums.csv"), sums).unwrap();
    let of_units = analyze(folder.path(), "units.csv", &["--variant", "arm", "--control", "A", "--metric", "spend"]);
    let of_sums = analyze(folder.path(), "sums.csv", &["--aggregate", "--control", "A"]);
    for variant in ["B", "C"] {
        let parts = ["absolute", "relative", "p_adjusted"];
        for part in parts {
            let (one, other) = (&estimate(&of_units, "spend", variant)[part], &estimate(&of_sums, "spend", variant)[part]);
            assert!(near(one, other), "{part} of {variant}: {one} is not {other}");
        }
    }
}

#[test]
fn looks_show_when_each_rule_would_have_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = "look,variant,n,successes\n".to_owned();
    for look in 1..=10 {
        let n = 2_000 * look;
        let _ = writeln!(file, "{look},A,{n},{}\n{look},B,{n},{}", n / 20, n / 20 + 13 * look);
    }
    std::fs::write(folder.path().join("looks.csv"), file).unwrap();
    let report = analyze(folder.path(), "looks.csv", &["--aggregate", "--control", "A"]);
    let rules = report["experiments"][0]["looks"]["series"][0]["rules"].as_array().unwrap();
    let stopped = |procedure: &str| {
        let rule = rules.iter().find(|rule| rule["procedure"] == procedure).unwrap();
        rule["stopped_at"].as_str().map(|look| look.parse::<u32>().unwrap())
    };
    assert_eq!(stopped("fixed_at_end"), Some(10));
    let (peeking, group) = (stopped("naive_peeking").unwrap(), stopped("group_sequential").unwrap());
    assert!(peeking < group, "peeking stops first: {peeking}, {group}");
    assert!(stopped("always_valid").is_none_or(|look| look >= group), "{rules:?}");
}

#[test]
fn doubts_are_raised() {
    let folder = tempfile::tempdir().unwrap();
    let check = |file: &str, options: &[&str], code: &str, raised: bool| {
        std::fs::write(folder.path().join("sums.csv"), file).unwrap();
        let report = analyze(folder.path(), "sums.csv", options);
        assert_eq!(codes(&report).contains(&code), raised, "{code}: {:?}", codes(&report));
    };
    let control = &["--aggregate", "--control", "A"];
    let even = "variant,n,successes\nA,50000,2500\nB,50000,2600\n";
    let uneven = "variant,n,successes\nA,50000,2500\nB,47000,2600\n";
    check(even, control, "srm", false);
    check(uneven, &["--aggregate", "--control", "A", "--plan", "A=0.5,B=0.5"], "srm", true);
    check("variant,n,successes\nA,90000,2500\nB,10000,300\n", control, "no_plan", true);
    check("variant,n,successes\nA,500,9\nB,500,19\n", control, "skewed_small", true);
    check("look,variant,n,successes\n1,A,900,90\n1,B,900,95\n2,A,1900,80\n2,B,1900,190\n", control, "falling_cumulative", true);
}

#[test]
fn mistakes_name_the_place_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("units.csv"), "arm,spend\nA,1\nB,zwei\n").unwrap();
    std::fs::write(folder.path().join("good.csv"), "arm,spend\nA,1\nB,2\nA,3\nB,0\n").unwrap();
    std::fs::write(folder.path().join("sums.csv"), "variant,n,successes\nA,100,120\nB,100,10\n").unwrap();
    std::fs::write(folder.path().join("units.xlsx"), "").unwrap();
    let check = |file: &str, options: &[&str], parts: &[&str]| {
        let output = sendlab(folder.path()).arg("analyze").arg(folder.path().join(file)).args(options).output().unwrap();
        let said = text(&output);
        assert!(!output.status.success(), "{options:?}");
        assert!(parts.iter().all(|part| said.contains(part)), "{options:?} said\n{said}");
    };
    check("units.csv", &[], &["--variant"]);
    check("units.csv", &["--variant", "arm"], &["--control"]);
    check("units.csv", &["--variant", "arm", "--control", "A"], &["--metric"]);
    check("units.csv", &["--variant", "arm", "--control", "A", "--metric", "spent"], &["`spent`", "`spend`"]);
    check(
        "units.csv",
        &["--variant", "arm", "--control", "A", "--metric", "spend"],
        &["row 2", "`spend`", "`zwei`", "correct the row"],
    );
    check("good.csv", &["--variant", "arm", "--control", "C", "--metric", "spend"], &["--control C", "A, B"]);
    check(
        "good.csv",
        &["--variant", "arm", "--control", "A", "--metric", "spend", "--plan", "A=0.5,b=0.5"],
        &["--plan b", "A, B"],
    );
    check("units.csv", &["--variant", "arm", "--control", "A", "--metric", "spend", "--cap", "spend=99"], &["p99.9"]);
    check(
        "units.csv",
        &["--variant", "arm", "--control", "A", "--metric", "spend", "--margin", "clicks=0.1"],
        &["clicks", "spend"],
    );
    check("sums.csv", &["--aggregate", "--control", "A"], &["line 2", "successes", "120"]);
    check("sums.csv", &["--aggregate", "--control", "A", "--covariate", "x"], &["--covariate", "units"]);
    check("units.xlsx", &["--variant", "arm", "--control", "A", "--metric", "spend"], &[".parquet"]);
    check("absent.csv", &["--aggregate"], &["absent.csv"]);
}

#[test]
fn the_schema_describes_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let schema: Value = serde_json::from_str(&run(sendlab(folder.path()).args(["analyze", "--schema"]))).unwrap();
    std::fs::write(folder.path().join("sums.csv"), "variant,n,successes\nA,5000,250\nB,5000,260\n").unwrap();
    let report = analyze(folder.path(), "sums.csv", &["--aggregate", "--control", "A"]);
    for field in report.as_object().unwrap().keys() {
        assert!(schema["properties"][field].is_object(), "{field} is not in the schema");
    }
}
