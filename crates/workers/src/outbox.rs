//! Hands over messages to one person, such as codes and receipts. Verification and transactional messages have lanes of their own,
//! beside those of campaigns, so that none waits for another. So do tests of campaigns, in the class of their campaign: they are made
//! already, and the lake hears nothing of them.
//!
//! The order of steps is the sender's: taken durably, noted as begun, handed over, told to the lake, ended. What is in doubt after a
//! lost reply or a crash depends on the class: a code is sent again, because one that did not come keeps somebody out, and one that
//! came twice does not; anything else is not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use content::{Data, Library, RenderContext, Rendered, TEMPLATE_COPY};
use control::{GivenId, MadeMessage, OutboxEnd, OutboxSent, OutboxState, Permission, RecipientRow, Taken};
use gateways::{Envelope, HandOver, ListHeaders, MailParts};
use jiff::{SignedDuration, Timestamp, ToSpan};
use planning::Person;
use policy::{Decision, MessageFacts, SENDS_HOURS, SentFact};
use tokio_util::sync::CancellationToken;
use vocabulary::{
    Body, Channel, Contact, Context, DeliveryStatus, Event, EventId, MessageClass, MessageId, MessageTemplate, Money, Profile,
    Provider, Snippet,
};

use crate::begun::Begun;
use crate::sender::{FOUND, RESTORED};
use crate::ways::{Group, Ready, Sent, Ways};
use crate::{Config, Sending, WorkerError, pause_after, warm_up};

/// Lanes of each class: a second one, so that a slow reply to one message does not hold up the next.
pub(crate) const LANES: usize = 2;

/// Messages taken at once by one lane. Few: they are wanted soon, and there is another lane.
const TAKEN_MAX: usize = 8;

/// How often messages are looked for that another process took down.
const POLL: Duration = Duration::from_millis(250);

/// A code that was put off is offered again so soon, and any later time; it is worth little in an hour.
const VERIFICATION_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// Anything else waits so long the first time, and twice as long each further time.
const TRANSACTIONAL_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// The longest of these waits.
const TRANSACTIONAL_PAUSE_MAX: SignedDuration = SignedDuration::from_mins(60);

/// A server that could not even be reached is tried again after this: nothing was asked of it.
const UNREACHED_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// The classes that have lanes here.
pub(crate) const CLASSES: [MessageClass; 3] = [MessageClass::Verification, MessageClass::Transactional, MessageClass::Marketing];

enum Wake {
    Tick,
    Shutdown,
}

/// Ends what an earlier run of this worker took and did not end, and starts a new file of begun messages.
pub(crate) async fn recover(parts: &Sending, config: &Config) -> Result<Arc<Begun>, WorkerError> {
    let path = config.plans.join(format!("begun-outbox-{}", config.name));
    let begun = Begun::read(&path, &config.boot);
    let now = parts.clock.now();
    let (mut ends, mut doubts) = (Vec::new(), Vec::new());
    for taken in parts.control.taken_messages(&config.name).await? {
        let row = &taken.row;
        let knows = async |status| parts.journal.knows(&delivery_event(&row.message_id, row.tries, status)).await;
        let is_unbegun = begun.as_ref().is_some_and(|begun| !begun.contains(row.message_id.as_str()));
        let (state, reply) = if knows(DeliveryStatus::Accepted).await? {
            (OutboxState::Accepted, Some(FOUND.to_owned()))
        } else if knows(DeliveryStatus::Refused).await? {
            (OutboxState::Refused, Some(FOUND.to_owned()))
        } else if is_unbegun {
            (OutboxState::Waiting, None)
        } else {
            doubts.extend(event(&taken, None, now, Tells::Delivery(DeliveryStatus::InDoubt, FOUND)));
            (in_doubt(row.class), Some(FOUND.to_owned()))
        };
        ends.push(OutboxEnd { message_id: row.message_id.clone(), state, next_at: now, reply });
    }
    if !ends.is_empty() {
        tracing::warn!(messages = ends.len(), in_doubt = doubts.len(), "ended the messages that an earlier run left behind");
    }
    parts.journal.append(doubts).await?;
    parts.control.end_messages(&ends).await?;
    let begun = Begun::create(&path, &config.boot, TAKEN_MAX).map_err(|source| WorkerError::Begun { path, source })?;
    Ok(Arc::new(begun))
}

/// Where a message stands of which nobody knows whether the server has it.
fn in_doubt(class: MessageClass) -> OutboxState {
    if class == MessageClass::Verification { OutboxState::Waiting } else { OutboxState::InDoubt }
}

