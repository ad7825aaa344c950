//! The SQLite file: opening it, bringing its schema up to date, and who may write.
//!
//! One connection writes, behind a lock that tasks wait for in turn (what a person waits for comes before campaigns), and each write transaction begins `IMMEDIATE`, so that
//! within a process no transaction ever finds the file busy; another process's transaction is waited for. A few connections
//! read beside it (write-ahead log). There is no timer in any of this, so it works under a paused or simulated clock.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, MutexGuard};
use vocabulary::{Clock, Ids, Timestamp};

use crate::ControlError;
use crate::keys::Authentications;
use crate::known::Known;
use crate::restored::read_restored;
use crate::vault::{Vault, unwrap_root, wrap_root};
use crate::watcher::{self, Watcher};

/// How long a transaction waits for another process's. Their longest, a batch of contacts, takes a few seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections that read. Reads are short, so a few keep the cores busy.
const READERS: usize = 3;
/// Pages of 4 KiB in the write-ahead log before they are copied into the file: larger than the default of 1,000, because the
/// ledger's random keys touch many pages and each is copied once for many commits.
const WAL_PAGES: &str = "8000";
/// Kibibytes of pages the writer keeps in memory, negative as SQLite wants them.
const WRITER_CACHE: &str = "-65536";
/// How often setting up the file is tried again when another process sets it up at the same moment.
const OPEN_ATTEMPTS: usize = 100;
/// The wait between those attempts.
const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// The setting that holds the root secret, sealed under the master key.
const ROOT: &str = "vault_root";
/// The setting of files made before there was a root secret: it tells whether the master key is the right one, which is then
/// the root secret too.
const MASTER_KEY_CHECK: &str = "master_key_check";

/// The steps of the schema. A step that was released is never edited; a change is a new step at the end.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_start.sql")),
    (2, include_str!("../migrations/0002_erasures.sql")),
    (3, include_str!("../migrations/0003_profiles.sql")),
    (4, include_str!("../migrations/0004_segments.sql")),
    (5, include_str!("../migrations/0005_own_days.sql")),
    (6, include_str!("../migrations/0006_permission.sql")),
    (7, include_str!("../migrations/0007_triggers.sql")),
    (8, include_str!("../migrations/0008_forms.sql")),
    (9, include_str!("../migrations/0009_attributes.sql")),
    (10, include_str!("../migrations/0010_steps.sql")),
    (11, include_str!("../migrations/0011_outbox.sql")),
    (12, include_str!("../migrations/0012_cancelled.sql")),
    (13, include_str!("../migrations/0013_coupons.sql")),
    (14, include_str!("../migrations/0014_products.sql")),
    (15, include_str!("../migrations/0015_receipts.sql")),
    (17, include_str!("../migrations/0017_warm_ups.sql")),
    (18, include_str!("../migrations/0018_balanced.sql")),
    (19, include_str!("../migrations/0019_recommendations.sql")),
    (20, include_str!("../migrations/0020_looks.sql")),
    (21, include_str!("../migrations/0021_decisions.sql")),
    (22, include_str!("../migrations/0022_lessons.sql")),
    (23, include_str!("../migrations/0023_proposals.sql")),
];

/// What control needs to open.
#[derive(Clone)]
pub struct ControlConfig {
    /// The SQLite file; made where absent, with its folder.
    pub path: PathBuf,
    /// Opens the file's root secret, which seals addresses and indexes own ids. Without it no address can be read back.
    pub master_key: [u8; 32],
    /// The root secret of a file that is new; drawn from `ids` where absent. It must not follow from the master key.
    pub root: Option<[u8; 32]>,
    /// Randomness for keys, tokens and nonces.
    pub ids: Arc<dyn Ids>,
    /// The time that is stored.
    pub clock: Arc<dyn Clock>,
}

/// The open control file. Each noun adds its methods in a file of its own.
pub struct Control {
    writer: Mutex<SqliteConnection>,
    /// Held by whoever waits for the writer or has it, less those who do not wait for others ([`Control::next_writer`]).
    turn: Mutex<()>,
    readers: Vec<Mutex<SqliteConnection>>,
    reader_next: AtomicUsize,
    clock: Arc<dyn Clock>,
    pub(crate) restored_at: Option<Timestamp>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) vault: Vault,
    pub(crate) authentications: Authentications,
    pub(crate) known: Known,
    pub(crate) watcher: Watcher,
}

