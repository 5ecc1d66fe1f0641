//! From the two notations to one form: blocks with labels, and attributes with expressions. A definition in JSON is read as the
//! HCL expression that it also is, so that its strings are templates and everything in it has a place.

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, Object, ObjectKey};
use hcl_edit::parser::{Error as ParseError, parse_body, parse_expr};
use hcl_edit::structure::{Body, Structure};

use crate::File;
use crate::fault::{Result, Span, fault};

/// An expression, and the file that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) file: usize,
    pub(crate) expression: Expression,
}

impl Expr {
    pub(crate) fn span(&self) -> Option<Span> {
        self.expression.span().map(|bytes| Span { file: self.file, bytes })
    }
}

/// `name = expression`.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) span: Option<Span>,
    pub(crate) value: Expr,
}

/// `kind "label" { ... }`.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) labels: Vec<String>,
    /// Of its label, else of its kind.
    pub(crate) span: Option<Span>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) blocks: Vec<Block>,
}

impl Block {
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) blocks: Vec<Block>,
}

/// Which blocks there may be at the top, and which in them.
const BLOCKS: &[&str] = &["group", "target", "variable", "function"];

/// Reads a file of either notation; a name that does not say which is tried as JSON where the text begins like it.
pub(crate) fn read(file: &File, number: usize) -> Result<Source> {
    let json = match file.name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("json") => true,
        Some("hcl") => false,
        _ => file.text.trim_start().starts_with('{'),
    };
    let reader = Reader { file: number };
    if !json {
        let body = parse_body(&file.text).map_err(|e| reader.wrong(&file.text, &e))?;
        let (attributes, blocks) = reader.body(body)?;
        return Ok(Source { attributes, blocks });
    }
    match reader.json(&file.text)? {
        Expression::Object(object) => reader.top(object),
        other => Err(fault("an object is required: {\"target\": {..}}").at(reader.span(other.span()))),
    }
}

struct Reader {
    file: usize,
}

impl Reader {
    fn span(&self, bytes: Option<std::ops::Range<usize>>) -> Option<Span> {
        bytes.map(|bytes| Span { file: self.file, bytes })
    }

    fn wrong(&self, text: &str, error: &ParseError) -> Box<crate::fault::Fault> {
        let at = error.location().offset();
        let words = error.message().replace('\n', ", ");
        let end = text[text.floor_char_boundary(at)..].chars().next().map_or(at, |c| at + c.len_utf8());
        fault(format!("this is not HCL: {words}")).at(self.span(Some(at..end)))
    }

    fn body(&self, body: Body) -> Result<(Vec<Attribute>, Vec<Block>)> {
        let (mut attributes, mut blocks) = (Vec::<Attribute>::new(), Vec::new());
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let (name, span) = (attribute.key.to_string(), self.span(attribute.key.span()));
                    if attributes.iter().any(|other| other.name == name) {
                        return Err(fault(format!("`{name}` is set twice")).at(span));
                    }
                    let value = Expr { file: self.file, expression: attribute.value };
                    attributes.push(Attribute { name, span, value });
                }
                Structure::Block(block) => {
                    let span = self.span(block.labels.first().map_or_else(|| block.ident.span(), |label| label.span()));
                    let (inner, nested) = self.body(block.body)?;
                    blocks.push(Block {
                        kind: block.ident.to_string(),
                        labels: block.labels.iter().map(|label| label.as_str().to_owned()).collect(),
                        span,
                        attributes: inner,
                        blocks: nested,
                    });
                }
            }
        }
        Ok((attributes, blocks))
    }

    fn json(&self, text: &str) -> Result<Expression> {
        if let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            let line = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum::<usize>();
            let at = (line + e.column().saturating_sub(1)).min(text.len());
            return Err(fault(format!("this is not JSON: {e}")).at(self.span(Some(at..at + 1))));
        }
        let text = as_hcl(text);
        parse_expr(text.trim_end()).map_err(|e| self.wrong(&text, &e))
    }

    /// The file's own object: what is named as a block is one, everything else is an attribute.
    fn top(&self, object: Object) -> Result<Source> {
        let mut source = Source::default();
        for (key, value) in object {
            let (name, span) = self.key(&key)?;
            let expression = value.into_expr();
            if BLOCKS.contains(&name.as_str()) {
                self.labelled(&name, expression, &mut source.blocks)?;
            } else {
                source.attributes.push(Attribute { name, span, value: Expr { file: self.file, expression } });
            }
        }
        Ok(source)
    }

    /// `{"label": {..}, "label": [{..}, {..}]}`, or a list of such.
    fn labelled(&self, kind: &str, value: Expression, blocks: &mut Vec<Block>) -> Result<()> {
        match value {
            Expression::Array(array) => {
                for item in array {
                    self.labelled(kind, item, blocks)?;
                }
            }
            Expression::Object(object) => {
                for (key, value) in object {
                    let (label, span) = self.key(&key)?;
                    self.blocks(kind, vec![label], span, value.into_expr(), blocks)?;
                }
            }
            other => {
                return Err(fault(format!("`{kind}` must be an object of {kind}s by name")).at(self.span(other.span())));
            }
        }
        Ok(())
    }

    fn blocks(
        &self,
        kind: &str,
        labels: Vec<String>,
        span: Option<Span>,
        value: Expression,
        blocks: &mut Vec<Block>,
    ) -> Result<()> {
        match value {
            Expression::Array(array) => {
                for item in array {
                    self.blocks(kind, labels.clone(), span.clone(), item, blocks)?;
                }
            }
            Expression::Object(object) => {
                let mut block =
                    Block { kind: kind.to_owned(), labels, span, attributes: Vec::new(), blocks: Vec::new() };
                for (key, value) in object {
                    let (name, span) = self.key(&key)?;
                    let expression = value.into_expr();
                    if kind == "variable" && name == "validation" {
                        self.blocks(&name, Vec::new(), span, expression, &mut block.blocks)?;
                    } else {
                        block.attributes.push(Attribute { name, span, value: Expr { file: self.file, expression } });
                    }
                }
                blocks.push(block);
            }
            other => return Err(fault(format!("a {kind} must be an object")).at(self.span(other.span()))),
        }
        Ok(())
    }

    fn key(&self, key: &ObjectKey) -> Result<(String, Option<Span>)> {
        match key {
            ObjectKey::Ident(ident) => Ok((ident.to_string(), self.span(ident.span()))),
            ObjectKey::Expression(Expression::String(text)) => Ok((text.to_string(), self.span(text.span()))),
            ObjectKey::Expression(other) => Err(fault("a plain name is required here").at(self.span(other.span()))),
        }
    }
}

