//! What is to be sent to many waits for a second person: proposals, which hold the recommendations as they would be made.
//!
//! *Invariant:* an experiment has at most one open proposal; a newer one takes its place.
//! *Invariant:* whoever proposed does not approve.

use sqlx::SqliteConnection;
use vocabulary::{Experiment, ExperimentId, Recommendation, Timestamp};

use crate::experiments::{from_json, to_json};
use crate::keys::KeyInfo;
use crate::store::{begin, commit, parsed, time};
use crate::{Control, ControlError};

/// The longest note that somebody leaves, in bytes: some sentences.
pub const NOTE_BYTES_MAX: usize = 2_000;

vocabulary::words!(
    /// What became of a proposal.
    ProposalState {
        /// It waits for a second person.
        Open = "open",
        /// The senders follow it.
        Approved = "approved",
        /// Somebody said no.
        Refused = "refused",
        /// A newer one took its place, or the recommendation changed otherwise.
        Superseded = "superseded",
    }
);

/// Recommendations that wait, or waited, for a second person.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Its id.
    pub id: String,
    /// The experiment.
    pub experiment: ExperimentId,
    /// What would be recommended.
    pub recommendations: Vec<Recommendation>,
    /// How many people were still to follow when it was made.
    pub recipients: u64,
    /// The name of the key that proposed it; `None` where the server decided by itself.
    pub proposed_by: Option<String>,
    /// When.
    pub proposed_at: Timestamp,
    /// What became of it.
    pub state: ProposalState,
    /// The name of the key that approved or refused it.
    pub settled_by: Option<String>,
    /// When it was approved, refused or superseded.
    pub settled_at: Option<Timestamp>,
    /// Why it was refused.
    pub note: String,
}

/// What came of recommendations that somebody wants the senders to follow.
#[derive(Debug, Clone, PartialEq)]
pub enum Moved {
    /// They follow: none where nothing would change.
    Recommended(Vec<Recommendation>),
    /// A second person is to approve.
    Proposed(Proposal),
}

