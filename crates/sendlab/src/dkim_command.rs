//! `sendlab dkim`: keys that sign mail, and what to publish for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use gateways::{DkimKey, DkimKind, new_dkim_key};

use crate::print::say;
use crate::server::write_private;

/// A DNS string has at most 255 bytes; a longer record is several of them (RFC 1035, section 3.3.14).
const STRING_BYTES_MAX: usize = 255;

#[derive(Debug, Subcommand)]
pub(crate) enum DkimCommand {
    /// Make a private key and say what to publish in the domain's DNS.
    #[command(
        after_help = "Example:\n  sendlab dkim new shop.example s2026 dkim.pem\n  sendlab serve --dkim shop.example:s2026:dkim.pem \
                            --smtp mail.example:587"
    )]
    New {
        #[command(flatten)]
        key: DkimArgs,
        /// Which kind. Every receiver knows RSA; Ed25519 is fast, and used beside it.
        #[arg(long, default_value = "rsa")]
        kind: Kind,
    },
    /// Say what to publish for a key that is there.
    Record(DkimArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DkimArgs {
    /// The domain that mail is from, such as shop.example.
    domain: String,
    /// The key's name in the domain, such as s2026: another one when the key changes.
    selector: String,
    /// The file with the private key, in PEM.
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// RSA with 2048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

pub(crate) fn run(command: &DkimCommand) -> anyhow::Result<()> {
    match command {
        DkimCommand::Record(key) => tell(key, &read(&key.file)?),
        DkimCommand::New { key, kind } => {
            if key.file.exists() {
                bail!(
                    "{} is there already; name another file, or `sendlab dkim record` shows what to publish for it",
                    key.file.display()
                );
            }
            let kind = match kind {
                Kind::Rsa => DkimKind::Rsa,
                Kind::Ed25519 => DkimKind::Ed25519,
            };
            let pem = new_dkim_key(kind)?;
            // Domain and selector are checked before anything is written.
            DkimKey::read(&key.domain, &key.selector, pem.as_bytes())?;
            write_private(&key.file, pem.as_bytes())?;
            say(&format!("The private key is in {}; only you can read it. Keep a copy.", key.file.display()));
            tell(key, pem.as_bytes())
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn tell(args: &DkimArgs, pem: &[u8]) -> anyhow::Result<()> {
    let key = DkimKey::read(&args.domain, &args.selector, pem)?;
    let strings: Vec<String> =
        key.record().as_bytes().chunks(STRING_BYTES_MAX).map(|part| format!("\"{}\"", String::from_utf8_lossy(part))).collect();
    say("Publish this TXT record:");
    say(&format!("  {}. IN TXT {}", key.record_name(), strings.join(" ")));
    say(&format!("Then start the server with --dkim {}:{}:{}", args.domain, args.selector, args.file.display()));
    Ok(())
}
