//! The copies of a campaign that goes by several channels: each channel takes the copies that go by it, and of them the parts it has.

use std::collections::BTreeMap;

use vocabulary::{Campaign, Channel, Copy, Experiment, Snippet, Translation};

use crate::{ContentError, Given, Library};

/// The copies that go by each of a campaign's channels. One that no variant names goes by the first.
#[must_use]
pub fn copies_by_channel(campaign: &Campaign, experiment: &Experiment) -> BTreeMap<Channel, BTreeMap<String, Copy>> {
    let chain = campaign.chain();
    let goes_by = |name: &str, channel: Channel| {
        let mut named = experiment.variants.iter().filter(|variant| variant.copy_name() == name).peekable();
        if named.peek().is_none() {
            chain.first() == Some(&channel)
        } else {
            named.any(|own| own.channel.is_none_or(|own| own == channel))
        }
    };
    let part = |copy: &Copy, channel: Channel| {
        if chain.len() > 1 && channel != Channel::Email { text_alone(copy) } else { copy.clone() }
    };
    let copies = |channel: Channel| {
        let own = campaign.content.iter().filter(|(name, _)| goes_by(name, channel));
        own.map(|(name, copy)| (name.clone(), part(copy, channel))).collect::<BTreeMap<_, _>>()
    };
    chain.iter().map(|channel| (*channel, copies(*channel))).filter(|(_, copies)| !copies.is_empty()).collect()
}

/// Compiles the copies of a campaign for each of the channels that they go by.
///
/// # Errors
/// The first thing that is wrong, with copy, language, part and line.
pub fn libraries(
    campaign: &Campaign,
    experiment: &Experiment,
    snippets: &[Snippet],
) -> Result<BTreeMap<Channel, Library>, ContentError> {
    if campaign.content.is_empty() {
        return Err(ContentError::CopyCount(0));
    }
    let given = Given { snippets, slots: &campaign.slots };
    let compile =
        |(channel, copies): (Channel, BTreeMap<String, Copy>)| Ok((channel, Library::compile_with(&copies, channel, given)?));
    copies_by_channel(campaign, experiment).into_iter().map(compile).collect()
}

/// Whether a copy asks for a coupon by any channel.
#[must_use]
pub fn use_coupon(libraries: &BTreeMap<Channel, Library>, copy: &str) -> bool {
    libraries.values().any(|library| library.uses_coupon(copy))
}

/// A copy as a channel takes it that has texts alone.
fn text_alone(copy: &Copy) -> Copy {
    let alone = |translation: &Translation| Translation { subject: String::new(), html: String::new(), ..translation.clone() };
    let locales = copy.locales.iter().map(|(tag, translation)| (tag.clone(), alone(translation)));
    Copy { subject: String::new(), html: String::new(), locales: locales.collect(), ..copy.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_channel_takes_its_copies_and_their_parts() {
        let check = |channels: &[&str], variants: serde_json::Value, expect: Result<&[(&str, &[&str])], &str>| {
            let campaign: Campaign = serde_json::from_value(json!({
                "campaign": "c", "experiment": "e", "channels": channels, "content": {
                    "letter": { "subject": "s", "html": "<p>h</p>" },
                    "note": { "text": "t" },
                    "both": { "subject": "s", "html": "<p>h</p>", "text": "t", "locales": { "de": { "subject": "s", "html": "<p>h</p>", "text": "t" } } },
                },
            }))
            .unwrap();
            let experiment: Experiment = serde_json::from_value(json!({
                "experiment": "e", "factors": ["channel"], "variants": variants, "primary": "m",
                "metrics": [{ "name": "m", "outcome": "click", "measure": "occurred" }],
            }))
            .unwrap();
            let found = copies_by_channel(&campaign, &experiment);
            match (expect, libraries(&campaign, &experiment, &[])) {
                (Ok(expect), Ok(libraries)) => {
                    let names: Vec<(&str, Vec<&str>)> = found
                        .iter()
                        .map(|(channel, copies)| (channel.as_str(), copies.keys().map(String::as_str).collect()))
                        .collect();
                    let expect: Vec<(&str, Vec<&str>)> =
                        expect.iter().map(|(channel, names)| (*channel, names.to_vec())).collect();
                    assert_eq!((names, libraries.keys().collect::<Vec<_>>()), (expect, found.keys().collect()));
                }
                (Err(expect), Err(error)) => assert!(error.to_string().contains(expect), "{error}"),
                (expect, found) => panic!("{expect:?} {found:?}"),
            }
        };
        let variant =
            |copy: &str, channel: Option<&str>| json!({ "name": format!("{copy}{channel:?}"), "copy": copy, "channel": channel });
        let own = json!([variant("letter", Some("email")), variant("note", Some("sms")), variant("both", None)]);
        check(&["sms", "email"], own, Ok(&[("email", &["both", "letter"]), ("sms", &["both", "note"])]));
        let chained = json!([variant("letter", None), variant("note", Some("sms")), variant("both", None)]);
        check(&["email", "sms"], chained, Err("letter"));
    }
}
