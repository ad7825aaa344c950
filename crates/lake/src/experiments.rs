//! What is asked of the lake about experiments.

use std::collections::BTreeMap;

use experiment::observe::Observed;
use experiment::{ByMarket, Cut, Dimension, Observations, Past, Series};
use vocabulary::{CampaignId, Experiment, ExperimentId, RecommendationId, Timestamp};

use crate::kept::{self, Recounted};
use crate::{Lake, LakeError, before_test, breakdown, holdout, observe};

impl Lake {
    /// What is known of an experiment at `as_of`, of all that is acknowledged now. Sums are kept from the last call and corrected by
    /// what came in since.
    ///
    /// # Errors
    /// [`LakeError::Internal`] when the tables cannot be read.
    pub async fn observe(&self, experiment: &Experiment, as_of: Timestamp) -> Result<Observations, LakeError> {
        self.observe_cut(experiment, &Cut::default(), as_of).await
    }

    /// [`Lake::observe`] of some recipients and outcomes.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_cut(&self, experiment: &Experiment, cut: &Cut, as_of: Timestamp) -> Result<Observations, LakeError> {
        observe::observe(self, experiment, cut, as_of).await
    }

    /// What a look that may decide is taken from: as [`Lake::observe`], of all recipients and of those of each market that has any.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_by_market(&self, experiment: &Experiment, as_of: Timestamp) -> Result<Observed, LakeError> {
        observe::observe_by_market(self, experiment, as_of).await
    }

    /// What those did who were held out of these campaigns since a moment because they are held out of all marketing, and those who were
    /// written to: an experiment as [`experiment::holdout::experiment`] makes it. A campaign that is still being sent would have all its
    /// held out and a part of the others.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_holdout(
        &self,
        experiment: &Experiment,
        campaigns: &[CampaignId],
        since: Timestamp,
        as_of: Timestamp,
    ) -> Result<Observations, LakeError> {
        holdout::observe_holdout(self, experiment, campaigns, since, as_of).await
    }

    /// An experiment by time: by age since the planned hour of sending, and by day. `None` where its primary metric is none of its metrics.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_series(&self, experiment: &Experiment, as_of: Timestamp) -> Result<Option<Series>, LakeError> {
        observe::observe_series(self, experiment, as_of).await
    }

    /// What those did who were sent what was recommended, by the recommendation that was followed: of recipients who are at least so
    /// many hours old, within that age; of everybody how many there are. Units begin with their message.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_followers(
        &self,
        experiment: &Experiment,
        age_hours: u32,
        as_of: Timestamp,
    ) -> Result<BTreeMap<RecommendationId, Observations>, LakeError> {
        observe::observe_followers(self, experiment, age_hours, as_of).await
    }

    /// What was observed of an experiment by groups of its recipients, which are in the place of markets: counted from all rows.
    ///
    /// # Errors
    /// As [`Lake::observe`], and [`LakeError::Query`] where there are too many groups.
    pub async fn observe_by(&self, experiment: &Experiment, by: &Dimension, as_of: Timestamp) -> Result<ByMarket, LakeError> {
        breakdown::observe_by(self, experiment, by, as_of).await
    }

    /// The experiments that share recipients with one whose windows overlap, those that share the most first; at most twenty.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn others(&self, experiment: &Experiment) -> Result<Vec<ExperimentId>, LakeError> {
        breakdown::others(self, experiment).await
    }

    /// What the recipients did whom an experiment shares with another, by their variant of that one, which is in the place of the market.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_with(
        &self,
        experiment: &Experiment,
        other: &ExperimentId,
        as_of: Timestamp,
    ) -> Result<ByMarket, LakeError> {
        breakdown::observe_with(self, experiment, other, as_of).await
    }

    /// What an experiment's recipients did whose window is over, by market, with what they did before their message: in the days that the
    /// experiment's `cuped` says, and else in 90. Recipients without a market are in one without a name. Counted from all rows.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn observe_with_before(&self, experiment: &Experiment, as_of: Timestamp) -> Result<ByMarket, LakeError> {
        before_test::with_before(self, experiment, as_of).await
    }

    /// What the contacts of an experiment's audience did in a window as long as its own that ends at `now`, and in the 90 days before that.
    ///
    /// # Errors
    /// As [`Lake::observe`], and [`LakeError::Query`] for an audience that is no query of contacts.
    pub async fn before_test(&self, experiment: &Experiment, now: Timestamp) -> Result<Past, LakeError> {
        before_test::before_test(self, experiment, now).await
    }

    /// The same of every metric, by its name and in the experiment's order, in one scan. The experiment need not be stored.
    ///
    /// # Errors
    /// As [`Lake::before_test`].
    pub async fn metrics_before_test(&self, experiment: &Experiment, now: Timestamp) -> Result<Vec<(String, Past)>, LakeError> {
        before_test::metrics(self, experiment, now).await
    }

    /// What was known of an experiment at these versions of the tables, counted from all rows.
    ///
    /// # Errors
    /// [`LakeError::NoVersion`] where they are no longer kept; else as [`Lake::observe`].
    pub async fn observe_at(
        &self,
        experiment: &Experiment,
        as_of: Timestamp,
        versions: &BTreeMap<String, i64>,
    ) -> Result<Observations, LakeError> {
        observe::observe_at(self, experiment, as_of, versions).await
    }

    /// Counts an experiment from all rows and compares with the sums that are kept. Where they differ, which is a fault of this
    /// code, those of all rows are kept from now on.
    ///
    /// # Errors
    /// As [`Lake::observe`].
    pub async fn recount(&self, experiment: &Experiment) -> Result<Recounted, LakeError> {
        kept::recount(self, experiment).await
    }

    /// The experiments whose sums are kept in memory, by id.
    #[must_use]
    pub fn counted(&self) -> Vec<ExperimentId> {
        self.kept.experiments()
    }
}
