//! Reads tables of TOML key by key, so that each error names the file, the key and the fix, and no key is ignored.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::civil::Date;
use toml::{Table, Value};

use crate::error::RulesError;

/// The longest file of rules in bytes. The largest of ours has about 20,000.
const FILE_BYTES_MAX: usize = 1 << 20;

/// One table of a file, and the keys that were asked for so far.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    file: &'a str,
    path: String,
    table: &'a Table,
    asked: BTreeSet<&'static str>,
}

/// Reads a file's text.
pub(crate) fn parse(file: &str, text: &str) -> Result<Table, RulesError> {
    if text.len() > FILE_BYTES_MAX {
        let reason = format!("has {} bytes; the limit is {FILE_BYTES_MAX}", text.len());
        return Err(RulesError::File { file: file.to_owned(), reason });
    }
    text.parse().map_err(|error: toml::de::Error| RulesError::Unreadable {
        file: file.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

impl<'a> Section<'a> {
    /// The table that a whole file is.
    pub(crate) fn of_file(file: &'a str, table: &'a Table) -> Self {
        Self { file, path: String::new(), table, asked: BTreeSet::new() }
    }

    /// The path of a key in this table.
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error about a key of this table.
    pub(crate) fn wrong(&self, key: &str, reason: impl Into<String>) -> RulesError {
        RulesError::Invalid { file: self.file.to_owned(), key: self.key(key), reason: reason.into() }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.insert(key);
        self.table.get(key)
    }

    fn expect<T>(&self, key: &str, found: Option<T>, form: &str) -> Result<T, RulesError> {
        found.ok_or_else(|| self.wrong(key, format!("is missing; write {form}")))
    }

    /// A text that may be left out.
    pub(crate) fn text_or_none(&mut self, key: &'static str) -> Result<Option<&'a str>, RulesError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "is no text; write a text in quotes that is not empty")),
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<&'a str, RulesError> {
        let found = self.text_or_none(key)?;
        self.expect(key, found, "a text in quotes")
    }

    /// A list of texts; empty when left out.
    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Vec<&'a str>, RulesError> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        texts.ok_or_else(|| self.wrong(key, "is no list of texts; write it as [\"one\", \"two\"]"))
    }

    /// A list of words of a fixed list.
    pub(crate) fn words<T: FromStr<Err = String>>(&mut self, key: &'static str) -> Result<Vec<T>, RulesError> {
        let texts = self.texts(key)?;
        texts.into_iter().map(|text| text.parse().map_err(|reason| self.wrong(key, reason))).collect()
    }

    /// One word of a fixed list.
    pub(crate) fn word<T: FromStr<Err = String>>(&mut self, key: &'static str) -> Result<Option<T>, RulesError> {
        let text = self.text_or_none(key)?;
        text.map(|text| text.parse().map_err(|reason| self.wrong(key, reason))).transpose()
    }

    /// A whole number that may be left out.
    pub(crate) fn whole(&mut self, key: &'static str) -> Result<Option<u32>, RulesError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.wrong(key, "is no whole number from 0 up"))
    }

    /// A share from 0 to 1.
    pub(crate) fn share(&mut self, key: &'static str) -> Result<f64, RulesError> {
        let value = self.take(key);
        let number = value.and_then(|value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64)));
        let number = self.expect(key, number, "a share from 0 to 1, such as 0.05")?;
        if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(self.wrong(key, "is not from 0 to 1; 5 % is written 0.05")) }
    }

    /// True or false; `default` when left out.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, RulesError> {
        match self.take(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, "is neither true nor false")),
        }
    }

    /// A date that must be there.
    pub(crate) fn date(&mut self, key: &'static str) -> Result<Date, RulesError> {
        let value = self.take(key);
        let value = self.expect(key, value, "a date such as 2026-11-28")?;
        date_of(value).ok_or_else(|| self.wrong(key, "is no date; write it without quotes, such as 2026-11-28"))
    }

    /// A list of dates and of spans `[first, last]`; none when left out.
    pub(crate) fn spans(&mut self, key: &'static str) -> Result<Option<Vec<(Date, Date)>>, RulesError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let span = |value: &Value| match value.as_array() {
            None => date_of(value).map(|date| (date, date)),
            Some(pair) => match pair.as_slice() {
                [first, last] => date_of(first).zip(date_of(last)).filter(|(first, last)| first <= last),
                _ => None,
            },
        };
        let spans = value.as_array().and_then(|list| list.iter().map(span).collect::<Option<Vec<_>>>());
        let form = "is no list of dates; write [2027-02-06, 2028-01-26], or [[2027-02-08, 2027-03-08]] for first and last days";
        let spans = spans.ok_or_else(|| self.wrong(key, form))?;
        if spans.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
            return Err(self.wrong(key, "is not in the order of days; sort it and leave no overlap"));
        }
        Ok(Some(spans))
    }

    /// The tables of a list; none when left out.
    pub(crate) fn tables(&mut self, key: &'static str) -> Result<Vec<Section<'a>>, RulesError> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.wrong(key, format!("is no list; write [[{key}]] above each entry")))?;
        let section = |(index, value): (usize, &'a Value)| {
            let path = format!("{}[{}]", self.key(key), index + 1);
            let table = value.as_table().ok_or_else(|| self.wrong(key, "holds something that is no table"))?;
            Ok(Section { file: self.file, path, table, asked: BTreeSet::new() })
        };
        list.iter().enumerate().map(section).collect()
    }

    /// A table within this one.
    pub(crate) fn table(&mut self, key: &'static str) -> Result<Option<Section<'a>>, RulesError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let table = value.as_table().ok_or_else(|| self.wrong(key, format!("is no table; write [{key}] above its keys")))?;
        Ok(Some(Section { file: self.file, path: self.key(key), table, asked: BTreeSet::new() }))
    }

    /// Every key of this table with a list of texts, for tables whose keys are names.
    pub(crate) fn named_lists(&self) -> Result<Vec<(&'a str, Vec<&'a str>)>, RulesError> {
        let list = |(name, value): (&'a String, &'a Value)| {
            let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
            let texts = texts.filter(|texts| !texts.is_empty());
            let texts = texts.ok_or_else(|| self.wrong(name, "is no list of texts; write it as [\"one\", \"two\"]"))?;
            Ok((name.as_str(), texts))
        };
        self.table.iter().map(list).collect()
    }

    /// Every key of this table with a whole number, for tables whose keys are names.
    pub(crate) fn named_wholes(&self) -> Result<Vec<(&'a str, u32)>, RulesError> {
        let whole = |(name, value): (&'a String, &'a Value)| {
            let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
            Ok((name.as_str(), number.ok_or_else(|| self.wrong(name, "is no whole number from 0 up"))?))
        };
        self.table.iter().map(whole).collect()
    }

    /// Complains about a key that nobody asked for: it would be a rule that is believed to hold and does not.
    pub(crate) fn finish(self) -> Result<(), RulesError> {
        let Some(unknown) = self.table.keys().find(|key| !self.asked.contains(key.as_str())) else { return Ok(()) };
        let nearest = self
            .asked
            .iter()
            .max_by(|one, other| strsim::jaro_winkler(unknown, one).total_cmp(&strsim::jaro_winkler(unknown, other)));
        let known: Vec<&str> = self.asked.iter().copied().collect();
        let nearest = nearest.map_or(String::new(), |nearest| format!("; the nearest is `{nearest}`"));
        Err(self.wrong(unknown, format!("is no key here; known are {}{nearest}", known.join(", "))))
    }
}

fn date_of(value: &Value) -> Option<Date> {
    let date = value.as_datetime().filter(|moment| moment.time.is_none())?.date?;
    Date::new(i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()
}
