//! A campaign looked at before it is launched: as one reader would get it, and what there is to say against its copies.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use content::sms::Encoding;
use content::{ContentError, Data, Library, LintInput, LintRules, RenderContext, Rendered, Segments, Slots};
use gateways::{SmsPrice, SmsRoute};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Campaign, CampaignId, Channel, Contact, ContactKey, Experiment, MessageId, Variant};

use crate::Parts;
use crate::coupons;
use crate::problem::Problem;
use crate::products::Filled;
use crate::request::{Id, Params};
use crate::views::ErrorBody;
use crate::views::documents::ChannelDocument;

/// Markets and languages of one look-over: more than there are.
const NAMES_MAX: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(preview)).routes(routes!(look_over))
}

/// For whom a campaign is shown.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PreviewAsk {
    /// The variant; the experiment's first where absent.
    variant: Option<String>,
    /// Your own id of the contact who reads it; somebody of whom nothing is known where absent.
    contact: Option<String>,
    /// The channel; the variant's own, else the campaign's first where absent.
    #[schema(value_type = Option<ChannelDocument>, example = "sms")]
    channel: Option<Channel>,
    /// BCP 47 language: that translation, whatever the contact reads.
    #[schema(example = "pt-BR")]
    language: Option<String>,
}

/// A message as one reader would get it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewView {
    /// The variant.
    variant: String,
    /// The channel.
    channel: &'static str,
    /// The language it is in, as far as the copy says.
    language: Option<String>,
    /// `ltr` or `rtl`.
    direction: &'static str,
    /// The subject line of an e-mail.
    subject: Option<String>,
    /// The HTML of an e-mail.
    html: Option<String>,
    /// The text.
    text: String,
    /// What a text message is on the air; `null` for other channels.
    segments: Option<SegmentsView>,
    /// What sending a text message costs, such as `0.135 EUR`; `null` where it is not known.
    price: Option<String>,
    /// The gateway a text message would take; `null` where there is none.
    gateway: Option<String>,
    /// The languages the copy is written in.
    languages: Vec<String>,
}

/// What a text message is on the air.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentsView {
    /// `gsm7` or `ucs2`.
    encoding: &'static str,
    /// How many are sent and billed.
    segments: usize,
    /// Septets, or UTF-16 units.
    units: usize,
    /// How many are free in the last segment.
    units_left: usize,
    /// The first character that the GSM alphabet lacks, which makes all of it UCS-2.
    culprit: Option<String>,
    /// What would do in its place.
    instead: Option<&'static str>,
}

impl From<Segments> for SegmentsView {
    fn from(segments: Segments) -> Self {
        Self {
            encoding: if segments.encoding == Encoding::Gsm7 { "gsm7" } else { "ucs2" },
            segments: segments.segments,
            units: segments.units,
            units_left: segments.units_left,
            culprit: segments.culprit.map(|culprit| culprit.character.to_string()),
            instead: segments.culprit.and_then(|culprit| culprit.instead),
        }
    }
}

/// For whom copies are looked over.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LintAsk {
    /// The countries of the audience by their ISO 3166 codes; nothing is said of countries where it is empty.
    markets: Vec<String>,
    /// The BCP 47 languages the audience reads; nothing is said of languages where it is empty.
    languages: Vec<String>,
    /// Where the text of a copy is registered.
    registered: Vec<Registered>,
}

/// A copy whose text a country's register knows.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registered {
    /// The copy's name.
    copy: String,
    /// The country's ISO 3166 code.
    country: String,
}

/// One thing to look at before launch. Nothing of it stops a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarningView {
    /// The copy.
    copy: String,
    /// The language of the translation.
    language: Option<String>,
    /// `subject`, `html` or `text`; `null` for the copy as a whole.
    part: Option<String>,
    /// The line of the part, from 1; 0 for the part as a whole.
    line: usize,
    /// For programs, such as `link_empty` or `culture/four`.
    code: String,
    /// `hint`, `warning` or `problem`.
    severity: &'static str,
    /// What stands there.
    found: String,
    /// Why it matters, and what to do.
    why: String,
    /// Where that is written.
    source: Option<String>,
}

