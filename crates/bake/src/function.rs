//! `function NAME { params = [..], result = .. }`: functions that a file brings.

use hcl_edit::expr::Expression;

use crate::eval::Scope;
use crate::fault::{Result, fault};
use crate::source::{Block, Expr};
use crate::value::Value;
use crate::world::{World, only};

#[derive(Debug)]
pub(crate) struct Function {
    parameters: Vec<String>,
    /// Takes what the parameters leave.
    variadic: Option<String>,
    result: Expr,
}

impl Function {
    pub(crate) fn read(block: Block) -> Result<Self> {
        only(&block, &["params", "variadic_param", "variadic_params", "result"])?;
        let required = |name: &str| {
            let found = block.attribute(name);
            found.ok_or_else(|| fault(format!("a function needs `{name}`")).at(block.span.clone()))
        };
        let (params, result) = (required("params")?, required("result")?);
        let wrong = || fault("a list of names is required").at(params.value.span());
        let Expression::Array(names) = &params.value.expression else { return Err(wrong()) };
        let parameters = names.iter().map(|name| World::parameter(name).ok_or_else(wrong)).collect::<Result<_>>()?;
        let variadic = match block.attribute("variadic_params").or_else(|| block.attribute("variadic_param")) {
            Some(name) => {
                let wrong = || fault("a name is required").at(name.value.span());
                Some(World::parameter(&name.value.expression).ok_or_else(wrong)?)
            }
            None => None,
        };
        Ok(Self { parameters, variadic, result: result.value.clone() })
    }

    pub(crate) fn call(&self, world: &World<'_>, name: &str, mut arguments: Vec<Value>) -> Result<Value> {
        let wanted = self.parameters.len();
        if arguments.len() < wanted || (arguments.len() > wanted && self.variadic.is_none()) {
            let more = if self.variadic.is_some() { " or more" } else { "" };
            return Err(fault(format!("`{name}` takes {wanted}{more} arguments, and these are {}", arguments.len())));
        }
        let rest = arguments.split_off(wanted);
        let mut names: Vec<_> = self.parameters.iter().cloned().zip(arguments).collect();
        names.extend(self.variadic.iter().map(|name| (name.clone(), Value::List(rest.clone()))));
        world.eval(&self.result.expression, &Scope { file: self.result.file, parent: None, names })
    }
}
