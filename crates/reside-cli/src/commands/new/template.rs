//! The files of a new crate.

use reside::Identity;
use reside::manifest::is_replica_name;

use super::sdk::Sdk;
use crate::error::CommandError;

/// Below this lie the identities of ReSide's own contracts and replicas.
const OWN: &str = "ghcr.io/exeteres/reside";
/// Below this lie identities that nobody has chosen yet: such an image can't be published.
const NOWHERE: &str = "localhost";
/// Names that a crate can't have: keywords of Rust, and crates that it depends on.
const RESERVED: [&str; 45] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "jazz", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "reside", "return", "schemars",
    "serde", "static", "std", "test", "tokio", "tracing", "type", "use",
];

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A contract.
    Contract,
    /// A replica.
    Replica,
}

impl Kind {
    /// Where crates of this kind lie in the workspace, and how their identities begin.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Contract => "contracts",
            Self::Replica => "replicas",
        }
    }
}

/// A crate that is about to be made.
#[derive(Clone, Debug)]
pub struct Template {
    kind: Kind,
    /// As it was typed, without the major version.
    name: String,
    /// The major version of a contract.
    major: u32,
    identity: Identity,
}

impl Template {
    /// Checks the name, and finds an identity if none was chosen.
    pub fn new(
        kind: Kind,
        name: &str,
        is_own: bool,
        identity: Option<Identity>,
    ) -> Result<Self, CommandError> {
        let (name, major) = match (kind, name.rsplit_once(".v")) {
            (Kind::Contract, Some((name, major))) => (name, major.parse().ok().filter(|major| *major > 0)),
            _ => (name, Some(1)),
        };
        let invalid = |help: &str| CommandError::usage(format!("`{name}` can't be its name")).help(help);
        let major = major.ok_or_else(|| invalid("a major version is a number from 1, as in `notes.v2`"))?;
        if !is_replica_name(name) || name.ends_with('-') || name.contains("--") {
            return Err(invalid(
                "a name has lower-case letters, digits and single dashes, and begins with a letter",
            ));
        }
        if RESERVED.contains(&name) {
            return Err(invalid("Rust or one of its crates uses this name already"));
        }
        let mut template = Self {
            kind,
            name: name.to_owned(),
            major,
            identity: Identity::from_static("localhost/x"),
        };
        template.identity = match identity {
            Some(identity) => identity,
            None => {
                let place = if is_own { OWN } else { NOWHERE };
                let text = format!("{place}/{}/{}", kind.folder(), template.folder_name());
                text.parse()
                    .map_err(|why| invalid("choose another one").because(why))?
            }
        };
        Ok(template)
    }

    /// The image name.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How its folder is called.
    pub fn folder_name(&self) -> String {
        match self.kind {
            Kind::Contract => format!("{}.v{}", self.name, self.major),
            Kind::Replica => self.name.clone(),
        }
    }

    /// The paths and contents of its files.
    pub fn files(&self, sdk: &Sdk) -> Vec<(String, String)> {
        let [lib, main, test] = match self.kind {
            Kind::Contract => [
                include_str!("../../../templates/contract/lib.rs"),
                include_str!("../../../templates/contract/main.rs"),
                include_str!("../../../templates/contract/test.rs"),
            ],
            Kind::Replica => [
                include_str!("../../../templates/replica/lib.rs"),
                include_str!("../../../templates/replica/main.rs"),
                include_str!("../../../templates/replica/test.rs"),
            ],
        };
        let mut files = vec![
            ("Cargo.toml".to_owned(), self.manifest(sdk)),
            ("src/lib.rs".to_owned(), self.fill(lib)),
            ("src/main.rs".to_owned(), self.fill(main)),
            (format!("tests/{}.rs", self.name), self.fill(test)),
            (
                "CHANGELOG.md".to_owned(),
                include_str!("../../../templates/CHANGELOG.md").to_owned(),
            ),
        ];
        if *sdk != Sdk::Workspace {
            files.push((".gitignore".to_owned(), "/target\n".to_owned()));
        }
        files
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("@Name@", &self.type_name())
            .replace("@Title@", &self.title())
            .replace("@name@", &self.name)
            .replace("@crate@", &self.package().replace('-', "_"))
            .replace("@identity@", self.identity.as_str())
    }

    fn package(&self) -> String {
        match self.kind {
            Kind::Contract => format!("{}-v{}", self.name, self.major),
            Kind::Replica => self.name.clone(),
        }
    }

