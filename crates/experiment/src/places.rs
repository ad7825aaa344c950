//! Where in a YAML or JSON text each field stands, so that an error can name both the field and the line.
//!
//! The text is read a second time, into nothing but positions. That happens only when there is something to complain
//! about, and keeps the vocabulary's types free of positions.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Spanned};

/// A line and a column, from 1.
pub(crate) type Place = (u64, u64);

/// The places of the fields of a text, by paths such as `variants[1].weight`.
#[derive(Debug, Default)]
pub(crate) struct Places {
    by_path: BTreeMap<String, Place>,
    by_place: BTreeMap<Place, String>,
}

impl Places {
    /// Reads the places of a text; none when it is neither YAML nor JSON.
    pub(crate) fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(Spanned { value, .. }) = read_shape::<Spanned<Node>>(text) {
            places.add("", &value);
        }
        places
    }

    /// Where a field stands, or else the field that holds it: a missing field is reported where it is missed.
    pub(crate) fn of_field(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.by_path.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// The field whose key or value begins at a place.
    pub(crate) fn field_at(&self, place: Place) -> Option<&str> {
        self.by_place.get(&place).map(String::as_str)
    }

    fn add(&mut self, path: &str, node: &Node) {
        match node {
            Node::Leaf => {}
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.put(&path, place(&item.referenced));
                    self.add(&path, &item.value);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    self.put(&path, place(&value.referenced));
                    self.put(&path, place(&key.referenced));
                    self.add(&path, &value.value);
                }
            }
        }
    }

    fn put(&mut self, path: &str, place: Place) {
        self.by_path.insert(path.to_owned(), place);
        self.by_place.entry(place).or_insert_with(|| path.to_owned());
    }
}

/// Reads a text whatever its values are and however often a key comes: those are complaints about fields, which have a
/// place, while a text that fails here has no fields.
pub(crate) fn read_shape<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// The place of a location.
pub(crate) fn place(location: &Location) -> Place {
    (location.line(), location.column())
}

/// The shape of a text without its values.
#[derive(Debug)]
enum Node {
    Leaf,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_yaml_and_json() {
        let check = |text: &str, path: &str, expect: Option<Place>| assert_eq!(Places::of(text).of_field(path), expect, "{path}");
        let yaml = "a: 1\nlist:\n  - name: x\n    weight: 2.5\n  - name: null\n    deep: {on: true}\n";
        check(yaml, "a", Some((1, 1)));
        check(yaml, "list[0].weight", Some((4, 5)));
        check(yaml, "list[1].deep.on", Some((6, 12)));
        check(yaml, "list[1].weight", Some((5, 5)));
        check(yaml, "b", None);
        check("{\n\t\"a\": [\n\t\t{\"b\": 1}]}", "a[0].b", Some((3, 4)));
        check("a: [", "a", None);
    }
}
