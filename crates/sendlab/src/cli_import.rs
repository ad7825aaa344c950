//! What can be typed after `sendlab import events`.

use std::path::PathBuf;

use clap::Args;

/// Teaches by example; clap shows it below the options.
pub(crate) const IMPORT_EVENTS_HELP: &str = "\
Templates:
  The value of a field is text in which {COLUMN} stands for a column, and {row} for the
  number of the row:
    --map order_id='{shop}-{order_no}'    made of two columns
    --map currency=EUR                    the same for every row
    --map campaign_id='{campaign?}'       a column that a file may lack
  A template with an empty column leaves its field out. In lines of JSON, {customer.id} is
  a member of a member.

  Without --map and --mapping, columns and members are the fields they are called like, so
  that a file in the format of POST /v1/events needs no mapping; only sent_at is left out,
  the clock at the moment of sending. With a mapping, what is not mapped is not imported.

A mapping file is YAML with a line per field, and time_format, time_zone, decimal_comma,
sheet and delimiter as the options above:
  kind: delivery
  event_time: \"{sent at}\"
  contact: \"{customer}\"
  status: { from: \"{state}\", values: { OK: delivered, Hard: bounced } }
  time_zone: Europe/Berlin

Ids:
  Without an event_id in the mapping, it is made of what the row says and of how many rows
  before it say the same. So the same rows bring nothing twice, also from another file or
  format, as long as the same fields are mapped. It takes 10 to 20 bytes of memory a row.

Times:
  Without an offset from UTC they need --time-zone. A time that clocks showed twice, when
  they were set back, is taken for the first, and counted. One that they skipped is
  rejected, because the zone is probably wrong. A date without a time is its midnight.

Stopping:
  Ctrl-C may be pressed at any time. The same command goes on behind the last row that the
  server has acknowledged, as long as file and mapping are unchanged.

Rejected rows:
  FILE.rejected.csv has their number, field, reason and columns. Mend it and import it with
  the same mapping. Row 1 is the first below the header; lines of JSON count from 1.

Exit status:
  0 when every row is in, 2 when rows were rejected, 1 when the import stopped.

Examples:
  sendlab import events events.ndjson.gz
  sendlab import events clicks-*.parquet --kind click
  sendlab import events data/samples/orders.csv --mapping data/samples/orders.yaml --dry-run
  sendlab import events orders.xlsx --kind order --map event_time='{paid at}' \\
    --map contact='{customer}' --map order_id='{shop}-{no}' --map amount='{total}' \\
    --map currency=EUR --time-zone Europe/Berlin";

/// What every import of rows can be told.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FileArgs {
    /// Files: .csv, .csv.gz, .parquet, .xlsx, .ndjson, .jsonl, .ndjson.gz, .jsonl.gz.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A YAML file with a line per field; options win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// What a field is made of: text with {COLUMN} for columns. May be given many times.
    #[arg(long, value_name = "FIELD=TEMPLATE")]
    pub(crate) map: Vec<String>,
    /// What separates the fields of a CSV: one character, or `tab` [default: ,].
    #[arg(long, value_name = "CHARACTER", value_parser = |text: &str| delimiter(text).map(|_| text.to_owned()))]
    pub(crate) delimiter: Option<String>,
    /// The sheet of a workbook [default: the first].
    #[arg(long, value_name = "NAME")]
    pub(crate) sheet: Option<String>,
    /// Check every row as the server would, and send nothing. Needs no server and no data folder.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Begin at the first row even where an earlier import of the file was stopped.
    #[arg(long)]
    pub(crate) restart: bool,
    /// Where rejected rows are written [default: FILE.rejected.csv].
    #[arg(long, value_name = "PATH")]
    pub(crate) rejects: Option<PathBuf>,
    /// Rows sent in one request.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Requests under way at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) requests: u8,
}

/// The options of `sendlab import events`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ImportEventsArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// What every row is: assignment, message, delivery, open, click, order or feedback. Short for --map kind=KIND.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// How times are written: rfc3339, unix-seconds, unix-millis, excel (serial days), or a pattern such as
    /// '%d.%m.%Y %H:%M' [default: rfc3339; with --time-zone also without an offset].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) time_format: Option<String>,
    /// The IANA zone of times that have no offset, such as Europe/Berlin. Workbooks always need it.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Amounts are written 1.234,50.
    #[arg(long)]
    pub(crate) decimal_comma: bool,
}

