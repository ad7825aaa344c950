//! What can be typed after `sendlab experiment`.

use std::path::PathBuf;

use clap::Subcommand;

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
    /// Decide by what is known now: where that is to ship or to stop, the senders follow, by market where markets differ.
    Decide {
        /// The experiment.
        experiment: String,
    },
}
