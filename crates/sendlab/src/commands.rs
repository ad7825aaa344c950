//! Runs the commands: each asks the server and prints the answer.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::cli::{
    BenchCommand, CampaignCommand, Cli, Command, FormCommand, Format, ImportCommand, KeysCommand, Place, SegmentCommand,
    ServeArgs, SqlArgs, TriggerCommand, VaultCommand,
};
use crate::client::{Client, Session, settings};
use crate::import_rows::Asked;
use crate::print::{self, say};
use crate::server::{Server, Settings};
use crate::{
    SystemClock, SystemIds, analyze, bench_codes, bench_plan, bench_recommendations, bench_smtp, certify, coupons_command, demo,
    dkim_command, experiment_command, import, import_rows, lake_command, mail_server, master_key, message_command,
    product_command, readout_command, recommendation_command, send_command, sink_command, sizing_command, stats_command,
    test_send_command, webhook_command,
};

/// How often a followed campaign is asked how far it is.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// What is logged unless `SENDLAB_LOG` says otherwise. What Delta's kernel calls an error is a table that is not there yet, or is told by
/// whoever called it.
const LOGGED: &str = "warn,buoyant_kernel=off";

/// Runs a command, prints its failure in words and gives the exit code.
pub(crate) fn start(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_env("SENDLAB_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print::failure(&error.into()),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<import_rows::SomeRejected>() => {
            print::note(&format!("{error}"));
            ExitCode::from(import_rows::SomeRejected::EXIT_CODE)
        }
        Err(error) if error.is::<readout_command::NotRecomputed>() => {
            print::note(&format!("{error}"));
            ExitCode::from(readout_command::NotRecomputed::EXIT_CODE)
        }
        Err(error) => print::failure(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Demo(args) => demo::run(&cli.place, &args).await,
        Command::Serve(args) => serve(&cli.place, *args).await,
        Command::Send(args) => send_command::run(&cli.place, *args).await,
        Command::Openapi => {
            say(api::openapi_json().trim_end());
            Ok(())
        }
        Command::Stats(args) => stats_command::run(&args),
        Command::Dkim(command) => dkim_command::run(&command),
        Command::Sink(args) => sink_command::run(&args).await,
        Command::Bench(BenchCommand::Smtp(args)) => bench_smtp::run(&args).await,
        Command::Bench(BenchCommand::Codes(args)) => bench_codes::run(&args).await,
        Command::Bench(BenchCommand::Plan(args)) => bench_plan::run(&args).await,
        Command::Bench(BenchCommand::Recommendations(args)) => bench_recommendations::run(&args).await,
        Command::Analyze(args) => analyze::run(&args).await,
        Command::Certify(args) => certify::run(&args).await,
        Command::Import(ImportCommand::Events(args)) if args.file.dry_run => import_rows::dry_run(&Asked::events(&args)?).await,
        Command::Import(ImportCommand::Contacts(args)) if args.file.dry_run => {
            import_rows::dry_run(&Asked::contacts(&args)?).await
        }
        Command::Vault(VaultCommand::Rotate) => {
            if cli.place.server.is_some() {
                bail!("`sendlab vault` works on a data folder; leave --server out and run it where the folder is");
            }
            master_key::rotate(&cli.place.data, &SystemIds).await
        }
        Command::Lake(command) => lake_command::run(&cli.place, &command).await,
        command => {
            let session = Session::open(&cli.place).await?;
            let outcome = ask(&session, &cli.place, command).await;
            session.close().await?;
            outcome
        }
    }
}

