//! Labels become codes. The file's own compression is used: equal short texts are equal integers in a column of views, and
//! a dictionary is looked up once.

use std::collections::HashMap;

use analysis::gather::{BadUnits, EMPTY};
use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::error::DataFusionError;
use jiff::Span;
use jiff::civil::{Date, date};

use super::Failed;

/// Places for labels seen lately. Few columns have more labels that are frequent, and the rest takes the longer way.
const SEEN_PLACES: usize = 64;
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// What a column of labels holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Any text.
    Label,
    /// Days, which may be written as times.
    Day,
}

/// Gives labels codes in the order they are first seen.
#[derive(Debug)]
pub(super) struct Interner {
    what: What,
    codes: HashMap<String, u32>,
    names: Vec<String>,
    /// Of labels that are numbers in the file.
    numbers: HashMap<u64, u32>,
}

impl Interner {
    pub(super) fn new(what: What) -> Self {
        Self { what, codes: HashMap::new(), names: Vec::new(), numbers: HashMap::new() }
    }

    /// The labels by code.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The codes of a column.
    pub(super) fn codes(&mut self, column: &ArrayRef, name: &str, rows_before: u64) -> Result<Vec<u32>, Failed> {
        let wrong = |found: &DataType, expect| {
            Failed::from(BadUnits::WrongType { column: name.to_owned(), found: found.to_string(), expect })
        };
        let to = |data_type: DataType| cast(column, &data_type).map_err(|_| wrong(column.data_type(), "text, numbers or days"));
        match (column.data_type(), self.what) {
            (DataType::Dictionary(_, values), What::Day) => {
                let days = to(values.as_ref().clone())?;
                self.codes(&days, name, rows_before)
            }
            (DataType::Dictionary(..), What::Label) => {
                let dictionary = column.as_any_dictionary();
                let codes = self.codes(dictionary.values(), name, rows_before)?;
                let keys = dictionary.normalized_keys();
                let code = |(row, key)| if dictionary.keys().is_null(row) { EMPTY } else { codes[key] };
                Ok(if codes.is_empty() { vec![EMPTY; keys.len()] } else { keys.into_iter().enumerate().map(code).collect() })
            }
            (DataType::Utf8View, _) => self.texts(column.as_string_view(), name, rows_before),
            (DataType::Utf8 | DataType::LargeUtf8, _) => self.texts(to(DataType::Utf8View)?.as_string_view(), name, rows_before),
            (DataType::Date32, What::Day) => {
                let days = to(DataType::Int32)?;
                let days = cast(&days, &DataType::Int64).map_err(DataFusionError::from)?;
                Ok(self.numbers(&days, |day| day as u64, |day| day_text(day as i64)))
            }
            (DataType::Date64 | DataType::Timestamp(..), What::Day) => {
                let zone = if let DataType::Timestamp(_, zone) = column.data_type() { zone.clone() } else { None };
                let times = to(DataType::Timestamp(TimeUnit::Microsecond, zone))?;
                let times = cast(&times, &DataType::Int64).map_err(DataFusionError::from)?;
                Ok(self.numbers(&times, |time| time.div_euclid(MICROSECONDS_PER_DAY) as u64, |day| day_text(day as i64)))
            }
            (DataType::Null, _) => Ok(vec![EMPTY; column.len()]),
            (other, What::Day) => Err(wrong(other, "days such as 2026-11-21")),
            (DataType::Float16 | DataType::Float32 | DataType::Float64, What::Label) => {
                let numbers = to(DataType::Float64)?;
                let numbers = numbers.as_primitive::<Float64Type>();
                // As people write them: 1 and not 1.0.
                let name = |bits| Some(f64::from_bits(bits).to_string());
                let code = |number: Option<f64>| match number.filter(|number| !number.is_nan()) {
                    Some(number) => self.number((number + 0.0).to_bits(), name),
                    None => EMPTY,
                };
                Ok(numbers.iter().map(code).collect())
            }
            (integer, What::Label) if integer.is_integer() && *integer != DataType::UInt64 => {
                Ok(self.numbers(&to(DataType::Int64)?, |number| number as u64, |number| Some((number as i64).to_string())))
            }
            (DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..), _) => {
                Err(wrong(column.data_type(), "text, numbers or days"))
            }
            _ => self.texts(to(DataType::Utf8View)?.as_string_view(), name, rows_before),
        }
    }

    fn texts(&mut self, column: &StringViewArray, name: &str, rows_before: u64) -> Result<Vec<u32>, Failed> {
        let not_a_day = |row: usize| {
            let text = column.value(row).to_owned();
            let row = rows_before + row as u64 + 1;
            Failed::from(BadUnits::NotA { what: "day such as 2026-11-21", column: name.to_owned(), row, text })
        };
        let mut codes = Vec::with_capacity(column.len());
        if column.null_count() > 0 {
            for row in 0..column.len() {
                let text = if column.is_null(row) { "" } else { column.value(row) };
                codes.push(self.text(text).ok_or_else(|| not_a_day(row))?);
            }
            return Ok(codes);
        }
        // Within a batch equal views are equal texts, because they are the text itself or point to it. An empty text's view is 0.
        let mut seen = [(0_u128, EMPTY); SEEN_PLACES];
        for (row, view) in column.views().iter().enumerate() {
            let folded = (*view as u64 ^ (*view >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let place = &mut seen[(folded >> 58) as usize % SEEN_PLACES];
            if place.0 != *view {
                *place = (*view, self.text(column.value(row)).ok_or_else(|| not_a_day(row))?);
            }
            codes.push(place.1);
        }
        Ok(codes)
    }

    /// The code of a text; `None` when it should be a day and is none.
    fn text(&mut self, text: &str) -> Option<u32> {
        if text.is_empty() {
            return Some(EMPTY);
        }
        let text = match self.what {
            What::Label => text,
            What::Day => text.get(..10).filter(|_| text.as_bytes().get(10).is_none_or(|next| matches!(next, b'T' | b' ')))?,
        };
        if let Some(code) = self.codes.get(text) {
            return Some(*code);
        }
        if self.what == What::Day && text.parse::<Date>().is_err() {
            return None;
        }
        Some(self.add(text.to_owned()))
    }

    fn numbers(&mut self, column: &ArrayRef, key: impl Fn(i64) -> u64, name: impl Fn(u64) -> Option<String>) -> Vec<u32> {
        let column = column.as_primitive::<Int64Type>();
        if column.null_count() > 0 {
            return column.iter().map(|number| number.map_or(EMPTY, |number| self.number(key(number), &name))).collect();
        }
        let mut seen: [Option<(u64, u32)>; SEEN_PLACES] = [None; SEEN_PLACES];
        let code = |number: &i64| {
            let key = key(*number);
            let place = &mut seen[(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % SEEN_PLACES];
            match place {
                Some((seen, code)) if *seen == key => *code,
                _ => place.insert((key, self.number(key, &name))).1,
            }
        };
        column.values().iter().map(code).collect()
    }

    /// The code of a label that is a number; empty where it has no name.
    fn number(&mut self, key: u64, name: impl Fn(u64) -> Option<String>) -> u32 {
        if let Some(code) = self.numbers.get(&key) {
            return *code;
        }
        let code = name(key).map_or(EMPTY, |name| self.codes.get(&name).copied().unwrap_or_else(|| self.add(name)));
        self.numbers.insert(key, code);
        code
    }

    fn add(&mut self, name: String) -> u32 {
        let code = self.names.len() as u32;
        self.names.push(name.clone());
        self.codes.insert(name, code);
        code
    }
}

/// A day by its distance from 1970-01-01; `None` beyond the calendar.
pub(super) fn day_text(day: i64) -> Option<String> {
    let days = Span::new().try_days(day).ok()?;
    date(1970, 1, 1).checked_add(days).ok().map(|day| day.to_string())
}