impl Control {
    /// Makes recommendations of one experiment current, all or none; or keeps them for a second person where the experiment asks for one,
    /// they send a variant to somebody, and so many people are still to follow. `by` is the key that wants them; `None` is the server itself.
    ///
    /// # Errors
    /// As [`Control::recommend`].
    pub async fn follow(
        &self,
        experiment: &Experiment,
        made: Vec<Recommendation>,
        by: Option<&KeyInfo>,
        proposal_id: &str,
    ) -> Result<Moved, ControlError> {
        let control = experiment.control();
        let sends = |made: &Recommendation| made.weights.iter().any(|(name, weight)| name != control && *weight > 0.0);
        let recipients = match experiment.approval.as_ref().filter(|_| made.iter().any(sends)) {
            Some(approval) => Some(self.still_to_follow(&experiment.experiment).await?).filter(|many| *many >= approval.from),
            None => None,
        };
        let Some(recipients) = recipients else {
            self.recommend_all(&made).await?;
            return Ok(Moved::Recommended(made));
        };
        let proposal = Proposal {
            id: proposal_id.to_owned(),
            experiment: experiment.experiment.clone(),
            recommendations: made,
            recipients,
            proposed_by: by.map(|key| key.name.clone()),
            proposed_at: self.now(),
            state: ProposalState::Open,
            settled_by: None,
            settled_at: None,
            note: String::new(),
        };
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        let now = self.now().as_microsecond();
        sqlx::query("UPDATE proposals SET state = 'superseded', settled_at = $2 WHERE experiment_id = $1 AND state = 'open'")
            .bind(experiment.experiment.as_str())
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("replacing a proposal"))?;
        sqlx::query(
            "INSERT INTO proposals (proposal_id, experiment_id, recommendations, recipients, proposed_key, proposed_by, proposed_at, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'open')",
        )
        .bind(proposal_id)
        .bind(experiment.experiment.as_str())
        .bind(to_json("a proposal", &proposal.recommendations)?)
        .bind(i64::try_from(recipients).unwrap_or(i64::MAX))
        .bind(by.map(|key| key.id.as_str()))
        .bind(proposal.proposed_by.as_deref())
        .bind(now)
        .execute(&mut *transaction)
        .await
        .map_err(ControlError::query("storing a proposal"))?;
        commit(transaction).await?;
        Ok(Moved::Proposed(proposal))
    }

    /// The proposals of one experiment or of all, newest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn proposals(&self, experiment: Option<&ExperimentId>) -> Result<Vec<Proposal>, ControlError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT * FROM proposals WHERE $1 IS NULL OR experiment_id = $1 ORDER BY proposal_seq DESC")
                .bind(experiment.map(ExperimentId::as_str))
                .fetch_all(&mut *self.reader().await)
                .await
                .map_err(ControlError::query("reading proposals"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Makes what is proposed current, all or none, and gives it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] where it is not open or `by` proposed it, [`ControlError::Conflict`] where the
    /// recommendation changed since: the proposal is superseded then.
    pub async fn approve(&self, id: &str, by: &KeyInfo) -> Result<Vec<Recommendation>, ControlError> {
        let row = self.open_proposal(id).await?;
        if row.proposed_key.as_deref() == Some(by.id.as_str()) {
            let reason = format!("is that of the key `{}`, which proposed it; another one must approve", by.name);
            return Err(ControlError::Invalid { field: "key", reason });
        }
        let mut proposal = row.read()?;
        let now = self.now();
        for made in &mut proposal.recommendations {
            made.created_at = now;
            made.reason = format!("{} Approved by `{}`.", made.reason, by.name);
        }
        let settling = Settling { id, state: ProposalState::Approved, by: Some(by), note: "" };
        match self.recommend_settling(&proposal.recommendations, Some(&settling)).await {
            Ok(()) => Ok(proposal.recommendations),
            Err(conflict @ ControlError::Conflict { .. }) => {
                match self.settle_proposal(&Settling { state: ProposalState::Superseded, by: None, ..settling }).await {
                    // Somebody approved it in the same moment.
                    Ok(()) | Err(ControlError::Invalid { .. }) => Err(conflict),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Says no to what is proposed: the senders go on as they do.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] where it is not open or the note is too long.
    pub async fn refuse(&self, id: &str, by: &KeyInfo, note: &str) -> Result<Proposal, ControlError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(ControlError::Invalid {
                field: "note",
                reason: format!("has {} bytes; the limit is {NOTE_BYTES_MAX}", note.len()),
            });
        }
        let proposal = self.open_proposal(id).await?.read()?;
        self.settle_proposal(&Settling { id, state: ProposalState::Refused, by: Some(by), note }).await?;
        let (state, settled_by) = (ProposalState::Refused, Some(by.name.clone()));
        Ok(Proposal { state, settled_by, settled_at: Some(self.now()), note: note.to_owned(), ..proposal })
    }

    async fn open_proposal(&self, id: &str) -> Result<Row, ControlError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM proposals WHERE proposal_id = $1")
            .bind(id)
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading a proposal"))?;
        let row = row.ok_or_else(|| ControlError::NotFound { noun: "proposal", id: id.to_owned() })?;
        if row.state != ProposalState::Open.as_str() {
            let reason = format!("`{id}` is {}; only an open one can be approved or refused", row.state);
            return Err(ControlError::Invalid { field: "proposal", reason });
        }
        Ok(row)
    }

    async fn settle_proposal(&self, settling: &Settling<'_>) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        settle(&mut transaction, settling, self.now()).await?;
        commit(transaction).await
    }
}

/// What becomes of a proposal.
pub(crate) struct Settling<'a> {
    id: &'a str,
    state: ProposalState,
    by: Option<&'a KeyInfo>,
    note: &'a str,
}

