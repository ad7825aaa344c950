//! What can be typed: commands, options and their help.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vocabulary::Timestamp;

pub(crate) use crate::bench_codes::BenchCodesArgs;
pub(crate) use crate::bench_plan::BenchPlanArgs;
pub(crate) use crate::bench_recommendations::BenchRecommendationsArgs;
pub(crate) use crate::bench_smtp::BenchSmtpArgs;
pub(crate) use crate::cli_analyze::{AnalyzeArgs, AskedMetric, CertifyArgs, MetricValue};
pub(crate) use crate::cli_audience::{FormCommand, SegmentCommand, TriggerCommand};
pub(crate) use crate::cli_experiment::ExperimentCommand;
use crate::cli_import::{IMPORT_CONTACTS_HELP, IMPORT_EVENTS_HELP, ImportContactsArgs, ImportEventsArgs};
pub(crate) use crate::cli_lake::LakeCommand;
use crate::commands;
pub(crate) use crate::coupons_command::CouponsCommand;
pub(crate) use crate::dkim_command::DkimCommand;
pub(crate) use crate::mail_server::SmtpArgs;
pub(crate) use crate::message_command::{MessageCommand, TemplateCommand};
pub(crate) use crate::product_command::{ProductCommand, SnippetCommand};
pub(crate) use crate::readout_command::ReadoutCommand;
pub(crate) use crate::recommendation_command::RecommendationArgs;
pub(crate) use crate::send_command::SendingArgs;
pub(crate) use crate::sink_command::SinkArgs;
pub(crate) use crate::test_send_command::TestSendArgs;
pub(crate) use crate::webhook_command::{WebhookArgs, WebhookCommand};

/// Amounts are compared in this currency where nothing else is said.
pub const BASE_CURRENCY_DEFAULT: &str = "USD";

