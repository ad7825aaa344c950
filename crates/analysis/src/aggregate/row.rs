//! One row of sums: which columns there are, and what a row says.

use stats::Moments;

use super::{BadRow, METRIC_DEFAULT, meant};

const KNOWN: [&str; 10] = ["experiment", "variant", "look", "metric", "n", "successes", "sum", "sum_squares", "mean", "variance"];

/// Whole numbers beyond this are not exact in a file that was written from floating point.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

const EXPERIMENT: usize = 0;
const VARIANT: usize = 1;
const LOOK: usize = 2;
const METRIC: usize = 3;
const N: usize = 4;
const SUCCESSES: usize = 5;
const SUM: usize = 6;
const SUM_SQUARES: usize = 7;
const MEAN: usize = 8;
const VARIANCE: usize = 9;

/// Where the known columns are in the file.
pub(super) struct Columns {
    at: [Option<usize>; KNOWN.len()],
}

/// One row, understood.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) experiment: Option<String>,
    pub(super) variant: String,
    pub(super) look: String,
    pub(super) metric: String,
    pub(super) moments: Moments,
    pub(super) successes: Option<u64>,
}

impl Row {
    pub(super) fn bad(&self, column: &str, value: Option<&str>, message: String, hint: &str) -> BadRow {
        bad(Some(self.line), column, value, message, hint)
    }
}

fn bad(line: Option<u64>, column: &str, value: Option<&str>, message: impl Into<String>, hint: impl Into<String>) -> BadRow {
    let (message, hint) = (message.into(), hint.into());
    BadRow { line, column: Some(column.to_owned()), value: value.map(str::to_owned), message, hint }
}

impl Columns {
    pub(super) fn find(names: &[String]) -> Result<Self, BadRow> {
        let mut at = [None; KNOWN.len()];
        for (index, name) in names.iter().enumerate() {
            let Some(known) = KNOWN.iter().position(|known| name.trim().eq_ignore_ascii_case(known)) else {
                let hint = format!("A file of sums has {}.{}", KNOWN.join(", "), meant(name, KNOWN.into_iter()));
                return Err(bad(Some(1), name, None, "This column is unknown.", hint));
            };
            if at[known].replace(index).is_some() {
                return Err(bad(Some(1), name, None, "The file has this column twice.", "Remove one of the two."));
            }
        }
        for needed in [VARIANT, N] {
            if at[needed].is_none() {
                let hint = "Give a column with the variant and one with n, its number of units.";
                return Err(bad(Some(1), KNOWN[needed], None, "The column is missing.", hint));
            }
        }
        let ways = [vec![SUCCESSES], vec![SUM, SUM_SQUARES], vec![MEAN, VARIANCE]];
        if !ways.iter().any(|way| way.iter().all(|column| at[*column].is_some())) {
            let half = ways.iter().flatten().find(|column| at[**column].is_some());
            let missing = half.map_or("successes", |column| KNOWN[partner(*column)]);
            let hint = "Give `successes`, or `sum` and `sum_squares`, or `mean` and `variance`.";
            return Err(bad(Some(1), missing, None, "The column is missing, so that nothing can be computed.", hint));
        }
        Ok(Self { at })
    }

    pub(super) fn has_experiment(&self) -> bool {
        self.at[EXPERIMENT].is_some()
    }

    pub(super) fn has_look(&self) -> bool {
        self.at[LOOK].is_some()
    }

    pub(super) fn row(&self, line: u64, values: &[Option<String>]) -> Result<Row, BadRow> {
        let cell = |column: usize| -> Option<&str> {
            let value = values.get(self.at[column]?)?.as_deref()?.trim();
            (!value.is_empty()).then_some(value)
        };
        let name = |column: usize, default: Option<&str>| -> Result<String, BadRow> {
            match (self.at[column].is_some(), cell(column), default) {
                (_, Some(value), _) => Ok(value.to_owned()),
                (false, None, Some(default)) => Ok(default.to_owned()),
                _ => Err(bad(Some(line), KNOWN[column], None, "The value is missing.", "Every row needs one.")),
            }
        };
        let n = match cell(N) {
            Some(text) => count(line, N, text)?,
            None => return Err(bad(Some(line), "n", None, "The value is missing.", "Give the number of units of this row.")),
        };
        let (moments, successes) = summed(line, n, &cell)?;
        let experiment = if self.has_experiment() { Some(name(EXPERIMENT, None)?) } else { None };
        Ok(Row {
            line,
            experiment,
            variant: name(VARIANT, None)?,
            look: name(LOOK, Some(""))?,
            metric: name(METRIC, Some(METRIC_DEFAULT))?,
            moments,
            successes,
        })
    }
}

