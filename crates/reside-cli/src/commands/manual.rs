//! `reside manual`, hidden: prints the reference page, from which `docs/cli.md` is made.

use std::fmt::Write;

use clap::{Arg, Args, Command};

use crate::cli::{self, App};
use crate::env::{ALL, Reader};
use crate::error::CommandError;

/// Print the reference page as Markdown
#[derive(Args, Debug)]
pub struct ManualArgs {}

/// Runs the command.
pub fn run(app: &App, ManualArgs {}: ManualArgs) -> Result<(), CommandError> {
    let mut definition = cli::definition().term_width(100);
    definition.build();
    let mut page = String::from(
        "# The command line\n\nMade by `reside manual`; a test compares. Exit codes: 0 done, 1 failed, 2 wrong usage. The global \
         options go with every command.\n",
    );
    describe(&mut page, &definition, None, &mut vec!["reside".to_owned()]);
    page.push_str("\n## Environment\n\n| variable | read by | meaning |\n|---|---|---|\n");
    for variable in ALL {
        let reader = match variable.reader {
            Reader::Command => "`reside`",
            Reader::Replica => "replicas",
        };
        // Writing to a text can't fail.
        let _ = writeln!(page, "| `{}` | {reader} | {} |", variable.name, variable.about);
    }
    app.ui.print(&page)
}

fn describe(page: &mut String, command: &Command, parent: Option<&Command>, path: &mut Vec<String>) {
    // Options that go with all commands below one are told there alone.
    let is_told = |arg: &Arg| {
        let is_same = |of_parent: &Arg| of_parent.get_id() == arg.get_id();
        arg.is_global_set() && parent.is_some_and(|parent| parent.get_arguments().any(is_same))
    };
    let mut shown = command
        .clone()
        .mut_args(|arg| if is_told(&arg) { arg.hide(true) } else { arg });
    let help = shown.render_long_help().to_string();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(
        page,
        "\n## {}\n\n```text\n{}\n```\n",
        path.join(" "),
        lines.join("\n")
    );
    for child in command
        .get_subcommands()
        .filter(|child| !child.is_hide_set() && child.get_name() != "help")
    {
        path.push(child.get_name().to_owned());
        describe(page, child, Some(command), path);
        path.pop();
    }
}
