//! Facts about a contact and a message, read from the phrases of a scenario.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use policy::{
    Basis, ConsentFact, ContactFacts, ContactZone, MessageFacts, Purpose, Schedule, Sender, SentFact, Suppression, Template,
    Window,
};
use vocabulary::{Channel, ContactKey, MessageClass};

use crate::moment;

/// What a row says. A later phrase replaces an earlier one of its kind; consents, suppressions and sends add up.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// The share that is held out.
    pub(crate) share: String,
    key: i64,
    country: Option<String>,
    region: Option<String>,
    zone: Option<TimeZone>,
    is_guessed: bool,
    channel: Channel,
    class: MessageClass,
    consents: Vec<ConsentFact>,
    suppressions: Vec<Suppression>,
    sends: Vec<(Timestamp, Channel, MessageClass, Option<String>)>,
    content: Option<String>,
    text: Option<String>,
    sender: Option<(String, Vec<String>, Option<String>)>,
    template: Option<(String, MessageClass, Vec<String>, String)>,
    permits: Vec<String>,
    due: Option<Timestamp>,
    due_locally: Option<DateTime>,
    ends: Option<Timestamp>,
    window: Option<Window>,
}

impl Given {
    /// Reads phrases. Clock and channel are read first, because other phrases go by them.
    pub(crate) fn read(phrases: &[String]) -> Result<Self, String> {
        let mut given = Self {
            share: "0.0".to_owned(),
            key: 1,
            country: None,
            region: None,
            zone: None,
            is_guessed: false,
            channel: Channel::Email,
            class: MessageClass::Marketing,
            consents: Vec::new(),
            suppressions: Vec::new(),
            sends: Vec::new(),
            content: None,
            text: None,
            sender: None,
            template: None,
            permits: Vec::new(),
            due: None,
            due_locally: None,
            ends: None,
            window: None,
        };
        let is_early = |phrase: &&String| phrase.starts_with("clock ") || phrase.starts_with("by ");
        for phrase in phrases.iter().filter(is_early).chain(phrases.iter().filter(|phrase| !is_early(phrase))) {
            given.take(phrase).map_err(|reason| format!("`{phrase}`: {reason}"))?;
        }
        Ok(given)
    }

    fn take(&mut self, phrase: &str) -> Result<(), String> {
        let (first, rest) = phrase.split_once(' ').unwrap_or((phrase, ""));
        match first {
            "in" => self.take_place(rest)?,
            "clock" => self.take_clock(rest)?,
            "by" => self.channel = rest.parse()?,
            "marketing" | "transactional" | "verification" if rest.is_empty() => self.class = first.parse()?,
            "no" => self.take_none(rest)?,
            "consent" => self.take_consent(rest)?,
            "suppressed" => self.take_suppression(rest)?,
            "sent" => self.take_sent(rest)?,
            "saying" => self.content = Some(rest.to_owned()),
            "sender" => self.take_sender(rest)?,
            "template" => self.take_template(rest)?,
            "text" => self.text = Some(quoted(rest)?.to_owned()),
            "permit" => self.permits.push(rest.to_owned()),
            "due" => match rest.strip_prefix("locally ") {
                Some(local) => self.due_locally = Some(moment::local(local)?),
                None => self.due = Some(self.moment(rest)?),
            },
            "ends" => self.ends = Some(self.moment(rest)?),
            "wants" => self.window = Some(rest.parse()?),
            "holdout" => self.share = rest.to_owned(),
            "contact" => self.key = rest.parse().map_err(|_| "write the number of the contact".to_owned())?,
            _ => return Err("this is no phrase that is known".to_owned()),
        }
        Ok(())
    }

    fn take_place(&mut self, text: &str) -> Result<(), String> {
        if text == "an unknown country" {
            (self.country, self.region) = (None, None);
            return Ok(());
        }
        let (country, region) = text.split_once('-').map_or((text, None), |(country, region)| (country, Some(region)));
        if country.len() != 2 {
            return Err("write a country or a part of one, such as US or US-FL".to_owned());
        }
        (self.country, self.region) = (Some(country.to_owned()), region.map(str::to_owned));
        Ok(())
    }

    fn take_clock(&mut self, text: &str) -> Result<(), String> {
        if text == "unknown" {
            self.zone = None;
            return Ok(());
        }
        let guessed = text.strip_suffix(", guessed");
        self.is_guessed = guessed.is_some();
        self.zone = Some(moment::named(guessed.unwrap_or(text))?);
        Ok(())
    }

    fn take_none(&mut self, text: &str) -> Result<(), String> {
        match text {
            "consent" => self.consents.clear(),
            "sender" => self.sender = None,
            "template" => self.template = None,
            _ => return Err("write no consent, no sender or no template".to_owned()),
        }
        Ok(())
    }

    /// `express since 2026-01-01`, `withdrawn since 2026-01-01 12:00`, each with ` by sms` or ` for night` in front of `since`.
    fn take_consent(&mut self, text: &str) -> Result<(), String> {
        let (what, at) = text.split_once(" since ").ok_or("write since when")?;
        let (what, channel) = match what.split_once(" by ") {
            Some((what, channel)) => (what, channel.parse()?),
            None => (what, self.channel),
        };
        let (what, purpose) = match what.split_once(" for ") {
            Some((what, purpose)) => (what, purpose.parse::<Purpose>()?),
            None => (what, Purpose::Marketing),
        };
        let given = if what == "withdrawn" { None } else { Some(what.parse::<Basis>()?) };
        self.consents.push(ConsentFact { channel, purpose, given, at: self.moment(at)? });
        Ok(())
    }

