//! One copy becomes templates: its own parts, its translations, from where each takes what it does not have, and the snippets in them.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Environment;
use vocabulary::{Channel, Copy, Missing, Slot, Snippet};

use super::check;
use super::engine::{SNIPPETS, Text};
use super::{Given, LOCALES_MAX, SNIPPETS_MAX};
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
    /// Notes whether a part asks for a coupon, itself or by a snippet; these are there by now.
    pub(super) fn note_coupon(&mut self, environment: &Environment<'_>) {
        let mut texts = self.spoken.iter().flat_map(Spoken::texts);
        self.uses_coupon = texts.any(|text| check::asks_for(environment, &text.template, COUPON));
    }

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

/// What templates may name beside what every message knows.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    pub(super) snippets: BTreeMap<&'a str, &'a Snippet>,
    pub(super) slots: BTreeMap<&'a str, &'a Slot>,
}

impl<'a> Known<'a> {
    /// # Errors
    /// Too many snippets, or one that takes in itself.
    pub(crate) fn new(given: Given<'a>) -> Result<Self, ContentError> {
        if given.snippets.len() > SNIPPETS_MAX {
            return Err(ContentError::SnippetCount(given.snippets.len()));
        }
        let snippets = given.snippets.iter().map(|snippet| (snippet.snippet.as_str(), snippet)).collect();
        let known = Self { snippets, slots: given.slots.iter().map(|(name, slot)| (name.as_str(), slot)).collect() };
        match check::circle(&known) {
            Some(name) => Err(in_snippet(name, None, (1, "includes itself; take one of its includes out".to_owned()))),
            None => Ok(known),
        }
    }
}

impl Known<'_> {
    /// What a snippet says in a language; `None` where there is none of that name.
    pub(crate) fn said(&self, name: &str, key: &str) -> Option<&str> {
        said(self.snippets.get(name)?, key).ok().map(|(_, text)| text)
    }
}

/// The key of a language tag; `None` where it is none.
pub(crate) fn key_of(tag: &str) -> Option<String> {
    Tag::parse(tag).map(|tag| tag.key())
}

fn in_snippet(name: &str, language: Option<&str>, (line, problem): (usize, String)) -> ContentError {
    let place = Place::Snippet { name: name.to_owned(), language: language.map(str::to_owned) };
    ContentError::Compile { place, line, problem }
}

/// What stands for the language of parts that do not say theirs.
pub(crate) const NO_LANGUAGE: &str = "-";

/// The snippets that templates take in, with the key of the language they are taken in for.
pub(crate) type Taken = BTreeSet<(String, String)>;

/// The tags of a snippet's translations by their keys.
pub(crate) fn keys_of_snippet(snippet: &Snippet) -> Result<BTreeMap<String, &str>, ContentError> {
    let mut keys: BTreeMap<String, &str> = BTreeMap::new();
    for tag in snippet.locales.keys() {
        let wrong = |problem: String| in_snippet(&snippet.snippet, Some(tag), (1, problem));
        let parsed =
            Tag::parse(tag).ok_or_else(|| wrong(format!("`{tag}` is no BCP 47 language tag; write one such as `pt-BR`")))?;
        if let Some(other) = keys.insert(parsed.key(), tag) {
            return Err(wrong(format!("`{other}` and `{tag}` are the same language; keep one of them")));
        }
    }
    Ok(keys)
}

/// What a snippet says in a language, and the tag of the translation where it is one.
fn said<'a>(snippet: &'a Snippet, key: &str) -> Result<(Option<&'a str>, &'a str), ContentError> {
    let tags = keys_of_snippet(snippet)?;
    let keys = Tag::parse(key).map(|tag| tag.keys()).unwrap_or_default();
    let found = keys.iter().find_map(|key| tags.get(key)).and_then(|tag| snippet.locales.get_key_value(*tag));
    Ok(found.map_or((None, snippet.content.as_str()), |(tag, text)| (Some(tag.as_str()), text.as_str())))
}

