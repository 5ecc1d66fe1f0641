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
        _ => {
            let mut text = String::new();
            Writer { world, by_line: false }.write(parts, (Strip::None, Strip::None), scope, &mut text)?;
            Ok(Value::String(text))
        }
    }
}

/// A text of whole lines.
pub(crate) fn heredoc(world: &World<'_>, parts: &Template, scope: &Scope<'_>) -> Result<String> {
    let mut text = String::new();
    Writer { world, by_line: true }.write(parts, (Strip::None, Strip::None), scope, &mut text)?;
    Ok(text)
}

struct Writer<'w, 'a> {
    world: &'w World<'a>,
    /// Whether `~` strips within the line that it is beside, as it does in heredocs.
    by_line: bool,
}

impl Writer<'_, '_> {
    /// `around` is what the sequences before and after these parts strip.
    fn write(&self, parts: &Template, around: (Strip, Strip), scope: &Scope<'_>, text: &mut String) -> Result<()> {
        for (i, part) in parts.iter().enumerate() {
            match part {
                Element::Literal(literal) => {
                    let mut literal = literal.as_str();
                    let before = i.checked_sub(1).and_then(|i| parts.get(i)).map_or(around.0, |part| sides(part).1);
                    let after = parts.get(i + 1).map_or(around.1, |next| sides(next).0);
                    if before.strip_end() {
                        let line = if self.by_line {
                            literal.find('\n').map_or(literal.len(), |at| at + 1)
                        } else {
                            literal.len()
                        };
                        let kept = literal[..line].trim_start().len();
                        literal = &literal[line - kept..];
                    }
                    if after.strip_start() {
                        let ended = literal.strip_suffix('\n').unwrap_or(literal);
                        let line = if self.by_line { ended.rfind('\n').map_or(0, |at| at + 1) } else { 0 };
                        literal = &literal[..line + literal[line..].trim_end().len()];
                    }
                    text.push_str(literal);
                }
                Element::Interpolation(inner) => {
                    let value = self.world.eval(&inner.expr, scope)?;
                    let shown = value.text().map_err(|_| {
                        fault(format!("a {} cannot be part of a text", value.kind())).at(scope.span(inner.expr.span()))
                    })?;
                    text.push_str(&shown);
                }
                Element::Directive(directive) => self.write_directive(directive, scope, text)?,
            }
        }
        Ok(())
    }

    fn write_directive(&self, directive: &Directive, scope: &Scope<'_>, text: &mut String) -> Result<()> {
        match directive {
            Directive::If(choice) => {
                let (start, end) = (&choice.if_expr, choice.endif_expr.strip);
                let condition = self.world.eval(&start.cond_expr, scope)?;
                if condition.bool().map_err(|e| e.at(scope.span(start.cond_expr.span())))? {
                    let after = choice.else_expr.as_ref().map_or(end, |other| other.strip);
                    return self.write(&start.template, (start.strip, after), scope, text);
                }
                match &choice.else_expr {
                    Some(other) => self.write(&other.template, (other.strip, end), scope, text),
                    None => Ok(()),
                }
            }
            Directive::For(each) => {
                let (start, end) = (&each.for_expr, each.endfor_expr.strip);
                let collection = self.world.eval(&start.collection_expr, scope)?;
                for (key, value) in pairs(&collection).map_err(|e| e.at(scope.span(start.collection_expr.span())))? {
                    let key = start.key_var.as_ref().map(|name| (name.to_string(), key));
                    let inner = scope.with(key.into_iter().chain([(start.value_var.to_string(), value)]).collect());
                    self.write(&start.template, (start.strip, end), &inner, text)?;
                }
                Ok(())
            }
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
