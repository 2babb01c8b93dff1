//! `reside completions`

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::cli::{self, App};
use crate::error::CommandError;

/// Print the completions of a shell
///
/// Bash: `reside completions bash > ~/.local/share/bash-completion/completions/reside`. Zsh: into a file `_reside` in a
/// folder of `$fpath`. Fish: `reside completions fish > ~/.config/fish/completions/reside.fish`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: ShellName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// Runs the command.
pub fn run(app: &App, args: CompletionsArgs) -> Result<(), CommandError> {
    let shell = match args.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::definition(), "reside", &mut script);
    app.ui.print(&String::from_utf8_lossy(&script))
}
