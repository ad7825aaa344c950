//! What of a campaign can still be changed once it was started, for those who have not got their message.
//!
//! A changed campaign has no plan in force: it takes the number of its next plan, so that a plan that is being made of the old text
//! comes to nothing, and the campaign is planned anew when it is started again. The ledger passes over whoever has got theirs.
//!
//! *Invariant:* what a test compares stays what it is. Who takes part and when they were to get their message is told with the plan;
//! nobody compares two copies of which one was another in the middle.

use sqlx::SqliteConnection;
use vocabulary::{Campaign, Mode};

use crate::ControlError;
use crate::campaigns::{CampaignRow, CampaignState};

/// A part of a campaign that stays as it is, and why.
struct Fixed {
    field: &'static str,
    why: &'static str,
}

/// What its messages are counted under, and what the rules go by.
const STARTED: &str = "a started campaign is counted and permitted by it";
/// What the plan of a test has told.
const PLANNED: &str = "who takes part in a test, and when, was told with its plan, and outcomes count from there";
/// What some have got.
const SENT: &str = "some have got the message as it was, and a test that goes on with another one compares neither";

/// Refuses what cannot be changed any more between `old` and `new`.
///
/// # Errors
/// [`ControlError::Frozen`] for a campaign that runs or has ended, and for the first field that stays as it is.
pub(crate) async fn check(connection: &mut SqliteConnection, old: &CampaignRow, new: &Campaign) -> Result<(), ControlError> {
    let frozen = |reason: String| Err(ControlError::Frozen { noun: "campaign", id: new.campaign.to_string(), reason });
    match old.state {
        CampaignState::Draft => return Ok(()),
        CampaignState::Failed if old.plan_version == 0 => return Ok(()),
        CampaignState::Paused | CampaignState::Failed => {}
        CampaignState::Planning | CampaignState::Sending => {
            return frozen(format!("it is {}; pause it first, then change what has not left", old.state));
        }
        CampaignState::Done | CampaignState::Cancelled => {
            return frozen(format!("it is {}; make a new campaign for other content or recipients", old.state));
        }
    }
    match fixed(&old.campaign, new, has_left(connection, new).await?) {
        None => Ok(()),
        Some(Fixed { field, why }) => frozen(format!("`{field}` stays as it is, because {why}; make a new campaign for another")),
    }
}

