//! Pages of the book whose commands are run as they stand: what a page shows is what the commands print.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::{GREETER, Home, PATIENCE};

/// A command of a page with what it prints there.
struct Shown {
    line: String,
    output: String,
}

/// The `console` blocks of a page, command by command, and where their outputs are in the text.
fn commands(page: &str) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match (is_inside, line) {
            (false, "```console") => is_inside = true,
            (false, _) => {}
            (true, "```") => is_inside = false,
            (true, line) => match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push(Shown {
                    line: command.to_owned(),
                    output: String::new(),
                }),
                (None, Some(last)) => last.output += &format!("{line}\n"),
                (None, None) => panic!("a block begins without a command: {line}"),
            },
        }
    }
    commands
}

/// The page with other outputs.
fn rewritten(page: &str, outputs: &[String]) -> String {
    let (mut text, mut outputs, mut is_inside) = (String::new(), outputs.iter(), false);
    for line in page.lines() {
        match (is_inside, line) {
            (false, "```console") => is_inside = true,
            (true, "```") => is_inside = false,
            _ => {}
        }
        if is_inside && line.starts_with("$ ") {
            text += &format!("{line}\n{}", outputs.next().unwrap());
        } else if !is_inside || line == "```console" {
            text += &format!("{line}\n");
        }
    }
    text
}

/// Without what differs from run to run: ids, times, and the widths of columns that follow from them.
fn normal(output: &str) -> String {
    let word = |word: &str| {
        let is_id = word.starts_with("co_z");
        let is_time = word.contains(['-', ':']) && word.chars().all(|char| "0123456789-:,;".contains(char));
        if is_id {
            "[id]".to_owned()
        } else if is_time {
            "[time]".to_owned()
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    output.lines().map(line).collect::<Vec<_>>().join("\n")
}

struct Shell<'a> {
    home: &'a Home,
    path: PathBuf,
}

impl<'a> Shell<'a> {
    fn new(home: &'a Home) -> Self {
        let path = home.path().join("bin");
        fs::create_dir(&path).unwrap();
        symlink(env!("CARGO_BIN_EXE_reside"), path.join("reside")).unwrap();
        Self { home, path }
    }

    /// What a person sees: the data, and what is said besides.
    fn run(&self, line: &str) -> String {
        let path = format!(
            "{}:{}",
            self.path.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = Command::new("sh")
            .args(["-c", &format!("{line} 2>&1")])
            .env_clear()
            .env("RESIDE_HOME", self.home.path())
            .env("PATH", path)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command until it says what it should: others have to do their part first.
    fn until(&self, shown: &Shown) -> String {
        let (deadline, wanted) = (Instant::now() + PATIENCE, normal(&shown.output));
        loop {
            let output = self.run(&shown.line);
            if normal(&output) == wanted || Instant::now() > deadline || !is_question(&shown.line) {
                return output;
            }
        }
    }
}

/// Tells whether a command changes nothing and may be run again.
fn is_question(line: &str) -> bool {
    [" list", " show ", " why ", " log"]
        .iter()
        .any(|word| line.contains(word))
}

#[test]
fn permissions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
    let page = fs::read_to_string(&path).unwrap();
    let home = Home::with_cluster();
    home.ok(&format!("replica load {GREETER} --yes"));
    let shell = Shell::new(&home);
    let is_update = std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always");
    let mut outputs = Vec::new();
    for shown in commands(&page) {
        if is_update {
            // What follows from the last command is there after a moment.
            std::thread::sleep(std::time::Duration::from_secs(2));
            outputs.push(shell.run(&shown.line));
            continue;
        }
        let output = shell.until(&shown);
        assert_eq!(
            normal(&output),
            normal(&shown.output),
            "`{}`: write docs/permissions.md anew with INSTA_UPDATE=always\n{output}",
            shown.line
        );
    }
    if is_update {
        fs::write(&path, rewritten(&page, &outputs)).unwrap();
    }
}
