//! Evaluation of expressions: HCL's semantics over [`Value`]. Names that are not local to the expression are the [`World`]'s.

use std::collections::BTreeMap;

use hcl_edit::Span as _;
use hcl_edit::expr::{
    BinaryOperator, Conditional, Expression, ForExpr, FuncCall, Object, ObjectKey, Traversal, TraversalOperator,
    UnaryOperator,
};

use crate::fault::{Result, Span, fault};
use crate::value::Value;
use crate::world::World;
use crate::{functions, template};

/// The names that an expression sees beside the file's: of a `for`, of a function's parameters, of a matrix.
#[derive(Debug)]
pub(crate) struct Scope<'s> {
    pub(crate) file: usize,
    pub(crate) parent: Option<&'s Scope<'s>>,
    pub(crate) names: Vec<(String, Value)>,
}

impl<'s> Scope<'s> {
    /// The outermost of a file.
    pub(crate) fn of(file: usize) -> Self {
        Self { file, parent: None, names: Vec::new() }
    }

    pub(crate) fn with(&'s self, names: Vec<(String, Value)>) -> Scope<'s> {
        Scope { file: self.file, parent: Some(self), names }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let own = self.names.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
        own.or_else(|| self.parent.and_then(|parent| parent.get(name)))
    }

    pub(crate) fn span(&self, bytes: Option<std::ops::Range<usize>>) -> Option<Span> {
        bytes.map(|bytes| Span { file: self.file, bytes })
    }
}

impl World<'_> {
    /// The value of an expression. What is wrong gets the place of the innermost expression that it is in.
    pub(crate) fn eval(&self, expression: &Expression, scope: &Scope<'_>) -> Result<Value> {
        let place = || scope.span(expression.span());
        let _deeper = self.enter().map_err(|e| e.at(place()))?;
        self.eval_inner(expression, scope).map_err(|e| e.at(place()))
    }

    fn eval_inner(&self, expression: &Expression, scope: &Scope<'_>) -> Result<Value> {
        match expression {
            Expression::Null(_) => Ok(Value::Null),
            Expression::Bool(value) => Ok(Value::Bool(*value.value())),
            Expression::Number(value) => Ok(Value::Number(value.value().as_f64().unwrap_or_default())),
            Expression::String(value) => Ok(Value::String(value.value().to_string())),
            Expression::Array(array) => array.iter().map(|item| self.eval(item, scope)).collect(),
            Expression::Object(object) => self.object(object, scope),
            Expression::StringTemplate(parts) => template::string(self, parts, scope),
            Expression::HeredocTemplate(heredoc) => {
                template::heredoc(self, &heredoc.template, scope).map(Value::String)
            }
            Expression::Parenthesis(inner) => self.eval(inner.inner(), scope),
            Expression::Variable(name) => self.name(name.value(), scope),
            Expression::Conditional(conditional) => self.conditional(conditional, scope),
            Expression::FuncCall(call) => self.call(call, scope),
            Expression::Traversal(traversal) => self.traversal(traversal, scope),
            Expression::UnaryOp(op) => {
                let value = self.eval(&op.expr, scope)?;
                match op.operator.value() {
                    UnaryOperator::Neg => Ok(Value::Number(-value.number()?)),
                    UnaryOperator::Not => Ok(Value::Bool(!value.bool()?)),
                }
            }
            Expression::BinaryOp(op) => {
                let (left, right) = (self.eval(&op.lhs_expr, scope)?, self.eval(&op.rhs_expr, scope)?);
                binary(*op.operator.value(), &left, &right)
            }
            Expression::ForExpr(each) => self.for_each(each, scope),
        }
    }

    fn name(&self, name: &str, scope: &Scope<'_>) -> Result<Value> {
        match scope.get(name) {
            Some(value) => Ok(value.clone()),
            None => self.variable(name),
        }
    }

    fn object(&self, object: &Object, scope: &Scope<'_>) -> Result<Value> {
        let mut items = BTreeMap::new();
        for (key, value) in object.iter() {
            let key = match key {
                ObjectKey::Ident(ident) => ident.to_string(),
                // A plain name is itself, and in parentheses it is a variable.
                ObjectKey::Expression(Expression::Variable(name)) => name.to_string(),
                ObjectKey::Expression(key) => {
                    self.eval(key, scope)?.text().map_err(|e| e.at(scope.span(key.span())))?
                }
            };
            items.insert(key, self.eval(value.expr(), scope)?);
        }
        Ok(Value::Map(items))
    }

