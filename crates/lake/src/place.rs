//! Where tables are kept: a local folder or an object store, through the same code.
//!
//! A local object store hands bytes to the operating system only; here what is put is also synced, file and folder, so
//! that a commit survives a power loss and the log segment it came from may be deleted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::DeltaResult;
use deltalake_core::logstore::{LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories};
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use url::Url;

use crate::LakeError;
use crate::log::sync_folder;
use crate::reads::ReadsAtOnce;

/// Where the tables of a lake are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum TablesAt {
    /// In the folder `tables` of the lake's own folder.
    Folder,
    /// In a bucket of S3 or of a server that speaks its API and honours `If-None-Match` on puts.
    S3 {
        /// Such as `s3://bucket/prefix`.
        url: String,
        /// Options by their names in lower case, such as `aws_access_key_id`, `aws_endpoint`, `aws_region`.
        options: BTreeMap<String, String>,
    },
}

impl TablesAt {
    /// A place in an object store. Of `variables`, those that its client knows are its options, such as `AWS_REGION`.
    #[must_use]
    pub fn s3(url: &str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = |(name, value): (String, String)| {
            let name = name.to_ascii_lowercase();
            (name.starts_with("aws_") && name.parse::<AmazonS3ConfigKey>().is_ok()).then_some((name, value))
        };
        Self::S3 { url: url.to_owned(), options: variables.into_iter().filter_map(known).collect() }
    }
}

impl std::fmt::Debug for TablesAt {
    /// Without the options, which hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder => f.write_str("Folder"),
            Self::S3 { url, .. } => f.debug_struct("S3").field("url", url).finish_non_exhaustive(),
        }
    }
}

/// A folder of an object store. Paths are relative to it.
#[derive(Clone)]
pub(crate) struct Place {
    root: Arc<dyn ObjectStore>,
    /// Where in the store the folder is.
    prefix: Path,
    url: Url,
    local: Option<PathBuf>,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Relative to the place.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// When it was last written, in milliseconds since 1970 by the clock of the store.
    pub(crate) modified_ms: i64,
}

/// What became of a conditional put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    /// Something of this name is there already.
    Exists,
}

impl Place {
    /// Opens the place, making a local folder where there is none.
    pub(crate) fn open(at: &TablesAt, root: &FsPath) -> Result<Self, LakeError> {
        match at {
            TablesAt::Folder => Self::local(&root.join("tables")),
            TablesAt::S3 { url, options } => Self::s3(url, options),
        }
    }

    /// A local folder, made where there is none.
    pub(crate) fn local(folder: &FsPath) -> Result<Self, LakeError> {
        let open = || -> std::io::Result<(PathBuf, Path, Url)> {
            std::fs::create_dir_all(folder)?;
            let whole = std::fs::canonicalize(folder)?;
            let prefix = Path::from_absolute_path(&whole).map_err(std::io::Error::other)?;
            let url = Url::from_directory_path(&whole).map_err(|()| std::io::Error::other("its name makes no URL"))?;
            Ok((whole, prefix, url))
        };
        let (local, prefix, url) = open().map_err(LakeError::file("open", folder))?;
        Ok(Self { root: Arc::new(LocalFileSystem::new()), prefix, url, local: Some(local) })
    }

    /// A bucket, or a folder of one.
    pub(crate) fn s3(url: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let bad = |why: String| LakeError::BadPlace { place: url.to_owned(), why };
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if parsed.scheme() != "s3" || parsed.host_str().is_none() {
            return Err(bad("it must be written s3://BUCKET/PREFIX".to_owned()));
        }
        let mut builder = AmazonS3Builder::new().with_url(url).with_conditional_put(S3ConditionalPut::ETagMatch);
        for (name, value) in options {
            let key: AmazonS3ConfigKey = name.parse().map_err(|error: object_store::Error| bad(error.to_string()))?;
            builder = builder.with_config(key, value);
        }
        let store = builder.build().map_err(|error| bad(error.to_string()))?;
        let prefix = Path::from_url_path(parsed.path()).map_err(|error| bad(error.to_string()))?;
        know_scheme();
        let mut whole = parsed;
        if !whole.path().ends_with('/') {
            whole.set_path(&format!("{}/", whole.path()));
        }
        Ok(Self { root: Arc::new(store), prefix, url: whole, local: None })
    }

    /// The folder of this name in this one.
    pub(crate) fn folder(&self, name: &str) -> Self {
        let url = self.url.join(&format!("{name}/")).expect("a table's name can stand in a URL");
        let local = self.local.as_ref().map(|local| local.join(name));
        Self { root: self.root.clone(), prefix: self.at(name), url, local }
    }

    /// Makes the folder where the place is a local one; object stores have none.
    pub(crate) fn make(&self) -> Result<(), LakeError> {
        let Some(local) = &self.local else { return Ok(()) };
        std::fs::create_dir_all(local).and_then(|()| sync_folder(local)).map_err(LakeError::file("create", local))
    }

    /// The store itself, of which this is one folder.
    pub(crate) fn root(&self) -> Arc<dyn ObjectStore> {
        self.root.clone()
    }

    /// The store as queries read it.
    pub(crate) fn reads(&self) -> Arc<dyn ObjectStore> {
        if self.local.is_some() { Arc::new(ReadsAtOnce::new()) } else { self.root() }
    }

    /// The path in [`Place::root`] of a path here.
    pub(crate) fn at(&self, path: &str) -> Path {
        Path::from(format!("{}/{path}", self.prefix))
    }