async fn ask(session: &Session, place: &Place, command: Command) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        Command::Import(ImportCommand::Contacts(args)) => import_rows::run(client, place, &Asked::contacts(&args)?).await,
        Command::Import(ImportCommand::Events(args)) => import_rows::run(client, place, &Asked::events(&args)?).await,
        Command::Import(ImportCommand::Rates { file }) => {
            let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let put = client.send(Method::PUT, "/v1/rates", "text/csv", text).await?;
            let spans = put["spans"].as_array().map_or(0, Vec::len);
            say(&format!(
                "The rates are in. {spans} spans of days convert otherwise now; {} files were computed again.",
                put["files"]
            ));
            Ok(())
        }
        Command::Import(ImportCommand::Experiment(args)) => import::experiment(client, &args).await,
        Command::Experiment(command) => experiment_command::run(client, command).await,
        Command::Metrics(sizing_command::MetricsCommand::Check(args)) => sizing_command::check_metrics(client, &args).await,
        Command::Simulate(args) => sizing_command::simulate(client, &args).await,
        Command::Campaign(command) => campaign(session, command).await,
        Command::Calendar(args) => calendar(client, args).await,
        Command::Segment(command) => segments(client, command).await,
        Command::Coupons(command) => coupons_command::run(client, command).await,
        Command::Readout(command) => readout_command::run(client, command).await,
        Command::Product(command) => product_command::products(client, command).await,
        Command::Snippet(command) => product_command::snippets(client, command).await,
        Command::Form(command) => forms(client, command).await,
        Command::Template(command) => message_command::templates(client, command).await,
        Command::Message(command) => message_command::messages(client, command).await,
        Command::Trigger(command) => triggers(client, command).await,
        Command::Recommendation(args) => recommendation_command::run(client, args).await,
        Command::Webhook(command) => webhook_command::run(client, command).await,
        Command::Sql(args) => sql(client, args).await,
        Command::WarmUps => {
            print::warm_ups(&client.get("/v1/warm-ups").await?);
            Ok(())
        }
        Command::Tables => {
            print::tables(&client.get("/v1/tables").await?);
            Ok(())
        }
        Command::Keys(command) => keys(client, command).await,
        Command::Erase(args) => erase(client, args).await,
        Command::Explain(args) => crate::explain::run(client, args).await,
        Command::Export { contact } => {
            let held = client.get(&format!("/v1/contacts/{}/export", segment(&contact))).await?;
            say(&serde_json::to_string_pretty(&held)?);
            Ok(())
        }
        Command::Suppress(args) => suppress(client, args).await,
        Command::Demo(_)
        | Command::Serve(_)
        | Command::Send(_)
        | Command::Openapi
        | Command::Stats(_)
        | Command::Analyze(_)
        | Command::Lake(_)
        | Command::Vault(_)
        | Command::Certify(_)
        | Command::Dkim(_)
        | Command::Sink(_)
        | Command::Bench(_) => {
            unreachable!("these run without a session")
        }
    }
}