    fn conditional(&self, conditional: &Conditional, scope: &Scope<'_>) -> Result<Value> {
        let condition = self.eval(&conditional.cond_expr, scope)?;
        let condition = condition.bool().map_err(|e| e.at(scope.span(conditional.cond_expr.span())))?;
        let (taken, other) = match condition {
            true => (&conditional.true_expr, &conditional.false_expr),
            false => (&conditional.false_expr, &conditional.true_expr),
        };
        let taken = self.eval(taken, scope)?;
        // Both sides have one type; of two that differ it is a string.
        Ok(match (&taken, self.eval(other, scope)) {
            (Value::Number(_) | Value::Bool(_), Ok(Value::String(_))) => Value::String(taken.text()?),
            _ => taken,
        })
    }

    fn call(&self, call: &FuncCall, scope: &Scope<'_>) -> Result<Value> {
        let name = call.name.name.value().to_string();
        let place = || scope.span(call.name.name.span());
        if call.name.is_namespaced() {
            return Err(fault("functions have no namespaces here").at(place()));
        }
        let arguments: Vec<&Expression> = call.args.iter().collect();
        match name.as_str() {
            // These three look at what an argument is, or whether it has a value at all.
            "try" => return self.first_that_works(&arguments, scope),
            "can" => return Ok(Value::Bool(arguments.iter().all(|argument| self.eval(argument, scope).is_ok()))),
            "convert" => {
                let [value, kind] = arguments[..] else { return Err(fault("`convert` takes a value and a type")) };
                let kind = crate::kind::Kind::read(kind).map_err(|e| e.at(scope.span(kind.span())))?;
                return kind.convert(self.eval(value, scope)?);
            }
            _ => {}
        }
        let mut values = arguments.iter().map(|argument| self.eval(argument, scope)).collect::<Result<Vec<_>>>()?;
        if call.args.expand_final()
            && let Some(last) = values.pop()
        {
            values.extend_from_slice(last.list()?);
        }
        if self.has_function(&name) {
            return self.call_own(&name, values).map_err(|e| e.at(place()));
        }
        match functions::find(&name) {
            Some(function) => {
                function(&self.facts, &values).map_err(|e| e.named(&name).at(scope.span(call_span(call))))
            }
            None => Err(functions::unknown(&name, self.function_names()).at(place())),
        }
    }

