//! Keeps a batch: each item read, checked, given its contact's key and handed to the lake, without a copy of it.
//!
//! Most contacts are known from earlier events, so the first pass gives keys from memory. The items of strangers are left
//! for a second pass, after one look-up for all of them. Should both passes hold an event of the same id, the first pass
//! keeps its own.

use std::collections::{BTreeSet, HashMap};

use vocabulary::{ContactKey, Timestamp};

use crate::Parts;
use crate::line::{Fault, Told, Who};
use crate::problem::Problem;
use crate::views::{Collected, Duplicate, LineError};

/// Items of whatever format, each of which tells one event.
pub(crate) trait Batch: Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The number by which the answer names the item at this place.
    fn line(&self, at: usize) -> usize;

    /// Reads the item at this place, which was received at `now`, and hands on what it tells.
    fn read<T>(&self, at: usize, now: Timestamp, hand_on: impl FnOnce(Told<'_>) -> T) -> Result<T, Fault>;
}

/// Keeps what can be kept of `batch`. When this returns, that is on disk.
pub(crate) async fn keep(parts: &Parts, batch: &impl Batch, now: Timestamp) -> Result<Collected, Problem> {
    let mut answer = Collected { accepted: 0, duplicate: 0, rejected: 0, errors: Vec::new(), duplicates: Vec::new() };
    let mut strangers: Vec<(usize, String)> = Vec::new();
    let mut pushed = Vec::with_capacity(batch.count());
    let first = parts.lake.append_with(|rows| {
        let known = parts.control.known_keys();
        for at in 0..batch.count() {
            let read = batch.read(at, now, |told| {
                let key = match told.who {
                    Who::Key(key) => Some(key),
                    Who::Own(own) => known.get(own),
                };
                match (key, told.who) {
                    (None, Who::Own(own)) => strangers.push((at, own.to_owned())),
                    (None, Who::Key(_)) => {}
                    (Some(key), _) => {
                        pushed.push(at);
                        rows.push(told.event(key, now));
                    }
                }
            });
            if let Err(fault) = read {
                answer.errors.push(LineError::new(batch.line(at), fault));
            }
        }
    });
    let appended = first.await?;
    count(&mut answer, batch, now, appended, &pushed);
    if !strangers.is_empty() {
        let keys = resolve(parts, &strangers).await?;
        pushed.clear();
        let second = parts.lake.append_with(|rows| {
            for (at, own) in &strangers {
                let push = |told: Told<'_>| rows.push(told.event(keys[own.as_str()], now));
                if batch.read(*at, now, push).is_ok() {
                    pushed.push(*at);
                }
            }
        });
        let appended = second.await?;
        count(&mut answer, batch, now, appended, &pushed);
        answer.duplicates.sort_by_key(|duplicate| duplicate.line);
    }
    answer.rejected = answer.errors.len() as u64;
    Ok(answer)
}

/// Adds to the answer what became of the items that were pushed.
fn count(answer: &mut Collected, batch: &impl Batch, now: Timestamp, appended: lake::Appended, pushed: &[usize]) {
    answer.accepted += appended.accepted as u64;
    answer.duplicate += appended.duplicates.len() as u64;
    let name = |place: usize| {
        let at = pushed[place];
        let event_id = batch.read(at, now, |told| told.id.to_owned()).ok()?;
        Some(Duplicate { line: batch.line(at) as u64, event_id })
    };
    answer.duplicates.extend(appended.duplicates.into_iter().filter_map(name));
}

/// The keys of the contacts nobody remembers. Each is asked for once.
async fn resolve<'a>(parts: &Parts, strangers: &'a [(usize, String)]) -> Result<HashMap<&'a str, ContactKey>, Problem> {
    let own: BTreeSet<&'a str> = strangers.iter().map(|(_, own)| own.as_str()).collect();
    let asked: Vec<String> = own.iter().map(|own| (*own).to_owned()).collect();
    Ok(own.into_iter().zip(parts.control.resolve(&asked).await?).collect())
}
