//! Charts as SVG, drawn from numbers and nothing else. Their colours are the page's: it styles `better`, `worse`, `neutral`, `whisker`,
//! `mark`, `faint`, `axis`, `zero` and `soft`.

use std::fmt::Write as _;

use super::escaped;

const WIDTH: f64 = 720.0;
const LABELS: f64 = 210.0;
const ROW: f64 = 26.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 46.0;

/// One row of a chart of intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct Whisker {
    /// What stands at its left.
    pub label: String,
    /// Where the dot is.
    pub value: f64,
    /// The lower end; an open side is drawn to the edge.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
    /// A second mark, such as a forecast beside the raw number.
    pub other: Option<f64>,
    /// Its colour.
    pub tone: Tone,
}

/// Whether an interval speaks for or against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// For.
    Better,
    /// Against.
    Worse,
    /// Neither.
    Neutral,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Neutral => "neutral",
        }
    }
}

/// Intervals under each other, with a line at zero. `word` writes the numbers of the scale.
pub fn whiskers(title: &str, rows: &[Whisker], word: impl Fn(f64) -> String) -> String {
    let ends = rows.iter().flat_map(|row| [row.lower, row.upper, Some(row.value), row.other]).flatten();
    let scale = Scale::over(ends.chain([0.0]), LABELS, WIDTH - 20.0);
    let height = ROW * rows.len() as f64 + 40.0;
    let mut svg = open(title, height);
    for tick in scale.ticks() {
        let x = scale.at(tick);
        let class = if tick == 0.0 { "zero" } else { "axis" };
        let _ = write!(svg, r#"<line class="{class}" x1="{x:.1}" x2="{x:.1}" y1="4" y2="{:.1}"/>"#, height - 30.0);
        let _ =
            write!(svg, r#"<text class="soft" text-anchor="middle" x="{x:.1}" y="{:.1}">{}</text>"#, height - 12.0, word(tick));
    }
    for (index, row) in rows.iter().enumerate() {
        let y = ROW * index as f64 + 20.0;
        let (x, low, high) = (
            scale.at(row.value),
            row.lower.map_or(LABELS, |low| scale.at(low)),
            row.upper.map_or(WIDTH - 20.0, |high| scale.at(high)),
        );
        let class = row.tone.class();
        let _ = write!(svg, r#"<text x="0" y="{:.1}">{}</text>"#, y + 4.0, escaped(&row.label));
        let _ = write!(svg, r#"<line class="whisker {class}" x1="{low:.1}" x2="{high:.1}" y1="{y:.1}" y2="{y:.1}"/>"#);
        let _ = write!(svg, r#"<circle class="mark {class}" cx="{x:.1}" cy="{y:.1}" r="4.5"/>"#);
        if let Some(other) = row.other {
            let x = scale.at(other);
            let _ = write!(svg, r#"<line class="faint" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{:.1}"/>"#, y - 7.0, y + 7.0);
        }
    }
    svg + "</svg>"
}

/// A line over looks with a narrow and a wide band.
pub(crate) struct Course {
    /// The looks' names.
    pub(crate) looks: Vec<String>,
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) narrow: Vec<Option<(f64, f64)>>,
    pub(crate) wide: Vec<Option<(f64, f64)>>,
    /// Looks at which something happened, with a word for it.
    pub(crate) marks: Vec<(usize, String)>,
}

/// Draws a course; bands that are much wider than the last one are cut, so that the line can be seen.
pub(crate) fn course(title: &str, course: &Course, word: impl Fn(f64) -> String) -> String {
    let last = course.wide.iter().chain(&course.narrow).rev().flatten().next().copied().unwrap_or((0.0, 0.0));
    let reach = 4.0 * (last.1 - last.0).abs();
    let middle = f64::midpoint(last.0, last.1);
    let cut = |value: f64| if reach > 0.0 { value.clamp(middle - reach, middle + reach) } else { value };
    let bands = course.narrow.iter().chain(&course.wide).flatten().flat_map(|band| [band.0, band.1]);
    let scale = Scale::over(bands.chain(course.values.iter().flatten().copied()).map(cut).chain([0.0]), HEIGHT - MARGIN, 12.0);
    let step = (WIDTH - 2.0 * MARGIN) / (course.looks.len().max(2) - 1) as f64;
    let x = |index: usize| MARGIN + 14.0 + step * index as f64;
    let mut svg = open(title, HEIGHT);
    for tick in scale.ticks() {
        let y = scale.at(tick);
        let class = if tick == 0.0 { "zero" } else { "axis" };
        let _ = write!(
            svg,
            r#"<line class="{class}" x1="{:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
            MARGIN + 14.0,
            WIDTH - MARGIN + 14.0
        );
        let _ = write!(
            svg,
            r#"<text class="soft" text-anchor="end" x="{:.1}" y="{:.1}">{}</text>"#,
            MARGIN + 8.0,
            y + 4.0,
            word(tick)
        );
    }
    for (class, band) in [("wide", &course.wide), ("band", &course.narrow)] {
        svg.push_str(&area(class, band, x, |value| scale.at(cut(value))));
    }
    let points = course.values.iter().enumerate().filter_map(|(index, value)| Some((x(index), scale.at(cut((*value)?)))));
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(svg, r#"<polyline class="path" points="{}"/>"#, points.join(" "));
    for (row, (index, name)) in course.marks.iter().enumerate() {
        let (x, y) = (x(*index), 14.0 + 14.0 * row as f64);
        let _ = write!(svg, r#"<line class="faint" x1="{x:.1}" x2="{x:.1}" y1="{y:.1}" y2="{:.1}"/>"#, HEIGHT - MARGIN);
        let anchor = if x > WIDTH / 2.0 { "end" } else { "start" };
        let _ = write!(
            svg,
            r#"<text text-anchor="{anchor}" x="{:.1}" y="{y:.1}">{}</text>"#,
            if x > WIDTH / 2.0 { x - 4.0 } else { x + 4.0 },
            escaped(name)
        );
    }
    if let (Some(first), Some(last)) = (course.looks.first(), course.looks.last()) {
        let y = HEIGHT - 22.0;
        let _ = write!(svg, r#"<text class="soft" x="{:.1}" y="{y:.1}">{}</text>"#, MARGIN + 14.0, escaped(first));
        let _ = write!(
            svg,
            r#"<text class="soft" text-anchor="end" x="{:.1}" y="{y:.1}">{}</text>"#,
            WIDTH - MARGIN + 14.0,
            escaped(last)
        );
    }
    svg + "</svg>"
}

fn area(class: &str, band: &[Option<(f64, f64)>], x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
    let known: Vec<(usize, (f64, f64))> = band.iter().enumerate().filter_map(|(index, band)| Some((index, (*band)?))).collect();
    let upper = known.iter().map(|(index, band)| format!("{:.1},{:.1}", x(*index), y(band.1)));
    let lower = known.iter().rev().map(|(index, band)| format!("{:.1},{:.1}", x(*index), y(band.0)));
    let points: Vec<String> = upper.chain(lower).collect();
    if points.is_empty() { String::new() } else { format!(r#"<polygon class="{class}" points="{}"/>"#, points.join(" ")) }
}

fn open(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        r#"<svg role="img" aria-label="{title}" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}"><title>{title}</title>"#
    )
}

/// Numbers to places on the page.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low < high { (low, high) } else { (low.clamp(-1e300, 0.0) - 1.0, high.clamp(0.0, 1e300) + 1.0) };
        let room = 0.04 * (high - low);
        Self { low: low - room, high: high + room, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers within, about five.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10.0_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last.min(first + 20)).map(|index| index as f64 * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let check = |low: f64, high: f64, expect: &[f64]| {
            let ticks = Scale { low, high, from: 0.0, to: 1.0 }.ticks();
            assert!(ticks.len() == expect.len() && ticks.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-9), "{ticks:?}");
        };
        check(-0.13, 0.42, &[0.0, 0.2, 0.4]);
        check(0.0, 10.0, &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        check(-1.0, 1.0, &[-1.0, -0.5, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn charts_escape_names_and_hold_no_wrong_number() {
        let row = Whisker { label: "<b>".into(), value: 0.1, lower: None, upper: Some(0.3), other: None, tone: Tone::Neutral };
        let svg = whiskers("a & b", &[row], |value| value.to_string());
        assert!(svg.contains("&lt;b&gt;") && svg.contains("a &amp; b") && !svg.contains("<b>") && !svg.contains("NaN"), "{svg}");
        let flat =
            Course { looks: vec!["1".into()], values: vec![Some(0.0)], narrow: vec![None], wide: vec![None], marks: vec![] };
        let svg = course("flat", &flat, |value| value.to_string());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
