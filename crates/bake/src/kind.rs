//! Types of variables: how one is written, and what becomes of a value that is to have it.

use std::collections::BTreeMap;

use archipel_dockerfile::csv_fields;
use hcl_edit::expr::{Expression, ObjectKey};

use crate::fault::{Result, fault};
use crate::value::Value;

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Any,
    String,
    Number,
    Bool,
    List(Box<Kind>),
    Set(Box<Kind>),
    Map(Box<Kind>),
    Tuple(Vec<Kind>),
    /// Each with whether it may be missing.
    Object(BTreeMap<String, (Kind, bool)>),
}

impl Kind {
    /// `string`, `list(string)`, `object({a = string})`, ...
    pub(crate) fn read(expression: &Expression) -> Result<Self> {
        let wrong =
            || fault("a type is required: string, number, bool, list(..), set(..), map(..), object({..}), tuple([..])");
        match expression {
            Expression::Variable(name) => match name.value().as_str() {
                "string" => Ok(Self::String),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "any" => Ok(Self::Any),
                other => Err(wrong().propose(other, ["string", "number", "bool", "any"])),
            },
            // In JSON a type is a text.
            Expression::String(text) => match text.value().parse::<Expression>() {
                Ok(inner @ (Expression::Variable(_) | Expression::FuncCall(_))) => Self::read(&inner),
                _ => Err(wrong()),
            },
            Expression::FuncCall(call) => {
                let arguments: Vec<_> = call.args.iter().collect();
                let [inner] = arguments[..] else { return Err(wrong()) };
                match (call.name.name.value().as_str(), inner) {
                    ("list", inner) => Ok(Self::List(Box::new(Self::read(inner)?))),
                    ("set", inner) => Ok(Self::Set(Box::new(Self::read(inner)?))),
                    ("map", inner) => Ok(Self::Map(Box::new(Self::read(inner)?))),
                    ("tuple", Expression::Array(items)) => {
                        Ok(Self::Tuple(items.iter().map(Self::read).collect::<Result<_>>()?))
                    }
                    ("object", Expression::Object(object)) => {
                        let mut fields = BTreeMap::new();
                        for (key, value) in object.iter() {
                            let ObjectKey::Ident(name) = key else { return Err(wrong()) };
                            fields.insert(name.to_string(), Self::field(value.expr())?);
                        }
                        Ok(Self::Object(fields))
                    }
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }

    fn field(expression: &Expression) -> Result<(Self, bool)> {
        if let Expression::FuncCall(call) = expression
            && call.name.name.value().as_str() == "optional"
            && let Some(inner) = call.args.iter().next()
        {
            return Ok((Self::read(inner)?, true));
        }
        Ok((Self::read(expression)?, false))
    }

    pub(crate) fn is_primitive(&self) -> bool {
        matches!(self, Self::String | Self::Number | Self::Bool)
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Any => "any type".into(),
            Self::String => "string".into(),
            Self::Number => "number".into(),
            Self::Bool => "bool".into(),
            Self::List(inner) => format!("list of {}", inner.name()),
            Self::Set(inner) => format!("set of {}", inner.name()),
            Self::Map(inner) => format!("map of {}", inner.name()),
            Self::Tuple(_) => "tuple".into(),
            Self::Object(_) => "object".into(),
        }
    }

    /// A value of this type, made of one that can be.
    pub(crate) fn convert(&self, value: Value) -> Result<Value> {
        let wrong = |value: &Value| fault(format!("a {} is required, and this is a {}", self.name(), value.kind()));
        match (self, value) {
            (Self::Any, value) | (_, value @ Value::Null) => Ok(value),
            (Self::String, value) => value.text().map(Value::String),
            (Self::Number, value) => value.number().map(Value::Number),
            (Self::Bool, value) => value.bool().map(Value::Bool),
            (Self::List(inner), Value::List(items)) => items.into_iter().map(|item| inner.convert(item)).collect(),
            (Self::Set(inner), Value::List(items)) => {
                Ok(set(items.into_iter().map(|item| inner.convert(item)).collect::<Result<_>>()?))
            }
            (Self::Map(inner), Value::Map(items)) => {
                let of = |(key, item)| Ok((key, inner.convert(item)?));
                items.into_iter().map(of).collect::<Result<_>>().map(Value::Map)
            }
            (Self::Tuple(kinds), Value::List(items)) if kinds.len() == items.len() => {
                kinds.iter().zip(items).map(|(kind, item)| kind.convert(item)).collect()
            }
            (Self::Object(fields), Value::Map(mut items)) => {
                let mut object = BTreeMap::new();
                for (name, (kind, optional)) in fields {
                    match items.remove(name) {
                        Some(item) => drop(object.insert(name.clone(), kind.convert(item)?)),
                        None if *optional => drop(object.insert(name.clone(), Value::Null)),
                        None => return Err(fault(format!("the attribute `{name}` is required"))),
                    }
                }
                Ok(Value::Map(object))
            }
            (_, value) => Err(wrong(&value)),
        }
    }

    /// A value from the environment or `--var`: text, or fields with commas between them.
    pub(crate) fn parse(&self, text: &str) -> Result<Value> {
        let inner = |kind: &Self, field: &str| match kind.is_primitive() {
            true => kind.parse(field),
            false => Err(fault(format!("a {} cannot be read from a text: set the variable NAME_JSON", self.name()))),
        };
        let fields = || csv_fields(text).map_err(fault);
        match self {
            Self::Any | Self::String => Ok(text.into()),
            // As Go reads it from a text, which is more than HCL does.
            Self::Bool => match text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
                _ => Err(fault(format!("`{text}` is not true or false"))),
            },
            Self::Number => {
                Value::from(text).number().map(Value::Number).map_err(|_| fault(format!("`{text}` is not a number")))
            }
            Self::List(kind) => fields()?.iter().map(|field| inner(kind, field)).collect(),
            Self::Set(kind) => Ok(set(fields()?.iter().map(|field| inner(kind, field)).collect::<Result<_>>()?)),
            Self::Tuple(kinds) => {
                let fields = fields()?;
                if fields.len() != kinds.len() {
                    return Err(fault(format!("{} values are required, and these are {}", kinds.len(), fields.len())));
                }
                kinds.iter().zip(&fields).map(|(kind, field)| inner(kind, field)).collect()
            }
            Self::Map(kind) => {
                let mut map = BTreeMap::new();
                for field in fields()? {
                    let (key, value) =
                        field.split_once(':').ok_or_else(|| fault(format!("`{field}` should be KEY:VALUE")))?;
                    map.insert(key.to_owned(), inner(kind, value)?);
                }
                Ok(Value::Map(map))
            }
            Self::Object(_) => Err(fault("an object cannot be read from a text: set the variable NAME_JSON")),
        }
    }
}

/// Each value once, in order.
pub(crate) fn set(items: Vec<Value>) -> Value {
    let mut once: Vec<Value> = Vec::new();
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once.sort_by(compare);
    Value::List(once)
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        // Others have no order; they stay as they came.
        _ => std::cmp::Ordering::Equal,
    }
}
