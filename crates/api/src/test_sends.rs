//! A campaign's message sent to addresses of those who write it, before it is sent to anybody else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use content::{Rendered, Tracking};
use control::{MadeMessage, NewTest, OutboxState, Permission, TestRow};
use planning::Person;
use policy::{Decision, MessageFacts};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Campaign, CampaignId, Channel, Contact, ContactKey, MessageClass, MessageId, Variant};

use crate::Parts;
use crate::messages::gateway_hint;
use crate::preview::Chosen;
use crate::problem::Problem;
use crate::request::{Id, Params};
use crate::views::ErrorBody;
use crate::views::documents::ChannelDocument;

/// Addresses of one call: a team that looks at a message, not an audience.
pub(crate) const TEST_ADDRESSES_MAX: usize = 10;

/// What the subject of a test begins with, so that nobody takes it for the real one.
const MARK: &str = "[Test] ";

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(send, list))
}

/// What is sent to whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestAsk {
    /// The variant; the experiment's first where absent.
    #[serde(default)]
    variant: Option<String>,
    /// Your own id of the contact whose message it is; somebody of whom nothing is known where absent.
    #[serde(default)]
    contact: Option<String>,
    /// The channel; the variant's own, else the campaign's first where absent.
    #[serde(default)]
    #[schema(value_type = Option<ChannelDocument>, example = "sms")]
    channel: Option<Channel>,
    /// BCP 47 language: that translation, whatever the contact reads.
    #[serde(default)]
    #[schema(example = "zh-Hant-HK")]
    language: Option<String>,
    /// The addresses that get it, at most ten: e-mail addresses, or international phone numbers for text messages.
    #[schema(example = json!(["kim@shop.example"]))]
    to: Vec<String>,
}

/// A test message that is on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestSentView {
    /// To whom.
    to: String,
    /// Its id, by which GET lists it.
    message_id: String,
}

/// The test messages that are on their way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestSentsView {
    /// The variant.
    variant: String,
    /// The language it is in, as far as the copy says.
    language: Option<String>,
    /// The subject line of an e-mail, marked as that of a test.
    subject: Option<String>,
    /// One for each address.
    sent: Vec<TestSentView>,
}

/// A test message and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestView {
    /// Its id.
    message_id: String,
    /// The variant.
    variant: String,
    /// `waiting`, `claimed`, `accepted`, `refused`, `in_doubt` or `expired`.
    state: &'static str,
    /// When it was asked for.
    told_at: String,
    /// When it came to its end; `null` before.
    settled_at: Option<String>,
    /// The next server's words, or why it was not offered.
    reply: Option<String>,
}

