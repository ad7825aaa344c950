//! The SQL of the samples, as files to look at and to run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::Segment;
use crate::tests::query_of;

/// A missing file is written, and the test fails once: look at what was written. To write all anew, remove them.
#[test]
fn the_samples_compile_to_the_golden_sql() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("../../data/samples/segments.yaml")).unwrap();
    let segments: Vec<Segment> = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(segments.len(), 12);
    let (mut names, mut written, mut different) = (BTreeSet::new(), Vec::new(), Vec::new());
    for segment in &segments {
        segment.check().unwrap_or_else(|error| panic!("{}: {error}", segment.segment));
        assert!(segment.description.is_some(), "{} has a description", segment.segment);
        let sentences: String = segment.describe().iter().map(|sentence| format!("-- {sentence}\n")).collect();
        let sql = format!("{sentences}{}", query_of(segment).unwrap());
        let path = here.join("golden").join(format!("{}.sql", segment.segment));
        assert!(names.insert(format!("{}.sql", segment.segment)), "{} is there once", segment.segment);
        match fs::read_to_string(&path) {
            Ok(golden) if golden == sql => {}
            Ok(_) => different.push(format!("{}:\n{sql}", segment.segment)),
            Err(_) => {
                fs::write(&path, sql).unwrap();
                written.push(path);
            }
        }
    }
    assert!(different.is_empty(), "differ from golden: {}", different.join("\n"));
    assert!(written.is_empty(), "were written, look at them: {written:?}");
    let files: BTreeSet<String> =
        fs::read_dir(here.join("golden")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, names, "golden files without a sample");
}

#[test]
fn segments_are_written_as_they_are_read() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/samples/segments.yaml")).unwrap();
    let segments: Vec<Segment> = serde_saphyr::from_str(&text).unwrap();
    let yaml = serde_saphyr::to_string(&segments).unwrap();
    assert_eq!(serde_saphyr::from_str::<Vec<Segment>>(&yaml).unwrap(), segments, "{yaml}");
    let json = serde_json::to_string(&segments).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Segment>>(&json).unwrap(), segments, "{json}");
}
