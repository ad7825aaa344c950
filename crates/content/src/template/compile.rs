//! One copy becomes templates: its own parts, its translations, and from where each takes what it does not have.

use std::collections::BTreeMap;

use minijinja::Environment;
use vocabulary::{Channel, Copy, Missing};

use super::LOCALES_MAX;
use super::check;
use super::engine::{SNIPPETS, Text};
use crate::error::{ContentError, Part, Place};
use crate::language::{Direction, Tag};
use crate::values::{COUPON, Defaults};
use crate::{mail, plain};

/// A copy, ready for every reader.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Its own parts first, then the translations in the order of their tags.
    spoken: Vec<Spoken>,
    by_key: BTreeMap<String, usize>,
    /// Whether a message is left out where something is lacking.
    pub(super) skips: bool,
    /// Whether a part asks for a coupon.
    pub(super) uses_coupon: bool,
}

/// A copy in one language.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) tag: Option<Tag>,
    /// The tag in canonical form.
    pub(super) name: Option<String>,
    pub(super) direction: Direction,
    pub(super) subject: Option<Text>,
    pub(super) html: Option<Text>,
    pub(super) text: Option<Text>,
    pub(super) defaults: Defaults,
}

impl Spoken {
    fn texts(&self) -> impl Iterator<Item = &Text> {
        [&self.subject, &self.html, &self.text].into_iter().flatten()
    }
}

impl Compiled {
    /// Its own parts: what everybody gets for whom there is nothing better.
    pub(super) fn own(&self) -> &Spoken {
        &self.spoken[0]
    }

    /// The best of what a reader understands.
    pub(super) fn understood(&self, keys: &[String]) -> &Spoken {
        keys.iter().find_map(|key| self.exactly(key)).unwrap_or_else(|| self.own())
    }

    pub(super) fn exactly(&self, key: &str) -> Option<&Spoken> {
        self.by_key.get(key).map(|place| &self.spoken[*place])
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        self.spoken.iter().filter_map(|spoken| spoken.name.as_deref())
    }
}

/// What was written in one language.
struct Written<'a> {
    tag: Option<Tag>,
    /// The tag as its author wrote it.
    raw: &'a str,
    parts: [&'a str; 3],
    defaults: &'a BTreeMap<String, String>,
    /// The places of what it may take parts from, most specific first, with itself.
    line: Vec<usize>,
}

/// Adds the snippets, each as HTML, as text, as subject, and as text made from HTML.
pub(super) fn snippets(environment: &mut Environment<'static>, snippets: &BTreeMap<String, String>) -> Result<(), ContentError> {
    if snippets.len() > super::SNIPPETS_MAX {
        return Err(ContentError::SnippetCount(snippets.len()));
    }
    let wrong = |name: &str, (line, problem)| ContentError::Compile { place: Place::Snippet(name.to_owned()), line, problem };
    for (name, source) in snippets {
        let limit = Part::Html.template_bytes_max();
        if source.len() > limit {
            let place = Place::Snippet(name.clone());
            return Err(ContentError::TemplateTooLarge { place, bytes: source.len(), limit });
        }
        for kind in Part::ALL {
            let template = format!("{SNIPPETS}{name}/{kind}");
            check::add(environment, &template, source, snippets).map_err(|problem| wrong(name, problem))?;
        }
        let text = plain::text_of(source).map_err(|problem| wrong(name, problem))?;
        let template = format!("{SNIPPETS}{name}/{MADE}");
        check::add(environment, &template, &text, snippets).map_err(|problem| wrong(name, problem))?;
    }
    match check::circle(snippets) {
        Some(name) => Err(wrong(name, (1, "includes itself; take one of its includes out".to_owned()))),
        None => Ok(()),
    }
}

/// What the names of templates end in that are text made from HTML.
const MADE: &str = "made";

