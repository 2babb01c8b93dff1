//! All output. Data goes to stdout, talk to stderr; colours only where somebody sees them, and never the only bearer
//! of a meaning.

mod progress;
mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

pub use progress::Progress;
pub use table::{Fields, Table};

use crate::env;
use crate::error::CommandError;

/// Headings, and names that are talked about.
pub const STRONG: Style = Style::new().bold();
/// It went well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something deserves attention.
pub const ATTENTION: Style = AnsiColor::Yellow.on_default().bold();
/// What can be skipped.
pub const FAINT: Style = Style::new().dimmed();

/// A place that nobody measured.
const WIDTH_DEFAULT: usize = 100;

/// The form of data on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// What is shown as it is in JSON, and drawn for people.
pub trait View: Serialize {
    /// Draws it for a person.
    fn draw(&self) -> Drawing;
}

/// What a person sees.
pub enum Drawing {
    /// Lines of a kind.
    Table(Table),
    /// One thing in detail, perhaps with tables below.
    Fields(Fields),
    /// Anything else.
    Text(String),
}

/// The terminal, or what is in its place.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    output: Output,
    is_quiet: bool,
    stdout: Stream,
    stderr: Stream,
}

/// What is known of one of the two.
#[derive(Clone, Copy, Debug)]
struct Stream {
    is_terminal: bool,
    has_colours: bool,
}

impl Ui {
    /// Looks at where the output goes.
    pub fn new(output: Output, is_quiet: bool) -> Self {
        let has_colours = |choice| choice != ColorChoice::Never;
        Self {
            output,
            is_quiet,
            stdout: Stream {
                is_terminal: io::stdout().is_terminal(),
                has_colours: has_colours(AutoStream::choice(&io::stdout())),
            },
            stderr: Stream {
                is_terminal: io::stderr().is_terminal(),
                has_colours: has_colours(AutoStream::choice(&io::stderr())),
            },
        }
    }

    /// Shows data in the form that was asked for.
    pub fn show(&self, view: &impl View) -> Result<(), CommandError> {
        match self.output {
            Output::Json => self.json(view),
            Output::Table => match view.draw() {
                Drawing::Table(table) => self.print(&table.draw(self.table_width(), self.stdout.has_colours)),
                Drawing::Fields(fields) => {
                    self.print(&fields.draw(self.table_width(), self.stdout.has_colours))
                }
                Drawing::Text(text) => self.print(&text),
            },
        }
    }

    /// Writes JSON to stdout.
    pub fn json(&self, value: &(impl Serialize + ?Sized)) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|why| CommandError::failed("cannot write the result as JSON").because(why))?;
        self.print(&text)
    }

    /// Writes JSON as one line, where many follow each other.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string(value)
            .map_err(|why| CommandError::failed("cannot write the result as JSON").because(why))?;
        self.print(&text)
    }

    /// Draws what a person is asked about; it goes to stderr.
    pub fn drawn(&self, view: &impl View) -> String {
        let (width, has_colours) = (width(self.stderr), self.stderr.has_colours);
        match view.draw() {
            Drawing::Table(table) => table.draw(width, has_colours),
            Drawing::Fields(fields) => fields.draw(width, has_colours),
            Drawing::Text(text) => text,
        }
    }

    /// Writes to stdout, with a line end if the text has none.
    pub fn print(&self, text: &str) -> Result<(), CommandError> {
        let mut stdout = anstream::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let written = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CommandError::closed_pipe(),
            _ => CommandError::failed("cannot write the output").because(error),
        })
    }

    /// Says what is going on or was done.
    pub fn say(&self, text: impl Display) {
        if !self.is_quiet {
            self.tell(text);
        }
    }

    /// Suggests what to do next.
    pub fn hint(&self, text: impl Display) {
        self.say(format_args!("{FAINT}hint:{FAINT:#} {text}"));
    }

    /// Says what may surprise, even to those who want it quiet.
    pub fn warn(&self, text: impl Display) {
        self.tell(format_args!("{ATTENTION}warning:{ATTENTION:#} {text}"));
    }

    /// Shows something that takes its time.
    pub fn progress(&self, text: impl Display) -> Progress {
        match (self.is_quiet, self.stderr.is_terminal) {
            (true, _) => Progress::silent(),
            (false, true) => Progress::spinner(text.to_string()),
            (false, false) => Progress::lines(text.to_string()),
        }
    }

    /// Asks. `yes` is the option that answers in advance; without a terminal nobody else can.
    pub fn confirm(&self, question: &str, yes: bool) -> Result<bool, CommandError> {
        if yes {
            return Ok(true);
        }
        if !(io::stdin().is_terminal() && self.stderr.is_terminal) {
            return Err(CommandError::usage(format!("cannot ask: {question}"))
                .because("the command does not run in a terminal")
                .help("answer with `--yes`"));
        }
        let answer = dialoguer::Confirm::new()
            .with_prompt(question)
            .default(false)
            .interact();
        answer.map_err(|why| CommandError::failed("cannot ask").because(why))
    }

    /// Tells why the command failed.
    pub fn report(&self, error: &CommandError) {
        if !error.is_worth_telling() {
            return;
        }
        let theme = if self.stderr.has_colours {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_context_lines(1)
            // A command that is wrapped can't be pasted.
            .with_wrap_lines(false)
            .with_width(width(self.stderr).unwrap_or(WIDTH_DEFAULT));
        let mut text = String::new();
        if handler.render_report(&mut text, error).is_err() {
            text = error.to_string();
        }
        self.tell(text.trim_end_matches('\n'));
    }

    /// Nothing can be done if nobody can be told.
    fn tell(&self, text: impl Display) {
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// A file or a program gets lines as long as they are.
    fn table_width(&self) -> Option<usize> {
        width(self.stdout)
    }
}

/// The width of a terminal, or what `COLUMNS` says.
fn width(stream: Stream) -> Option<usize> {
    let told = env::read("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
    let measured = || stream.is_terminal.then(terminal_width).flatten();
    told.filter(|width| *width > 0).or_else(measured)
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr())
        .or_else(|_| rustix::termios::tcgetwinsize(rustix::stdio::stdout()));
    size.ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|width| *width > 0)
}

/// A number of bytes as people read it.
pub fn size_text(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Enough of a digest to tell images apart.
pub fn short_digest(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}
