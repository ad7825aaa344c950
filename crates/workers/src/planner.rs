//! Compiles a campaign into a plan: who, which variant, when. The plan is a Parquet file sorted by due time, cut into
//! slices that the senders lease.
//!
//! The file is written before anything else and is never written twice, so that a planner that dies half-way finds it
//! and goes on with the same hours and variants.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::{CampaignRow, CampaignState, NewSlice, SegmentUse};
use experiment::Assigner;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use lake::{Group, PlanRow, Recipient};
use tokio_util::sync::CancellationToken;
use vocabulary::{Body, Campaign, Channel, ContactKey, Context, Event, EventId, Experiment, Mode, Variant, VariantName};

use crate::{Config, Parts, WorkerError, contacts, pause_after};

/// Recipients in a slice: few enough that a slow lane holds back little, many enough that leasing costs nothing.
const SLICE_ROWS_MAX: u64 = 500;

/// Assignment events appended at once.
const APPEND_EVENTS_MAX: usize = 5_000;

/// How often campaigns are looked at when nobody rang.
const POLL: Duration = Duration::from_millis(250);

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Parts, config: Config, stop: CancellationToken) {
    let mut changed = parts.control.campaigns_changed();
    loop {
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            _ = changed.changed() => Wake::Tick,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Shutdown => return,
            Wake::Tick => {
                if let Err(error) = step(&parts, &config).await {
                    pause_after("planning", &error, &stop).await;
                }
            }
        }
    }
}

async fn step(parts: &Parts, config: &Config) -> Result<(), WorkerError> {
    for row in parts.control.campaigns().await? {
        let outcome = match row.state {
            CampaignState::Planning => compile(parts, config, &row).await,
            CampaignState::Sending if row.campaign.mode == Mode::Recommended => replan_if_hour_moved(parts, config, &row).await,
            _ => Ok(()),
        };
        match outcome {
            // What people wrote is wrong: trying again would not help, so the campaign says why and stands still.
            Err(WorkerError::Campaign(why)) => drop(parts.control.fail_campaign(&row.campaign.campaign, &why).await?),
            Err(WorkerError::Lake(error)) if error.is_callers() => {
                let why = format!("the audience query does not run: {error}");
                parts.control.fail_campaign(&row.campaign.campaign, &why).await?;
            }
            other => other?,
        }
    }
    Ok(())
}

/// What a plan is made for.
struct Brief<'a> {
    campaign: &'a Campaign,
    experiment: &'a Experiment,
    /// In `recommended` mode, the variant whose hour counts.
    recommended: Option<&'a Variant>,
    /// Nothing is due before.
    start: Timestamp,
}

/// When a new recommendation names another hour, what is not yet handed over is planned anew.
async fn replan_if_hour_moved(parts: &Parts, config: &Config, row: &CampaignRow) -> Result<(), WorkerError> {
    let Some(current) = parts.control.current(&row.campaign.experiment).await? else { return Ok(()) };
    let planned_for = parts.control.planned_for(&row.campaign.campaign).await?;
    if planned_for.as_ref() == Some(&current.variant) {
        return Ok(());
    }
    let Some(experiment) = parts.control.experiment(&row.campaign.experiment).await? else { return Ok(()) };
    let hour = |name: &VariantName| experiment.variant(name).and_then(|variant| variant.send_hour);
    if planned_for.as_ref().and_then(hour) == hour(&current.variant) {
        return Ok(());
    }
    compile(parts, config, row).await
}

/// Makes the campaign's next plan and puts it in force.
async fn compile(parts: &Parts, config: &Config, row: &CampaignRow) -> Result<(), WorkerError> {
    let (campaign, version) = (&row.campaign, row.plan_version + 1);
    let experiment = parts.control.experiment(&campaign.experiment).await?;
    let experiment = experiment.ok_or_else(|| {
        WorkerError::Campaign(format!(
            "experiment `{}` does not exist; create it with `sendlab experiment apply`",
            campaign.experiment
        ))
    })?;
    let recommended = match campaign.mode {
        Mode::Test => None,
        Mode::Recommended => Some(parts.control.current(&campaign.experiment).await?.ok_or_else(|| {
            WorkerError::Campaign(format!("experiment `{}` has no recommendation yet; decide it first", campaign.experiment))
        })?),
    };
    let recommended = recommended.as_ref().and_then(|recommendation| experiment.variant(&recommendation.variant));
    check(config, campaign, &experiment)?;

    let now = parts.clock.now();
    let brief = Brief { campaign, experiment: &experiment, recommended, start: campaign.start.unwrap_or(now).max(now) };
    let file = plan_file(&config.plans, campaign, version);
    let rows = if file.exists() {
        lake::read_plan(&file, 0, usize::MAX)?
    } else {
        let rows = draw_up(&brief, reachable(parts, &brief, version).await?);
        lake::write_plan(&file, &rows)?;
        rows
    };
    if campaign.mode == Mode::Test {
        record_assignments(parts, &brief, &rows).await?;
    }
    let slices = slices(&rows);
    let planned_for = recommended.map(|variant| &variant.name);
    parts.control.plan_ready(&campaign.campaign, version, &file.to_string_lossy(), planned_for, &slices).await?;
    tracing::info!(campaign = %campaign.campaign, recipients = rows.len(), slices = slices.len(), "planned");
    Ok(())
}

