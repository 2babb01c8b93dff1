//! The derive macro of the crate `jazz`. It turns a struct or an enum into the schema of a CoMap; all behaviour
//! stands in `jazz` itself, so the expansion is a table of fields and one line per field and direction.

mod co_map;
mod union;

use proc_macro::TokenStream;

/// Makes a struct with named fields, or an enum, the schema of a CoMap.
///
/// A field is stored under its name in camelCase. Its type is any serde type, or a `Ref<T>` to another CoValue.
/// `Option<T>` is an optional field: absent and `null` read as `None`, and `None` is not written.
///
/// Attributes:
///
/// | on | attribute | meaning |
/// |---|---|---|
/// | struct | `#[co(rename_all = "…")]` | `camelCase` (the default), `snake_case`, `PascalCase`, `kebab-case` or `SCREAMING_SNAKE_CASE` |
/// | struct | `#[co(crate = "…")]` | path of the crate `jazz`, where it is reached through another crate |
/// | field | `#[co(rename = "…")]` | the name under which the field is stored |
/// | field | `#[co(default)]` | absent and `null` read as `Default::default()` |
/// | field | `#[co(default = "…")]` | absent and `null` read as what this function returns |
/// | struct, enum | `#[co(migrate = "…")]` | a function `fn(&Co<Self>) -> Result<(), WriteError>` that is called when a map is loaded by an account that may write to it; it brings old content up to date and does nothing to what is |
/// | enum | `#[co(tag = "…")]` | required: the field that says which variant a map is |
/// | variant | `#[co(rename = "…")]` | what the tag says for this variant, otherwise its name in the case of `rename_all` |
///
/// An enum is a discriminated union, with a variant for each shape of map. Its variants have named fields, or none.
#[proc_macro_derive(CoMap, attributes(co))]
pub fn derive_co_map(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    co_map::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
