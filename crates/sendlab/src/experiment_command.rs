//! `sendlab experiment`: stored, listed, read out, decided, and put on a page.

use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::ExperimentCommand;
use crate::client::Client;
use crate::commands::{apply, segment};
use crate::print::{self, items, say, table, word};
use crate::{recommendation_command, sizing_command};

pub(crate) async fn run(client: &Client, command: ExperimentCommand) -> anyhow::Result<()> {
    let post =
        async |path: &str, body: Value| client.send(Method::POST, path, "application/json", body.to_string().into_bytes()).await;
    match command {
        ExperimentCommand::Apply { file } => {
            let answer = apply(client, "/v1/experiments", &file).await?;
            say(&format!("Experiment {} is stored.", answer["experiment"].as_str().unwrap_or("?")));
        }
        ExperimentCommand::Page { experiment, output } => {
            let page = client.bytes(Method::GET, &path(&experiment, "/page"), "application/json", Vec::new()).await?;
            let file = output.unwrap_or_else(|| PathBuf::from(format!("{experiment}.html")));
            std::fs::write(&file, page)
                .with_context(|| format!("cannot write {}; name another file with --output", file.display()))?;
            say(&format!("The page is in {}; open it in a browser, print it or send it.", file.display()));
        }
        ExperimentCommand::Size(args) => sizing_command::size(client, &args).await?,
        ExperimentCommand::Decide { experiment } => decided(&post(&path(&experiment, "/decide"), json!({})).await?),
        ExperimentCommand::Approve { proposal } => {
            post(&format!("/v1/proposals/{}/approve", segment(&proposal)), json!({})).await?;
            say("It is approved; the senders follow from now on.");
        }
        ExperimentCommand::Refuse { proposal, note } => {
            post(&format!("/v1/proposals/{}/refuse", segment(&proposal)), json!({ "note": note })).await?;
            say("It is refused; the senders go on as they do.");
        }
        question => {
            let Question { path, json, print } = Question::of(question);
            tell(json, &client.get(&path).await?, print)?;
        }
    }
    Ok(())
}

fn path(experiment: &str, what: &str) -> String {
    format!("/v1/experiments/{}{what}", segment(experiment))
}

/// What only asks.
struct Question {
    path: String,
    /// Whether all of the answer is printed.
    json: bool,
    print: fn(&Value),
}

impl Question {
    fn of(command: ExperimentCommand) -> Self {
        let of = |path, json, print| Self { path, json, print };
        match command {
            ExperimentCommand::List => of("/v1/experiments".to_owned(), false, print::experiments),
            ExperimentCommand::Show { experiment } => of(path(&experiment, ""), false, print::experiment),
            ExperimentCommand::Readout { experiment, market, age_hours, json } => {
                let market = market.map(|market| format!("market={}", segment(&market)));
                let cut: Vec<String> = market.into_iter().chain(age_hours.map(|hours| format!("age_hours={hours}"))).collect();
                of(format!("{}?{}", path(&experiment, "/readout"), cut.join("&")), json, print::readout)
            }
            ExperimentCommand::Breakdown { experiment, by, json } => {
                of(format!("{}?by={}", path(&experiment, "/breakdown"), segment(&by)), json, breakdown)
            }
            ExperimentCommand::Adjusted { experiment, json } => of(path(&experiment, "/adjusted"), json, less_noise),
            ExperimentCommand::Holdout { since, days, margin, message, json } => {
                let asked = [
                    since.map(|since| format!("since={}", segment(&since.to_string()))),
                    days.map(|days| format!("window_hours={}", u64::from(days) * 24)),
                    margin.map(|margin| format!("margin={margin}")),
                    message.map(|message| format!("message={message}")),
                ];
                let asked: Vec<String> = asked.into_iter().flatten().collect();
                of(format!("/v1/holdout?{}", asked.join("&")), json, held_out)
            }
            ExperimentCommand::Series { experiment, json } => of(path(&experiment, "/series"), json, by_time),
            ExperimentCommand::Overlaps { experiment, json } => of(path(&experiment, "/overlaps"), json, overlaps),
            ExperimentCommand::Decision { experiment, json } => of(path(&experiment, "/decision"), json, show),
            ExperimentCommand::Rollout { experiment, json } => of(path(&experiment, "/rollout"), json, rollout),
            ExperimentCommand::Bandit { experiment, json } => of(path(&experiment, "/bandit"), json, bandit),
            ExperimentCommand::Proposals { experiment, json } => {
                let asked = experiment.map(|experiment| format!("?experiment={}", segment(&experiment))).unwrap_or_default();
                of(format!("/v1/proposals{asked}"), json, proposals)
            }
            ExperimentCommand::Library { json } => of("/v1/library".to_owned(), json, library),
            ExperimentCommand::Programme { alpha, json } => {
                let asked = alpha.map(|alpha| format!("?alpha={alpha}")).unwrap_or_default();
                of(format!("/v1/programme{asked}"), json, programme)
            }
            ExperimentCommand::Apply { .. }
            | ExperimentCommand::Page { .. }
            | ExperimentCommand::Size(_)
            | ExperimentCommand::Decide { .. }
            | ExperimentCommand::Approve { .. }
            | ExperimentCommand::Refuse { .. } => unreachable!("these do more than ask"),
        }
    }
}

