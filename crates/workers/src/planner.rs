//! Compiles a campaign into a plan: who, which variant, when, and who not and why. The plan is a Parquet file sorted by due
//! time, cut into slices that the senders lease.
//!
//! The file is written before anything else and is never written twice, so that a planner that dies half-way finds it
//! and goes on with the same hours and variants.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control::{CampaignRow, CampaignState, NewSlice, SegmentUse};
use experiment::Assigner;
use gateways::{SmsConfig, SmsRoute};
use jiff::Timestamp;
use lake::{Group, Picked, PlanRow};
use planning::{Brief, Draft, Stores};
use tokio_util::sync::CancellationToken;
use vocabulary::{
    Body, Campaign, Channel, ContactKey, Context, DeliveryStatus, Event, EventId, MessageClass, Mode, SendHour, Variant,
    VariantName,
};

use crate::told::delivery_event;
use crate::{Config, Parts, WorkerError, contacts, entries, pause_after};

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
            CampaignState::Planning if row.campaign.triggered => entries::begin(parts, config, &row).await,
            CampaignState::Sending if row.campaign.triggered => entries::plan(parts, config, &row).await,
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

/// When what is recommended for everybody names another day, hour or channel, what is not yet handed over is planned anew. Where nothing
/// holds, that is the control.
async fn replan_if_hour_moved(parts: &Parts, config: &Config, row: &CampaignRow) -> Result<(), WorkerError> {
    let Some(guidance) = parts.control.guidance(&row.campaign.experiment).await? else { return Ok(()) };
    let current = planning::recommended(&guidance, &row.campaign, parts.clock.now());
    let planned_for = parts.control.plan_in_force(&row.campaign.campaign).await?.and_then(|plan| plan.planned_for);
    if planned_for.as_ref() == Some(current) {
        return Ok(());
    }
    // Its provider is not planned: a message takes the one of the variant that it is made of.
    let way = |name: &VariantName| {
        guidance.experiment().variant(name).map(|variant| (variant.send_day, variant.send_hour, variant.channel))
    };
    if planned_for.as_ref().and_then(way) == way(current) {
        return Ok(());
    }
    compile(parts, config, row).await
}

/// Makes the campaign's next plan and puts it in force.
async fn compile(parts: &Parts, config: &Config, row: &CampaignRow) -> Result<(), WorkerError> {
    let (campaign, version) = (&row.campaign, row.plan_version + 1);
    let brief = Arc::new(Brief::read(&parts.control, campaign.clone(), None, parts.clock.now()).await?);
    check(parts, config, &brief).await?;
    let file = plan_file(&config.plans, campaign, &version.to_string());
    if !file.exists() {
        let now = parts.clock.now();
        let mut draft = draw_up(parts, &brief, version, now).await?;
        keep_doubts(parts, row, &mut draft).await?;
        let picked = picked(parts, campaign, || draft.contacts(), now).await?;
        let (file, notes) = (file.clone(), draft.notes()?);
        let write = move || {
            let rows = draft.into_rows().map(|row| PlanRow { picks: picked.of(row.contact), ..row });
            lake::write_plan_noting(&file, rows, Some(now), &notes)
        };
        tokio::task::spawn_blocking(write).await??;
        tracing::info!(campaign = %campaign.campaign, "decided about everybody");
    } else if brief.to_balance().is_some()
        && let Some(noted) = planning::noted_draw(&file)?
    {
        // The store was brought back from a backup that is older than the plan.
        parts.control.keep_balanced(&campaign.experiment, &noted).await?;
    }
    let mut told = Told::default();
    for rows in lake::plan_rows(&file)? {
        told.take(parts, &brief, &rows?).await?;
    }
    let planned_for = brief.recommended.as_ref().map(|variant| &variant.name);
    parts.control.plan_ready(&campaign.campaign, version, &file.to_string_lossy(), planned_for, &told.slices).await?;
    let Told { recipients, left_out, slices } = told;
    tracing::info!(campaign = %campaign.campaign, recipients, left_out, slices = slices.len(), "planned");
    Ok(())
}

