//! Prints the API's answers for people: aligned columns, percentages, sentences.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

/// Writes a line to standard output. A reader that went away (`| head`) is no failure.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// Writes bytes to standard output as they are.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Writes a line beside the output, so that the output can be piped.
pub(crate) fn note(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Prints why a command failed, with its causes.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    note(&format!("error: {error}"));
    for cause in error.chain().skip(1) {
        note(&format!("  because: {cause}"));
    }
    ExitCode::FAILURE
}

/// Aligned columns under their headings; numbers to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let is_number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || "+-−[".contains(c));
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| {
            let pad = " ".repeat(width - cell.chars().count());
            if is_number(cell) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        say(format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end());
    };
    line(&headings.iter().map(|&heading| heading.to_owned()).collect::<Vec<_>>());
    line(&widths.iter().map(|&width| "─".repeat(width)).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
}

/// Triggers in words, with what they did.
pub(crate) fn triggers(list: &Value) {
    let rows = list.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return say("There are no triggers. `sendlab trigger apply data/samples/triggers.yaml` stores eight.");
    }
    for row in rows {
        say(&format!("{} ({}): {}", word(&row["trigger"]["trigger"]), word(&row["state"]), word(&row["meaning"])));
        say(&format!(
            "  {} came due, {} held out, {} taken out; {} contacts watched; evaluated {}",
            word(&row["sent"]),
            word(&row["held_out"]),
            word(&row["exited"]),
            word(&row["watched"]),
            word(&row["evaluated_at"]),
        ));
        if let Some(problem) = row["problem"].as_str() {
            say(&format!("  Nothing is sent: {problem}."));
        }
    }
}

/// One trigger and its newest entries.
pub(crate) fn trigger(row: &Value) {
    triggers(&Value::Array(vec![row.clone()]));
    let entries = row["entries"].as_array().map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        return say("  Nobody has entered and left yet.");
    }
    let cells =
        |entry: &Value| ["contact_key", "occurrence", "true_at", "due", "outcome"].map(|field| word(&entry[field])).to_vec();
    table(&["contact", "entry", "became true", "due", "outcome"], &entries.iter().map(cells).collect::<Vec<_>>());
}

pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}

pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A whole number with thousands separated.
pub(crate) fn count(value: &Value) -> String {
    let digits = value.as_u64().unwrap_or(0).to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

pub(crate) fn tables(tables: &Value) {
    for table_info in items(tables) {
        let facts = match table_info["kind"].as_str() {
            Some("view") => "view".to_owned(),
            _ => format!("table, {} rows, version {}", count(&table_info["rows"]), table_info["version"]),
        };
        say(&format!("{} ({facts})", word(&table_info["name"])));
        say(&format!("  {}", word(&table_info["comment"])));
        let column = |column: &Value| vec![word(&column["name"]), word(&column["type"]), word(&column["comment"])];
        table(&["column", "type", "what it holds"], &items(&table_info["columns"]).iter().map(column).collect::<Vec<_>>());
        say("");
    }
}

pub(crate) fn keys(keys: &Value) {
    let scopes = |key: &Value| items(&key["scopes"]).iter().map(word).collect::<Vec<_>>().join(",");
    let row =
        |key: &Value| vec![word(&key["id"]), word(&key["name"]), scopes(key), word(&key["created_at"]), word(&key["revoked_at"])];
    table(&["id", "name", "scopes", "created", "revoked"], &items(keys).iter().map(row).collect::<Vec<_>>());
}

pub(crate) fn experiments(experiments: &Value) {
    if items(experiments).is_empty() {
        say(
            "No experiment yet. Create one with `sendlab experiment apply FILE`, or bring in a past one with `sendlab import experiment FILE`.",
        );
        return;
    }
    let variant = |variant: &Value| variant["name"].as_str().map_or_else(|| word(variant), str::to_owned);
    let variants = |row: &Value| items(&row["variants"]).iter().map(variant).collect::<Vec<_>>().join(", ");
    let uses =
        |row: &Value| row["recommendation"]["variant"].as_str().map_or_else(|| word(&row["recommendation"]), str::to_owned);
    let row = |row: &Value| vec![word(&row["experiment"]), variants(row), word(&row["primary"]), uses(row)];
    table(&["experiment", "variants", "decided by", "senders use"], &items(experiments).iter().map(row).collect::<Vec<_>>());
}

/// One experiment as it was written, and how its groups were balanced.
pub(crate) fn experiment(answer: &Value) {
    let question = answer["question"].as_str().filter(|question| !question.is_empty());
    say(&format!("{}{}", word(&answer["experiment"]), question.map(|question| format!(": {question}")).unwrap_or_default()));
    let variant = |variant: &Value| format!("{} ({})", word(&variant["name"]), variant["weight"]);
    let variants: Vec<String> = items(&answer["variants"]).iter().map(variant).collect();
    say(&format!("  Variants    {}, with their weights", variants.join(", ")));
    say(&format!("  Decided by  {}, counted for {} hours", word(&answer["primary"]), answer["window_hours"]));
    let balance = &answer["balance"];
    if balance.is_null() {
        return say("  Groups      as chance makes them");
    }
    let covariates: Vec<String> = items(&balance["covariates"]).iter().map(word).collect();
    let accepted = percent(balance["acceptance"].as_f64(), false);
    say(&format!("  Groups      are to agree in {} as the best {accepted} of all draws do", covariates.join(", ")));
    match answer.get("balanced") {
        None => say("  Drawn       not yet; the plan of its first campaign decides"),
        Some(balanced) => self::balanced(balanced, "Drawn       "),
    }
}

/// Which draw counts and how it was found.
fn balanced(balanced: &Value, heading: &str) {
    let by = format!("by campaign {} at {}", word(&balanced["campaign"]), word(&balanced["at"]));
    if balanced["draws"] == 0 {
        return say(&format!("  {heading}draw 0 {by}, which is triggered: nobody was known beforehand"));
    }
    let which =
        if balanced["accepted"] == true { "the first that is balanced enough" } else { "the best, though none was enough" };
    let [draw, draws, contacts] = ["draw", "draws", "contacts"].map(|name| count(&balanced[name]));
    say(&format!("  {heading}draw {draw} of {draws} that were looked at, {which}; {by}, over {contacts} contacts"));
    let distance = |name: &str| balanced[name].as_f64().map_or_else(|| "none".to_owned(), |distance| format!("{distance:.3}"));
    let [own, most, first] = ["distance", "threshold", "first_distance"].map(distance);
    say(&format!("  {:<12}distance {own}, at most {most}; draw 0 has {first}", ""));
    let deviations = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let row = |row: &Value| vec![word(&row["covariate"]), deviations(&row["first"]), deviations(&row["chosen"])];
    let rows: Vec<Vec<String>> = items(&balanced["covariates"]).iter().map(row).collect();
    table(&["largest difference, in standard deviations", "draw 0", "drawn"], &rows);
}

pub(crate) fn segments(segments: &Value) {
    if items(segments).is_empty() {
        say("No segment yet. Create some with `sendlab segment apply FILE`; data/samples/segments.yaml has twelve.");
        return;
    }
    for row in items(segments) {
        segment(row);
    }
}

/// The days of a market, or what stands in the way of a campaign.
pub(crate) fn calendar(days: &Value, conflicts: bool) {
    match (items(days).is_empty(), conflicts) {
        (true, true) => say("Nothing stands in the way."),
        (true, false) => say("No festival, holiday or own day in this time."),
        (false, true) => {
            let row = |row: &Value| ["first", "last", "what", "rule"].map(|name| word(&row[name])).to_vec();
            table(&["first", "last", "what stands in the way", "rule"], &items(days).iter().map(row).collect::<Vec<_>>());
        }
        (false, false) => {
            let row = |row: &Value| ["first", "last", "name", "effect", "rule"].map(|name| word(&row[name])).to_vec();
            table(&["first", "last", "day", "effect", "rule"], &items(days).iter().map(row).collect::<Vec<_>>());
        }
    }
}

/// One segment in words.
pub(crate) fn segment(row: &Value) {
    let about = row["segment"]["description"].as_str().map(|about| format!(": {about}")).unwrap_or_default();
    say(&format!("{} (version {}){about}", word(&row["segment"]["segment"]), row["version"]));
    for sentence in items(&row["meaning"]) {
        say(&format!("  {}", word(sentence)));
    }
    for used in items(&row["uses"]) {
        let [campaign, at] = ["campaign", "at"].map(|name| word(&used[name]));
        say(&format!("  used as version {} by {campaign} at {at}: {} contacts", used["version"], count(&used["contacts"])));
    }
}

/// Who is in a segment now.
pub(crate) fn segment_preview(seen: &Value, with_query: bool) {
    say(&format!("{} contacts, found in {} ms.", count(&seen["count"]), seen["milliseconds"]));
    for sentence in items(&seen["meaning"]) {
        say(&format!("  {}", word(sentence)));
    }
    let sample: Vec<String> = items(&seen["sample"]).iter().map(word).collect();
    if !sample.is_empty() {
        say(&format!("Some of them: {}", sample.join(", ")));
    }
    if with_query {
        say(&format!("\n{}", word(&seen["query"])));
    }
}

pub(crate) fn campaigns(campaigns: &Value) {
    if items(campaigns).is_empty() {
        say("No campaign yet. Create one with `sendlab campaign apply FILE`.");
        return;
    }
    let row = |row: &Value| {
        let progress = &row["progress"];
        let numbers = ["planned", "accepted", "refused", "in_doubt"].map(|name| count(&progress[name]));
        [vec![word(&row["campaign"]["campaign"]), word(&row["state"])], numbers.to_vec()].concat()
    };
    table(
        &["campaign", "state", "planned", "accepted", "refused", "in doubt"],
        &items(campaigns).iter().map(row).collect::<Vec<_>>(),
    );
}

pub(crate) fn campaign_line(row: &Value) {
    let progress = &row["progress"];
    note(&format!("{}: {} of {} accepted", word(&row["state"]), count(&progress["accepted"]), count(&progress["planned"])));
}

pub(crate) fn campaign(row: &Value) {
    let progress = &row["progress"];
    say(&format!("Campaign {} is {}.", word(&row["campaign"]["campaign"]), word(&row["state"])));
    if let Some(error) = row["error"].as_str() {
        say(&format!("  Why        {error}"));
    }
    let lines = [
        ("planned", "Planned", "recipients"),
        ("accepted", "Accepted", "taken over by the mail server"),
        ("refused", "Refused", "the mail server would not have"),
        ("claimed", "Claimed", "being handed over now"),
        ("in_doubt", "In doubt", "cut off while being handed over; not sent again"),
        ("skipped", "Skipped", "unsubscribed or erased after planning"),
        ("fallback", "Fallback", "carried the control because no recommendation held"),
    ];
    for (name, title, meaning) in lines {
        say(&format!("  {title:<9} {:>10}  {meaning}", count(&progress[name])));
    }
}

/// Where warm-ups stand.
pub(crate) fn warm_ups(list: &Value) {
    if items(list).is_empty() {
        return say("No domain is warmed up. `sendlab serve --warm-up data/samples/warm_up.toml` begins it.");
    }
    let row = |row: &Value| {
        let today = if row["allowance"].is_null() { "no limit".to_owned() } else { count(&row["allowance"]) };
        let waits = if row["is_full"] == true { "the rest waits until tomorrow" } else { "" };
        vec![word(&row["warm_up"]), word(&row["start"]), today, count(&row["sent"]), word(&row["over_on"]), waits.to_owned()]
    };
    table(&["warm-up", "begins", "today", "left", "over on", ""], &items(list).iter().map(row).collect::<Vec<_>>());
}

/// A plan in numbers.
pub(crate) fn dry_run(run: &Value) {
    if run["audience"] == 0 {
        say("Nobody is in the audience; look at its segment or query.");
        return;
    }
    let [sent, audience] = ["sent", "audience"].map(|name| count(&run[name]));
    say(&format!("{sent} of {audience} contacts would get a message, {} none. Nothing was sent.", count(&run["left_out"])));
    if run["held_out"].as_u64().is_some_and(|held_out| held_out > 0) {
        say(&format!("{} would be held out: they get everything but the message.", count(&run["held_out"])));
    }
    if let (Some(first), Some(last)) = (run["first_due"].as_str(), run["last_due"].as_str()) {
        say(&format!("  Due     from {first} to {last}"));
    }
    match run["done_at"].as_str() {
        Some(done) => say(&format!("  Done    {done}, at {} messages a second", run["per_second"])),
        None => say("  Done    not known; say how many leave in a second with --per-second"),
    }
    let balance = &run["balance"];
    if balance.is_object() {
        let kept = if balance["kept"] == true { "kept from an earlier plan: " } else { "as a plan made now would choose: " };
        balanced(&balance["balanced"], &format!("Groups  {kept}"));
    }
    if let Some(cost) = run["cost"].as_object() {
        let amounts: Vec<String> = items(&cost["amounts"]).iter().map(word).collect();
        let amounts = if amounts.is_empty() { "not known".to_owned() } else { amounts.join(" and ") };
        let of = format!("from {} messages that were made, {} of them without a price", cost["sampled"], cost["unpriced"]);
        say(&format!("  Cost    {amounts}, {of}"));
    }
    for need in items(&run["coupons"]) {
        let [needed, left, lacking] = ["needed", "left", "lacking"].map(|name| count(&need[name]));
        let pool = word(&need["pool"]);
        say(&format!("  Coupons {needed} of the pool {pool}, which has {left} left"));
        if lacking != "0" {
            say(&format!(
                "  WARNING {lacking} messages find the pool {pool} empty: upload more with `sendlab coupons upload`, or see"
            ));
            say("          that `missing` and `defaults` of the copy say what they get instead");
        }
    }
    let parts = [
        ("by_market", &["market", "sent", "left_out"][..]),
        ("by_variant", &["variant", "sent"]),
        ("by_channel", &["channel", "sent"]),
        ("by_hour", &["hour", "sent"]),
        ("by_learned_hour", &["hour", "from", "sent"]),
        ("by_rule", &["rule", "put_off", "left_out", "example"]),
    ];
    for (name, columns) in parts {
        let cell = |value: &Value| if value.is_number() { count(value) } else { word(value) };
        let rows: Vec<Vec<String>> =
            items(&run[name]).iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect()).collect();
        if !rows.is_empty() {
            say("");
            table(columns, &rows);
        }
    }
}

