//! Statistical methods as the API shows them.

use methods::{Field, Method};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A method with its explanation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Method)]
pub struct MethodView {
    /// What it is called by.
    #[schema(example = "fieller")]
    pub name: String,
    /// The family it belongs to.
    pub family: String,
    /// What it answers.
    pub summary: String,
    /// The formula.
    pub formula: String,
    /// Where the formula is from.
    pub reference: String,
    /// What goes in.
    pub inputs: Vec<MethodFieldView>,
    /// What comes out.
    pub outputs: Vec<MethodFieldView>,
    /// What makes it refuse to answer.
    pub refuses: String,
    /// An input that works.
    pub example: serde_json::Value,
}

/// One input or output of a method.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = MethodField)]
pub struct MethodFieldView {
    /// Its name.
    pub name: String,
    /// What it is, with its unit, its range and its default.
    pub about: String,
}

impl MethodView {
    /// The view of a method of that family.
    #[must_use]
    pub fn new(family: &str, method: &Method) -> Self {
        let fields = |fields: &[Field]| {
            let view = |field: &Field| MethodFieldView { name: field.name.to_owned(), about: field.about.to_owned() };
            fields.iter().map(view).collect()
        };
        Self {
            name: method.name.to_owned(),
            family: family.to_owned(),
            summary: method.summary.to_owned(),
            formula: method.formula.to_owned(),
            reference: method.reference.to_owned(),
            inputs: fields(method.inputs),
            outputs: fields(method.outputs),
            refuses: method.refuses.to_owned(),
            example: serde_json::from_str(method.example).unwrap_or_default(),
        }
    }
}

/// A question to a method.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[schema(as = Question)]
pub struct QuestionParams {
    /// Given back with the answer.
    #[serde(default)]
    pub id: serde_json::Value,
    /// The method's name.
    #[schema(example = "fieller")]
    pub method: String,
    /// Its inputs.
    pub input: serde_json::Value,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = StatisticalAnswer)]
pub struct AnswerView {
    /// As in the question.
    pub id: serde_json::Value,
    /// The outputs of the method; or `computable: false` and why.
    pub actual: Option<serde_json::Value>,
    /// Of many lines: why this one cannot be read.
    pub error: Option<serde_json::Value>,
}
