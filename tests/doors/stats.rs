//! `sendlab stats`: JSON lines through the real program, without a server.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{run, sendlab, text, workspace};

fn piped(folder: &std::path::Path, input: &str) -> (Vec<Value>, bool, String) {
    let mut command = sendlab(folder);
    let mut child = command.arg("stats").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, output.status.success(), text(&output))
}

#[test]
fn the_cases_of_peers_go_in_and_answers_come_out_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = workspace().join("data/reference/methods.jsonl");
    let answers = run(sendlab(folder.path()).arg("stats").arg(&file));
    let cases = std::fs::read_to_string(&file).unwrap();
    assert_eq!(answers.lines().count(), cases.lines().count());
    for (answer, case) in answers.lines().zip(cases.lines()) {
        let (answer, case): (Value, Value) = (serde_json::from_str(answer).unwrap(), serde_json::from_str(case).unwrap());
        assert_eq!(answer["id"], case["id"]);
        assert!(answer["actual"].is_object(), "{answer}");
    }
    assert!(!folder.path().join("control.sqlite").exists(), "no data folder is made");
}

#[test]
fn a_bad_line_is_named_and_the_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"id": "a", "method": "p_adjust", "input": {"p_values": [0.01, 0.04], "procedure": "holm", "alpha": 0.05}}"#;
    let (lines, success, all) =
        piped(folder.path(), &format!("{good}\n{{\"id\": 2, \"method\": \"p_adjst\", \"input\": {{}}}}\nno\n\n{good}"));
    assert!(!success);
    assert_eq!(lines.len(), 4, "{all}");
    assert_eq!(lines[0]["actual"]["adjusted"], serde_json::json!([0.02, 0.04]));
    assert!(lines[1]["error"]["message"].as_str().unwrap().contains("`p_adjust`"), "{}", lines[1]);
    assert_eq!(lines[1]["id"], 2);
    assert!(lines[2]["error"].is_object());
    assert_eq!(lines[3], lines[0]);
    assert!(all.contains("2 of 4 lines were not computed"), "{all}");
}

#[test]
fn methods_are_listed_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let list = run(sendlab(folder.path()).args(["stats", "--list"]));
    for method in methods::methods() {
        assert!(list.contains(method.name), "{}", method.name);
    }
    let explained = run(sendlab(folder.path()).args(["stats", "--explain", "welch_t_absolute"]));
    for part in ["Formula", "Reference", "Inputs", "Outputs", "Refuses", "Example", "control", "\"actual\""] {
        assert!(explained.contains(part), "{part} is missing in\n{explained}");
    }
    let unknown = sendlab(folder.path()).args(["stats", "--explain", "welch"]).output().unwrap();
    assert!(!unknown.status.success() && text(&unknown).contains("nearest"), "{}", text(&unknown));
}