/// What would make every single message fail is found before the first.
pub(crate) async fn check(parts: &Parts, config: &Config, brief: &Brief) -> Result<(), WorkerError> {
    let Brief { campaign, experiment, .. } = brief;
    let (chain, class) = (campaign.chain(), campaign.class);
    if let Some(channel) = chain.iter().copied().find(|channel| !config.takes(*channel, class)) {
        let fix = match channel {
            Channel::Email => "no mail server is set; start the server with `--smtp HOST:PORT`".to_owned(),
            Channel::Sms => {
                format!("no gateway takes {class} text messages; name one in a file and start the server with `--sms FILE`")
            }
            other => format!("no gateway for {other} is set up; only email and sms can be sent"),
        };
        return Err(WorkerError::Campaign(fix));
    }
    if let Some(held_out) = experiment.holdout().filter(|_| class != MessageClass::Marketing) {
        let why = format!("variant `{}` is a holdout, and nobody is held out of {class} messages; leave it out", held_out.name);
        return Err(WorkerError::Campaign(why));
    }
    for variant in &experiment.variants {
        if campaign.triggered && brief.send_hour(variant) == Some(SendHour::Learned) {
            let why = format!(
                "variant `{}` leaves at a learned hour, which a triggered campaign has no audience to learn from; give it an hour",
                variant.name
            );
            return Err(WorkerError::Campaign(why));
        }
        if let Some(other) = variant.channel.filter(|own| !chain.contains(own)) {
            let names: Vec<&str> = chain.iter().map(|channel| channel.as_str()).collect();
            let why = format!(
                "variant `{}` goes by {other} and the campaign by {}; name both in the campaign's `channels`",
                variant.name,
                names.join(" or ")
            );
            return Err(WorkerError::Campaign(why));
        }
        if let Some(why) = problem_of_provider(&config.sms, campaign, variant) {
            return Err(WorkerError::Campaign(why));
        }
        if campaign.mode == Mode::Test && !campaign.content.contains_key(variant.copy_name()) {
            let why = format!("`content` has no `{}`, which variant `{}` needs", variant.copy_name(), variant.name);
            return Err(WorkerError::Campaign(why));
        }
    }
    if chain.contains(&Channel::Email) {
        gateways::mailbox_address(&campaign.from).map_err(|error| WorkerError::Campaign(format!("`from`: {error}")))?;
    }
    let snippets = parts.control.snippets_of(&campaign.campaign).await?;
    content::libraries(campaign, experiment, &snippets).map_err(|error| WorkerError::Campaign(error.to_string()))?;
    Ok(())
}

/// Why messages of a variant could not leave by the provider that it names; or by any, where it names none.
fn problem_of_provider(sms: &SmsConfig, campaign: &Campaign, variant: &Variant) -> Option<String> {
    let (chain, class, name) = (campaign.chain_of(variant), campaign.class, &variant.name);
    let is_served = sms.routes().iter().any(|route| route.serves(variant.provider.as_ref(), class));
    let Some(provider) = &variant.provider else {
        return (chain.contains(&Channel::Sms) && !is_served).then(|| {
            format!(
                "variant `{name}` names no provider, and each gateway for {class} text messages takes only those that name it; give it \
                 `provider`"
            )
        });
    };
    if let Some(other) = chain.iter().find(|channel| **channel != Channel::Sms) {
        return Some(format!(
            "variant `{name}` goes by the provider `{provider}`, a gateway for text messages, and may go by {other}; give it `channel: sms`"
        ));
    }
    if is_served {
        return None;
    }
    let known: Vec<&str> = sms.routes().iter().filter(|route| route.classes().contains(&class)).map(SmsRoute::name).collect();
    Some(format!(
        "variant `{name}` goes by the provider `{provider}`, and no gateway of that name takes {class} text messages; name one of {}, or add it \
         to the file of `--sms`",
        known.join(", ")
    ))
}

/// The products of these contacts, who are ordered by key, for the slots of the campaign, if it has any: one query for each slot.
pub(crate) async fn picked(
    parts: &Parts,
    campaign: &Campaign,
    contacts: impl FnOnce() -> Vec<ContactKey>,
    now: Timestamp,
) -> Result<Picked, WorkerError> {
    if campaign.slots.is_empty() {
        return Ok(Picked::default());
    }
    let picked = parts.lake.picks(&campaign.slots, &contacts(), Group::Internal, now).await;
    picked.map_err(|error| match error {
        error if error.is_callers() => WorkerError::Campaign(format!("a query of `slots` does not run: {error}")),
        error => error.into(),
    })
}

