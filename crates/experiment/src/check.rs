//! What must hold of an experiment or a campaign beyond the types of its fields. The first thing that does not hold is
//! reported; fixing one often changes the rest.

mod metrics;

use std::collections::BTreeSet;

use vocabulary::label::{self, may_be_mailbox};
use vocabulary::product::{SLOTS_MAX, is_slot_name};
use vocabulary::{
    Balance, Bandit, Campaign, Channel, Cuped, Early, Experiment, Factor, Guardrail, LabelError, Layer, Rollout, SendHour, Utm,
    Variant, VariantName,
};

use crate::early::EARLY_HOURS;
use crate::error::Problem;

/// More variants than any list can tell apart; the comparisons grow with their square.
const VARIANTS_MAX: usize = 50;

/// A year; longer windows never mature while anyone remembers the campaign.
const WINDOW_HOURS_MAX: u32 = 366 * 24;

/// An alpha above one half would call noise a winner more often than not.
pub(crate) const ALPHA_MAX: f64 = 0.5;

/// The longest query, question or address line, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Hours of the day.
const HOURS: u8 = 24;

/// A year; what was longer ago says little of what comes.
const DAYS_BEFORE_MAX: u32 = 366;

/// With less, a search over millions of contacts takes minutes and gains little: what two groups differ by in two
/// covariates has 5 % of the variance that chance gives it with 0.1, and 0.5 % with 0.01.
const ACCEPTANCE_MIN: f64 = 0.01;

/// With more, hardly anything is balanced.
const ACCEPTANCE_MAX: f64 = 0.5;

/// More labels than anyone reads.
const TAGS_MAX: usize = 20;

/// The longest label in bytes: some words, no sentence.
const TAG_BYTES_MAX: usize = 64;

/// More steps tell little more, and each keeps the better variant from most people for another while.
const ROLLOUT_STEPS_MAX: usize = 10;

/// The share of the last step, in percent: everybody.
const ROLLOUT_LAST: u8 = 100;

/// Thirty days; whoever wants to wait longer than that between two steps tests.
const ROLLOUT_HOURS_MAX: u32 = 30 * 24;

/// The end of a layer, in percent of all contacts.
const LAYER_END: u8 = 100;

/// Thirty days, as for a rollout: a wave that is longer learns nothing while it lasts.
const WAVE_HOURS_MAX: u32 = 30 * 24;

/// A check passes or stops at the first problem.
pub(crate) type Check = Result<(), Problem>;

pub(crate) fn problem_of_experiment(experiment: &Experiment) -> Option<Problem> {
    let checks = || -> Check {
        factors(&experiment.factors)?;
        variants(experiment)?;
        metrics::check(&experiment.metrics, experiment.window_hours)?;
        primary(experiment)?;
        guardrails(experiment)?;
        within("window_hours", (1..=WINDOW_HOURS_MAX).contains(&experiment.window_hours), || {
            format!("is {}; it must be from 1 to {WINDOW_HOURS_MAX}", experiment.window_hours)
        })?;
        within("alpha", experiment.alpha > 0.0 && experiment.alpha <= ALPHA_MAX, || {
            format!("is {}; it must be more than 0 and at most {ALPHA_MAX}, and is usually 0.05", experiment.alpha)
        })?;
        balance(experiment.balance.as_ref())?;
        tags(&experiment.tags)?;
        rollout(experiment.rollout.as_ref())?;
        bandit(experiment)?;
        layer(experiment.layer.as_ref())?;
        cuped(experiment.cuped)?;
        early(experiment)?;
        line("question", Some(&experiment.question).filter(|question| !question.is_empty()))?;
        line("audience", experiment.audience.as_ref())
    };
    checks().err()
}

