//! The schemas of events, one versioned component per kind, made from the table of fields.
//!
//! A change that old senders would notice makes a `…V2` beside the `…V1`; the collector then reads both.

use std::borrow::Cow;

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, Discriminator, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{ArrayBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use vocabulary::EventKind;

use crate::fields::{FIELDS, Field, Shape};

/// One event of any kind, told apart by `kind`.
pub(crate) struct EventV1;

/// A body of events in JSON: one or a list.
pub(crate) struct EventsV1;

impl PartialSchema for EventV1 {
    fn schema() -> RefOr<Schema> {
        let mapping = EventKind::ALL.iter().map(|kind| (kind.as_str(), format!("#/components/schemas/{}", component(*kind))));
        let kinds = OneOfBuilder::new().description(Some("An event. `kind` says which."));
        let kinds = EventKind::ALL.iter().fold(kinds, |kinds, kind| kinds.item(Ref::from_schema_name(component(*kind))));
        Schema::OneOf(kinds.discriminator(Some(Discriminator::with_mapping("kind", mapping))).build()).into()
    }
}

impl ToSchema for EventV1 {
    fn name() -> Cow<'static, str> {
        "EventV1".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(EventKind::ALL.iter().map(|kind| (component(*kind), event(*kind))));
    }
}

impl PartialSchema for EventsV1 {
    fn schema() -> RefOr<Schema> {
        let list = ArrayBuilder::new().items(Ref::from_schema_name("EventV1"));
        Schema::OneOf(OneOfBuilder::new().item(Ref::from_schema_name("EventV1")).item(list).build()).into()
    }
}

impl ToSchema for EventsV1 {
    fn name() -> Cow<'static, str> {
        "EventsV1".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("EventV1".into(), EventV1::schema()));
        EventV1::schemas(schemas);
    }
}

/// `click` becomes `ClickEventV1`.
fn component(kind: EventKind) -> String {
    let word = kind.as_str();
    format!("{}{}EventV1", word[..1].to_uppercase(), &word[1..])
}

fn about(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Assignment => "A contact was given a variant: this, and not what happened later, makes them count.",
        EventKind::Message => "A message was handed over to a provider.",
        EventKind::Delivery => "What became of a message.",
        EventKind::Open => "A message was opened.",
        EventKind::Click => "A link was followed.",
        EventKind::Order => "Something was bought.",
        EventKind::Feedback => "The contact spoke.",
        EventKind::Activity => "The contact looked at a product or put it in the cart.",
    }
}

fn event(kind: EventKind) -> RefOr<Schema> {
    let fields = FIELDS.iter().filter(|field| field.belongs_to(kind));
    let object =
        ObjectBuilder::new().description(Some(about(kind))).additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let object = fields.fold(object, |object, field| {
        let object = object.property(field.name, property(field, kind));
        if field.required { object.required(field.name) } else { object }
    });
    Schema::Object(object.build()).into()
}

fn property(field: &Field, kind: EventKind) -> ObjectBuilder {
    let typed = |kind: Type| ObjectBuilder::new().schema_type(SchemaType::new(kind)).description(Some(field.about));
    match field.shape {
        Shape::Word(_) if field.name == "kind" => typed(Type::String).enum_values(Some([kind.as_str()])),
        Shape::Word(words) => typed(Type::String).enum_values(Some(words())),
        Shape::Text => typed(Type::String),
        Shape::Digits => typed(Type::String).pattern(Some("^[1-9][0-9]*$")),
        Shape::Time => typed(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        Shape::Flag => typed(Type::Boolean).default(Some(Value::Bool(false))),
        Shape::Number => typed(Type::Number),
        Shape::Decimal => typed(Type::Number).schema_type(SchemaType::from_iter([Type::Number, Type::String])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_fields() {
        let properties = |kind| serde_json::to_value(event(kind)).unwrap();
        let click = properties(EventKind::Click);
        assert_eq!(click["properties"]["kind"]["enum"], serde_json::json!(["click"]));
        assert!(click["properties"]["url"].is_object());
        assert!(click["properties"]["amount"].is_null());
        assert_eq!(click["additionalProperties"], false);
        let order = properties(EventKind::Order);
        assert_eq!(order["required"], serde_json::json!(["event_id", "kind", "event_time", "order_id", "amount"]));
        assert_eq!(order["properties"]["amount"]["type"], serde_json::json!(["number", "string"]));
    }

    #[test]
    fn kinds_are_told_apart() {
        let schema = serde_json::to_value(EventV1::schema()).unwrap();
        assert_eq!(schema["discriminator"]["mapping"]["order"], "#/components/schemas/OrderEventV1");
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), EventKind::ALL.len());
    }
}
