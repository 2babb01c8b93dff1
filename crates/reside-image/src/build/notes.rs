//! Release notes: what the crate's `CHANGELOG.md` says of its version, for whoever updates to it.

use std::path::Path;

/// The label that holds the release notes, as Markdown.
pub const RELEASE_NOTES_LABEL: &str = "io.reside.release-notes";

/// Nobody reads more than this before an update.
const NOTES_BYTES_MAX: usize = 8 * 1024;
const CHANGELOG_BYTES_MAX: u64 = 1 << 20;

/// Returns the notes for a version; none if there are none.
pub(super) fn of(directory: &Path, version: &str) -> Option<String> {
    let text = super::read_bounded(&directory.join("CHANGELOG.md"), CHANGELOG_BYTES_MAX).ok()?;
    let text = String::from_utf8_lossy(&text);
    let notes = section(&text, version).or_else(|| section(&text, "unreleased"))?;
    Some(shortened(&notes, NOTES_BYTES_MAX))
}

/// Returns what stands below the heading of a version, as `## [1.2.0] - 2026-01-31`, up to the next such heading.
fn section(changelog: &str, version: &str) -> Option<String> {
    let is_heading = |line: &&str| line.starts_with("## ");
    let mut lines = changelog
        .lines()
        .skip_while(|line| !(is_heading(line) && names(line, version)));
    lines.next()?;
    let notes: Vec<&str> = lines.take_while(|line| !is_heading(line)).collect();
    Some(notes.join("\n").trim().to_owned()).filter(|notes| !notes.is_empty())
}

fn names(heading: &str, version: &str) -> bool {
    let first = heading
        .trim_start_matches('#')
        .split_whitespace()
        .next()
        .unwrap_or_default();
    let first = first.trim_matches(['[', ']']);
    first
        .strip_prefix('v')
        .unwrap_or(first)
        .eq_ignore_ascii_case(version)
}

/// Cuts a text that is too long.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let cut = (0..=limit - '…'.len_utf8())
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n- Soon.\n\n## [1.1.0] - 2026-01-31\n\n### Added\n\n- Doors.\n\n## v1.0.0\n- First.\n[1.1.0]: x\n";

    #[test]
    fn a_version_has_its_section() {
        assert_eq!(
            section(CHANGELOG, "1.1.0").as_deref(),
            Some("### Added\n\n- Doors.")
        );
        assert_eq!(
            section(CHANGELOG, "1.0.0").as_deref(),
            Some("- First.\n[1.1.0]: x")
        );
        assert_eq!(section(CHANGELOG, "unreleased").as_deref(), Some("- Soon."));
        assert_eq!(section(CHANGELOG, "1.1"), None);
        assert_eq!(section("## [2.0.0]\n\n## [1.0.0]\n- x\n", "2.0.0"), None);
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        assert_eq!(shortened("ёжик", 100), "ёжик");
        assert_eq!(shortened("ёжик", 6), "ё…");
        assert_eq!(shortened("ёжик", 7), "ёж…");
    }
}
