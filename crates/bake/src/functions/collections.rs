//! Lists, maps and sets.

use std::collections::BTreeMap;

use super::{Function, exactly};
use crate::Facts;
use crate::eval::element;
use crate::fault::{Result, fault};
use crate::kind::set;
use crate::value::Value;

/// The longest list that `range` and `setproduct` make.
const MAX_ITEMS: usize = 1024;

pub(super) const TABLE: &[(&str, Function)] = &[
    ("chunklist", |_, a| {
        let [list, size] = exactly(a)?;
        let list = list.list()?;
        match usize::try_from(size.whole()?) {
            Ok(0) => Ok(Value::List(vec![Value::List(list.to_vec())])),
            Ok(size) => Ok(list.chunks(size).map(|chunk| Value::List(chunk.to_vec())).collect()),
            Err(_) => Err(fault("a size below zero")),
        }
    }),
    ("coalesce", |_, a| {
        a.iter().find(|value| **value != Value::Null).cloned().ok_or_else(|| fault("all arguments are null"))
    }),
    ("coalescelist", |_, a| {
        let full = |value: &&Value| matches!(value, Value::List(items) if !items.is_empty());
        a.iter().find(full).cloned().ok_or_else(|| fault("all lists are empty"))
    }),
    ("compact", |_, a| {
        let [list] = exactly(a)?;
        let empty =
            |value: &Value| matches!(value, Value::Null) || matches!(value, Value::String(text) if text.is_empty());
        Ok(list.list()?.iter().filter(|value| !empty(value)).cloned().collect())
    }),
    ("concat", |_, a| {
        let lists = a.iter().map(Value::list).collect::<Result<Vec<_>>>()?;
        Ok(lists.into_iter().flatten().cloned().collect())
    }),
    ("contains", |_, a| exactly(a).and_then(|[list, value]| Ok(list.list()?.contains(value).into()))),
    ("distinct", |_, a| {
        let mut once: Vec<Value> = Vec::new();
        let [list] = exactly(a)?;
        for item in list.list()? {
            if !once.contains(item) {
                once.push(item.clone());
            }
        }
        Ok(Value::List(once))
    }),
    ("element", |_, a| {
        let [list, index] = exactly(a)?;
        let (list, index) = (list.list()?, index.whole()?);
        if list.is_empty() {
            return Err(fault("the list is empty"));
        }
        Ok(list[index.rem_euclid(list.len() as i64) as usize].clone())
    }),
    ("flatten", |_, a| exactly(a).and_then(|[list]| Ok(Value::List(flat(list.list()?))))),
    ("hasindex", |_, a| exactly(a).map(|[list, key]| element(list, key).is_ok().into())),
    ("index", |_, a| exactly(a).and_then(|[list, key]| element(list, key))),
    ("indexof", |_, a| {
        let [list, value] = exactly(a)?;
        let place = list.list()?.iter().position(|item| item == value);
        place.map(|place| Value::Number(place as f64)).ok_or_else(|| fault("the list has no such item"))
    }),
    ("keys", |_, a| exactly(a).and_then(|[map]| Ok(map.map()?.keys().map(|key| Value::from(key.as_str())).collect()))),
    ("length", |_, a| {
        let [value] = exactly(a)?;
        let length = match value {
            Value::Map(items) => items.len(),
            other => other.list()?.len(),
        };
        Ok(Value::Number(length as f64))
    }),
    ("lookup", |_, a| match a {
        [map, key] => element(map, key),
        [map, key, default] => Ok(map.map()?.get(&key.text()?).unwrap_or(default).clone()),
        _ => Err(fault("a map, a key and a default are required")),
    }),
    ("merge", |_, a| {
        let mut merged = BTreeMap::new();
        for map in a.iter().filter(|map| **map != Value::Null) {
            merged.extend(map.map()?.clone());
        }
        Ok(Value::Map(merged))
    }),
    ("range", range),
    ("reverselist", |_, a| exactly(a).and_then(|[list]| Ok(list.list()?.iter().rev().cloned().collect()))),
    ("sethaselement", |_, a| exactly(a).and_then(|[list, value]| Ok(list.list()?.contains(value).into()))),
    ("setintersection", |_, a| fold(a, |all, next| all.into_iter().filter(|item| next.contains(item)).collect())),
    ("setproduct", product),
    ("setsubtract", |_, a| fold(a, |all, next| all.into_iter().filter(|item| !next.contains(item)).collect())),
    ("setsymmetricdifference", |_, a| {
        fold(a, |all, next| {
            let only_next: Vec<Value> = next.iter().filter(|item| !all.contains(item)).cloned().collect();
            all.into_iter().filter(|item| !next.contains(item)).chain(only_next).collect()
        })
    }),
    ("setunion", |_, a| fold(a, |all, next| all.into_iter().chain(next.iter().cloned()).collect())),
    ("slice", |_, a| {
        let [list, start, end] = exactly(a)?;
        let (list, start, end) = (list.list()?, start.whole()?, end.whole()?);
        let part = usize::try_from(start).ok().zip(usize::try_from(end).ok()).and_then(|(s, e)| list.get(s..e));
        part.map(|part| Value::List(part.to_vec()))
            .ok_or_else(|| fault(format!("{start} to {end} is no part of a list of {}", list.len())))
    }),
    ("sort", |_, a| {
        let [list] = exactly(a)?;
        let mut texts = list.list()?.iter().map(Value::text).collect::<Result<Vec<_>>>()?;
        texts.sort();
        Ok(texts.into_iter().map(Value::String).collect())
    }),
    ("values", |_, a| exactly(a).and_then(|[map]| Ok(map.map()?.values().cloned().collect()))),
    ("zipmap", |_, a| {
        let [keys, values] = exactly(a)?;
        let (keys, values) = (keys.list()?, values.list()?);
        if keys.len() != values.len() {
            return Err(fault(format!("{} keys, and {} values", keys.len(), values.len())));
        }
        let pair = |(key, value): (&Value, &Value)| Ok((key.text()?, value.clone()));
        keys.iter().zip(values).map(pair).collect::<Result<_>>().map(Value::Map)
    }),
];

