//! `sendlab recommendation`: what the senders should use now, for whom, and a person's own decision.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use vocabulary::Timestamp;

use crate::client::Client;
use crate::commands::segment;
use crate::experiment_command;
use crate::print::{items, say, table, word};

/// How long the server may hold a question for a change: shorter than what proxies cut off.
const WAIT_SECONDS: u64 = 50;

/// What the help of the command ends with.
pub(crate) const HELP: &str = "Of the recommendations that speak for what is asked, the most specific answers. Where there is none, or it \
does not hold any more, senders send the control.\n\n\
Examples:\n  sendlab recommendation spring\n  sendlab recommendation spring --market DE --locale de-AT\n  \
sendlab recommendation spring --contact customer-17 --contact customer-18\n  sendlab recommendation spring --follow\n  \
sendlab recommendation spring --history\n  \
sendlab recommendation spring --use warm --market DE --because 'The German shop asked for it'\n  \
sendlab recommendation spring --weight plain=30 --weight warm=70 --until 2026-12-24T00:00:00Z --because 'A second look'";

#[derive(Debug, Args)]
pub(crate) struct RecommendationArgs {
    /// The experiment.
    experiment: String,
    /// For this market.
    #[arg(long)]
    market: Option<String>,
    /// For this language tag.
    #[arg(long)]
    locale: Option<String>,
    /// For this segment.
    #[arg(long)]
    segment: Option<String>,
    /// What this contact gets, by your own id. May be given many times.
    #[arg(long, value_name = "ID", conflicts_with_all = ["history", "follow", "variant", "weight"])]
    contact: Vec<String>,
    /// Everything that was ever recommended.
    #[arg(long, conflicts_with_all = ["follow", "variant", "weight"])]
    history: bool,
    /// Print each change as it comes, until Ctrl-C.
    #[arg(long, conflicts_with_all = ["variant", "weight"])]
    follow: bool,
    /// Decide in person: send this variant from now on.
    #[arg(long = "use", value_name = "VARIANT", requires = "because", conflicts_with = "weight")]
    variant: Option<String>,
    /// Decide in person: send several, in these proportions. Given for each variant.
    #[arg(long, value_name = "VARIANT=NUMBER", value_parser = weight, requires = "because")]
    weight: Vec<(String, f64)>,
    /// When the decision ceases to hold [default: when it is replaced].
    #[arg(long, value_name = "TIME", requires = "because")]
    until: Option<Timestamp>,
    /// Why, in a sentence for those who come after.
    #[arg(long, value_name = "REASON")]
    because: Option<String>,
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is no variant with its weight; write warm=70"))
}

pub(crate) async fn run(client: &Client, args: RecommendationArgs) -> anyhow::Result<()> {
    let path = format!("/v1/recommendations/{}", segment(&args.experiment));
    if args.variant.is_some() || !args.weight.is_empty() {
        return decide(client, &path, args).await;
    }
    if args.because.is_some() {
        bail!("--because says why something is decided; add --use VARIANT, or --weight VARIANT=NUMBER for several");
    }
    if args.history {
        history(&client.get(&format!("{path}/history")).await?);
        return Ok(());
    }
    if !args.contact.is_empty() {
        return picks(client, &path, args).await;
    }
    let named = [("market", &args.market), ("locale", &args.locale), ("segment", &args.segment)];
    let named = named.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))));
    let query = named.collect::<Vec<_>>().join("&");
    let mut advice = client.get(&format!("{path}?{query}")).await?;
    print(&advice);
    if !args.follow {
        return Ok(());
    }
    loop {
        // What is not known any more comes at once, and the tag of a fallback is no id: it is waited for the next recommendation.
        let known = advice["id"].as_str().map(|id| format!("&after={}", segment(id))).unwrap_or_default();
        let asked = format!("{path}?{query}&wait_seconds={WAIT_SECONDS}{known}");
        // The answer is empty while nothing changed.
        let next = client.get_changed(&asked).await?;
        if let Some(next) = next.filter(|next| *next != advice) {
            print(&next);
            advice = next;
        }
    }
}

async fn decide(client: &Client, path: &str, args: RecommendationArgs) -> anyhow::Result<()> {
    let RecommendationArgs { market, locale, segment, variant, weight, until, because, .. } = args;
    let named = |body: Value| {
        let mut body = body;
        body["market"] = json!(market);
        body["locale"] = json!(locale);
        body["segment"] = json!(segment);
        body
    };
    let weights = (!weight.is_empty()).then(|| weight.into_iter().collect::<BTreeMap<_, _>>());
    let parent = current_of(&client.get(&format!("{path}/history")).await?, &named(json!({})));
    let body =
        named(json!({ "variant": variant, "weights": weights, "valid_until": until, "parent": parent, "reason": because }));
    let made = client.send(Method::POST, path, "application/json", body.to_string().into_bytes()).await?;
    if made["recommendations"].is_array() {
        experiment_command::waits(&made);
    } else {
        say("The senders follow from now on.");
        print(&made);
    }
    Ok(())
}