/// Runs the server until Ctrl-C.
async fn serve(place: &Place, args: ServeArgs) -> anyhow::Result<()> {
    let settings = Settings {
        listen: args.listen,
        base_url: args.base_url,
        smtp: mail_server::smtp(&args.smtp)?,
        smtp_of: mail_server::smtp_of(&args.smtp)?,
        sms: mail_server::sms(args.smtp.sms.as_deref())?,
        warm_ups: mail_server::warm_ups(args.smtp.warm_up.as_deref())?,
        dkim: args.smtp.dkim,
        lanes: usize::from(args.smtp.smtp_lanes),
        name: args.name,
        land_after: Duration::from_millis(args.land_after_ms),
        slow_query: Duration::from_millis(args.slow_query_ms),
        rules: args.rules,
        retention: args.keep,
        webhook_loopback: args.webhooks.webhook_loopback,
        ..settings(place)?
    };
    let sends = settings.smtp.is_some() || !settings.smtp_of.is_empty() || !settings.sms.routes().is_empty();
    let server = Server::start(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
    say(&format!("Sendlab listens at {}", server.door.url));
    say(&format!("  Data folder   {}", place.data.display()));
    // A key belongs on a screen, not into a log.
    if std::io::stdout().is_terminal() {
        say(&format!("  Console       {}/#key={}", server.door.url, server.door.key));
    } else {
        say(&format!("  Console       {}/ with the key in {}", server.door.url, place.data.join("local.key").display()));
    }
    say(if sends {
        "  Sending       on"
    } else {
        "  Sending       off: give --smtp HOST:PORT, or --sms FILE, to hand messages over"
    });
    say("  Stop          Ctrl-C");
    until_stopped().await?;
    say("Stopping: finishing what is under way and landing what is acknowledged ...");
    server.stop().await
}

/// Waits for Ctrl-C or a polite request to end.
pub(crate) async fn until_stopped() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

pub(crate) async fn apply(client: &Client, path: &str, file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let answer = client.send(Method::PUT, path, "application/yaml", text).await;
    answer.with_context(|| format!("{} was refused", file.display()))
}

async fn calendar(client: &Client, args: crate::cli::CalendarArgs) -> anyhow::Result<()> {
    if let Some(file) = &args.own_days {
        let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let days = client.send(Method::PUT, "/v1/calendar/days", "application/json", text).await?;
        say(&format!("{} own days are in the calendar.", days.as_array().map_or(0, Vec::len)));
    }
    let Some(market) = &args.market else { return Ok(()) };
    let messages = args.messages.map(|messages| messages.to_string());
    let given = [
        ("market", Some(market)),
        ("region", args.region.as_ref()),
        ("from", args.from.as_ref()),
        ("until", args.until.as_ref()),
        ("channel", args.channel.as_ref()),
        ("messages", messages.as_ref()),
    ];
    let given: Vec<String> = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(value?)))).collect();
    let path = if args.channel.is_some() { "/v1/calendar/conflicts" } else { "/v1/calendar" };
    print::calendar(&client.get(&format!("{path}?{}", given.join("&"))).await?, args.channel.is_some());
    Ok(())
}

async fn segments(client: &Client, command: SegmentCommand) -> anyhow::Result<()> {
    match command {
        SegmentCommand::Apply { file } => print::segments(&apply(client, "/v1/segments", &file).await?),
        SegmentCommand::List => print::segments(&client.get("/v1/segments").await?),
        SegmentCommand::Show { segment: name } => {
            print::segment(&client.get(&format!("/v1/segments/{}", segment(&name))).await?);
        }
        SegmentCommand::Preview { segment: name, sql } => {
            let file = Path::new(&name);
            let document = match file.extension() {
                Some(_) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
                None => serde_json::to_vec(&json!({ "segment": name }))?,
            };
            let seen = client.send(Method::POST, "/v1/segments/preview", "application/yaml", document).await?;
            print::segment_preview(&seen, sql);
        }
    }
    Ok(())
}

async fn forms(client: &Client, command: FormCommand) -> anyhow::Result<()> {
    let forms = match command {
        FormCommand::Apply { file } => apply(client, "/v1/forms", &file).await?,
        FormCommand::List => client.get("/v1/forms").await?,
    };
    let forms = forms.as_array().map_or(&[][..], Vec::as_slice);
    if forms.is_empty() {
        say("There are no forms. `sendlab form apply data/samples/forms.yaml` stores two.");
    }
    for form in forms {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        say(&format!("{}: {}\n{}\n", text(&form["form"]["form"]), text(&form["url"]), text(&form["html"])));
    }
    Ok(())
}

async fn triggers(client: &Client, command: TriggerCommand) -> anyhow::Result<()> {
    let switch = async |name: &str, verb: &str| {
        client.send(Method::POST, &format!("/v1/triggers/{}/{verb}", segment(name)), "application/json", b"{}".to_vec()).await
    };
    match command {
        TriggerCommand::Apply { file } => print::triggers(&apply(client, "/v1/triggers", &file).await?),
        TriggerCommand::List => print::triggers(&client.get("/v1/triggers").await?),
        TriggerCommand::Show { trigger } => {
            print::trigger(&client.get(&format!("/v1/triggers/{}", segment(&trigger))).await?);
        }
        TriggerCommand::Start { trigger } => {
            switch(&trigger, "start").await?;
            say(&format!("Trigger {trigger} runs. What became true during the pause does not count."));
        }
        TriggerCommand::Pause { trigger } => {
            switch(&trigger, "pause").await?;
            say(&format!("Trigger {trigger} is paused. `sendlab trigger start {trigger}` lets it go on."));
        }
    }
    Ok(())
}