pub(crate) async fn run(
    parts: Sending,
    ways: Ways,
    class: MessageClass,
    worker: String,
    number: usize,
    begun: Arc<Begun>,
    stop: CancellationToken,
) {
    let mut rings = parts.control.outbox_rings();
    let mut lane = Lane { parts, class, worker, number, begun, ways, libraries: HashMap::new() };
    loop {
        rings.mark_unchanged();
        match lane.step(&stop).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => pause_after("sending messages to one person", &error, &stop).await,
        }
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            _ = rings.changed() => Wake::Tick,
            () = tokio::time::sleep(POLL) => Wake::Tick,
        };
        match wake {
            Wake::Tick => {}
            Wake::Shutdown => return lane.ways.close().await,
        }
    }
}

/// The ways out of one lane and what it needs to make messages.
struct Lane {
    parts: Sending,
    class: MessageClass,
    worker: String,
    number: usize,
    begun: Arc<Begun>,
    ways: Ways,
    libraries: HashMap<String, Arc<Compiled>>,
}

/// A template made ready, with what it was made of.
struct Compiled {
    template: MessageTemplate,
    snippets: Vec<Snippet>,
    library: Library,
}

/// What a message is made of.
enum Source {
    Template(Arc<Compiled>),
    /// It is made already.
    Made(MadeMessage),
}

impl Source {
    /// The sender's mailbox.
    fn from(&self) -> &str {
        match self {
            Self::Template(compiled) => &compiled.template.from,
            Self::Made(made) => &made.from,
        }
    }

    /// The gateway that its text message goes by, where that is one only.
    fn provider(&self) -> Option<&Provider> {
        match self {
            Self::Template(_) => None,
            Self::Made(made) => made.provider.as_ref(),
        }
    }
}

/// A message on its way.
struct Outgoing {
    taken: Taken,
    source: Source,
    recipient: RecipientRow,
    address: String,
    permission: Permission,
    sends: Vec<OutboxSent>,
    data: Data,
    /// Why it was taken back when it was to be made.
    against: Option<String>,
}

impl Lane {
    /// Takes some messages and hands them over; whether there were any.
    async fn step(&mut self, stop: &CancellationToken) -> Result<bool, WorkerError> {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let taken = self.parts.control.take_messages(self.class, &self.worker, TAKEN_MAX).await?;
        if taken.is_empty() {
            return Ok(false);
        }
        let mut ended = Ended::default();
        let batch = match self.prepare_all(&taken, &mut ended).await {
            Ok(batch) => batch,
            Err(error) => {
                // Nothing was handed over; who comes next tries again.
                self.give_back(&taken).await?;
                return Err(error);
            }
        };
        let (texts, mails): (Vec<_>, Vec<_>) = batch.into_iter().partition(|out| out.taken.row.channel != Channel::Email);
        // All of them have places of their own in the file of begun messages, because they are told together.
        let mail_count = mails.len();
        self.hand_over(mails, 0, &mut ended).await;
        self.hand_over(texts, mail_count, &mut ended).await;
        // What was handed over must be told before this lane goes on: the next messages take their places.
        while let Err(error) = ended.tell(&self.parts).await {
            pause_after("ending messages to one person", &error, stop).await;
            if stop.is_cancelled() {
                return Err(error);
            }
        }
        warm_up::count(&self.parts, &ended.left).await?;
        Ok(true)
    }

    /// Those that can be handed over, with all that they need; the others are ended.
    async fn prepare_all(&mut self, taken: &[Taken], ended: &mut Ended) -> Result<Vec<Outgoing>, WorkerError> {
        let mut batch = Vec::with_capacity(taken.len());
        for taken in taken {
            let now = self.parts.clock.now();
            if taken.row.expires_at <= now {
                ended.end(taken, OutboxState::Expired, now, Some("its time was over before it could be handed over".to_owned()));
                continue;
            }
            let is_restored = self.parts.control.restored_at().is_some_and(|moment| taken.row.told_at <= moment);
            if is_restored && self.class != MessageClass::Verification {
                ended.events.extend(event(taken, None, now, Tells::Delivery(DeliveryStatus::InDoubt, RESTORED)));
                ended.end(taken, OutboxState::InDoubt, now, Some(RESTORED.to_owned()));
                continue;
            }
            match self.prepare(taken).await? {
                Ok(outgoing) => batch.push(outgoing),
                Err(why) => ended.refuse(taken, None, &why, now),
            }
        }
        Ok(batch)
    }

