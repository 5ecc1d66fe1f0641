//! Everything that the files name: variables, functions, targets and groups. A value is made when it is first asked for, so names
//! may be used before they are written; one that needs itself is told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use hcl_edit::expr::Expression;

use crate::Facts;
use crate::eval::Scope;
use crate::fault::{Result, Span, fault};
use crate::function::Function;
use crate::source::{Attribute, Block, Expr, Source};
use crate::value::Value;
use crate::variable::Variable;

/// How deep expressions may lie in each other, over all that they call.
const MAX_DEPTH: usize = 200;

/// A block with one of the names that its matrix gives it, and what the matrix sets for it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) block: usize,
    pub(crate) matrix: Vec<(String, Value)>,
}

/// The files together.
pub(crate) struct World<'a> {
    pub(crate) facts: Facts,
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) variables: BTreeMap<String, Variable>,
    attributes: BTreeMap<String, Attribute>,
    functions: BTreeMap<String, Function>,
    /// Targets and groups, in the order of the files.
    pub(crate) blocks: Vec<Block>,
    pub(crate) named: RefCell<Vec<Named>>,
    /// Values that are known, and `None` for those that are being made.
    known: RefCell<HashMap<String, Option<Value>>>,
    depth: Cell<usize>,
}

/// One step deeper, until it is dropped.
#[derive(Debug)]
pub(crate) struct Deeper<'w>(&'w Cell<usize>);

