//! A campaign's plan in numbers before it is started: how many get it where and when, who gets none and why, what it costs, whether
//! its coupons last, and when it is done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use content::{Library, Segments};
use gateways::SmsPrice;
use gateways::warm_up::day_of;
use jiff::{Timestamp, ToSpan as _};
use planning::{Brief, Counts, Draft, DryRun, LearnedHour, Stores, done_at, spread_over_days};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{CampaignId, Channel, ContactKey, Currency, VariantName};

use crate::Parts;
use crate::coupons::{self, CouponNeed};
use crate::preview::{Reader, Shown, libraries, rendered, route_and_price};
use crate::problem::Problem;
use crate::products::Filled;
use crate::request::{Id, Params};
use crate::views::ErrorBody;
use crate::views::documents::BalancedDocument;

/// Text messages that are made to see what all of them cost.
const SAMPLE: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(dry_run))
}

/// What is to be known beforehand.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DryRunAsk {
    /// How many messages leave in a second; what the gateways are set to for text messages where absent.
    #[schema(example = 500.0)]
    per_second: Option<f64>,
}

/// A plan in numbers. Nothing is kept of it, and nothing sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRunView {
    /// The moment it was drawn up for, RFC 3339.
    at: String,
    /// Contacts of the audience.
    audience: u64,
    /// Those who get a message.
    sent: u64,
    /// Those who get none.
    left_out: u64,
    /// Those who get everything but the message, because their variant is the experiment's holdout. They stand in no count below.
    held_out: u64,
    /// When the first message is due, RFC 3339.
    first_due: Option<String>,
    /// When the last message is due, RFC 3339.
    last_due: Option<String>,
    /// When the last message has left, by the number that leave in a second and the warm-up of the domain it is from; `null` where
    /// that is not known.
    done_at: Option<String>,
    /// The number that was reckoned with.
    per_second: Option<f64>,
    /// By the country they buy in, the largest first.
    by_market: Vec<MarketCount>,
    /// By variant.
    by_variant: Vec<VariantCount>,
    /// The draw by which the groups of a test are balanced; `null` where they are as chance makes them.
    balance: Option<BalanceView>,
    /// By channel.
    by_channel: Vec<ChannelCount>,
    /// By the hour in which messages are due, in UTC.
    by_hour: Vec<HourCount>,
    /// Messages whose hour is learned, by that hour of the contacts' own clocks and by whose habit it is; empty where none is.
    by_learned_hour: Vec<LearnedHourCount>,
    /// What rules do to how many, the most first.
    by_rule: Vec<RuleCount>,
    /// What text messages will cost, by currency; `null` where there are none.
    cost: Option<CostView>,
    /// What it asks of pools of coupon codes; empty where no copy asks for a coupon.
    coupons: Vec<CouponNeed>,
}

/// A market of the plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarketCount {
    /// ISO 3166 country; `null` where it is not known.
    market: Option<String>,
    /// They get a message.
    sent: u64,
    /// They get none.
    left_out: u64,
}

/// A variant of the plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VariantCount {
    /// The variant; `null` where the recommended one is taken when the message leaves.
    variant: Option<String>,
    /// Messages.
    sent: u64,
}

/// How the groups of a test are balanced.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceView {
    /// Whether it was kept with the experiment by an earlier plan and so counts for this one; else the plan chooses one in this way, of
    /// what is known then.
    kept: bool,
    /// The draw.
    #[schema(value_type = BalancedDocument)]
    balanced: experiment::Balanced,
}

/// A channel of the plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelCount {
    /// The channel.
    channel: &'static str,
    /// Messages.
    sent: u64,
}

/// An hour of the plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HourCount {
    /// Its beginning, RFC 3339.
    hour: String,
    /// Messages due in it.
    sent: u64,
}

/// An hour that was learned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LearnedHourCount {
    /// By the contacts' own clocks, 0 to 23.
    hour: u8,
    /// Whose habit it is: `contact` their own, `market` that of people of their market, `default` nobody's, as too little is known.
    from: &'static str,
    /// Messages. Rules may still put them off.
    sent: u64,
}

/// A rule that decided.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleCount {
    /// Its name.
    rule: String,
    /// Its version.
    version: u32,
    /// Contacts who get their message later because of it.
    put_off: u64,
    /// Contacts who get none because of it.
    left_out: u64,
    /// What it said about one of them.
    example: String,
}

/// What text messages will cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CostView {
    /// Amounts such as `1204.5 EUR`, one for each currency.
    amounts: Vec<String>,
    /// How many messages were made to see their length; the amounts are theirs, extended to all.
    sampled: usize,
    /// How many of those no gateway takes or has a price for; they are not in the amounts.
    unpriced: usize,
}

