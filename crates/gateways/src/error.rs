//! What can go wrong before a server has said anything about a message.

use std::error::Error;
use std::io;

/// Why a message cannot be built, a configuration not be used, or a connection not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A field of a mail cannot be used.
    #[error("{field}: `{value}` {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it and what would be right.
        problem: &'static str,
    },
    /// Nobody answered at the server's address.
    #[error("connect to {server}")]
    Connect {
        /// Host and port.
        server: String,
        /// What the network said.
        #[source]
        source: io::Error,
    },
    /// The server was reached, but greeting, encryption or login failed.
    #[error("{step} with {server}")]
    Greet {
        /// What was being done.
        step: &'static str,
        /// Host and port.
        server: String,
        /// What went wrong.
        #[source]
        source: lettre::transport::smtp::Error,
    },
    /// The server took too long to greet.
    #[error("{server} did not finish greeting within {seconds} s")]
    Slow {
        /// Host and port.
        server: String,
        /// How long it had.
        seconds: u64,
    },
    /// The configuration would send the password in the clear.
    #[error("credentials for {0} would travel unencrypted; use STARTTLS or TLS")]
    Exposed(String),
    /// A configuration of gateways cannot be used.
    #[error("line {line}: {field}: {problem}")]
    Config {
        /// The line of the text, from 1.
        line: usize,
        /// The gateway and the key.
        field: String,
        /// What is wrong and what to write. It holds no secret.
        problem: String,
    },
    /// Encryption cannot be set up on this machine.
    #[error("set up HTTPS")]
    Client {
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// A number cannot be sent to. It is not repeated here, because errors are logged.
    #[error("to: {0}")]
    Phone(&'static str),
    /// Whoever sent a request with receipts does not prove to be the provider.
    #[error("receipt for `{gateway}`: {problem}")]
    Stranger {
        /// The gateway's name.
        gateway: String,
        /// What is wrong. It holds no secret.
        problem: String,
    },
    /// A request with receipts cannot be read.
    #[error("receipt for `{gateway}`: {problem}")]
    Receipt {
        /// The gateway's name.
        gateway: String,
        /// What is wrong. It holds no secret.
        problem: String,
    },
}

/// An error and all its causes in one line.
pub(crate) fn explained(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // lettre repeats its causes.
        if !told.ends_with(&words) {
            told.push_str(": ");
            told.push_str(&words);
        }
        next = cause.source();
    }
    told
}
