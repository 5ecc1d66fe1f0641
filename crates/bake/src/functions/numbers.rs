//! Numbers and truth.

use super::{Function, exactly};
use crate::fault::{Result, fault};
use crate::value::Value;

pub(super) const TABLE: &[(&str, Function)] = &[
    ("absolute", |_, a| one(a, f64::abs)),
    ("add", |_, a| two(a, |a, b| a + b)),
    ("and", |_, a| truths(a, |a, b| a & b)),
    ("ceil", |_, a| one(a, f64::ceil)),
    ("divide", |_, a| {
        nonzero(a)?;
        two(a, |a, b| a / b)
    }),
    ("equal", |_, a| exactly(a).map(|[a, b]| Value::Bool(a == b))),
    ("floor", |_, a| one(a, f64::floor)),
    ("greaterthan", |_, a| compare(a, |a, b| a > b)),
    ("greaterthanorequalto", |_, a| compare(a, |a, b| a >= b)),
    ("int", |_, a| one(a, f64::trunc)),
    ("lessthan", |_, a| compare(a, |a, b| a < b)),
    ("lessthanorequalto", |_, a| compare(a, |a, b| a <= b)),
    ("log", |_, a| two(a, f64::log)),
    ("max", |_, a| most(a, |a, b| a > b)),
    ("min", |_, a| most(a, |a, b| a < b)),
    ("modulo", |_, a| {
        nonzero(a)?;
        two(a, |a, b| a % b)
    }),
    ("multiply", |_, a| two(a, |a, b| a * b)),
    ("negate", |_, a| one(a, |a| -a)),
    ("not", |_, a| exactly(a).and_then(|[a]| Ok(Value::Bool(!a.bool()?)))),
    ("notequal", |_, a| exactly(a).map(|[a, b]| Value::Bool(a != b))),
    ("or", |_, a| truths(a, |a, b| a | b)),
    ("parseint", |_, a| {
        let [text, base] = exactly(a)?;
        let (text, base) = (text.text()?, base.whole()?);
        let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
        let base = base.ok_or_else(|| fault("a base from 2 to 36 is required"))?;
        let number = i64::from_str_radix(&text, base);
        number.map(|n| Value::Number(n as f64)).map_err(|_| fault(format!("`{text}` is not a number of base {base}")))
    }),
    ("pow", |_, a| two(a, f64::powf)),
    ("signum", |_, a| one(a, |a| if a == 0.0 { 0.0 } else { a.signum() })),
    ("subtract", |_, a| two(a, |a, b| a - b)),
];

fn one(arguments: &[Value], f: impl Fn(f64) -> f64) -> Result<Value> {
    let [a] = exactly(arguments)?;
    Ok(Value::Number(f(a.number()?)))
}

fn two(arguments: &[Value], f: impl Fn(f64, f64) -> f64) -> Result<Value> {
    let [a, b] = exactly(arguments)?;
    Ok(Value::Number(f(a.number()?, b.number()?)))
}

fn compare(arguments: &[Value], f: impl Fn(f64, f64) -> bool) -> Result<Value> {
    let [a, b] = exactly(arguments)?;
    Ok(Value::Bool(f(a.number()?, b.number()?)))
}

fn truths(arguments: &[Value], f: impl Fn(bool, bool) -> bool) -> Result<Value> {
    let [a, b] = exactly(arguments)?;
    Ok(Value::Bool(f(a.bool()?, b.bool()?)))
}

fn nonzero(arguments: &[Value]) -> Result<()> {
    let [_, by] = exactly(arguments)?;
    if by.number()? == 0.0 { Err(fault("this divides by zero")) } else { Ok(()) }
}

fn most(arguments: &[Value], better: impl Fn(f64, f64) -> bool) -> Result<Value> {
    let numbers = arguments.iter().map(Value::number).collect::<Result<Vec<_>>>()?;
    let best = numbers.into_iter().reduce(|best, next| if better(next, best) { next } else { best });
    best.map(Value::Number).ok_or_else(|| fault("at least one number is required"))
}