/// The id of the newest recommendation of a scope: the one that is current.
fn current_of(history: &Value, scope: &Value) -> Value {
    let lower = |value: &Value| value.as_str().map(|text| text.trim().replace('_', "-").to_lowercase());
    let is_same = |made: &&Value| {
        ["market", "locale"].iter().all(|part| lower(&made["scope"][part]) == lower(&scope[part]))
            && made["scope"]["segment"].as_str() == scope["segment"].as_str().map(str::trim)
    };
    items(history).iter().find(is_same).map_or(Value::Null, |made| made["id"].clone())
}

async fn picks(client: &Client, path: &str, args: RecommendationArgs) -> anyhow::Result<()> {
    let RecommendationArgs { market, locale, segment, contact, .. } = args;
    let body = json!({ "contacts": contact, "market": market, "locale": locale, "segment": segment });
    let answer =
        client.send(Method::POST, &format!("{path}/contacts"), "application/json", body.to_string().into_bytes()).await?;
    let row = |pick: &Value| {
        let follows = if pick["fallback"] == true { "nothing; the control".to_owned() } else { word(&pick["recommendation_id"]) };
        vec![word(&pick["contact"]), word(&pick["variant"]), word(&pick["propensity"]), follows]
    };
    table(&["contact", "variant", "propensity", "follows"], &items(&answer["picks"]).iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// One recommendation, or what is sent for want of one.
pub(crate) fn print(advice: &Value) {
    let split = shares(&advice["weights"]);
    let uses = if split.is_empty() { word(&advice["variant"]) } else { split };
    say(&format!("Senders use: {uses}"));
    say(&format!("  Because  {}", word(&advice["reason"])));
    if advice["fallback"] == true {
        return;
    }
    say(&format!("  For      {}", scope(&advice["scope"])));
    say(&format!("  Since    {}", word(&advice["created_at"])));
    if !advice["valid_until"].is_null() {
        say(&format!("  Until    {}", word(&advice["valid_until"])));
    }
    say(&format!("  Id       {} (replaces {})", word(&advice["id"]), word(&advice["parent"])));
}

fn history(all: &Value) {
    if items(all).is_empty() {
        return say("Nothing was ever recommended; senders send the control.");
    }
    let row = |made: &Value| {
        let split = shares(&made["weights"]);
        let uses = if split.is_empty() { word(&made["variant"]) } else { split };
        vec![word(&made["created_at"]), scope(&made["scope"]), uses, word(&made["reason"])]
    };
    table(&["made", "for", "senders use", "because"], &items(all).iter().map(row).collect::<Vec<_>>());
}

/// The shares of several variants; empty where one has all.
fn shares(weights: &Value) -> String {
    let shares: Vec<(&String, f64)> =
        weights.as_object().into_iter().flatten().filter_map(|(name, share)| Some((name, share.as_f64()?))).collect();
    let some: Vec<String> = shares
        .into_iter()
        .filter(|(_, share)| *share > 0.0)
        .map(|(name, share)| format!("{name} {:.1} %", share * 100.0))
        .collect();
    if some.len() > 1 { some.join(", ") } else { String::new() }
}

fn scope(scope: &Value) -> String {
    let parts = ["market", "locale", "segment"].iter().filter_map(|name| Some(format!("{name} {}", scope[name].as_str()?)));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "everybody".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_one_of_a_scope_is_its_newest() {
        let made =
            |id: &str, market: Option<&str>| json!({ "id": id, "scope": { "market": market, "locale": null, "segment": null } });
        let history = json!([made("r3", Some("DE")), made("r2", None), made("r1", Some("DE"))]);
        let check = |market: Option<&str>, expect: Value| assert_eq!(current_of(&history, &json!({ "market": market })), expect);
        check(None, json!("r2"));
        check(Some("de"), json!("r3"));
        check(Some("FR"), Value::Null);
    }

    #[test]
    fn shares_are_shown_where_there_are_several() {
        assert_eq!(shares(&json!({ "plain": 0.3, "warm": 0.7 })), "plain 30.0 %, warm 70.0 %");
        assert_eq!(shares(&json!({ "plain": 0.0, "warm": 1.0 })), "");
        assert_eq!(weight("a=b=2.5"), Ok(("a=b".to_owned(), 2.5)));
        assert!(weight("warm").is_err());
    }
}