impl Control {
    /// Opens the file, made where absent, and brings its schema up to date. Needs a tokio runtime: a task looks for
    /// changes by other processes until the `Control` is dropped.
    ///
    /// # Errors
    /// [`ControlError::Open`], [`ControlError::WrongMasterKey`], [`ControlError::SchemaTooNew`] or
    /// [`ControlError::Migrate`].
    pub async fn open(config: ControlConfig) -> Result<Arc<Self>, ControlError> {
        let ControlConfig { path, master_key, root, ids, clock } = config;
        make_private_file(&path).map_err(|source| ControlError::Open { path: path.clone(), source })?;
        let mut writer = set_up_patiently(&path, clock.now()).await?;
        let root = read_root(&mut writer, &master_key, || root.unwrap_or_else(|| drawn(ids.as_ref()))).await?;
        let vault = Vault::new(&root.ok_or(ControlError::WrongMasterKey { path: path.clone() })?);
        let restored_at = read_restored(&mut writer).await?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let reader = options(&path).pragma("query_only", "1").row_buffer_size(1000).connect().await;
            readers.push(Mutex::new(reader.map_err(ControlError::query("opening the control file"))?));
        }
        let control = Arc::new(Self {
            writer: Mutex::new(writer),
            turn: Mutex::new(()),
            readers,
            reader_next: AtomicUsize::new(0),
            clock,
            restored_at,
            ids,
            known: Known::new(&vault),
            vault,
            authentications: Authentications::default(),
            watcher: Watcher::default(),
        });
        control.index_addresses().await?;
        watcher::start(&control);
        Ok(control)
    }

    /// The time to store.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The one connection that writes, when it is this task's turn. What is published after a commit is published before
    /// the guard is dropped, so that it is published in the order of the commits.
    pub(crate) async fn writer(&self) -> Writer<'_> {
        let turn = self.turn.lock().await;
        Writer { connection: self.writer.lock().await, _turn: Some(turn) }
    }

    /// The same for what a person waits for, such as a code: next after whoever writes now, however many campaigns wait. Of those who
    /// wait here and the first of the others each has its turn, so that neither keeps the other out.
    pub(crate) async fn next_writer(&self) -> Writer<'_> {
        Writer { connection: self.writer.lock().await, _turn: None }
    }

    /// A connection for reading: a free one, else the next in turn.
    pub(crate) async fn reader(&self) -> MutexGuard<'_, SqliteConnection> {
        let free = self.readers.iter().find_map(|reader| reader.try_lock().ok());
        match free {
            Some(reader) => reader,
            None => self.readers[self.reader_next.fetch_add(1, Ordering::Relaxed) % READERS].lock().await,
        }
    }
}

/// The one connection that writes, as long as this is kept.
pub(crate) struct Writer<'a> {
    // The connection is given back first: whoever comes next in turn finds it free.
    connection: MutexGuard<'a, SqliteConnection>,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Deref for Writer<'_> {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// Begins a write transaction. It takes the file's write lock at once, so that it cannot fail for being late.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, ControlError> {
    connection.begin_with("BEGIN IMMEDIATE").await.map_err(ControlError::query("beginning a transaction"))
}

/// Commits: when this returns, what was written is on disk.
pub(crate) async fn commit(transaction: Transaction<'_, Sqlite>) -> Result<(), ControlError> {
    transaction.commit().await.map_err(ControlError::query("committing a transaction"))
}

/// Moves the change number of `noun` and gives the new one.
pub(crate) async fn bump(connection: &mut SqliteConnection, noun: &'static str) -> Result<i64, ControlError> {
    sqlx::query_scalar("UPDATE changes SET number = number + 1 WHERE noun = $1 RETURNING number")
        .bind(noun)
        .fetch_one(connection)
        .await
        .map_err(ControlError::query("counting a change"))
}

/// Reads a stored time.
pub(crate) fn time(micros: i64) -> Result<Timestamp, ControlError> {
    Timestamp::from_microsecond(micros).map_err(|_| stored("a time", micros.to_string()))
}

/// Reads a stored count.
pub(crate) fn count(value: i64) -> Result<u64, ControlError> {
    u64::try_from(value).map_err(|_| stored("a count", value.to_string()))
}

/// Stores a count. Counts are rows of files and cannot reach 2^63.
pub(crate) fn count_to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads a stored word or id with its own parser.
pub(crate) fn parsed<T, E>(what: &'static str, text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, ControlError> {
    parse(text).map_err(|_| stored(what, text.to_owned()))
}

/// The error for something stored that this code does not understand.
pub(crate) fn stored(what: &'static str, value: String) -> ControlError {
    ControlError::Stored { what, value }
}

/// Makes the folder and the file, the file for the owner's eyes only: it holds hashes of secrets and the sealed vault.
fn make_private_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        // What is deleted is overwritten: an erasure leaves nothing to be found in free pages.
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
}

