//! How fast the statistics are beside their peers from PyPI, on the same inputs in the same run. `make bench` sets the
//! peers up and passes their Python: `cargo bench --workspace --bench peers -- --python PATH`.
//!
//! Each task is timed as the median of several runs after a first one that is not counted, there and here.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use analysis::cells::{ArmCells, Cells, ExperimentCells, Group, MetricCell};
use analysis::spec::{Kind, MetricSpec, Spec};
use criterion::measurement::{Measurement as _, WallTime};
use serde_json::Value;
use stats::adjusted::{Shape, compare};
use stats::posterior::effect_posterior;
use stats::sequential::group::{Sides, Spending, boundaries};
use stats::{CoMoments, Moments, fieller_lift, holm, sample_ratio, sequential, welch};

const METRICS: usize = 10;
const VARIANTS: usize = 5;
const SEGMENTS: usize = 20;
const ALPHA: f64 = 0.05;
const TUNING: f64 = 5_000.0;

/// The median seconds of `work` over `runs` runs after one that is not counted.
fn timed<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    black_box(work());
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = WallTime.start();
            black_box(work());
            WallTime.end(start).as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[runs / 2]
}

/// The sums of one metric of one variant in one segment, as the peers get them.
#[derive(Clone, Copy)]
struct Sums {
    n: u64,
    sums: [f64; 5],
}

impl Sums {
    fn moments(&self) -> Moments {
        Moments::from_sums(self.n, self.sums[0], self.sums[1]).expect("sums of a sample")
    }

    fn with_covariate(&self) -> CoMoments {
        let [y, yy, x, xx, xy] = self.sums;
        CoMoments::from_sums(self.n, &[y, x], &[yy, xy, xx]).expect("sums of a sample")
    }
}

/// By segment, metric and variant.
struct Grid(Vec<Sums>);

impl Grid {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the peers wrote it");
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        let mut sums = vec![Sums { n: 0, sums: [0.0; 5] }; SEGMENTS * METRICS * VARIANTS];
        for cell in value["cells"].as_array().expect("cells") {
            let number = |at: usize| cell[at].as_f64().expect("numbers");
            let (segment, variant, metric) = (number(0) as usize, number(1) as usize, number(2) as usize);
            let place = (segment * METRICS + metric) * VARIANTS + variant;
            sums[place] = Sums { n: number(3) as u64, sums: [number(4), number(5), number(6), number(7), number(8)] };
        }
        Self(sums)
    }

    /// Each metric in each segment: control and the others.
    fn families(&self) -> impl Iterator<Item = (&Sums, &[Sums])> {
        self.0.chunks_exact(VARIANTS).map(|arms| (&arms[0], &arms[1..]))
    }

    /// Every comparison by `test`, which gives its p-value; sample ratios by segment; Holm over all.
    fn analyse(&self, mut test: impl FnMut(&Sums, &Sums) -> f64) -> (Vec<f64>, f64) {
        let mut p_values = Vec::with_capacity(SEGMENTS * METRICS * (VARIANTS - 1));
        for (control, others) in self.families() {
            p_values.extend(others.iter().map(|variant| test(control, variant)));
        }
        let ratios = self.0.chunks_exact(METRICS * VARIANTS).map(|segment| {
            let sizes: Vec<u64> = segment[..VARIANTS].iter().map(|sums| sums.n).collect();
            sample_ratio(&sizes, &[1.0; VARIANTS]).expect("sizes").p_value
        });
        let smallest = ratios.fold(1.0, f64::min);
        (holm(&p_values), smallest)
    }

    /// The same numbers as the cells of one experiment with a segment column.
    fn cells(&self) -> Cells {
        let arms = (0..VARIANTS).map(|variant| {
            let group = |segment: usize| {
                let of = |metric: usize| &self.0[(segment * METRICS + metric) * VARIANTS + variant];
                let metrics = (0..METRICS).map(|metric| cell(of(metric))).collect();
                Group { units: of(0).n, metrics }
            };
            let segments: std::collections::BTreeMap<String, Group> =
                (0..SEGMENTS).map(|segment| (format!("s{segment:02}"), group(segment))).collect();
            let mut all = group(0);
            for other in segments.values().skip(1) {
                all.units += other.units;
                for (metric, theirs) in all.metrics.iter_mut().zip(&other.metrics) {
                    metric.moments.merge(&theirs.moments);
                    metric.nonzero += theirs.nonzero;
                }
            }
            ArmCells { variant: format!("v{variant}"), all, segments: vec![segments], ..ArmCells::default() }
        });
        let experiment = ExperimentCells { arms: arms.collect(), ..ExperimentCells::default() };
        Cells { rows: 1, empty: vec![0; METRICS], experiments: vec![experiment] }
    }
}

