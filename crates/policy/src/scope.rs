//! For whom a rule is: its area, channels and classes, and a quick way from a country to its rules.

use std::collections::BTreeMap;

use vocabulary::{Channel, MessageClass};

use crate::error::RulesError;
use crate::place::{Area, Atlas, Country, Place, Region};
use crate::reader::Section;

/// For whom a rule is.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) area: Area,
    channels: u8,
    classes: u8,
}

fn channel_bit(channel: Channel) -> u8 {
    1 << channel as u8
}

fn class_bit(class: MessageClass) -> u8 {
    1 << class as u8
}

impl Scope {
    /// Reads `where`, `channels` and `classes`; a rule without channels is for all of them, one without classes for marketing.
    pub(crate) fn read(section: &mut Section<'_>, atlas: &Atlas) -> Result<Self, RulesError> {
        let area = atlas.area(section)?;
        let channels = section.words::<Channel>("channels")?;
        let classes = section.words::<MessageClass>("classes")?;
        let channels = if channels.is_empty() { Channel::ALL } else { &channels };
        let classes = if classes.is_empty() { &[MessageClass::Marketing] } else { classes.as_slice() };
        Ok(Self {
            area,
            channels: channels.iter().fold(0, |bits, channel| bits | channel_bit(*channel)),
            classes: classes.iter().fold(0, |bits, class| bits | class_bit(*class)),
        })
    }

    pub(crate) fn has_channel(&self, channel: Channel) -> bool {
        self.channels & channel_bit(channel) != 0
    }

    pub(crate) fn has_class(&self, class: MessageClass) -> bool {
        self.classes & class_bit(class) != 0
    }
}

/// Rules of one kind in the order of their file, with the way from a country to those that may hold in it.
#[derive(Debug)]
pub(crate) struct Scoped<T> {
    rules: Vec<(Scope, T)>,
    by_country: BTreeMap<Country, Vec<(usize, Option<Region>)>>,
    everywhere: Vec<(usize, Option<Region>)>,
}

impl<T> Scoped<T> {
    pub(crate) fn new(rules: Vec<(Scope, T)>) -> Self {
        let mut by_country: BTreeMap<Country, Vec<(usize, Option<Region>)>> = BTreeMap::new();
        let mut everywhere = Vec::new();
        for (scope, _) in &rules {
            if let Area::Places(places) = &scope.area {
                by_country.extend(places.iter().map(|(country, _)| (*country, Vec::new())));
            }
        }
        for (index, (scope, _)) in rules.iter().enumerate() {
            match &scope.area {
                Area::Places(places) => {
                    for (country, region) in places {
                        by_country.entry(*country).or_default().push((index, *region));
                    }
                }
                Area::All | Area::Otherwise => {
                    everywhere.push((index, None));
                    by_country.values_mut().for_each(|list| list.push((index, None)));
                }
            }
        }
        Self { rules, by_country, everywhere }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Scope, T)> {
        self.rules.iter()
    }

    /// The rules that hold at a place for a channel, in the order of the file. Those for the rest of the world are left out
    /// where a rule of the country as a whole is for the same channel and the class.
    pub(crate) fn at<'s>(
        &'s self,
        place: &'s Place<'_>,
        channel: Channel,
        class: MessageClass,
    ) -> impl Iterator<Item = &'s (Scope, T)> + 's {
        let found = place.country.and_then(|country| self.by_country.get(&country).map(|list| (country, list.as_slice())));
        let list = found.map_or(self.everywhere.as_slice(), |(_, list)| list);
        let holds = move |index: usize, region: Option<Region>| {
            let scope = &self.rules[index].0;
            scope.has_channel(channel)
                && match (region, found) {
                    (Some(region), Some((country, _))) => place.is_in(country, region),
                    _ => true,
                }
        };
        let is_covered = list.iter().any(|(index, region)| {
            let scope = &self.rules[*index].0;
            region.is_none() && matches!(scope.area, Area::Places(_)) && holds(*index, None) && scope.has_class(class)
        });
        // A rule for several parts of a country stands there once for each part, side by side.
        let mut last = None;
        let found = list.iter().filter(move |(index, region)| holds(*index, *region)).map(|(index, _)| *index);
        let found = found.filter(move |index| last.replace(*index) != Some(*index)).map(|index| &self.rules[index]);
        found.filter(move |(scope, _)| !(is_covered && scope.area == Area::Otherwise))
    }
}
