//! What can be typed after `sendlab analyze`.

use std::path::PathBuf;

use analysis::spec::{Correction, Kind};
use clap::{Args, ValueEnum};

/// The options of `sendlab analyze`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnalyzeArgs {
    /// The file: .csv, .csv.gz or .parquet, with a header.
    #[arg(required_unless_present = "schema")]
    pub(crate) file: Option<PathBuf>,
    /// The column that names each unit's variant.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) variant: Option<String>,
    /// The variant the others are compared with.
    #[arg(long, value_name = "NAME")]
    pub(crate) control: Option<String>,
    /// A metric: a column, and how to sum it up. The first decides. Without a kind a column of 0 and 1 is binary and any
    /// other a mean. May be given many times.
    #[arg(long, value_name = "COLUMN[:binary|mean|ratio=COLUMN]", value_parser = analyze_metric)]
    pub(crate) metric: Vec<AskedMetric>,
    /// A number known before the experiment, to take noise out. May be given many times.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) covariate: Vec<String>,
    /// A column to break results down by. May be given many times, or with commas.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) segment: Vec<String>,
    /// A column to post-stratify by.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) stratum: Option<String>,
    /// The column that names the unit of randomisation, where a row is less than that.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) cluster: Option<String>,
    /// The column with the day, or time, a unit entered.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) date: Option<String>,
    /// The column that names the experiment, where the file holds many.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) experiment: Option<String>,
    /// The planned shares, such as `A=0.5,B=0.5`.
    #[arg(long, value_name = "VARIANT=SHARE,…", value_delimiter = ',', value_parser = planned_share)]
    pub(crate) plan: Vec<(String, f64)>,
    /// The share of false alarms accepted, over all comparisons of an experiment together.
    #[arg(long, default_value_t = analysis::spec::ALPHA_DEFAULT, value_parser = error_share)]
    pub(crate) alpha: f64,
    /// How comparisons are corrected for their number.
    #[arg(long, value_enum, default_value_t = CorrectionArg::Holm)]
    pub(crate) correction: CorrectionArg,
    /// A metric of which less is better. May be given many times.
    #[arg(long, value_name = "METRIC")]
    pub(crate) lower_is_better: Vec<String>,
    /// Make a metric a guardrail: it may get worse by this share of control's mean at most, such as `unsubscribed=0.02`.
    #[arg(long, value_name = "METRIC=SHARE", value_parser = margin)]
    pub(crate) margin: Vec<MetricValue>,
    /// Set values above a percentile of all units to it, such as `spend=p99.9`.
    #[arg(long, value_name = "METRIC=pPERCENT", value_parser = cap)]
    pub(crate) cap: Vec<MetricValue>,
    /// The file holds sums: columns `variant, n` and either `successes`, or `sum, sum_squares`, or `mean, variance`; where
    /// they apply also `experiment`, `metric` and `look` (then the sums are cumulative).
    #[arg(long)]
    pub(crate) aggregate: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the report as one self-contained page.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print the JSON schema of the report.
    #[arg(long)]
    pub(crate) schema: bool,
}

/// The options of `sendlab certify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CertifyArgs {
    /// Try the procedures on these values too: .csv, .csv.gz or .parquet, one row per unit.
    #[arg(long, value_name = "FILE", requires = "metric")]
    pub(crate) history: Option<PathBuf>,
    /// The history's column of values, such as money spent; empty is 0.
    #[arg(long, value_name = "COLUMN", requires = "history")]
    pub(crate) metric: Option<String>,
    /// The history's column of variants: each is tried by itself, so that effects between them do not blur the answer.
    #[arg(long, value_name = "COLUMN", requires = "history")]
    pub(crate) variant: Option<String>,
    /// Look at the history after every so many units per arm.
    #[arg(long, value_name = "UNITS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..))]
    pub(crate) every: u32,
    /// Simulated experiments per line [default: 2000, with --short 300].
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) runs: Option<u32>,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds instead of minutes.
    #[arg(long)]
    pub(crate) short: bool,
    /// Print the certificate as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the JSON schema of the certificate.
    #[arg(long)]
    pub(crate) schema: bool,
}

