//! The durable log, read frame by frame beside whoever writes it.
//!
//! The segments are opened first and read after the tables were looked at. What is landed and deleted in between is still
//! read through the open file, so that each event is seen in its table or here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use arrow::array::RecordBatch;
use vocabulary::EventKind;

use crate::LakeError;
use crate::delta::TableState;
use crate::landing::APPLICATION;
use crate::log::{Segment, list_segments, read_whole_frames};

/// A segment that cannot go away any more.
pub(crate) struct Held {
    pub(crate) segment: Segment,
    file: File,
}

/// What is in a segment.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// What its whole frames hold.
    pub(crate) batches: Vec<(EventKind, RecordBatch)>,
    /// Where its first frame that is not whole begins, and why it is none.
    pub(crate) damage: Option<(u64, String)>,
}

/// Opens all segments, oldest first. One that was landed and deleted since it was listed is left out.
pub(crate) fn hold_segments(root: &Path) -> Result<Vec<Held>, LakeError> {
    let folder = root.join("log");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut held = Vec::new();
    for segment in list_segments(&folder)? {
        match File::open(&segment.path) {
            Ok(file) => held.push(Held { segment, file }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(LakeError::file("open", &segment.path)(error)),
        }
    }
    Ok(held)
}

impl Held {
    /// The segment relative to the lake.
    pub(crate) fn name(&self) -> String {
        let name = self.segment.path.file_name().map(|name| name.to_string_lossy().into_owned());
        format!("log/{}", name.unwrap_or_default())
    }

    /// Reads all of it.
    pub(crate) fn read(&self) -> Result<Content, LakeError> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        read.map_err(LakeError::file("read", &self.segment.path))?;
        let (batches, damage) = read_whole_frames(&bytes);
        Ok(Content { bytes, batches, damage })
    }
}

impl Content {
    /// The rows that their tables have not recorded.
    pub(crate) fn lacking(&self, number: i64, recorded: &BTreeMap<EventKind, i64>) -> impl Iterator<Item = &RecordBatch> {
        let lacks = move |kind: &EventKind| recorded.get(kind).is_none_or(|recorded| number > *recorded);
        self.batches.iter().filter(move |(kind, _)| lacks(kind)).map(|(_, batch)| batch)
    }
}

/// Up to which segment a table has everything.
pub(crate) fn recorded(state: &TableState) -> i64 {
    state.recorded(APPLICATION)
}
