//! Counts the distinct whole numbers of each group: `count(DISTINCT contact_key)` by market, say.
//!
//! One set of all pairs of group and number is larger than the processor's caches, and each row waits for memory twice: once where it
//! is read, once where the parts of a query are put together. So pairs are only dealt out into buckets by their hash, which
//! needs no waiting, and each bucket, which fits into a cache, is made a set of its own when it is asked for or memory is to be saved.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::scalar::ScalarValue;

/// The function's name, as `EXPLAIN` shows it.
const NAME: &str = "count_distinct_numbers";
/// Some thousand pairs each of a few million.
const BUCKETS: usize = 512;
/// So many pairs are kept, 12 bytes each, before those told twice are sought.
const PAIRS_MIN: usize = 1 << 21;
/// Pairs are made a set again when there are so many times the distinct ones.
const GROWTH: usize = 3;

/// Counts distinct 64-bit numbers by group; nulls do not count. Without groups it is not to be used.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DistinctNumbers {
    signature: Signature,
}

/// The function to put in the place of `count(DISTINCT number)`.
pub(crate) fn distinct_numbers() -> AggregateUDF {
    DistinctNumbers { signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }.into()
}

impl AggregateUDFImpl for DistinctNumbers {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, NAME), DataType::List(item()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal(format!("{NAME} is put in only where there are groups")))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Pairs::default()))
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

/// In two halves the number needs no gap behind the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    low: u32,
    high: u32,
    group: u32,
}

impl Pair {
    fn new(group: usize, number: i64) -> Self {
        Self { low: number as u32, high: (number >> 32) as u32, group: group as u32 }
    }

    fn number(self) -> i64 {
        (u64::from(self.high) << 32 | u64::from(self.low)).cast_signed()
    }

    fn hash(self) -> u64 {
        // Both halves of a product by a large odd number: keys that are numbered in order spread as well as random ones.
        let group = u64::from(self.group).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let product = u128::from(self.number().cast_unsigned() ^ group) * 0x9e37_79b9_7f4a_7c15;
        ((product >> 64) ^ product) as u64
    }
}

/// Pairs of group and number, each told once or more often.
#[derive(Debug)]
struct Pairs {
    buckets: Vec<Vec<Pair>>,
    count: usize,
    /// At so many pairs they are made a set.
    limit: usize,
    groups: usize,
    /// Places of a bucket's pairs by their hash, from 1; kept from one bucket to the next.
    places: Vec<u32>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS], count: 0, limit: PAIRS_MIN, groups: 0, places: Vec::new() }
    }
}

impl Pairs {
    fn push(&mut self, group: usize, number: i64) {
        let pair = Pair::new(group, number);
        // The highest bits choose the bucket, those below the place in it.
        self.buckets[(pair.hash() >> (64 - BUCKETS.ilog2())) as usize].push(pair);
    }