/// Show a campaign's message as one reader would get it.
///
/// Nothing is sent. The links in it work for nobody, and a coupon in it is a sample.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/preview",
    tag = "campaigns",
    operation_id = "preview_campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    request_body = PreviewAsk,
    responses(
        (status = 200, description = "The message.", body = PreviewView),
        (status = 404, description = "There is no such campaign or contact.", body = ErrorBody),
        (status = 422, description = "It cannot be made for this reader; the message says what is missing.", body = ErrorBody),
    )
)]
async fn preview(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<CampaignId>,
    Params(asked): Params<PreviewAsk>,
) -> Result<Json<PreviewView>, Problem> {
    let chosen = Chosen::of(&parts, &id, asked.variant.as_deref(), asked.channel).await?;
    let inputs = chosen.inputs(&parts, asked.contact.as_deref()).await?;
    let message_id = content::message_id(&chosen.campaign.campaign, inputs.contact.key, None);
    let rendered = inputs.rendered(&parts, &chosen, asked.language.as_deref(), &message_id)?;
    let languages = inputs.library.languages(chosen.variant.copy_name()).map_err(unmade)?;
    Ok(Json(view(&parts, &chosen, &inputs.contact, rendered, languages)))
}

/// The message of a campaign that somebody asks to see.
pub(crate) struct Chosen {
    pub(crate) campaign: Campaign,
    experiment: Experiment,
    pub(crate) variant: Variant,
    pub(crate) channel: Channel,
}

impl Chosen {
    /// The message of that variant by that channel; without them of the experiment's first, by its own channel or the campaign's first.
    pub(crate) async fn of(
        parts: &Parts,
        id: &CampaignId,
        name: Option<&str>,
        channel: Option<Channel>,
    ) -> Result<Self, Problem> {
        let campaign = crate::campaigns::known(parts, id).await?.campaign;
        let experiment = parts.control.experiment(&campaign.experiment).await?;
        let missing = || Problem::not_found("experiment", campaign.experiment.as_str(), "store it first");
        let experiment = experiment.ok_or_else(missing)?;
        let variant = variant(&experiment, name)?.clone();
        let channel = channel.or(variant.channel).unwrap_or(campaign.chain()[0]);
        Ok(Self { campaign, experiment, variant, channel })
    }

    /// What it is made of for a contact of that own id, or for somebody of whom nothing is known.
    pub(crate) async fn inputs(&self, parts: &Parts, own_id: Option<&str>) -> Result<Inputs, Problem> {
        let contact = reader(parts, own_id, parts.clock.now()).await?;
        let libraries = libraries(parts, &self.campaign, &self.experiment).await?;
        let library = self.library_of(libraries)?;
        let samples = coupons::samples(parts, &self.campaign).await?;
        let slots = Filled::of(parts, &self.campaign, &[contact.key]).await?.slots(contact.key);
        Ok(Inputs { contact, library, samples, slots })
    }

    /// The copies that its variant takes by its channel.
    fn library_of(&self, mut libraries: BTreeMap<Channel, Library>) -> Result<Library, Problem> {
        let Self { campaign, variant, channel, .. } = self;
        let goes = variant.channel.is_none_or(|own| own == *channel);
        libraries.remove(channel).filter(|_| goes).ok_or_else(|| {
            let names: Vec<&str> = campaign.chain().iter().map(|channel| channel.as_str()).collect();
            let message = format!("channel: variant `{}` does not go by {channel}", variant.name);
            Problem::unprocessable("other_channel", message, format!("the campaign goes by {}", names.join(" or ")))
        })
    }
}

/// What a message is made of for one reader.
pub(crate) struct Inputs {
    contact: Contact,
    library: Library,
    /// See [`Shown`].
    samples: BTreeMap<String, String>,
    slots: Slots,
}

