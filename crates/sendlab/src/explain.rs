//! `sendlab explain`: why somebody gets a message of a campaign, or gets none, told for people.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::ExplainArgs;
use crate::client::Client;
use crate::print::say;

pub(crate) async fn run(client: &Client, args: ExplainArgs) -> anyhow::Result<()> {
    let body = serde_json::to_vec(&json!({ "campaign": args.campaign, "contacts": args.contact }))?;
    let answer = client.send(Method::POST, "/v1/explanations", "application/json", body).await?;
    if args.json {
        say(&serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    for contact in list(&answer["contacts"]) {
        tell(&answer, contact, args.all);
    }
    for unknown in list(&answer["unknown"]) {
        say(&format!("{}: there is no such contact.", text(unknown)));
    }
    Ok(())
}

fn tell(answer: &Value, contact: &Value, all: bool) {
    let moment = match contact["plan"].as_u64() {
        Some(plan) => format!("plan {plan} of {}", text(&contact["at"])),
        None => format!("no plan yet; as it would be at {}", text(&contact["at"])),
    };
    say(&format!("{} in {} ({moment})", text(&contact["contact"]), text(&answer["campaign"])));
    if let Some(step) = contact["step"].as_str() {
        say(&format!("  Entry {step} of a trigger."));
    }
    let decided = if contact["planned"].is_null() { &contact["decided"] } else { &contact["planned"] };
    say(&format!("  {}", decision(decided)));
    if contact["agrees"] == json!(false) {
        say(&format!(
            "  What is known of the contact has changed since. The rules say now of that moment: {}",
            decision(&contact["decided"])
        ));
    }
    if let Some(learned) = contact["learned_hour"].as_object() {
        say(&format!("  Learned hour: {} o'clock by their own clock: {}", learned["hour"], text(&learned["because"])));
    }
    if let Some(message) = contact["message"].as_object() {
        let reply = message["reply"].as_str().map(|reply| format!(": {reply}")).unwrap_or_default();
        let at = if message["settled_at"].is_null() { &message["claimed_at"] } else { &message["settled_at"] };
        say(&format!("  The message is {} since {}{reply}", text(&message["state"]).replace('_', " "), text(at)));
    }
    for variant in list(&contact["variants"]) {
        say(&format!(
            "  Variant {} by {}, meant for {}: {}",
            text(&variant["variant"]),
            text(&variant["channel"]),
            text(&variant["due"]),
            text(&variant["decision"])
        ));
        for round in list(&variant["rounds"]) {
            say(&format!("    at {}", text(&round["at"])));
            for finding in list(&round["findings"]).iter().filter(|finding| all || finding["answer"] != "permit") {
                say(&format!("      {}", told(finding)));
            }
            let permitted = list(&round["findings"]).iter().filter(|finding| finding["answer"] == "permit").count();
            if !all {
                say(&format!("      {permitted} rules permit it; --all shows them"));
            }
        }
    }
}

/// One decision as a sentence.
fn decision(decision: &Value) -> String {
    let why = decision["reason"]
        .as_str()
        .map(|reason| format!(": {reason} (rule {}, version {})", text(&decision["rule"]), decision["rule_version"]));
    let why = why.unwrap_or_default();
    if decision["sent"] != json!(true) {
        return format!("not sent{why}");
    }
    let variant = decision["variant"].as_str().map(|name| format!(" variant {name}")).unwrap_or_default();
    format!("sent{variant} by {}, due {}{why}", text(&decision["channel"]), text(&decision["due"]))
}

/// One rule's answer on a line, with its source behind it.
fn told(finding: &Value) -> String {
    let until = finding["until"].as_str().map(|until| format!(" until {until}")).unwrap_or_default();
    let source = finding["source"].as_str().map(|source| format!(" [{source}]")).unwrap_or_default();
    format!(
        "{}{until} by {} (version {}): {}; told: {}{source}",
        text(&finding["answer"]),
        text(&finding["rule"]),
        finding["version"],
        text(&finding["because"]),
        text(&finding["input"]),
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