/// Compiles one copy.
pub(super) fn copy(
    environment: &mut Environment<'static>,
    name: &str,
    copy: &Copy,
    channel: Channel,
    snippets: &BTreeMap<String, String>,
) -> Result<Compiled, ContentError> {
    let (mut written, by_key) = read(name, copy)?;
    for (place, this) in written.iter_mut().enumerate() {
        let others = this.tag.as_ref().map(Tag::keys).unwrap_or_default();
        let others = others.iter().filter_map(|key| by_key.get(key).copied()).filter(|other| *other != place);
        this.line = std::iter::once(place).chain(others).collect();
    }
    let mut compiler = Compiler { environment, snippets, name, channel, texts: BTreeMap::new() };
    let mut spoken = Vec::with_capacity(written.len());
    for place in 0..written.len() {
        spoken.push(compiler.spoken(&written, place, copy)?);
    }
    let uses_coupon = spoken.iter().flat_map(Spoken::texts).any(|text| check::asks_for(environment, &text.template, COUPON));
    Ok(Compiled { spoken, by_key, skips: copy.missing == Missing::Skip, uses_coupon })
}

/// Reads the tags of a copy and checks that each means one language.
fn read<'a>(name: &str, copy: &'a Copy) -> Result<(Vec<Written<'a>>, BTreeMap<String, usize>), ContentError> {
    if copy.locales.len() > LOCALES_MAX {
        return Err(ContentError::LocaleCount { copy: name.to_owned(), count: copy.locales.len() });
    }
    let read_tag = |tag: &str| Tag::parse(tag).ok_or_else(|| ContentError::BadTag { copy: name.to_owned(), tag: tag.to_owned() });
    let mut written = vec![Written {
        tag: copy.language.as_deref().map(read_tag).transpose()?,
        raw: copy.language.as_deref().unwrap_or_default(),
        parts: [&copy.subject, &copy.html, &copy.text],
        defaults: &copy.defaults,
        line: Vec::new(),
    }];
    for (raw, translation) in &copy.locales {
        written.push(Written {
            tag: Some(read_tag(raw)?),
            raw,
            parts: [&translation.subject, &translation.html, &translation.text],
            defaults: &translation.defaults,
            line: Vec::new(),
        });
    }
    let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
    for (place, this) in written.iter().enumerate() {
        let Some(tag) = &this.tag else { continue };
        if let Some(other) = by_key.insert(tag.key(), place) {
            let (first, second) = (written[other].raw.to_owned(), this.raw.to_owned());
            return Err(ContentError::SameTag { copy: name.to_owned(), first, second });
        }
    }
    Ok((written, by_key))
}

struct Compiler<'a> {
    environment: &'a mut Environment<'static>,
    snippets: &'a BTreeMap<String, String>,
    name: &'a str,
    channel: Channel,
    /// What was compiled, by the place of its language and the name of its kind.
    texts: BTreeMap<(usize, String), Text>,
}

