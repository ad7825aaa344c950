//! How often: so many messages of a class and channel within so long, and so often the same content.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use vocabulary::words::words;

use crate::answer::{Answer, Reason};
use crate::error::RulesError;
use crate::facts::SentFact;
use crate::place::Atlas;
use crate::reader::Section;
use crate::rule::{FileHead, Rule};
use crate::scope::{Scope, Scoped};
use crate::tally::{Case, Log, Tally};

/// The longest time that a cap can look back, in hours: what was sent before need not be told.
pub const SENDS_HOURS: i64 = 31 * 24;

words!(
    /// What a cap counts.
    Counts {
        /// Messages on the channel of the message.
        Channel = "channel",
        /// Messages on all channels of the rule together.
        AllChannels = "all_channels",
        /// Messages with the same content, on all channels of the rule together.
        Content = "content",
    }
);
words!(
    /// What happens to the message that is one too many.
    Over {
        /// It waits.
        Defer = "defer",
        /// It is not sent: a code that comes late is worth nothing.
        Refuse = "refuse",
    }
);

/// A length of time such as `24 hours`, of a fixed number of seconds: a day is 24 hours whatever the clocks do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) SignedDuration);

impl FromStr for Length {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no length of time; write such as `30 seconds`, `45 minutes`, `24 hours` or `30 days`");
        let (number, unit) = text.split_once(' ').ok_or_else(wrong)?;
        let number: u32 = number.parse().ok().filter(|number| (1..=100_000).contains(number)).ok_or_else(wrong)?;
        let seconds = match unit.trim_end_matches('s') {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 24 * 3600,
            _ => return Err(wrong()),
        };
        Ok(Self(SignedDuration::from_secs(i64::from(number) * seconds)))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (number, unit) = match seconds {
            86_400 => (24, "hour"),
            _ if seconds % 86_400 == 0 => (seconds / 86_400, "day"),
            _ if seconds % 3600 == 0 => (seconds / 3600, "hour"),
            _ if seconds % 60 == 0 => (seconds / 60, "minute"),
            _ => (seconds, "second"),
        };
        write!(f, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

/// At most `limit` within `window`.
#[derive(Debug)]
pub(crate) struct CapRule {
    pub(crate) rule: Rule,
    pub(crate) limit: u32,
    pub(crate) window: Length,
    pub(crate) counts: Counts,
    over: Over,
}

/// Reads `caps.toml`.
pub(crate) fn read(mut file: Section<'_>, atlas: &Atlas) -> Result<Scoped<CapRule>, RulesError> {
    let head = FileHead::read(&mut file)?;
    let mut rules = Vec::new();
    for mut section in file.tables("rule")? {
        let scope = Scope::read(&mut section, atlas)?;
        let rule = Rule::read(&mut section, head)?;
        let limit = section.whole("limit")?.filter(|limit| *limit > 0);
        let limit = limit.ok_or_else(|| section.wrong("limit", "is missing or 0; write how many there may be"))?;
        let window: Option<Length> = section.word("within")?;
        let window = window.filter(|window| window.0 <= SignedDuration::from_hours(SENDS_HOURS));
        let window = window.ok_or_else(|| section.wrong("within", "is missing or above 31 days; write such as \"24 hours\""))?;
        let counts = section.word("counts")?.unwrap_or(Counts::Channel);
        let over = section.word("over")?.unwrap_or(Over::Defer);
        section.finish()?;
        rules.push((scope, CapRule { rule, limit, window, counts, over }));
    }
    file.finish()?;
    Ok(Scoped::new(rules))
}

impl CapRule {
    /// Whether a message that was sent counts for the one that is asked about.
    fn is_counted(&self, scope: &Scope, sent: &SentFact<'_>, case: &Case<'_>) -> bool {
        let on_channel = match self.counts {
            Counts::Channel => sent.channel == case.message.channel,
            Counts::AllChannels => scope.has_channel(sent.channel),
            Counts::Content => {
                let is_same = case.message.content.is_some() && sent.content == case.message.content;
                scope.has_channel(sent.channel) && is_same
            }
        };
        on_channel && scope.has_class(sent.class)
    }

    fn sends<'c>(&'c self, scope: &'c Scope, case: &'c Case<'_>) -> impl Iterator<Item = Timestamp> + 'c {
        case.contact.sends.iter().filter(|sent| self.is_counted(scope, sent, case)).map(|sent| sent.at)
    }

    /// How many sends are less than the window away from a moment, before it or planned after it.
    fn count(&self, scope: &Scope, case: &Case<'_>, at: Timestamp) -> u32 {
        if case.contact.sends.is_empty() {
            return 0;
        }
        let from = at.checked_sub(self.window.0).unwrap_or(Timestamp::MIN);
        let to = at.checked_add(self.window.0).unwrap_or(Timestamp::MAX);
        let near = case.contact.sends.iter().filter(|sent| from < sent.at && sent.at < to);
        let counted = near.filter(|sent| self.is_counted(scope, sent, case));
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    }

    fn answer(&self, scope: &Scope, case: &Case<'_>) -> Answer {
        let class = case.message.class;
        if !scope.has_class(class) {
            return Answer::permit(Reason::ClassExempt(class));
        }
        let (count, limit) = (self.count(scope, case, case.at), self.limit);
        if count < limit {
            return Answer::permit(Reason::UnderCap { count, limit });
        }
        let because = Reason::CapReached { count, limit };
        match (self.over, self.room_from(scope, case)) {
            (Over::Defer, Some(until)) => Answer::Defer { until, because },
            _ => Answer::Refuse { because },
        }
    }

    /// The first moment at which there is room again: always the moment at which some send leaves the window.
    fn room_from(&self, scope: &Scope, case: &Case<'_>) -> Option<Timestamp> {
        let mut moment = case.at;
        loop {
            let ends = self.sends(scope, case).filter_map(|sent| sent.checked_add(self.window.0).ok());
            moment = ends.filter(|end| *end > moment).min()?;
            if self.count(scope, case, moment) < self.limit {
                return Some(moment);
            }
        }
    }
}

/// Asks every cap that holds.
pub(crate) fn check<L: Log>(rules: &Scoped<CapRule>, case: &Case<'_>, tally: &mut Tally<'_, L>) {
    for (scope, rule) in rules.at(&case.place, case.message.channel, case.message.class) {
        tally.answer(&rule.rule, rule.answer(scope, case), || {
            let what = match rule.counts {
                Counts::Channel => format!("by {}", case.message.channel),
                Counts::AllChannels => "by all channels".to_owned(),
                Counts::Content => format!("with the content {}", case.message.content.unwrap_or("(none)")),
            };
            let count = rule.count(scope, case, case.at);
            format!("{} {what}: {count} within {}, at most {}", case.message.class, rule.window, rule.limit)
        });
    }
}

/// The heads of the rules.
pub(crate) fn heads(rules: &Scoped<CapRule>) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|(_, rule)| &rule.rule)
}