/// A fraction in percent; an interval's missing end is open.
fn percent(value: Option<f64>, signed: bool) -> String {
    value.map_or_else(
        || "open".into(),
        |value| if signed { format!("{:+.2} %", value * 100.0) } else { format!("{:.2} %", value * 100.0) },
    )
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "open".into(), |value| format!("{value:+.6}"))
}

fn interval(answer: &Value, print: fn(Option<f64>) -> String) -> String {
    format!("[{}, {}]", print(answer["interval"]["lower"].as_f64()), print(answer["interval"]["upper"].as_f64()))
}

/// An answer, or why there is none.
fn answered(answer: &Value, estimate: &str, print: fn(Option<f64>) -> String) -> (String, String) {
    match answer.get("computed") {
        Some(value) => (print(value[estimate].as_f64()), interval(value, print)),
        None => ("-".into(), answer["degenerate"]["why"].as_str().unwrap_or("cannot be computed").to_owned()),
    }
}

pub(crate) fn p_value(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".into(), |p| if p < 1e-4 { format!("{p:.1e}") } else { format!("{p:.4}") })
}

/// A readout: verdict, arms, estimates, doubts.
pub(crate) fn readout(readout: &Value) {
    say(&format!("{}  as of {}", word(&readout["experiment_id"]), word(&readout["as_of"])));
    if let Some(market) = readout["market"].as_str() {
        say(&format!("  Only recipients of {market}."));
    }
    if let Some(hours) = readout["age_hours"].as_u64() {
        say(&format!("  What recipients did within {hours} hours, of those who are that old."));
    }
    say("");
    say(&format!("  {}", word(&readout["verdict"]["sentence"])));
    say("");
    let arm = |arm: &Value| {
        let funnel = ["sent", "opened", "clicked", "ordered"].map(|stage| count(&arm["funnel"][stage]));
        [vec![word(&arm["variant"]), count(&arm["assigned"]), count(&arm["mature"])], funnel.to_vec()].concat()
    };
    table(
        &["variant", "assigned", "counted", "sent", "opened", "clicked", "ordered"],
        &items(&readout["arms"]).iter().map(arm).collect::<Vec<_>>(),
    );
    say("");
    let estimate = |row: &Value| {
        let (difference, between) = answered(&row["absolute"], "difference", number);
        let (lift, lift_between) = answered(&row["relative"], "relative", |value| percent(value, true));
        let versus = format!("{} v {}", word(&row["variant"]), word(&row["baseline"]));
        vec![word(&row["metric"]), versus, difference, between, lift, lift_between, p_value(&row["p_adjusted"])]
    };
    let headings = ["metric", "comparison", "difference", "95 % interval", "lift", "95 % interval", "p (Holm)"];
    table(&headings, &items(&readout["estimates"]).iter().map(estimate).collect::<Vec<_>>());
    say("");
    let ratio = &readout["sample_ratio"];
    say(&format!("  Sample ratio  p {}", p_value(&ratio["test"]["computed"]["p_value"])));
    if let Some(erased) = readout["erased_units"].as_u64().filter(|erased| *erased > 0) {
        say(&format!("  Erased        {erased} units, because their people asked for it; they count nowhere above"));
    }
    if items(&readout["doubts"]).is_empty() {
        say("  Doubts        none");
    }
    for doubt in items(&readout["doubts"]) {
        say(&format!("  Doubt         {} ({})", word(&doubt["sentence"]), word(&doubt["code"])));
    }
    // The holdout is no experiment that anything is decided about.
    if let Some(made) = readout.get("recommendation") {
        let uses = made["variant"].as_str().unwrap_or("nothing yet; decide with `sendlab experiment decide`");
        say(&format!("  Senders use   {uses}"));
    }
    let versions = readout["versions"].as_object().into_iter().flatten().map(|(table, version)| format!("{table} {version}"));
    say(&format!("  Read from     {}", versions.collect::<Vec<_>>().join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(&json!(1_234_567)), "1,234,567");
        assert_eq!(count(&json!(12)), "12");
        assert_eq!(p_value(&json!(1.5e-13)), "1.5e-13");
        assert_eq!(percent(Some(0.123_456), true), "+12.35 %");
        assert_eq!(percent(None, true), "open");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let answer = json!({ "degenerate": { "why": "no recipient ordered" } });
        assert_eq!(answered(&answer, "relative", number), ("-".into(), "no recipient ordered".into()));
    }
}
