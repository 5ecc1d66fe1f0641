//! Variables that stand for each other: `$A`, `${A}`, `%A%`, `$$`.
//!
//! GitLab expands them in two steps, on its server and in its runner; a person sees the sum of both, which is what is done here.
//! A reference to nothing becomes nothing, `$$` becomes `$`, what is marked as not to be expanded comes as it is, and a reference
//! that would lead back to itself stays as it is written.

use std::collections::HashMap;

/// The longest value after expansion. Values that double each other a few dozen times would fill any memory.
const MAX_VALUE: usize = 1 << 20;

/// What all values may come to together.
const MAX_TOTAL: usize = 32 << 20;

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value as given.
    pub value: String,
    /// Whether references in the value are followed (`expand: false` says no).
    pub expand: bool,
}

impl Variable {
    /// One whose references are followed.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), expand: true }
    }

    /// One whose value is taken as it is.
    pub fn raw(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), expand: false }
    }
}

/// Variables in order; a later one replaces an earlier one of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    list: Vec<Variable>,
    places: HashMap<String, usize>,
}

impl Variables {
    /// Sets a variable.
    pub fn set(&mut self, variable: Variable) {
        match self.places.get(&variable.name) {
            Some(place) => self.list[*place] = variable,
            None => {
                self.places.insert(variable.name.clone(), self.list.len());
                self.list.push(variable);
            }
        }
    }

    /// Finds one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.places.get(name).map(|place| &self.list[*place])
    }

    /// All of them, in the order in which their names came.
    pub fn iter(&self) -> std::slice::Iter<'_, Variable> {
        self.list.iter()
    }

    /// How much they are, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.list.iter().map(|variable| variable.name.len() + variable.value.len()).sum()
    }

    /// Gives every variable its final value.
    ///
    /// # Errors
    /// The values grow beyond all measure.
    pub fn expand(&self) -> Result<Values, TooLong> {
        let mut values = Values { list: Vec::with_capacity(self.list.len()), places: HashMap::new() };
        let mut done: Vec<Option<String>> = vec![None; self.list.len()];
        let mut entered = vec![false; self.list.len()];
        let mut total = 0;
        for first in 0..self.list.len() {
            // Depth first by a stack of our own: a chain of references may be as long as there are variables.
            let mut stack = vec![first];
            while let Some(&at) = stack.last() {
                if done[at].is_some() {
                    stack.pop();
                    continue;
                }
                let variable = &self.list[at];
                if !std::mem::replace(&mut entered[at], true) && variable.expand {
                    let wanted = references(&variable.value).filter_map(|name| self.places.get(name).copied());
                    let before = stack.len();
                    stack.extend(wanted.filter(|place| !entered[*place]));
                    if stack.len() > before {
                        continue;
                    }
                }
                stack.pop();
                let value = if variable.expand {
                    // What is not done by now is on the way here: a circle.
                    substitute(&variable.value, |name| match self.places.get(name) {
                        Some(place) => done[*place].as_deref().map_or(Found::Circle, Found::Value),
                        None => Found::Nothing,
                    })
                } else {
                    Some(variable.value.clone())
                };
                let value = value.ok_or_else(|| TooLong(variable.name.clone()))?;
                total += value.len();
                if total > MAX_TOTAL {
                    return Err(TooLong(variable.name.clone()));
                }
                done[at] = Some(value);
            }
        }
        for (variable, value) in self.list.iter().zip(done) {
            values.places.insert(variable.name.clone(), values.list.len());
            values.list.push((variable.name.clone(), value.unwrap_or_default()));
        }
        Ok(values)
    }
}

impl Extend<Variable> for Variables {
    fn extend<T: IntoIterator<Item = Variable>>(&mut self, variables: T) {
        variables.into_iter().for_each(|variable| self.set(variable));
    }
}

impl FromIterator<Variable> for Variables {
    fn from_iter<T: IntoIterator<Item = Variable>>(variables: T) -> Self {
        let mut all = Self::default();
        all.extend(variables);
        all
    }
}

/// Variables whose values together are too long to be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of the variable {0} grows beyond all measure when it is expanded")]
pub struct TooLong(pub String);

/// Variables with their final values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    list: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Values {
    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|place| self.list[*place].1.as_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Puts the values into a text: the name of an image, a path.
    #[must_use]
    pub fn apply(&self, text: &str) -> String {
        let found = |name: &str| self.get(name).map_or(Found::Nothing, Found::Value);
        substitute(text, found).unwrap_or_else(|| text.to_owned())
    }
}

/// What a name stands for.
enum Found<'a> {
    Value(&'a str),
    Nothing,
    Circle,
}

/// A piece of a value.
enum Piece<'a> {
    Text(&'a str),
    /// The name, and how it was written.
    Reference(&'a str, &'a str),
    /// `$$` and `%%`.
    Escaped(&'a str),
}

/// `/\$\$|%%|\$(?<key>[a-zA-Z_][a-zA-Z0-9_]*)|\${\g<key>?}|%\g<key>%/`
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(at) = rest[from..].find(['$', '%']).map(|at| from + at) {
            if let Some((piece, used)) = special(&rest[at..]) {
                if at > 0 {
                    let text = &rest[..at];
                    rest = &rest[at..];
                    return Some(Piece::Text(text));
                }
                rest = &rest[used..];
                return Some(piece);
            }
            from = at + 1;
        }
        Some(Piece::Text(std::mem::take(&mut rest)))
    })
}

