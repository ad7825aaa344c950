//! How numbers are said.
