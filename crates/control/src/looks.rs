//! Kept looks at experiments, with all that recomputing them takes.

use experiment::Readout;
use vocabulary::{Experiment, ExperimentId, Timestamp};

use crate::experiments::from_json;
use crate::store::time;
use crate::{Control, ControlError};

/// A readout as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// What it says.
    pub readout: Readout,
    /// Its bytes.
    pub body: String,
    /// Their digest when they were kept; `None` for readouts kept by versions before digests.
    pub digest: Option<String>,
    /// The experiment as it was read out; `None` where that is not known.
    pub definition: Option<Experiment>,
    /// When it was kept.
    pub stored_at: Timestamp,
}

impl Control {
    /// The kept looks at an experiment, oldest first.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn looks(&self, id: &ExperimentId) -> Result<Vec<Look>, ControlError> {
        let rows: Vec<(String, Option<String>, Option<String>, i64)> = sqlx::query_as(
            "SELECT body, digest, definition, stored_at FROM readouts WHERE experiment_id = $1 ORDER BY readout_seq",
        )
        .bind(id.as_str())
        .fetch_all(&mut *self.reader().await)
        .await
        .map_err(ControlError::query("reading the looks at an experiment"))?;
        let look = |(body, digest, definition, stored_at): (String, Option<String>, Option<String>, i64)| {
            let definition = definition.map(|text| from_json("an experiment", &text)).transpose()?;
            Ok(Look { readout: from_json("a readout", &body)?, body, digest, definition, stored_at: time(stored_at)? })
        };
        rows.into_iter().map(look).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, at, experiment, experiment_id};

    fn readout(id: &str, of: &vocabulary::Experiment) -> experiment::Readout {
        let cells = experiment::Cells::new(of, 100);
        let observed = cells.observe(of, &experiment::Cut::default(), at(0));
        let versions = [("clicks".to_owned(), 3)].into();
        experiment::readout(of, &experiment::Observations { versions, engine: "test".into(), ..observed }, id)
    }

    #[tokio::test]
    async fn looks_are_kept_with_what_recomputes_them() {
        let world = World::new();
        let control = world.open().await;
        let id = experiment_id("e");
        let mut written = experiment("e", &["a", "b"]);
        control.put_experiment(&written).await.unwrap();
        let (first, stale) = (readout("r1", &written), readout("r2", &written));
        control.put_readout(&first).await.unwrap();
        written.question = "Another?".into();
        control.put_experiment(&written).await.unwrap();
        world.clock.set(at(60));
        control.put_readout(&stale).await.unwrap();
        let third = readout("r3", &written);
        control.put_readout(&third).await.unwrap();
        // As a version before this one kept them.
        sqlx::query("UPDATE readouts SET digest = NULL, definition = NULL WHERE readout_id = 'r3'")
            .execute(&mut *control.writer().await)
            .await
            .unwrap();

        let looks = control.looks(&id).await.unwrap();
        let ids: Vec<&str> = looks.iter().map(|look| look.readout.id.as_str()).collect();
        assert_eq!(ids, ["r1", "r2", "r3"]);
        let kept = looks[0].definition.as_ref().unwrap();
        assert!(kept.question.is_empty() && first.is_of(kept) && !first.is_of(&written));
        assert_eq!((looks[0].body.clone(), looks[0].stored_at), (first.to_json(), at(0)));
        assert_eq!(looks[0].digest, Some(experiment::digest(&first.to_json())));
        assert_eq!((&looks[1].definition, looks[1].stored_at), (&None, at(60)), "the experiment was changed in between");
        assert!(looks[1].digest.is_some() && looks[2].digest.is_none() && looks[2].definition.is_none());
        assert_eq!(control.looks(&experiment_id("none")).await.unwrap(), []);
    }
}
