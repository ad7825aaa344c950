//! How queries read files of a local folder: at once, on the thread that wants them.
//!
//! The store's own way hands each read to another thread and back, which takes longer than the read itself where the file is in
//! the system's cache, and a query over many files has hundreds of them. Queries run on threads of their own, which may
//! wait for a disk.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A local store that reads ranges of bytes at once.
#[derive(Debug)]
pub(crate) struct ReadsAtOnce(LocalFileSystem);

impl ReadsAtOnce {
    pub(crate) fn new() -> Self {
        Self(LocalFileSystem::new())
    }

    fn open(&self, location: &Path) -> Result<File> {
        File::open(self.0.path_to_filesystem(location)?).map_err(|error| failed(location, error))
    }
}

fn failed(location: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { path: location.to_string(), source: Box::new(error) },
        _ => Error::Generic { store: "LocalFileSystem", source: Box::new(error) },
    }
}

fn read(file: &File, location: &Path, range: &Range<u64>) -> Result<Bytes> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start).map_err(|error| failed(location, error))?;
    Ok(bytes.into())
}

impl std::fmt::Display for ReadsAtOnce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for ReadsAtOnce {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let conditions = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some()
            || options.version.is_some();
        let Some(GetRange::Bounded(range)) = options.range.clone().filter(|_| !conditions && !options.head) else {
            return self.0.get_opts(location, options).await;
        };
        let file = self.open(location)?;
        let metadata = file.metadata().map_err(|error| failed(location, error))?;
        let range = range.start..range.end.min(metadata.len());
        // The store says what is wrong with a range behind the end of a file that was cut short.
        if range.is_empty() {
            return self.0.get_opts(location, options).await;
        }
        let bytes = read(&file, location, &range)?;
        let last_modified = metadata.modified().map_err(|error| failed(location, error))?.into();
        let meta = ObjectMeta { location: location.clone(), last_modified, size: metadata.len(), e_tag: None, version: None };
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.open(location)?;
        ranges.iter().map(|range| read(&file, location, range)).collect()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn reads_are_those_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b#1.txt");
        std::fs::write(&file, "0123456789").unwrap();
        let (own, store) = (ReadsAtOnce::new(), LocalFileSystem::new());
        let location = Path::from_filesystem_path(&file).unwrap();
        for range in [0..4, 3..10, 7..12] {
            let read = own.get_range(&location, range.clone()).await.unwrap();
            assert_eq!(read, store.get_range(&location, range).await.unwrap());
        }
        assert!(own.get_range(&location, 12..14).await.is_err() && own.get_ranges(&location, &[0..1, 12..14]).await.is_err());
        assert_eq!(own.get_ranges(&location, &[0..1, 8..10]).await.unwrap(), ["0", "89"]);
        assert_eq!(own.get(&location).await.unwrap().bytes().await.unwrap(), "0123456789");
        let missing = Path::from_absolute_path(folder.path().join("none")).unwrap();
        assert!(matches!(own.get_range(&missing, 0..1).await, Err(Error::NotFound { .. })));
        assert!(matches!(own.get_ranges(&missing, &[0..1, 2..3]).await, Err(Error::NotFound { .. })));
    }
}