/// What the crate that made an answer makes of it for people.
fn read<T: DeserializeOwned>(answer: &Value, text: fn(&T) -> String) {
    match serde_json::from_value(answer.clone()) {
        Ok(answer) => say(text(&answer).trim_end()),
        // A server of another version.
        Err(_) => say(&answer.to_string()),
    }
}

fn breakdown(groups: &Value) {
    read(groups, experiment::breakdown::text);
}

fn less_noise(found: &Value) {
    read(found, experiment::adjusted::text);
}

fn held_out(found: &Value) {
    if items(&found["arms"]).iter().all(|arm| arm["assigned"] == 0) {
        say("Nobody was written to or held out since then; ask with an earlier `--since`, or wait until a campaign is done.");
    } else {
        print::readout(found);
    }
}

fn by_time(found: &Value) {
    read(found, experiment::series::text);
}

fn overlaps(found: &Value) {
    let all = items(found);
    if all.is_empty() {
        say("No other experiment shares recipients with it within their windows.");
    }
    all.iter().for_each(|overlap| say(&word(&overlap["sentence"])));
}

/// All of an answer as JSON, or what people read of it.
fn tell(json: bool, answer: &Value, print: fn(&Value)) -> anyhow::Result<()> {
    if json {
        say(&serde_json::to_string_pretty(answer)?);
    } else {
        print(answer);
    }
    Ok(())
}

/// What a decision came to.
pub(crate) fn decided(answer: &Value) {
    show(&answer["decision"]);
    let moved = answer["changed"].as_bool() == Some(true);
    let proposal = &answer["proposal"];
    if proposal.is_null() {
        say(if moved { "The senders follow from now on." } else { "The recommendation stays as it was." });
    } else {
        waits(proposal);
    }
    recommendation_command::print(&answer["recommendation"]);
}

/// A proposal that was just made.
pub(crate) fn waits(proposal: &Value) {
    say(&format!(
        "It waits for a second person, because {} people are still to follow. With another key:\n  sendlab experiment approve {}",
        proposal["recipients"],
        word(&proposal["id"])
    ));
}

/// What to do, why, and where markets differ.
fn show(decision: &Value) {
    say(&word(&decision["sentence"]));
    for reason in items(&decision["reasons"]) {
        say(&format!("  {:<22} {}", word(&reason["code"]), word(&reason["sentence"])));
    }
    for doubt in items(&decision["doubts"]) {
        say(&format!("  Doubt: {}", word(&doubt["sentence"])));
    }
    let arms = items(&decision["arms"]);
    if !arms.is_empty() {
        let row = |arm: &Value| [vec![word(&arm["variant"])], forecast(arm)].concat();
        table(&["variant", "raw lift", "forecast", "best with", "cost if wrong"], &arms.iter().map(row).collect::<Vec<_>>());
    }
    let markets = items(&decision["markets"]);
    if !markets.is_empty() {
        let row = |market: &Value| {
            let own = [word(&market["market"]), word(&market["variant"]), word(&market["best"]["variant"])].to_vec();
            [own, forecast(&market["best"])].concat()
        };
        let rows: Vec<_> = markets.iter().map(row).collect();
        table(&["market", "send", "best bet", "raw lift", "forecast", "best with", "cost if wrong"], &rows);
    }
}

/// What waits for a second person, and what waited.
fn proposals(all: &Value) {
    let rows: Vec<Vec<String>> = items(all)
        .iter()
        .flat_map(|of| {
            let row = |made: &Value| {
                let by = if of["proposed_by"].is_null() { "the server".to_owned() } else { word(&of["proposed_by"]) };
                let own = [&of["id"], &of["state"], &of["experiment_id"]].map(word).to_vec();
                [own, vec![whom(&made["scope"]), word(&made["variant"]), word(&of["recipients"]), by, word(&made["reason"])]]
                    .concat()
            };
            items(&of["recommendations"]).iter().map(row).collect::<Vec<_>>()
        })
        .collect();
    if rows.is_empty() {
        say(
            "Nothing waits for a second person. `approval: {from: 100000}` in an experiment makes what is decided wait where so many are still to follow.",
        );
    } else {
        table(&["proposal", "state", "experiment", "for", "variant", "people", "proposed by", "why"], &rows);
    }
}

/// For whom something is.
fn whom(scope: &Value) -> String {
    let parts = ["market", "locale", "segment"].map(|part| &scope[part]);
    let named: Vec<String> = parts.into_iter().filter(|part| !part.is_null()).map(word).collect();
    if named.is_empty() { "everybody".to_owned() } else { named.join(", ") }
}

