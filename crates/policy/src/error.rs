//! What can be wrong with a file of rules: always the file, the key and how to put it right.

/// Why a file of rules is not taken. Rules are taken whole or not at all: half of them would permit what the other half
/// forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The text is not TOML.
    #[error("{file} is not TOML: {reason}")]
    Unreadable {
        /// The name of the file.
        file: String,
        /// What the reader of TOML says, with line and column.
        reason: String,
    },
    /// A key is missing, unknown or has a value that cannot be meant.
    #[error("{file}: `{key}` {reason}")]
    Invalid {
        /// The name of the file.
        file: String,
        /// Where in the file, such as `rule[3].open`.
        key: String,
        /// What is wrong with it and what to write instead.
        reason: String,
    },
    /// A file is missing, unknown or given twice.
    #[error("{file} {reason}")]
    File {
        /// The name of the file.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },
}
