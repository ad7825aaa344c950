//! Pieces of templates with all their versions. A campaign sees those of the moment at which it was started, and a message to one
//! person those of the moment at which it is made.

use vocabulary::{CampaignId, Snippet};

use crate::experiments::{from_json, to_json};
use crate::store::{begin, commit};
use crate::{Control, ControlError};

impl Control {
    /// Stores snippets, all or none; those that are not named stay as they are.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be written.
    pub async fn put_snippets(&self, snippets: &[Snippet]) -> Result<(), ControlError> {
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        for snippet in snippets {
            sqlx::query("INSERT INTO snippets (snippet, definition, stored_at) VALUES ($1, $2, $3)")
                .bind(&snippet.snippet)
                .bind(to_json("a snippet", snippet)?)
                .bind(self.now().as_microsecond())
                .execute(&mut *transaction)
                .await
                .map_err(ControlError::query("storing a snippet"))?;
        }
        commit(transaction).await
    }

    /// All snippets as they are now, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn snippets(&self) -> Result<Vec<Snippet>, ControlError> {
        self.snippets_until(None).await
    }

    /// The snippets that a campaign sees: as they were when it was started, or are now where it was not.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn snippets_of(&self, campaign: &CampaignId) -> Result<Vec<Snippet>, ControlError> {
        let until: Option<Option<i64>> = sqlx::query_scalar("SELECT snippets_until FROM campaigns WHERE campaign_id = $1")
            .bind(campaign.as_str())
            .fetch_optional(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading a campaign"))?;
        self.snippets_until(until.flatten()).await
    }

    async fn snippets_until(&self, until: Option<i64>) -> Result<Vec<Snippet>, ControlError> {
        let query = "SELECT definition FROM snippets
                     WHERE number IN (SELECT max(number) FROM snippets WHERE number <= $1 GROUP BY snippet) ORDER BY snippet";
        let rows: Vec<String> = sqlx::query_scalar(query)
            .bind(until.unwrap_or(i64::MAX))
            .fetch_all(&mut *self.reader().await)
            .await
            .map_err(ControlError::query("reading snippets"))?;
        rows.iter().map(|text| from_json("a snippet", text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState::{Draft, Failed, Paused, Planning};
    use crate::testing::{World, campaign, campaign_id, experiment};

    fn snippet(name: &str, content: &str) -> Snippet {
        Snippet { snippet: name.into(), content: content.into(), ..Snippet::default() }
    }

    #[tokio::test]
    async fn a_started_campaign_keeps_the_snippets_of_that_moment() {
        let world = World::new();
        let control = world.open().await;
        control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
        control.put_campaign(&campaign("c", "e")).await.unwrap();
        control.put_snippets(&[snippet("foot", "1"), snippet("head", "1")]).await.unwrap();
        control.put_snippets(&[snippet("foot", "2")]).await.unwrap();
        let id = campaign_id("c");
        let seen = async || {
            let snippets = control.snippets_of(&id).await.unwrap();
            snippets.iter().map(|snippet| format!("{} {}", snippet.snippet, snippet.content)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(seen().await, "foot 2, head 1");
        assert!(control.set_campaign_state(&id, &[Draft], Planning).await.unwrap());
        control.put_snippets(&[snippet("foot", "3"), snippet("legal", "1")]).await.unwrap();
        assert_eq!(seen().await, "foot 2, head 1");
        assert!(control.set_campaign_state(&id, &[Planning], Paused).await.unwrap());
        assert!(control.set_campaign_state(&id, &[Paused], Planning).await.unwrap());
        assert_eq!(seen().await, "foot 2, head 1", "a pause is no new start");
        assert!(control.fail_campaign(&id, "no").await.unwrap());
        assert!(control.set_campaign_state(&id, &[Failed], Planning).await.unwrap());
        assert_eq!(seen().await, "foot 3, head 1, legal 1");
        let now = control.snippets().await.unwrap();
        assert_eq!(now, [snippet("foot", "3"), snippet("head", "1"), snippet("legal", "1")]);
    }
}
