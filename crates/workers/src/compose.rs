//! Makes the message of a campaign at the last moment: the variant that is recommended right now, its coupon and products, the rules
//! about its words, its tracked links, its signature.

use content::{ContentError, Data, RenderContext, Tracking};
use gateways::{ListHeaders, MailParts};
use vocabulary::{Channel, CouponCode, Variant, VariantName};

use crate::Sending;
use crate::claim::{Dropped, Job, Outgoing, against};

/// Makes a message, with the variant that is recommended for its reader right now, or the control where nothing holds. `None` takes it back, and `dropped` says why.
pub(crate) fn render(parts: &Sending, job: &Job, out: &mut Outgoing) -> Option<Vec<u8>> {
    let guidance = job.guidance.borrow().clone();
    let (name, recommendation) = match &out.planned {
        Some(name) => (name.clone(), None),
        None => {
            let contact = &out.recipient.contact;
            let asker = job.asker(out.market.as_deref(), contact.profile.language.as_deref());
            let advice = guidance.as_ref()?.advice(asker, parts.clock.now());
            job.warn_of_fallback(&advice);
            (advice.pick(contact.key).variant.clone(), advice.followed().cloned())
        }
    };
    match compose(parts, job, out, &name) {
        Ok(mail) => {
            out.sent = Some((name, recommendation));
            Some(mail)
        }
        Err(why) => {
            if matches!(why, Dropped::HeldOut) {
                out.sent = Some((name, recommendation));
            }
            out.dropped = Some(why);
            None
        }
    }
}

/// The code in a message that is made and not handed over.
const GHOST_CODE: &str = "NOT-SENT";

/// Why a message was not made: a contact who lacks something is left out where the copy says so.
fn unmade(error: ContentError) -> Dropped {
    if error.is_skip() { Dropped::Against(error.to_string()) } else { Dropped::Broken(error.to_string()) }
}

/// The message's code; `None` where its pool was empty, and where its copy asks for none. Where the recommendation moved to a copy with
/// another pool after the claim, the message is claimed again.
fn coupon_of<'o>(parts: &Sending, job: &Job, out: &'o Outgoing, variant: &Variant) -> Result<Option<&'o str>, Dropped> {
    match (job.pool_of(variant), &out.coupon) {
        (None, _) => Ok(None),
        (Some(_), _) if variant.holdout => Ok(Some(GHOST_CODE)),
        (Some(pool), Some((asked, code))) if pool == asked => Ok(code.as_ref().map(CouponCode::as_str)),
        (Some(_), _) => Err(Dropped::Until(parts.clock.now())),
    }
}

fn compose(parts: &Sending, job: &Job, out: &Outgoing, name: &VariantName) -> Result<Vec<u8>, Dropped> {
    let broken = |why: String| Dropped::Broken(why);
    let variant = job.experiment.variant(name);
    let variant = variant.ok_or_else(|| broken(format!("the experiment has no variant `{name}`")))?;
    if variant.channel.is_some_and(|own| own != out.channel) {
        // The recommendation has moved to another channel since the claim: it is claimed anew for that one.
        return Err(Dropped::Until(parts.clock.now()));
    }
    let coupon = coupon_of(parts, job, out, variant)?;
    let unsubscribe_url = parts.links.unsubscribe(&out.message_id);
    let campaign = job.campaign.campaign.as_str();
    let preferences_url = parts.links.preferences(&out.message_id);
    let context = RenderContext {
        contact: &out.recipient.contact,
        campaign,
        variant: name.as_str(),
        unsubscribe_url: &unsubscribe_url,
        preferences_url: &preferences_url,
        data: &Data::default(),
        coupon,
        slots: &out.slots,
        now: parts.clock.now(),
    };
    let library = job.libraries.get(&out.channel);
    let library = library.ok_or_else(|| broken(format!("no copy of the campaign goes by {}", out.channel)))?;
    let mut rendered = library.render(variant.copy_name(), &context).map_err(unmade)?;
    // The words are known only now, and so is the variant where the recommended one is taken.
    let text = format!("{}\n{}", rendered.subject, rendered.text);
    if let Some(against) = against(parts, job, out, variant, Some(&text)) {
        return Err(against);
    }
    if variant.holdout {
        return Err(Dropped::HeldOut);
    }
    if out.channel != Channel::Email {
        return Ok(rendered.text.into_bytes());
    }
    let fields = job.campaign.utm_of(name.as_str());
    let (links, has_trap) = (&parts.links, job.campaign.trap_link);
    let how = Tracking { links, message: &out.message_id, fields: &fields, has_trap };
    rendered.html = content::track(&rendered.html, &how);
    rendered.text = content::track_text(&rendered.text, &how);
    let mail = MailParts {
        from: &job.campaign.from,
        to: &out.address,
        message_id: &out.message_id,
        date: parts.clock.now(),
        rendered: &rendered,
        list: Some(ListHeaders { unsubscribe_url: &unsubscribe_url, list_id: campaign, feedback_id: campaign }),
    };
    let mail = gateways::mime(&mail).and_then(|bytes| parts.dkim.sign(&job.campaign.from, bytes));
    mail.map_err(|error| broken(error.to_string()))
}