/// Settles an open proposal; nothing is done where it is not open any more.
pub(crate) async fn settle(writer: &mut SqliteConnection, settling: &Settling<'_>, now: Timestamp) -> Result<(), ControlError> {
    let Settling { id, state, by, note } = settling;
    let settled = sqlx::query(
        "UPDATE proposals SET state = $2, settled_by = $3, settled_at = $4, note = $5 WHERE proposal_id = $1 AND state = 'open'",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(by.map(|key| key.name.as_str()))
    .bind(now.as_microsecond())
    .bind(note)
    .execute(writer)
    .await
    .map_err(ControlError::query("settling a proposal"))?;
    if settled.rows_affected() == 0 {
        let reason = format!("`{id}` was settled by somebody else in the same moment; look at what is current");
        return Err(ControlError::Invalid { field: "proposal", reason });
    }
    Ok(())
}

/// A stored proposal.
#[derive(sqlx::FromRow)]
struct Row {
    proposal_id: String,
    experiment_id: String,
    recommendations: String,
    recipients: i64,
    proposed_key: Option<String>,
    proposed_by: Option<String>,
    proposed_at: i64,
    state: String,
    settled_by: Option<String>,
    settled_at: Option<i64>,
    note: String,
}

impl Row {
    fn read(self) -> Result<Proposal, ControlError> {
        Ok(Proposal {
            id: self.proposal_id,
            experiment: parsed("an experiment's id", &self.experiment_id, ExperimentId::new)?,
            recommendations: from_json("a proposal", &self.recommendations)?,
            recipients: u64::try_from(self.recipients).unwrap_or_default(),
            proposed_by: self.proposed_by,
            proposed_at: time(self.proposed_at)?,
            state: parsed("a proposal's state", &self.state, str::parse)?,
            settled_by: self.settled_by,
            settled_at: self.settled_at.map(time).transpose()?,
            note: self.note,
        })
    }
}

#[cfg(test)]
mod tests {
    use vocabulary::Approval;

    use super::*;
    use crate::Scope;
    use crate::testing::{World, at, experiment, experiment_id, recommendation};

    async fn key(control: &Control, name: &str) -> KeyInfo {
        let made = control.create_key(name, &[Scope::Manage]).await.unwrap();
        KeyInfo { id: made.id, name: name.to_owned(), scopes: vec![Scope::Manage] }
    }

    #[tokio::test]
    async fn who_proposed_does_not_approve() {
        let world = World::new();
        let control = world.open().await;
        let mut written = experiment("e", &["a", "b"]);
        written.approval = Some(Approval { from: 0 });
        control.put_experiment(&written).await.unwrap();
        let (one, two) = (key(&control, "one").await, key(&control, "two").await);
        let id = experiment_id("e");

        // What sends nobody a variant needs nobody else.
        let keeps = control.follow(&written, vec![recommendation("r0", "a", None)], Some(&one), "p0").await.unwrap();
        assert!(matches!(keeps, Moved::Recommended(made) if made.len() == 1));
        let asked = control.follow(&written, vec![recommendation("r1", "b", Some("r0"))], Some(&one), "p1").await.unwrap();
        let Moved::Proposed(proposal) = asked else { panic!("it waits, not {asked:?}") };
        assert_eq!((proposal.state, proposal.proposed_by.as_deref()), (ProposalState::Open, Some("one")));
        assert_eq!(control.current(&id).await.unwrap().unwrap().variant.as_str(), "a", "nobody follows yet");
        let refusal = control.approve("p1", &one).await.unwrap_err().to_string();
        assert_eq!(refusal, "key: is that of the key `one`, which proposed it; another one must approve");
        world.clock.set(at(60));
        let made = control.approve("p1", &two).await.unwrap();
        let current = control.current(&id).await.unwrap().unwrap();
        assert_eq!((Some(&current), current.created_at), (made.first(), at(60)));
        assert!(current.reason.ends_with("Approved by `two`."), "{}", current.reason);
        let again = control.approve("p1", &two).await.unwrap_err().to_string();
        assert_eq!(again, "proposal: `p1` is approved; only an open one can be approved or refused");
        assert!(matches!(control.approve("p9", &two).await, Err(ControlError::NotFound { noun: "proposal", .. })));
    }

    #[tokio::test]
    async fn a_newer_proposal_or_another_decision_takes_its_place() {
        let world = World::new();
        let control = world.open().await;
        let mut written = experiment("e", &["a", "b"]);
        written.approval = Some(Approval { from: 0 });
        control.put_experiment(&written).await.unwrap();
        let two = key(&control, "two").await;
        for (made, proposal) in [("r1", "p1"), ("r2", "p2")] {
            control.follow(&written, vec![recommendation(made, "b", None)], None, proposal).await.unwrap();
        }
        let states = async || -> Vec<(String, ProposalState)> {
            control.proposals(None).await.unwrap().into_iter().map(|of| (of.id, of.state)).collect()
        };
        let both = |two: ProposalState| vec![("p2".to_owned(), two), ("p1".to_owned(), ProposalState::Superseded)];
        assert_eq!(states().await, both(ProposalState::Open));
        control.recommend(&recommendation("r3", "a", None)).await.unwrap();
        assert!(matches!(control.approve("p2", &two).await, Err(ControlError::Conflict { .. })));
        assert_eq!(states().await, both(ProposalState::Superseded));
        assert_eq!(control.proposals(Some(&experiment_id("other"))).await.unwrap(), []);

        control.follow(&written, vec![recommendation("r4", "b", Some("r3"))], None, "p3").await.unwrap();
        let refused = control.refuse("p3", &two, "not before the holidays").await.unwrap();
        assert_eq!((refused.state, refused.note.as_str()), (ProposalState::Refused, "not before the holidays"));
        assert_eq!(control.proposals(None).await.unwrap()[0], refused);
        let long = control.refuse("p3", &two, &"x".repeat(2_001)).await.unwrap_err().to_string();
        assert_eq!(long, "note: has 2001 bytes; the limit is 2000");
    }

    #[tokio::test]
    async fn of_two_who_approve_at_once_one_does() {
        let world = World::new();
        let control = world.open().await;
        let mut written = experiment("e", &["a", "b"]);
        written.approval = Some(Approval { from: 0 });
        control.put_experiment(&written).await.unwrap();
        let keys = [key(&control, "two").await, key(&control, "three").await];
        control.follow(&written, vec![recommendation("r1", "b", None)], None, "p1").await.unwrap();
        let both = tokio::join!(control.approve("p1", &keys[0]), control.approve("p1", &keys[1]));
        let both = [both.0, both.1];
        assert_eq!(both.iter().filter(|approved| approved.is_ok()).count(), 1, "{both:?}");
        let place = both.iter().position(Result::is_ok).unwrap();
        let settled = control.proposals(None).await.unwrap().remove(0);
        assert_eq!((settled.state, settled.settled_by.as_deref()), (ProposalState::Approved, Some(keys[place].name.as_str())));
        let current = control.current(&experiment_id("e")).await.unwrap().unwrap();
        assert!(current.reason.ends_with(&format!("Approved by `{}`.", keys[place].name)), "{}", current.reason);
    }

    #[tokio::test]
    async fn few_people_need_no_second_person() {
        let world = World::new();
        let control = world.open().await;
        let mut written = experiment("e", &["a", "b"]);
        written.approval = Some(Approval { from: 1 });
        control.put_experiment(&written).await.unwrap();
        let moved = control.follow(&written, vec![recommendation("r1", "b", None)], None, "p1").await.unwrap();
        assert!(matches!(moved, Moved::Recommended(_)), "nobody is to follow: {moved:?}");
    }
}