/// The first field that is another and must not be.
fn fixed(old: &Campaign, new: &Campaign, has_left: bool) -> Option<Fixed> {
    let is_test = old.mode == Mode::Test;
    let always = [
        ("experiment", old.experiment == new.experiment),
        ("mode", old.mode == new.mode),
        ("triggered", old.triggered == new.triggered),
        ("class", old.class == new.class),
    ];
    let planned = [
        ("audience", old.audience == new.audience),
        ("segment", old.segment == new.segment),
        ("share", old.share == new.share),
        ("channels", old.chain() == new.chain()),
        ("start", old.start == new.start),
        ("send_hour", old.send_hour == new.send_hour),
    ];
    let sent = [
        ("content", old.content == new.content),
        ("from", old.from == new.from),
        ("slots", old.slots == new.slots),
        ("coupon_pool", old.coupon_pool == new.coupon_pool),
        ("coupon_pools", old.coupon_pools == new.coupon_pools),
    ];
    let first = |fields: &[(&'static str, bool)], why| {
        let field = fields.iter().find(|(_, is_same)| !is_same)?.0;
        Some(Fixed { field, why })
    };
    first(&always, STARTED)
        .or_else(|| first(&planned, PLANNED).filter(|_| is_test))
        .or_else(|| first(&sent, SENT).filter(|_| is_test && has_left))
}

/// Whether a message of the campaign was handed over, or may have been.
async fn has_left(connection: &mut SqliteConnection, campaign: &Campaign) -> Result<bool, ControlError> {
    let query =
        "SELECT claimed_count + accepted_count + refused_count + in_doubt_count > 0 FROM campaigns WHERE campaign_id = $1";
    sqlx::query_scalar(query)
        .bind(campaign.campaign.as_str())
        .fetch_one(connection)
        .await
        .map_err(ControlError::query("looking whether anything of a campaign has left"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CampaignState::{Paused, Planning, Sending};
    use crate::testing::{World, at, campaign, claims, new_slices, sending_campaign};
    use crate::{Control, Settled, Settlement};
    use vocabulary::SendHour;

    async fn paused(control: &Control, mode: Mode) -> Campaign {
        let id = sending_campaign(control, &[(0, 10, 0), (10, 10, 60)]).await;
        let mut row = control.campaign(&id).await.unwrap().unwrap().campaign;
        if mode != row.mode {
            // As if it had been written so from the beginning.
            row.mode = mode;
            let query = "UPDATE campaigns SET definition = json_set(definition, '$.mode', $1)";
            sqlx::query(query).bind(mode.as_str()).execute(&mut *control.writer().await).await.unwrap();
        }
        control.set_campaign_state(&id, &[Sending], Paused).await.unwrap();
        control.campaign(&id).await.unwrap().unwrap().campaign
    }

    fn with(old: &Campaign, change: impl FnOnce(&mut Campaign)) -> Campaign {
        let mut new = old.clone();
        change(&mut new);
        new
    }

    async fn refused(control: &Control, new: &Campaign) -> String {
        control.put_campaign(new).await.expect_err("it stays as it is").to_string()
    }

    fn subject(campaign: &mut Campaign) {
        campaign.content.get_mut("a").unwrap().subject = "Hello again".into();
    }

    #[tokio::test]
    async fn a_changed_campaign_is_planned_anew_and_what_was_made_of_the_old_one_is_nothing() {
        let world = World::new();
        let control = world.open().await;
        let old = paused(&control, Mode::Recommended).await;
        let id = old.campaign.clone();
        let new = with(&old, |new| {
            new.send_hour = Some(SendHour::At(9));
            subject(new);
        });
        assert!(!control.put_campaign(&new).await.unwrap());
        let row = control.campaign(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.plan_version, row.has_plan, &row.campaign), (Paused, 2, false, &new));
        assert!(control.plan_in_force(&id).await.unwrap().is_none());
        assert_eq!(control.newest_plan(&id).await.unwrap().unwrap().version, 1);
        // A planner that began before knows the number 2.
        assert!(!control.plan_ready(&id, 2, "old", None, &new_slices(&[(0, 5, 0)])).await.unwrap());
        assert!(control.set_campaign_state(&id, &[Paused], Planning).await.unwrap());
        assert!(control.lease_slice("w", at(100), at(160)).await.unwrap().is_none());
        assert!(control.plan_ready(&id, 3, "new", None, &new_slices(&[(0, 5, 0)])).await.unwrap());
        let lease = control.lease_slice("w", at(100), at(160)).await.unwrap().unwrap();
        assert_eq!((lease.plan_version, lease.plan_file.as_str()), (3, "new"));
        assert!(control.campaign(&id).await.unwrap().unwrap().has_plan);
    }

    #[tokio::test]
    async fn who_leased_before_the_change_claims_nothing_after_it() {
        let world = World::new();
        let control = world.open().await;
        let id = sending_campaign(&control, &[(0, 10, 0)]).await;
        let lease = control.lease_slice("w", at(0), at(60)).await.unwrap().unwrap();
        assert_eq!(control.claim_leased(&lease, &claims(1..4), at(0)).await.unwrap().len(), 3);
        control.set_campaign_state(&id, &[Sending], Paused).await.unwrap();
        assert!(control.claim_leased(&lease, &claims(4..7), at(0)).await.unwrap().is_empty());
        control.set_campaign_state(&id, &[Paused], Sending).await.unwrap();
        assert!(control.claim_leased(&lease, &claims(4..7), at(0)).await.unwrap().is_empty(), "its text may be an old one");
        assert!(!control.finish_slice(&lease).await.unwrap());
        let next = control.lease_slice("w", at(1), at(61)).await.unwrap().unwrap();
        assert_eq!(control.claim_leased(&next, &claims(4..7), at(1)).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn what_a_test_compares_stays_what_it_is() {
        let world = World::new();
        let control = world.open().await;
        let old = paused(&control, Mode::Test).await;
        let said = refused(&control, &with(&old, |new| new.share = 0.5)).await;
        assert_eq!(
            said,
            "campaign `c` can no longer be changed: `share` stays as it is, because who takes part in a test, and when, was told with \
             its plan, and outcomes count from there; make a new campaign for another"
        );
        assert!(refused(&control, &with(&old, |new| new.send_hour = Some(SendHour::At(9)))).await.contains("`send_hour`"));
        assert!(refused(&control, &with(&old, |new| new.mode = Mode::Recommended)).await.contains("`mode`"));
        // Nobody has got it, so the copy may be mended.
        let mended = with(&old, subject);
        assert!(!control.put_campaign(&mended).await.unwrap());
        let id = old.campaign.clone();
        control.set_campaign_state(&id, &[Paused], Planning).await.unwrap();
        control.plan_ready(&id, 3, "new", None, &new_slices(&[(0, 10, 0)])).await.unwrap();
        let lease = control.lease_slice("w", at(0), at(60)).await.unwrap().unwrap();
        let taken = control.claim_leased(&lease, &claims(1..2), at(0)).await.unwrap();
        let settled = |message_id| Settled {
            message_id,
            outcome: Settlement::Accepted,
            variant: None,
            recommendation_id: None,
            is_fallback: false,
            reply: None,
            at: at(1),
        };
        control.settle(&taken.into_iter().map(settled).collect::<Vec<_>>()).await.unwrap();
        control.set_campaign_state(&id, &[Sending], Paused).await.unwrap();
        let said = refused(&control, &old).await;
        assert!(said.contains("`content` stays as it is, because some have got the message as it was"), "{said}");
        let ends = with(&mended, |new| new.ends = Some(at(3_600)));
        assert!(!control.put_campaign(&ends).await.unwrap(), "its end stops all variants alike");
    }

    #[tokio::test]
    async fn a_running_campaign_is_paused_first() {
        let world = World::new();
        let control = world.open().await;
        sending_campaign(&control, &[(0, 10, 0)]).await;
        let said = refused(&control, &with(&campaign("c", "e"), subject)).await;
        assert_eq!(said, "campaign `c` can no longer be changed: it is sending; pause it first, then change what has not left");
    }
}
