//! Files of results are counted alike whatever their format, types and size.

use std::fs;

use analysis::cells::{Cells, Group};
use analysis::spec::{Kind, MetricSpec, Spec};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use stats::Moments;

use super::*;
use crate::gather_units;

/// A row as a person would write it down.
#[derive(Debug, Clone)]
struct Row {
    group: &'static str,
    spend: f64,
    visits: i64,
    history: f64,
    store: i64,
    day: i32,
}

/// Rows by a rule, so that nothing needs to be stored.
fn rows(count: usize) -> Vec<Row> {
    let row = |i: usize| {
        let mixed = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let spend = if mixed.is_multiple_of(7) { (mixed % 10_007) as f64 / 16.0 } else { 0.0 };
        let store = (mixed % 97) as i64;
        Row {
            group: if store % 2 == 0 { "control" } else { "a longer name, with a comma" },
            spend,
            visits: 1 + (mixed % 5) as i64,
            history: 1e6 + (mixed % 1009) as f64 + spend / 2.0,
            store,
            day: 20_000 + (mixed % 3) as i32,
        }
    };
    (0..count).map(row).collect()
}

fn spec() -> Spec {
    let metrics =
        vec![MetricSpec::new("spend", Kind::Auto), MetricSpec::new("spend", Kind::Ratio { denominator: "visits".to_owned() })];
    let names = |name: &str| vec![name.to_owned()];
    let date = Some("day".to_owned());
    Spec { covariates: names("history"), segments: names("visits"), date, ..Spec::new("group", "control", metrics) }
}

fn csv(rows: &[Row]) -> String {
    let day = |row: &Row| jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(row.day)).unwrap();
    let line = |row: &Row| {
        format!("\"{}\",{},{},{},{},{}T10:00:00\n", row.group, row.spend, row.visits, row.history, row.store, day(row))
    };
    std::iter::once("group,spend,visits,history,store,day\n".to_owned()).chain(rows.iter().map(line)).collect()
}

fn table(rows: &[Row]) -> RecordBatch {
    let groups: StringArray = rows.iter().map(|row| Some(row.group)).collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("group", Arc::new(groups)),
        ("spend", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.spend)))),
        ("visits", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.visits)))),
        ("history", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.history)))),
        ("store", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.store)))),
        ("day", Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.day)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch, rows_per_group: usize) {
    let options = WriterProperties::builder().set_max_row_group_row_count(Some(rows_per_group)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(options)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

async fn gathered(path: &Path, spec: &Spec) -> Result<Cells, String> {
    gather_units(path, spec, |_| {}).await.map_err(|error| error.to_string())
}

/// The cells of a Parquet file of these columns.
async fn of_columns(spec: &Spec, columns: Vec<(&str, ArrayRef)>) -> Result<Cells, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("units.parquet");
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    write_parquet(&path, &RecordBatch::try_from_iter_with_nullable(columns).unwrap(), 1000);
    gathered(&path, spec).await
}

async fn of_csv(spec: &Spec, text: &str) -> Result<Cells, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("units.csv");
    fs::write(&path, text).unwrap();
    gathered(&path, spec).await
}

/// Whether a group is what a book computes of `rows`.
fn check_group(group: &Group, rows: &[&Row]) {
    let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-11 * a.abs().max(b.abs()).max(1e-3), "{a} {b}");
    let moments = |value: fn(&Row) -> f64| Moments::from_values(&rows.iter().map(|row| value(row)).collect::<Vec<_>>());
    let expect = [moments(|row| row.spend), moments(|row| row.visits as f64), moments(|row| row.history)];
    assert_eq!(group.units, rows.len() as u64);
    let ratio = &group.metrics[1].moments;
    for (i, expect) in expect.iter().enumerate() {
        near(ratio.mean(i), expect.mean);
        near(ratio.product(i, i), expect.m2);
    }
    let product: f64 = rows.iter().map(|row| (row.spend - expect[0].mean) * (row.history - expect[2].mean)).sum();
    near(ratio.product(0, 2), product);
    near(group.metrics[0].moments.product(0, 1), product);
    assert_eq!(group.metrics[0].nonzero, rows.iter().filter(|row| row.spend != 0.0).count() as u64);
}

