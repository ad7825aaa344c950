//! The columns of a batch of rows as labels and numbers, whatever types the file has.

use analysis::gather::{BadUnits, Batch, Labels, MetricNumbers, Numbers};
use analysis::spec::{Kind, Spec};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::DataFusionError;

use super::Failed;
use super::labels::{Interner, What};

/// Which column of the file is what in the spec.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    /// The positions in the file of the columns to read, each once. Everything below is a position in this list.
    pub columns: Vec<usize>,
    /// Their names.
    pub names: Vec<String>,
    /// Experiment, variant, segments, stratum and day, as far as the spec names them.
    labels: Vec<(usize, What)>,
    pub has_experiment: bool,
    segments: usize,
    has_stratum: bool,
    pub has_date: bool,
    /// The columns of numbers, each once. The three below are positions in this list.
    numbers: Vec<usize>,
    values: Vec<(usize, Option<usize>)>,
    covariates: Vec<usize>,
    pub cluster: Option<usize>,
}

impl Roles {
    /// The roles of the columns of a file that has all that `spec` names.
    pub(super) fn new(spec: &Spec, file: &[String]) -> Self {
        let (mut columns, mut names, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let mut column = |name: &String| {
            let at = file.iter().position(|column| column == name).expect("the spec's columns were looked for");
            columns.iter().position(|column| *column == at).unwrap_or_else(|| {
                columns.push(at);
                names.push(name.clone());
                columns.len() - 1
            })
        };
        let experiment = spec.experiment.iter().map(|name| (name, What::Label));
        let variant = std::iter::once((&spec.variant, What::Label));
        let others = spec.segments.iter().chain(&spec.stratum).map(|name| (name, What::Label));
        let date = spec.date.iter().map(|name| (name, What::Day));
        let labels = experiment.chain(variant).chain(others).chain(date).map(|(name, what)| (column(name), what)).collect();
        let mut number = |name: &String| {
            let at = column(name);
            numbers.iter().position(|column| *column == at).unwrap_or_else(|| {
                numbers.push(at);
                numbers.len() - 1
            })
        };
        let mut values = Vec::with_capacity(spec.metrics.len());
        for metric in &spec.metrics {
            let value = number(&metric.name);
            let denominator = if let Kind::Ratio { denominator } = &metric.kind { Some(number(denominator)) } else { None };
            values.push((value, denominator));
        }
        let covariates = spec.covariates.iter().map(&mut number).collect();
        let cluster = spec.cluster.as_ref().map(column);
        let (has_experiment, segments) = (spec.experiment.is_some(), spec.segments.len());
        let (has_stratum, has_date) = (spec.stratum.is_some(), spec.date.is_some());
        Self { columns, names, labels, has_experiment, segments, has_stratum, has_date, numbers, values, covariates, cluster }
    }

    /// The name of the column of a label.
    pub(super) fn label_name(&self, label: usize) -> &str {
        &self.names[self.labels[label].0]
    }

    /// How many columns of labels and of numbers there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.labels.len(), self.numbers.len())
    }
}

/// Reads batches of one part of a file, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    roles: Roles,
    rows_before: u64,
    /// By the roles' labels.
    pub interners: Vec<Interner>,
}

/// The columns of a batch, by the roles' lists.
#[derive(Debug)]
pub(super) struct Units {
    pub labels: Vec<Vec<u32>>,
    pub numbers: Vec<NumberColumn>,
    pub cluster_rows: Option<Vec<f64>>,
}

/// Numbers, and which are empty where some are.
#[derive(Debug)]
pub(super) struct NumberColumn {
    pub values: Float64Array,
    pub empty: Option<Vec<bool>>,
}

impl Reader {
    pub(super) fn new(roles: &Roles, rows_before: u64) -> Self {
        let interners = roles.labels.iter().map(|(_, what)| Interner::new(*what)).collect();
        Self { roles: roles.clone(), rows_before, interners }
    }

