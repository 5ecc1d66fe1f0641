//! Words: quotes, escapes and variables. This is a shell's syntax, as docker understands it.

use std::collections::HashSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::substitute::{self, Side};

/// The most that the variables of one word may bring in. Without a limit a few lines of `ENV a=$a$a` fill any memory.
const MAX_GROWTH: usize = 1 << 20;
/// How deep `${a:-${b:-...}}` may go: far more than anybody writes, far less than the stack holds.
const MAX_DEPTH: usize = 64;

/// What a name stands for.
pub(crate) trait Variables {
    fn get(&self, name: &str) -> Option<&str>;
}

/// No name stands for anything.
pub(crate) struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// What becomes of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// They hold together what is in them, and go.
    Removed,
    /// They hold together what is in them, and stay.
    Kept,
    /// They are characters like any other.
    Text,
}

/// How words are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer {
    escape: char,
    quoting: Quoting,
    /// Whether escape characters stay.
    keep_escapes: bool,
    /// Whether a variable that is not set stays as it is written.
    keep_unset: bool,
}

/// A word after expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expansion {
    pub(crate) text: String,
    /// The text's words: blanks separate them unless they are quoted.
    pub(crate) words: Vec<String>,
    /// Variables that were there.
    pub(crate) used: Vec<String>,
    /// Variables that were not.
    pub(crate) missing: Vec<String>,
    /// How many bytes the variables brought in.
    pub(crate) growth: usize,
}

/// That a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordError {
    /// Why: a sentence.
    pub(crate) reason: String,
    /// Variables that were not there, as far as it was read.
    pub(crate) missing: Vec<String>,
}

impl Lexer {
    pub(crate) fn new(escape: char) -> Self {
        Self { escape, quoting: Quoting::Removed, keep_escapes: false, keep_unset: false }
    }

    /// For the content of a heredoc.
    pub(crate) fn document() -> Self {
        Self { quoting: Quoting::Text, ..Self::new('\\') }
    }

    /// For what people read, where the command's own text should be seen.
    pub(crate) fn title(escape: char) -> Self {
        Self { quoting: Quoting::Kept, keep_unset: true, ..Self::new(escape) }
    }

    /// For a heredoc's name.
    pub(crate) fn heredoc_name(quoting: Quoting) -> Self {
        Self { quoting, keep_unset: true, ..Self::new('\\') }
    }

    /// For a line that may announce heredocs. They are the shell's, so the escape directive has nothing to say.
    pub(crate) fn heredoc_line() -> Self {
        Self { quoting: Quoting::Kept, keep_escapes: true, keep_unset: true, ..Self::new('\\') }
    }

    pub(crate) fn expand(&self, word: &str, variables: &dyn Variables) -> Result<Expansion, WordError> {
        let mut run = Run {
            lexer: self,
            chars: word.chars().peekable(),
            variables,
            found: Expansion::default(),
            seen: HashSet::new(),
            depth: 0,
            parts: false,
        };
        let mut words = Words::default();
        match run.until(None, self.keep_escapes, Some(&mut words)) {
            Ok(text) => Ok(Expansion { text, words: words.finish(), ..run.found }),
            Err(reason) => Err(WordError { reason, missing: run.found.missing }),
        }
    }
}

/// Collects the words of a text.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    open: String,
}

impl Words {
    fn push(&mut self, c: char, quoted: bool) {
        if quoted || !c.is_whitespace() {
            self.open.push(c);
        } else if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}

struct Run<'a> {
    lexer: &'a Lexer,
    chars: Peekable<Chars<'a>>,
    variables: &'a dyn Variables,
    found: Expansion,
    /// The names that were looked up.
    seen: HashSet<String>,
    depth: usize,
    /// A substitution with a word in it was there.
    parts: bool,
}