/// The file of one of a campaign's plans. `name` is one that no other of its plans has.
pub(crate) fn plan_file(folder: &Path, campaign: &Campaign, name: &str) -> PathBuf {
    let safe: String = campaign.campaign.as_str().bytes().map(|b| format!("{b:02x}")).collect();
    folder.join(format!("{safe}-{name}.parquet"))
}

/// After the store was brought back from a backup, who was due before stays due then: they may have got their message, and a later
/// hour does not change that.
async fn keep_doubts(parts: &Parts, row: &CampaignRow, draft: &mut Draft) -> Result<(), WorkerError> {
    let Some(moment) = parts.control.restored_at() else { return Ok(()) };
    let Some(before) = parts.control.newest_plan(&row.campaign.campaign).await? else { return Ok(()) };
    let mut due: HashMap<ContactKey, Timestamp> = HashMap::new();
    for rows in lake::plan_rows(&before.file)? {
        due.extend(rows?.iter().filter_map(|row| Some((row.contact, row.due.filter(|due| *due <= moment)?))));
    }
    draft.retime(|contact| due.get(&contact).copied());
    Ok(())
}

/// Decides about everybody in the audience, as the lake knows it now, and notes the segment that was used.
async fn draw_up(parts: &Parts, brief: &Arc<Brief>, version: u32, now: Timestamp) -> Result<Draft, WorkerError> {
    contacts::publish(parts).await?;
    let stores = Stores { control: parts.control.clone(), lake: parts.lake.clone() };
    let (mut draft, used) = Draft::draw_up(&stores, brief, parts.rules.current(), now).await?;
    // The draw is kept before the plan is written, so that a planner that dies in between finds it. Of two plans the first decides.
    if let Some(chosen) = draft.chosen()
        && let Some(kept) = parts.control.keep_balanced(&brief.experiment.experiment, chosen).await?
    {
        let brief = Arc::new(Brief { balanced: Some(kept), ..Brief::clone(brief) });
        (draft, _) = Draft::draw_up(&stores, &brief, parts.rules.current(), now).await?;
    }
    if let Some(used) = used {
        parts.control.note_segment_use(&SegmentUse { plan_version: version, ..used }).await?;
    }
    Ok(draft)
}

/// What the rows of a plan came to, in order.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) slices: Vec<NewSlice>,
    recipients: u64,
    left_out: u64,
}

impl Told {
    /// Takes the next rows of a plan: tells who was assigned what, where the campaign is a test, and cuts them into slices.
    pub(crate) async fn take(&mut self, parts: &Parts, brief: &Brief, rows: &[PlanRow]) -> Result<(), WorkerError> {
        let sent = &rows[..rows.partition_point(|row| row.due.is_some())];
        if brief.campaign.mode == Mode::Test {
            record_assignments(parts, brief, sent).await?;
        }
        record_held_out(parts, brief, &rows[sent.len()..]).await?;
        rows.iter().for_each(|row| self.add(row.due));
        Ok(())
    }

    /// The next row: runs of rows that are due together are a slice, of bounded length.
    fn add(&mut self, due: Option<Timestamp>) {
        let Some(due) = due else {
            self.left_out += 1;
            return;
        };
        match self.slices.last_mut() {
            Some(slice) if slice.due == due && slice.rows < SLICE_ROWS_MAX => slice.rows += 1,
            _ => self.slices.push(NewSlice { first_row: self.recipients, rows: 1, due }),
        }
        self.recipients += 1;
    }
}

/// Who is in the global holdout and is refused by nothing else would have got the message: a ghost send.
async fn record_held_out(parts: &Parts, brief: &Brief, rows: &[PlanRow]) -> Result<(), WorkerError> {
    let (now, campaign, said) = (parts.clock.now(), &brief.campaign, policy::Reason::HeldOut.to_string());
    let event = |row: &PlanRow| {
        let why = row.why.as_ref().filter(|why| *why.reason == *said)?;
        let message_id = content::message_id(&campaign.campaign, row.contact, row.step.as_ref());
        Some(Event {
            id: delivery_event(&message_id, DeliveryStatus::HeldOut),
            time: now,
            received_at: now,
            contact: row.contact,
            time_doubt: None,
            context: Context {
                message_id: Some(message_id),
                campaign_id: Some(campaign.campaign.clone()),
                experiment_id: Some(brief.experiment.experiment.clone()),
                market: row.market.clone(),
                ..Context::default()
            },
            body: Body::Delivery { status: DeliveryStatus::HeldOut, reply: Some(why.rule.to_string()) },
        })
    };
    let events: Vec<Event> = rows.iter().filter_map(event).collect();
    for events in events.chunks(APPEND_EVENTS_MAX) {
        parts.lake.append(events.to_vec()).await?;
    }
    Ok(())
}

