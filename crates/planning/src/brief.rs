//! What a campaign needs before it can be planned: its experiment, the recommended variant, its audience.

use control::{Control, SegmentUse};
use experiment::{Balanced, Guidance};
use jiff::Timestamp;
use lake::{Audience, Group};
use vocabulary::{Asker, Balance, Campaign, ContactKey, Experiment, Mode, SendHour, Variant, VariantName};

use crate::{PlanningError, Sources};

/// A campaign with what it refers to.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The campaign.
    pub campaign: Campaign,
    /// Its experiment.
    pub experiment: Experiment,
    /// In [`Mode::Recommended`], the variant whose day, hour and channel count: what is recommended for everybody, the control where
    /// that does not hold.
    pub recommended: Option<Variant>,
    /// In [`Mode::Test`], the draw of the assignment that was kept for the experiment, where its groups are balanced.
    pub balanced: Option<Balanced>,
}

impl Brief {
    /// Reads what the campaign refers to, as it is at `now`. A plan that is there already was made for the variant `planned_for`.
    ///
    /// # Errors
    /// [`PlanningError::Campaign`] where the experiment is missing.
    pub async fn read(
        control: &Control,
        campaign: Campaign,
        planned_for: Option<&VariantName>,
        now: Timestamp,
    ) -> Result<Self, PlanningError> {
        let id = &campaign.experiment;
        let guidance = control.guidance(id).await?.ok_or_else(|| {
            PlanningError::Campaign(format!("experiment `{id}` does not exist; create it with `sendlab experiment apply`"))
        })?;
        let experiment = guidance.experiment();
        let recommended = match (campaign.mode, planned_for) {
            (Mode::Test, _) => None,
            (Mode::Recommended, Some(name)) => experiment.variant(name).cloned(),
            (Mode::Recommended, None) => experiment.variant(recommended(&guidance, &campaign, now)).cloned(),
        };
        let is_balanced = experiment.balance.is_some() && campaign.mode == Mode::Test;
        let balanced = if is_balanced { control.balanced(id).await? } else { None };
        let experiment = experiment.clone();
        Ok(Self { campaign, experiment, recommended, balanced })
    }

    /// The draw of its experiment's assignment that counts.
    #[must_use]
    pub fn draw(&self) -> u32 {
        self.balanced.as_ref().map_or(0, |balanced| balanced.draw)
    }

    /// What its plan is to balance groups by: the first of its experiment decides for all.
    #[must_use]
    pub fn to_balance(&self) -> Option<&Balance> {
        let decides = self.campaign.mode == Mode::Test && self.balanced.is_none();
        self.experiment.balance.as_ref().filter(|_| decides)
    }

    /// The variants that its recipients may get.
    pub fn variants(&self) -> impl Iterator<Item = &Variant> {
        let (tested, recommended) = match self.campaign.mode {
            Mode::Test => (self.experiment.variants.as_slice(), None),
            Mode::Recommended => (&[][..], self.recommended.as_ref()),
        };
        tested.iter().chain(recommended)
    }

    /// At which hour a variant leaves; at once where absent.
    #[must_use]
    pub fn send_hour(&self, variant: &Variant) -> Option<SendHour> {
        variant.send_hour.or(self.campaign.send_hour)
    }

    /// Whether hours are to be learned for it.
    #[must_use]
    pub fn learns(&self) -> bool {
        self.variants().any(|variant| self.send_hour(variant) == Some(SendHour::Learned))
    }

    /// Whom the campaign goes to at `now`, of all contacts or of some; with the use of its segment, if it has one, which is
    /// noted with a plan.
    ///
    /// # Errors
    /// [`PlanningError::Campaign`] where the segment is missing, [`PlanningError::Lake`] where the query does not run.
    pub async fn audience(
        &self,
        from: Sources<'_>,
        among: Option<&[ContactKey]>,
        now: Timestamp,
    ) -> Result<(Audience, Option<SegmentUse>), PlanningError> {
        let Some(name) = &self.campaign.segment else {
            let query = self.campaign.audience.as_deref().or(self.experiment.audience.as_deref());
            return Ok((named(from, query, among).await?, None));
        };
        let missing = || PlanningError::Campaign(format!("there is no segment `{name}`; store it with `sendlab segment apply`"));
        let row = from.control.segment(name).await?.ok_or_else(missing)?;
        let query = row.segment.query(now, from.lake.base_currency());
        let query = query.map_err(|error| PlanningError::Campaign(format!("segment `{name}`: {error}")))?;
        let audience = named(from, Some(&query), among).await?;
        let used = SegmentUse {
            campaign: self.campaign.campaign.clone(),
            plan_version: 0,
            segment: name.clone(),
            version: row.version,
            query,
            contacts: audience.recipients.len() as u64,
            lake_versions: audience.versions.clone(),
            at: now,
        };
        Ok((audience, Some(used)))
    }
}

/// The variant that a campaign which follows the recommendation is planned for.
#[must_use]
pub fn recommended<'g>(guidance: &'g Guidance, campaign: &Campaign, now: Timestamp) -> &'g VariantName {
    let asker = Asker { segment: campaign.segment.as_deref(), ..Asker::default() };
    guidance.advice(asker, now).variant()
}

async fn named(from: Sources<'_>, query: Option<&str>, among: Option<&[ContactKey]>) -> Result<Audience, PlanningError> {
    Ok(match among {
        None => from.lake.audience(query, Group::Internal).await?,
        Some(contacts) => from.lake.audience_among(query, contacts, Group::Internal).await?,
    })
}