/// Message experiments that score themselves, and senders that follow the winner.
///
/// Start with `sendlab demo`. For your own data: `sendlab serve`, then `sendlab import contacts`, `sendlab experiment
/// apply`, `sendlab campaign apply` and `sendlab campaign start`. Every command speaks to the server that runs on the
/// data folder, or starts one for itself.
#[derive(Debug, Parser)]
#[command(name = "sendlab", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which server a command speaks to.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The data folder; made where it does not exist.
    #[arg(long, global = true, env = "SENDLAB_DATA", default_value = "data/local", value_name = "DIR")]
    pub data: PathBuf,
    /// Speak to this server instead of the data folder's own.
    #[arg(long, global = true, env = "SENDLAB_URL", requires = "key", value_name = "URL")]
    pub server: Option<String>,
    /// The API key for --server.
    #[arg(long, global = true, env = "SENDLAB_KEY", hide_env_values = true, value_name = "KEY")]
    pub key: Option<String>,
    /// The currency amounts are compared in, fixed when the data folder is first used [default: USD].
    #[arg(long, global = true, env = "SENDLAB_BASE_CURRENCY", value_name = "CODE")]
    pub base_currency: Option<String>,
    /// Exchange rates: the ECB's `eurofxref-hist.csv` or `eurofxref.csv`, whose rates hold until the next one and at most
    /// 7 days; or a CSV file of `date,currency,rate`, the rate being how much of the currency one unit of the base currency
    /// buys from that date on.
    #[arg(long, global = true, env = "SENDLAB_RATES", value_name = "FILE")]
    pub rates: Option<PathBuf>,
    /// Keep the lake's tables in this bucket of S3, or of a server that speaks its API and knows `If-None-Match`; fixed when
    /// the data folder is first used. How to reach it is taken from the usual variables: AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT, AWS_ALLOW_HTTP and so on [default: the data folder].
    #[arg(long, global = true, env = "SENDLAB_LAKE", value_name = "s3://BUCKET/PREFIX")]
    pub lake: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a whole message experiment run: simulated shoppers, real mail, real links, a winner that the sender follows.
    Demo(DemoArgs),
    /// Run the server: collector, API, console, planner, senders, scorer.
    Serve(Box<ServeArgs>),
    /// Send beside a running server, from a process of its own: as many as are wanted, on this data folder.
    #[command(
        after_help = "Example, in three terminals:\n  sendlab serve --smtp mail.example:25\n  sendlab send --name second --smtp \
                            mail.example:25\n  sendlab send --name third --smtp mail.example:25"
    )]
    Send(Box<SendingArgs>),
    /// Bring in contacts, events or a past experiment from files.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Create experiments, read them out, decide them.
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Try candidate designs of a test out on what the list did before: error, power, regret and cost.
    #[command(
        after_help = "Example:\n  sendlab experiment apply data/samples/experiment.yaml\n  sendlab simulate data/samples/design.yaml --experiment \
                            spring-subject"
    )]
    Simulate(crate::sizing_command::SimulateArgs),
    /// Look the metrics of an experiment over, on what its audience did before.
    #[command(subcommand)]
    Metrics(crate::sizing_command::MetricsCommand),
    /// Keep readouts of experiments, list them, and recompute them from the rows they read.
    #[command(subcommand)]
    Readout(ReadoutCommand),
    /// Create campaigns, start and pause them, see how far they are.
    #[command(subcommand)]
    Campaign(CampaignCommand),
    /// Name audiences by conditions or SQL, look at them, and let campaigns send to them.
    #[command(subcommand)]
    Segment(SegmentCommand),
    /// Coupon codes for campaigns: upload pools of them, see how many are left.
    #[command(subcommand)]
    Coupons(CouponsCommand),
    /// Products as messages show them: title, address, picture, in several languages.
    #[command(subcommand)]
    Product(ProductCommand),
    /// Pieces of templates that many messages take in: a footer, an address, what the law asks for.
    #[command(subcommand)]
    Snippet(SnippetCommand),
    /// Subscription forms with double opt-in: hosted pages, and HTML for pages of your own.
    #[command(subcommand)]
    Form(FormCommand),
    /// Templates of messages to one person: codes, receipts, news of a parcel.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Send a message to one person, and see what became of it.
    #[command(subcommand)]
    Message(MessageCommand),
    /// Take mail and text messages and deliver nothing: a sink for trying, loading and showing.
    #[command(
        after_help = "Example, in two terminals:\n  sendlab sink --answers provider --latency-ms 20\n  sendlab serve --smtp 127.0.0.1:2525"
    )]
    Sink(SinkArgs),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Keys that sign mail (DKIM): make one, and see what to publish for it.
    #[command(subcommand)]
    Dkim(DkimCommand),
    /// Triggers: messages that begin by themselves when something becomes true of a contact.
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Festivals, holidays and your own days of a market, and what of them stands in the way of a campaign.
    #[command(
        after_help = "Examples:\n  sendlab calendar CN --from 2026-11-01\n  sendlab calendar DE --channel sms --from 2026-12-20 \
                            --until 2027-01-05 --messages 4\n  sendlab calendar --own-days days.json\n\nThe file of own days is JSON:\n  \
                            [{\"name\": \"stocktaking\", \"market\": \"DE\", \"first\": \"2027-01-02\", \"last\": \"2027-01-03\", \
                            \"effect\": \"pause\"}]\nwith effect peak, care, pause or free; it replaces the days that were known."
    )]
    Calendar(CalendarArgs),
    /// What the senders should use now for an experiment: for a market, a language, a segment, a contact; and deciding it in person.
    #[command(after_help = crate::recommendation_command::HELP)]
    Recommendation(RecommendationArgs),
    /// Addresses of your own that hear of each recommendation (webhooks).
    #[command(subcommand, after_help = crate::webhook_command::HELP)]
    Webhook(WebhookCommand),
    /// Ask the lake a question in SQL. Queries only: nothing can be changed.
    #[command(after_help = "Examples:\n  sendlab sql \"select variant, count(*) from assignments group by variant\"\n  \
                            sendlab sql \"select sum(amount_base_minor) from orders\" --as-of 2026-01-31T00:00:00Z")]
    Sql(SqlArgs),
    /// Where the warm-ups of new sending domains stand: what they send today, how much of it left, when they are over.
    #[command(
        after_help = "Example, in two terminals:\n  sendlab serve --smtp mail.example:25 --warm-up data/samples/warm_up.toml\n  \
                            sendlab warm-ups"
    )]
    WarmUps,
    /// List the lake's tables and views with their columns.
    Tables,
    /// Read out an experiment that was run elsewhere, from a file of units or of sums. Needs no server and no data folder.
    #[command(
        after_help = "Examples:\n  sendlab analyze visitors.parquet --variant arm --control A --metric revenue --metric bought:binary\n  \
                            sendlab analyze mails.csv.gz --variant segment --control 'No E-Mail' --metric visit --metric spend:mean \\\n    \
                            --covariate history --segment channel --html report.html\n  \
                            sendlab analyze looks.csv --aggregate --control A\n\n\
                            A file of sums is CSV such as\n  variant,n,successes\n  A,10000,320\n  B,10000,365"
    )]
    Analyze(Box<AnalyzeArgs>),
    /// Try out what the statistics promise: false alarms at any look, coverage, power, honest forecasts. Fails where a promise
    /// is broken.
    #[command(
        after_help = "Examples:\n  sendlab certify --short\n  sendlab certify --history mails.csv.gz --metric spend --variant segment"
    )]
    Certify(CertifyArgs),
    /// Compute statistics by name: JSON lines in, JSON lines out. Needs no server and no data folder.
    #[command(
        after_help = "Each line is {\"id\": …, \"method\": …, \"input\": {…}}; its answer is {\"id\": …, \"actual\": {…}}. An input \
                            without an answer gives \"computable\": false and why; a line that cannot be read gives \"error\".\n\n\
                            Examples:\n  sendlab stats --list\n  sendlab stats --explain fieller\n  sendlab stats questions.jsonl > answers.jsonl"
    )]
    Stats(StatsArgs),
    /// Erase people: unlinkable at once, then deleted from every table and version, with a certificate.
    #[command(after_help = "Example:\n  sendlab erase customer-17 customer-18 > certificate.json")]
    Erase(EraseArgs),
    /// Say why somebody gets a message of a campaign, or gets none: what the plan says, and each rule with its input, its
    /// answer and its source.
    #[command(
        after_help = "Examples:\n  sendlab explain --contact customer-17 --campaign spring-test\n  sendlab explain --contact \
                            customer-17 --campaign spring-test --all\n\nWith a plan it tells what was known when the plan was made; \
                            without one, what would be decided now."
    )]
    Explain(ExplainArgs),
    /// Write down everything that is held about one person, as JSON: ids, addresses, profile, messages, events.
    #[command(after_help = "Example:\n  sendlab export customer-17 > customer-17.json")]
    Export {
        /// Your own id of the contact.
        contact: String,
    },
    /// Put people or addresses on the suppression list: no campaign reaches them from now on, and no import takes them off.
    #[command(
        after_help = "Examples:\n  sendlab suppress customer-17 --note 'asked on the telephone'\n  sendlab suppress --email \
                            kim@shop.example --phone +493022700\n  sendlab suppress --file robinson.txt --reason register\n\nThe file \
                            has one a line: what begins with @ is a domain, what holds an @ an e-mail address, what begins with + a phone \
                            number, all else your own id."
    )]
    Suppress(SuppressArgs),
    /// Check, repair, back up and restore the data folder, or land beside its server. Needs no server.
    #[command(subcommand)]
    Lake(LakeCommand),
    /// The vault of addresses: change its master key. Needs the data folder; a running server goes on.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatsArgs {
    /// A file of JSON lines; `-` or nothing reads what is piped in.
    pub(crate) file: Option<PathBuf>,
    /// Show all methods.
    #[arg(long, conflicts_with_all = ["file", "explain"])]
    pub(crate) list: bool,
    /// Explain a method: formula, reference, inputs with units, an example.
    #[arg(long, value_name = "METHOD", conflicts_with = "file")]
    pub(crate) explain: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EraseArgs {
    /// Your own ids of the contacts.
    #[arg(required_unless_present = "file")]
    pub(crate) contacts: Vec<String>,
    /// A file with one id a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// Your own id of the contact. May be given many times.
    #[arg(long, required = true, value_name = "ID")]
    pub(crate) contact: Vec<String>,
    /// The campaign.
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: String,
    /// Show the rules that permit it too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SuppressArgs {
    /// Your own ids of contacts.
    #[arg(required_unless_present_any = ["file", "email", "phone", "domain"])]
    pub(crate) contacts: Vec<String>,
    /// An e-mail address, whether or not anybody is known who has it. May be given many times.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,
    /// A phone number with + and the country's code, for SMS and WhatsApp. May be given many times.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) phone: Vec<String>,
    /// A domain of e-mail: nothing is handed over to any mailbox there. May be given many times.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Vec<String>,
    /// A file with one of these a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Why. `hard_bounced`, `invalid` and `legal` stop every message, the others marketing.
    #[arg(long, default_value = "manual", value_parser = ["unsubscribed", "complained", "hard_bounced", "invalid", "register", "legal", "manual"])]
    pub(crate) reason: String,
    /// More about why, for people who ask later.
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// Suppress contacts on this channel only.
    #[arg(long)]
    pub(crate) channel: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Table,
    Csv,
    Json,
    /// An Arrow IPC stream, for a file or a pipe.
    Arrow,
}