    /// Notes that pairs were pushed for groups up to `groups`.
    fn pushed(&mut self, pairs: usize, groups: usize) -> Result<()> {
        if u32::try_from(groups).is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!("{groups} groups are more than {NAME} can count")));
        }
        self.groups = groups;
        self.count += pairs;
        if self.count > self.limit {
            self.make_set();
            self.limit = PAIRS_MIN.max(self.count * GROWTH);
        }
        Ok(())
    }

    /// Leaves each pair once.
    fn make_set(&mut self) {
        let Self { buckets, places, .. } = self;
        self.count = buckets.iter_mut().map(|bucket| leave_distinct(bucket, places)).sum();
    }

    /// How many groups `emit_to` means.
    fn first(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(first) => first,
        }
    }

    /// Makes the pairs a set and counts the numbers of each of the first groups.
    fn counts(&mut self, first: usize) -> Vec<usize> {
        self.make_set();
        let mut counts = vec![0; first];
        for pair in self.buckets.iter().flatten() {
            if let Some(count) = counts.get_mut(pair.group as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Forgets the first groups; the others move up.
    fn forget(&mut self, first: usize) {
        let old = std::mem::take(self);
        self.groups = old.groups - first;
        if self.groups > 0 {
            // Another number of the group is another hash.
            let others = old.buckets.into_iter().flatten().filter(|pair| pair.group as usize >= first);
            others.for_each(|pair| self.push(pair.group as usize - first, pair.number()));
            self.count = self.buckets.iter().map(Vec::len).sum();
        }
    }
}

/// Leaves each pair once and returns how many there are.
fn leave_distinct(pairs: &mut Vec<Pair>, places: &mut Vec<u32>) -> usize {
    let slots = (pairs.len() * 2).next_power_of_two();
    places.clear();
    places.resize(slots, 0);
    let mut kept = 0;
    for at in 0..pairs.len() {
        let pair = pairs[at];
        let mut slot = (pair.hash() << BUCKETS.ilog2() >> (64 - slots.ilog2())) as usize & (slots - 1);
        loop {
            match places[slot] {
                0 => {
                    pairs[kept] = pair;
                    kept += 1;
                    places[slot] = kept as u32;
                    break;
                }
                place if pairs[place as usize - 1] == pair => break,
                _ => slot = (slot + 1) & (slots - 1),
            }
        }
    }
    pairs.truncate(kept);
    kept
}

/// Of each row whether it counts.
fn counted<'a>(numbers: &'a Int64Array, filter: Option<&'a BooleanArray>) -> impl Fn(usize) -> bool + 'a {
    move |row| numbers.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for Pairs {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let numbers = values[0].as_primitive::<Int64Type>();
        let rows = group_indices.iter().zip(numbers.values());
        if opt_filter.is_none() && numbers.null_count() == 0 {
            rows.for_each(|(group, number)| self.push(*group, *number));
        } else {
            let counted = counted(numbers, opt_filter);
            rows.enumerate().filter(|(row, _)| counted(*row)).for_each(|(_, (group, number))| self.push(*group, *number));
        }
        self.pushed(numbers.len(), total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        let lists = values[0].as_list::<i32>();
        let numbers = lists.values().as_primitive::<Int64Type>().values();
        for (ends, group) in lists.offsets().windows(2).zip(group_indices) {
            numbers[ends[0] as usize..ends[1] as usize].iter().for_each(|number| self.push(*group, *number));
        }
        let offsets = lists.offsets();
        self.pushed((offsets[lists.len()] - offsets[0]) as usize, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let first = self.first(emit_to);
        let counts = self.counts(first);
        self.forget(first);
        Ok(Arc::new(counts.into_iter().map(|count| count as i64).collect::<Int64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let first = self.first(emit_to);
        let counts = self.counts(first);
        let sum: usize = counts.iter().sum();
        let end = |before: &mut usize, count: &usize| Some(std::mem::replace(before, *before + count));
        let mut ends: Vec<usize> = counts.iter().scan(0, end).collect();
        if i32::try_from(sum).is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!("{sum} distinct numbers are too many")));
        }
        let mut numbers = vec![0; sum];
        for pair in self.buckets.iter().flatten() {
            if let Some(end) = ends.get_mut(pair.group as usize) {
                numbers[*end] = pair.number();
                *end += 1;
            }
        }
        self.forget(first);
        let numbers = Arc::new(Int64Array::from(numbers));
        Ok(vec![Arc::new(ListArray::try_new(item(), OffsetBuffer::from_lengths(counts), numbers, None)?)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let numbers = values[0].as_primitive::<Int64Type>();
        let counted = counted(numbers, opt_filter);
        let lengths = OffsetBuffer::from_lengths((0..numbers.len()).map(|row| usize::from(counted(row))));
        let kept = (0..numbers.len()).filter(|row| counted(*row)).map(|row| numbers.value(row));
        let kept = Arc::new(Int64Array::from_iter_values(kept));
        Ok(vec![Arc::new(ListArray::try_new(item(), lengths, kept, None)?)])
    }

    fn size(&self) -> usize {
        let pairs: usize = self.buckets.iter().map(Vec::capacity).sum();
        pairs * size_of::<Pair>() + self.places.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Row = (usize, Option<i64>, Option<bool>);

    fn row() -> impl Strategy<Value = Row> {
        let number = prop_oneof![Just(None), (0..40_i64).prop_map(Some), any::<i64>().prop_map(Some)];
        (0..5_usize, number, prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)])
    }

    fn columns(rows: &[Row]) -> (Vec<usize>, Vec<ArrayRef>, BooleanArray) {
        let numbers: Int64Array = rows.iter().map(|(_, number, _)| *number).collect();
        let groups = rows.iter().map(|(group, ..)| *group).collect();
        (groups, vec![Arc::new(numbers)], rows.iter().map(|(.., counts)| *counts).collect())
    }

    fn expected(rows: &[Row], filtered: bool) -> Vec<i64> {
        let mut sets = vec![BTreeSet::new(); 5];
        for (group, number, counts) in rows {
            if !filtered || *counts == Some(true) {
                sets[*group].extend(*number);
            }
        }
        sets.into_iter().map(|set| set.len() as i64).collect()
    }

    fn counts(pairs: &mut Pairs, emit_to: EmitTo) -> Vec<i64> {
        pairs.evaluate(emit_to).unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        /// However rows reach it, in one part or in several, the counts are those of sets.
        #[test]
        fn numbers_are_counted_once(
            rows in prop::collection::vec(row(), 0..300), cut in 0..300_usize, filtered: bool, limit in 1..200_usize, first in 1..5_usize,
        ) {
            let expect = expected(&rows, filtered);
            let mut parts = Vec::new();
            for (number, part) in rows.chunks(cut.max(1)).enumerate() {
                let (groups, values, filter) = columns(part);
                let filter = filtered.then_some(&filter);
                let mut pairs = Pairs { limit, ..Pairs::default() };
                if number % 2 == 0 {
                    pairs.update_batch(&values, &groups, filter, 5).unwrap();
                    let early = pairs.state(EmitTo::First(first)).unwrap();
                    parts.push((early, (0..first).collect::<Vec<_>>()));
                    parts.push((pairs.state(EmitTo::All).unwrap(), (first..5).collect()));
                } else {
                    parts.push((pairs.convert_to_state(&values, filter).unwrap(), groups));
                }
            }
            let mut merged = Pairs { limit, ..Pairs::default() };
            merged.pushed(0, 5).unwrap();
            for (state, groups) in &parts {
                merged.merge_batch(state, groups, 5).unwrap();
            }
            let mut found = counts(&mut merged, EmitTo::First(first));
            found.extend(counts(&mut merged, EmitTo::All));
            prop_assert_eq!(found, expect);
        }
    }

    #[test]
    fn memory_is_that_of_the_distinct_ones() {
        let mut pairs = Pairs::default();
        let numbers: ArrayRef = Arc::new((0..1_000).collect::<Int64Array>());
        let groups = vec![0; 1_000];
        for _ in 0..10_000 {
            pairs.update_batch(std::slice::from_ref(&numbers), &groups, None, 1).unwrap();
        }
        assert!(pairs.size() < 2 * 12 * PAIRS_MIN, "{}", pairs.size());
        assert_eq!(counts(&mut pairs, EmitTo::All), [1_000]);
    }
}