/// See what a campaign's plan would come to.
///
/// The whole audience is decided about, as at the start: audience, consent, caps, hours. Nothing is kept and nothing is sent.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/dry-run",
    tag = "campaigns",
    operation_id = "dry_run_campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    request_body = DryRunAsk,
    responses(
        (status = 200, description = "The plan in numbers.", body = DryRunView),
        (status = 404, description = "There is no such campaign.", body = ErrorBody),
        (status = 422, description = "The campaign cannot be planned as it is; the message says why.", body = ErrorBody),
    )
)]
async fn dry_run(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<CampaignId>,
    Params(asked): Params<DryRunAsk>,
) -> Result<Json<DryRunView>, Problem> {
    if asked.per_second.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        let message = "per_second: is not a positive number".to_owned();
        return Err(Problem::unprocessable("bad_rate", message, "write how many messages leave in a second, such as 500"));
    }
    let campaign = crate::campaigns::known(&parts, &id).await?.campaign;
    if campaign.triggered {
        let message = format!("campaign `{id}` is triggered: nobody is known before they enter");
        return Err(Problem::unprocessable(
            "not_plannable",
            message,
            "POST /v1/triggers/{id}/replay shows who would have entered",
        ));
    }
    let now = parts.clock.now();
    let brief = Arc::new(Brief::read(&parts.control, campaign, None, now).await?);
    let stores = Stores { control: parts.control.clone(), lake: parts.lake.clone() };
    let (draft, _) = Draft::draw_up(&stores, &brief, parts.rules.current(), now).await?;
    let kept = draft.chosen().is_none();
    let balance = draft.balanced().cloned().map(|balanced| BalanceView { kept, balanced });
    let held_out = brief.experiment.holdout().map(|variant| variant.name.clone());
    let counted = move || (draft.dry_run(held_out.as_ref()), draft.dues(), draft.sample(Channel::Sms, SAMPLE));
    let counted = tokio::task::spawn_blocking(counted);
    let (run, dues, sample) = counted.await.map_err(|error| Problem::internal(&error))?;
    let libraries = libraries(&parts, &brief.campaign, &brief.experiment).await?;
    let texts = run.by_channel.get(&Channel::Sms).copied().unwrap_or_default();
    let cost = match libraries.get(&Channel::Sms) {
        Some(library) => Some(cost(&parts, &brief, library, sample, texts).await?),
        None => None,
    };
    let by_variant = run.by_variant.iter().map(|(variant, sent)| (variant.as_ref(), *sent));
    let coupons = coupons::needs(&parts, &brief, &libraries, by_variant).await?;
    let per_second = asked.per_second.or_else(|| rate(&parts, &brief));
    let leaving = warmed_up(&parts, &brief, &dues, now).await?;
    let done = match (&leaving, per_second) {
        (leaving, Some(rate)) => done_at(leaving.as_ref().unwrap_or(&dues), rate),
        (Some(leaving), None) => leaving.last().copied(),
        (None, None) => None,
    };
    let done_at = done.map(|done| done.to_string());
    Ok(Json(DryRunView { balance, cost, coupons, done_at, ..view(run, &dues, per_second, now) }))
}

/// When messages leave that are due at these times, if the domain they are from is warmed up: on the first day with room for them, less
/// what of today's is used. Warm-ups of single destinations are left out, because a plan knows no addresses.
async fn warmed_up(parts: &Parts, brief: &Brief, dues: &[Timestamp], now: Timestamp) -> Result<Option<Vec<Timestamp>>, Problem> {
    let is_mail = brief.campaign.chain() == [Channel::Email];
    let from = gateways::mailbox_address(&brief.campaign.from).ok().filter(|_| is_mail).unwrap_or_default();
    let warm_ups = parts.warm_ups.of_sender(&from);
    let Some(warm_up) = warm_ups.into_iter().find(|one| one.destination.is_none()) else { return Ok(None) };
    let used = parts.control.warm_up_days(&[warm_up.name()]).await?;
    let room = |days: i64| {
        let day = day_of(now).checked_add(days.days()).ok()?;
        let used = used.iter().find(|used| used.day == day).map_or(0, |used| used.sent);
        warm_up.allowance(day).map(|most| most.saturating_sub(used))
    };
    Ok(Some(spread_over_days(dues, now, room)))
}

