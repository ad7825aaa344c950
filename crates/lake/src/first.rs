//! Whose unit a contact is: the SQL function that finds the first of a contact's assignments in one pass.
//!
//! `first_assignment(event_time, received_at, event_id, variant, market, begins)` gives the variant, the market and the beginning of the
//! row that is the least in the first three, and whether the rows name different variants: what several `first_value(... ORDER BY ...)`
//! would give, each of which compares rows by all three anew. Nearly every contact has one row, so that what counts is that a new
//! one costs little: numbers in columns, texts by their numbers, and the ids of the rows in one buffer.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit, TimestampMicrosecondType};
use datafusion::common::HashMap;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

/// The function's name, as `EXPLAIN` shows it.
const NAME: &str = "first_assignment";
/// How many arguments it has. A state is one row of them, and what the rows say together.
const ARGUMENTS: usize = 6;
/// The number of a text that is null.
const NO_TEXT: u32 = 0;

/// The function, for a session to know it.
pub(crate) fn first_assignment() -> AggregateUDF {
    FirstAssignment { signature: Signature::any(ARGUMENTS, Volatility::Immutable) }.into()
}

fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// What comes out.
fn fields() -> Fields {
    Fields::from(vec![
        Field::new("variant", DataType::Utf8View, true),
        Field::new("market", DataType::Utf8View, true),
        Field::new("begins", moment(), true),
        Field::new("crossed", DataType::Boolean, true),
    ])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstAssignment {
    signature: Signature,
}

impl AggregateUDFImpl for FirstAssignment {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let texts = || DataType::Utf8View;
        let types = [moment(), moment(), texts(), texts(), texts(), moment(), texts(), DataType::Boolean];
        let field = |(at, kind)| Arc::new(Field::new(format_state_name(args.name, &format!("{NAME}_{at}")), kind, true));
        Ok(types.into_iter().enumerate().map(field).collect())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal(format!("{NAME} is asked for by contact only")))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Firsts::default()))
    }
}

/// The first rows of many contacts, a column each.
#[derive(Debug, Default)]
struct Firsts {
    firsts: Vec<First>,
    /// The ids of the rows, one after another.
    ids: Vec<u8>,
    texts: Texts,
}

/// One contact. Texts are numbers of [`Texts`].
#[derive(Debug, Clone, Copy, Default)]
struct First {
    at: i64,
    received: i64,
    begins: i64,
    /// Where its id begins in the buffer, and how long it is.
    id: (u32, u32),
    variant: u32,
    market: u32,
    /// A variant that any row names.
    named: u32,
    crossed: bool,
    is_some: bool,
}

/// Texts by number, from 1. There are few: variants and markets.
#[derive(Debug, Default)]
struct Texts {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

impl Texts {
    fn number(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return NO_TEXT };
        self.numbers.get(text).copied().unwrap_or_else(|| {
            self.texts.push(text.into());
            let number = self.texts.len() as u32;
            self.numbers.insert(text.into(), number);
            number
        })
    }

    fn text(&self, number: u32) -> Option<&str> {
        let place = (number as usize).checked_sub(1)?;
        Some(&self.texts[place])
    }
}

/// Rows as they come, or states.
struct Rows {
    /// When they happened and were received, and from when on outcomes count.
    times: [TimestampMicrosecondArray; 3],
    ids: StringViewArray,
    variants: StringViewArray,
    markets: StringViewArray,
    /// Of states: a variant that any row names, and whether they name several.
    told: Option<(StringViewArray, BooleanArray)>,
}

impl Rows {
    fn new(values: &[ArrayRef]) -> Result<Self> {
        let time = |place: usize| -> Result<_> {
            Ok(cast(&values[place], &moment())?.as_primitive::<TimestampMicrosecondType>().clone())
        };
        let texts = |place: usize| -> Result<_> { Ok(cast(&values[place], &DataType::Utf8View)?.as_string_view().clone()) };
        let is_state = values.len() > ARGUMENTS;
        let told = is_state.then(|| Ok::<_, DataFusionError>((texts(ARGUMENTS)?, values[ARGUMENTS + 1].as_boolean().clone())));
        Ok(Self {
            times: [time(0)?, time(1)?, time(5)?],
            ids: texts(2)?,
            variants: texts(3)?,
            markets: texts(4)?,
            told: told.transpose()?,
        })
    }
}

