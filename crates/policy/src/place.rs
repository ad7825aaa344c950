//! Where a contact is: countries and their parts, the time zones of each, and which rules hold there.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::error::RulesError;
use crate::facts::{ContactFacts, ContactZone};
use crate::reader::Section;

/// An ISO 3166 alpha-2 country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Country([u8; 2]);

impl Country {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_alphabetic).then(|| Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// Whether `text` is this country.
    pub(crate) fn is(self, text: &str) -> bool {
        Self::new(text) == Some(self)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

/// A part of a country: what stands after the hyphen in ISO 3166-2, at most three letters or digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Region([u8; 3]);

impl Region {
    /// Before every other.
    const FIRST: Self = Self([0; 3]);

    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut letters = [b' '; 3];
        if text.is_empty() || text.len() > letters.len() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        letters.iter_mut().zip(text.bytes()).for_each(|(letter, byte)| *letter = byte.to_ascii_uppercase());
        Some(Self(letters))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().filter(|letter| **letter != b' ').try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

/// Where a rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Area {
    /// Everywhere.
    All,
    /// Where no other rule of the same file holds for the channel and class.
    Otherwise,
    /// In these countries or parts of them.
    Places(Vec<(Country, Option<Region>)>),
}

/// The time zones of the world's countries and of some of their parts, and groups of countries by name.
#[derive(Debug)]
pub(crate) struct Atlas {
    countries: BTreeMap<Country, Vec<TimeZone>>,
    regions: BTreeMap<(Country, Region), Vec<TimeZone>>,
    groups: BTreeMap<String, Vec<Country>>,
}

impl Atlas {
    /// Reads `zones.toml`.
    pub(crate) fn read(mut file: Section<'_>) -> Result<Self, RulesError> {
        crate::rule::FileHead::read(&mut file)?;
        file.text("source")?;
        let zones = TimeZoneDatabase::bundled();
        let mut atlas = Self { countries: BTreeMap::new(), regions: BTreeMap::new(), groups: BTreeMap::new() };
        let tables = (file.table("country")?, file.table("region")?, file.table("group")?);
        let (Some(countries), Some(regions), Some(groups)) = tables else {
            return Err(file.wrong("country", "`region` and `group` are needed; write [country], [region] and [group]"));
        };
        for (name, list) in countries.named_lists()? {
            let country = Country::new(name).ok_or_else(|| countries.wrong(name, "is no country; write two letters"))?;
            atlas.countries.insert(country, zones_of(&zones, &countries, name, &list)?);
        }
        for (name, list) in regions.named_lists()? {
            let place = name.split_once('-').and_then(|(country, region)| Country::new(country).zip(Region::new(region)));
            let place = place.ok_or_else(|| regions.wrong(name, "is no part of a country; write it like US-FL"))?;
            atlas.regions.insert(place, zones_of(&zones, &regions, name, &list)?);
        }
        for (name, list) in groups.named_lists()? {
            let members = list.iter().map(|member| Country::new(member)).collect::<Option<Vec<_>>>();
            let members = members.ok_or_else(|| groups.wrong(name, "holds something that is no country of two letters"))?;
            atlas.groups.insert(name.to_owned(), members);
        }
        file.finish()?;
        Ok(atlas)
    }

    /// Reads the key `where` of a rule.
    pub(crate) fn area(&self, section: &mut Section<'_>) -> Result<Area, RulesError> {
        let texts = section.texts("where")?;
        match texts.as_slice() {
            [] => return Err(section.wrong("where", "is missing; write [\"*\"], [\"otherwise\"] or places such as [\"US-FL\"]")),
            ["*"] => return Ok(Area::All),
            ["otherwise"] => return Ok(Area::Otherwise),
            _ => {}
        }
        let mut places = Vec::new();
        for text in texts {
            if let Some(members) = self.groups.get(text) {
                places.extend(members.iter().map(|country| (*country, None)));
                continue;
            }
            let place = match text.split_once('-') {
                None => Country::new(text).map(|country| (country, None)),
                Some((country, region)) => Country::new(country).zip(Region::new(region)).map(|(one, two)| (one, Some(two))),
            };
            let known = place.filter(|place| match place {
                (country, None) => self.countries.contains_key(country),
                (country, Some(region)) => self.regions.contains_key(&(*country, *region)),
            });
            let unknown = || format!("names `{text}`, which zones.toml lacks; add it there or correct it");
            places.push(known.ok_or_else(|| section.wrong("where", unknown()))?);
        }
        Ok(Area::Places(places))
    }

    /// Every time zone that a place has; none for an unknown place.
    pub(crate) fn zones(&self, country: Option<Country>, region: Option<Region>) -> &[TimeZone] {
        let Some(country) = country else { return &[] };
        let of_region = region.and_then(|region| self.regions.get(&(country, region)));
        of_region.or_else(|| self.countries.get(&country)).map_or(&[], Vec::as_slice)
    }

    /// Whether people in a part of a country use a time zone.
    fn uses(&self, country: Country, region: Region, zone: &TimeZone) -> bool {
        self.regions.get(&(country, region)).is_some_and(|zones| holds(zones, zone))
    }

    /// Whether people in any part of a country use a time zone.
    fn any_part_uses(&self, country: Country, zone: &TimeZone) -> bool {
        let parts = self.regions.range((country, Region::FIRST)..);
        parts.take_while(|((part_of, _), _)| *part_of == country).any(|(_, zones)| holds(zones, zone))
    }
}

fn holds(zones: &[TimeZone], zone: &TimeZone) -> bool {
    let name = zone.iana_name();
    zones.iter().any(|one| one.iana_name() == name)
}

fn zones_of(zones: &TimeZoneDatabase, section: &Section<'_>, name: &str, list: &[&str]) -> Result<Vec<TimeZone>, RulesError> {
    let zone = |zone: &&str| zones.get(zone).map_err(|_| section.wrong(name, format!("names `{zone}`, which is no time zone")));
    list.iter().map(zone).collect()
}

/// Where one contact is, as far as is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) country: Option<Country>,
    pub(crate) region: Option<Region>,
    /// The contact's own clock.
    own: Option<ContactZone<'a>>,
    /// The clocks that it may be where its own is not known for sure.
    others: &'a [TimeZone],
    /// Whether the own clock narrows down in which part of the country the contact can be.
    tells_region: bool,
    atlas: &'a Atlas,
}

impl<'a> Place<'a> {
    pub(crate) fn of(atlas: &'a Atlas, contact: &ContactFacts<'a>) -> Self {
        let country = contact.country.and_then(Country::new);
        let region = contact.region.and_then(Region::new);
        let is_sure = contact.zone.is_some_and(|own| !own.is_derived);
        let others = if is_sure { &[] } else { atlas.zones(country, region) };
        // A clock that no part claims, such as one under an old name, could be that of any part.
        let tells = |country| contact.zone.is_some_and(|own| atlas.any_part_uses(country, own.zone));
        let tells_region = is_sure && region.is_none() && country.is_some_and(tells);
        Self { country, region, own: contact.zone, others, tells_region, atlas }
    }

    /// Every clock that the contact may have.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &'a TimeZone> + Clone + use<'a> {
        self.own.map(|own| own.zone).into_iter().chain(self.others)
    }

    /// Whether a rule of a part of the contact's country holds. Where the part is not known, every rule holds that could.
    pub(crate) fn is_in(&self, country: Country, region: Region) -> bool {
        match (self.region, self.own) {
            (Some(known), _) => known == region,
            (None, Some(own)) if self.tells_region => self.atlas.uses(country, region, own.zone),
            (None, _) => true,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.country, self.region) {
            (None, _) => f.write_str("country unknown")?,
            (Some(country), None) => write!(f, "{country}")?,
            (Some(country), Some(region)) => write!(f, "{country}-{region}")?,
        }
        match self.own {
            None => write!(f, ", time zone unknown, {} possible", self.others.len()),
            Some(own) => {
                let name = own.zone.iana_name().unwrap_or("a fixed offset");
                let how = if own.is_derived { format!(" (derived, {} more possible)", self.others.len()) } else { String::new() };
                write!(f, ", time zone {name}{how}")
            }
        }
    }
}