/// The column that a column is of use with.
fn partner(column: usize) -> usize {
    match column {
        SUM => SUM_SQUARES,
        SUM_SQUARES => SUM,
        MEAN => VARIANCE,
        VARIANCE => MEAN,
        other => other,
    }
}

/// The moments, by whichever one way the row says them.
fn summed<'a>(line: u64, n: u64, cell: &impl Fn(usize) -> Option<&'a str>) -> Result<(Moments, Option<u64>), BadRow> {
    let given: Vec<usize> =
        [SUCCESSES, SUM, SUM_SQUARES, MEAN, VARIANCE].into_iter().filter(|column| cell(*column).is_some()).collect();
    match given.as_slice() {
        [SUCCESSES] => {
            let text = cell(SUCCESSES).unwrap_or_default();
            let successes = count(line, SUCCESSES, text)?;
            if successes > n {
                let message = format!("There are more successes than units: n is {n}.");
                let hint = "Count units with a success, not events; for events give `sum` and `sum_squares`.";
                return Err(bad(Some(line), "successes", Some(text), message, hint));
            }
            Ok((Moments::from_successes(n, successes), Some(successes)))
        }
        [SUM, SUM_SQUARES] => {
            let (sum, squares) = (number(line, SUM, cell)?, number(line, SUM_SQUARES, cell)?);
            let moments = Moments::from_sums(n, sum, squares).map_err(|error| {
                let hint = "`sum_squares` is the sum of the squared values of the units, not the squared sum.";
                bad(Some(line), "sum_squares", cell(SUM_SQUARES), format!("The variance {error}."), hint)
            })?;
            Ok((moments, None))
        }
        [MEAN, VARIANCE] => {
            let (mean, variance) = (number(line, MEAN, cell)?, number(line, VARIANCE, cell)?);
            if variance < 0.0 {
                let hint = "Give the variance of the values between units.";
                return Err(bad(Some(line), "variance", cell(VARIANCE), "A variance is never negative.", hint));
            }
            let mean = if n == 0 { 0.0 } else { mean };
            Ok((Moments { count: n, mean, m2: variance * n.saturating_sub(1) as f64 }, None))
        }
        [one] => {
            let column = KNOWN[partner(*one)];
            let message = format!("`{}` is of use only together with it.", KNOWN[*one]);
            Err(bad(Some(line), column, None, format!("The value is missing. {message}"), "Give both."))
        }
        [] => Err(bad(
            Some(line),
            "successes",
            None,
            "The row has no outcome.",
            "Give `successes`, or `sum` and `sum_squares`, or `mean` and `variance`.",
        )),
        [first, .., last] => {
            let message = format!("The row says its outcome twice, by `{}` and by `{}`.", KNOWN[*first], KNOWN[*last]);
            Err(bad(Some(line), KNOWN[*last], cell(*last), message, "Leave one of them empty."))
        }
    }
}

fn number<'a>(line: u64, column: usize, cell: &impl Fn(usize) -> Option<&'a str>) -> Result<f64, BadRow> {
    let text = cell(column).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => {
            Err(bad(Some(line), KNOWN[column], Some(text), "The value is not finite.", "Leave out rows without an outcome."))
        }
        Err(_) => {
            let hint = "Write it with a point and without separators, such as 1234.5.";
            Err(bad(Some(line), KNOWN[column], Some(text), "The value is not a number.", hint))
        }
    }
}

fn count(line: u64, column: usize, text: &str) -> Result<u64, BadRow> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=COUNT_MAX).contains(&value) && value.fract() == 0.0 => Ok(value as u64),
        _ => {
            let hint = "Write a whole number of units without separators, such as 1234.";
            Err(bad(Some(line), KNOWN[column], Some(text), "The value is not a count.", hint))
        }
    }
}