fn cell(sums: &Sums) -> MetricCell {
    let moments = CoMoments::from_sums(sums.n, &sums.sums[..1], &sums.sums[1..2]).expect("sums of a sample");
    MetricCell { moments, without_outliers: None, is_binary: false, nonzero: sums.n }
}

fn fixed(control: &Sums, variant: &Sums) -> f64 {
    let (control, variant) = (control.moments(), variant.moments());
    black_box(fieller_lift(&control, &variant, ALPHA)).expect("a lift");
    welch(&control, &variant, ALPHA).expect("an effect").p_value
}

fn always_valid(control: &Sums, variant: &Sums) -> f64 {
    let comparison = sequential::compare(&control.moments(), &variant.moments(), TUNING, ALPHA).expect("an effect");
    black_box(comparison.relative).expect("a lift");
    comparison.absolute.p_value
}

fn cuped(control: &Sums, variant: &Sums) -> f64 {
    let comparison = compare(&control.with_covariate(), &variant.with_covariate(), Shape::Mean, 1, ALPHA).expect("an effect");
    black_box(comparison.relative).expect("a lift");
    comparison.absolute.p_value
}

fn bayesian(control: &Sums, variant: &Sums) -> f64 {
    let (control, variant) = (control.moments(), variant.moments());
    let error = (control.variance_of_mean().expect("a spread") + variant.variance_of_mean().expect("a spread")).sqrt();
    let posterior = effect_posterior(variant.mean - control.mean, error, None).expect("a posterior");
    black_box((posterior.expected_loss(false), posterior.interval(ALPHA)).0);
    posterior.chance_to_win(false)
}

/// What stands beside what: our task, our seconds, and the peers' tasks.
struct Rival {
    ours: &'static str,
    seconds: f64,
    peers: &'static [&'static str],
}

fn grid_rivals(grid: &Grid) -> Vec<Rival> {
    let one = |test: fn(&Sums, &Sums) -> f64| {
        let arms = &grid.0[..2];
        timed(21, || (0..1_000).map(|_| test(black_box(&arms[0]), black_box(&arms[1]))).sum::<f64>()) / 1_000.0
    };
    let all = |test: fn(&Sums, &Sums) -> f64| timed(21, || black_box(grid).analyse(test));
    let names: Vec<String> = (0..METRICS).map(|metric| format!("m{metric}")).collect();
    let metrics = names.iter().map(|name| MetricSpec::new(name, Kind::Mean)).collect();
    let spec = Spec { segments: vec!["segment".to_owned()], ..Spec::new("variant", "v0", metrics) };
    let report = timed(21, || analysis::report(&spec, &black_box(grid).cells(), "bench"));
    vec![
        Rival {
            ours: "one metric x two variants: Welch and Fieller",
            seconds: one(fixed),
            peers: &["one, fixed: gbstats class call", "one, fixed: tea-tasting on aggregates"],
        },
        Rival {
            ours: "one: always valid, lift by Fieller",
            seconds: one(always_valid),
            peers: &["one, sequential: gbstats class call"],
        },
        Rival {
            ours: "one: CUPED, lift by Fieller",
            seconds: one(cuped),
            peers: &["one, cuped: gbstats class call", "one, cuped: tea-tasting on aggregates"],
        },
        Rival {
            ours: "one: Gaussian posterior and losses",
            seconds: one(bayesian),
            peers: &["one, bayesian: gbstats class call"],
        },
        Rival {
            ours: "10 x 5 x 20: Welch, Fieller, sample ratio, Holm",
            seconds: all(fixed),
            peers: &["grid, fixed: gbstats pipeline", "grid, fixed: tea-tasting pipeline", "grid, fixed: gbstats class calls"],
        },
        Rival {
            ours: "10 x 5 x 20: always valid",
            seconds: all(always_valid),
            peers: &["grid, sequential: gbstats pipeline", "grid, sequential: gbstats class calls"],
        },
        Rival {
            ours: "10 x 5 x 20: CUPED",
            seconds: all(cuped),
            peers: &["grid, cuped: gbstats pipeline", "grid, cuped: tea-tasting pipeline", "grid, cuped: gbstats class calls"],
        },
        Rival {
            ours: "10 x 5 x 20: Bayesian",
            seconds: all(bayesian),
            peers: &["grid, bayesian: gbstats pipeline", "grid, bayesian: gbstats class calls"],
        },
        Rival {
            ours: "10 x 5 x 20: the whole report, with doubts",
            seconds: report,
            peers: &["grid, fixed: gbstats pipeline", "grid, fixed: tea-tasting pipeline"],
        },
        Rival { ours: "30 looks: boundaries", seconds: thirty_looks(), peers: &["30 looks: spotify-confidence"] },
    ]
}

