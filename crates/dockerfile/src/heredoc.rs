//! Heredocs: documents that follow an instruction.

use crate::line::{Lines, trim_end};
use crate::span::Span;
use crate::word::{Lexer, NoVariables, Quoting};

/// A document in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The line that ends it, and its file's name.
    pub name: String,
    /// The file descriptor before the `<<`; 0 if none.
    pub descriptor: u32,
    /// Whether variables in it are expanded: nothing of its name was quoted.
    pub expand: bool,
    /// `<<-`: tabs at the beginning of its lines do not count.
    pub strip_tabs: bool,
    /// Its lines, as they are.
    pub content: String,
    /// Where its content stands.
    pub span: Span,
}

impl Heredoc {
    /// Reads a word such as `<<EOF`, `3<<-"EOF"`. `None` if it is another kind of word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let descriptor = word.get(..word.len() - rest.len()).and_then(|d| d.parse().ok()).unwrap_or(0);
        let rest = rest.strip_prefix("<<")?;
        let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let name = rest.trim_start();
        if name.is_empty() || name.contains('<') {
            return None;
        }
        let bare = Lexer::heredoc_name(Quoting::Removed).expand(name, &NoVariables).ok()?;
        let [bare] = bare.words.as_slice() else { return None };
        let raw = Lexer::heredoc_name(Quoting::Kept).expand(name, &NoVariables).ok()?;
        let quotes = |text: &str| text.matches(['\'', '"']).count();
        let expand = quotes(bare) == raw.words.iter().map(|word| quotes(word)).sum::<usize>();
        Some(Self { name: bare.clone(), descriptor, expand, strip_tabs, content: String::new(), span: 0..0 })
    }

    /// Which documents a line announces. A line that is no list of words for us announces none: it is the shell's affair.
    pub(crate) fn announced(line: &str) -> Vec<Self> {
        if !line.contains("<<") {
            return Vec::new();
        }
        let words = Lexer::heredoc_line().expand(line, &NoVariables).map(|e| e.words).unwrap_or_default();
        words.iter().filter_map(|word| Self::parse(word)).collect()
    }

    /// Reads its content. `false`: the text ended first.
    pub(crate) fn read(&mut self, lines: &mut Lines<'_>) -> bool {
        self.span = lines.at()..lines.at();
        while let Some((at, line)) = lines.next() {
            let bare = trim_end(line);
            let bare = if self.strip_tabs { bare.trim_start_matches('\t') } else { bare };
            if bare == self.name {
                return true;
            }
            self.content.push_str(line);
            self.span.end = at + line.len();
        }
        false
    }

    /// The content as a file has it.
    #[must_use]
    pub fn file_content(&self) -> String {
        if self.strip_tabs {
            self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
        } else {
            self.content.clone()
        }
    }

    /// The line that stands for it where there is no room for all of it.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = self.content.trim().lines();
        let first = lines.next().unwrap_or_default();
        if lines.next().is_some() { format!("{first}...") } else { first.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_words_announce_one() {
        for (word, expected) in [
            ("<<EOF", Some(("EOF", 0, true, false))),
            ("<<-EOF", Some(("EOF", 0, true, true))),
            ("<<\"EOF\"", Some(("EOF", 0, false, false))),
            ("<<'E F'", Some(("E F", 0, false, false))),
            ("3<<EOF", Some(("EOF", 3, true, false))),
            ("<< EOF", Some(("EOF", 0, true, false))),
            ("<<a.txt", Some(("a.txt", 0, true, false))),
            ("<<E\"O\"F", Some(("EOF", 0, false, false))),
            ("<<", None),
            ("<<-", None),
            ("<<<EOF", None),
            ("x<<EOF", None),
            ("<<a b", None),
            ("<<'a", None),
            ("EOF", None),
        ] {
            let found = Heredoc::parse(word);
            let found = found.as_ref().map(|h| (h.name.as_str(), h.descriptor, h.expand, h.strip_tabs));
            assert_eq!(found, expected, "{word}");
        }
    }

    #[test]
    fn which_lines_announce_some() {
        for (line, names) in [
            ("RUN <<A 3<<B 4<<-'C' awk", vec!["A", "B", "C"]),
            ("RUN cat <<EOF1 | tr a b; cat <<EOF2", vec!["EOF1", "EOF2"]),
            ("RUN cat << EOF", vec!["EOF"]),
            ("RUN echo $((1<<2))", vec![]),
            ("RUN cat <<< word", vec![]),
            ("RUN echo '<<EOF'", vec![]),
            ("RUN echo \"a <<EOF\"", vec![]),
            ("RUN echo \\<<EOF", vec![]),
            ("RUN echo it's <<EOF", vec![]),
            ("RUN $CMD ${X} <<EOF", vec!["EOF"]),
            ("RUN ${A:=1} ${A:0:2} ${A/b/c} cat <<EOF", vec!["EOF"]),
            ("RUN ${A=1} cat <<EOF", vec![]),
            ("RUN ${#A} cat <<EOF", vec![]),
        ] {
            let found: Vec<String> = Heredoc::announced(line).into_iter().map(|h| h.name).collect();
            assert_eq!(found, names, "{line}");
        }
    }

    #[test]
    fn tabs_and_summary() {
        let mut doc = Heredoc::parse("<<-E").unwrap();
        assert!(doc.read(&mut Lines::new("\ta\n\t\tb\n  c\n\tE\nrest")));
        assert_eq!(doc.content, "\ta\n\t\tb\n  c\n");
        assert_eq!(doc.file_content(), "a\nb\n  c\n");
        assert_eq!(doc.summary(), "a...");
        assert!(!Heredoc::parse("<<E").unwrap().read(&mut Lines::new("a\nE ")));
    }
}