impl Format {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Everything random in the simulated world follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many simulated shoppers.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(2_000..=1_000_000))]
    pub(crate) contacts: u32,
    /// Stop when the result is shown, instead of keeping the console up until Ctrl-C.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Where the console listens while the demo runs.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SqlArgs {
    /// The query.
    pub(crate) query: String,
    /// How to print the answer.
    #[arg(long, default_value = "table")]
    pub(crate) format: Format,
    /// Read all tables as they were at this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<Timestamp>,
    /// Read a table at this version; may be given for several tables.
    #[arg(long, value_name = "TABLE=VERSION", value_parser = at_version, conflicts_with = "as_of")]
    pub(crate) at_version: Vec<(String, i64)>,
}

fn at_version(text: &str) -> Result<(String, i64), String> {
    let parsed = text.split_once('=').and_then(|(table, version)| Some((table.trim().to_owned(), version.trim().parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is no table with its version; write orders=12"))
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen.
    #[arg(long, env = "SENDLAB_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The address at which readers of your mail reach this server, for tracking and unsubscribe links.
    #[arg(long, env = "SENDLAB_BASE_URL", value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Events wait so many milliseconds for others before they are brought into the tables together. Sendlab's own SQL sees
    /// them at once; other engines see them then.
    #[arg(long, env = "SENDLAB_LAND_AFTER_MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub(crate) land_after_ms: u64,
    #[command(flatten)]
    pub(crate) smtp: SmtpArgs,
    #[command(flatten)]
    pub(crate) webhooks: WebhookArgs,
    /// The name of this process, unique among processes that send from the same control store.
    #[arg(long, default_value = "sender")]
    pub(crate) name: String,
    /// Queries that take longer are logged, and listed by `SELECT * FROM slow_queries`.
    #[arg(long, env = "SENDLAB_SLOW_QUERY_MS", value_name = "MS", default_value_t = 1_000)]
    pub(crate) slow_query_ms: u64,
    /// Keeps the events of a table for so many days after the day they happened, at least 35; may be given for each table. Files
    /// are deleted a week later, and not while a stored readout counts on them.
    #[arg(long, env = "SENDLAB_KEEP", value_name = "TABLE=DAYS", value_delimiter = ',')]
    pub(crate) keep: Vec<lake::Retention>,
    /// A folder with rules of your own about who may be written to: files such as caps.toml, wording.toml or sending.toml in the
    /// form of those in data/rules, each in the place of the built-in one of that name. What is changed there holds within a
    /// second.
    #[arg(long, env = "SENDLAB_RULES", value_name = "FOLDER")]
    pub(crate) rules: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Contacts from CSV, CSV.gz, Parquet, XLSX or lines of JSON: addresses go encrypted into the vault, the rest to the lake.
    #[command(after_help = IMPORT_CONTACTS_HELP)]
    Contacts(Box<ImportContactsArgs>),
    /// Events from CSV, CSV.gz, Parquet, XLSX or lines of JSON: rows go through the collector, which knows what it has already.
    #[command(after_help = IMPORT_EVENTS_HELP)]
    Events(Box<ImportEventsArgs>),
    /// Exchange rates: the ECB's eurofxref.csv or eurofxref-hist.csv, or lines of date,currency,rate.
    #[command(after_help = "Example:\n  sendlab import rates eurofxref-hist.csv")]
    Rates {
        /// The file.
        file: PathBuf,
    },
    /// A past experiment from a flat CSV, CSV.gz, Parquet or XLSX file: one row per person, with variant and outcomes.
    #[command(
        after_help = "Example, the MineThatData e-mail challenge:\n  sendlab import experiment hillstrom.csv.gz --variant segment \
        --control 'No E-Mail' \\\n    --attribute recency,history,zip_code,newbie,channel --click visit --order conversion=spend \\\n    \
        --currency USD --assigned-at 2008-03-20T00:00:00Z --window-hours 336\nThe same as a file: --mapping data/samples/hillstrom.yaml"
    )]
    Experiment(Box<ImportExperimentArgs>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImportExperimentArgs {
    /// The file.
    pub(crate) file: PathBuf,
    /// A YAML file with the same keys as the options below, with `_` for `-`; options win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// The experiment's id [default: the file's name].
    #[arg(long)]
    pub(crate) experiment: Option<String>,
    /// The column that holds the variant.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) variant: Option<String>,
    /// The variant the others are compared with [default: the first in the file].
    #[arg(long, value_name = "NAME")]
    pub(crate) control: Option<String>,
    /// Your own id of the person, made of `{row}` and `{COLUMN}` [default: EXPERIMENT-{row}].
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) contact: Option<String>,
    /// The e-mail address, made the same way, such as `c{row}@example.test`; no address where absent.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) email: Option<String>,
    /// The ISO 3166 country, made the same way, such as `US`: what laws ask before anybody is written to depends on it.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) country: Option<String>,
    /// Columns known before the experiment, kept as attributes of the contact.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    pub(crate) attribute: Vec<String>,
    /// When the variants were given: a time, or a template such as `{sent_at}` [default: 30 days ago].
    #[arg(long, value_name = "TIME")]
    pub(crate) assigned_at: Option<String>,
    /// How long outcomes were counted.
    #[arg(long, value_name = "HOURS")]
    pub(crate) window_hours: Option<u32>,
    /// A column that is 1 or true for those who opened.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) open: Option<String>,
    /// A column that is 1 or true for those who clicked.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) click: Option<String>,
    /// A column that is 1 or true for those who ordered, and the one with what they paid: `conversion=spend`.
    #[arg(long, value_name = "COLUMN=AMOUNT")]
    pub(crate) order: Option<String>,
    /// A column that is 1 or true for those who unsubscribed.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) unsubscribe: Option<String>,
    /// The currency of the amounts [default: the base currency].
    #[arg(long, value_name = "CODE")]
    pub(crate) currency: Option<String>,
    /// The metric that decides [default: the amount, else orders, else clicks].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) primary: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CalendarArgs {
    /// The market: an ISO 3166 country such as CN.
    #[arg(required_unless_present = "own_days")]
    pub(crate) market: Option<String>,
    /// The part of the country after the hyphen of ISO 3166-2, such as FL.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The first day [default: today].
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,
    /// The last day [default: 90 days later; of a campaign its first].
    #[arg(long, value_name = "DAY")]
    pub(crate) until: Option<String>,
    /// Show what stands in the way of a campaign by this channel, rather than the days.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// How many messages each contact is meant to get by it.
    #[arg(long, requires = "channel")]
    pub(crate) messages: Option<u32>,
    /// Replace your own days by those in this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["region", "from", "until", "channel"])]
    pub(crate) own_days: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// How fast mail leaves, beside Postfix's load generator and against the same server, and what each step costs.
    #[command(
        after_help = "Needs smtp-source and smtp-sink of Postfix. Nothing leaves this machine.\nExample:\n  sendlab bench smtp --messages 5000"
    )]
    Smtp(BenchSmtpArgs),
    /// How long a one-time code takes from the request to the mail server while a campaign goes out as fast as it can.
    #[command(after_help = "Nothing leaves this machine.\nExample:\n  sendlab bench codes --codes 200 --contacts 20000")]
    Codes(BenchCodesArgs),
    /// How long a plan takes, and how much memory, for an audience of any size.
    #[command(after_help = "Nothing is sent.\nExample:\n  sendlab bench plan --contacts 1000000 --keep /tmp/audience")]
    Plan(BenchPlanArgs),
    /// How fast it is answered what to send, beside a bare handler.
    #[command(after_help = "Example:\n  sendlab bench recommendations --connections 16")]
    Recommendations(BenchRecommendationsArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CampaignCommand {
    /// Create or change a campaign from a YAML file.
    ///
    /// Of a paused campaign what has not left can be changed: the message, the hours, the audience, the end. It is planned anew when it
    /// is started again, and nobody gets a second message. Of a test, the audience and the hours stay, and the message once somebody
    /// has got it; otherwise it would compare something else.
    #[command(
        after_help = "Example:\n  sendlab campaign pause spring\n  sendlab campaign apply spring.yaml\n  sendlab campaign start spring"
    )]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all campaigns and how far they are.
    List,
    /// What its plan would come to: how many get it where and when, who gets none and why, what it costs. Nothing is sent.
    #[command(after_help = "Example:\n  sendlab campaign dry-run spring --per-second 500")]
    DryRun {
        /// The campaign.
        campaign: String,
        /// How many messages leave in a second, to tell when it is done; what the gateways are set to for text messages.
        #[arg(long, value_name = "NUMBER")]
        per_second: Option<f64>,
    },
    /// Send the real message of a variant to your own addresses, before anybody else gets it.
    #[command(after_help = crate::test_send_command::HELP)]
    TestSend(TestSendArgs),
    /// Plan it and send it.
    Start {
        /// The campaign.
        campaign: String,
    },
    /// Stop handing over; start goes on where it stopped, and apply changes what has not left.
    Pause {
        /// The campaign.
        campaign: String,
    },
    /// End it for good: what has not left does not leave any more.
    Cancel {
        /// The campaign.
        campaign: String,
    },
    /// How far it is: planned, accepted, refused, in doubt.
    Status {
        /// The campaign.
        campaign: String,
        /// Follow it until it is done.
        #[arg(long)]
        follow: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Seal the vault under a new master key.
    #[command(
        after_help = "The master key lies in DATA/master.key, or comes from the environment variable SENDLAB_MASTER_KEY as 64 hexadecimal \
                            digits.\nIn the folder, a new key takes its place. From the environment, give the new one too:\n  \
                            SENDLAB_NEW_MASTER_KEY=$(openssl rand -hex 32) sendlab vault rotate"
    )]
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key. Its secret is shown once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do: collect (send events), read, manage, send (ask for recommendations).
        #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPE,...")]
        scopes: Vec<String>,
    },
    /// List the keys, without their secrets.
    List,
    /// Make a key useless at once.
    Revoke {
        /// The key's id, as `sendlab keys list` shows it.
        id: String,
    },
}

impl Cli {
    /// Runs the command to its end.
    #[must_use]
    pub fn start(self) -> ExitCode {
        commands::start(self)
    }
}
