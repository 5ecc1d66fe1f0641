//! The language of `rules:if`: variables, texts, `null`, patterns, `==`, `!=`, `=~`, `!~`, `&&`, `||` and parentheses.
//!
//! Values are texts or nothing, and so are results, as in GitLab: `$A && $B` is the value of B where A is there. In the end an
//! expression holds if its value is neither nothing, nor false, nor blank.

use regex::bytes::{Regex, RegexBuilder};

/// How deep parentheses may lie in each other.
const MAX_DEPTH: usize = 64;

/// The largest program that a pattern may become. Patterns come with the pipeline, which may be anybody's.
const MAX_PATTERN: usize = 1 << 20;

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Expression(Term);

/// What is wrong with an expression, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// A sentence.
    pub message: String,
    /// Bytes of the expression.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

#[derive(Clone, Debug)]
enum Term {
    Variable(String),
    Text(String),
    Null,
    Pattern(Regex),
    Binary(Operator, Box<(Self, Self)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    Differs,
    Matches,
    DoesNotMatch,
    And,
    Or,
}

#[derive(Clone, Debug)]
enum Token {
    Term(Term),
    Operator(Operator),
    Open,
    Close,
}

/// A value on the way.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Nothing,
    Bool(bool),
    Text(String),
}

impl Expression {
    /// Reads one.
    ///
    /// # Errors
    /// It is not an expression; a place says where.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0 };
        let term = parser.binary(0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(Self(term)),
            Some((_, start, end)) => {
                Err(error("an operator should stand here: ==, !=, =~, !~, && or ||", *start, *end))
            }
        }
    }

    /// Whether it holds. `find` tells a variable's value.
    pub fn holds<'a>(&self, find: &impl Fn(&str) -> Option<&'a str>) -> bool {
        match self.0.value(find) {
            Outcome::Nothing => false,
            Outcome::Bool(b) => b,
            Outcome::Text(text) => !text.trim().is_empty(),
        }
    }
}

impl Term {
    fn value<'a>(&self, find: &impl Fn(&str) -> Option<&'a str>) -> Outcome {
        match self {
            Self::Variable(name) => find(name).map_or(Outcome::Nothing, |value| Outcome::Text(value.to_owned())),
            Self::Text(text) => Outcome::Text(text.clone()),
            Self::Null => Outcome::Nothing,
            // Alone, a pattern is something that is there.
            Self::Pattern(_) => Outcome::Bool(true),
            Self::Binary(operator, sides) => {
                let (left, right) = (&sides.0, &sides.1);
                match operator {
                    Operator::Equals => Outcome::Bool(left.value(find) == right.value(find)),
                    Operator::Differs => Outcome::Bool(left.value(find) != right.value(find)),
                    Operator::Matches => Outcome::Bool(matches(left, right, find).unwrap_or(false)),
                    Operator::DoesNotMatch => Outcome::Bool(!matches(left, right, find).unwrap_or(false)),
                    // Ruby's: an empty text counts as true on the way.
                    Operator::And => match left.value(find) {
                        Outcome::Nothing | Outcome::Bool(false) => left.value(find),
                        Outcome::Text(_) | Outcome::Bool(true) => right.value(find),
                    },
                    Operator::Or => match left.value(find) {
                        Outcome::Nothing | Outcome::Bool(false) => right.value(find),
                        value => value,
                    },
                }
            }
        }
    }
}

/// Whether the left side matches the right one: a pattern, or a text or variable that holds one. `None` if that is none.
fn matches<'a>(left: &Term, right: &Term, find: &impl Fn(&str) -> Option<&'a str>) -> Option<bool> {
    let text = match left.value(find) {
        Outcome::Text(text) => text,
        Outcome::Nothing => String::new(),
        Outcome::Bool(b) => b.to_string(),
    };
    if let Term::Pattern(pattern) = right {
        return Some(pattern.is_match(text.as_bytes()));
    }
    let Outcome::Text(pattern) = right.value(find) else { return None };
    let (body, flags) = delimited(&pattern)?;
    regex(body, flags).ok().map(|pattern| pattern.is_match(text.as_bytes()))
}