/// Two-sided boundaries of quadratic spending at 30 equal looks, as the peer's.
fn thirty_looks() -> f64 {
    let fractions: Vec<f64> = (1..=30).map(|look| f64::from(look) / 30.0).collect();
    let spending = Spending::Power { exponent: 2.0 };
    timed(101, || boundaries(spending, ALPHA, Sides::Two, black_box(&fractions)).expect("boundaries"))
}

fn unit_rivals(path: &Path, answer: &Value) -> Vec<Rival> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let plain = Spec::new("variant", "0", vec![MetricSpec::new("spend", Kind::Mean)]);
    let adjusted = Spec { covariates: vec!["before".to_owned()], ..plain.clone() };
    let read_out = |spec: &Spec| {
        let cells = runtime.block_on(lake::gather_units(path, spec, |_| ())).expect("the file can be read");
        analysis::report(spec, &cells, "bench")
    };
    let report = read_out(&adjusted);
    let ours = report.experiments[0].estimates[0].adjusted[0].absolute.computed().expect("an effect").difference;
    let theirs = answer["effect"].as_f64().expect("an effect");
    assert!((ours - theirs).abs() <= 1e-6 * theirs.abs().max(1e-3), "the same question has the same answer: {ours}, {theirs}");
    let whole = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sendlab"));
        command.arg("analyze").arg(path).args(["--variant", "variant", "--control", "0", "--metric", "spend:mean"]);
        let status = command.args(["--covariate", "before"]).stdout(Stdio::null()).status().expect("the program runs");
        assert!(status.success(), "the program reads the file");
    };
    const WHOLE: &[&str] = &["units, whole process: tea-tasting over duckdb", "units, whole process: tea-tasting over polars"];
    vec![
        Rival {
            ours: "1,000,000 rows of Parquet: a mean, read out",
            seconds: timed(15, || read_out(&plain)),
            peers: &["units, plain: tea-tasting over DuckDB", "units, plain: tea-tasting over Polars"],
        },
        Rival {
            ours: "1,000,000 rows of Parquet: CUPED, read out",
            seconds: timed(15, || read_out(&adjusted)),
            peers: &["units, cuped: tea-tasting over DuckDB", "units, cuped: tea-tasting over Polars"],
        },
        Rival { ours: "1,000,000 rows of Parquet: CUPED, whole process", seconds: timed(5, whole), peers: WHOLE },
    ]
}

fn python() -> Option<PathBuf> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--python");
    arguments.nth(1).map(PathBuf::from)
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() -> ExitCode {
    let Some(python) = python() else {
        println!("peers: skipped; `make bench` sets the peers up and passes --python");
        return ExitCode::SUCCESS;
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.py");
    println!("peers: running gbstats, tea-tasting and spotify-confidence (about a minute) ...");
    let output = Command::new(python).arg(script).arg(&folder).stderr(Stdio::inherit()).output().expect("Python runs");
    assert!(output.status.success(), "the peers failed");
    let theirs: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    let mut rivals = grid_rivals(&Grid::read(&folder.join("grid.json")));
    rivals.extend(unit_rivals(&folder.join("units.parquet"), &theirs["answer"]));
    println!("\n  {:52} {:>12}  {:>10}  beside", "task", "seconds", "times");
    for Rival { ours, seconds, peers } in rivals {
        for (index, peer) in peers.iter().enumerate() {
            let (name, own) = if index == 0 { (ours, format!("{seconds:.3e}")) } else { ("", String::new()) };
            let other = theirs["seconds"][peer].as_f64().expect("the script times it");
            println!("  {name:52} {own:>12}  {:>10.1}  {peer} ({other:.3e} s)", other / seconds);
        }
    }
    ExitCode::SUCCESS
}