impl Compiler<'_> {
    fn spoken(&mut self, written: &[Written<'_>], place: usize, copy: &Copy) -> Result<Spoken, ContentError> {
        let this = &written[place];
        self.check_defaults(written, place)?;
        let mut parts = [None, None, None];
        if self.channel == Channel::Email {
            for (slot, part) in [Part::Subject, Part::Html].into_iter().enumerate() {
                let from = self.holder(written, place, part)?;
                parts[slot] = Some(self.text(&written[from], from, part)?);
            }
            parts[2] = Some(self.text_of_mail(written, place)?);
        } else {
            let given = [Part::Subject, Part::Html].into_iter().find(|part| !this.parts[*part as usize].trim().is_empty());
            if let Some(part) = given {
                let place = self.place(written, place, None);
                return Err(ContentError::NotOnChannel { place, part, channel: self.channel });
            }
            let from = self.holder(written, place, Part::Text)?;
            parts[2] = Some(self.text(&written[from], from, Part::Text)?);
        }
        let [subject, html, text] = parts;
        Ok(Spoken {
            name: this.tag.as_ref().map(Tag::to_string),
            direction: this.tag.as_ref().map(Tag::direction).unwrap_or_default(),
            tag: this.tag.clone(),
            subject,
            html,
            text,
            defaults: defaults_of(written, place, copy),
        })
    }

    /// The text of a mail: as it was written, unless the HTML is more specific to the reader, or there is no text.
    fn text_of_mail(&mut self, written: &[Written<'_>], place: usize) -> Result<Text, ContentError> {
        let line = &written[place].line;
        let rank = |part: Part| line.iter().position(|from| !written[*from].parts[part as usize].trim().is_empty());
        let html = self.holder(written, place, Part::Html)?;
        match (rank(Part::Text), rank(Part::Html)) {
            (Some(text), Some(html)) if text <= html => self.text(&written[line[text]], line[text], Part::Text),
            _ => self.made(&written[html], html),
        }
    }

    /// The place of the language that a part is taken from. The copy's own parts are whole.
    fn holder(&self, written: &[Written<'_>], place: usize, part: Part) -> Result<usize, ContentError> {
        let line = if place == 0 { &[0][..] } else { &written[place].line };
        if let Some(from) = line.iter().find(|from| !written[**from].parts[part as usize].trim().is_empty()) {
            return Ok(*from);
        }
        let Some(tag) = written[place].tag.as_ref().filter(|_| place > 0) else {
            return Err(ContentError::EmptyPart(self.place(written, place, Some(part))));
        };
        Err(ContentError::MissingPart { place: self.place(written, place, None), part, from: tag.parents() })
    }

    fn place(&self, written: &[Written<'_>], place: usize, part: Option<Part>) -> Place {
        self.place_of(&written[place], place, part)
    }

    fn place_of(&self, written: &Written<'_>, place: usize, part: Option<Part>) -> Place {
        let language = written.tag.as_ref().filter(|_| place > 0).map(Tag::to_string);
        Place::Copy { copy: self.name.to_owned(), language, part }
    }

    /// Compiles a part as it was written, once.
    fn text(&mut self, written: &Written<'_>, place: usize, part: Part) -> Result<Text, ContentError> {
        if let Some(text) = self.texts.get(&(place, part.to_string())) {
            return Ok(text.clone());
        }
        let at = self.place_of(written, place, Some(part));
        let source = written.parts[part as usize];
        let (bytes, limit) = (source.len(), part.template_bytes_max());
        if bytes > limit {
            return Err(ContentError::TemplateTooLarge { place: at, bytes, limit });
        }
        let template = self.add(place, &part.to_string(), source, &at)?;
        let mut text = Text { template, place: at, written: None, is_made: false };
        if part == Part::Html {
            let wrong = |(line, problem)| ContentError::Compile { place: text.place.clone(), line, problem };
            let finished = mail::finished(source, written.tag.as_ref()).map_err(wrong)?;
            if finished != source {
                self.add(place, &part.to_string(), &finished, &text.place)?;
                text.written = Some(source.to_owned());
            }
        }
        self.texts.insert((place, part.to_string()), text.clone());
        Ok(text)
    }

    /// Compiles the text that is made from an HTML part, once.
    fn made(&mut self, written: &Written<'_>, place: usize) -> Result<Text, ContentError> {
        if let Some(text) = self.texts.get(&(place, MADE.to_owned())) {
            return Ok(text.clone());
        }
        // The HTML of MJML is there once it is compiled.
        let html = self.text(written, place, Part::Html)?;
        let source = self.environment.get_template(&html.template).expect("it was compiled").source().to_owned();
        let wrong = |(line, problem)| ContentError::Compile { place: html.place.clone(), line, problem };
        let made = plain::text_of(&source).map_err(wrong)?;
        let template = self.add(place, MADE, &made, &html.place)?;
        let text =
            Text { template, written: Some(written.parts[Part::Html as usize].to_owned()), place: html.place, is_made: true };
        self.texts.insert((place, MADE.to_owned()), text.clone());
        Ok(text)
    }

    fn add(&mut self, place: usize, kind: &str, source: &str, at: &Place) -> Result<String, ContentError> {
        let template = format!("copies/{}/{place}/{kind}", self.name);
        let wrong = |(line, problem)| ContentError::Compile { place: at.clone(), line, problem };
        check::add(self.environment, &template, source, self.snippets).map_err(wrong)?;
        Ok(template)
    }

    fn check_defaults(&self, written: &[Written<'_>], place: usize) -> Result<(), ContentError> {
        let problem = written[place].defaults.keys().find_map(|name| check::problem_of_default(name));
        match problem {
            Some(problem) => Err(ContentError::BadDefault { place: self.place(written, place, None), problem }),
            None => Ok(()),
        }
    }
}

/// What is written for what is lacking: the language's own, then that of less specific ones, then the copy's.
fn defaults_of(written: &[Written<'_>], place: usize, copy: &Copy) -> Defaults {
    if copy.missing != Missing::Fallback {
        return Defaults::default();
    }
    let mut all: BTreeMap<&str, &str> = BTreeMap::new();
    for from in written[place].line.iter().copied().chain([0]) {
        for (name, value) in written[from].defaults {
            all.entry(name).or_insert(value);
        }
    }
    Defaults::new(&all)
}
