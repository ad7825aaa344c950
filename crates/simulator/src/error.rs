//! What can go wrong between the simulated world and the server.

use std::time::Duration;

/// Why a simulation stopped.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A time zone or a date is out of reach.
    #[error("the time of a simulated market could not be worked out; this machine needs a time zone database")]
    Time(#[from] jiff::Error),
    /// A request did not get through.
    #[error("could not {what}; is the server still running?")]
    Unreachable {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered with an error.
    #[error("could not {what}: the server answered {status}: {answer}")]
    Refused {
        /// What was tried.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The answer's text.
        answer: String,
    },
    /// The server's answer has another shape than the public interface says.
    #[error("could not {what}: the server's answer was not understood: {answer}")]
    NotUnderstood {
        /// What was tried.
        what: String,
        /// The answer's text.
        answer: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The server did not take every row.
    #[error("could not {what}: {taken} of {sent} rows were taken: {answer}")]
    RowsRefused {
        /// What was tried.
        what: String,
        /// How many rows were sent.
        sent: usize,
        /// How many were taken.
        taken: u64,
        /// The answer's text.
        answer: String,
    },
    /// A received mail cannot be read.
    #[error("a received mail cannot be read: {why}")]
    UnreadableMail {
        /// Why.
        why: &'static str,
    },
    /// A received mail lacks something that every mail of a campaign needs.
    #[error("the mail to `{to}` with the subject `{subject}` has no {part}")]
    IncompleteMail {
        /// Whom it was sent to.
        to: String,
        /// Its subject.
        subject: String,
        /// What is missing.
        part: &'static str,
    },
    /// A mail went to an address outside the world.
    #[error("a mail was sent to `{to}`, who is no shopper of this world")]
    Stranger {
        /// The address.
        to: String,
    },
    /// A link in a mail leads past the server, so that nobody could count it.
    #[error("the link `{url}` in a mail does not lead to the server at {server}")]
    UntrackedLink {
        /// The link.
        url: String,
        /// Where it should lead.
        server: String,
    },
    /// The server did not get something done in time.
    #[error("waited {waited:?} until {what}; last seen: {seen}", waited = limit)]
    Stalled {
        /// What was waited for.
        what: String,
        /// How long, in wall time.
        limit: Duration,
        /// What was seen last.
        seen: String,
    },
    /// A campaign failed.
    #[error("the campaign {campaign} failed: {why}")]
    CampaignFailed {
        /// Its id.
        campaign: String,
        /// Why, in the server's words.
        why: String,
    },
    /// The mail server's channel was closed while mails were expected.
    #[error("the built-in mail server stopped while mails were expected")]
    SinkGone,
}