/// Where a bandit stands: each variant in each scope, and what followers tell of it.
fn bandit(standing: &Value) {
    say(&word(&standing["sentence"]));
    let rows: Vec<Vec<String>> = (items(&standing["scopes"]).iter())
        .flat_map(|scope| {
            let names = ["proposed", "shares"].map(|what| scope[what].as_object().filter(|of| !of.is_empty()));
            let names = names.into_iter().flatten().next().into_iter().flat_map(|of| of.keys());
            names.map(|name| {
                let number = |what: &str| percent(&scope[what][name.as_str()], "");
                vec![whom(&scope["scope"]), name.clone(), number("shares"), number("chances"), number("proposed")]
            })
        })
        .collect();
    table(&["for", "variant", "share", "best with", "next share"], &rows);
    let row = |effect: &Value| {
        let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:+.4}"));
        let ends = ["lower", "upper"].map(|end| number(&effect["interval"][end]));
        vec![word(&effect["variant"]), number(&effect["difference"]), ends.join(" to ")]
    };
    let rows: Vec<_> = items(&standing["effects"]).iter().map(row).collect();
    if !rows.is_empty() {
        say("\nWhat followers tell, whatever the shares were:");
        table(&["variant", "more than the control", "at 95 %"], &rows);
    }
}

/// Where a rollout stands, scope by scope.
fn rollout(standing: &Value) {
    let scopes = items(standing);
    if scopes.is_empty() {
        say("Nothing is rolled out in steps: the experiment has no `rollout`, or nothing is decided yet.");
    }
    for scope in scopes {
        say(&format!("{}: {}", whom(&scope["scope"]), word(&scope["sentence"])));
        let of = |step: &Value, what: &str, variant: &str| word(&step[what][scope[variant].as_str().unwrap_or_default()]);
        let row = |step: &Value| {
            let share = format!("{:.0} %", 100.0 * step["share"].as_f64().unwrap_or_default());
            vec![share, word(&step["since"]), of(step, "followers", "variant"), of(step, "followers", "control")]
        };
        let rows: Vec<_> = items(&scope["steps"]).iter().map(row).collect();
        table(&["step", "since", &format!("got {}", word(&scope["variant"])), "got the control"], &rows);
    }
}

fn library(taught: &Value) {
    let entries = items(&taught["entries"]);
    if entries.is_empty() {
        say("No experiment has come to a decision yet; each that does is in the library from then on.");
        return;
    }
    let row = |entry: &Value| {
        let lesson = &entry["lesson"];
        let tags: Vec<String> = items(&lesson["tags"]).iter().map(word).collect();
        let sure = percent(&entry["certainty"], "");
        vec![
            word(&lesson["experiment"]),
            word(&lesson["variant"]),
            word(&lesson["metric"]),
            percent(&lesson["lift"], "+"),
            percent(&entry["lift"], "+"),
            sure,
            tags.join(", "),
        ]
    };
    table(
        &["experiment", "variant", "metric", "raw lift", "believed", "better with", "tags"],
        &entries.iter().map(row).collect::<Vec<_>>(),
    );
    let row = |pattern: &&Value| {
        let (theme, pooled) = (&pattern["theme"], &pattern["pooled"]);
        let ends = ["lower", "upper"].map(|end| percent(&pooled["interval"][end], "+"));
        vec![
            format!("{} {}", word(&theme["by"]), word(&theme["value"])),
            word(&pattern["measure"]),
            word(&pattern["experiments"]),
            percent(&pooled["mean"], "+"),
            ends.join(" to "),
        ]
    };
    let rows: Vec<_> =
        items(&taught["patterns"]).iter().filter(|pattern| !pattern["pooled"].is_null()).map(|pattern| row(&pattern)).collect();
    if !rows.is_empty() {
        say("\nWhat works, as a hint for the next test and no proof:");
        table(&["pattern", "measure", "experiments", "mean lift", "at 95 %"], &rows);
    }
}

fn programme(together: &Value) {
    for way in ["by_p_value", "by_e_value"] {
        say(&word(&together[way]["sentence"]));
    }
    let row = |winner: &Value| {
        let stands = if winner["stands"].as_bool() == Some(true) { "stands" } else { "may be chance" };
        vec![
            word(&winner["experiment"]),
            word(&winner["variant"]),
            percent(&winner["raw_lift"], "+"),
            percent(&winner["lift"], "+"),
            stands.to_owned(),
        ]
    };
    let rows: Vec<_> = items(&together["by_p_value"]["winners"]).iter().map(row).collect();
    if !rows.is_empty() {
        table(&["experiment", "winner", "raw lift", "believed", "together"], &rows);
    }
}

fn percent(value: &Value, sign: &str) -> String {
    value.as_f64().map_or("-".to_owned(), |share| match sign {
        "+" => format!("{:+.1} %", 100.0 * share),
        _ => format!("{:.0} %", 100.0 * share),
    })
}

/// The lift as observed and as expected, how probably it is the best, and what it costs where it is not.
fn forecast(of: &Value) -> Vec<String> {
    let loss = of["expected_loss"].as_f64().map_or("-".to_owned(), |loss| format!("{loss:.4}"));
    vec![percent(&of["raw_lift"], "+"), percent(&of["lift"], "+"), percent(&of["probability_best"], ""), loss]
}