/// A metric as typed.
#[derive(Debug, Clone)]
pub(crate) struct AskedMetric {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// A number that belongs to a metric.
#[derive(Debug, Clone)]
pub(crate) struct MetricValue {
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// Corrections by name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CorrectionArg {
    /// Any false alarm, under any dependence (Holm 1979).
    Holm,
    /// Any false alarm; a little sharper, for independent or positively dependent tests (Hochberg 1988).
    Hochberg,
    /// Sharper still (Hommel 1988).
    Hommel,
    /// Any false alarm; the bluntest.
    Bonferroni,
    /// Any false alarm, for independent tests.
    Sidak,
    /// The share of false alarms (Benjamini & Hochberg 1995).
    Bh,
    /// The share of false alarms, under any dependence (Benjamini & Yekutieli 2001).
    By,
    /// Each comparison alone.
    None,
}

impl From<CorrectionArg> for Correction {
    fn from(arg: CorrectionArg) -> Self {
        match arg {
            CorrectionArg::Holm => Self::Holm,
            CorrectionArg::Hochberg => Self::Hochberg,
            CorrectionArg::Hommel => Self::Hommel,
            CorrectionArg::Bonferroni => Self::Bonferroni,
            CorrectionArg::Sidak => Self::Sidak,
            CorrectionArg::Bh => Self::Bh,
            CorrectionArg::By => Self::By,
            CorrectionArg::None => Self::None,
        }
    }
}

/// A column name may hold colons; only the words behind the last one that are kinds are taken as such.
fn analyze_metric(text: &str) -> Result<AskedMetric, String> {
    let (name, kind) = match text.rsplit_once(':') {
        Some((name, "binary")) => (name, Kind::Binary),
        Some((name, "mean")) => (name, Kind::Mean),
        Some((name, kind)) if kind.starts_with("ratio=") => {
            (name, Kind::Ratio { denominator: kind["ratio=".len()..].to_owned() })
        }
        Some((_, "ratio")) => return Err("a ratio needs its denominator, such as `revenue:ratio=orders`".into()),
        _ => (text, Kind::Auto),
    };
    if name.is_empty() || matches!(&kind, Kind::Ratio { denominator } if denominator.is_empty()) {
        return Err("the column's name is missing".into());
    }
    Ok(AskedMetric { name: name.to_owned(), kind })
}

fn named_number(text: &str, example: &str) -> Result<(String, String), String> {
    let (name, number) = text.rsplit_once('=').ok_or_else(|| format!("write it like `{example}`"))?;
    Ok((name.to_owned(), number.trim().to_owned()))
}

fn planned_share(text: &str) -> Result<(String, f64), String> {
    let (name, number) = named_number(text, "A=0.5,B=0.5")?;
    match number.parse::<f64>() {
        Ok(share) if share > 0.0 && share.is_finite() => Ok((name, share)),
        _ => Err(format!("the share of `{name}` must be a number above zero")),
    }
}

fn error_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 0.5 => Ok(share),
        _ => Err("must be above 0 and below 0.5, such as 0.05".into()),
    }
}

fn margin(text: &str) -> Result<MetricValue, String> {
    let (name, number) = named_number(text, "unsubscribed=0.02")?;
    match number.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(MetricValue { name, value }),
        _ => Err("the margin must be above 0 and below 1; 0.02 tolerates 2 % worse than control".into()),
    }
}

fn cap(text: &str) -> Result<MetricValue, String> {
    let (name, number) = named_number(text, "spend=p99.9")?;
    match number.strip_prefix('p').map(str::parse::<f64>) {
        Some(Ok(percent)) if percent > 50.0 && percent < 100.0 => {
            // Percent as people write it, without the last digits of a division by 100: p99.9 is 0.999.
            let value = (percent * 1e10).round() / 1e12;
            Ok(MetricValue { name, value })
        }
        _ => Err("the cap is a percentile above p50 and below p100, such as `spend=p99.9`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_from_behind() {
        let check = |text: &str, name: &str, kind: Kind| {
            let metric = analyze_metric(text).unwrap();
            assert_eq!((metric.name.as_str(), metric.kind), (name, kind), "{text}");
        };
        check("spend", "spend", Kind::Auto);
        check("visit:binary", "visit", Kind::Binary);
        check("a:b:mean", "a:b", Kind::Mean);
        check("a:b", "a:b", Kind::Auto);
        check("revenue:ratio=orders", "revenue", Kind::Ratio { denominator: "orders".into() });
        assert!(analyze_metric("revenue:ratio").unwrap_err().contains("denominator"));
        assert!(analyze_metric(":mean").is_err());
    }

    #[test]
    fn numbers_of_metrics_say_how_they_are_written() {
        assert_eq!(cap("spend=p99.9").map(|cap| cap.value).ok(), Some(0.999));
        assert!(cap("spend=99.9").unwrap_err().contains("p99.9"));
        assert!(margin("a=2").unwrap_err().contains("0.02"));
        assert!(planned_share("A").unwrap_err().contains("A=0.5"));
        assert!(planned_share("A=-1").is_err() && error_share("0.7").is_err());
    }
}
