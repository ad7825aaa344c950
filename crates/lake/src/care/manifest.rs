//! What a backup holds, and files on their way into one and out again.
//!
//! A backup is a folder: `tables/` as the lake has them, shared by all backups made into it; under `runs/` for each backup
//! its own `log/` and the files beside the lake; and the newest backup's `manifest.json`, written last, which also lies in
//! the backup's own folder.

use std::collections::BTreeMap;
use std::path::{Path as FsPath, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

use crate::LakeError;
use crate::place::Place;

/// The name of what says what is there.
pub(super) const MANIFEST: &str = "manifest.json";
/// How manifests are written; a program refuses what it does not know.
pub(super) const FORMAT: u32 = 1;
/// Files are copied in parts of this size, so that memory does not depend on them. Object stores want at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// Where a backup is.
#[derive(Clone, PartialEq, Eq)]
pub enum CopyAt {
    /// A local folder.
    Folder(PathBuf),
    /// In a bucket; see [`crate::TablesAt::S3`].
    S3 {
        /// Such as `s3://bucket/prefix`.
        url: String,
        /// As in [`crate::TablesAt::S3`].
        options: BTreeMap<String, String>,
    },
}

impl std::fmt::Debug for CopyAt {
    /// Without the options, which hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3 { url, .. } => f.write_str(url),
        }
    }
}

impl CopyAt {
    pub(super) fn open(&self) -> Result<Place, LakeError> {
        match self {
            Self::Folder(folder) => Place::local(folder),
            Self::S3 { url, options } => Place::s3(url, options),
        }
    }
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFile {
    /// Relative to the backup's folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3 hash, in hexadecimal digits.
    pub blake3: String,
}

/// A table in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedTable {
    /// Its name.
    pub name: String,
    /// Its newest version there.
    pub version: i64,
    /// How many rows that version has.
    pub rows: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// How this is written.
    pub format: u32,
    /// What wrote it.
    pub program: String,
    /// The backup's name: its folder under `runs`.
    pub run: String,
    /// When it was begun.
    pub at: Timestamp,
    /// The tables.
    pub tables: Vec<CopiedTable>,
    /// Acknowledged events that were in no table yet: they are in the copied log.
    pub unlanded: u64,
    /// Every file.
    pub files: Vec<CopiedFile>,
}

impl Manifest {
    /// The folder of what belongs to this backup alone.
    pub(super) fn folder(&self) -> String {
        run_folder(&self.run)
    }

    pub(super) async fn read(place: &Place, path: &str) -> Result<Option<Self>, LakeError> {
        let Some(bytes) = place.get(path).await? else { return Ok(None) };
        let bad = |why: String| LakeError::BadBackup { place: place.name(), why: format!("{path} {why}") };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| bad(format!("cannot be read: {error}")))?;
        if manifest.format != FORMAT {
            return Err(bad(format!("has format {}; this program reads format {FORMAT}", manifest.format)));
        }
        Ok(Some(manifest))
    }

    pub(super) async fn write(&self, place: &Place) -> Result<(), LakeError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(LakeError::internal("write down a backup's manifest"))?;
        for path in [format!("{}/{MANIFEST}", self.folder()), MANIFEST.to_owned()] {
            place.put(&path, bytes.clone()).await?;
        }
        Ok(())
    }
}

pub(super) fn run_folder(run: &str) -> String {
    format!("runs/{run}")
}

/// Copies an object and gives its size and hash; `None` where there is none. Durable when this returns.
pub(super) async fn copy(from: &Place, from_path: &str, to: &Place, to_path: &str) -> Result<Option<CopiedFile>, LakeError> {
    let failed = |operation, place: &Place, path: &str| {
        let object = format!("{}/{path}", place.name().trim_end_matches('/'));
        move |error: object_store::Error| LakeError::Store { operation, object, source: Box::new(error) }
    };
    let found = match from.root().get(&from.at(from_path)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed("read", from, from_path)(error)),
    };
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    let mut chunks = found.into_stream();
    let mut upload: Option<Box<dyn MultipartUpload>> = None;
    let mut part = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(failed("read", from, from_path))?;
        hasher.update(&chunk);
        size += chunk.len() as u64;
        part.extend_from_slice(&chunk);
        while part.len() >= PART_BYTES {
            let payload = PutPayload::from(part.split_to(PART_BYTES).freeze());
            let upload = match &mut upload {
                Some(upload) => upload,
                None => {
                    let begun = to.root().put_multipart(&to.at(to_path)).await;
                    upload.insert(begun.map_err(failed("write", to, to_path))?)
                }
            };
            upload.put_part(payload).await.map_err(failed("write", to, to_path))?;
        }
    }
    match upload {
        None => to.put(to_path, part.freeze()).await?,
        Some(mut upload) => {
            if !part.is_empty() {
                upload.put_part(part.freeze().into()).await.map_err(failed("write", to, to_path))?;
            }
            upload.complete().await.map_err(failed("write", to, to_path))?;
            to.sync(to_path)?;
        }
    }
    Ok(Some(CopiedFile { path: to_path.to_owned(), bytes: size, blake3: hasher.finalize().to_hex().to_string() }))
}

/// Writes bytes as a file of a backup.
pub(super) async fn write(to: &Place, path: &str, bytes: Vec<u8>) -> Result<CopiedFile, LakeError> {
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let file = CopiedFile { path: path.to_owned(), bytes: bytes.len() as u64, blake3 };
    to.put(path, bytes).await?;
    Ok(file)
}

/// The place of the folder of a file, and the file's name in it.
pub(super) fn place_of(file: &FsPath) -> Result<(Place, String), LakeError> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        let error = std::io::Error::other("it has no name");
        return Err(LakeError::file("copy", file)(error));
    };
    Ok((Place::local(folder)?, name.to_owned()))
}
