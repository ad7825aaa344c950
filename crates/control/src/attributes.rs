//! The types of the customer's own attributes: a value that is not of its type is refused where it comes in.

use std::collections::HashMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::contact_check::{FieldError, check_attribute_name, check_note};
use crate::store::{begin, commit, parsed};
use crate::{Control, ControlError};

vocabulary::words!(
    /// What the values of an attribute are.
    #[derive(Default)]
    AttributeType {
        /// Any text.
        #[default]
        Text = "text",
        /// A decimal number.
        Number = "number",
        /// True or false.
        Boolean = "boolean",
        /// A day, such as 2026-03-01.
        Date = "date",
    }
);

/// An attribute of the customer's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeRow {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(default, rename = "type")]
    pub kind: AttributeType,
    /// What it means, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// The types by name.
pub(crate) type Types = HashMap<String, AttributeType>;

impl AttributeType {
    /// A value in the form in which it is kept.
    pub(crate) fn read(self, value: &str) -> Result<String, String> {
        let value = value.trim();
        match self {
            Self::Text => Ok(value.to_owned()),
            Self::Number => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(value.to_owned()),
                _ => Err("is no number; write one such as 12.5".to_owned()),
            },
            Self::Boolean => match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Ok("true".to_owned()),
                "false" | "no" | "0" => Ok("false".to_owned()),
                _ => Err("is neither true nor false; write one of them".to_owned()),
            },
            Self::Date => {
                let day: Result<Date, _> = value.parse();
                day.map(|day| day.to_string()).map_err(|_| "is no day; write one such as 2026-03-01".to_owned())
            }
        }
    }
}

impl Control {
    /// Stores what type attributes have, all or none. Values that are there already stay as they are.
    ///
    /// # Errors
    /// [`ControlError::InvalidContact`] for a name or a note that cannot be kept.
    pub async fn put_attributes(&self, attributes: &[AttributeRow]) -> Result<(), ControlError> {
        for (index, attribute) in attributes.iter().enumerate() {
            let invalid = |source| ControlError::InvalidContact { row: index + 1, source };
            check_attribute_name(&attribute.name).map_err(|reason| invalid(FieldError::new("name", reason)))?;
            check_note("about", attribute.about.as_deref()).map_err(invalid)?;
        }
        let mut writer = self.writer().await;
        let mut transaction = begin(&mut writer).await?;
        for attribute in attributes {
            sqlx::query(
                "INSERT INTO attributes (name, type, about) VALUES ($1, $2, $3)
                 ON CONFLICT DO UPDATE SET type = excluded.type, about = excluded.about",
            )
            .bind(&attribute.name)
            .bind(attribute.kind.as_str())
            .bind(attribute.about.as_deref())
            .execute(&mut *transaction)
            .await
            .map_err(ControlError::query("storing an attribute's type"))?;
        }
        commit(transaction).await
    }

    /// The attributes whose type is known, by name.
    ///
    /// # Errors
    /// [`ControlError`] where the file cannot be read.
    pub async fn attributes(&self) -> Result<Vec<AttributeRow>, ControlError> {
        read(&mut *self.reader().await).await
    }
}

/// The types as they are now.
pub(crate) async fn read_types(connection: &mut SqliteConnection) -> Result<Types, ControlError> {
    Ok(read(connection).await?.into_iter().map(|row| (row.name, row.kind)).collect())
}

async fn read(connection: &mut SqliteConnection) -> Result<Vec<AttributeRow>, ControlError> {
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as("SELECT name, type, about FROM attributes ORDER BY name")
        .fetch_all(connection)
        .await
        .map_err(ControlError::query("reading the types of attributes"))?;
    let row = |(name, kind, about): (String, String, Option<String>)| {
        Ok(AttributeRow { name, kind: parsed("the type of an attribute", &kind, str::parse)?, about })
    };
    rows.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, contact};
    use crate::{Duplicates, NewContact};

    #[tokio::test]
    async fn values_of_another_type_are_refused_by_name() {
        let world = World::new();
        let control = world.open().await;
        let row = |name: &str, kind| AttributeRow { name: name.to_owned(), kind, about: None };
        let types =
            [row("points", AttributeType::Number), row("member", AttributeType::Boolean), row("since", AttributeType::Date)];
        control.put_attributes(&types).await.unwrap();
        let mut expect = types.to_vec();
        expect.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(control.attributes().await.unwrap(), expect);
        let put = async |pairs: &[(&str, &str)]| {
            let attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let profile = vocabulary::Profile { attributes, ..vocabulary::Profile::default() };
            let contact = NewContact { profile, ..contact("a") }.check().unwrap();
            let stored = control.upsert_contacts(&[contact], Duplicates::Merge).await.unwrap();
            stored.faults.first().map(|(_, fault)| fault.to_string())
        };
        assert_eq!(put(&[("points", "12.5"), ("member", "Yes"), ("since", "2026-03-01"), ("free", "any")]).await, None);
        assert_eq!(put(&[("points", "many")]).await.unwrap(), "attributes.points is no number; write one such as 12.5");
        assert_eq!(
            put(&[("member", "perhaps")]).await.unwrap(),
            "attributes.member is neither true nor false; write one of them"
        );
        assert_eq!(put(&[("since", "1.3.26")]).await.unwrap(), "attributes.since is no day; write one such as 2026-03-01");
        assert_eq!(put(&[("points", "")]).await, None, "nothing takes a value away");
        let known = control.contacts_after(None, 1).await.unwrap().pop().unwrap().profile.attributes;
        let known: Vec<_> = known.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(known, [("free", "any"), ("member", "true"), ("since", "2026-03-01")]);
    }
}