fn text(texts: &StringViewArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

impl Firsts {
    fn add(&mut self, rows: &Rows, row: usize, unit: usize) -> Result<()> {
        let [at, received, begins] = [0, 1, 2].map(|place| rows.times[place].value(row));
        let id = text(&rows.ids, row).unwrap_or_default();
        let [variant, market] = [&rows.variants, &rows.markets].map(|texts| self.texts.number(text(texts, row)));
        let known = self.firsts[unit];
        let (named, crossed) = match &rows.told {
            Some((named, crossed)) => (self.texts.number(text(named, row)), crossed.is_valid(row) && crossed.value(row)),
            None => (variant, false),
        };
        let differ = known.named != NO_TEXT && named != NO_TEXT && known.named != named;
        let mut first = known;
        if !known.is_some || self.order(&known, (at, received, id)) == Ordering::Greater {
            let place = (u32::try_from(self.ids.len()), u32::try_from(id.len()));
            let (Ok(begin), Ok(length)) = place else {
                return Err(DataFusionError::ResourcesExhausted("too many assignments to find the first of each".to_owned()));
            };
            self.ids.extend(id.as_bytes());
            first = First { at, received, begins, id: (begin, length), variant, market, is_some: true, ..known };
        }
        first.crossed |= crossed || differ;
        first.named = if known.named == NO_TEXT { named } else { known.named };
        self.firsts[unit] = first;
        Ok(())
    }

    fn id(&self, first: &First) -> &[u8] {
        let (begin, length) = first.id;
        &self.ids[begin as usize..][..length as usize]
    }

    fn order(&self, known: &First, (at, received, id): (i64, i64, &str)) -> Ordering {
        (known.at, known.received).cmp(&(at, received)).then_with(|| self.id(known).cmp(id.as_bytes()))
    }

    /// The first contacts; they are forgotten and the others move up.
    fn take(&mut self, emit_to: EmitTo) -> Vec<First> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.firsts),
            EmitTo::First(first) => self.firsts.drain(..first).collect(),
        }
    }

    /// When all are given out their ids are not needed any more.
    fn forget(&mut self) {
        if self.firsts.is_empty() {
            self.ids = Vec::new();
        }
    }

    fn texts_of(&self, firsts: &[First], number: fn(&First) -> u32) -> ArrayRef {
        Arc::new(firsts.iter().map(|first| self.texts.text(number(first))).collect::<StringViewArray>())
    }
}

fn times_of(firsts: &[First], time: fn(&First) -> i64) -> ArrayRef {
    let times = firsts.iter().map(|first| first.is_some.then(|| time(first)));
    let times: PrimitiveArray<TimestampMicrosecondType> = times.collect();
    Arc::new(times.with_timezone("UTC"))
}

fn crossed_of(firsts: &[First]) -> ArrayRef {
    Arc::new(firsts.iter().map(|first| Some(first.crossed)).collect::<BooleanArray>())
}

