//! A file as batches of the columns that are asked for.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::prelude::{Column, Expr, SessionConfig, SessionContext};
use futures::StreamExt;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};

use crate::LakeError;
use crate::files::Kind;

/// Parts of a Parquet file are read side by side. A part is so many rows of neighbouring row groups, or one larger row
/// group. The machine's threads have no say in this, because the last digits of results depend on the cut.
const PART_ROWS: u64 = 500_000;
/// Many files have one row group only. Files of fewer groups than this have them cut in up to as many parts, for which a
/// group is read as often; so more would not be faster.
const CUTS_MAX: u64 = 4;
/// Memory for summing rows to clusters; beyond it, sums go to the system's folder for temporary files.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Rows of a batch: fewer batches have less overhead, and this many still fit into the second-level cache by column.
const BATCH_ROWS: usize = 8192;
/// Batches of a CSV that may wait to be counted.
const BATCHES_AHEAD_MAX: usize = 4;

/// An open file.
pub(super) struct Source {
    kind: Kind,
    path: String,
    columns: Vec<String>,
    /// For Parquet.
    parquet: Option<Parquet>,
    runtime: Arc<RuntimeEnv>,
}

struct Parquet {
    schema: SchemaRef,
    rows: u64,
    /// Rows of each row group.
    groups: Vec<u64>,
    bytes: u64,
}

/// Neighbouring rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub rows_before: u64,
    /// To the end where it is not known how many there are.
    rows: Option<u64>,
}

impl Source {
    pub(super) async fn open(path: &Path) -> Result<Self, LakeError> {
        let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
        let (kind, whole) = Kind::find(path)?;
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES_MAX))).build_arc();
        let runtime = runtime.map_err(LakeError::internal("prepare to read files"))?;
        let mut source = Self { kind, path: whole, columns: Vec::new(), parquet: None, runtime };
        if kind == Kind::Parquet {
            let parquet = Parquet::open(path).map_err(|error| bad(error.to_string()))?;
            source.columns = parquet.schema.fields().iter().map(|field| field.name().clone()).collect();
            source.parquet = Some(parquet);
        } else {
            let rows = kind.open(&source.session(), &source.path).await.map_err(|error| bad(crate::files::why(&error)))?;
            let name = |field: &Arc<Field>| field.name().trim_start_matches('\u{feff}').to_owned();
            source.columns = rows.schema().fields().iter().map(name).collect();
        }
        Ok(source)
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The file in parts, in order.
    pub(super) fn parts(&self) -> Vec<Part> {
        match &self.parquet {
            Some(parquet) => parts_of(&parquet.groups),
            None => vec![self.whole()],
        }
    }

    /// The whole file as one part.
    pub(super) fn whole(&self) -> Part {
        Part { rows_before: 0, rows: self.parquet.as_ref().map(|parquet| parquet.rows) }
    }

    /// A session that keeps the order of rows.
    pub(super) fn session(&self) -> SessionContext {
        SessionContext::new_with_config_rt(config(), self.runtime.clone())
    }

    /// The columns of these positions of a part, in its order.
    pub(super) async fn read(&self, part: Part, columns: &[usize]) -> Result<SendableRecordBatchStream, DataFusionError> {
        if let (Some(parquet), Some(rows)) = (&self.parquet, part.rows) {
            return self.read_parquet(parquet, part.rows_before, rows, columns);
        }
        let rows = self.kind.open(&self.session(), &self.path).await?;
        let name = |column: &usize| rows.schema().field(*column).name().clone();
        let names: Vec<String> = columns.iter().map(name).collect();
        let columns = names.into_iter().map(|name| Expr::Column(Column::from_name(name)));
        let mut batches = rows.select(columns.collect::<Vec<_>>())?.execute_stream().await?;
        // The file is taken apart in a task of its own while what it holds is counted.
        let mut ahead = RecordBatchReceiverStream::builder(batches.schema(), BATCHES_AHEAD_MAX);
        let sender = ahead.tx();
        ahead.spawn(async move {
            while let Some(batch) = batches.next().await {
                // Nobody listens any more when counting failed.
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(ahead.build())
    }

    fn read_parquet(
        &self,
        parquet: &Parquet,
        before: u64,
        rows: u64,
        columns: &[usize],
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let after = parquet.rows - before - rows;
        let rows = [RowSelector::skip(before as usize), RowSelector::select(rows as usize), RowSelector::skip(after as usize)];
        let rows = ParquetRowSelection::new(RowSelection::from(rows.to_vec()));
        let location = datafusion::object_store::path::Path::from_absolute_path(&self.path)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut file = PartitionedFile::new(String::new(), parquet.bytes).with_extension(rows);
        file.object_meta.location = location;
        let store = ObjectStoreUrl::local_filesystem();
        // The end of the file, which describes it, is read and parsed once for all parts.
        let readers = CachedParquetFileReaderFactory::new(
            self.runtime.object_store(&store)?,
            self.runtime.cache_manager.get_file_metadata_cache(),
        );
        let source = ParquetSource::new(parquet.schema.clone()).with_parquet_file_reader_factory(Arc::new(readers));
        let scan = FileScanConfigBuilder::new(store, Arc::new(source))
            .with_file_group(FileGroup::new(vec![file]))
            .with_projection_indices(Some(columns.to_vec()))?
            .build();
        let context = TaskContext::default().with_session_config(config()).with_runtime(self.runtime.clone());
        DataSourceExec::from_data_source(scan).execute(0, Arc::new(context))
    }
}

impl Parquet {
    fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let groups = metadata.metadata().row_groups().iter().map(|group| u64::try_from(group.num_rows()));
        let groups = groups.collect::<Result<Vec<u64>, _>>()?;
        let fields = metadata.schema().fields().iter().map(|field| {
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8);
            // Text as views: equal short texts are equal integers.
            if is_text { Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)) } else { field.clone() }
        });
        Ok(Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), rows: groups.iter().sum(), groups, bytes })
    }
}

