//! `sendlab bench smtp` measures against Postfix's own tools and tells every figure that it promises. What the figures are depends on the
//! machine, and is not tested.

use crate::support::{run, sendlab};

#[test]
fn every_figure_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let few = ["bench", "smtp", "--messages", "400", "--connections", "4", "--runs", "1", "--round-trip-ms", "4"];
    let told = run(sendlab(folder.path()).args(few));
    let lines = |start: &str| told.lines().filter(|line| line.trim_start().starts_with(start)).count();
    assert_eq!((lines("smtp-source -d"), lines("Sendlab ")), (2, 2), "{told}");
    for line in ["unsigned  ", "unsigned, no ledger", "Ed25519", "RSA-2048", "The ledger costs"] {
        assert_eq!(lines(line), 1, "{line}: {told}");
    }
    for line in told.lines().filter(|line| line.contains(" a second")) {
        let rate: f64 = line.split(" a second").next().unwrap().split_whitespace().last().unwrap().parse().unwrap();
        assert!(rate > 0.0, "{line}");
    }
}
