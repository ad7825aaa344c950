//! What can be typed after `sendlab segment`, `sendlab form` and `sendlab trigger`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SegmentCommand {
    /// Store the segments of a YAML file, one or a list. A changed one becomes its next version.
    #[command(
        after_help = "A segment is a name and conditions:\n\n  - segment: lapsing\n    description: Bought before, but not in the \
                            last month.\n    condition:\n      all:\n        - ordered: { between_days: [30, 120] }\n        - not: { \
                            ordered: { within_days: 30 } }\n        - country: [DE, AT, CH]\n\nConditions: all, any, none, not; country, \
                            region, market, language, time_zone, interests, tags, device, source,\nreachable, age, birthday, registered, \
                            attribute; sent, accepted, delivered, bounced, opened, clicked,\nordered, unsubscribed, complained (ever, \
                            never, or with within_days, between_days, at_least, …); spent.\nWhat they cannot say, `sql: SELECT \
                            contact_key FROM …` says instead of `condition`.\n\nTwelve samples: data/samples/segments.yaml"
    )]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all segments in words.
    List,
    /// One segment: its conditions in words, and what it was in the plans made with it.
    Show {
        /// The segment.
        segment: String,
    },
    /// Count who is in it now, with a sample and the time it takes.
    Preview {
        /// The segment, or a YAML file with one that is not stored.
        segment: String,
        /// Show the query too.
        #[arg(long)]
        sql: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FormCommand {
    /// Store the forms of a YAML file, one or a list. Samples: data/samples/forms.yaml
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all forms with their addresses and the HTML to put into a page.
    List,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Store the triggers of a YAML file, one or a list. New ones run at once.
    #[command(
        after_help = "A trigger is a condition, how often a contact may enter, and a campaign:\n\n  - trigger: welcome-no-order\n    \
                            when:\n      registered: { for_days: 3, without: [ordered] }\n    entry: once\n    holdout: 0.1\n    campaign: \
                            welcome-offer\n\nConditions: registered, inactive, spent, birthday, browsed, carted, price_dropped, entered (a \
                            segment).\nentry: once, { once_per_days: 30 } or each_time; delay_minutes, delay_hours or delay_days; exit: [ordered, \
                            …]; holdout: a share.\n\nThe campaign is one with `triggered: true` and no audience; it is \
                            started like any other and runs until it `ends`.\n\nEight samples: data/samples/triggers.yaml"
    )]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all triggers in words, with what they did.
    List,
    /// One trigger and its newest entries.
    Show {
        /// The trigger.
        trigger: String,
    },
    /// Let a paused trigger go on. What became true during the pause does not count.
    Start {
        /// The trigger.
        trigger: String,
    },
    /// Pause a trigger.
    Pause {
        /// The trigger.
        trigger: String,
    },
}