/// Opens the writer and brings the schema up to date. Changing a fresh file to a write-ahead log does not wait for another
/// process that does the same, so this is tried again for a while.
async fn set_up_patiently(path: &Path, now: Timestamp) -> Result<SqliteConnection, ControlError> {
    for _ in 1..OPEN_ATTEMPTS {
        match set_up(path, now).await {
            Err(ControlError::Query { source, .. } | ControlError::Migrate { source, .. }) if is_busy(&source) => {
                tokio::time::sleep(OPEN_PAUSE).await;
            }
            result => return result,
        }
    }
    set_up(path, now).await
}

fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: &str = "5";
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == SQLITE_BUSY)
}

async fn set_up(path: &Path, now: Timestamp) -> Result<SqliteConnection, ControlError> {
    let options = options(path).pragma("wal_autocheckpoint", WAL_PAGES).pragma("cache_size", WRITER_CACHE);
    let mut connection = options.connect().await.map_err(ControlError::query("opening the control file"))?;
    migrate(&mut connection, MIGRATIONS, now).await?;
    Ok(connection)
}

/// Applies the steps the file does not have yet, all in one transaction, so that a crash leaves the old schema whole.
async fn migrate(connection: &mut SqliteConnection, steps: &'static [(i64, &str)], now: Timestamp) -> Result<(), ControlError> {
    let mut transaction = begin(connection).await?;
    let reading = "reading the schema version";
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)")
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query(reading))?;
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM schema_versions")
        .fetch_one(&mut *transaction)
        .await
        .map_err(ControlError::query(reading))?;
    let known = steps.last().map_or(0, |(version, _)| *version);
    if found > known {
        return Err(ControlError::SchemaTooNew { found, known });
    }
    for &(version, sql) in steps.iter().filter(|(version, _)| *version > found) {
        let failed = |source| ControlError::Migrate { version, source };
        sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("INSERT INTO schema_versions (version, applied_at) VALUES ($1, $2)")
            .bind(version)
            .bind(now.as_microsecond())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    commit(transaction).await
}

/// The root secret, made where the file is new; `None` where the master key is not the file's.
async fn read_root(
    connection: &mut SqliteConnection,
    master_key: &[u8; 32],
    new_root: impl FnOnce() -> [u8; 32],
) -> Result<Option<[u8; 32]>, ControlError> {
    let mut transaction = begin(connection).await?;
    if let Some(sealed) = setting(&mut transaction, ROOT).await? {
        return Ok(unwrap_root(master_key, &sealed));
    }
    let root = match setting(&mut transaction, MASTER_KEY_CHECK).await? {
        Some(check) if check == Vault::new(master_key).check() => *master_key,
        Some(_) => return Ok(None),
        None => new_root(),
    };
    put_setting(&mut transaction, ROOT, &wrap_root(master_key, &root)).await?;
    commit(transaction).await?;
    Ok(Some(root))
}

fn drawn(ids: &dyn Ids) -> [u8; 32] {
    let mut root = [0; 32];
    ids.fill(&mut root);
    root
}

/// Seals the root secret of a control file under a new master key. Who has the file open goes on; the next to open it needs
/// the new key.
///
/// # Errors
/// [`ControlError::WrongMasterKey`] where `old` is not the file's key; then nothing is changed.
pub async fn change_master_key(path: &Path, old: &[u8; 32], new: &[u8; 32]) -> Result<(), ControlError> {
    let opened = options(path).create_if_missing(false).connect().await;
    let mut connection = opened.map_err(ControlError::query("opening the control file"))?;
    // A file that has neither a root secret nor a check of its key was never opened; its key is then as good a root as any.
    let root = read_root(&mut connection, old, || *old).await?;
    let root = root.ok_or_else(|| ControlError::WrongMasterKey { path: path.to_owned() })?;
    let mut transaction = begin(&mut connection).await?;
    put_setting(&mut transaction, ROOT, &wrap_root(new, &root)).await?;
    commit(transaction).await?;
    connection.close().await.map_err(ControlError::query("closing the control file"))
}

pub(crate) async fn setting(connection: &mut SqliteConnection, name: &str) -> Result<Option<Vec<u8>>, ControlError> {
    sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(ControlError::query("reading a setting"))
}