async fn campaign(session: &Session, command: CampaignCommand) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        CampaignCommand::Apply { file } => {
            let answer = apply(client, "/v1/campaigns", &file).await?;
            let name = answer["campaign"]["campaign"].as_str().unwrap_or("?");
            let what = if answer["is_changed"] == true { "changed, for those who have not got their message" } else { "stored" };
            say(&format!("Campaign {name} is {what}. Send it with `sendlab campaign start {name}`."));
        }
        CampaignCommand::List => print::campaigns(&client.get("/v1/campaigns").await?),
        CampaignCommand::DryRun { campaign, per_second } => {
            let path = format!("/v1/campaigns/{}/dry-run", segment(&campaign));
            let body = serde_json::to_vec(&json!({ "per_second": per_second }))?;
            print::dry_run(&client.send(Method::POST, &path, "application/json", body).await?);
        }
        CampaignCommand::TestSend(args) => test_send_command::run(session, args).await?,
        CampaignCommand::Start { campaign } => {
            if session.is_own() {
                bail!(
                    "no server runs on this data folder; start one that can send, in another terminal: sendlab serve --smtp HOST:PORT"
                );
            }
            switch(client, &campaign, "start").await?;
            say(&format!("Campaign {campaign} starts. Follow it with `sendlab campaign status {campaign} --follow`."));
        }
        CampaignCommand::Pause { campaign } => {
            switch(client, &campaign, "pause").await?;
            say(&format!(
                "Campaign {campaign} is paused. `sendlab campaign start {campaign}` goes on where it stopped; `sendlab campaign apply` \
                 changes what has not left."
            ));
        }
        CampaignCommand::Cancel { campaign } => {
            let answer = switch(client, &campaign, "cancel").await?;
            let left = &answer["progress"]["accepted"];
            say(&format!("Campaign {campaign} is cancelled. {} messages had left, the others will not.", print::count(left)));
        }
        CampaignCommand::Status { campaign, follow } => {
            let path = format!("/v1/campaigns/{}", segment(&campaign));
            let mut answer = client.get(&path).await?;
            while follow && matches!(answer["state"].as_str(), Some("planning" | "sending")) {
                print::campaign_line(&answer);
                tokio::time::sleep(FOLLOW_PAUSE).await;
                answer = client.get(&path).await?;
            }
            print::campaign(&answer);
        }
    }
    Ok(())
}

async fn switch(client: &Client, campaign: &str, verb: &str) -> anyhow::Result<Value> {
    let path = format!("/v1/campaigns/{}/{verb}", segment(campaign));
    client.send(Method::POST, &path, "application/json", b"{}".to_vec()).await
}

async fn sql(client: &Client, args: SqlArgs) -> anyhow::Result<()> {
    let path = format!("/v1/sql?format={}", args.format.as_str());
    let mut body = json!({ "sql": args.query });
    if let Some(at) = args.as_of {
        body["as_of"] = json!(at);
    }
    if !args.at_version.is_empty() {
        body["versions"] =
            args.at_version.into_iter().collect::<BTreeMap<_, _>>().into_iter().map(|(k, v)| (k, json!(v))).collect();
    }
    let answer = client.bytes(Method::POST, &path, "application/json", serde_json::to_vec(&body)?).await?;
    match args.format {
        Format::Arrow if std::io::stdout().is_terminal() => {
            bail!("an Arrow stream is no text; write it to a file: add `> answer.arrows`")
        }
        Format::Arrow => print::raw(&answer),
        _ => say(String::from_utf8_lossy(&answer).trim_end()),
    }
    Ok(())
}