/// What would make every single message fail is found before the first.
fn check(config: &Config, campaign: &Campaign, experiment: &Experiment) -> Result<(), WorkerError> {
    if config.smtp.is_none() {
        return Err(WorkerError::Campaign("no mail server is set; start the server with `--smtp HOST:PORT`".into()));
    }
    for variant in &experiment.variants {
        let channel = variant.channel.unwrap_or(campaign.channel);
        if channel != Channel::Email {
            let why =
                format!("variant `{}` goes by {channel}, for which no gateway is set up; only email can be sent", variant.name);
            return Err(WorkerError::Campaign(why));
        }
        if campaign.mode == Mode::Test && !campaign.content.contains_key(variant.copy_name()) {
            let why = format!("`content` has no `{}`, which variant `{}` needs", variant.copy_name(), variant.name);
            return Err(WorkerError::Campaign(why));
        }
    }
    gateways::mailbox_address(&campaign.from).map_err(|error| WorkerError::Campaign(format!("`from`: {error}")))?;
    content::Library::compile(&campaign.content).map_err(|error| WorkerError::Campaign(error.to_string()))?;
    Ok(())
}

fn plan_file(folder: &Path, campaign: &Campaign, version: u32) -> PathBuf {
    let safe: String = campaign.campaign.as_str().bytes().map(|b| format!("{b:02x}")).collect();
    folder.join(format!("{safe}-{version}.parquet"))
}

/// The audience, less those the share leaves out, those who said no and those without an address.
async fn reachable(parts: &Parts, brief: &Brief<'_>, version: u32) -> Result<Vec<Recipient>, WorkerError> {
    contacts::publish(parts).await?;
    let mut recipients = match &brief.campaign.segment {
        Some(name) => in_segment(parts, brief, name, version).await?,
        None => {
            let audience = brief.campaign.audience.as_deref().or(brief.experiment.audience.as_deref());
            parts.lake.audience(audience, Group::Internal).await?.recipients
        }
    };
    recipients.retain(|contact| experiment::in_share(&brief.campaign.campaign, contact.key, brief.campaign.share));
    let keys: Vec<ContactKey> = recipients.iter().map(|contact| contact.key).collect();
    let reachable: HashSet<ContactKey> = parts.control.reachable(&keys, Channel::Email).await?;
    recipients.retain(|contact| reachable.contains(&contact.key));
    Ok(recipients)
}

/// Who is in a segment at the start of the plan, noted with the versions it was read at.
async fn in_segment(parts: &Parts, brief: &Brief<'_>, name: &str, version: u32) -> Result<Vec<Recipient>, WorkerError> {
    let missing = || WorkerError::Campaign(format!("there is no segment `{name}`; store it with `sendlab segment apply`"));
    let row = parts.control.segment(name).await?.ok_or_else(missing)?;
    let now = parts.clock.now();
    let query = row.segment.query(now, parts.lake.base_currency());
    let query = query.map_err(|error| WorkerError::Campaign(format!("segment `{name}`: {error}")))?;
    let audience = parts.lake.audience(Some(&query), Group::Internal).await?;
    let used = SegmentUse {
        campaign: brief.campaign.campaign.clone(),
        plan_version: version,
        segment: name.to_owned(),
        version: row.version,
        query,
        contacts: audience.recipients.len() as u64,
        lake_versions: audience.versions,
        at: now,
    };
    parts.control.note_segment_use(&used).await?;
    Ok(audience.recipients)
}