/// Neighbouring row groups together, or a large one in pieces.
fn parts_of(groups: &[u64]) -> Vec<Part> {
    let cuts_max = if (groups.len() as u64) < CUTS_MAX { CUTS_MAX } else { 1 };
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut before = 0;
    for rows in groups {
        let piece = rows.div_ceil((rows / PART_ROWS).clamp(1, cuts_max)).max(1);
        let end = before + rows;
        while before < end {
            let rows = piece.min(end - before);
            match parts.last_mut() {
                Some((_, together)) if *together + rows <= PART_ROWS => *together += rows,
                _ => parts.push((before, rows)),
            }
            before += rows;
        }
    }
    parts.into_iter().map(|(rows_before, rows)| Part { rows_before, rows: Some(rows) }).collect()
}

fn config() -> SessionConfig {
    SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_row_groups_unless_these_are_few_and_large() {
        let check = |groups: &[u64], expect: &[(u64, u64)]| {
            let parts: Vec<_> = parts_of(groups).iter().map(|part| (part.rows_before, part.rows.unwrap())).collect();
            assert_eq!(parts, expect);
        };
        check(&[], &[]);
        check(&[0, 5, 0, 7], &[(0, 12)]);
        check(&[999_999], &[(0, 999_999)]);
        check(&[1_000_001], &[(0, 500_001), (500_001, 500_000)]);
        check(&[1_048_576], &[(0, 524_288), (524_288, 524_288)]);
        check(&[100_000_000], &[(0, 25_000_000), (25_000_000, 25_000_000), (50_000_000, 25_000_000), (75_000_000, 25_000_000)]);
        check(&[400_000; 3], &[(0, 400_000), (400_000, 400_000), (800_000, 400_000)]);
        check(&[122_880; 9], &[(0, 491_520), (491_520, 491_520), (983_040, 122_880)]);
        check(&[2_000_000; 4], &[(0, 2_000_000), (2_000_000, 2_000_000), (4_000_000, 2_000_000), (6_000_000, 2_000_000)]);
    }
}