async fn keys(client: &Client, command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::Create { name, scopes } => {
            let body = serde_json::to_vec(&json!({ "name": name, "scopes": scopes }))?;
            let answer = client.send(Method::POST, "/v1/keys", "application/json", body).await?;
            say(answer["secret"].as_str().unwrap_or_default());
            print::note("Keep it: only its hash is stored, and it is not shown again.");
        }
        KeysCommand::List => print::keys(&client.get("/v1/keys").await?),
        KeysCommand::Revoke { id } => {
            client.send(Method::DELETE, &format!("/v1/keys/{}", segment(&id)), "application/json", Vec::new()).await?;
            say(&format!("Key {id} is revoked."));
        }
    }
    Ok(())
}

/// How often an erasure is asked for until it is done.
const ERASURE_POLL: std::time::Duration = std::time::Duration::from_millis(500);

/// The lines of a file in which something stands; none where there is no file.
fn lines(file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// What is sent in one request; a list may be longer.
const SUPPRESSIONS_PER_REQUEST: usize = 10_000;

async fn suppress(client: &Client, args: crate::cli::SuppressArgs) -> anyhow::Result<()> {
    let crate::cli::SuppressArgs { contacts, email, phone, domain, file, reason, note, channel } = args;
    let of_file = lines(file.as_deref())?.into_iter().map(|line| match line {
        line if line.starts_with('@') => ("domains", line.trim_start_matches('@').to_owned()),
        line if line.contains('@') => ("emails", line),
        line if line.starts_with('+') => ("phones", line),
        line => ("contacts", line),
    });
    let named = [("contacts", contacts), ("emails", email), ("phones", phone), ("domains", domain)];
    let named = named.into_iter().flat_map(|(kind, names)| names.into_iter().map(move |name| (kind, name)));
    let all: Vec<_> = named.chain(of_file).collect();
    let (mut suppressed, mut unknown) = (0, 0);
    for part in all.chunks(SUPPRESSIONS_PER_REQUEST) {
        let of = |kind: &str| part.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str()).collect::<Vec<_>>();
        let body = json!({
            "contacts": of("contacts"), "emails": of("emails"), "phones": of("phones"), "domains": of("domains"), "reason": reason,
            "note": note, "channel": channel,
        });
        let answer = client.send(Method::POST, "/v1/suppressions", "application/json", serde_json::to_vec(&body)?).await?;
        suppressed += answer["suppressed"].as_u64().unwrap_or_default();
        unknown += answer["unknown"].as_u64().unwrap_or_default();
    }
    say(&format!("{suppressed} are suppressed; {unknown} ids are unknown."));
    Ok(())
}

async fn erase(client: &Client, args: crate::cli::EraseArgs) -> anyhow::Result<()> {
    let mut contacts = args.contacts;
    contacts.extend(lines(args.file.as_deref())?);
    let body = serde_json::to_vec(&json!({ "contacts": contacts }))?;
    let mut erasure = client.send(Method::POST, "/v1/erasures", "application/json", body).await?;
    print::note(&format!(
        "{} contacts are unlinkable; {} ids are unknown. Deleting their rows ...",
        erasure["contacts"], erasure["unknown"]
    ));
    let path = format!("/v1/erasures/{}", segment(erasure["id"].as_str().unwrap_or_default()));
    while erasure["done_at"].is_null() {
        tokio::time::sleep(ERASURE_POLL).await;
        erasure = client.get(&path).await?;
    }
    say(&serde_json::to_string_pretty(&erasure)?);
    Ok(())
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    content::percent_encoded(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_path_segments() {
        assert_eq!(segment("spring-2026"), "spring-2026");
        assert_eq!(segment("a b/c?"), "a%20b%2Fc%3F");
        assert_eq!(segment("早"), "%E6%97%A9");
    }
}