pub(crate) fn problem_of_campaign(campaign: &Campaign) -> Option<Problem> {
    let checks = || -> Check {
        within("share", campaign.share > 0.0 && campaign.share <= 1.0, || {
            format!("is {}; it must be more than 0 and at most 1", campaign.share)
        })?;
        line("audience", campaign.audience.as_ref())?;
        line("segment", campaign.segment.as_ref())?;
        within("segment", campaign.segment.is_none() || campaign.audience.is_none(), || {
            "is given beside `audience`; give one of them, or put both conditions into a segment".to_owned()
        })?;
        let is_free = !campaign.triggered || (campaign.segment.is_none() && campaign.audience.is_none());
        within("triggered", is_free, || {
            "is given beside `audience` or `segment`; triggers name whom a triggered campaign goes to, so leave the others out"
                .to_owned()
        })?;
        channels(campaign)?;
        let chain = campaign.chain();
        let is_mail = chain.contains(&Channel::Email);
        within("from", is_mail || campaign.from.is_empty(), || {
            format!("is for e-mail; leave it out: the gateway's settings name the sender by {}", chain[0])
        })?;
        line("from", Some(&campaign.from).filter(|_| is_mail))?;
        within("from", !is_mail || may_be_mailbox(&campaign.from), || {
            format!("is `{}`, which is no mailbox; write `Shop <news@shop.example>`", campaign.from.escape_debug())
        })?;
        hour("send_hour", campaign.send_hour)?;
        within("send_hour", !campaign.triggered || campaign.send_hour != Some(SendHour::Learned), || {
            "is `learned`, which needs an audience to learn from; a triggered campaign has none: write an hour, or leave it out"
                .to_owned()
        })?;
        line("window", campaign.window.as_ref())?;
        within("ends", campaign.ends.zip(campaign.start).is_none_or(|(ends, start)| ends > start), || {
            "is not after `start`; nothing could leave".to_owned()
        })?;
        within("utm", is_mail || campaign.utm.is_none(), || {
            format!("is for the links of e-mail; write the fields into the text where it goes by {}", chain[0])
        })?;
        within("trap_link", is_mail || !campaign.trap_link, || "is for e-mail; leave it out".to_owned())?;
        if let Some(Utm { source, medium, campaign, content, term }) = &campaign.utm {
            let fields = [("source", source), ("medium", medium), ("campaign", campaign), ("content", content), ("term", term)];
            for (name, value) in fields {
                line(&format!("utm.{name}"), value.as_ref())?;
            }
        }
        let cost = campaign.cost.unwrap_or(0.0);
        within("cost", cost.is_finite() && cost >= 0.0, || format!("is {cost}; it must be zero or more"))?;
        slots(campaign)?;
        within("content", !campaign.content.is_empty(), || "is empty; give at least one copy".to_owned())?;
        for (name, copy) in &campaign.content {
            let field = format!("content.{name}");
            label(&field, name)?;
            // The text of a mail is made of its HTML where there is none.
            if chain.len() > 1 {
                // Which channels a copy goes by is for the variants to say.
                let is_written = |part: &String| !part.trim().is_empty();
                let holds = is_written(&copy.text) || (is_written(&copy.subject) && is_written(&copy.html));
                within(&field, holds, || "is empty; write `subject` and `html` for e-mail, `text` for text messages".to_owned())?;
                continue;
            }
            let needed = [("subject", &copy.subject), ("html", &copy.html)].into_iter().filter(|_| is_mail);
            for (part, template) in needed.chain([("text", &copy.text)].into_iter().filter(|_| !is_mail)) {
                within(&format!("{field}.{part}"), !template.trim().is_empty(), || "is empty; write a template".to_owned())?;
            }
        }
        Ok(())
    };
    checks().err()
}

fn slots(campaign: &Campaign) -> Check {
    let count = campaign.slots.len();
    within("slots", count <= SLOTS_MAX, || format!("has {count}; a campaign has at most {SLOTS_MAX}"))?;
    for (name, slot) in &campaign.slots {
        let field = format!("slots.{name}");
        within(&field, is_slot_name(name), || {
            "is no name that templates can write; use up to 64 small letters, digits and underscores, a letter first".to_owned()
        })?;
        line(&format!("{field}.query"), Some(&slot.query))?;
        slot.check().map_err(|(part, reason)| Problem::new(format!("{field}.{part}"), reason))?;
    }
    Ok(())
}

/// The channels that messages of campaigns can be handed over by; there is no gateway for the others.
const SENT_BY: [Channel; 2] = [Channel::Email, Channel::Sms];

