//! The house rules, as a test: layers, sizes, the API document, the README's commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};
use clap::Parser as _;

use crate::support::workspace;

/// A crate may depend on crates of earlier layers only.
const LAYERS: [&[&str]; 7] = [
    &["stats", "vocabulary"],
    &["methods", "analysis", "policy", "segments", "triggers"],
    &["content", "experiment"],
    &["lake", "control", "gateways"],
    &["planning"],
    &["workers", "simulator", "api"],
    &["sendlab"],
];

/// Pure crates do no IO: none of these may stand in their manifests.
const OUTSIDE: [&str; 8] = ["tokio", "sqlx", "reqwest", "axum", "datafusion", "deltalake-core", "lettre", "rand"];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[test]
fn crates_depend_on_earlier_layers_only() {
    let metadata =
        MetadataCommand::new().manifest_path(workspace().join("Cargo.toml")).no_deps().exec().expect("cargo metadata runs");
    for package in &metadata.packages {
        let layer =
            layer_of(&package.name).unwrap_or_else(|| panic!("crate `{}` stands in no layer; add it to LAYERS", package.name));
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal) {
            if let Some(other) = layer_of(&dependency.name) {
                assert!(
                    other < layer,
                    "`{}` (layer {layer}) may not depend on `{}` (layer {other})",
                    package.name,
                    dependency.name
                );
            }
            let is_pure = layer <= 2;
            assert!(
                !is_pure || !OUTSIDE.contains(&dependency.name.as_str()),
                "pure crate `{}` may not know `{}`",
                package.name,
                dependency.name
            );
        }
    }
}

/// Every Rust source file of the workspace, with its text.
fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).expect("folders can be read") {
            let path = entry.expect("entries can be read").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&workspace().join("crates"), &mut found);
    walk(&workspace().join("tests"), &mut found);
    assert!(found.len() > 50, "the walk finds the sources");
    found
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} must begin with `//!`: what it holds and why", path.display());
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines; split it at {FILE_LINES_MAX}", path.display());
    }
}

#[test]
fn functions_stay_short() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[index..].iter().position(|line| *line == end).map_or(1, |offset| offset + 1);
            assert!(
                length <= FUNCTION_LINES_MAX,
                "{}:{} has {length} lines; the limit is {FUNCTION_LINES_MAX}",
                path.display(),
                index + 1
            );
        }
    }
}

fn begins_function(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.starts_with("fn ") && !line.ends_with(';') && !line.ends_with('}')
}

#[test]
fn the_api_document_is_fresh() {
    let stored = fs::read_to_string(workspace().join("crates/api/openapi.json")).expect("crates/api/openapi.json exists");
    let fresh = api::openapi_json();
    assert!(stored.trim() == fresh.trim(), "crates/api/openapi.json is stale; run `sendlab openapi > crates/api/openapi.json`");
}

#[test]
fn the_readme_names_commands_that_exist() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("README.md exists");
    let makefile = fs::read_to_string(workspace().join("Makefile")).expect("Makefile exists");
    let mut checked = 0;
    let joined = readme.replace("\\\n", " ");
    for line in joined.lines().map(|line| line.trim().trim_start_matches("$ ")) {
        if let Some(target) = line.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) {
            assert!(makefile.contains(&format!("\n{target}:")), "README names `make {target}`, which the Makefile lacks");
            checked += 1;
        }
        if line.starts_with("sendlab ") {
            let words = shell_words(line);
            if let Err(error) = sendlab::cli::Cli::try_parse_from(words) {
                panic!("README names a command that does not parse: {line}\n{error}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 8, "the README shows how to use Sendlab; only {checked} commands were found");
}

/// Splits a command line at spaces, keeping what stands in quotes together; what follows a `#` or `&` is left out.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (None, '#' | '&') => break,
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("there is always a word").push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A row names a constant, the file it is in below `crates`, and its value as it is written there.
#[test]
fn the_limits_of_the_lake_are_as_documented() {
    let limits = fs::read_to_string(workspace().join("crates/lake/LIMITS.md")).expect("crates/lake/LIMITS.md exists");
    let mut checked = 0;
    for row in limits.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (name, file, value) = (cells[1], cells[2], cells[3]);
        let source = fs::read_to_string(workspace().join("crates").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (begin, end) = (format!("const {name}: "), format!(" = {value};"));
        let is_so = source.lines().any(|line| line.contains(&begin) && line.ends_with(&end));
        assert!(is_so, "LIMITS.md says that {name} in crates/{file} is {value}; it is not");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} limits were found");
}

#[test]
fn nothing_private_to_one_machine_is_written_down() {
    for (path, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            let names_home = ["/root/", "/home/"].iter().any(|home| line.contains(home)) && !path.ends_with("tidy.rs");
            assert!(!names_home, "{}:{} names a folder of one machine", path.display(), index + 1);
        }
    }
}
