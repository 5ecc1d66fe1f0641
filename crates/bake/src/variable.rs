//! `variable NAME { default = .., type = .., validation {..} }`.

use hcl_edit::expr::Expression;

use crate::fault::{Result, Span, fault};
use crate::kind::Kind;
use crate::source::{Attribute, Block, Expr};
use crate::value::Value;
use crate::world::{World, only};

/// What a variable is, before it has a value.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) span: Option<Span>,
    default: Option<Expr>,
    kind: Option<Kind>,
    description: Option<Expr>,
    validations: Vec<(Attribute, Attribute)>,
}

/// A variable and its value, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its type, where one was said.
    pub kind: String,
    /// Its value; `None` for null.
    pub value: Option<String>,
}

impl Variable {
    pub(crate) fn read(block: Block) -> Result<Self> {
        only(&block, &["default", "type", "description", "validation"])?;
        let expression = |name: &str| block.attribute(name).map(|attribute| attribute.value.clone());
        let kind = match expression("type").filter(|kind| !matches!(kind.expression, Expression::Null(_))) {
            Some(kind) => Some(Kind::read(&kind.expression).map_err(|e| e.at(kind.span()))?),
            None => None,
        };
        let mut validations = Vec::new();
        for rule in &block.blocks {
            only(rule, &["condition", "error_message"])?;
            let required = |name: &str| {
                let found = rule.attribute(name).cloned();
                found.ok_or_else(|| fault(format!("a validation needs `{name}`")).at(rule.span.clone()))
            };
            validations.push((required("condition")?, required("error_message")?));
        }
        Ok(Self {
            default: expression("default"),
            kind,
            description: expression("description"),
            validations,
            span: block.span,
        })
    }

    /// Its value: the default, unless the caller has another. An attribute of the same name is a default too.
    pub(crate) fn value(&self, world: &World<'_>, name: &str, attribute: Option<&Expr>) -> Result<Value> {
        let place = || self.span.clone();
        let given = self.given(world, name);
        let default = match attribute.or(self.default.as_ref()) {
            Some(default) => {
                let value = world.eval_top(default)?;
                Some(match &self.kind {
                    Some(kind) => kind.convert(value).map_err(|e| e.at(default.span()))?,
                    None => value,
                })
            }
            None => None,
        };
        let Some((text, is_json)) = given else {
            // One that has a type and no value is null, and a text otherwise.
            return Ok(default.unwrap_or(if self.kind.is_some() { Value::Null } else { Value::String(String::new()) }));
        };
        let read = match (&self.kind, &default) {
            (Some(kind), _) if is_json => serde_json::from_str(&text)
                .map_err(|e| fault(format!("this is not JSON: {e}")))
                .and_then(|json| kind.convert(Value::from_json(&json))),
            (Some(kind), _) => kind.parse(&text),
            (None, None | Some(Value::Null | Value::String(_))) => Ok(Value::String(text)),
            (None, Some(Value::Bool(_))) => Kind::Bool.parse(&text),
            (None, Some(Value::Number(_))) => Kind::Number.parse(&text),
            (None, Some(other)) => Err(fault(format!("a {} without a type takes no other value", other.kind()))),
        };
        read.map_err(|e| e.named(name).at(place()))
    }

    /// The value that the caller has, and whether it is JSON: that of `NAME_JSON`.
    fn given(&self, world: &World<'_>, name: &str) -> Option<(String, bool)> {
        let plain = (world.lookup)(name);
        let json_name = format!("{name}_JSON");
        if (plain.is_none() || self.kind.is_some())
            && !world.is_variable(&json_name)
            && let Some(json) = (world.lookup)(&json_name)
        {
            return Some((json, true));
        }
        plain.map(|text| (text, false))
    }

    /// Asks its rules.
    pub(crate) fn validate(&self, world: &World<'_>, name: &str) -> Result<()> {
        for (condition, message) in &self.validations {
            let place = || condition.value.span();
            if !world.eval_top(&condition.value)?.bool().map_err(|e| e.at(place()))? {
                let message = world.eval_top(&message.value)?.text().map_err(|e| e.at(message.value.span()))?;
                return Err(fault(message).named(name).at(place()));
            }
        }
        Ok(())
    }

    pub(crate) fn shown(&self, world: &World<'_>, name: &str) -> Result<Shown> {
        let value = world.variable(name)?;
        let description = match &self.description {
            Some(text) => world.eval_top(text)?.text().map_err(|e| e.at(text.span()))?,
            None => String::new(),
        };
        Ok(Shown {
            name: name.to_owned(),
            description,
            kind: self.kind.as_ref().map(Kind::name).unwrap_or_default(),
            value: match &value {
                Value::Null => None,
                Value::List(_) | Value::Map(_) => Some(crate::json::escaped(&value.to_json().to_string())),
                other => Some(other.text()?),
            },
        })
    }
}