fn flat(list: &[Value]) -> Vec<Value> {
    let part = |item: &Value| match item {
        Value::List(items) => flat(items),
        other => vec![other.clone()],
    };
    list.iter().flat_map(part).collect()
}

fn fold(arguments: &[Value], f: impl Fn(Vec<Value>, &[Value]) -> Vec<Value>) -> Result<Value> {
    let Some((first, rest)) = arguments.split_first() else { return Err(fault("at least one set is required")) };
    let mut all = first.list()?.to_vec();
    for next in rest {
        all = f(all, next.list()?);
    }
    Ok(set(all))
}

fn product(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let mut all: Vec<Vec<Value>> = vec![Vec::new()];
    for list in arguments {
        let list = list.list()?;
        if all.len().saturating_mul(list.len()) > MAX_ITEMS {
            return Err(fault(format!("this would be more than {MAX_ITEMS} combinations")));
        }
        all = all
            .iter()
            .flat_map(|head| list.iter().map(|item| [head.as_slice(), std::slice::from_ref(item)].concat()))
            .collect();
    }
    Ok(all.into_iter().map(Value::List).collect())
}

fn range(_: &Facts, arguments: &[Value]) -> Result<Value> {
    let numbers = arguments.iter().map(Value::number).collect::<Result<Vec<_>>>()?;
    let (start, end, step) = match numbers[..] {
        [end] => (0.0, end, if end < 0.0 { -1.0 } else { 1.0 }),
        [start, end] => (start, end, if end < start { -1.0 } else { 1.0 }),
        [start, end, step] => (start, end, step),
        _ => return Err(fault("one to three numbers are required")),
    };
    if step == 0.0 || (step > 0.0) != (end >= start) && start != end {
        return Err(fault("the step does not lead from the start to the end"));
    }
    let mut items = Vec::new();
    let mut next = start;
    while if step > 0.0 { next < end } else { next > end } {
        if items.len() == MAX_ITEMS {
            return Err(fault(format!("this would be more than {MAX_ITEMS} numbers")));
        }
        items.push(Value::Number(next));
        next += step;
    }
    Ok(Value::List(items))
}