    /// `some-thing` as `SomeThing`.
    fn type_name(&self) -> String {
        self.name.split('-').map(capital).collect()
    }

    /// `some-thing` as `Some thing`.
    fn title(&self) -> String {
        capital(&self.name.replace('-', " "))
    }

    fn manifest(&self, sdk: &Sdk) -> String {
        let is_member = *sdk == Sdk::Workspace;
        let shared = match is_member {
            true => [
                "version",
                "edition",
                "rust-version",
                "license",
                "repository",
                "publish",
            ]
            .map(|field| format!("{field}.workspace = true\n"))
            .concat(),
            false => "version = \"0.1.0\"\nedition = \"2024\"\npublish = false\n".to_owned(),
        };
        let mut text = format!("[package]\nname = \"{}\"\n{shared}\n", self.package());
        if is_member {
            text += "[lints]\nworkspace = true\n\n";
        }
        let external = |name: &str, version: &str| match is_member {
            true => format!("{name} = {{ workspace = true }}\n"),
            false => format!("{name} = {version}\n"),
        };
        let own = |name: &str| format!("{name} = {}\n", sdk.dependency(name));
        text += "[dependencies]\n";
        text += &own("reside");
        text += &own("jazz");
        text += &match self.kind {
            Kind::Contract => {
                external("schemars", "\"1.2\"")
                    + &external("serde", r#"{ version = "1.0", features = ["derive"] }"#)
            }
            Kind::Replica => external("tracing", "\"0.1\""),
        };
        text += "\n[dev-dependencies]\n";
        text += &external(
            "tokio",
            r#"{ version = "1.54", features = ["macros", "rt-multi-thread"] }"#,
        );
        if !is_member {
            text += include_str!("../../../templates/profile.toml");
        }
        if matches!(sdk, Sdk::Clone { is_around: true, .. }) {
            text += "\n# The clone of ReSide around it is another workspace.\n[workspace]\n";
        }
        text
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(kind: Kind, sdk: &Sdk) -> String {
        let template = Template::new(kind, "some-thing", *sdk == Sdk::Workspace, None).unwrap();
        let files = template.files(sdk);
        files
            .into_iter()
            .find(|(path, _)| path == "Cargo.toml")
            .unwrap()
            .1
    }

    #[test]
    fn a_name_becomes_identity_type_and_title() {
        let template = Template::new(Kind::Contract, "some-thing.v2", true, None).unwrap();
        assert_eq!(
            template.identity.as_str(),
            "ghcr.io/exeteres/reside/contracts/some-thing.v2"
        );
        let filled = template.fill("@Name@ @Title@ @crate@");
        assert_eq!(filled, "SomeThing Some thing some_thing_v2");
        let template = Template::new(Kind::Replica, "some-thing", false, None).unwrap();
        assert_eq!(template.identity.as_str(), "localhost/replicas/some-thing");
    }

    #[test]
    fn what_can_not_be_a_crate_is_refused() {
        for name in [
            "",
            "Some",
            "1st",
            "a_b",
            "a-",
            "a--b",
            "../a",
            "crate",
            "reside",
            &"a".repeat(41),
        ] {
            assert!(
                Template::new(Kind::Replica, name, true, None).is_err(),
                "{name:?}"
            );
        }
        for name in ["notes.v0", "notes.vx", "notes.v"] {
            assert!(
                Template::new(Kind::Contract, name, true, None).is_err(),
                "{name:?}"
            );
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for kind in [Kind::Contract, Kind::Replica] {
            let template = Template::new(kind, "some-thing", false, None).unwrap();
            for (path, content) in template.files(&Sdk::Repository) {
                assert!(!content.contains('@'), "{path}: {content}");
            }
        }
    }

    #[test]
    fn the_sdk_is_the_nearest() {
        let member = manifest(Kind::Replica, &Sdk::Workspace);
        assert!(member.contains("reside = { workspace = true }"), "{member}");
        assert!(!member.contains("[profile"), "{member}");
        let alone = manifest(Kind::Contract, &Sdk::Repository);
        assert!(
            alone.contains("jazz = { git = \"https://github.com/exeteres/reside\" }"),
            "{alone}"
        );
        let clone = Sdk::Clone {
            root: "/clone".into(),
            is_around: true,
        };
        let inside = manifest(Kind::Contract, &clone);
        assert!(
            inside.contains("reside = { path = \"/clone/crates/reside\" }"),
            "{inside}"
        );
        assert!(inside.contains("[workspace]"), "{inside}");
    }
}