    /// `unsubscribed since 2026-01-01`, with ` by sms` in front of `since` where it is for one channel.
    fn take_suppression(&mut self, text: &str) -> Result<(), String> {
        let (what, at) = text.split_once(" since ").ok_or("write since when")?;
        let (reason, channel) = match what.split_once(" by ") {
            Some((reason, channel)) => (reason, Some(channel.parse()?)),
            None => (what, None),
        };
        self.suppressions.push(Suppression { reason: reason.parse()?, channel, at: self.moment(at)? });
        Ok(())
    }

    /// `marketing by sms at 2026-12-01 10:00`, with ` saying spring` in front of `at`.
    fn take_sent(&mut self, text: &str) -> Result<(), String> {
        let (what, at) = text.split_once(" at ").ok_or("write at what time")?;
        let (what, content) = what.split_once(" saying ").map_or((what, None), |(what, content)| (what, Some(content)));
        let (class, channel) = what.split_once(" by ").ok_or("write by which channel")?;
        let content = content.map(str::to_owned);
        self.sends.push((self.moment(at)?, channel.parse()?, class.parse()?, content));
        Ok(())
    }

    /// `AD-SHOP registered in AE, SA for entity 1101`, the last two parts as needed.
    fn take_sender(&mut self, text: &str) -> Result<(), String> {
        let (text, entity) = text.split_once(" for entity ").map_or((text, None), |(text, entity)| (text, Some(entity)));
        let (id, places) = text.split_once(" registered in ").map_or((text, ""), |(id, places)| (id, places));
        self.sender = Some((id.to_owned(), listed(places), entity.map(str::to_owned)));
        Ok(())
    }

    /// `T1 for marketing approved in IN` with the text in backticks behind it.
    fn take_template(&mut self, text: &str) -> Result<(), String> {
        let (head, text) = text.split_once(" `").ok_or("write the text of the template in backticks")?;
        let text = text.strip_suffix('`').ok_or("close the backticks")?;
        let (head, places) = head.split_once(" approved in ").map_or((head, ""), |(head, places)| (head, places));
        let (id, class) = head.split_once(" for ").ok_or("write for which class")?;
        self.template = Some((id.to_owned(), class.parse()?, listed(places), text.to_owned()));
        Ok(())
    }

    /// A moment by the contact's clock.
    pub(crate) fn moment(&self, text: &str) -> Result<Timestamp, String> {
        moment::moment(text, self.zone.as_ref())
    }

    /// A moment as the contact's clock shows it.
    pub(crate) fn local(&self, moment: Timestamp) -> String {
        self.zone.as_ref().map_or_else(|| moment.to_string(), |zone| zone.to_datetime(moment).to_string())
    }

    /// Lends the facts.
    pub(crate) fn with_facts<T>(&self, use_them: impl FnOnce(&ContactFacts<'_>, &MessageFacts<'_>) -> T) -> T {
        let sender_places = lent(self.sender.as_ref().map(|sender| &sender.1));
        let template_places = lent(self.template.as_ref().map(|template| &template.2));
        let permits = lent(Some(&self.permits));
        let sends = self.sends.iter().map(|(at, channel, class, content)| SentFact {
            at: *at,
            channel: *channel,
            class: *class,
            content: content.as_deref(),
        });
        let sends: Vec<SentFact<'_>> = sends.collect();
        let contact = ContactFacts {
            key: ContactKey::from_i64(self.key).expect("scenarios number contacts from 1"),
            country: self.country.as_deref(),
            region: self.region.as_deref(),
            zone: self.zone.as_ref().map(|zone| ContactZone { zone, is_derived: self.is_guessed }),
            consents: &self.consents,
            suppressions: &self.suppressions,
            sends: &sends,
        };
        let sender =
            self.sender.as_ref().map(|(id, _, entity)| Sender { id, registered_in: &sender_places, entity: entity.as_deref() });
        let template = self.template.as_ref().map(|(id, class, _, text)| Template {
            id,
            approved_in: &template_places,
            class: *class,
            text,
        });
        let schedule = self.due.map(Schedule::At).or(self.due_locally.map(Schedule::Local));
        let message = MessageFacts {
            class: self.class,
            channel: self.channel,
            content: self.content.as_deref(),
            text: self.text.as_deref(),
            sender,
            template,
            permits: &permits,
            schedule,
            ends: self.ends,
            window: self.window,
        };
        use_them(&contact, &message)
    }
}

fn lent(list: Option<&Vec<String>>) -> Vec<&str> {
    list.into_iter().flatten().map(String::as_str).collect()
}

fn quoted(text: &str) -> Result<&str, String> {
    let inner = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    inner.ok_or_else(|| "write the text in backticks".to_owned())
}

fn listed(text: &str) -> Vec<String> {
    text.split(", ").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