fn channels(campaign: &Campaign) -> Check {
    let Campaign { channel, channels, .. } = campaign;
    let has_gateway = |field: &str, channel: Channel| {
        within(field, SENT_BY.contains(&channel), || {
            format!("is {channel}, for which there is no gateway yet; email and sms can be sent")
        })
    };
    has_gateway("channel", *channel)?;
    for (index, channel) in channels.iter().enumerate() {
        has_gateway(&format!("channels[{index}]"), *channel)?;
    }
    unique(channels, |index| format!("channels[{index}]"), |channel| channel.as_str())?;
    // A campaign that was read and is written again says `email` where nobody said anything.
    within("channel", channels.is_empty() || *channel == Channel::Email || channels.first() == Some(channel), || {
        format!("is {channel} beside `channels`; leave it out, and put the channel that is tried first at their head")
    })
}

fn factors(factors: &[Factor]) -> Check {
    within("factors", !factors.is_empty(), || "is empty; name what differs: copy, timing, channel or provider".to_owned())?;
    unique(factors, |index| format!("factors[{index}]"), |factor| factor.as_str())
}

fn variants(experiment: &Experiment) -> Check {
    let variants = &experiment.variants;
    within("variants", (2..=VARIANTS_MAX).contains(&variants.len()), || {
        format!("has {}; an experiment needs from 2 to {VARIANTS_MAX}", variants.len())
    })?;
    unique(variants, |index| format!("variants[{index}].name"), |variant| variant.name.as_str())?;
    for (index, variant) in variants.iter().enumerate() {
        within(&format!("variants[{index}].weight"), variant.weight > 0, || {
            "is 0; it must be at least 1, and a variant nobody gets is left out".to_owned()
        })?;
        hour(&format!("variants[{index}].send_hour"), variant.send_hour)?;
        if let Some(copy) = &variant.copy {
            label(&format!("variants[{index}].copy"), copy)?;
        }
        provider(index, variant)?;
    }
    holdout(experiment)?;
    differences_are_factors(experiment)?;
    match &experiment.control {
        Some(control) if experiment.variant(control).is_none() => {
            Err(Problem::new("control", format!("is `{control}`, which is none of the variants"))
                .nearest_of(control.as_str(), variants.iter().map(|variant| variant.name.as_str())))
        }
        _ => Ok(()),
    }
}

/// Nothing is compared with people to whom nothing was sent but what sending brings at all.
fn holdout(experiment: &Experiment) -> Check {
    let held: Vec<usize> = (0..experiment.variants.len()).filter(|place| experiment.variants[*place].holdout).collect();
    let [first, rest @ ..] = &held[..] else { return Ok(()) };
    let field = |place: usize| format!("variants[{place}].holdout");
    if let Some(second) = rest.first() {
        return Err(Problem::new(
            field(*second),
            "is true of a second variant; one holdout is enough: give it the weight of both",
        ));
    }
    let name = &experiment.variants[*first].name;
    within(&field(*first), experiment.control() != name, || {
        format!(
            "is true of `{name}`, which the others are compared with; name a variant that is sent as `control`, or put it first"
        )
    })
}

/// A provider is a gateway for text messages. Whether there is one of that name is for the senders to say.
fn provider(index: usize, Variant { name, channel, provider, .. }: &Variant) -> Check {
    let (Some(provider), Some(channel)) = (provider, channel) else { return Ok(()) };
    within(&format!("variants[{index}].provider"), *channel == Channel::Sms, || {
        format!(
            "is `{provider}`, but variant `{name}` goes by {channel}, and a provider is a gateway for text messages; leave `provider` \
             out, or write `channel: sms`"
        )
    })
}

/// What differs between variants must be said, or a winner would be credited to the wrong cause.
fn differences_are_factors(experiment: &Experiment) -> Check {
    let sending: Vec<&Variant> = experiment.sending().collect();
    let differ = |same: &dyn Fn(&Variant, &Variant) -> bool| sending.windows(2).any(|pair| !same(pair[0], pair[1]));
    let differing = [
        (Factor::Timing, "send_hour", differ(&|a, b| a.send_hour == b.send_hour)),
        (Factor::Timing, "send_day", differ(&|a, b| a.send_day == b.send_day)),
        (Factor::Channel, "channel", differ(&|a, b| a.channel == b.channel)),
        (Factor::Provider, "provider", differ(&|a, b| a.provider == b.provider)),
        (Factor::Copy, "copy", differ(&|a, b| a.copy == b.copy)),
    ];
    for (factor, key, differs) in differing {
        within("factors", !differs || experiment.factors.contains(&factor), || {
            format!("leaves out `{factor}`, but the variants differ in `{key}`; add it, or give all variants the same `{key}`")
        })?;
    }
    Ok(())
}