    fn first_that_works(&self, arguments: &[&Expression], scope: &Scope<'_>) -> Result<Value> {
        let mut last = fault("`try` takes at least one argument");
        for argument in arguments {
            match self.eval(argument, scope) {
                Ok(value) => return Ok(value),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn traversal(&self, traversal: &Traversal, scope: &Scope<'_>) -> Result<Value> {
        let operators: Vec<&TraversalOperator> = traversal.operators.iter().map(|o| o.value()).collect();
        // `target.NAME.attribute` is an attribute of a block, and only that is looked at: so blocks may name each other.
        if let (Expression::Variable(root), Some(TraversalOperator::GetAttr(name))) =
            (&traversal.expr, operators.first())
            && scope.get(root.value()).is_none()
            && matches!(root.value().as_str(), "target" | "group")
        {
            let (kind, name) = (root.value().as_str(), name.value().as_str());
            return match operators.get(1) {
                Some(TraversalOperator::GetAttr(attribute)) => {
                    let value = self.block_attribute(kind, name, attribute.value())?;
                    self.walk(value, &operators[2..], scope)
                }
                _ => self.walk(self.block_value(kind, name)?, &operators[1..], scope),
            };
        }
        let value = self.eval(&traversal.expr, scope)?;
        self.walk(value, &operators, scope)
    }

    fn walk(&self, value: Value, operators: &[&TraversalOperator], scope: &Scope<'_>) -> Result<Value> {
        let Some((operator, rest)) = operators.split_first() else { return Ok(value) };
        match operator {
            TraversalOperator::GetAttr(name) => {
                let value = attribute(&value, name.value()).map_err(|e| e.at(scope.span(name.span())))?;
                self.walk(value, rest, scope)
            }
            TraversalOperator::LegacyIndex(index) => {
                self.walk(element(&value, &Value::Number(*index.value() as f64))?, rest, scope)
            }
            TraversalOperator::Index(key) => {
                let found = element(&value, &self.eval(key, scope)?).map_err(|e| e.at(scope.span(key.span())))?;
                self.walk(found, rest, scope)
            }
            TraversalOperator::FullSplat(_) => {
                each_of(value).into_iter().map(|one| self.walk(one, rest, scope)).collect()
            }
            // Only attributes belong to this one; what comes after them is about the list.
            TraversalOperator::AttrSplat(_) => {
                let ends = |o: &&TraversalOperator| !matches!(o, TraversalOperator::GetAttr(_));
                let (own, after) = rest.split_at(rest.iter().position(ends).unwrap_or(rest.len()));
                let all = each_of(value).into_iter().map(|one| self.walk(one, own, scope)).collect::<Result<_>>()?;
                self.walk(all, after, scope)
            }
        }
    }

    fn for_each(&self, each: &ForExpr, scope: &Scope<'_>) -> Result<Value> {
        let collection = self.eval(&each.intro.collection_expr, scope)?;
        let pairs = pairs(&collection).map_err(|e| e.at(scope.span(each.intro.collection_expr.span())))?;
        let (mut list, mut map) = (Vec::new(), BTreeMap::<String, Value>::new());
        for (key, value) in pairs {
            let key_name = each.intro.key_var.as_ref().map(|name| (name.to_string(), key));
            let names = key_name.into_iter().chain([(each.intro.value_var.to_string(), value)]).collect();
            let inner = scope.with(names);
            if let Some(condition) = &each.cond
                && !self.eval(&condition.expr, &inner)?.bool().map_err(|e| e.at(scope.span(condition.expr.span())))?
            {
                continue;
            }
            let value = self.eval(&each.value_expr, &inner)?;
            let Some(key_expr) = &each.key_expr else {
                list.push(value);
                continue;
            };
            let at = || scope.span(key_expr.span());
            let key = self.eval(key_expr, &inner)?.text().map_err(|e| e.at(at()))?;
            match (map.get_mut(&key), each.grouping) {
                (Some(Value::List(group)), true) => group.push(value),
                (_, true) => drop(map.insert(key, Value::List(vec![value]))),
                (Some(_), false) => return Err(fault(format!("two values for the key `{key}`")).at(at())),
                (None, false) => drop(map.insert(key, value)),
            }
        }
        Ok(if each.key_expr.is_some() { Value::Map(map) } else { Value::List(list) })
    }
}

fn call_span(call: &FuncCall) -> Option<std::ops::Range<usize>> {
    call.span().or_else(|| call.name.name.span())
}

/// Keys and values of a list or a map, as a `for` walks them.
pub(crate) fn pairs(collection: &Value) -> Result<Vec<(Value, Value)>> {
    match collection {
        Value::List(items) => {
            Ok(items.iter().enumerate().map(|(i, item)| (Value::Number(i as f64), item.clone())).collect())
        }
        Value::Map(items) => Ok(items.iter().map(|(key, item)| (Value::from(key.as_str()), item.clone())).collect()),
        other => Err(fault(format!("a list or a map is required, and this is a {}", other.kind()))),
    }
}

/// What a splat walks: nothing of nothing, and what is no list is a list of itself.
fn each_of(value: Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::List(items) => items,
        other => vec![other],
    }
}

fn attribute(value: &Value, name: &str) -> Result<Value> {
    let Value::Map(items) = value else {
        return Err(fault(format!("a {} has no attribute `{name}`", value.kind())));
    };
    let unknown = || fault(format!("there is no `{name}` in it")).propose(name, items.keys().map(String::as_str));
    items.get(name).cloned().ok_or_else(unknown)
}

/// `value[key]`.
pub(crate) fn element(value: &Value, key: &Value) -> Result<Value> {
    match value {
        Value::Map(_) => attribute(value, &key.text()?),
        Value::List(items) => {
            let index = key.whole()?;
            let found = usize::try_from(index).ok().and_then(|index| items.get(index));
            found.cloned().ok_or_else(|| fault(format!("there is no element {index}: the list has {}", items.len())))
        }
        other => Err(fault(format!("a {} has no elements", other.kind()))),
    }
}

/// Whether two are the same; what differs in kind does.
fn binary(operator: BinaryOperator, left: &Value, right: &Value) -> Result<Value> {
    use BinaryOperator as Op;
    let numbers = || Ok::<_, Box<crate::fault::Fault>>((left.number()?, right.number()?));
    Ok(match operator {
        Op::Eq => Value::Bool(left == right),
        Op::NotEq => Value::Bool(left != right),
        Op::And => Value::Bool(left.bool()? & right.bool()?),
        Op::Or => Value::Bool(left.bool()? | right.bool()?),
        Op::LessEq => numbers().map(|(l, r)| Value::Bool(l <= r))?,
        Op::GreaterEq => numbers().map(|(l, r)| Value::Bool(l >= r))?,
        Op::Less => numbers().map(|(l, r)| Value::Bool(l < r))?,
        Op::Greater => numbers().map(|(l, r)| Value::Bool(l > r))?,
        Op::Plus => numbers().map(|(l, r)| Value::Number(l + r))?,
        Op::Minus => numbers().map(|(l, r)| Value::Number(l - r))?,
        Op::Mul => numbers().map(|(l, r)| Value::Number(l * r))?,
        Op::Div | Op::Mod if right.number()? == 0.0 => return Err(fault("this divides by zero")),
        Op::Div => numbers().map(|(l, r)| Value::Number(l / r))?,
        Op::Mod => numbers().map(|(l, r)| Value::Number(l % r))?,
    })
}