/// Teaches by example; clap shows it below the options.
pub(crate) const IMPORT_CONTACTS_HELP: &str = "\
Fields:
  key (required), email, phone, whatsapp, wechat, push, line, telegram, country, region, language,
  time_zone, market, interests, tags, device, birth_date, source, registered_at, and attributes of your own;
  email_consent, phone_consent, whatsapp_consent, wechat_consent, push_consent, line_consent,
  telegram_consent, night_consent, cross_border_consent, and of all these consent_at,
  consent_source, consent_wording, consent_ip, consent_proof.
  Columns that are called so need no mapping. Others are left out unless they are mapped or
  named by --attribute: attributes go into the lake, where anybody who may ask SQL sees them,
  so none gets there by accident. Addresses never do: they are kept encrypted, and an e-mail
  address in an attribute is rejected.

  Once a field other than `key` is mapped, what is not mapped is not imported. {COLUMN} stands
  for a column, and a field with an empty column is left out:
    --map key='{customer_id}'              the rest by name
    --map phone='+{dial}{number}'          made of two columns
    --map attributes.size='{Size}'         an attribute under another name

  A mapping file is YAML with a line per field, and attribute, date_format, sheet and delimiter
  as the options above:
    key: \"{customer_id}\"
    email: \"{e-mail}\"
    country: { from: \"{land}\", values: { Deutschland: DE, Österreich: AT } }
    attributes.size: \"{Size}\"

Consent:
  How it was given decides where it is enough: express_written, double_opt_in, express,
  soft_opt_in, implied_purchase, implied_inquiry or claimed; or withdrawn. `yes` is refused:
  the law asks how, when and with which words. `sendlab explain` tells what a rule made of it.

Addresses:
  Phone numbers may be written as they are dialled in `country`, or with + and the country's
  code. Each address is brought into one form and checked; what cannot be one is rejected.
  A row whose key is new and whose address is another contact's is that contact: the key becomes
  a further one of theirs. --duplicates separate keeps two people, reject refuses the row.

Again:
  What is known already stays as it is, so the same file may be imported again, and an import
  that was stopped with Ctrl-C goes on behind the last row that the server has acknowledged.
  What a row leaves out stays as it is known. Who has unsubscribed stays so, also under a new key.

Rejected rows:
  FILE.rejected.csv has their number, field, reason and columns. Mend it and import it with
  the same mapping. Row 1 is the first below the header; lines of JSON count from 1.

Exit status:
  0 when every row is in, 2 when rows were rejected, 1 when the import stopped.

Examples:
  sendlab import contacts data/samples/contacts.csv --attribute first_name
  sendlab import contacts shoppers.xlsx --map key='{customer_id}' --attribute tier,size --dry-run";

/// The options of `sendlab import contacts`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ImportContactsArgs {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// Columns that become attributes under their own names; '*' for all that are no fields.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    pub(crate) attribute: Vec<String>,
    /// How dates of birth are written, such as '%d.%m.%Y' [default: 1990-05-17, or 1990].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) date_format: Option<String>,
    /// What a new key is whose address is another contact's: merge (the same person), separate or reject.
    #[arg(long, value_name = "RULE", default_value = "merge")]
    pub(crate) duplicates: control::Duplicates,
}

/// The byte that separates fields.
pub(crate) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err(format!("`{text}` must be one character, such as ; or |, or the word tab")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_single_characters() {
        let check = |text: &str, expect: Option<u8>| assert_eq!(delimiter(text).ok(), expect, "{text}");
        check(";", Some(b';'));
        check("tab", Some(b'\t'));
        check("", None);
        check("ab", None);
        check("\"", None);
        check("§", None);
    }

    #[test]
    fn one_request_takes_what_the_server_allows() {
        assert_eq!(api::BATCH_LINES_MAX, 10_000, "the range and default of --batch follow it");
    }
}