fn primary(experiment: &Experiment) -> Check {
    is_metric("primary", &experiment.primary, experiment)?;
    // Recipients are fixed when the campaign is planned; what a ratio is divided by may itself be changed by a variant.
    let name = &experiment.primary;
    let is_ratio = experiment.metrics.iter().any(|metric| &metric.name == name && metric.per.is_some());
    within("primary", !is_ratio, || {
        format!("is `{name}`, which is a ratio; the winner is picked per intended recipient: name a metric without `per`")
    })
}

fn guardrails(experiment: &Experiment) -> Check {
    for (index, guardrail) in experiment.guardrails.iter().enumerate() {
        let Guardrail { metric, margin } = guardrail;
        let field = format!("guardrails[{index}].metric");
        is_metric(&field, metric, experiment)?;
        within(&field, metric != &experiment.primary, || {
            format!("is `{metric}`, which is the primary metric; a guardrail is another one")
        })?;
        let lower_is_better = experiment.metrics.iter().any(|known| &known.name == metric && known.lower_is_better);
        within(
            &format!("guardrails[{index}].margin"),
            margin.is_finite() && *margin > 0.0 && (lower_is_better || *margin < 1.0),
            || format!("is {margin}; it must be more than 0 and, where more is better, less than 1; 0.1 tolerates 10 % worse"),
        )?;
    }
    unique(&experiment.guardrails, |index| format!("guardrails[{index}].metric"), |guardrail| &guardrail.metric)
}

fn balance(balance: Option<&Balance>) -> Check {
    let Some(Balance { covariates, days, acceptance }) = balance else { return Ok(()) };
    within("balance.covariates", !covariates.is_empty(), || {
        "is empty; name what groups are to agree in, such as revenue, or leave `balance` out".to_owned()
    })?;
    unique(covariates, |index| format!("balance.covariates[{index}]"), |covariate| covariate.as_str())?;
    within("balance.days", (1..=DAYS_BEFORE_MAX).contains(days), || {
        format!("is {days}; it must be from 1 to {DAYS_BEFORE_MAX}, and is usually 90")
    })?;
    within("balance.acceptance", (ACCEPTANCE_MIN..=ACCEPTANCE_MAX).contains(acceptance), || {
        format!(
            "is {acceptance}; it must be from {ACCEPTANCE_MIN} to {ACCEPTANCE_MAX}: 0.1 takes the first of about ten draws that is \
             balanced enough"
        )
    })
}

fn tags(tags: &[String]) -> Check {
    within("tags", tags.len() <= TAGS_MAX, || format!("has {}; an experiment has at most {TAGS_MAX}", tags.len()))?;
    for (index, tag) in tags.iter().enumerate() {
        let field = format!("tags[{index}]");
        label::check(tag, TAG_BYTES_MAX).map_err(|error| Problem::new(&field, error.to_string()))?;
        within(&field, tag.trim() == tag, || format!("is `{tag}`, which has spaces around it; write `{}`", tag.trim()))?;
    }
    unique(tags, |index| format!("tags[{index}]"), |tag| tag)
}

fn rollout(rollout: Option<&Rollout>) -> Check {
    let Some(Rollout { steps, hours }) = rollout else { return Ok(()) };
    within("rollout.steps", (1..=ROLLOUT_STEPS_MAX).contains(&steps.len()), || {
        format!("has {}; a rollout has from 1 to {ROLLOUT_STEPS_MAX} steps", steps.len())
    })?;
    let mut before = 0;
    for (index, step) in steps.iter().enumerate() {
        within(&format!("rollout.steps[{index}]"), (before + 1..=ROLLOUT_LAST).contains(step), || {
            format!("is {step}; steps are percent that rise, from 1 to {ROLLOUT_LAST}")
        })?;
        before = *step;
    }
    within("rollout.steps", before == ROLLOUT_LAST, || {
        format!("ends with {before}; the last step is everybody: {ROLLOUT_LAST}")
    })?;
    within("rollout.hours", (1..=ROLLOUT_HOURS_MAX).contains(hours), || {
        format!("is {hours}; it must be from 1 to {ROLLOUT_HOURS_MAX}, and is usually 24")
    })
}

