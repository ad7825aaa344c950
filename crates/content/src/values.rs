//! What templates are filled in with: the contact, the message's data, and what stands in for what they lack.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, ValueKind};
use minijinja::{Value, context};
use serde::Serialize;

use crate::RenderContext;
use crate::language::Direction;

/// What templates call the code that is drawn for a message.
pub(crate) const COUPON: &str = "coupon";

/// The values of one message, such as a code or an order, which templates know below `data`.
#[derive(Debug, Clone)]
pub struct Data(Value);

impl Data {
    /// Values of anything that is written as a map, such as a JSON object.
    #[must_use]
    pub fn new<T: Serialize>(values: &T) -> Self {
        Self(Value::from(Serde(values)))
    }
}

impl Default for Data {
    /// No values.
    fn default() -> Self {
        Self(Value::from_pairs([] as [(&str, Value); 0]))
    }
}

/// What is written where something is lacking, by name, as a tree of the names' steps.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    contact: BTreeMap<String, Value>,
    attributes: BTreeMap<String, Value>,
    data: Option<Arc<Tree>>,
    coupon: Option<Value>,
}

/// Defaults below one name.
#[derive(Debug, Default, Clone)]
struct Tree {
    value: Option<Value>,
    below: BTreeMap<String, Arc<Tree>>,
}

impl Defaults {
    /// Of names that were checked.
    pub(crate) fn new(all: &BTreeMap<&str, &str>) -> Self {
        let mut defaults = Self::default();
        let mut data = Tree::default();
        for (name, value) in all {
            let value = Value::from(*value);
            if let Some(name) = name.strip_prefix("contact.attributes.") {
                defaults.attributes.insert(name.to_owned(), value);
            } else if let Some(name) = name.strip_prefix("contact.") {
                defaults.contact.insert(name.to_owned(), value);
            } else if let Some(name) = name.strip_prefix("data.") {
                data.insert(name, value);
            } else if *name == COUPON {
                defaults.coupon = Some(value);
            }
        }
        defaults.data = (!data.below.is_empty()).then(|| Arc::new(data));
        defaults
    }
}

impl Tree {
    fn insert(&mut self, name: &str, value: Value) {
        let (step, rest) = name.split_once('.').map_or((name, None), |(step, rest)| (step, Some(rest)));
        let below = Arc::make_mut(self.below.entry(step.to_owned()).or_default());
        match rest {
            Some(rest) => below.insert(rest, value),
            None => below.value = Some(value),
        }
    }
}

/// A map whose lacking entries are those of a tree.
#[derive(Debug)]
struct Filled {
    values: Value,
    tree: Arc<Tree>,
}

impl Filled {
    fn value(values: Value, tree: &Arc<Tree>) -> Value {
        let is_map = values.kind() == ValueKind::Map;
        match (&tree.value, tree.below.is_empty()) {
            (Some(value), _) if values.is_undefined() => value.clone(),
            (None, false) if is_map || values.is_undefined() => Value::from_object(Self { values, tree: tree.clone() }),
            (Some(_), false) if is_map => Value::from_object(Self { values, tree: tree.clone() }),
            _ => values,
        }
    }
}

impl Object for Filled {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let found = if self.values.is_undefined() { Value::UNDEFINED } else { self.values.get_item(key).unwrap_or_default() };
        let found = match key.as_str().and_then(|key| self.tree.below.get(key)) {
            Some(tree) => Self::value(found, tree),
            None => found,
        };
        (!found.is_undefined()).then_some(found)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut keys: Vec<Value> = self.values.try_iter().map(Iterator::collect).unwrap_or_default();
        let more: Vec<Value> = self.tree.below.keys().map(|key| Value::from(key.as_str())).collect();
        keys.extend(
            more.into_iter()
                .filter(|key| self.values.is_undefined() || self.values.get_item(key).is_ok_and(|value| value.is_undefined())),
        );
        Enumerator::Values(keys)
    }
}

/// What is not known of a contact is left out, so that `| default` works and its absence is an error without it.
pub(crate) fn values_of(
    context: &RenderContext<'_>,
    slots: Value,
    locale: &Arc<str>,
    direction: Direction,
    defaults: &Defaults,
) -> Value {
    let contact = &context.contact.profile;
    let known = [("country", &contact.country), ("language", &contact.language), ("time_zone", &contact.time_zone)];
    let known = known.into_iter().filter_map(|(name, value)| {
        let value = value.as_deref().map(Value::from).or_else(|| defaults.contact.get(name).cloned());
        value.map(|value| (name, value))
    });
    let lacking = defaults.attributes.iter().filter(|(name, _)| !contact.attributes.contains_key(*name));
    let lacking = lacking.map(|(name, value)| (name.as_str(), value.clone()));
    let attributes = contact.attributes.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
    let attributes = Value::from_pairs(attributes.chain(lacking));
    let data = match &defaults.data {
        Some(tree) => Filled::value(context.data.0.clone(), tree),
        None => context.data.0.clone(),
    };
    let coupon = context.coupon.map(Value::from).or_else(|| defaults.coupon.clone());
    context! {
        coupon => coupon.unwrap_or(Value::UNDEFINED),
        contact => Value::from_pairs(known.chain([("attributes", attributes)])),
        data => data,
        slots => slots,
        campaign => context.campaign,
        variant => context.variant,
        unsubscribe_url => context.unsubscribe_url,
        preferences_url => context.preferences_url,
        locale => Value::from(locale.clone()),
        direction => direction.as_str(),
        now => context.now.to_string(),
    }
}
