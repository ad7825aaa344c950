//! What finished experiments taught: the input of the learning library.

use experiment::Lesson;
use sqlx::SqliteConnection;
use vocabulary::ExperimentId;

use crate::experiments::{from_json, to_json};
use crate::{Control, ControlError};

impl Control {
    /// The lessons of all finished experiments, by experiment: of each those of the newest look that ended it.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn lessons(&self) -> Result<Vec<Lesson>, ControlError> {
        let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM lessons ORDER BY experiment_id")
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading what experiments taught"))?;
        let mut lessons = Vec::new();
        for body in bodies {
            lessons.extend(from_json::<Vec<Lesson>>("lessons", &body)?);
        }
        Ok(lessons)
    }
}

/// Keeps what a look taught in the place of what an earlier one did. One that ended nothing teaches nothing and takes nothing away.
pub(crate) async fn put_lessons(
    writer: &mut SqliteConnection,
    experiment: &ExperimentId,
    lessons: &[Lesson],
) -> Result<(), ControlError> {
    if lessons.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT INTO lessons (experiment_id, body) VALUES ($1, $2) ON CONFLICT (experiment_id) DO UPDATE SET body = excluded.body")
        .bind(experiment.as_str())
        .bind(to_json("lessons", &lessons)?)
        .execute(writer)
        .await
        .map_err(ControlError::query("storing what an experiment taught"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use experiment::judge::Before;
    use experiment::{Action, Cells, Cut, Observed, judge};
    use stats::Moments;

    use crate::testing::{World, at, experiment};

    #[tokio::test]
    async fn the_newest_look_that_ended_an_experiment_teaches() {
        let world = World::new();
        let control = world.open().await;
        let written = experiment("e", &["a", "b"]);
        control.put_experiment(&written).await.unwrap();
        let judged = |successes: u64, id: &str| {
            let mut observed = Cells::new(&written, 100).observe(&written, &Cut::default(), at(0));
            for (arm, successes) in observed.arms.iter_mut().zip([1_000, successes]) {
                (arm.assigned, arm.mature) = (10_000, 10_000);
                let moments = Moments::from_successes(10_000, successes);
                arm.metrics.values_mut().for_each(|metric| *metric = moments);
            }
            judge(&written, &Observed::overall(observed), &Before { is_list: true, fractions: vec![], early: None }, id)
        };
        let nothing = Cells::new(&written, 100).observe(&written, &Cut::default(), at(0));
        let nothing =
            judge(&written, &Observed::overall(nothing), &Before { is_list: true, fractions: vec![], early: None }, "r0");
        control.put_judged(&nothing).await.unwrap();
        assert_eq!(control.lessons().await.unwrap(), []);
        for (id, successes, lift) in [("r1", 1_300, 0.3), ("r2", 1_500, 0.5)] {
            let judged = judged(successes, id);
            assert_eq!(judged.decision.action, Action::Ship);
            control.put_judged(&judged).await.unwrap();
            control.put_judged(&nothing).await.unwrap();
            let lessons = control.lessons().await.unwrap();
            let [lesson] = &lessons[..] else { panic!("one variant, not {lessons:?}") };
            assert!((lesson.lift - lift).abs() < 1e-9 && lesson.shipped, "{lesson:?}");
        }
    }
}