    /// Lets messages wait again that were taken and not offered.
    async fn give_back(&self, taken: &[Taken]) -> Result<(), WorkerError> {
        let now = self.parts.clock.now();
        let mut back = Ended::default();
        taken.iter().for_each(|taken| back.end(taken, OutboxState::Waiting, now, None));
        back.tell(&self.parts).await
    }

    /// All that is needed to make a message; or why it cannot be made.
    async fn prepare(&mut self, taken: &Taken) -> Result<Result<Outgoing, String>, WorkerError> {
        let control = self.parts.control.clone();
        let row = &taken.row;
        let source = match self.source(taken).await? {
            Ok(source) => source,
            Err(why) => return Ok(Err(why)),
        };
        let known = control.recipients(&[row.contact]).await?.pop();
        let is_contact = known.is_some();
        let mut recipient = known.unwrap_or_else(|| stranger(taken));
        self.parts.rules.current().derive_time_zone(&mut recipient.contact);
        let address = taken.told.address.clone().or_else(|| recipient.addresses.remove(&row.channel));
        let Some(address) = address else { return Ok(Err("the contact has no address any more".to_owned())) };
        let mut permission = if is_contact {
            control.permissions(&[row.contact], None).await?.remove(&row.contact).unwrap_or_default()
        } else {
            Permission::default()
        };
        if taken.told.address.is_some() {
            permission.suppressions.extend(control.suppressions_of_address(row.channel, &address).await?);
        }
        if let Some(language) = &taken.told.language {
            recipient.contact.profile.language = Some(language.clone());
        }
        let since = self.parts.clock.now().checked_sub(SENDS_HOURS.hours()).unwrap_or(row.told_at);
        let sends = control.sent_beside(row, since).await?;
        let (taken, data) = (taken.clone(), Data::new(&taken.told.data));
        Ok(Ok(Outgoing { taken, source, recipient, address, permission, sends, data, against: None }))
    }

    /// What it is made of; or why there is nothing.
    async fn source(&mut self, taken: &Taken) -> Result<Result<Source, String>, WorkerError> {
        if let Some(made) = &taken.told.made {
            return Ok(Ok(Source::Made(made.clone())));
        }
        let name = &taken.row.template;
        let Some(template) = self.parts.control.template(name).await? else {
            return Ok(Err(format!("there is no template `{name}` any more")));
        };
        let takes_snippets = content::takes_snippets(&template.content);
        let snippets = if takes_snippets { self.parts.control.snippets().await? } else { Vec::new() };
        Ok(self.compiled(template, snippets).map(Source::Template))
    }

    /// The template made ready; made anew when it was changed, or a snippet was.
    fn compiled(&mut self, template: MessageTemplate, snippets: Vec<Snippet>) -> Result<Arc<Compiled>, String> {
        let is_same = |known: &&Arc<Compiled>| known.template == template && known.snippets == snippets;
        if let Some(known) = self.libraries.get(&template.template).filter(is_same) {
            return Ok(known.clone());
        }
        let library = content::compile_template(&template, &snippets).map_err(|error| error.to_string())?;
        let compiled = Arc::new(Compiled { template, snippets, library });
        self.libraries.insert(compiled.template.template.clone(), compiled.clone());
        Ok(compiled)
    }

    /// `first` is the place of the first of them among all that are told together.
    async fn hand_over(&mut self, mut batch: Vec<Outgoing>, first: usize, ended: &mut Ended) {
        let envelope = |out: &Outgoing| {
            let from = gateways::mailbox_address(out.source.from()).unwrap_or_default();
            Envelope { from, to: out.address.clone() }
        };
        let envelopes: Vec<Envelope> = batch.iter().map(envelope).collect();
        let ids: Vec<MessageId> = batch.iter().map(|out| out.taken.row.message_id.clone()).collect();
        let Some(channel) = batch.first().map(|out| out.taken.row.channel) else { return };
        let group = Group { channel, class: self.class, ids: &ids, envelopes: &envelopes, until: None };
        let results = {
            let (parts, begun, number) = (&self.parts, &self.begun, self.number);
            let mut content = |place: usize| {
                let out = &mut batch[place];
                match made(parts, out) {
                    Ok(content) => {
                        begun.note(number, first + place, &out.taken.row.message_id).ok()?;
                        Some(Ready { content, provider: out.source.provider().cloned() })
                    }
                    Err(why) => {
                        out.against = Some(why);
                        None
                    }
                }
            };
            self.ways.deliver(group, &mut content).await
        };
        let at = self.parts.clock.now();
        for ((out, result), envelope) in batch.into_iter().zip(results).zip(envelopes) {
            if channel == Channel::Email && result.left() {
                ended.left.push((envelope.from, envelope.to));
            }
            ended.add(out, result, at);
        }
    }
}

