//! What a query finds by its name: the tables of one snapshot, the views over them, and what the lake says of itself.
//!
//! Names are resolved when a query uses them. A view is planned then and not before, so that a question about one table
//! costs nothing for the views beside it; and what was resolved tells which versions a query read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{MemTable, TableType, ViewTable};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::optimizer::Analyzer;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::prelude::SessionContext;

use crate::schema::{COMMENT, timestamp_type};
use crate::slow::SlowLog;
use crate::tables::{Snapshot, columns_of};
use crate::views::{View, view, views};
use crate::{ColumnInfo, TableInfo, TableKind};

/// The table of columns.
const COLUMNS: &str = "columns";
/// The table of slow queries.
const SLOW_QUERIES: &str = "slow_queries";

/// Gives the state of the session it belongs to, as long as there is one.
type StateOf = Box<dyn Fn() -> Option<SessionState> + Send + Sync>;

/// The names of one session.
pub(crate) struct LakeSchema {
    snapshot: Snapshot,
    slow: Arc<SlowLog>,
    /// Views are planned by the session they are asked in.
    state: OnceLock<StateOf>,
    /// The tables that were asked for.
    read: Mutex<BTreeSet<&'static str>>,
}

impl std::fmt::Debug for LakeSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeSchema").finish_non_exhaustive()
    }
}

impl LakeSchema {
    pub(crate) fn new(snapshot: Snapshot, slow: Arc<SlowLog>) -> Self {
        Self { snapshot, slow, state: OnceLock::new(), read: Mutex::default() }
    }

    /// Must be called once, by the session that this is registered in.
    pub(crate) fn belongs_to(&self, context: &SessionContext) {
        // The session owns this, so that owning it in turn would keep both for ever.
        let state = context.state_weak_ref();
        let state = move || state.upgrade().map(|state| state.read().clone());
        assert!(self.state.set(Box::new(state)).is_ok(), "a schema belongs to one session");
    }

