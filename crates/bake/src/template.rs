//! Templates: text with `${...}` and `%{ if ... }`, `%{ for ... }`.

use hcl_edit::Span as _;
use hcl_edit::template::{Directive, Element, Strip, Template};

use crate::eval::{Scope, pairs};
use crate::fault::{Result, fault};
use crate::value::Value;
use crate::world::World;

/// A quoted string. What is nothing but one `${...}` is that value, whatever its kind.
pub(crate) fn string(world: &World<'_>, parts: &Template, scope: &Scope<'_>) -> Result<Value> {
    match parts.as_single_element() {
        Some(Element::Interpolation(only)) => world.eval(&only.expr, scope),
        _ => text(world, parts, scope).map(Value::String),
    }
}

/// Text in any case.
pub(crate) fn text(world: &World<'_>, parts: &Template, scope: &Scope<'_>) -> Result<String> {
    let mut text = String::new();
    write(world, parts, (Strip::None, Strip::None), scope, &mut text)?;
    Ok(text)
}

/// `around` is what the sequences before and after these parts strip.
fn write(
    world: &World<'_>,
    parts: &Template,
    around: (Strip, Strip),
    scope: &Scope<'_>,
    text: &mut String,
) -> Result<()> {
    for (i, part) in parts.iter().enumerate() {
        match part {
            Element::Literal(literal) => {
                let mut literal = literal.as_str();
                let before = i.checked_sub(1).and_then(|i| parts.get(i)).map_or(around.0, |part| sides(part).1);
                let after = parts.get(i + 1).map_or(around.1, |next| sides(next).0);
                if before.strip_end() {
                    literal = literal.trim_start();
                }
                if after.strip_start() {
                    literal = literal.trim_end();
                }
                text.push_str(literal);
            }
            Element::Interpolation(inner) => {
                let value = world.eval(&inner.expr, scope)?;
                let shown = value.text().map_err(|_| {
                    fault(format!("a {} cannot be part of a text", value.kind())).at(scope.span(inner.expr.span()))
                })?;
                text.push_str(&shown);
            }
            Element::Directive(directive) => write_directive(world, directive, scope, text)?,
        }
    }
    Ok(())
}

fn write_directive(world: &World<'_>, directive: &Directive, scope: &Scope<'_>, text: &mut String) -> Result<()> {
    match directive {
        Directive::If(choice) => {
            let (start, end) = (&choice.if_expr, choice.endif_expr.strip);
            let condition = world.eval(&start.cond_expr, scope)?;
            if condition.bool().map_err(|e| e.at(scope.span(start.cond_expr.span())))? {
                let after = choice.else_expr.as_ref().map_or(end, |other| other.strip);
                return write(world, &start.template, (start.strip, after), scope, text);
            }
            match &choice.else_expr {
                Some(other) => write(world, &other.template, (other.strip, end), scope, text),
                None => Ok(()),
            }
        }
        Directive::For(each) => {
            let (start, end) = (&each.for_expr, each.endfor_expr.strip);
            let collection = world.eval(&start.collection_expr, scope)?;
            for (key, value) in pairs(&collection).map_err(|e| e.at(scope.span(start.collection_expr.span())))? {
                let key = start.key_var.as_ref().map(|name| (name.to_string(), key));
                let inner = scope.with(key.into_iter().chain([(start.value_var.to_string(), value)]).collect());
                write(world, &start.template, (start.strip, end), &inner, text)?;
            }
            Ok(())
        }
    }
}

/// What a part strips of the text before it, and of the text after it.
fn sides(part: &Element) -> (Strip, Strip) {
    match part {
        Element::Literal(_) => (Strip::None, Strip::None),
        Element::Interpolation(inner) => (inner.strip, inner.strip),
        Element::Directive(directive) => match &**directive {
            Directive::If(choice) => (choice.if_expr.strip, choice.endif_expr.strip),
            Directive::For(each) => (each.for_expr.strip, each.endfor_expr.strip),
        },
    }
}
