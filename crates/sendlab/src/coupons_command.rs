//! `sendlab coupons`: uploads pools of coupon codes and shows how many are left.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;
use vocabulary::coupon::{CODES_MAX, CodeLine, read_csv, read_lines};

use crate::client::Client;
use crate::commands::segment;
use crate::print::{count, say, table};

#[derive(Debug, Subcommand)]
pub(crate) enum CouponsCommand {
    /// Upload a file of codes into a pool. Codes it knows are passed over, so a file can be uploaded again.
    #[command(
        after_help = "Examples:\n  sendlab coupons upload spring-ten codes.txt\n  sendlab coupons upload spring-ten shop-export.csv \
                            --column code\n\nThe file has one code a line, or is CSV with the codes in one column. A code is 1 to 64 \
                            letters, digits and\nsigns, and belongs to one pool.\n\nA campaign names the pool, and its copies write the \
                            code:\n\n  campaign: spring\n  coupon_pool: spring-ten\n  content:\n    a:\n      subject: Ten percent \
                            off\n      html: <p>Your code is <b>{{ coupon }}</b>.</p>\n      missing: skip\n\nEach message gets a code that \
                            no other message ever gets. When the pool is empty, `missing` says what\nhappens: fail (refused), skip (left \
                            out), or fallback (what `defaults` says for `coupon` is written)."
    )]
    Upload {
        /// The pool; made where it is new.
        pool: String,
        /// The file.
        file: PathBuf,
        /// The column of a CSV file that holds the codes; a file of one column needs no name.
        #[arg(long, value_name = "NAME")]
        column: Option<String>,
    },
    /// List the pools: codes in all, drawn, left.
    List,
    /// Draw again from codes that were set aside when a backup was brought back. Only if nothing was sent between the backup and
    /// its return: else two messages may get one code.
    Free {
        /// The pool.
        pool: String,
    },
}

pub(crate) async fn run(client: &Client, command: CouponsCommand) -> anyhow::Result<()> {
    match command {
        CouponsCommand::Upload { pool, file, column } => upload(client, &pool, &file, column.as_deref()).await,
        CouponsCommand::List => {
            list(&client.get("/v1/coupon-pools").await?);
            Ok(())
        }
        CouponsCommand::Free { pool } => {
            let path = format!("/v1/coupon-pools/{}/free", segment(&pool));
            let now = client.send(Method::POST, &path, "application/json", Vec::new()).await?;
            say(&format!("Pool {pool}: {} codes are left.", count(&now["left"])));
            Ok(())
        }
    }
}

/// Sends the codes of a file in as many requests as it takes. The whole file is checked before the first.
async fn upload(client: &Client, pool: &str, file: &Path, column: Option<&str>) -> anyhow::Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let is_table = column.is_some() || file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let codes: Vec<CodeLine> = if is_table { read_csv(&text, column) } else { read_lines(&text) }.with_context(|| {
        let way = if is_table { "name its column with --column" } else { "is it CSV? name its column with --column" };
        format!("{shown} was not uploaded; {way}")
    })?;
    if codes.is_empty() {
        bail!("{shown} holds no code; write one a line");
    }
    let path = format!("/v1/coupon-pools/{}/codes", segment(pool));
    let (mut new, mut known, mut left) = (0, 0, Value::Null);
    for codes in codes.chunks(CODES_MAX) {
        // Blank lines keep each code on its line of the file, so that a refusal names that.
        let first = codes.first().map_or(1, |(line, _)| *line);
        let mut body = String::new();
        let mut at = first;
        for (line, code) in codes {
            body.extend(std::iter::repeat_n('\n', line.saturating_sub(at) as usize));
            body.push_str(code.as_str());
            at = *line;
        }
        let answer = client.send(Method::POST, &path, "text/plain", body.into_bytes()).await;
        let answer = answer.with_context(|| {
            let counted = if first == 1 { String::new() } else { format!(" (its lines are counted from line {first})") };
            format!("{shown} was refused{counted}")
        })?;
        new += answer["new"].as_u64().unwrap_or_default();
        known += answer["known"].as_u64().unwrap_or_default();
        left = answer["pool"]["left"].clone();
    }
    let [new, known] = [new, known].map(|number| count(&Value::from(number)));
    say(&format!("Pool {pool}: {new} new codes, {known} that it knew. {} are left.", count(&left)));
    Ok(())
}

fn list(pools: &Value) {
    let pools = pools.as_array().map_or(&[][..], Vec::as_slice);
    if pools.is_empty() {
        say("There are no coupon pools. `sendlab coupons upload POOL FILE` makes one.");
        return;
    }
    let row = |pool: &Value| {
        let name = pool["pool"].as_str().unwrap_or("-").to_owned();
        std::iter::once(name).chain(["total", "drawn", "set_aside", "left"].map(|number| count(&pool[number]))).collect()
    };
    table(&["pool", "total", "drawn", "set aside", "left"], &pools.iter().map(row).collect::<Vec<_>>());
    if pools.iter().any(|pool| pool["set_aside"] != 0) {
        say("\nCodes were set aside when a backup was brought back: they may be out. `sendlab coupons free --help` says more.");
    }
}
