//! `sendlab certify`: the promises of the default procedures, tried by the real program.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{run, sendlab, text};

#[test]
fn promises_are_kept_on_made_data_and_on_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 3_u64;
    let mut file = "arm,spend\n".to_owned();
    for unit in 0..6_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let spend = if (state >> 33).is_multiple_of(50) { 5 + (state >> 40) % 200 } else { 0 };
        let _ = writeln!(file, "{},{spend}", ["A", "B"][unit % 2]);
    }
    let history = folder.path().join("history.csv");
    std::fs::write(&history, file).unwrap();
    let certify = || {
        let options = ["certify", "--short", "--runs", "60", "--json", "--metric", "spend", "--variant", "arm", "--history"];
        run(sendlab(folder.path()).args(options).arg(&history))
    };
    let printed = certify();
    let certificate: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(certificate["kept"], true);
    let lines = certificate["lines"].as_array().unwrap();
    for data in ["normal", "spend, A", "spend, B"] {
        assert!(lines.iter().any(|line| line["data"] == data && line["promise"].is_object()), "{data} is missing");
    }
    assert_eq!(printed, certify(), "one seed, one certificate");

    let unknown = sendlab(folder.path()).args(["certify", "--metric", "spent", "--history"]).arg(&history).output().unwrap();
    assert!(!unknown.status.success() && text(&unknown).contains("spend"), "{}", text(&unknown));
}