impl Drop for Deeper<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<'a> World<'a> {
    /// Puts the files together: of two that say the same the later counts.
    pub(crate) fn new(sources: Vec<Source>, facts: Facts, lookup: &'a dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut world = Self {
            facts,
            lookup,
            variables: BTreeMap::new(),
            attributes: BTreeMap::new(),
            functions: BTreeMap::new(),
            blocks: Vec::new(),
            named: RefCell::default(),
            known: RefCell::default(),
            depth: Cell::new(0),
        };
        for source in sources {
            world.attributes.extend(source.attributes.into_iter().map(|one| (one.name.clone(), one)));
            for block in source.blocks {
                world.add(block)?;
            }
        }
        // These are the caller's, and nobody else's.
        for (name, value) in
            [("BAKE_CMD_CONTEXT", &world.facts.command_context), ("BAKE_LOCAL_PLATFORM", &world.facts.local_platform)]
        {
            world.variables.remove(name);
            world.known.borrow_mut().insert(name.to_owned(), Some(Value::String(value.clone())));
        }
        Ok(world)
    }

    fn add(&mut self, block: Block) -> Result<()> {
        let kinds = ["group", "target", "variable", "function"];
        if !kinds.contains(&block.kind.as_str()) {
            let wrong = fault(format!("there are no blocks of the kind `{}`", block.kind)).propose(&block.kind, kinds);
            return Err(wrong.at(block.span));
        }
        let [label] = &block.labels[..] else {
            return Err(fault(format!("a {} has one name: {} \"NAME\" {{..}}", block.kind, block.kind)).at(block.span));
        };
        let label = label.clone();
        match block.kind.as_str() {
            "variable" => drop(self.variables.insert(label, Variable::read(block)?)),
            "function" => drop(self.functions.insert(label, Function::read(block)?)),
            _ => self.blocks.push(block),
        }
        Ok(())
    }

    /// Counts how deep an evaluation is.
    pub(crate) fn enter(&self) -> Result<Deeper<'_>> {
        if self.depth.get() >= MAX_DEPTH {
            return Err(fault("this is nested too deeply, or calls itself"));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(Deeper(&self.depth))
    }

    /// The value of an attribute's expression, out of any block.
    pub(crate) fn eval_top(&self, value: &Expr) -> Result<Value> {
        self.eval(&value.expression, &Scope::of(value.file))
    }

    /// Makes a value once, and tells if it needs itself.
    fn once(&self, key: String, what: &str, make: impl FnOnce() -> Result<Value>) -> Result<Value> {
        match self.known.borrow().get(&key) {
            Some(Some(value)) => return Ok(value.clone()),
            Some(None) => return Err(fault(format!("{what} needs itself"))),
            None => {}
        }
        self.known.borrow_mut().insert(key.clone(), None);
        let made = make();
        match &made {
            Ok(value) => drop(self.known.borrow_mut().insert(key, Some(value.clone()))),
            // Who tries again (`try`) is told the same, not that it needs itself.
            Err(_) => drop(self.known.borrow_mut().remove(&key)),
        }
        made
    }

    /// A variable of the file, or an attribute at its top.
    pub(crate) fn variable(&self, name: &str) -> Result<Value> {
        self.once(name.to_owned(), &format!("the variable `{name}`"), || {
            match (self.attributes.get(name), self.variables.get(name)) {
                (attribute, Some(variable)) => variable.value(self, name, attribute.map(|attribute| &attribute.value)),
                (Some(attribute), None) => self.eval_top(&attribute.value),
                (None, None) => {
                    let known = self.variables.keys().chain(self.attributes.keys()).map(String::as_str);
                    Err(fault(format!("there is no variable `{name}`")).propose(name, known))
                }
            }
        })
    }

    pub(crate) fn is_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Evaluates what nobody asked for, so that what is wrong in it is told.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, variable) in &self.variables {
            self.variable(name).map_err(|e| e.at(variable.span.clone()))?;
        }
        for (name, variable) in &self.variables {
            variable.validate(self, name)?;
        }
        for (name, attribute) in &self.attributes {
            self.variable(name).map_err(|e| e.at(attribute.span.clone()))?;
        }
        Ok(())
    }

    pub(crate) fn has_function(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// Calls a function of the file.
    pub(crate) fn call_own(&self, name: &str, arguments: Vec<Value>) -> Result<Value> {
        match self.functions.get(name) {
            Some(function) => function.call(self, name, arguments),
            None => Err(fault(format!("there is no function `{name}`"))),
        }
    }

    /// `target.NAME.ATTRIBUTE`. What is not set is null.
    pub(crate) fn block_attribute(&self, kind: &str, name: &str, attribute: &str) -> Result<Value> {
        if attribute == "name" {
            return Ok(name.into());
        }
        let key = format!("{kind}.{name}.{attribute}");
        let named = self.named.borrow();
        let of_name = |named: &&Named| named.name == name && self.blocks[named.block].kind == kind;
        if !named.iter().any(|named| of_name(&named)) {
            let known = named.iter().filter(|named| self.blocks[named.block].kind == kind).map(|named| &*named.name);
            return Err(fault(format!("there is no {kind} `{name}`")).propose(name, known));
        }
        let set = named.iter().rev().filter(of_name).find_map(|named| {
            let attribute = self.blocks[named.block].attribute(attribute)?;
            Some((attribute.value.clone(), named.matrix.clone()))
        });
        drop(named);
        let Some((value, names)) = set else { return Ok(Value::Null) };
        let scope = Scope { file: value.file, parent: None, names };
        self.once(key.clone(), &format!("`{key}`"), || self.eval(&value.expression, &scope))
    }

    /// `target.NAME`: all that it sets.
    pub(crate) fn block_value(&self, kind: &str, name: &str) -> Result<Value> {
        let named = self.named.borrow();
        let mine = named.iter().filter(|named| named.name == name && self.blocks[named.block].kind == kind);
        let names: Vec<String> = mine
            .flat_map(|named| &self.blocks[named.block].attributes)
            .map(|attribute| attribute.name.clone())
            .collect();
        drop(named);
        let of = |attribute: String| Ok((attribute.clone(), self.block_attribute(kind, name, &attribute)?));
        names.into_iter().map(of).collect::<Result<_>>().map(Value::Map)
    }

    /// The list of names that a function's parameters are: bare, or as texts in JSON.
    pub(crate) fn parameter(expression: &Expression) -> Option<String> {
        match expression {
            Expression::Variable(name) => Some(name.to_string()),
            Expression::String(name) => Some(name.value().to_string()),
            _ => None,
        }
    }
}

/// Refuses what a block does not have.
pub(crate) fn only(block: &Block, known: &[&str]) -> Result<()> {
    for attribute in &block.attributes {
        if !known.contains(&attribute.name.as_str()) {
            return Err(no_attribute(block, &attribute.name, attribute.span.clone(), known));
        }
    }
    match block.blocks.iter().find(|inner| !known.contains(&inner.kind.as_str())) {
        Some(inner) => Err(no_attribute(block, &inner.kind, inner.span.clone(), known)),
        None => Ok(()),
    }
}

fn no_attribute(block: &Block, name: &str, span: Option<Span>, known: &[&str]) -> Box<crate::fault::Fault> {
    let wrong = fault(format!("a {} has no attribute `{name}`", block.kind));
    wrong.propose(name, known.iter().copied()).at(span)
}
