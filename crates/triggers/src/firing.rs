//! What an engine tells: each entry of a contact, once, when it ends.

use jiff::Timestamp;

/// An entry of a contact that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// Which entry of this contact to this trigger it is, from 1 without gaps. With both it names the entry for ever.
    pub occurrence: u32,
    /// When the condition became true.
    pub true_at: Timestamp,
    /// When the message is due: after the delay.
    pub due: Timestamp,
    /// How the entry ended.
    pub outcome: Outcome,
}

/// How an entry ended. Those who were taken out would have been so in either group, so `Send` and `HeldOut` can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The message is due.
    Send,
    /// The message would be due; the contact is held out.
    HeldOut,
    /// An act of `exit` took the contact out.
    Exited {
        /// When they did it.
        at: Timestamp,
    },
}
