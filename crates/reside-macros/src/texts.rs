//! Texts for people in macro arguments: `en("title", "description")`, `ru(…)`, `text("de", "title", "description")`; the
//! description may be left out.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{LitStr, Token, parenthesized, parse::ParseStream};

use crate::errors::Errors;

/// Titles and descriptions by language, in the order they were written.
#[derive(Default)]
pub struct Texts(Vec<(String, LitStr, LitStr)>);

impl Texts {
    /// Parses what follows `keyword` if it names texts; returns false for any other keyword.
    pub fn parse(&mut self, keyword: &Ident, input: ParseStream) -> syn::Result<bool> {
        let language = keyword.to_string();
        if !matches!(language.as_str(), "en" | "ru" | "text") {
            return Ok(false);
        }
        let content;
        parenthesized!(content in input);
        let language = match language.as_str() {
            "text" => {
                let tag: LitStr = content.parse()?;
                content.parse::<Token![,]>()?;
                tag.value()
            }
            _ => language,
        };
        let title: LitStr = content.parse()?;
        content.parse::<Option<Token![,]>>()?;
        let description = if content.is_empty() {
            LitStr::new("", title.span())
        } else {
            content.parse()?
        };
        content.parse::<Option<Token![,]>>()?;
        if !content.is_empty() {
            return Err(content.error("expected a title and a description"));
        }
        if self.0.iter().any(|(other, ..)| *other == language) {
            return Err(syn::Error::new(
                keyword.span(),
                format!("the texts in `{language}` are given twice"),
            ));
        }
        self.0.push((language, title, description));
        Ok(true)
    }

    /// Complains if nobody could read the texts.
    pub fn check(&self, errors: &mut Errors, place: &impl quote::ToTokens) {
        if !self.0.iter().any(|(language, ..)| language == "en") {
            errors.at(
                place,
                "texts in English are missing: add `en(\"title\", \"description\")`",
            );
        }
        for (_, title, _) in &self.0 {
            if title.value().trim().is_empty() {
                errors.at(title, "the title is empty");
            }
        }
    }

    /// Returns the expression that makes the texts at run time.
    pub fn expression(&self) -> TokenStream {
        let with = self
            .0
            .iter()
            .map(|(language, title, description)| quote!(.with(#language, #title, #description)));
        quote!(::reside::DisplayInfo::new()#(#with)*)
    }
}