    /// The versions of the tables that were asked for so far.
    pub(crate) fn versions_read(&self) -> BTreeMap<String, i64> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.iter().map(|name| ((*name).to_owned(), self.snapshot.0[name].provider.version())).collect()
    }

    /// Tables and views with their columns, each by name.
    pub(crate) async fn describe(&self) -> Result<Vec<TableInfo>> {
        let mut described = self.snapshot.describe();
        for (name, view) in views() {
            let planned = self.plan(view).await?;
            described.push(view_info(name, &view.comment, self.columns_of_view(view, &planned.schema())));
        }
        for (name, comment, schema) in [columns_spec(), slow_queries_spec()] {
            described.push(view_info(name, comment, columns_of(&schema)));
        }
        described.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(described)
    }

    fn columns_of_view(&self, view: &View, schema: &SchemaRef) -> Vec<ColumnInfo> {
        let like = view.like.as_deref().and_then(|like| self.snapshot.0.get(like));
        let mut columns = columns_of(schema);
        for column in &mut columns {
            let like = || like.and_then(|table| table.comment_of(&column.name));
            column.comment = view.columns.get(&column.name).map(String::as_str).or_else(like).unwrap_or_default().to_owned();
        }
        columns
    }

    async fn plan(&self, view: &View) -> Result<ViewTable> {
        let state = self.state.get().and_then(|state| state());
        let state = state.ok_or_else(|| DataFusionError::Internal("a view was asked for without a session".to_owned()))?;
        let plan = state.create_logical_plan(view.sql).await?;
        // A view must know the types that its columns will have when the parts of a union agreed on one.
        let coercion = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
        let plan = coercion.execute_and_check(plan, state.config_options(), |_, _| {})?;
        Ok(ViewTable::new(plan, Some(view.sql.to_owned())))
    }

    async fn columns(&self) -> Result<RecordBatch> {
        let described = self.describe().await?;
        let rows: Vec<(&str, &ColumnInfo)> =
            described.iter().flat_map(|table| table.columns.iter().map(|column| (table.name.as_str(), column))).collect();
        let text =
            |of: fn(&(&str, &ColumnInfo)) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef;
        let columns = vec![
            text(|(table, _)| (*table).to_owned()),
            text(|(_, column)| column.name.clone()),
            text(|(_, column)| column.data_type.clone()),
            text(|(_, column)| column.comment.clone()),
        ];
        Ok(RecordBatch::try_new(columns_spec().2, columns)?)
    }

    fn slow_queries(&self) -> Result<RecordBatch> {
        let queries = self.slow.queries();
        let started = queries.iter().map(|query| query.started_at.map(|at| at.as_microsecond()));
        let text =
            |of: fn(&crate::slow::SlowQuery) -> &str| Arc::new(StringArray::from_iter_values(queries.iter().map(of))) as ArrayRef;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(started.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            text(|query| query.group.as_str()),
            text(|query| query.outcome.as_str()),
            Arc::new(Float64Array::from_iter_values(queries.iter().map(|query| query.waited.as_secs_f64()))),
            Arc::new(Float64Array::from_iter_values(queries.iter().map(|query| query.ran.as_secs_f64()))),
            Arc::new(Int64Array::from_iter_values(queries.iter().map(|query| i64::try_from(query.rows).unwrap_or(i64::MAX)))),
            text(|query| &query.text),
        ];
        Ok(RecordBatch::try_new(slow_queries_spec().2, columns)?)
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        let names = self.snapshot.0.keys().chain(views().keys()).chain([&COLUMNS, &SLOW_QUERIES]);
        names.map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((name, table)) = self.snapshot.0.get_key_value(name) {
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
            return Ok(Some(Arc::new(table.provider.clone())));
        }
        if let Some(view) = view(name) {
            return Ok(Some(Arc::new(self.plan(view).await?)));
        }
        let batch = match name {
            COLUMNS => self.columns().await?,
            SLOW_QUERIES => self.slow_queries()?,
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        let table = self.snapshot.0.contains_key(name).then_some(TableType::Base);
        Ok(table.or_else(|| self.table_exist(name).then_some(TableType::View)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.0.contains_key(name) || view(name).is_some() || [COLUMNS, SLOW_QUERIES].contains(&name)
    }
}

fn view_info(name: &str, comment: &str, columns: Vec<ColumnInfo>) -> TableInfo {
    let (name, comment) = (name.to_owned(), comment.to_owned());
    TableInfo { name, kind: TableKind::View, version: None, rows: None, comment, columns }
}

/// Name, what a row is, and columns.
type Spec = (&'static str, &'static str, SchemaRef);

fn columns_spec() -> Spec {
    let text = |name, comment| field(name, DataType::Utf8, false, comment);
    let fields = vec![
        text("table_name", "The table or view."),
        text("column_name", "Its column."),
        text("type", "The column's type."),
        text("comment", "What the column holds."),
    ];
    (COLUMNS, "One row per column of each table and view, with what it holds.", Arc::new(Schema::new(fields)))
}

fn slow_queries_spec() -> Spec {
    let fields = vec![
        field("started_at", timestamp_type(), true, "When it was asked; null for the lake's own questions."),
        field("resource_group", DataType::Utf8, false, "Whose places it took: analysts, readouts or internal."),
        field("outcome", DataType::Utf8, false, "done, failed, stopped (nobody listened any more), too long or crowded out."),
        field("waited_seconds", DataType::Float64, false, "How long it waited for a place."),
        field("seconds", DataType::Float64, false, "How long it ran, until its last row was taken."),
        field("rows", DataType::Int64, false, "How many rows it had given by then."),
        field("query", DataType::Utf8, false, "Its text, cut where it is very long."),
    ];
    let comment = "One row per query of this server that took long, oldest first; the newest are kept, until the server ends.";
    (SLOW_QUERIES, comment, Arc::new(Schema::new(fields)))
}

fn field(name: &str, data_type: DataType, nullable: bool, comment: &str) -> Field {
    Field::new(name, data_type, nullable).with_metadata(HashMap::from([(COMMENT.to_owned(), comment.to_owned())]))
}