/// Somebody of whom only what was told is known.
fn stranger(taken: &Taken) -> RecipientRow {
    let profile = Profile { country: taken.told.country.clone(), ..Profile::default() };
    let contact = Contact { profile, ..Contact::new(taken.row.contact, taken.row.told_at) };
    RecipientRow { contact, addresses: control::Addresses::default() }
}

/// The bytes of the mail or of the text message; or why the rules or the template are against it.
fn made(parts: &Sending, out: &Outgoing) -> Result<Vec<u8>, String> {
    match &out.source {
        Source::Template(compiled) => filled_in(parts, out, compiled),
        Source::Made(made) => as_made(parts, out, made),
    }
}

/// A test of a campaign. The words were its author's to look at; what forbids any message to the address still holds.
fn as_made(parts: &Sending, out: &Outgoing, made: &MadeMessage) -> Result<Vec<u8>, String> {
    against(parts, out, None, parts.clock.now())?;
    if out.taken.row.channel != Channel::Email {
        return Ok(made.text.clone().into_bytes());
    }
    let MadeMessage { subject, html, text, list, unsubscribe_url, .. } = made.clone();
    let rendered = Rendered { subject, html, text, ..Rendered::default() };
    let list = ListHeaders { unsubscribe_url: &unsubscribe_url, list_id: &list, feedback_id: &list };
    signed(parts, out, &rendered, Some(list))
}

fn filled_in(parts: &Sending, out: &Outgoing, compiled: &Compiled) -> Result<Vec<u8>, String> {
    let Compiled { template, library, .. } = compiled;
    let (row, now) = (&out.taken.row, parts.clock.now());
    let (unsubscribe_url, preferences_url) = (String::new(), parts.links.preferences(&row.message_id));
    let context = RenderContext {
        contact: &out.recipient.contact,
        campaign: &template.template,
        variant: TEMPLATE_COPY,
        unsubscribe_url: &unsubscribe_url,
        preferences_url: &preferences_url,
        data: &out.data,
        coupon: None,
        slots: &content::NO_SLOTS,
        now,
    };
    let rendered = library.render(TEMPLATE_COPY, &context).map_err(|error| error.to_string())?;
    against(parts, out, Some(&format!("{}\n{}", rendered.subject, rendered.text)), now)?;
    if row.channel != Channel::Email {
        return Ok(rendered.text.into_bytes());
    }
    signed(parts, out, &rendered, None)
}

fn signed(parts: &Sending, out: &Outgoing, rendered: &Rendered, list: Option<ListHeaders<'_>>) -> Result<Vec<u8>, String> {
    let from = out.source.from();
    let (message_id, date) = (&out.taken.row.message_id, parts.clock.now());
    let parts_of_mail = MailParts { from, to: &out.address, message_id, date, rendered, list };
    let mail = gateways::mime(&parts_of_mail).and_then(|bytes| parts.dkim.sign(from, bytes));
    mail.map_err(|error| error.to_string())
}

/// What the rules have against it. What they would only put off goes now: nobody plans when a code is asked for.
fn against(parts: &Sending, out: &Outgoing, text: Option<&str>, now: Timestamp) -> Result<(), String> {
    let fact = |sent: &OutboxSent| SentFact { at: sent.at, channel: sent.channel, class: sent.class, content: None };
    let sends: Vec<SentFact<'_>> = out.sends.iter().map(fact).collect();
    let person = Person::of(&out.recipient.contact, &out.permission, &sends);
    // Who asks for a test has agreed to it, whatever the class of the real one needs.
    let class = if out.taken.told.made.is_some() { MessageClass::Transactional } else { out.taken.row.class };
    let message = MessageFacts { text, ..MessageFacts::new(class, out.taken.row.channel) };
    match person.facts(|contact| parts.rules.current().decide(contact, &message, now)) {
        Decision::Permit | Decision::Defer { .. } => Ok(()),
        Decision::Refuse { why } => Err(why.to_string()),
    }
}

/// How some messages ended.
#[derive(Default)]
struct Ended {
    ends: Vec<OutboxEnd>,
    /// What providers call some of them.
    given: Vec<GivenId>,
    events: Vec<Event>,
    /// From whom and to whom mail left.
    left: Vec<(String, String)>,
}