/// `/body/flags` taken apart.
pub(crate) fn delimited(pattern: &str) -> Option<(&str, &str)> {
    let (body, flags) = pattern.strip_prefix('/')?.rsplit_once('/')?;
    flags.chars().all(|c| "ismU".contains(c)).then_some((body, flags))
}

/// A pattern in RE2's language, which GitLab uses and the `regex` crate is close to. Letters and digits are ASCII's in both.
pub(crate) fn regex(body: &str, flags: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&body.replace("\\/", "/"))
        .unicode(false)
        .size_limit(MAX_PATTERN)
        .case_insensitive(flags.contains('i'))
        .dot_matches_new_line(flags.contains('s'))
        .multi_line(flags.contains('m'))
        .swap_greed(flags.contains('U'))
        .build()
}

fn error(message: impl Into<String>, start: usize, end: usize) -> ExpressionError {
    ExpressionError { message: message.into(), start, end }
}

type Placed = (Token, usize, usize);

fn tokens(text: &str) -> Result<Vec<Placed>, ExpressionError> {
    let mut tokens: Vec<Placed> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (token, used) = operator(rest).map_or_else(|| operand(rest, at), Ok)?;
        tokens.push((token, at, at + used));
        at += used;
    }
    Ok(tokens)
}

fn operator(rest: &str) -> Option<(Token, usize)> {
    let operators = [
        ("==", Operator::Equals),
        ("!=", Operator::Differs),
        ("=~", Operator::Matches),
        ("!~", Operator::DoesNotMatch),
        ("&&", Operator::And),
        ("||", Operator::Or),
    ];
    if let Some((sign, operator)) = operators.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Some((Token::Operator(*operator), sign.len()));
    }
    match rest.as_bytes()[0] {
        b'(' => Some((Token::Open, 1)),
        b')' => Some((Token::Close, 1)),
        _ => None,
    }
}

