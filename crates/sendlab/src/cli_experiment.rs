//! What can be typed after `sendlab experiment`.

use std::path::PathBuf;

use clap::Subcommand;
use vocabulary::Timestamp;

#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentCommand {
    /// Create or change an experiment from a YAML file.
    #[command(
        after_help = "Groups that agree beforehand: with\n\n  balance:\n    covariates: [revenue, orders, tenure, country]\n    days: \
                            90\n    acceptance: 0.1\n\nthe first plan of a test draws the groups anew until they agree in what the recipients did in \
                            the days before, as the best\ntenth of all draws do, and keeps that draw for all that comes. Covariates: \
                            revenue, orders, clicks, opens, tenure, country.\n`sendlab campaign dry-run` shows it beforehand, `sendlab \
                            experiment show` afterwards.\n\nA sample: data/samples/experiment.yaml"
    )]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all experiments.
    List,
    /// Show an experiment: its variants, what its groups are balanced by, which draw of them counts, and how far it is balanced.
    Show {
        /// The experiment.
        experiment: String,
    },
    /// What is known so far. A look decides nothing.
    Readout {
        /// The experiment.
        experiment: String,
        /// Recipients of this market only, such as DE.
        #[arg(long, value_name = "COUNTRY")]
        market: Option<String>,
        /// Compare at this age: 1, 2, 4, 8, 12 hours or whole days [default: the window].
        #[arg(long, value_name = "HOURS")]
        age_hours: Option<u32>,
        /// Print the whole readout as JSON.
        #[arg(long)]
        json: bool,
    },
    /// What is believed of each variant in groups of recipients, and whether groups differ beyond chance.
    #[command(
        after_help = "Examples:\n  sendlab experiment breakdown spring-subject --by device\n  sendlab experiment breakdown spring-subject --by attributes.tier\n\nBy market, \
                            country, region, language, device, source, channel, hour (of the recipient's own clock), or an attribute."
    )]
    Breakdown {
        /// The experiment.
        experiment: String,
        /// What to group by.
        #[arg(long)]
        by: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// What marketing brings as a whole: those whom the rules hold out of all of it, beside those who were written to.
    Holdout {
        /// Who was written to, or would have been, since this moment counts [default: since others were held out, else 90 days ago].
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// How many days of a contact count, from their first message on [default: 28].
        #[arg(long)]
        days: Option<u32>,
        /// The margin of what is paid, such as 0.4: profit is compared instead of revenue.
        #[arg(long)]
        margin: Option<f64>,
        /// What handing one message over costs.
        #[arg(long, requires = "margin")]
        message: Option<f64>,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// By time: what recipients had done at each age of their message, and how far the messages of each day came.
    Series {
        /// The experiment.
        experiment: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The primary metric with less noise: what recipients did before their message is taken out (CUPED), and markets are weighted alike.
    Adjusted {
        /// The experiment.
        experiment: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Other experiments on the same recipients: whether the groups of both are independent, and whether one changes what the other does.
    Overlaps {
        /// The experiment.
        experiment: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// What would be decided now, overall and by market, and why. Asking decides nothing.
    Decision {
        /// The experiment.
        experiment: String,
        /// Print the whole decision as JSON.
        #[arg(long)]
        json: bool,
    },
    /// One self-contained page in plain words, for those who decide: what happened, how sure, what it is worth, what to do, what to doubt.
    Page {
        /// The experiment.
        experiment: String,
        /// Where to write the page [default: EXPERIMENT.html].
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Where the rollout of a decision stands, scope by scope: its share, who followed each step, what comes next, and why.
    #[command(
        after_help = "With\n\n  rollout:\n    steps: [5, 25, 50, 100]\n    hours: 24\n\nin the experiment, what is decided goes to 5 % of \
                            those who follow first, and on after at least a day a step, as long as neither the primary\nmetric nor a \
                            guardrail is shown to come to harm; else everybody gets the control again."
    )]
    Rollout {
        /// The experiment.
        experiment: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Where a bandit stands, scope by scope: the shares, the chances they follow from, what followers tell, and what comes next.
    #[command(
        after_help = "With\n\n  bandit:\n    rule: thompson\n    floor: 0.05\n    wave_hours: 24\n\nin the experiment, those who follow its \
                            recommendation are dealt its variants in waves, more of what looks better in their\nmarket. The experiment's own \
                            groups stay as they were drawn: their readout is the audit. A campaign in mode `recommended` sends the waves."
    )]
    Bandit {
        /// The experiment.
        experiment: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// How large the test should be, by what its audience did before: to show a lift, and to earn the most.
    #[command(
        after_help = "Examples:\n  sendlab experiment size spring-subject --mde 0.05\n  sendlab experiment size spring-subject --units 200000 --per-day 5000\n\nIt \
                            looks at a window as long as the experiment's that ends now, and at the 90 days before it. How far variants \
                            differ is taken from\nfinished experiments that are like it."
    )]
    Size(crate::sizing_command::SizeArgs),
    /// What waits, or waited, for a second person: with `approval: {from: 100000}` in an experiment, what is decided waits where so many people
    /// are still to follow.
    Proposals {
        /// Only those of this experiment.
        experiment: Option<String>,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Approve a proposal: the senders follow it from now on. It takes another key than the one that proposed it.
    #[command(after_help = "Example:\n  sendlab --key $KEY_OF_THE_SECOND_PERSON experiment approve 01J9ZK...")]
    Approve {
        /// The proposal's id, as `sendlab experiment proposals` shows it.
        proposal: String,
    },
    /// Refuse a proposal, or take back your own: the senders go on as they do.
    Refuse {
        /// The proposal's id.
        proposal: String,
        /// Why, for those who proposed it.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// What all finished experiments taught: each variant's lift as observed and as it is to be believed, and what works by tag, factor, channel, market
    /// and quarter of the year.
    Library {
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Which winners of all finished experiments stand when all are taken together, and what they are expected to bring.
    Programme {
        /// The expected share of false winners among those that stand [default: 0.05].
        #[arg(long)]
        alpha: Option<f64>,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Decide by what is known now: where that is to ship or to stop, the senders follow, by market where markets differ.
    Decide {
        /// The experiment.
        experiment: String,
    },
}