/// What an event tells.
enum Tells<'a> {
    Message { cost: Option<Money>, provider: Option<Provider> },
    Delivery(DeliveryStatus, &'a str),
}

impl Ended {
    fn add(&mut self, out: Outgoing, sent: Sent, at: Timestamp) {
        let Outgoing { taken, recipient, against, .. } = out;
        let market = recipient.contact.profile.market();
        if let Some(why) = against {
            return self.refuse(&taken, market, &why, at);
        }
        let again = |pause: SignedDuration| at.checked_add(pause).unwrap_or(at);
        self.given.extend(sent.given_id(&taken.row.message_id));
        let message = Tells::Message { cost: sent.cost, provider: sent.provider };
        match sent.hand_over {
            HandOver::Accepted { reply } => {
                self.events.extend(event(&taken, market, at, message));
                self.events.extend(event(&taken, market, at, Tells::Delivery(DeliveryStatus::Accepted, &reply)));
                self.end(&taken, OutboxState::Accepted, at, Some(reply));
            }
            HandOver::Refused { reply, permanent: true } => self.refuse(&taken, market, &reply, at),
            HandOver::Refused { reply, permanent: false } => {
                self.end(&taken, OutboxState::Waiting, again(pause(&taken)), Some(reply));
            }
            HandOver::Late => self.end(&taken, OutboxState::Waiting, at, None),
            HandOver::NotSent { why } => self.end(&taken, OutboxState::Waiting, again(UNREACHED_PAUSE), Some(why)),
            HandOver::InDoubt { why } => {
                self.events.extend(event(&taken, market, at, message));
                self.events.extend(event(&taken, market, at, Tells::Delivery(DeliveryStatus::InDoubt, &why)));
                self.end(&taken, in_doubt(taken.row.class), again(pause(&taken)), Some(why));
            }
        }
    }

    fn refuse(&mut self, taken: &Taken, market: Option<&str>, why: &str, at: Timestamp) {
        self.events.extend(event(taken, market, at, Tells::Delivery(DeliveryStatus::Refused, why)));
        self.end(taken, OutboxState::Refused, at, Some(why.to_owned()));
    }

    fn end(&mut self, taken: &Taken, state: OutboxState, next_at: Timestamp, reply: Option<String>) {
        self.ends.push(OutboxEnd { message_id: taken.row.message_id.clone(), state, next_at, reply });
    }

    /// First the log, then the store: a crash in between is settled from the log. Doing it twice is harmless.
    async fn tell(&self, parts: &Sending) -> Result<(), WorkerError> {
        parts.journal.append(self.events.clone()).await?;
        parts.control.end_messages_noting(&self.ends, &self.given).await?;
        Ok(())
    }
}

/// How long a message waits that a server would not have for now.
fn pause(taken: &Taken) -> SignedDuration {
    if taken.row.class == MessageClass::Verification {
        return VERIFICATION_PAUSE;
    }
    let doublings = taken.row.tries.saturating_sub(1).min(10) as u32;
    (TRANSACTIONAL_PAUSE * 2_i32.pow(doublings)).min(TRANSACTIONAL_PAUSE_MAX)
}

/// The event of one offer: a message that is sent again is told of again.
fn delivery_event(message: &MessageId, tries: u64, status: DeliveryStatus) -> EventId {
    EventId::new(&format!("delivery:{message}:{tries}:{status}")).expect("a message id and two words fit into an event id")
}

/// What the lake hears of it; nothing of a test.
fn event(taken: &Taken, market: Option<&str>, at: Timestamp, tells: Tells<'_>) -> Option<Event> {
    if taken.told.made.is_some() {
        return None;
    }
    let row = &taken.row;
    let mut provider = (row.channel == Channel::Email).then(|| Provider::new("smtp").expect("a word is an id"));
    let (id, body) = match tells {
        Tells::Message { cost, provider: by } => {
            provider = by.or(provider);
            let id = EventId::new(&format!("message:{}:{}", row.message_id, row.tries));
            (id.expect("a message id and a number fit into an event id"), Body::Message { class: row.class, cost })
        }
        Tells::Delivery(status, reply) => {
            let body = Body::Delivery { status, reply: Some(reply.to_owned()) };
            (delivery_event(&row.message_id, row.tries, status), body)
        }
    };
    let context = Context {
        message_id: Some(row.message_id.clone()),
        channel: Some(row.channel),
        market: market.map(str::to_owned),
        provider,
        ..Context::default()
    };
    Some(Event { id, time: at, received_at: at, contact: row.contact, time_doubt: None, context, body })
}
