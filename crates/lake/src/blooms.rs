//! Leaves out row groups that cannot hold a contact before a scan begins.
//!
//! Each row group has a Bloom filter of its contacts. DataFusion reads such a filter whole, some hundred kilobytes, to look at
//! the 32 bytes of it that one contact has. Here only these are read.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use object_store::{ObjectMeta, ObjectStore};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use xxhash_rust::xxh64::xxh64;

/// The column that has filters.
pub(crate) const COLUMN: &str = "contact_key";
/// Bytes of a block: all that a filter knows of one value.
const BLOCK_BYTES: u64 = 32;
/// Of more contacts than this, nearly every row group has one.
const CONTACTS_MAX: usize = 64;

/// The only contacts that `filters` let through; `None` where they let through others, too, or very many.
pub(crate) fn contacts(filters: &[Expr]) -> Option<Vec<i64>> {
    let sets = filters.iter().flat_map(split_conjunction).filter_map(contacts_of);
    let smallest = sets.min_by_key(BTreeSet::len)?;
    (smallest.len() <= CONTACTS_MAX).then(|| smallest.into_iter().collect())
}

fn contacts_of(filter: &Expr) -> Option<BTreeSet<i64>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(contacts_of(left)?.into_iter().chain(contacts_of(right)?).collect())
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), value) | (value, Expr::Column(column)) if column.name == COLUMN => {
                Some(BTreeSet::from([number(value)?]))
            }
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => match expr.as_ref() {
            Expr::Column(column) if column.name == COLUMN => list.iter().map(number).collect(),
            _ => None,
        },
        _ => None,
    }
}

fn number(value: &Expr) -> Option<i64> {
    match value {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        _ => None,
    }
}

/// Which row groups of a file to read for these contacts: `None` when none can hold one of them.
pub(crate) async fn may_hold(
    store: &Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    file: &ObjectMeta,
    contacts: &[i64],
) -> Result<Option<ParquetAccessPlan>> {
    let footer = footer(store, footers, file).await?;
    let mut plan = ParquetAccessPlan::new_all(footer.num_row_groups());
    let filters: Vec<(usize, Filter)> = filters(&footer);
    let blocks: Vec<Range<u64>> =
        filters.iter().flat_map(|(_, filter)| contacts.iter().map(|contact| filter.block_of(*contact))).collect();
    let blocks = store.get_ranges(&file.location, &blocks).await?;
    for ((row_group, _), blocks) in filters.iter().zip(blocks.chunks(contacts.len())) {
        // A filter of one block asks that block, whatever the value.
        let found = contacts.iter().zip(blocks).any(|(contact, block)| Sbbf::new(block).check(contact));
        if !found {
            plan.skip(*row_group);
        }
    }
    Ok((!plan.row_group_indexes().is_empty()).then_some(plan))
}

/// What a file says of its row groups and pages, from the cache where it is there.
pub(crate) async fn footer(
    store: &Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    file: &ObjectMeta,
) -> Result<Arc<ParquetMetaData>> {
    DFParquetMetadata::new(store.as_ref(), file).with_file_metadata_cache(Some(footers)).fetch_metadata().await
}

/// Where the blocks of one filter lie.
struct Filter {
    first: u64,
    blocks: u64,
}

impl Filter {
    /// A filter stands behind a header that is shorter than a block; the file says how long both are together.
    fn of(column: &ColumnChunkMetaData) -> Option<Self> {
        let offset = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let length = u64::try_from(column.bloom_filter_length()?).ok()?;
        Some(Self { first: offset + length % BLOCK_BYTES, blocks: length / BLOCK_BYTES }).filter(|filter| filter.blocks > 0)
    }

    /// The block that knows of `contact`: the upper half of its hash as a share of all blocks, as Parquet defines it.
    fn block_of(&self, contact: i64) -> Range<u64> {
        let block = ((xxh64(&contact.to_le_bytes(), 0) >> 32) * self.blocks) >> 32;
        let from = self.first + block * BLOCK_BYTES;
        from..from + BLOCK_BYTES
    }
}

