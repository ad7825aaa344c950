//! What each unit did, by age: the SQL function that makes the tallies of [`experiment::cells`] of the events that are joined to units.
//!
//! `tally(event_time, begins, what, amount_minor)` gives one value a unit: for each age at which anything happened its number, how
//! often each kind of thing happened, and the amount, fourteen words of eight bytes. What happened before a unit begins has the last age. Where a unit and its events are joined and grouped in
//! one step ([`crate::group_join`]) they are counted without being put together first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeBinaryArray, LargeBinaryBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use experiment::cells::{BEFORE, Tally, WHATS, age};
use vocabulary::Timestamp;

/// The function's name, as `EXPLAIN` shows it.
const NAME: &str = "tally";
const WORD_BYTES: usize = size_of::<i64>();
/// The age, the counts and the amount.
const WORDS: usize = 1 + WHATS + 1;

/// The function, for a session to know it.
pub(crate) fn tally() -> AggregateUDF {
    TallyByAge { signature: Signature::any(4, Volatility::Immutable) }.into()
}

/// The tallies of one unit, in order of age. `into` is emptied first.
pub(crate) fn read(bytes: &[u8], into: &mut Vec<(u16, Tally)>) {
    into.clear();
    let words = |entry: &[u8; WORDS * WORD_BYTES]| -> [i64; WORDS] {
        let (words, _) = entry.as_chunks::<WORD_BYTES>();
        std::array::from_fn(|place| i64::from_le_bytes(words[place]))
    };
    for entry in bytes.as_chunks().0 {
        let [age, rest @ ..] = words(entry);
        let mut tally = Tally { amount_minor: rest[WHATS], ..Tally::default() };
        tally.counts.copy_from_slice(&rest[..WHATS]);
        into.push((age as u16, tally));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TallyByAge {
    signature: Signature,
}

impl AggregateUDFImpl for TallyByAge {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::LargeBinary)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, NAME), DataType::LargeBinary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal(format!("{NAME} is asked for by unit only")))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Tallies::default()))
    }
}

/// The tallies of many units: chains of entries, because most units have one or two.
#[derive(Debug, Default)]
struct Tallies {
    /// The place of each unit's first entry, from 1; 0 where there is none.
    heads: Vec<u32>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    age: u16,
    /// The unit's next entry, as in `heads`.
    next: u32,
    tally: Tally,
}

impl Tallies {
    fn at(&mut self, unit: usize, age: u16) -> &mut Tally {
        let mut place = self.heads[unit];
        while place > 0 && self.entries[place as usize - 1].age != age {
            place = self.entries[place as usize - 1].next;
        }
        if place == 0 {
            self.entries.push(Entry { age, next: self.heads[unit], tally: Tally::default() });
            place = self.entries.len() as u32;
            self.heads[unit] = place;
        }
        &mut self.entries[place as usize - 1].tally
    }

    /// The first units' tallies; they are forgotten and the others move up.
    fn take(&mut self, emit_to: EmitTo) -> LargeBinaryArray {
        let heads = match emit_to {
            EmitTo::All => std::mem::take(&mut self.heads),
            EmitTo::First(first) => self.heads.drain(..first).collect(),
        };
        let mut bytes = LargeBinaryBuilder::with_capacity(heads.len(), self.entries.len() * WORDS * WORD_BYTES);
        let (mut own, mut written) = (Vec::new(), Vec::new());
        for head in heads {
            let mut place = head;
            while place > 0 {
                let entry = &self.entries[place as usize - 1];
                own.push(entry);
                place = entry.next;
            }
            own.sort_unstable_by_key(|entry| entry.age);
            for entry in own.drain(..) {
                let words = std::iter::once(i64::from(entry.age)).chain(entry.tally.counts).chain([entry.tally.amount_minor]);
                words.for_each(|word| written.extend(word.to_le_bytes()));
            }
            bytes.append_value(&written);
            written.clear();
        }
        if self.heads.is_empty() {
            self.entries.clear();
        }
        bytes.finish()
    }
}

impl GroupsAccumulator for Tallies {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.heads.resize(total_num_groups, 0);
        let [times, begins] = [&values[0], &values[1]].map(|times| times.as_primitive::<TimestampMicrosecondType>());
        let [whats, amounts] = [&values[2], &values[3]].map(|numbers| numbers.as_primitive::<Int64Type>());
        let moment = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
        for (row, unit) in group_indices.iter().enumerate() {
            let counts = times.is_valid(row) && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if !counts {
                continue;
            }
            let age = age(moment(begins.value(row)), moment(times.value(row))).unwrap_or(BEFORE);
            let tally = self.at(*unit, age);
            for (what, count) in tally.counts.iter_mut().enumerate() {
                *count += (whats.value(row) >> what) & 1;
            }
            tally.amount_minor = tally.amount_minor.wrapping_add(amounts.value(row));
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.heads.resize(total_num_groups, 0);
        let mut own = Vec::new();
        let parts = values[0].as_binary::<i64>();
        for (row, unit) in group_indices.iter().enumerate().filter(|(row, _)| parts.is_valid(*row)) {
            read(parts.value(row), &mut own);
            own.iter().for_each(|(age, tally)| self.at(*unit, *age).add(tally));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.take(emit_to)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(self.take(emit_to))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut tallies = Self::default();
        tallies.update_batch(values, &rows, opt_filter, rows.len())?;
        tallies.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.heads.capacity() * size_of::<u32>() + self.entries.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, TimestampMicrosecondArray};

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    /// Unit, hours after it begins (`None` for no event), what, amount.
    type Row = (usize, Option<i64>, i64, i64);

    fn update(tallies: &mut Tallies, rows: &[Row], units: usize) {
        let times = rows.iter().map(|row| row.1.map(|hours| hours * HOUR)).collect::<TimestampMicrosecondArray>();
        let begins = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|_| 0));
        let numbers = |of: fn(&Row) -> i64| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
        let values: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(begins), numbers(|row| row.2), numbers(|row| row.3)];
        let groups: Vec<usize> = rows.iter().map(|row| row.0).collect();
        tallies.update_batch(&values, &groups, None, units).unwrap();
    }

    fn told(array: &LargeBinaryArray) -> Vec<Vec<(u16, Vec<i64>, i64)>> {
        let mut own = Vec::new();
        let unit = |bytes: &[u8]| {
            read(bytes, &mut own);
            own.iter().map(|(age, tally)| (*age, tally.counts.to_vec(), tally.amount_minor)).collect()
        };
        array.iter().map(Option::unwrap_or_default).map(unit).collect()
    }

    #[test]
    fn events_are_counted_by_unit_and_age() {
        let mut tallies = Tallies::default();
        update(
            &mut tallies,
            &[(0, Some(30), 64, 500), (1, None, 0, 0), (0, Some(0), 1, 0), (0, Some(47), 64 + 128 + 2048, -200)],
            3,
        );
        update(&mut tallies, &[(2, Some(0), 12, 0), (2, Some(-1), 1, 0)], 3);
        let mut merged = Tallies::default();
        for _ in 0..2 {
            let state = tallies.state(EmitTo::First(1)).unwrap();
            merged.merge_batch(&state, &[0], 2).unwrap();
        }
        let rest = tallies.take(EmitTo::All);
        let before = (BEFORE, vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0);
        assert_eq!(told(&rest), [vec![(0, vec![0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], 0), before]]);
        assert!(tallies.heads.is_empty() && tallies.entries.is_empty());
        let first = vec![(0, vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0), (6, vec![0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 1], 300)];
        assert_eq!(told(&merged.take(EmitTo::All)), [first, vec![]]);
    }
}
