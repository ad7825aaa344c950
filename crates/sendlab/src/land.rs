//! `sendlab lake land`: a second lander beside a running server.

use std::time::Duration;

use lake::LogLander;

use crate::cli::Place;
use crate::client::settings;
use crate::commands::until_stopped;
use crate::print::{note, say};
use crate::server::lake_config;

/// A follower looks for new segments this often: the server seals one every two seconds.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// Lands what the log of the data folder holds; for ever, if it is to follow.
pub(crate) async fn run(place: &Place, follow: bool) -> anyhow::Result<()> {
    let mut lander = LogLander::open(lake_config(&settings(place)?)?).await?;
    if !follow {
        let landed = lander.land().await?;
        say(&format!("{} events are in the tables, by {} commits.", landed.events, landed.commits));
        return Ok(());
    }
    say(&format!("Landing what {} writes to its log. Stop: Ctrl-C", place.data.display()));
    tokio::select! {
        stopped = until_stopped() => stopped,
        () = follow_log(&mut lander) => Ok(()),
    }
}

/// What fails is tried again: the log keeps what is not landed.
async fn follow_log(lander: &mut LogLander) {
    loop {
        if let Err(error) = lander.land().await {
            note(&format!("landing failed and is tried again: {:#}", anyhow::Error::from(error)));
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}