fn check_cells(cells: &Cells, rows: &[Row]) {
    assert_eq!((cells.rows, cells.experiments.len()), (rows.len() as u64, 1));
    let arms = &cells.experiments[0].arms;
    assert_eq!(arms.iter().map(|arm| arm.variant.as_str()).collect::<Vec<_>>(), ["a longer name, with a comma", "control"]);
    for arm in arms {
        let own: Vec<&Row> = rows.iter().filter(|row| row.group == arm.variant).collect();
        check_group(&arm.all, &own);
        assert_eq!(arm.segments[0].keys().collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
        for (visits, group) in &arm.segments[0] {
            check_group(group, &own.iter().copied().filter(|row| row.visits.to_string() == *visits).collect::<Vec<_>>());
        }
        assert_eq!(arm.dates.keys().collect::<Vec<_>>(), ["2024-10-04", "2024-10-05", "2024-10-06"]);
        for (at, group) in arm.dates.values().enumerate() {
            check_group(group, &own.iter().copied().filter(|row| row.day == 20_000 + at as i32).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn csv_and_parquet_give_what_a_book_computes() {
    let rows = rows(20_000);
    check_cells(&of_csv(&spec(), &csv(&rows)).await.unwrap(), &rows);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two words [1] 100%.parquet");
    write_parquet(&path, &table(&rows), 3_000);
    check_cells(&gathered(&path, &spec()).await.unwrap(), &rows);
}

#[tokio::test]
async fn packed_csv_is_counted() {
    // `printf 'group,spend\na,1\na,2\nb,3\n' | gzip -n`
    let packed: [u8; 42] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4b, 0x2f, 0xca, 0x2f, 0x2d, 0xd0, 0x29, 0x2e, 0x48, 0xcd,
        0x4b, 0xe1, 0x4a, 0xd4, 0x31, 0x04, 0x62, 0x23, 0xae, 0x24, 0x1d, 0x63, 0x2e, 0x00, 0x37, 0x23, 0xe5, 0x19, 0x18, 0x00,
        0x00, 0x00,
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.csv.gz");
    fs::write(&path, packed).unwrap();
    let cells = gathered(&path, &Spec::new("group", "a", vec![MetricSpec::new("spend", Kind::Mean)])).await.unwrap();
    let means: Vec<f64> = cells.experiments[0].arms.iter().map(|arm| arm.all.metrics[0].moments.mean(0)).collect();
    assert_eq!(means, [1.5, 3.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn parts_are_merged_in_the_order_of_the_file() {
    // More than two parts, which row groups do not respect.
    let rows = rows(1_200_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.parquet");
    write_parquet(&path, &table(&rows), 400_000);
    let mut told = 0;
    let first = gather_units(&path, &spec(), |rows| told = rows).await.unwrap();
    assert_eq!(told, 1_200_000);
    check_cells(&first, &rows);
    for _ in 0..3 {
        assert!(gathered(&path, &spec()).await.unwrap() == first, "the same bytes each time");
    }
    let one = path.with_extension("one.parquet");
    write_parquet(&one, &table(&rows), 2_000_000);
    check_cells(&gathered(&one, &spec()).await.unwrap(), &rows);
}

#[tokio::test]
async fn types_are_taken_for_what_they_mean() {
    let spec = |variant: &str| Spec::new(variant, "1", vec![MetricSpec::new("y", Kind::Auto), MetricSpec::new("z", Kind::Auto)]);
    let labels: Vec<(&str, ArrayRef)> = vec![
        ("integer", Arc::new(Int32Array::from(vec![1, 0, 1, 0]))),
        ("float", Arc::new(Float64Array::from(vec![1.0, 0.0, 1.0, 0.0]))),
        ("text", Arc::new(StringArray::from(vec!["1", "0", "1", "0"]))),
        ("factor", Arc::new(["1", "0", "1", "0"].into_iter().collect::<DictionaryArray<Int32Type>>())),
    ];
    let numbers: Vec<(&str, ArrayRef)> = vec![
        ("y", Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(false), None]))),
        ("z", Arc::new(Decimal128Array::from(vec![150, 250, 350, 0]).with_precision_and_scale(9, 2).unwrap())),
    ];
    for (name, column) in labels {
        let columns = numbers.iter().cloned().chain([(name, column)]).collect();
        let cells = of_columns(&spec(name), columns).await.unwrap();
        assert_eq!(cells.empty, [1, 0], "{name}");
        let [zero, one] = cells.experiments[0].arms.as_slice() else { panic!("{name}: {cells:?}") };
        assert_eq!((zero.variant.as_str(), one.variant.as_str()), ("0", "1"), "{name}");
        assert_eq!((one.all.metrics[0].moments.mean(0), one.all.metrics[1].moments.mean(0)), (0.5, 2.5), "{name}");
        assert!(one.all.metrics[0].is_binary && !one.all.metrics[1].is_binary);
    }
    let texts = of_csv(&spec("v"), "v,y,z\n1,TRUE, 1.5 \n0,false,2.5e0\n1,,3.50\n").await.unwrap();
    assert_eq!((texts.empty, texts.experiments[0].arms[1].all.metrics[1].moments.mean(0)), (vec![1, 0], 2.5));
}

#[tokio::test]
async fn days_are_taken_from_times() {
    let spec = Spec { date: Some("at".to_owned()), ..Spec::new("v", "a", vec![MetricSpec::new("y", Kind::Auto)]) };
    let day = 86_400_000_000_i64;
    let times = TimestampMicrosecondArray::from(vec![20_000 * day, 20_001 * day - 1, -1]);
    for times in [times.clone(), times.with_timezone("UTC")] {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("v", Arc::new(StringArray::from(vec!["a"; 3]))),
            ("y", Arc::new(Float64Array::from(vec![1.0; 3]))),
            ("at", Arc::new(times)),
        ];
        let cells = of_columns(&spec, columns).await.unwrap();
        let days: Vec<_> = cells.experiments[0].arms[0].dates.iter().map(|(day, group)| (day.as_str(), group.units)).collect();
        assert_eq!(days, [("1969-12-31", 1), ("2024-10-04", 2)]);
    }
}

#[tokio::test]
async fn refusals_say_where_and_what_to_do() {
    let check = async |change: &dyn Fn(&mut Spec), text: &str, expect: &str| {
        let mut spec = Spec::new("v", "a", vec![MetricSpec::new("y", Kind::Auto)]);
        change(&mut spec);
        let error = of_csv(&spec, text).await.unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    let as_is = |_: &mut Spec| {};
    let dated = |spec: &mut Spec| spec.date = Some("y".to_owned());
    let adjusted = |spec: &mut Spec| spec.covariates = vec!["x".to_owned()];
    check(&as_is, "v,Y\na,1\n", "there is no column `y`; did you mean `Y`? (the columns are v, Y)").await;
    check(&as_is, "v,y\n", "the file has no rows").await;
    check(&as_is, "v,y\na,1\nb,two\n", "row 2: the column `y` holds `two`, which is not a number").await;
    check(&as_is, "v,y\na,1\nb,nan\n", "row 2: the column `y` holds NaN").await;
    check(&as_is, "v,y\na,1\n,2\n,2\n", "the variant (column `v`) is empty in 2 rows, first in row 2").await;
    check(&|spec| spec.metrics[0].kind = Kind::Binary, "v,y\na,1\nb,3\n", "row 2: the binary metric `y` is 3").await;
    check(&dated, "v,y\na,1\n", "row 1: the column `y` holds `1`, which is not a day such as 2026-11-21").await;
    check(&adjusted, "v,y,x\na,1,1\nb,1,\n", "the covariate `x` is empty in 1 rows, first in row 2").await;
    check(&as_is, "v,y\na,1\nb\n", "line 3").await;
    let columns: Vec<(&str, ArrayRef)> =
        vec![("v", Arc::new(StringArray::from(vec!["a"]))), ("y", Arc::new(Date32Array::from(vec![1])))];
    let error = of_columns(&Spec::new("v", "a", vec![MetricSpec::new("y", Kind::Auto)]), columns).await.unwrap_err();
    assert!(error.contains("the column `y` has the type Date32; it must hold numbers"), "{error}");
    let error = gathered(Path::new("units.xlsx"), &spec()).await.unwrap_err();
    assert!(error.contains("must end in .csv, .csv.gz or .parquet"), "{error}");
}

#[tokio::test]
async fn errors_of_later_parts_name_the_row_of_the_file() {
    let mut rows = rows(600_000);
    rows[590_000].spend = f64::NAN;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.parquet");
    write_parquet(&path, &table(&rows), 100_000);
    let error = gathered(&path, &spec()).await.unwrap_err();
    assert!(error.contains("row 590001: the column `spend` holds NaN"), "{error}");
}

#[tokio::test]
async fn caps_are_quantiles_of_all_units_of_an_experiment() {
    let rows = rows(30_000);
    let mut spec = Spec { experiment: Some("day".to_owned()), date: None, segments: Vec::new(), ..spec() };
    spec.metrics[0].cap = Some(0.99);
    let cells = of_csv(&spec, &csv(&rows)).await.unwrap();
    assert_eq!(cells.experiments.len(), 3);
    for (at, experiment) in cells.experiments.iter().enumerate() {
        let own: Vec<&Row> = rows.iter().filter(|row| row.day == 20_000 + at as i32).collect();
        let mut sorted: Vec<f64> = own.iter().map(|row| row.spend).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let position = (sorted.len() - 1) as f64 * 0.99;
        let lower = position as usize;
        let cap = sorted[lower] + position.fract() * (sorted[lower + 1] - sorted[lower]);
        for arm in &experiment.arms {
            let values: Vec<f64> = own.iter().filter(|row| row.group == arm.variant).map(|row| row.spend).collect();
            let capped = Moments::from_values(&values.iter().map(|value| value.min(cap)).collect::<Vec<_>>());
            let plain = Moments::from_values(&values);
            let [first, second] = [0, 1].map(|metric: usize| arm.all.metrics[metric].moments.moments(0));
            assert!((first.mean - capped.mean).abs() <= 1e-12 * capped.mean && (first.m2 - capped.m2).abs() <= 1e-11 * capped.m2);
            assert!((second.mean - plain.mean).abs() <= 1e-12 * plain.mean, "only the first metric is capped");
            assert!(capped.mean < plain.mean);
        }
    }
}

#[tokio::test]
async fn rows_are_summed_to_clusters() {
    let rows = rows(20_000);
    let spec = Spec { cluster: Some("store".to_owned()), segments: Vec::new(), ..spec() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write_parquet(&path, &table(&rows), 3_000);
    let cells = gathered(&path, &spec).await.unwrap();
    assert!(gathered(&path, &spec).await.unwrap() == cells, "the same bytes each time");
    for cells in [cells, of_csv(&spec, &csv(&rows)).await.unwrap()] {
        assert_eq!(cells.rows, 20_000);
        for arm in &cells.experiments[0].arms {
            let own: Vec<&Row> = rows.iter().filter(|row| row.group == arm.variant).collect();
            let mut stores: std::collections::BTreeMap<i64, [f64; 4]> = std::collections::BTreeMap::new();
            for row in &own {
                let sums = stores.entry(row.store).or_default();
                [row.spend, 1.0, row.history, row.visits as f64].iter().zip(sums).for_each(|(value, sum)| *sum += value);
            }
            assert_eq!(arm.all.units, stores.len() as u64);
            let [mean, ratio] = arm.all.metrics.as_slice() else { panic!("two metrics") };
            let near = |found: Moments, number: usize| {
                let expect = Moments::from_values(&stores.values().map(|sums| sums[number]).collect::<Vec<_>>());
                assert!((found.mean - expect.mean).abs() <= 1e-12 * expect.mean, "{found:?} {expect:?}");
                assert!((found.m2 - expect.m2).abs() <= 1e-11 * expect.m2, "{found:?} {expect:?}");
            };
            (0..3).for_each(|number| near(mean.moments.moments(number), number));
            near(ratio.moments.moments(1), 3);
            assert_eq!(arm.dates.values().map(|group| group.units).sum::<u64>(), stores.len() as u64, "on its first day only");
        }
    }
}

#[tokio::test]
async fn clusters_must_agree() {
    let check = async |text: &str, expect: &str| {
        let metrics = vec![MetricSpec::new("y", Kind::Auto)];
        let segments = vec!["s".to_owned()];
        let spec = Spec { cluster: Some("c".to_owned()), segments, ..Spec::new("v", "a", metrics) };
        let error = of_csv(&spec, text).await.unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    check("c,v,s,y\nx,a,1,1\nx,b,1,1\nz,b,1,1\nw,a,1,1\nw,b,1,1\n", "2 values of the cluster `c`, such as `x`").await;
    check("c,v,s,y\nx,a,1,1\nx,a,2,1\nz,b,1,1\n", "have rows with different `s`").await;
    check("c,v,s,y\nx,a,1,1\n,a,2,1\nz,b,1,1\n", "the cluster (column `c`) is empty in 1 rows, first in row 2").await;
    check("c,v,s,y\nx,a,1,1\nx,,1,1\n", "the variant (column `v`) is empty in 1 rows, first in row 2").await;
    check("c,v,s,y\nx,a,1,1\nx,a,1,one\n", "row 2: the column `y` holds `one`").await;
}