/// Gives each recipient a variant and a due time, in order of due time.
fn draw_up(brief: &Brief<'_>, recipients: Vec<Recipient>) -> Vec<PlanRow> {
    let assigner = Assigner::new(brief.experiment);
    let row = |contact: Recipient| {
        let assigned = match brief.campaign.mode {
            Mode::Test => Some(assigner.assign(contact.key).variant.clone()),
            Mode::Recommended => None,
        };
        let variant = assigned.as_ref().and_then(|name| brief.experiment.variant(name)).or(brief.recommended);
        let hour = variant.and_then(|variant| variant.send_hour).or(brief.campaign.send_hour);
        let due = due(brief.start, hour, contact.time_zone.as_deref());
        PlanRow { contact: contact.key, variant: assigned, market: contact.market, due }
    };
    let mut rows: Vec<PlanRow> = recipients.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.due, row.contact));
    rows
}

/// The first time at or after `start` when it is `hour` o'clock in `time_zone` (UTC where unknown). An hour that
/// daylight saving skips becomes the next one that exists.
#[must_use]
pub fn due(start: Timestamp, hour: Option<u8>, time_zone: Option<&str>) -> Timestamp {
    let Some(hour) = hour else { return start };
    let zone = time_zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let today = start.to_zoned(zone.clone()).date();
    let days = (0..3).filter_map(|days| today.checked_add(i64::from(days).days()).ok());
    let hours = days.filter_map(|day| day.at(hour.cast_signed(), 0, 0, 0).to_zoned(zone.clone()).ok());
    hours.map(|local| local.timestamp()).find(|time| *time >= start).unwrap_or(start)
}

/// Runs of rows that are due together, of bounded length.
fn slices(rows: &[PlanRow]) -> Vec<NewSlice> {
    let mut slices: Vec<NewSlice> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match slices.last_mut() {
            Some(slice) if slice.due == row.due && slice.rows < SLICE_ROWS_MAX => slice.rows += 1,
            _ => slices.push(NewSlice { first_row: index as u64, rows: 1, due: row.due }),
        }
    }
    slices
}

/// Assignments are events like any other; their ids follow from who and what, so that telling them twice is harmless.
async fn record_assignments(parts: &Parts, brief: &Brief<'_>, rows: &[PlanRow]) -> Result<(), WorkerError> {
    let now = parts.clock.now();
    let assigner = Assigner::new(brief.experiment);
    let event = |row: &PlanRow| Event {
        id: EventId::new(&format!("assignment:{}:{}", brief.experiment.experiment, row.contact))
            .expect("an experiment's id and a contact key fit into an event id"),
        time: now,
        received_at: now,
        contact: row.contact,
        time_doubt: None,
        context: Context {
            campaign_id: Some(brief.campaign.campaign.clone()),
            experiment_id: Some(brief.experiment.experiment.clone()),
            variant: row.variant.clone(),
            channel: Some(brief.campaign.channel),
            market: row.market.clone(),
            ..Context::default()
        },
        body: Body::Assignment { planned_at: Some(row.due), propensity: Some(assigner.assign(row.contact).propensity) },
    };
    for chunk in rows.chunks(APPEND_EVENTS_MAX) {
        parts.lake.append(chunk.iter().map(event).collect()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_the_recipients_own() {
        let check = |start: &str, hour: Option<u8>, zone: Option<&str>, expect: &str| {
            assert_eq!(due(start.parse().unwrap(), hour, zone).to_string(), expect, "{start} {hour:?} {zone:?}");
        };
        check("2026-11-11T00:30:00Z", None, Some("Asia/Shanghai"), "2026-11-11T00:30:00Z");
        check("2026-11-11T00:30:00Z", Some(9), Some("Asia/Shanghai"), "2026-11-11T01:00:00Z");
        check("2026-11-11T01:00:01Z", Some(9), Some("Asia/Shanghai"), "2026-11-12T01:00:00Z");
        check("2026-11-11T00:30:00Z", Some(20), Some("America/New_York"), "2026-11-11T01:00:00Z");
        check("2026-11-11T00:30:00Z", Some(9), Some("Nowhere/Land"), "2026-11-11T09:00:00Z");
        // On this night New York's clocks go from 2 to 3: half past two is skipped.
        check("2026-03-08T06:00:00Z", Some(2), Some("America/New_York"), "2026-03-08T07:00:00Z");
    }

    #[test]
    fn slices_hold_what_is_due_together() {
        let row = |due: i64| PlanRow {
            contact: ContactKey::from_i64(1).unwrap(),
            variant: None,
            market: None,
            due: Timestamp::from_second(due).unwrap(),
        };
        let rows: Vec<PlanRow> = std::iter::repeat_n(10, 1_200).chain([20, 20, 30]).map(row).collect();
        let cut: Vec<(u64, u64)> = slices(&rows).iter().map(|slice| (slice.first_row, slice.rows)).collect();
        assert_eq!(cut, [(0, 500), (500, 500), (1_000, 200), (1_200, 2), (1_202, 1)]);
    }
}
