//! Whether a machine opened a message or followed a link, as far as can be told from its name and its haste.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// Nobody opens a mail, let alone follows a link in it, so soon after it was handed to the next server.
pub(crate) const HASTE: SignedDuration = SignedDuration::from_secs(2);

/// One rule of `data/rules/machine_agents.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agent {
    #[serde(default)]
    exact: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[expect(dead_code, reason = "for the readers of the rule file; required so that no rule goes without")]
    name: String,
    #[expect(dead_code, reason = "for the readers of the rule file; required so that no rule goes without")]
    why: String,
    #[expect(dead_code, reason = "for the readers of the rule file; required so that no rule goes without")]
    source: String,
}

impl Agent {
    fn matches(&self, user_agent: &str) -> bool {
        self.exact.as_deref() == Some(user_agent) || self.contains.iter().any(|part| user_agent.contains(part.as_str()))
    }
}

fn agents() -> &'static [Agent] {
    #[derive(Deserialize)]
    struct File {
        agent: Vec<Agent>,
    }
    static AGENTS: OnceLock<Vec<Agent>> = OnceLock::new();
    AGENTS.get_or_init(|| {
        let file: File = toml::from_str(include_str!("../../../data/rules/machine_agents.toml"))
            .expect("data/rules/machine_agents.toml is valid");
        file.agent
    })
}

/// Whether it was a machine. `handed_over` is when the next server took the message, where that is known.
pub(crate) fn is_machine(user_agent: Option<&str>, handed_over: Option<Timestamp>, now: Timestamp) -> bool {
    let user_agent = user_agent.unwrap_or_default().trim().to_ascii_lowercase();
    let hasty = handed_over.is_some_and(|at| now.duration_since(at) < HASTE);
    hasty || agents().iter().any(|agent| agent.matches(&user_agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFARI: &str =
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";

    #[test]
    fn machines_are_told_by_their_names() {
        let check = |user_agent: Option<&str>, expect: bool| {
            assert_eq!(is_machine(user_agent, None, Timestamp::UNIX_EPOCH), expect, "{user_agent:?}");
        };
        check(Some(SAFARI), false);
        check(Some("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"), false);
        check(Some("Mozilla/5.0"), true);
        check(Some(""), true);
        check(None, true);
        check(Some("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"), true);
        check(Some("python-requests/2.32"), true);
    }

    #[test]
    fn machines_are_told_by_their_haste() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let check = |seconds: i64, expect: bool| {
            assert_eq!(is_machine(Some(SAFARI), Some(now - SignedDuration::from_secs(seconds)), now), expect)
        };
        check(0, true);
        check(1, true);
        check(2, false);
        check(600, false);
    }

    #[test]
    fn rules_are_in_lower_case() {
        let parts = agents().iter().flat_map(|agent| agent.exact.iter().chain(&agent.contains));
        for part in parts {
            assert_eq!(*part, part.to_ascii_lowercase(), "user agents are compared in lower case");
        }
    }
}