impl GroupsAccumulator for Firsts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.firsts.resize(total_num_groups, First::default());
        let rows = Rows::new(values)?;
        let counts = |row: usize| opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        group_indices.iter().enumerate().filter(|(row, _)| counts(*row)).try_for_each(|(row, unit)| self.add(&rows, row, *unit))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.firsts.resize(total_num_groups, First::default());
        let rows = Rows::new(values)?;
        // A state of no rows has no time.
        let told = group_indices.iter().enumerate().filter(|(row, _)| rows.times[0].is_valid(*row));
        told.into_iter().try_for_each(|(row, unit)| self.add(&rows, row, *unit))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let firsts = self.take(emit_to);
        let columns = vec![
            self.texts_of(&firsts, |first| first.variant),
            self.texts_of(&firsts, |first| first.market),
            times_of(&firsts, |first| first.begins),
            crossed_of(&firsts),
        ];
        self.forget();
        Ok(Arc::new(StructArray::try_new(fields(), columns, None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let firsts = self.take(emit_to);
        let ids = firsts.iter().map(|first| std::str::from_utf8(self.id(first)).ok()).collect::<StringViewArray>();
        let state = vec![
            times_of(&firsts, |first| first.at),
            times_of(&firsts, |first| first.received),
            Arc::new(ids) as ArrayRef,
            self.texts_of(&firsts, |first| first.variant),
            self.texts_of(&firsts, |first| first.market),
            times_of(&firsts, |first| first.begins),
            self.texts_of(&firsts, |first| first.named),
            crossed_of(&firsts),
        ];
        self.forget();
        Ok(state)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut firsts = Self::default();
        firsts.update_batch(values, &rows, opt_filter, rows.len())?;
        firsts.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.firsts.capacity() * size_of::<First>() + self.ids.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contact, time, time of receipt, id, variant, market, and when outcomes begin to count.
    type Row = (usize, i64, i64, &'static str, Option<&'static str>, Option<&'static str>, i64);

    fn columns(rows: &[Row]) -> (Vec<ArrayRef>, Vec<usize>) {
        let time = |of: fn(&Row) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(of(row))).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        };
        let text =
            |of: fn(&Row) -> Option<&'static str>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringViewArray>()) };
        let (at, received, begins) = (time(|row| row.1), time(|row| row.2), time(|row| row.6));
        let columns = vec![at, received, text(|row| Some(row.3)), text(|row| row.4), text(|row| row.5), begins];
        (columns, rows.iter().map(|row| row.0).collect())
    }

    fn told(array: &ArrayRef) -> Vec<(Option<String>, Option<String>, i64, bool)> {
        let columns = array.as_struct();
        let text = |column: usize, row: usize| text(columns.column(column).as_string_view(), row).map(str::to_owned);
        let begins = columns.column(2).as_primitive::<TimestampMicrosecondType>();
        let crossed = columns.column(3).as_boolean();
        (0..array.len()).map(|row| (text(0, row), text(1, row), begins.value(row), crossed.value(row))).collect()
    }

    const ROWS: [Row; 8] = [
        (0, 5, 5, "b", Some("A"), Some("DE"), 50),
        (0, 5, 5, "a", Some("B"), Some("FR"), 40),
        (1, 9, 1, "x", Some("A"), None, 90),
        (1, 9, 0, "y", Some("A"), Some("DE"), 80),
        (2, 3, 3, "p", None, Some("DE"), 30),
        (2, 4, 3, "q", Some("A"), Some("DE"), 30),
        (2, 5, 3, "r", Some("B"), Some("DE"), 30),
        (3, 7, 7, "s", Some("A"), Some("DE"), 70),
    ];

    fn expect() -> Vec<(Option<String>, Option<String>, i64, bool)> {
        let row = |variant: Option<&str>, market: Option<&str>, begins, crossed| {
            (variant.map(str::to_owned), market.map(str::to_owned), begins, crossed)
        };
        vec![
            row(Some("B"), Some("FR"), 40, true),
            row(Some("A"), Some("DE"), 80, false),
            row(None, Some("DE"), 30, true),
            row(Some("A"), Some("DE"), 70, false),
        ]
    }

    #[test]
    fn the_first_row_counts_in_whatever_order_and_steps_they_come() {
        for turn in 0..ROWS.len() {
            let mut rows = ROWS;
            rows.rotate_left(turn);
            let mut at_once = Firsts::default();
            let (values, groups) = columns(&rows);
            at_once.update_batch(&values, &groups, None, 4).unwrap();
            assert_eq!(told(&at_once.evaluate(EmitTo::All).unwrap()), expect(), "turned by {turn}");
            assert!(at_once.ids.is_empty());

            let mut merged = Firsts::default();
            for (part, rows) in rows.chunks(3).enumerate() {
                let (values, groups) = columns(rows);
                let state = if part == 1 {
                    merged.convert_to_state(&values, None).unwrap()
                } else {
                    let mut own = Firsts::default();
                    own.update_batch(&values, &(0..rows.len()).collect::<Vec<_>>(), None, rows.len()).unwrap();
                    own.state(EmitTo::All).unwrap()
                };
                merged.merge_batch(&state, &groups, 4).unwrap();
            }
            let first = told(&merged.evaluate(EmitTo::First(1)).unwrap());
            let rest = told(&merged.evaluate(EmitTo::All).unwrap());
            assert_eq!([first, rest].concat(), expect(), "turned by {turn}");
        }
    }

    #[test]
    fn rows_that_are_filtered_out_count_nowhere() {
        let mut firsts = Firsts::default();
        let (values, groups) = columns(&ROWS[..2]);
        let filter = BooleanArray::from(vec![true, false]);
        firsts.update_batch(&values, &groups, Some(&filter), 2).unwrap();
        let state = firsts.state(EmitTo::All).unwrap();
        let mut merged = Firsts::default();
        merged.merge_batch(&state, &[0, 1], 2).unwrap();
        let first = merged.evaluate(EmitTo::First(1)).unwrap();
        assert_eq!(told(&first), [(Some("A".to_owned()), Some("DE".to_owned()), 50, false)]);
    }
}