pub(crate) async fn put_setting(connection: &mut SqliteConnection, name: &str, value: &[u8]) -> Result<(), ControlError> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(name)
        .bind(value)
        .execute(connection)
        .await
        .map_err(ControlError::query("storing a setting"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn the_file_is_private_synced_and_reopens() {
        let world = World::new();
        let control = world.open().await;
        let mut writer = control.writer().await;
        for (pragma, expect) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("busy_timeout", "60000")]
        {
            let sql = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
            let sql = sql.replace("CAST(busy_timeout", "CAST(timeout");
            let found: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *writer).await.unwrap();
            assert_eq!(found, expect, "{pragma}");
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path()).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(writer);
        drop(control);
        world.open().await;
    }

    #[tokio::test]
    async fn another_master_key_is_refused() {
        let world = World::new();
        drop(world.open().await);
        let error = Control::open(ControlConfig { master_key: [9; 32], ..world.config() }).await.err().unwrap();
        assert!(matches!(error, ControlError::WrongMasterKey { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_changed_master_key_opens_what_the_old_one_sealed() {
        let world = World::new();
        let control = world.open().await;
        let person = crate::testing::contact("a").check().unwrap();
        control.upsert_contacts(std::slice::from_ref(&person), crate::Duplicates::Merge).await.unwrap();
        let (old, new) = (world.config().master_key, [9; 32]);
        let error = change_master_key(&world.path(), &new, &old).await.unwrap_err();
        assert!(matches!(error, ControlError::WrongMasterKey { .. }), "{error}");
        change_master_key(&world.path(), &old, &new).await.unwrap();

        // Who has it open goes on.
        let key = control.resolve(&["a".to_owned()]).await.unwrap();
        assert_eq!(control.recipients(&key).await.unwrap().len(), 1);
        let error = Control::open(world.config()).await.err().unwrap();
        assert!(matches!(error, ControlError::WrongMasterKey { .. }), "{error}");
        let again = Control::open(ControlConfig { master_key: new, ..world.config() }).await.unwrap();
        assert_eq!(again.resolve(&["a".to_owned()]).await.unwrap(), key, "handles are the same");
        let found = again.recipients(&key).await.unwrap();
        assert_eq!(found[0].addresses.values().next().map(String::as_str), Some("a@shop.example"));
        assert_eq!(again.derived_key("links"), control.derived_key("links"), "links in old mails still open");
    }

    #[tokio::test]
    async fn a_file_without_a_root_secret_takes_its_master_key_for_it() {
        let world = World::new();
        drop(world.open().await);
        let mut writer = options(&world.path()).connect().await.unwrap();
        sqlx::query("DELETE FROM settings").execute(&mut writer).await.unwrap();
        put_setting(&mut writer, MASTER_KEY_CHECK, &Vault::new(&world.config().master_key).check()).await.unwrap();
        let error = Control::open(ControlConfig { master_key: [9; 32], ..world.config() }).await.err().unwrap();
        assert!(matches!(error, ControlError::WrongMasterKey { .. }), "{error}");
        let control = world.open().await;
        assert_eq!(control.derived_key("links"), Vault::new(&world.config().master_key).derive("links"));
        assert!(setting(&mut writer, ROOT).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let world = World::new();
        let control = world.open().await;
        sqlx::query("INSERT INTO schema_versions VALUES (99, 0)").execute(&mut *control.writer().await).await.unwrap();
        let error = Control::open(world.config()).await.err().unwrap();
        assert!(matches!(error, ControlError::SchemaTooNew { found: 99, known: 23 }), "{error}");
    }

    #[tokio::test]
    async fn a_broken_step_leaves_the_old_schema_whole() {
        let world = World::new();
        make_private_file(&world.path()).unwrap();
        let mut connection = options(&world.path()).connect().await.unwrap();
        let steps = &[(1, "CREATE TABLE a (x BIGINT)"), (2, "CREATE TABLE b (x BIGINT); CREATE TABLE a (x BIGINT)")];
        let error = migrate(&mut connection, steps, world.clock.now()).await.unwrap_err();
        assert!(matches!(error, ControlError::Migrate { version: 2, .. }), "{error}");
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await.unwrap();
        assert_eq!(tables, 0);
    }

    #[tokio::test]
    async fn what_a_person_waits_for_does_not_wait_for_campaigns() {
        let world = World::new();
        let control = Arc::new(world.open().await);
        let held = control.writer().await;
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for name in ["campaign", "campaign", "code", "campaign", "code"] {
            let (control, order) = (control.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let writer = if name == "code" { control.next_writer().await } else { control.writer().await };
                order.lock().unwrap().push(name);
                drop(writer);
            }));
            // It waits now.
            tokio::task::yield_now().await;
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["code", "code", "campaign", "campaign", "campaign"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn processes_that_start_together_all_open_the_file() {
        let world = World::new();
        let starts: Vec<_> = (0..6).map(|_| tokio::spawn(Control::open(world.config()))).collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_transaction_that_is_dropped_half_way_leaves_nothing_and_blocks_nobody() {
        let world = World::new();
        let control = world.open().await;
        {
            let mut writer = control.writer().await;
            let mut transaction = begin(&mut writer).await.unwrap();
            bump(&mut transaction, "contacts").await.unwrap();
        }
        assert_eq!(control.contacts_change().await.unwrap(), 0);
        let mut writer = control.writer().await;
        let mut transaction = begin(&mut writer).await.unwrap();
        assert_eq!(bump(&mut transaction, "contacts").await.unwrap(), 1);
        commit(transaction).await.unwrap();
    }
}