fn bandit(experiment: &Experiment) -> Check {
    let Some(Bandit { floor, wave_hours, .. }) = &experiment.bandit else { return Ok(()) };
    let variants = experiment.sending().count();
    // Beyond an even share there is nothing left to move, and without a floor nothing can be told of what was given up.
    within("bandit.floor", *floor > 0.0 && floor * (variants as f64) < 1.0, || {
        format!(
            "is {floor}; every variant keeps that share, so that with {variants} variants it must be more than 0 and less than {:.3}, and \
             is usually 0.05",
            1.0 / variants as f64
        )
    })?;
    within("bandit.wave_hours", (1..=WAVE_HOURS_MAX).contains(wave_hours), || {
        format!("is {wave_hours}; it must be from 1 to {WAVE_HOURS_MAX}, and is usually 24")
    })?;
    within("bandit", experiment.rollout.is_none(), || {
        "is given beside `rollout`; a bandit moves the shares by itself: leave one of them out".to_owned()
    })?;
    within("approval", experiment.approval.is_none(), || {
        "is given beside `bandit`, which moves the shares by itself; leave one of them out".to_owned()
    })
}

fn layer(layer: Option<&Layer>) -> Check {
    let Some(Layer { name, from, to }) = layer else { return Ok(()) };
    label::check(name, TAG_BYTES_MAX).map_err(|error| Problem::new("layer.name", error.to_string()))?;
    within("layer.to", from < to && *to <= LAYER_END, || {
        format!("is {to}; a part begins before it ends, and ends at {LAYER_END} at most: it begins at {from}")
    })
}

fn cuped(cuped: Option<Cuped>) -> Check {
    let Some(Cuped { days }) = cuped else { return Ok(()) };
    within("cuped.days", (1..=DAYS_BEFORE_MAX).contains(&days), || {
        format!("is {days}; it must be from 1 to {DAYS_BEFORE_MAX}, and is usually 90")
    })
}

fn early(experiment: &Experiment) -> Check {
    let Some(Early { age_hours }) = experiment.early else { return Ok(()) };
    let ages: Vec<String> = EARLY_HOURS.iter().map(u32::to_string).collect();
    within("early.age_hours", EARLY_HOURS.contains(&age_hours), || {
        format!("is {age_hours}; it must be one of {}, of which finished experiments tell", ages.join(", "))
    })?;
    within("early.age_hours", age_hours < experiment.window_hours, || {
        format!(
            "is {age_hours}, and windows are over after {}; leave `early` out, or take a smaller age",
            experiment.window_hours
        )
    })
}

fn is_metric(field: &str, name: &str, experiment: &Experiment) -> Check {
    let mut names = experiment.metrics.iter().map(|metric| metric.name.as_str());
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let known = names.by_ref().collect::<Vec<_>>();
    Err(Problem::new(field, format!("is `{name}`, which is none of the metrics {}", known.join(", "))).nearest_of(name, known))
}

pub(crate) fn within(field: &str, holds: bool, reason: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Problem::new(field, reason())) }
}

fn hour(field: &str, hour: Option<SendHour>) -> Check {
    let hour = hour.and_then(SendHour::fixed);
    within(field, hour.is_none_or(|hour| hour < HOURS), || {
        format!("is {}; an hour is from 0 to {}", hour.unwrap_or_default(), HOURS - 1)
    })
}

/// Names become keys in JSON and SQL, so they are held to the rules of ids.
fn label(field: &str, name: &str) -> Check {
    VariantName::new(name).map(drop).map_err(|error: LabelError| Problem::new(field, error.to_string()))
}

fn line(field: &str, text: Option<&String>) -> Check {
    let Some(text) = text else { return Ok(()) };
    within(field, !text.trim().is_empty(), || "is empty; leave it out or fill it in".to_owned())?;
    within(field, text.len() <= LINE_BYTES_MAX, || format!("has {} bytes; the limit is {LINE_BYTES_MAX}", text.len()))
}

pub(crate) fn unique<T>(items: &[T], field: impl Fn(usize) -> String, name: impl Fn(&T) -> &str) -> Check {
    let mut seen = BTreeSet::new();
    let twice = items.iter().position(|item| !seen.insert(name(item)));
    match twice {
        Some(index) => {
            Err(Problem::new(field(index), format!("is `{}`, which is there already; names must differ", name(&items[index]))))
        }
        None => Ok(()),
    }
}