/// Send a campaign's message to test addresses.
///
/// It is what the contact would get of the variant now, by the same way: the campaign's sender, signature and gateway. The subject of an
/// e-mail is marked. Links lead where they should; opening, clicking and unsubscribing count for nobody. It may be asked for before and
/// after the campaign is started, and changes nothing of it.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/test-sends",
    tag = "campaigns",
    operation_id = "send_campaign_test",
    params(("id" = String, Path, description = "The campaign's id.")),
    request_body = TestAsk,
    responses(
        (status = 202, description = "They are on disk and will be handed over.", body = TestSentsView),
        (status = 404, description = "There is no such campaign or contact.", body = ErrorBody),
        (status = 409, description = "No gateway for the campaign's channel and class is set up.", body = ErrorBody),
        (status = 422, description = "It cannot be made for this reader, or an address is refused; the message names it. Nothing was sent.", body = ErrorBody),
    )
)]
async fn send(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<CampaignId>,
    Params(asked): Params<TestAsk>,
) -> Result<(StatusCode, Json<TestSentsView>), Problem> {
    let chosen = Chosen::of(&parts, &id, asked.variant.as_deref(), asked.channel).await?;
    let Chosen { campaign, variant, channel, .. } = &chosen;
    check_gateway(&parts, campaign, variant, *channel)?;
    let addresses = checked(&parts, *channel, &asked.to).await?;
    let inputs = chosen.inputs(&parts, asked.contact.as_deref()).await?;
    let (mut tests, mut last) = (Vec::with_capacity(addresses.len()), Rendered::default());
    for address in addresses {
        // Each has an id of its own, which its links name.
        let message_id = parts.control.test_id();
        last = inputs.rendered(&parts, &chosen, asked.language.as_deref(), &message_id)?;
        let made = made(&parts, &chosen, &message_id, &last);
        let (campaign_id, class) = (campaign.campaign.clone(), campaign.class);
        let variant = variant.name.clone();
        tests.push(NewTest { message_id, campaign: campaign_id, variant, channel: *channel, class, address, made });
    }
    parts.control.enqueue_tests(&tests).await?;
    let sent = |test: NewTest| TestSentView { to: test.address, message_id: test.message_id.to_string() };
    let view = TestSentsView {
        variant: variant.name.to_string(),
        language: last.language,
        subject: (*channel == Channel::Email).then(|| format!("{MARK}{}", last.subject)),
        sent: tests.into_iter().map(sent).collect(),
    };
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// The message as a sender makes it of what was rendered.
fn made(
    parts: &Parts,
    Chosen { campaign, variant, channel, .. }: &Chosen,
    message: &MessageId,
    rendered: &Rendered,
) -> MadeMessage {
    let unsubscribe_url = parts.links.unsubscribe(message);
    let (from, list) = (campaign.from.clone(), campaign.campaign.to_string());
    if *channel != Channel::Email {
        let (subject, html, text) = (String::new(), String::new(), rendered.text.clone());
        let provider = variant.provider.clone();
        return MadeMessage { from, subject, html, text, list, unsubscribe_url, provider };
    }
    let fields = campaign.utm_of(variant.name.as_str());
    let how = Tracking { links: &parts.links, message, fields: &fields, has_trap: campaign.trap_link };
    MadeMessage {
        from,
        subject: format!("{MARK}{}", rendered.subject),
        html: content::track(&rendered.html, &how),
        text: content::track_text(&rendered.text, &how),
        list,
        unsubscribe_url,
        provider: None,
    }
}

fn check_gateway(parts: &Parts, campaign: &Campaign, variant: &Variant, channel: Channel) -> Result<(), Problem> {
    let (class, named) = (campaign.class, variant.provider.as_ref());
    let has_route = channel != Channel::Sms || parts.sms.routes().iter().any(|route| route.serves(named, class));
    if parts.settings.channels.contains(&channel) && has_route {
        return Ok(());
    }
    let of_name = named.map_or_else(String::new, |named| format!(" of the name `{named}`"));
    let message = format!("no gateway{of_name} for {class} messages by {channel} is set up, so the message could not leave");
    Err(Problem::conflict("no_gateway", message, gateway_hint(channel)))
}

/// The addresses in their normal form; or all that is wrong with any of them.
async fn checked(parts: &Parts, channel: Channel, to: &[String]) -> Result<Vec<String>, Problem> {
    if to.is_empty() || to.len() > TEST_ADDRESSES_MAX {
        let message = format!("to: names {} addresses", to.len());
        return Err(Problem::unprocessable("bad_test", message, format!("name 1 to {TEST_ADDRESSES_MAX}")));
    }
    let (mut addresses, mut refused) = (Vec::with_capacity(to.len()), Vec::new());
    for given in to {
        match parts.control.test_address(channel, given) {
            Err(error) => refused.push(format!("`{given}` {}", error.reason)),
            Ok(address) if addresses.contains(&address) => refused.push(format!("`{given}` is named twice")),
            Ok(address) => {
                if let Some(why) = against(parts, channel, &address).await? {
                    refused.push(format!("`{given}` is refused: {why}"));
                }
                addresses.push(address);
            }
        }
    }
    if refused.is_empty() {
        return Ok(addresses);
    }
    let message = format!("to: {}", refused.join("; "));
    Err(Problem::unprocessable("address_refused", message, "leave it out or correct it; nothing was sent"))
}

/// What the rules have against any message to that address: that it does not exist, or that the law forbids it.
async fn against(parts: &Parts, channel: Channel, address: &str) -> Result<Option<String>, Problem> {
    let now = parts.clock.now();
    let contact = Contact::new(ContactKey::from_random(1), now);
    let suppressions = parts.control.suppressions_of_address(channel, address).await?;
    let permission = Permission { suppressions, ..Permission::default() };
    let message = MessageFacts::new(MessageClass::Transactional, channel);
    let person = Person::of(&contact, &permission, &[]);
    Ok(match person.facts(|facts| parts.rules.current().decide(facts, &message, now)) {
        Decision::Permit | Decision::Defer { .. } => None,
        Decision::Refuse { why } => Some(why.to_string()),
    })
}

/// What became of a campaign's test messages of the last month, newest first. To whom they went is not kept.
#[utoipa::path(
    get,
    path = "/v1/campaigns/{id}/test-sends",
    tag = "campaigns",
    operation_id = "campaign_tests",
    params(("id" = String, Path, description = "The campaign's id.")),
    responses((status = 200, description = "At most a hundred.", body = Vec<TestView>), (status = 404, description = "There is no such campaign.", body = ErrorBody))
)]
async fn list(State(parts): State<Arc<Parts>>, Id(id): Id<CampaignId>) -> Result<Json<Vec<TestView>>, Problem> {
    crate::campaigns::known(&parts, &id).await?;
    let view = |TestRow { variant, row }: TestRow| TestView {
        message_id: row.message_id.to_string(),
        variant,
        state: OutboxState::as_str(row.state),
        told_at: row.told_at.to_string(),
        settled_at: row.settled_at.map(|at| at.to_string()),
        reply: row.reply,
    };
    Ok(Json(parts.control.tests_of(&id).await?.into_iter().map(view).collect()))
}