impl Inputs {
    /// The message, in that language or theirs. Its own links name `message_id`.
    pub(crate) fn rendered(
        &self,
        parts: &Parts,
        chosen: &Chosen,
        language: Option<&str>,
        message_id: &MessageId,
    ) -> Result<Rendered, Problem> {
        let how = Shown { campaign: &chosen.campaign, library: &self.library, samples: &self.samples };
        let reader = Reader { contact: &self.contact, slots: &self.slots, language };
        rendered(parts, how, &chosen.variant, &reader, message_id).map_err(unmade)
    }
}

/// A campaign as it is shown beforehand.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'c> {
    pub(crate) campaign: &'c Campaign,
    pub(crate) library: &'c Library,
    /// What stands in the place of coupons, by copy.
    pub(crate) samples: &'c BTreeMap<String, String>,
}

/// The copies of a campaign, ready to be filled in, by channel.
pub(crate) async fn libraries(
    parts: &Parts,
    campaign: &Campaign,
    experiment: &Experiment,
) -> Result<BTreeMap<Channel, Library>, Problem> {
    let snippets = parts.control.snippets_of(&campaign.campaign).await?;
    content::libraries(campaign, experiment, &snippets).map_err(unmade)
}

/// For whom a message is made.
pub(crate) struct Reader<'a> {
    pub(crate) contact: &'a Contact,
    pub(crate) slots: &'a Slots,
    /// The tag of the language it is made in; theirs where absent.
    pub(crate) language: Option<&'a str>,
}

/// The message that a contact would get of a variant. Its own links name `message_id`.
pub(crate) fn rendered(
    parts: &Parts,
    how: Shown<'_>,
    variant: &Variant,
    reader: &Reader<'_>,
    message_id: &MessageId,
) -> Result<Rendered, ContentError> {
    let Shown { campaign, library, samples } = how;
    let Reader { contact, slots, language } = *reader;
    let context = RenderContext {
        contact,
        campaign: campaign.campaign.as_str(),
        variant: variant.name.as_str(),
        unsubscribe_url: &parts.links.unsubscribe(message_id),
        preferences_url: &parts.links.preferences(message_id),
        data: &Data::default(),
        coupon: samples.get(variant.copy_name()).map(String::as_str),
        slots,
        now: parts.clock.now(),
    };
    match language {
        Some(tag) => library.render_as(variant.copy_name(), tag, &context),
        None => library.render(variant.copy_name(), &context),
    }
}

/// The gateway that a text message of a variant to a contact would take, and what so many segments cost by it.
pub(crate) fn route_and_price<'p>(
    parts: &'p Parts,
    campaign: &Campaign,
    variant: &Variant,
    contact: &Contact,
    segments: usize,
) -> (Option<&'p SmsRoute>, Option<SmsPrice>) {
    let country = contact.profile.phone_country.as_deref().or(contact.profile.country.as_deref());
    let route = parts.sms.gateway_of(variant.provider.as_ref(), campaign.class, country);
    (route, route.and_then(|route| route.price(country, segments)))
}

fn unmade(error: ContentError) -> Problem {
    Problem::unprocessable("cannot_render", error.to_string(), "correct the copy, or ask for another contact or language")
}

fn variant<'e>(experiment: &'e Experiment, name: Option<&str>) -> Result<&'e Variant, Problem> {
    let found = match name {
        Some(name) => experiment.variants.iter().find(|variant| variant.name.as_str() == name),
        None => experiment.variants.first(),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = experiment.variants.iter().map(|variant| variant.name.as_str()).collect();
        let message = format!("variant: the experiment has no `{}`", name.unwrap_or_default());
        Problem::unprocessable("unknown_variant", message, format!("name one of {}", names.join(", ")))
    })
}

/// The contact, or somebody of whom nothing is known.
async fn reader(parts: &Parts, own_id: Option<&str>, now: Timestamp) -> Result<Contact, Problem> {
    let Some(own_id) = own_id else { return Ok(Contact::new(ContactKey::from_random(1), now)) };
    let key = parts.control.existing(&[own_id.to_owned()]).await?.pop().ok_or_else(Problem::no_contact)?;
    let row = parts.control.recipients(&[key]).await?.pop().ok_or_else(Problem::no_contact)?;
    let mut contact = row.contact;
    parts.rules.current().derive_time_zone(&mut contact);
    Ok(contact)
}

