//! The macros of the ReSide SDK: they parse what is written, complain at the place of the fault, and expand to short
//! code over `reside`, where the logic is. Use them through `reside`, which documents them with examples.

mod contract;
mod errors;
mod permission;
mod texts;

use proc_macro::TokenStream;

/// Turns a trait into a contract; see `reside::contract`.
#[proc_macro_attribute]
pub fn contract(args: TokenStream, item: TokenStream) -> TokenStream {
    contract::expand(args.into(), item.into()).into()
}

/// Turns a struct of params into a permission; see `reside::Permission`.
#[proc_macro_derive(Permission, attributes(permission))]
pub fn permission(item: TokenStream) -> TokenStream {
    permission::expand(item.into()).into()
}

#[cfg(test)]
mod tests;
