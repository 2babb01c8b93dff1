//! How a command fails: what happened, why, and what to do. The kind decides the exit code, here and nowhere else.
//! Libraries know causes; advice is given by the commands.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command was understood and did not succeed.
    Failed,
    /// The command line asks for something that can't be meant.
    Usage,
    /// Whoever read our output went away. Nobody is told.
    ClosedPipe,
}

/// Why a command ends early.
#[derive(Debug)]
pub struct CommandError {
    kind: Kind,
    what: String,
    why: Option<Box<dyn Error + Send + Sync>>,
    help: Option<String>,
    /// Boxed to keep results small.
    excerpt: Option<Box<Excerpt>>,
}

/// The text in which something is wrong, and where.
#[derive(Debug)]
struct Excerpt {
    text: NamedSource<String>,
    at: SourceSpan,
    label: String,
}

impl CommandError {
    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            why: None,
            help: None,
            excerpt: None,
        }
    }

    /// It did not succeed: exit code 1.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    /// The command line is wrong: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// Our output is not read any more.
    pub fn closed_pipe() -> Self {
        Self::new(Kind::ClosedPipe, "the output is not read any more")
    }

    /// Adds the cause.
    pub fn because(mut self, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds what to do, best as a command that can be pasted.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Shows the place in a text: `line` and `column` count from 1.
    pub fn at(
        mut self,
        name: impl AsRef<str>,
        text: &str,
        (line, column): (usize, usize),
        label: impl Into<String>,
    ) -> Self {
        let at = offset(text, line, column);
        let length = text[at..].chars().next().map_or(0, char::len_utf8);
        self.excerpt = Some(Box::new(Excerpt {
            text: NamedSource::new(name, text.to_owned()),
            at: (at, length).into(),
            label: label.into(),
        }));
        self
    }

    /// Whose move it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The causes as one text, for sending.
    pub fn why(&self) -> Option<String> {
        let first = self.source()?;
        let mut text = first.to_string();
        let mut cause = first.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Some(text)
    }

    /// What to do, for sending.
    pub fn advice(&self) -> Option<String> {
        self.help.clone()
    }

    /// Returns what the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
            Kind::ClosedPipe => ExitCode::SUCCESS,
        }
    }

    /// Tells whether somebody should read it.
    pub fn is_worth_telling(&self) -> bool {
        self.kind != Kind::ClosedPipe
    }
}

/// Returns the byte that a position means, or the last possible one.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = &text[start..];
    let line = rest.split('\n').next().unwrap_or(rest);
    let within = line
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(at, _)| at);
    start + within
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.why.as_deref().map(|why| why as _)
    }
}

impl Diagnostic for CommandError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| &excerpt.text as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let label = LabeledSpan::new_primary_with_span(Some(excerpt.label.clone()), excerpt.at);
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::offset;

    #[test]
    fn a_position_is_a_byte() {
        let text = "eins\nzwölf\n";
        assert_eq!(offset(text, 1, 1), 0);
        assert_eq!(offset(text, 2, 1), 5);
        assert_eq!(offset(text, 2, 4), 9);
        assert_eq!(&text[offset(text, 2, 4)..], "lf\n");
    }

    #[test]
    fn a_position_outside_is_the_nearest_inside() {
        assert_eq!(offset("eins", 1, 9), 4);
        assert_eq!(offset("eins", 7, 1), 4);
        assert_eq!(offset("", 1, 1), 0);
        assert_eq!(offset("a\nb", 1, 9), 1);
    }
}
