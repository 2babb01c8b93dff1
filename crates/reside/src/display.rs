//! Texts for people: titles and descriptions per language, with `{param}` placeholders.

use std::{borrow::Cow, collections::BTreeMap};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const LANGUAGES_MAX: usize = 64;
const TITLE_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// A title and a description per BCP 47 language tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "IndexMap<String, DisplayText>",
    into = "IndexMap<String, DisplayText>"
)]
pub struct DisplayInfo(IndexMap<String, DisplayText>);

/// What is shown in one language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DisplayText {
    /// A few words.
    pub title: String,
    /// A sentence or two.
    #[serde(default)]
    pub description: String,
}

/// Texts that can't be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDisplayInfo {
    /// The key isn't a language tag.
    #[error("`{0}` is not a language tag")]
    Language(String),
    /// More languages than anybody translates to.
    #[error("more than {LANGUAGES_MAX} languages")]
    TooManyLanguages,
    /// A title is missing or too long.
    #[error("the title in `{0}` must have 1 to {TITLE_CHARS_MAX} characters")]
    Title(String),
    /// A description is too long.
    #[error("the description in `{0}` must have at most {DESCRIPTION_CHARS_MAX} characters")]
    Description(String),
}

impl JsonSchema for DisplayInfo {
    fn schema_name() -> Cow<'static, str> {
        "DisplayInfo".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, DisplayText>::json_schema(generator)
    }
}

impl DisplayInfo {
    /// Makes texts in no language yet; see [`DisplayInfo::with`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the texts in one language.
    #[must_use]
    pub fn with(mut self, language: &str, title: &str, description: &str) -> Self {
        let text = DisplayText {
            title: title.to_owned(),
            description: description.to_owned(),
        };
        self.0.insert(language.to_owned(), text);
        self
    }

    /// Returns the texts in the language, or the nearest there is: the language without region, English, the first.
    pub fn lookup(&self, language: &str) -> Option<&DisplayText> {
        let exact = self.find(language);
        let alone = || self.find(language.split('-').next().unwrap_or(language));
        let english = || self.find("en");
        exact
            .or_else(alone)
            .or_else(english)
            .or_else(|| self.0.values().next())
    }

    /// Returns the title in the nearest language, placeholders filled from the params.
    pub fn title(&self, language: &str, params: &Map<String, Value>) -> Option<String> {
        self.lookup(language).map(|text| fill(&text.title, params))
    }

    /// Returns the description in the nearest language, placeholders filled from the params.
    pub fn description(&self, language: &str, params: &Map<String, Value>) -> Option<String> {
        self.lookup(language).map(|text| fill(&text.description, params))
    }

    /// Returns the languages and their texts, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &DisplayText)> {
        self.0.iter().map(|(language, text)| (language.as_str(), text))
    }

    /// Tells whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks tags and sizes; texts from outside are checked as they are parsed.
    pub fn check(&self) -> Result<(), InvalidDisplayInfo> {
        if self.0.len() > LANGUAGES_MAX {
            return Err(InvalidDisplayInfo::TooManyLanguages);
        }
        for (language, text) in &self.0 {
            if !is_language_tag(language) {
                return Err(InvalidDisplayInfo::Language(language.chars().take(40).collect()));
            }
            if text.title.trim().is_empty() || text.title.chars().count() > TITLE_CHARS_MAX {
                return Err(InvalidDisplayInfo::Title(language.clone()));
            }
            if text.description.chars().count() > DESCRIPTION_CHARS_MAX {
                return Err(InvalidDisplayInfo::Description(language.clone()));
            }
        }
        Ok(())
    }

    fn find(&self, language: &str) -> Option<&DisplayText> {
        self.0
            .iter()
            .find(|(tag, _)| tag.eq_ignore_ascii_case(language))
            .map(|(_, text)| text)
    }
}

/// Replaces each `{param}` that the params hold; everything else stays as it is.
fn fill(text: &str, params: &Map<String, Value>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        filled.push_str(before);
        let param = from_brace
            .find('}')
            .and_then(|close| Some((close, params.get(&from_brace[1..close])?)));
        match param {
            Some((close, value)) => {
                filled.push_str(&crate::permission::value_text(value));
                rest = &from_brace[close + 1..];
            }
            None => {
                filled.push('{');
                rest = &from_brace[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    tag.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

impl TryFrom<IndexMap<String, DisplayText>> for DisplayInfo {
    type Error = InvalidDisplayInfo;

    fn try_from(texts: IndexMap<String, DisplayText>) -> Result<Self, Self::Error> {
        let info = Self(texts);
        info.check()?;
        Ok(info)
    }
}

impl From<DisplayInfo> for IndexMap<String, DisplayText> {
    fn from(info: DisplayInfo) -> Self {
        info.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lookup_goes_from_the_exact_tag_to_the_language_to_english_to_the_first() {
        let info = DisplayInfo::new()
            .with("de", "Hallo", "")
            .with("pt", "Oi", "")
            .with("pt-PT", "Olá", "");
        let title = |info: &DisplayInfo, tag| info.title(tag, &Map::new()).expect("there are texts");
        assert_eq!(title(&info, "pt-PT"), "Olá");
        assert_eq!(title(&info, "pt-BR"), "Oi");
        assert_eq!(title(&info, "fr"), "Hallo");
        assert_eq!(title(&info.with("en", "Hello", ""), "fr"), "Hello");
        assert_eq!(DisplayInfo::new().lookup("en"), None);
    }

    #[test]
    fn placeholders_are_filled_from_the_params_and_nothing_else_is_touched() {
        let params = json!({"language": "en", "count": 3});
        let params = params.as_object().expect("an object");
        assert_eq!(
            fill("Greet in {language}, {count} times", params),
            "Greet in en, 3 times"
        );
        assert_eq!(
            fill("{other} {language {language}", params),
            "{other} {language en"
        );
        assert_eq!(fill("{", params), "{");
    }

    #[test]
    fn bad_texts_are_refused_when_parsed() {
        for bad in [
            json!({"english!": {"title": "x"}}),
            json!({"en": {"title": " "}}),
            json!({"en": {"title": "x".repeat(201)}}),
            json!({"en": {"title": "x", "description": "x".repeat(2001)}}),
            json!({"en": {"title": "x", "colour": "red"}}),
            json!({"en": "x"}),
        ] {
            assert!(
                serde_json::from_value::<DisplayInfo>(bad.clone()).is_err(),
                "{bad}"
            );
        }
    }
}
