//! Values of expressions. HCL tells lists from tuples and maps from objects; nothing that ends in a target does.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::fault::{Result, fault};

/// A value. Maps are in the order of their keys, as HCL walks them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// What people call its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// As a string, as HCL converts what has parts no further.
    pub(crate) fn text(&self) -> Result<String> {
        match self {
            Self::Bool(value) => Ok(value.to_string()),
            Self::Number(value) => Ok(number_text(*value)),
            Self::String(value) => Ok(value.clone()),
            other => Err(fault(format!("a string is required, and this is a {}", other.kind()))),
        }
    }

    pub(crate) fn number(&self) -> Result<f64> {
        let number = match self {
            Self::Number(value) => Some(*value),
            Self::String(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
            _ => None,
        };
        number.ok_or_else(|| fault(format!("a number is required, and this is a {}", self.kind())))
    }

    /// A whole number.
    pub(crate) fn whole(&self) -> Result<i64> {
        let number = self.number()?;
        if number.fract() == 0.0 && number.abs() < 9e15 {
            return Ok(number as i64);
        }
        Err(fault(format!("a whole number is required, and this is {}", number_text(number))))
    }

    pub(crate) fn bool(&self) -> Result<bool> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::String(text) if text == "true" || text == "1" => Ok(true),
            Self::String(text) if text == "false" || text == "0" => Ok(false),
            other => Err(fault(format!("true or false is required, and this is a {}", other.kind()))),
        }
    }

    pub(crate) fn list(&self) -> Result<&[Self]> {
        match self {
            Self::List(items) => Ok(items),
            other => Err(fault(format!("a list is required, and this is a {}", other.kind()))),
        }
    }

    pub(crate) fn map(&self) -> Result<&BTreeMap<String, Self>> {
        match self {
            Self::Map(items) => Ok(items),
            other => Err(fault(format!("a map is required, and this is a {}", other.kind()))),
        }
    }

    pub(crate) fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => Self::Number(value.as_f64().unwrap_or_default()),
            Json::String(value) => Self::String(value.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(items) => {
                Self::Map(items.iter().map(|(key, value)| (key.clone(), Self::from_json(value))).collect())
            }
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(value) if value.fract() == 0.0 && value.abs() < 9e15 => Json::from(*value as i64),
            Self::Number(value) => Json::from(*value),
            Self::String(value) => Json::String(value.clone()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(items) => Json::Object(items.iter().map(|(key, value)| (key.clone(), value.to_json())).collect()),
        }
    }
}

/// Without an exponent, however large. HCL reckons in decimals where this reckons in halves, which shows after fifteen digits.
fn number_text(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let shown = value.to_string();
    if value.fract() == 0.0 || shown.chars().filter(char::is_ascii_digit).count() <= 16 {
        return shown;
    }
    format!("{value:.14e}").parse::<f64>().map_or(shown, |rounded| rounded.to_string())
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Self::List(items.into_iter().collect())
    }
}