impl Run<'_> {
    /// Reads on to `stop`, which is taken, or to the end of the text if there is none.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
        mut words: Option<&mut Words>,
    ) -> Result<String, String> {
        let mut text = String::new();
        let mut add = |text: &mut String, piece: &str, quoted: bool, parts: bool| {
            text.push_str(piece);
            if let Some(words) = words.as_deref_mut() {
                // What stands before such a substitution in the same word is lost in docker's list of words.
                if parts {
                    words.open.clear();
                }
                piece.chars().for_each(|c| words.push(c, quoted));
            }
        };
        let mut buffer = [0; 4];
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                return Ok(text);
            }
            match c {
                '$' => {
                    let piece = self.dollar()?;
                    add(&mut text, &piece, false, std::mem::take(&mut self.parts));
                }
                '\'' if self.lexer.quoting != Quoting::Text => add(&mut text, &self.single_quoted()?, true, false),
                '"' if self.lexer.quoting != Quoting::Text => {
                    let piece = self.double_quoted(keep_escapes)?;
                    add(&mut text, &piece, true, std::mem::take(&mut self.parts));
                }
                // A heredoc's name may stand behind blanks, and still be one word with the `<<`.
                '<' => add(&mut text, &self.less(), true, false),
                _ => {
                    self.chars.next();
                    if c != self.lexer.escape {
                        add(&mut text, c.encode_utf8(&mut buffer), false, false);
                        continue;
                    }
                    if keep_escapes {
                        add(&mut text, c.encode_utf8(&mut buffer), true, false);
                    }
                    if let Some(escaped) = self.chars.next() {
                        add(&mut text, escaped.encode_utf8(&mut buffer), true, false);
                    }
                }
            }
        }
        match stop {
            None => Ok(text),
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
        }
    }

    fn less(&mut self) -> String {
        self.chars.next();
        let mut text = String::from("<");
        if self.chars.next_if_eq(&'<').is_some() {
            text.push('<');
            while let Some(c) = self.chars.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
                text.push(c);
            }
        }
        text
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let keep = self.lexer.quoting == Quoting::Kept;
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| keep));
        for c in self.chars.by_ref() {
            if c != '\'' {
                text.push(c);
                continue;
            }
            if keep {
                text.push(c);
            }
            return Ok(text);
        }
        Err("unexpected end of statement while looking for matching single-quote".into())
    }

    fn double_quoted(&mut self, keep_escapes: bool) -> Result<String, String> {
        let keep = self.lexer.quoting == Quoting::Kept;
        let escape = self.lexer.escape;
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| keep));
        while let Some(&c) = self.chars.peek() {
            if c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.chars.next();
            if c == '"' {
                if keep {
                    text.push(c);
                }
                return Ok(text);
            }
            if c != escape {
                text.push(c);
                continue;
            }
            // Only what has a meaning between double quotes can be escaped there; before the rest the character stays.
            match self.chars.next_if(|next| matches!(next, '"' | '$') || *next == escape) {
                Some(escaped) => {
                    text.extend(keep_escapes.then_some(escape));
                    text.push(escaped);
                }
                // Where escapes stay, one that escapes nothing is doubled, so that it is still one when it is read again.
                None => {
                    text.extend(keep_escapes.then_some(escape));
                    text.push(escape);
                }
            }
        }
        Err("unexpected end of statement while looking for matching double-quote".into())
    }

    fn look_up(&mut self, name: &str) -> Result<Option<String>, String> {
        let value = self.variables.get(name);
        let list = if value.is_some() { &mut self.found.used } else { &mut self.found.missing };
        if self.seen.insert(name.to_owned()) {
            list.push(name.to_owned());
        }
        self.found.growth += value.map_or(0, str::len);
        if self.found.growth > MAX_GROWTH {
            return Err(format!("the variables in it make it longer than {MAX_GROWTH} bytes"));
        }
        Ok(value.map(str::to_owned))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.chars.next_if(|c| c.is_numeric()) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            let value = self.look_up(&name)?;
            return Ok(value.unwrap_or_else(|| if self.lexer.keep_unset { format!("${name}") } else { String::new() }));
        }
        if self.depth == MAX_DEPTH {
            return Err(format!("substitutions are nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let text = self.braced();
        self.depth -= 1;
        text
    }

    /// Reads on in a substitution. Where the text ends too early, that is what is wrong, whatever else is.
    fn part(&mut self, stop: char, keep_escapes: bool) -> Result<String, String> {
        let text = self.until(Some(stop), keep_escapes, None);
        self.parts = true;
        text.map_err(|wrong| match (self.chars.peek(), stop) {
            (Some(_), _) => wrong,
            (None, '/') => "syntax error: missing '/' in ${}".into(),
            (None, _) => missing_brace(),
        })
    }

    /// What stands between `${` and `}`.
    fn braced(&mut self) -> Result<String, String> {
        match self.chars.peek() {
            None => return Err(missing_brace()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            _ => {}
        }
        let name = self.name();
        let mut modifier = self.chars.next().ok_or_else(missing_brace)?;
        let shown = if modifier == ':' { ":" } else { "" };
        let empty_is_unset = modifier == ':';
        if empty_is_unset {
            modifier = self.chars.next().ok_or_else(missing_brace)?;
        }
        let unsupported = || format!("unsupported modifier ({shown}{modifier}) in substitution");
        match modifier {
            '}' if !empty_is_unset => {
                let value = self.look_up(&name)?;
                Ok(value.unwrap_or_else(|| if self.lexer.keep_unset { format!("${{{name}}}") } else { String::new() }))
            }
            '+' | '-' | '?' => {
                let word = self.part('}', false)?;
                let value = self.look_up(&name)?;
                if value.is_none() && self.lexer.keep_unset {
                    return Ok(format!("${{{name}{shown}{modifier}{word}}}"));
                }
                let is_set = value.is_some();
                let set = value.filter(|value| !(empty_is_unset && value.is_empty()));
                match (modifier, set) {
                    ('-', set) => Ok(set.unwrap_or(word)),
                    ('+', Some(_)) => Ok(word),
                    ('+', None) => Ok(String::new()),
                    (_, Some(value)) => Ok(value),
                    (_, None) if !word.is_empty() => Err(format!("{name}: {word}")),
                    (_, None) if is_set => Err(format!("{name}: is not allowed to be empty")),
                    (_, None) => Err(format!("{name}: is not allowed to be unset")),
                }
            }
            '#' | '%' if !empty_is_unset => {
                let pattern = self.part('}', true)?;
                let Some(value) = self.look_up(&name)? else {
                    let kept = format!("${{{name}{modifier}{pattern}}}");
                    return Ok(if self.lexer.keep_unset { kept } else { String::new() });
                };
                let (pattern, longest) = match pattern.strip_prefix(modifier) {
                    Some(pattern) => (pattern, true),
                    None => (pattern.as_str(), false),
                };
                let side = if modifier == '#' { Side::Start } else { Side::End };
                substitute::trim(&value, pattern, side, longest)
            }
            '/' if !empty_is_unset => {
                let all = self.chars.next_if_eq(&'/').is_some();
                let pattern = self.part('/', true)?;
                let replacement = self.part('}', true)?;
                let Some(value) = self.look_up(&name)? else {
                    let kept = format!("${{{name}/{}{pattern}/{replacement}}}", if all { "/" } else { "" });
                    return Ok(if self.lexer.keep_unset { kept } else { String::new() });
                };
                substitute::replace(&value, &pattern, &replacement, all, MAX_GROWTH)
            }
            // Bash's `${a:=b}` and `${a:0:1}` in a command that announces heredocs are bash's affair.
            _ if empty_is_unset && self.lexer.keep_unset && !matches!(modifier, '#' | '%') => {
                let word = self.part('}', false)?;
                match self.look_up(&name)? {
                    None => Ok(format!("${{{name}:{modifier}{word}}}")),
                    Some(_) => Err(unsupported()),
                }
            }
            _ => Err(unsupported()),
        }
    }
}

fn missing_brace() -> String {
    "syntax error: missing '}'".into()
}

#[cfg(test)]
mod tests;
