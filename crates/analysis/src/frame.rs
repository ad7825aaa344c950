//! One experiment made ready: control first, metrics understood, every cell reduced to moments.

use stats::Moments;

use crate::cells::{ArmCells, ExperimentCells, Group, MetricCell};
use crate::report::{Measure, Metric, Role};
use crate::spec::{Kind, Spec};

/// One experiment as everything else here looks at it.
pub(crate) struct Frame<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) cells: &'a ExperimentCells,
    /// Names of the variants: control first, the others in their order.
    pub(crate) names: Vec<&'a str>,
    /// Where each variant is among the cells; `None` for a control the file does not hold.
    places: Vec<Option<usize>>,
    pub(crate) metrics: Vec<Metric>,
    /// The metric that decides.
    pub(crate) primary: usize,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(spec: &'a Spec, cells: &'a ExperimentCells) -> Self {
        let variants = || cells.arms.iter().map(|arm| arm.variant.as_str());
        let control = spec.control_among(variants()).or(spec.control.as_deref()).or_else(|| variants().next());
        let control = control.unwrap_or("control");
        let place = |name: &str| cells.arms.iter().position(|arm| arm.variant == name);
        let names: Vec<&str> = std::iter::once(control).chain(variants().filter(|name| *name != control)).collect();
        let places = names.iter().map(|name| place(name)).collect();
        let primary = spec.metrics.iter().position(|metric| metric.margin.is_none()).unwrap_or(0);
        let mut frame = Self { spec, cells, names, places, metrics: Vec::new(), primary };
        frame.metrics = (0..spec.metrics.len()).map(|metric| frame.metric(metric)).collect();
        frame
    }

    fn metric(&self, index: usize) -> Metric {
        let spec = &self.spec.metrics[index];
        let mut cells = self.cells.arms.iter().filter_map(|arm| arm.all.metrics.get(index)).peekable();
        let known = cells.peek().is_some();
        let denominator = match &spec.kind {
            Kind::Ratio { denominator } => Some(denominator.clone()),
            Kind::Auto | Kind::Binary | Kind::Mean => None,
        };
        let measure = match (&spec.kind, known && cells.all(|cell| cell.is_binary)) {
            (Kind::Ratio { .. }, _) => Measure::Ratio,
            (Kind::Mean, _) | (Kind::Auto, false) => Measure::Mean,
            (Kind::Binary, _) | (Kind::Auto, true) => Measure::Binary,
        };
        let role = match (index == self.primary, spec.margin) {
            (true, _) => Role::Primary,
            (false, Some(_)) => Role::Guardrail,
            (false, None) => Role::Secondary,
        };
        let (lower_is_better, margin, cap) = (spec.lower_is_better, spec.margin, spec.cap);
        Metric { name: spec.name.clone(), measure, denominator, role, lower_is_better, margin, cap }
    }

    pub(crate) fn control(&self) -> &'a str {
        self.names[0]
    }

    /// The numbers of all arms except control.
    pub(crate) fn variants(&self) -> std::ops::Range<usize> {
        1..self.names.len()
    }

    pub(crate) fn arm(&self, arm: usize) -> Option<&'a ArmCells> {
        self.places[arm].map(|place| &self.cells.arms[place])
    }

    /// The arm among the cells of one look.
    pub(crate) fn arm_of<'b>(&self, arm: usize, cells: &'b [ArmCells]) -> Option<&'b ArmCells> {
        cells.iter().find(|cell| cell.variant == self.names[arm])
    }

    pub(crate) fn all(&self, arm: usize) -> Option<&'a Group> {
        self.arm(arm).map(|cells| &cells.all)
    }

    pub(crate) fn units(&self, arm: usize) -> u64 {
        self.all(arm).map_or(0, |group| group.units)
    }

    pub(crate) fn cell(&self, arm: usize, metric: usize) -> Option<&'a MetricCell> {
        self.all(arm)?.metrics.get(metric)
    }

    /// The moments of a metric in all of an arm.
    pub(crate) fn moments(&self, arm: usize, metric: usize) -> Moments {
        self.outcome(self.all(arm), metric)
    }

    /// The moments of a metric in a group. A ratio is taken for a mean of (y − R d) / mean(d) + R, which has its mean
    /// and, to first order, its variance (the delta method), so that everything after this knows means only. A ratio
    /// to nothing has a mean that is not a number; [`crate::estimate::compare`] says so.
    pub(crate) fn outcome(&self, group: Option<&Group>, metric: usize) -> Moments {
        let Some(cell) = group.and_then(|group| group.metrics.get(metric)) else { return Moments::default() };
        if cell.moments.count == 0 {
            return Moments::default();
        }
        if !self.is_ratio(cell) {
            return cell.moments.moments(0);
        }
        let denominator = cell.moments.mean(1);
        let ratio = cell.moments.mean(0) / denominator;
        let m2 = cell.moments.combined(&[1.0, -ratio]).m2 / (denominator * denominator);
        Moments { count: cell.moments.count, mean: if ratio.is_finite() { ratio } else { f64::NAN }, m2 }
    }

    /// Whether the second number of a cell is a denominator: of a ratio, or of anything where units are clusters of rows.
    pub(crate) fn is_ratio(&self, cell: &MetricCell) -> bool {
        cell.moments.dimensions() > 1 + self.spec.covariates.len()
    }
}

#[cfg(test)]
mod tests {
    use stats::CoMoments;

    use super::*;
    use crate::spec::MetricSpec;

    fn arm(variant: &str, moments: CoMoments) -> ArmCells {
        let metrics = vec![MetricCell { moments, without_outliers: None, is_binary: false, nonzero: 2 }];
        ArmCells { variant: variant.to_owned(), all: Group { units: 2, metrics }, ..ArmCells::default() }
    }

    #[test]
    fn a_ratio_is_a_mean_by_the_delta_method() {
        let mut moments = CoMoments::new(2);
        for unit in [[1.0, 2.0], [3.0, 4.0], [2.0, 6.0]] {
            moments.push(&unit);
        }
        let spec = Spec::new("v", "a", vec![MetricSpec::new("y", Kind::Ratio { denominator: "d".to_owned() })]);
        let cells = ExperimentCells { arms: vec![arm("a", moments), arm("b", CoMoments::new(2))], ..Default::default() };
        let frame = Frame::new(&spec, &cells);
        let found = frame.moments(0, 0);
        // By hand: R = 6/12, mean(d) = 4, and the linear values (y − d/2)/4 are 0, 1/4 and −1/4.
        assert_eq!((found.count, found.mean), (3, 0.5));
        assert!((found.m2 - 0.125).abs() < 1e-15);
        assert_eq!(frame.moments(1, 0), Moments::default());
    }

    #[test]
    fn control_comes_first_even_where_the_file_lacks_it() {
        let check = |control: Option<&str>, variants: &[&str], expect: &[&str]| {
            let mut spec = Spec::new("v", "x", vec![]);
            spec.control = control.map(str::to_owned);
            let arms = variants.iter().map(|name| arm(name, CoMoments::new(1))).collect();
            let cells = ExperimentCells { arms, ..Default::default() };
            assert_eq!(Frame::new(&spec, &cells).names, expect);
        };
        check(Some("b"), &["a", "b", "c"], &["b", "a", "c"]);
        check(Some("z"), &["a", "b"], &["z", "a", "b"]);
        check(None, &["a", "Control"], &["Control", "a"]);
        check(None, &[], &["control"]);
    }
}