/// Adds the snippets that are taken in and those that these take in, each as HTML, as text, as subject, and as text made from HTML.
pub(crate) fn snippets(environment: &mut Environment<'static>, known: &Known<'_>, taken: Taken) -> Result<(), ContentError> {
    let mut open: Vec<(String, String)> = taken.iter().cloned().collect();
    let mut seen = taken;
    while let Some((name, key)) = open.pop() {
        let snippet = known.snippets.get(name.as_str()).expect("whoever includes a snippet was checked");
        let (language, source) = said(snippet, &key)?;
        let wrong = |problem| in_snippet(&name, language, problem);
        let limit = Part::Html.template_bytes_max();
        if source.len() > limit {
            let place = Place::Snippet { name: name.clone(), language: language.map(str::to_owned) };
            return Err(ContentError::TemplateTooLarge { place, bytes: source.len(), limit });
        }
        for kind in Part::ALL {
            check::add(environment, &format!("{SNIPPETS}{name}/{key}/{kind}"), source, known).map_err(wrong)?;
        }
        let text = plain::text_of(source).map_err(wrong)?;
        check::add(environment, &format!("{SNIPPETS}{name}/{key}/{MADE}"), &text, known).map_err(wrong)?;
        for (_, next) in check::includes(source) {
            let next = (next.expect("it was checked").to_owned(), key.clone());
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Ok(())
}

/// What the names of templates end in that are text made from HTML.
const MADE: &str = "made";

/// Compiles one copy.
pub(super) fn copy(
    environment: &mut Environment<'static>,
    taken: &mut Taken,
    name: &str,
    copy: &Copy,
    channel: Channel,
    known: &Known<'_>,
) -> Result<Compiled, ContentError> {
    let (mut written, by_key) = read(name, copy)?;
    for (place, this) in written.iter_mut().enumerate() {
        let others = this.tag.as_ref().map(Tag::keys).unwrap_or_default();
        let others = others.iter().filter_map(|key| by_key.get(key).copied()).filter(|other| *other != place);
        this.line = std::iter::once(place).chain(others).collect();
    }
    let mut compiler = Compiler { environment, taken, known, name, channel, texts: BTreeMap::new() };
    let mut spoken = Vec::with_capacity(written.len());
    for place in 0..written.len() {
        spoken.push(compiler.spoken(&written, place, copy)?);
    }
    Ok(Compiled { spoken, by_key, skips: copy.missing == Missing::Skip, uses_coupon: false })
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
    taken: &'a mut Taken,
    known: &'a Known<'a>,
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
        let template = self.add(written, place, &part.to_string(), source, &at)?;
        let mut text = Text { template, place: at, written: None, is_made: false };
        if part == Part::Html {
            let wrong = |(line, problem)| ContentError::Compile { place: text.place.clone(), line, problem };
            let finished = mail::finished(source, written.tag.as_ref()).map_err(wrong)?;
            if finished != source {
                self.add(written, place, &part.to_string(), &finished, &text.place)?;
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
        let template = self.add(written, place, MADE, &made, &html.place)?;
        let text =
            Text { template, written: Some(written.parts[Part::Html as usize].to_owned()), place: html.place, is_made: true };
        self.texts.insert((place, MADE.to_owned()), text.clone());
        Ok(text)
    }

    fn add(&mut self, written: &Written<'_>, place: usize, kind: &str, source: &str, at: &Place) -> Result<String, ContentError> {
        let key = written.tag.as_ref().map_or_else(|| NO_LANGUAGE.to_owned(), Tag::key);
        let template = format!("copies/{}/{place}/{key}/{kind}", self.name);
        let wrong = |(line, problem)| ContentError::Compile { place: at.clone(), line, problem };
        check::add(self.environment, &template, source, self.known).map_err(wrong)?;
        let names = check::includes(source).into_iter().filter_map(|(_, name)| name);
        self.taken.extend(names.map(|name| (name.to_owned(), key.clone())));
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