fn operand(rest: &str, at: usize) -> Result<(Token, usize), ExpressionError> {
    let first = rest.chars().next().unwrap_or(' ');
    let word = |from: usize| {
        let end = rest[from..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        end.map_or(rest.len(), |end| from + end)
    };
    let (term, used) = match first {
        '$' if word(1) > 1 => (Term::Variable(rest[1..word(1)].to_owned()), word(1)),
        '"' | '\'' => {
            let Some(end) = rest[1..].find(first) else {
                return Err(error("this text does not end", at, at + rest.len()));
            };
            (Term::Text(rest[1..=end].to_owned()), end + 2)
        }
        '/' => pattern(rest, at)?,
        _ if rest[..word(0)] == *"null" => (Term::Null, 4),
        _ => {
            let used = word(0).max(first.len_utf8());
            let what = &rest[..used];
            let message = format!("`{what}` is neither a $VARIABLE, a \"text\", a /pattern/, null nor an operator");
            return Err(error(message, at, at + used));
        }
    };
    Ok((Token::Term(term), used))
}

fn pattern(rest: &str, at: usize) -> Result<(Term, usize), ExpressionError> {
    let (mut escaped, mut end) = (false, None);
    for (n, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'/' => {
                end = Some(n);
                break;
            }
            _ => {}
        }
    }
    let Some(end) = end else { return Err(error("this pattern does not end", at, at + rest.len())) };
    let flags = rest[end + 1..].find(|c| !"ismU".contains(c)).unwrap_or(rest.len() - end - 1);
    let used = end + 1 + flags;
    match regex(&rest[1..end], &rest[end + 1..used]) {
        Ok(regex) => Ok((Term::Pattern(regex), used)),
        Err(e) => {
            let reason = e.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(error(format!("this pattern is not one: {reason}"), at, at + used))
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Placed],
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    /// Operators that bind at least so tightly: `||` loosest, then `&&`, then the comparisons. All associate to the left.
    fn binary(&mut self, least: u8) -> Result<Term, ExpressionError> {
        let mut left = self.single()?;
        while let Some((Token::Operator(operator), ..)) = self.tokens.get(self.at) {
            let tightness = match operator {
                Operator::Or => 1,
                Operator::And => 2,
                Operator::Equals | Operator::Differs | Operator::Matches | Operator::DoesNotMatch => 3,
            };
            if tightness < least {
                break;
            }
            self.at += 1;
            let right = self.binary(tightness + 1)?;
            left = Term::Binary(*operator, Box::new((left, right)));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Term, ExpressionError> {
        match self.tokens.get(self.at) {
            Some((Token::Term(term), ..)) => {
                self.at += 1;
                Ok(term.clone())
            }
            Some((Token::Open, start, end)) => {
                if self.depth == MAX_DEPTH {
                    return Err(error("too many parentheses in each other", *start, *end));
                }
                self.at += 1;
                self.depth += 1;
                let term = self.binary(0)?;
                self.depth -= 1;
                match self.tokens.get(self.at) {
                    Some((Token::Close, ..)) => {
                        self.at += 1;
                        Ok(term)
                    }
                    _ => Err(error("this parenthesis is not closed", *start, *end)),
                }
            }
            Some((Token::Operator(_) | Token::Close, start, end)) => {
                Err(error("a $VARIABLE, a \"text\", a /pattern/ or null should stand here", *start, *end))
            }
            None => Err(error("a $VARIABLE, a \"text\", a /pattern/ or null should follow", self.end, self.end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(name: &str) -> Option<&'static str> {
        Some(match name {
            "BRANCH" => "feature/Login",
            "MAIN" => "main",
            "EMPTY" => "",
            "PATTERN" => "/^FEATURE/i",
            "BLANK" => " ",
            _ => return None,
        })
    }

    #[test]
    fn expressions() {
        for (text, expected) in [
            ("$MAIN", true),
            ("$EMPTY", false),
            ("$BLANK", false),
            ("$NONE", false),
            ("$MAIN == 'main'", true),
            ("\"main\" == $MAIN", true),
            ("$MAIN != \"main\"", false),
            ("$NONE == null", true),
            ("$EMPTY == null", false),
            ("$EMPTY == ''", true),
            ("$NONE == ''", false),
            ("$BRANCH =~ /^feature\\//", true),
            ("$BRANCH =~ /login/", false),
            ("$BRANCH =~ /login/i", true),
            ("$BRANCH !~ /login/", true),
            ("$NONE =~ /x/", false),
            ("$NONE !~ /x/", true),
            ("$BRANCH =~ $PATTERN", true),
            ("$BRANCH =~ $NONE", false),
            ("$NONE || $MAIN == 'main'", true),
            ("$MAIN == 'main' || $MAIN == 'x' && $NONE", true),
            ("($MAIN == 'main' || $MAIN == 'x') && $NONE", false),
            ("$MAIN && $BRANCH && $NONE", false),
            ("$EMPTY && $MAIN", true),
            ("$EMPTY || $MAIN", false),
            ("$A==$B", true),
            ("$BRANCH =~ /^\\w+\\/\\w{5}$/", true),
        ] {
            assert_eq!(Expression::parse(text).unwrap().holds(&find), expected, "{text}");
        }
    }

    #[test]
    fn errors_have_places() {
        for (text, place, message) in [
            ("$A == main", "main", "`main` is neither"),
            ("$A = 'x'", "=", "`=` is neither"),
            ("$A == 'x", "'x", "this text does not end"),
            ("$A =~ /x", "/x", "this pattern does not end"),
            ("$A =~ /(/", "/(/", "this pattern is not one: unclosed group"),
            ("($A", "(", "this parenthesis is not closed"),
            ("$A $B", "$B", "an operator should stand here"),
            ("$A ==", "", "a $VARIABLE, a \"text\""),
            ("", "", "a $VARIABLE, a \"text\""),
            ("== $A", "==", "a $VARIABLE"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert_eq!(&text[error.start..error.end], place, "{text}");
            assert!(error.message.starts_with(message), "{text}: {error}");
        }
        assert!(Expression::parse(&"(".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"(\$A|\$B|null|'x'|/a/i|[ ()=!~&|é"'/$])*"#) {
            if let Err(error) = Expression::parse(&text) {
                prop_assert!(text.get(error.start..error.end).is_some());
            }
        }
    }
}
