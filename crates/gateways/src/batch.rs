//! The messages of one call and what became of each.

use tokio::time::Instant;

use crate::{Envelope, HandOver};

/// Gives the content of a message, or `None` to take it back.
pub(crate) type Content<'a> = dyn FnMut(usize) -> Option<Vec<u8>> + Send + 'a;

/// Messages in order, each settled at most once.
pub(crate) struct Batch<'a> {
    envelopes: &'a [Envelope],
    content: &'a mut Content<'a>,
    results: Vec<Option<HandOver>>,
    settled: usize,
    turned_away: Vec<usize>,
    begin_until: Option<Instant>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(envelopes: &'a [Envelope], begin_until: Option<Instant>, content: &'a mut Content<'a>) -> Self {
        Self { envelopes, content, results: vec![None; envelopes.len()], settled: 0, turned_away: Vec::new(), begin_until }
    }

    /// Whether it is too late to begin another message.
    pub(crate) fn is_late(&self) -> bool {
        self.begin_until.is_some_and(|until| Instant::now() > until)
    }

    pub(crate) fn envelope(&self, index: usize) -> &Envelope {
        &self.envelopes[index]
    }

    pub(crate) fn content(&mut self, index: usize) -> Option<Vec<u8>> {
        (self.content)(index)
    }

    pub(crate) fn settle(&mut self, index: usize, outcome: HandOver) {
        assert!(self.results[index].is_none(), "message {index} is settled twice");
        self.results[index] = Some(outcome);
        self.settled += 1;
    }

    pub(crate) fn settled(&self) -> usize {
        self.settled
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled == self.results.len()
    }

    /// Messages are begun in order, so all before the first unsettled one are done, except for the one in flight.
    pub(crate) fn first_unsettled_but(&self, in_flight: Option<usize>) -> Option<usize> {
        let from = in_flight.unwrap_or(0);
        (from..self.results.len()).find(|index| Some(*index) != in_flight && self.results[*index].is_none())
    }

    /// Settles all that is left in the same way.
    pub(crate) fn settle_rest(&mut self, outcome: &HandOver) {
        while let Some(index) = self.first_unsettled_but(None) {
            self.settle(index, outcome.clone());
        }
    }

    /// Notes that a connection ended with 421 where this message should have begun.
    pub(crate) fn turn_away(&mut self, index: usize) {
        self.turned_away.push(index);
    }

    pub(crate) fn take_turned_away(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.turned_away)
    }

    pub(crate) fn into_results(self) -> Vec<HandOver> {
        self.results.into_iter().map(|result| result.expect("every message is settled")).collect()
    }
}