    /// What the next batch holds.
    pub(super) fn read(&mut self, batch: &RecordBatch) -> Result<Units, Failed> {
        let name = |column: usize| &self.roles.names[column];
        let mut labels = Vec::with_capacity(self.interners.len());
        for ((column, _), interner) in self.roles.labels.iter().zip(&mut self.interners) {
            labels.push(interner.codes(batch.column(*column), name(*column), self.rows_before)?);
        }
        let number = |column: &usize| numbers(batch.column(*column), name(*column), self.rows_before);
        let numbers = self.roles.numbers.iter().map(number).collect::<Result<_, _>>()?;
        self.rows_before += batch.num_rows() as u64;
        Ok(Units { labels, numbers, cluster_rows: None })
    }

    /// Rows read so far, with those before.
    pub(super) fn rows(&self) -> u64 {
        self.rows_before
    }
}

impl Units {
    /// As gathering wants them.
    pub(super) fn batch<'a>(&'a self, roles: &Roles, reader: &'a Reader) -> Batch<'a> {
        let labels = |(codes, interner): (&'a Vec<u32>, &'a Interner)| Labels { codes, names: interner.names() };
        let mut columns = self.labels.iter().zip(&reader.interners).map(labels);
        let numbers = |at: usize| {
            let column = &self.numbers[at];
            Numbers { values: column.values.values(), empty: column.empty.as_deref() }
        };
        let metric = |(value, denominator): &(usize, Option<usize>)| MetricNumbers {
            value: numbers(*value),
            denominator: denominator.map(numbers),
        };
        Batch {
            experiment: roles.has_experiment.then(|| columns.next()).flatten(),
            variant: columns.next().expect("every spec names the variant"),
            segments: columns.by_ref().take(roles.segments).collect(),
            stratum: roles.has_stratum.then(|| columns.next()).flatten(),
            date: roles.has_date.then(|| columns.next()).flatten(),
            metrics: roles.values.iter().map(metric).collect(),
            covariates: roles.covariates.iter().map(|at| numbers(*at)).collect(),
            cluster_rows: self.cluster_rows.as_deref(),
        }
    }
}

/// A column as numbers: texts are parsed, yes and no are 1 and 0.
fn numbers(column: &ArrayRef, name: &str, rows_before: u64) -> Result<NumberColumn, Failed> {
    let data_type = column.data_type();
    let values = match data_type {
        DataType::Float64 => column.clone(),
        DataType::Boolean | DataType::Null => cast(column, &DataType::Float64).map_err(DataFusionError::from)?,
        numeric if numeric.is_numeric() => cast(column, &DataType::Float64).map_err(DataFusionError::from)?,
        DataType::Dictionary(_, values) => {
            return numbers(&cast(column, values).map_err(DataFusionError::from)?, name, rows_before);
        }
        DataType::Utf8 => return parsed(column.as_string::<i32>().iter(), name, rows_before),
        DataType::LargeUtf8 => return parsed(column.as_string::<i64>().iter(), name, rows_before),
        DataType::Utf8View => return parsed(column.as_string_view().iter(), name, rows_before),
        other => {
            let found = other.to_string();
            return Err(BadUnits::WrongType { column: name.to_owned(), found, expect: "numbers" }.into());
        }
    };
    let empty = (values.null_count() > 0).then(|| (0..values.len()).map(|row| values.is_null(row)).collect());
    Ok(NumberColumn { values: values.as_primitive::<Float64Type>().clone(), empty })
}

fn parsed<'a>(
    texts: impl ExactSizeIterator<Item = Option<&'a str>>,
    name: &str,
    rows_before: u64,
) -> Result<NumberColumn, Failed> {
    let mut values = Vec::with_capacity(texts.len());
    let mut empty = Vec::new();
    for (row, text) in texts.enumerate() {
        let text = text.unwrap_or_default().trim();
        if text.is_empty() {
            empty.resize(row, false);
            empty.push(true);
            values.push(0.0);
            continue;
        }
        let truth = || [("true", 1.0), ("false", 0.0)].into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        let value = text.parse().ok().or_else(|| truth().map(|(_, value)| value));
        let not_a_number = || {
            let row = rows_before + row as u64 + 1;
            BadUnits::NotA { what: "number", column: name.to_owned(), row, text: text.to_owned() }
        };
        values.push(value.ok_or_else(not_a_number)?);
    }
    let empty = (!empty.is_empty()).then(|| {
        empty.resize(values.len(), false);
        empty
    });
    Ok(NumberColumn { values: Float64Array::from(values), empty })
}