/// Assignments are events like any other; their ids follow from who and what, so that telling them twice is harmless.
async fn record_assignments(parts: &Parts, brief: &Brief, rows: &[PlanRow]) -> Result<(), WorkerError> {
    let now = parts.clock.now();
    let assigner = Assigner::new(&brief.experiment, brief.draw());
    let propensity = |row: &PlanRow| row.variant.as_ref().and_then(|variant| assigner.propensity(variant));
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
            channel: row.channel.or(brief.campaign.chain().first().copied()),
            market: row.market.clone(),
            ..Context::default()
        },
        body: Body::Assignment { planned_at: row.due, propensity: propensity(row) },
    };
    for chunk in rows.chunks(APPEND_EVENTS_MAX) {
        parts.lake.append(chunk.iter().map(event).collect()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vocabulary::Provider;

    use super::*;

    #[test]
    fn a_provider_without_a_gateway_is_found_before_the_first_message() {
        let gateway = |name: &str, more: &str| {
            format!(
                "[[gateway]]\nname = \"{name}\"\nkind = \"twilio\"\nclasses = [\"marketing\"]\nsender = \"SHOP\"\n{more}\n\
                 [gateway.twilio]\naccount = \"AC0123\"\ntoken = \"${{TOKEN}}\"\n"
            )
        };
        let (main, trial) = (gateway("main", ""), gateway("trial", "named_only = true"));
        let problem = |config: &str, channels: &[Channel], own: Option<Channel>, provider: Option<&str>| {
            let sms = SmsConfig::read(config, &|_| Some("hush".to_owned())).unwrap();
            let campaign = serde_json::json!({ "campaign": "c", "experiment": "e", "channels": channels, "content": {} });
            let variant = Variant {
                channel: own,
                provider: provider.map(|name| Provider::new(name).unwrap()),
                ..serde_json::from_value(serde_json::json!({ "name": "b" })).unwrap()
            };
            problem_of_provider(&sms, &serde_json::from_value(campaign).unwrap(), &variant)
        };
        let both = [main.clone(), trial.clone()].concat();
        let texts = [Channel::Sms];
        assert_eq!(problem(&both, &texts, None, None), None);
        assert_eq!(problem(&both, &texts, None, Some("trial")), None);
        assert_eq!(problem(&both, &[Channel::Email, Channel::Sms], Some(Channel::Sms), Some("main")), None);
        assert_eq!(problem("", &[Channel::Email], None, None), None);
        assert_eq!(
            problem(&both, &[Channel::Email, Channel::Sms], None, Some("trial")).as_deref(),
            Some(
                "variant `b` goes by the provider `trial`, a gateway for text messages, and may go by email; give it `channel: sms`"
            )
        );
        assert_eq!(
            problem(&main, &texts, None, Some("trial")).as_deref(),
            Some(
                "variant `b` goes by the provider `trial`, and no gateway of that name takes marketing text messages; name one of main, or \
                 add it to the file of `--sms`"
            )
        );
        assert!(problem(&trial, &texts, None, None).unwrap().ends_with("takes only those that name it; give it `provider`"));
    }

    #[test]
    fn slices_hold_what_is_due_together() {
        let mut told = Told::default();
        for due in std::iter::repeat_n(10, 1_200).chain([20, 20, 30]) {
            told.add(Timestamp::from_second(due).ok());
        }
        told.add(None);
        let cut: Vec<(u64, u64)> = told.slices.iter().map(|slice| (slice.first_row, slice.rows)).collect();
        assert_eq!(cut, [(0, 500), (500, 500), (1_000, 200), (1_200, 2), (1_202, 1)]);
    }
}