/// JSON as an HCL expression of the same length, so that places stay what they are. What a string escapes is not escaped where it is
/// code (`"${join(\",\", x)}"`), and a line ends nothing.
fn as_hcl(json: &str) -> String {
    let mut hcl = String::with_capacity(json.len());
    // Bytes that were taken away, to be made up for by spaces where those mean nothing.
    let mut taken = 0;
    let (mut in_string, mut depth) = (false, 0_usize);
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '\u{feff}' if hcl.is_empty() => hcl.push_str("   "),
            '\n' | '\r' | '\t' if !in_string => hcl.push(' '),
            '"' => {
                in_string = !in_string;
                hcl.push('"');
                hcl.push_str(&" ".repeat(if in_string { 0 } else { std::mem::take(&mut taken) }));
            }
            '\\' => {
                let (text, read) = unescaped(rest, depth > 0);
                taken += read - text.len();
                hcl.push_str(&text);
                length = read;
            }
            '$' | '%' if in_string && depth == 0 => {
                length = match rest.as_bytes() {
                    [first, second, b'{', ..] if first == second => 3,
                    [_, b'{', ..] => {
                        depth = 1;
                        2
                    }
                    _ => 1,
                };
                hcl.push_str(&rest[..length]);
            }
            '{' if depth > 0 => {
                depth += 1;
                hcl.push(c);
            }
            '}' if depth > 0 => {
                depth -= 1;
                let room = if depth == 0 { std::mem::take(&mut taken) } else { 0 };
                hcl.push_str(&" ".repeat(room));
                hcl.push(c);
            }
            c => hcl.push(c),
        }
        rest = &rest[length..];
    }
    hcl
}

/// What an escape at the start of a text is in HCL, and how long it was: never shorter than what it becomes.
fn unescaped(text: &str, is_code: bool) -> (String, usize) {
    let unit = |at: usize| text.get(at + 2..at + 6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    match text.as_bytes().get(1) {
        Some(b'/') => ("/".into(), 2),
        Some(b'b') => ("\u{8}".into(), 2),
        Some(b'f') => ("\u{c}".into(), 2),
        Some(b'n' | b'r' | b't') if is_code => (" ".into(), 2),
        Some(b'"') if is_code => ("\"".into(), 2),
        Some(b'\\') if is_code => ("\\".into(), 2),
        // Letters beyond the first plane are written as two halves.
        Some(b'u') => match (unit(0), text.get(6..8).filter(|next| *next == "\\u").and_then(|_| unit(6))) {
            (Some(high @ 0xd800..=0xdbff), Some(low)) => {
                (char::decode_utf16([high, low]).map(|c| c.unwrap_or('\u{fffd}')).collect(), 12)
            }
            _ => (text.get(..6).unwrap_or(text).into(), text.len().min(6)),
        },
        _ => (text.chars().take(2).collect(), text.chars().take(2).map(char::len_utf8).sum()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_hcl_of_the_same_length() {
        for (json, hcl) in [
            (r#"["a\/b"]"#, r#"["a/b" ]"#),
            (r#"["${join(\",\", x)}"]"#, r#"["${join(",", x)  }"]"#),
            (r#"["$${\"}"]"#, r#"["$${\"}"]"#),
            ("[1\n,2]", "[1 ,2]"),
        ] {
            assert_eq!(as_hcl(json), hcl);
            assert_eq!(json.len(), hcl.len());
        }
    }
}