/// What a text that starts with `$` or `%` starts with, and how long that is.
fn special(text: &str) -> Option<(Piece<'_>, usize)> {
    if text.starts_with("$$") || text.starts_with("%%") {
        return Some((Piece::Escaped(&text[..2]), 2));
    }
    let (open, close) =
        if text.starts_with("${") { (2, "}") } else { (1, if text.starts_with('%') { "%" } else { "" }) };
    let name = &text[open..];
    let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    let name = &name[..length];
    // `${}` is a reference to nothing; anything else needs a name.
    let named = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    let used = open + length + close.len();
    let whole = named || (name.is_empty() && open == 2);
    (whole && text[open + length..].starts_with(close)).then(|| (Piece::Reference(name, &text[..used]), used))
}

/// The names that a value refers to.
pub(crate) fn references(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Reference(name, _) => Some(name),
        Piece::Text(_) | Piece::Escaped(_) => None,
    })
}

fn substitute<'a>(text: &str, find: impl Fn(&str) -> Found<'a>) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Escaped("$$") => out.push('$'),
            // Only the server knows `%`, and it leaves this one alone.
            Piece::Escaped(other) => out.push_str(other),
            Piece::Reference(name, written) => match find(name) {
                Found::Value(value) => out.push_str(value),
                Found::Nothing if written.starts_with('%') => out.push_str(written),
                Found::Nothing => {}
                Found::Circle => out.push_str(written),
            },
        }
        if out.len() > MAX_VALUE {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(pairs: &[(&str, &str)], name: &str) -> String {
        let variables: Variables = pairs.iter().map(|(name, value)| Variable::new(*name, *value)).collect();
        variables.expand().unwrap().get(name).unwrap().to_owned()
    }

    #[test]
    fn references_are_followed() {
        let pairs = [
            ("C", "<$B>"),
            ("B", "${A}/%A%"),
            ("A", "a"),
            ("NONE", "x${NOTHING}y$NOTHING-%NOTHING%"),
            ("DOLLAR", "$$A 100% %% $ ${ $1 ${A-b}"),
            ("VIA", "$DOLLAR"),
            ("LONG", "$AB$A"),
            ("EMPTY", "${}x"),
        ];
        for (name, expected) in [
            ("C", "<a/a>"),
            ("NONE", "xy-%NOTHING%"),
            ("DOLLAR", "$A 100% %% $ ${ $1 ${A-b}"),
            ("VIA", "$A 100% %% $ ${ $1 ${A-b}"),
            ("LONG", "a"),
            ("EMPTY", "x"),
        ] {
            assert_eq!(expanded(&pairs, name), expected, "{name}");
        }
    }

    #[test]
    fn circles_stay_as_they_are() {
        assert_eq!(expanded(&[("A", "$A-x")], "A"), "$A-x");
        let pairs = [("A", "1$B"), ("B", "2$C"), ("C", "3$A"), ("D", "$A")];
        assert_eq!(expanded(&pairs, "C"), "3$A");
        assert_eq!(expanded(&pairs, "A"), "123$A");
        assert_eq!(expanded(&pairs, "D"), "123$A");
    }

    #[test]
    fn raw_values_are_taken_as_they_are() {
        let variables: Variables =
            [Variable::raw("P", "a$b$$c"), Variable::new("Q", "<$P>"), Variable::new("b", "no")].into_iter().collect();
        let values = variables.expand().unwrap();
        assert_eq!(values.get("Q"), Some("<a$b$$c>"));
        assert_eq!(values.apply("$P:$Q"), "a$b$$c:<a$b$$c>");
    }

    #[test]
    fn growth_is_bounded() {
        let mut variables: Variables = [Variable::new("A0", "0123456789")].into_iter().collect();
        for n in 1..60 {
            variables.set(Variable::new(format!("A{n}"), format!("$A{0}$A{0}", n - 1)));
        }
        assert!(variables.expand().is_err());
        let chain = (0..50_000).map(|n| Variable::new(format!("A{n}"), format!("$A{}", n + 1)));
        assert!(chain.collect::<Variables>().expand().is_ok());
    }

    proptest! {
        /// Without references among the values, one pass over the text is the whole truth.
        #[test]
        fn text_without_dollars_is_kept(value in "[^$%]{0,40}") {
            prop_assert_eq!(expanded(&[("A", &value), ("B", "$A${A}")], "B"), format!("{value}{value}"));
        }

        #[test]
        fn never_panics(values in proptest::collection::vec("([ABC$%{}é]|\\$\\{A\\}|\\$B|%C%){0,12}", 3)) {
            let variables: Variables =
                ["A", "B", "C"].iter().zip(&values).map(|(name, value)| Variable::new(*name, value.as_str())).collect();
            let values = variables.expand().unwrap();
            prop_assert_eq!(values.iter().count(), 3);
        }
    }
}
