//! Collects complaints, so that one mistake doesn't hide the next.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The complaints so far.
#[derive(Default)]
pub struct Errors(Option<syn::Error>);

impl Errors {
    /// Complains about the tokens.
    pub fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds a complaint.
    pub fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    /// Takes the value, or its complaint.
    pub fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Returns the complaints as code that makes the compiler say them; nothing if there are none.
    pub fn into_compile_errors(self) -> Option<TokenStream> {
        self.0.map(|error| error.into_compile_error())
    }
}