    /// The address as other programs write it, with a slash at its end.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The place as a person writes it.
    pub(crate) fn name(&self) -> String {
        self.local.as_ref().map_or_else(|| self.url.to_string(), |local| local.display().to_string())
    }

    /// Writes an object whole, replacing one of the same name. When this returns it survives a power loss.
    pub(crate) async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), LakeError> {
        self.root.put(&self.at(path), bytes.into()).await.map_err(self.failed("write", path))?;
        self.sync(path)
    }

    /// Writes an object unless there is one of this name.
    pub(crate) async fn put_new(&self, path: &str, bytes: Bytes) -> Result<Put, LakeError> {
        if let Some(local) = &self.local {
            let put = link_new(&local.join(path), &bytes).map_err(LakeError::file("write", &local.join(path)))?;
            return if put == Put::Done { self.sync(path).map(|()| put) } else { Ok(put) };
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.root.put_opts(&self.at(path), bytes.into(), options).await {
            Ok(_) => self.sync(path).map(|()| Put::Done),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(Put::Exists),
            Err(error) => Err(self.failed("write", path)(error)),
        }
    }

    /// The bytes of an object; `None` where there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        match self.root.get(&self.at(path)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(self.failed("read", path)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path)(error)),
        }
    }

    /// Whether there is such an object.
    pub(crate) async fn has(&self, path: &str) -> Result<bool, LakeError> {
        match self.root.head(&self.at(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("look at", path)(error)),
        }
    }

    /// Deletes an object; harmless where there is none.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.root.delete(&self.at(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", path)(error)),
        }
    }

    /// How large an object is; `None` where there is none.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        match self.root.head(&self.at(path)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", path)(error)),
        }
    }

    /// Everything below `folder`, by path.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>, LakeError> {
        let prefix = if folder.is_empty() { self.prefix.clone() } else { self.at(folder) };
        let found: Result<Vec<ObjectMeta>, _> = self.root.list(Some(&prefix)).try_collect().await;
        let skip = self.prefix.as_ref().len() + 1;
        let listed = |object: ObjectMeta| {
            let path = object.location.as_ref().get(skip..).unwrap_or_default().to_owned();
            Listed { path, bytes: object.size, modified_ms: object.last_modified.timestamp_millis() }
        };
        let mut found: Vec<Listed> = found.map_err(self.failed("list", folder))?.into_iter().map(listed).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Makes a file that this process wrote, and its name, survive a power loss.
    pub(crate) fn sync(&self, path: &str) -> Result<(), LakeError> {
        let Some(local) = &self.local else { return Ok(()) };
        let file = local.join(path);
        let sync = || -> std::io::Result<()> {
            std::fs::File::open(&file)?.sync_all()?;
            // A new partition is a new folder, whose name is in the folder above.
            let mut folder = file.parent();
            while let Some(at) = folder.filter(|at| at.starts_with(local)) {
                sync_folder(at)?;
                folder = at.parent();
            }
            Ok(())
        };
        sync().map_err(LakeError::file("sync", &file))
    }

    fn failed(&self, operation: &'static str, path: &str) -> impl FnOnce(object_store::Error) -> LakeError + use<> {
        let object = format!("{}/{path}", self.name().trim_end_matches('/'));
        move |source| LakeError::Store { operation, object, source: Box::new(source) }
    }
}

/// Writes a file whole or not at all: it gets its name, which a reader looks for, when its bytes are on disk. The name it has
/// before is one that object stores in a folder never list.
fn link_new(file: &FsPath, bytes: &[u8]) -> std::io::Result<Put> {
    let mut staged = file.as_os_str().to_owned();
    staged.push(format!("#{}", std::process::id()));
    let write = || -> std::io::Result<Put> {
        let mut open = std::fs::File::create(&staged)?;
        open.write_all(bytes)?;
        open.sync_all()?;
        match std::fs::hard_link(&staged, file) {
            Ok(()) => Ok(Put::Done),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Put::Exists),
            Err(error) => Err(error),
        }
    };
    let put = write();
    let removed = std::fs::remove_file(&staged);
    put.and_then(|put| removed.map(|()| put))
}

/// Logs of tables in object stores whose puts can be conditional, which is what `deltalake` itself does in a folder.
struct ConditionalPuts;

impl LogStoreFactory for ConditionalPuts {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

/// Tells `deltalake`, which looks a log's kind up by the scheme of its address, about `s3`.
fn know_scheme() {
    let scheme = Url::parse("s3://").expect("a scheme is an address");
    logstore_factories().entry(scheme).or_insert_with(|| Arc::new(ConditionalPuts));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_new_is_written_once_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::local(root.path()).unwrap();
        place.folder("log").make().unwrap();
        assert_eq!(place.put_new("log/1.json", "one".into()).await.unwrap(), Put::Done);
        assert_eq!(place.put_new("log/1.json", "two".into()).await.unwrap(), Put::Exists);
        assert_eq!(place.get("log/1.json").await.unwrap().unwrap(), "one");
        assert_eq!(std::fs::read_dir(root.path().join("log")).unwrap().count(), 1);
        // What a killed process left is no object.
        std::fs::write(root.path().join("log/2.json#7"), "torn").unwrap();
        let listed: Vec<String> = place.list("").await.unwrap().into_iter().map(|object| object.path).collect();
        assert_eq!(listed, ["log/1.json"]);
        assert_eq!(place.put_new("log/2.json", "two".into()).await.unwrap(), Put::Done);
    }
}