/// How many text messages the gateways that a campaign's variants go by take in a second, if all of them say so.
fn rate(parts: &Parts, brief: &Brief) -> Option<f64> {
    let class = brief.campaign.class;
    let takes = |route: &&gateways::SmsRoute| brief.variants().any(|variant| route.serves(variant.provider.as_ref(), class));
    let routes = parts.sms.routes().iter().filter(takes);
    let rates: Option<Vec<f64>> = routes.map(gateways::SmsRoute::messages_per_second).collect();
    let is_text = brief.campaign.chain() == [Channel::Sms];
    rates.filter(|rates| is_text && !rates.is_empty()).map(|rates| rates.iter().sum())
}

fn view(run: DryRun, dues: &[Timestamp], per_second: Option<f64>, now: Timestamp) -> DryRunView {
    let market =
        |(market, counts): (Option<String>, Counts)| MarketCount { market, sent: counts.sent, left_out: counts.left_out };
    let mut by_market: Vec<MarketCount> = run.by_market.into_iter().map(market).collect();
    by_market.sort_by_key(|count| std::cmp::Reverse(count.sent + count.left_out));
    let variant = |(variant, sent): (Option<VariantName>, u64)| VariantCount { variant: variant.map(String::from), sent };
    let channel = |(channel, sent): (Channel, u64)| ChannelCount { channel: channel.as_str(), sent };
    let rule = |((rule, version), ruled): ((Arc<str>, u32), planning::Ruled)| RuleCount {
        rule: rule.to_string(),
        version,
        put_off: ruled.counts.sent,
        left_out: ruled.counts.left_out,
        example: ruled.reason.to_string(),
    };
    let learned =
        |(learned, sent): (LearnedHour, u64)| LearnedHourCount { hour: learned.hour, from: learned.from.as_str(), sent };
    let mut by_rule: Vec<RuleCount> = run.by_rule.into_iter().map(rule).collect();
    by_rule.sort_by_key(|count| std::cmp::Reverse(count.put_off + count.left_out));
    DryRunView {
        at: now.to_string(),
        audience: run.all.sent + run.all.left_out + run.held_out,
        sent: run.all.sent,
        left_out: run.all.left_out,
        held_out: run.held_out,
        first_due: dues.first().map(Timestamp::to_string),
        last_due: dues.last().map(Timestamp::to_string),
        done_at: None,
        per_second,
        by_market,
        by_variant: run.by_variant.into_iter().map(variant).collect(),
        balance: None,
        by_channel: run.by_channel.into_iter().map(channel).collect(),
        by_hour: run.by_hour.into_iter().map(|(hour, sent)| HourCount { hour: hour.to_string(), sent }).collect(),
        by_learned_hour: run.by_learned_hour.into_iter().map(learned).collect(),
        by_rule,
        cost: None,
        coupons: Vec::new(),
    }
}

/// Makes the messages of some recipients and extends what they cost to all that are `sent`.
async fn cost(
    parts: &Parts,
    brief: &Brief,
    library: &Library,
    sample: Vec<(ContactKey, Option<VariantName>)>,
    sent: u64,
) -> Result<CostView, Problem> {
    let campaign = &brief.campaign;
    let samples = coupons::samples(parts, campaign).await?;
    let how = Shown { campaign, library, samples: &samples };
    let sample: HashMap<ContactKey, Option<VariantName>> = sample.into_iter().collect();
    let mut keys: Vec<ContactKey> = sample.keys().copied().collect();
    keys.sort_unstable();
    let filled = Filled::of(parts, campaign, &keys).await?;
    let rules = parts.rules.current();
    let mut sums: BTreeMap<Currency, i64> = BTreeMap::new();
    let mut unpriced = 0;
    for mut row in parts.control.recipients(&keys).await? {
        let contact = &mut row.contact;
        rules.derive_time_zone(contact);
        let assigned = sample.get(&contact.key).and_then(Option::as_ref);
        let variant = assigned.and_then(|name| brief.experiment.variant(name)).or(brief.recommended.as_ref());
        let price = variant.and_then(|variant| {
            let message_id = content::message_id(&campaign.campaign, contact.key, None);
            let slots = filled.slots(contact.key);
            let reader = Reader { contact, slots: &slots, language: None };
            let text = rendered(parts, how, variant, &reader, &message_id).ok()?.text;
            route_and_price(parts, campaign, variant, contact, Segments::of(&text).segments).1
        });
        match price {
            Some(SmsPrice { millionths, currency }) => *sums.entry(currency).or_default() += millionths,
            None => unpriced += 1,
        }
    }
    let extended = |sum: i64| (i128::from(sum) * i128::from(sent) / keys.len().max(1) as i128) as i64;
    let amounts = sums.into_iter().map(|(currency, sum)| SmsPrice { millionths: extended(sum), currency }.to_string()).collect();
    Ok(CostView { amounts, sampled: keys.len(), unpriced })
}