/// The filters of a file by row group, of those that have one.
fn filters(footer: &ParquetMetaData) -> Vec<(usize, Filter)> {
    let column = |group: usize| footer.row_group(group).columns().iter().find(|column| column.column_path().string() == COLUMN);
    (0..footer.num_row_groups()).filter_map(|group| Some((group, Filter::of(column(group)?)?))).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::cache::cache_manager::CacheManager;
    use datafusion::prelude::{col, lit};
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, path::Path};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    use parquet::schema::types::ColumnPath;

    use super::*;

    #[test]
    fn filters_name_their_contacts() {
        let check = |filters: &[Expr], expect: Option<&[i64]>| assert_eq!(contacts(filters).as_deref(), expect, "{filters:?}");
        let key = || col(COLUMN);
        check(&[key().eq(lit(5_i64))], Some(&[5]));
        check(&[lit(5_i64).eq(key())], Some(&[5]));
        check(&[col("market").eq(lit("DE")).and(key().eq(lit(5_i64)))], Some(&[5]));
        check(&[key().eq(lit(5_i64)).or(key().eq(lit(3_i64)))], Some(&[3, 5]));
        check(&[key().in_list(vec![lit(1_i64), lit(2_i64), lit(3_i64), lit(4_i64)], false), key().eq(lit(2_i64))], Some(&[2]));
        check(&[key().in_list((0..100_i64).map(lit).collect(), false)], None);
        check(&[key().in_list(vec![lit(1_i64)], true)], None);
        check(&[key().eq(lit(5_i64)).or(col("market").eq(lit("DE")))], None);
        check(&[key().gt(lit(5_i64))], None);
        check(&[key().eq(col("other"))], None);
        check(&[], None);
    }

    /// Contacts 0, 10, 20 and so on, a thousand a row group.
    async fn file(groups: usize, filtered: bool) -> (Arc<dyn ObjectStore>, ObjectMeta) {
        let schema = Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Int64, false)]));
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(1_000))
            .set_column_bloom_filter_enabled(ColumnPath::from(COLUMN), filtered)
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties)).unwrap();
        let contacts = Int64Array::from_iter_values((0..groups as i64 * 1_000).map(|number| number * 10));
        writer.write(&RecordBatch::try_new(schema, vec![Arc::new(contacts)]).unwrap()).unwrap();
        writer.close().unwrap();
        let (store, path) = (InMemory::new(), Path::from("file"));
        store.put(&path, bytes.into()).await.unwrap();
        let meta = store.head(&path).await.unwrap();
        (Arc::new(store), meta)
    }

    async fn groups(file: &(Arc<dyn ObjectStore>, ObjectMeta), contacts: &[i64]) -> Vec<usize> {
        let caches = CacheManager::try_new(&Default::default()).unwrap();
        let plan = may_hold(&file.0, caches.get_file_metadata_cache(), &file.1, contacts).await.unwrap();
        plan.map(|plan| plan.row_group_indexes()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_contact_is_never_missed_and_strangers_are_mostly_left_out() {
        let file = file(8, true).await;
        for contact in (0..8_000).step_by(7) {
            let found = groups(&file, &[contact * 10]).await;
            assert!(found.contains(&(contact as usize / 1_000)), "{contact} {found:?}");
        }
        let mut read_in_vain = 0;
        for contact in 0..200 {
            read_in_vain += groups(&file, &[contact * 10 + 1]).await.len();
        }
        assert!(read_in_vain < 200 * 8 / 5, "{read_in_vain}");
        let two = groups(&file, &[10, 79_990, 5]).await;
        assert!(two.contains(&0) && two.contains(&7), "{two:?}");
    }

    #[tokio::test]
    async fn without_a_filter_everything_is_read() {
        assert_eq!(groups(&file(3, false).await, &[1]).await, [0, 1, 2]);
    }
}