fn view(
    parts: &Parts,
    Chosen { campaign, variant, channel, .. }: &Chosen,
    contact: &Contact,
    rendered: Rendered,
    languages: Vec<String>,
) -> PreviewView {
    let is_mail = *channel == Channel::Email;
    let segments = (*channel == Channel::Sms).then(|| Segments::of(&rendered.text));
    let route_and_price = |segments: Segments| route_and_price(parts, campaign, variant, contact, segments.segments);
    let (route, price) = segments.map_or((None, None), route_and_price);
    PreviewView {
        variant: variant.name.to_string(),
        channel: channel.as_str(),
        language: rendered.language,
        direction: rendered.direction.as_str(),
        subject: is_mail.then_some(rendered.subject),
        html: is_mail.then_some(rendered.html),
        text: rendered.text,
        segments: segments.map(SegmentsView::from),
        price: price.map(|price| price.to_string()),
        gateway: route.map(|route| route.name().to_owned()),
        languages,
    }
}

/// Look a campaign's copies over before launch.
///
/// Missing unsubscribe links and addresses, broken links, size, pictures without words, spam words, what a text message costs, translations
/// that are missing, and what gives offence or is forbidden in a market. Each says why; none stops a campaign.
#[utoipa::path(
    post,
    path = "/v1/campaigns/{id}/lint",
    tag = "campaigns",
    operation_id = "lint_campaign",
    params(("id" = String, Path, description = "The campaign's id.")),
    request_body = LintAsk,
    responses(
        (status = 200, description = "What there is to look at, by copy, language, part and line.", body = Vec<WarningView>),
        (status = 404, description = "There is no such campaign.", body = ErrorBody),
        (status = 422, description = "There are too many markets or languages.", body = ErrorBody),
    )
)]
async fn look_over(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<CampaignId>,
    Params(asked): Params<LintAsk>,
) -> Result<Json<Vec<WarningView>>, Problem> {
    let campaign = crate::campaigns::known(&parts, &id).await?.campaign;
    if asked.markets.len() > NAMES_MAX || asked.languages.len() > NAMES_MAX {
        let message = format!("there are {} markets and {} languages", asked.markets.len(), asked.languages.len());
        return Err(Problem::unprocessable("too_many", message, format!("name at most {NAMES_MAX} of each")));
    }
    let rules = LintRules::built_in().map_err(|error| Problem::internal(&error))?;
    let snippets = parts.control.snippets_of(&id).await?;
    let registered: Vec<(String, String)> = asked.registered.into_iter().map(|entry| (entry.copy, entry.country)).collect();
    let experiment = parts.control.experiment(&campaign.experiment).await?;
    let copies = match &experiment {
        Some(experiment) => content::copies_by_channel(&campaign, experiment),
        None => BTreeMap::from([(campaign.chain()[0], campaign.content.clone())]),
    };
    let copies = copies.into_iter().map(|(channel, copies)| (channel, content::with_snippets(&copies, &snippets)));
    let copies: Vec<_> = copies.collect();
    let input = |(channel, copies)| LintInput {
        copies,
        channel,
        class: campaign.class,
        markets: &asked.markets,
        languages: &asked.languages,
        registered: &registered,
    };
    let mut found = Vec::new();
    for (channel, copies) in &copies {
        found.extend(content::lint(&input((*channel, copies)), &rules));
    }
    let view = |warning: content::Warning| WarningView {
        copy: warning.copy,
        language: warning.language,
        part: warning.part.map(|part| part.to_string()),
        line: warning.line,
        code: warning.code,
        severity: warning.severity.as_str(),
        found: warning.found,
        why: warning.why,
        source: warning.source,
    };
    Ok(Json(found.into_iter().map(view).collect()))
}
