//! `#[derive(CoMap)]`: reads the struct or enum and its attributes, then prints the implementation.

use std::collections::HashMap;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, Fields, FieldsNamed, GenericArgument, LitStr, PathArguments, Result, Type,
};

use crate::union;

/// The attributes of the struct or enum.
pub(crate) struct Container {
    pub krate: syn::Path,
    pub rename_all: Case,
    pub tag: Option<LitStr>,
    migrate: Option<syn::Path>,
}

/// One field and how it is stored.
pub(crate) struct Field<'a> {
    pub ident: &'a Ident,
    ty: &'a Type,
    pub wire: LitStr,
    mode: Mode,
}

enum Mode {
    Required,
    Optional,
    /// An optional reference or date: jazz-tools clears those by writing `null`, all others by deleting the key.
    OptionalNull,
    Default,
    /// What a function returns is the default.
    DefaultOf(syn::Path),
}

#[derive(Clone, Copy)]
pub(crate) enum Case {
    Camel,
    Snake,
    Pascal,
    Kebab,
    ScreamingSnake,
}

/// The parts of an implementation that depend on whether it is a struct or an enum.
pub(crate) struct Body {
    /// The entries of the table of fields.
    pub table: Vec<TokenStream>,
    /// Reads `Self` from `map`.
    pub read: TokenStream,
    /// Writes `self` to `map`.
    pub write: TokenStream,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let container = Container::parse(input)?;
    let Body { table, read, write } = match &input.data {
        Data::Struct(data) => of_struct(input, &data.fields, &container)?,
        Data::Enum(data) => union::of_enum(data, &container)?,
        Data::Union(data) => return Err(Error::new(data.union_token.span, NOT_A_STRUCT)),
    };
    let krate = &container.krate;
    let ident = &input.ident;
    let name = ident.to_string();
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let migrate = container.migrate.as_ref().map(|path| {
        quote! {
            fn migrate_map(map: &#krate::Co<Self>) -> ::core::result::Result<(), #krate::WriteError> {
                #path(map)
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        impl #generics #krate::CoMap for #ident #arguments #bounds {
            const NAME: &'static str = #name;
            const FIELDS: &'static [#krate::Field] = &[#(#table),*];

            fn from_map(map: &#krate::MapReader<'_>) -> ::core::result::Result<Self, #krate::SchemaError> {
                ::core::result::Result::Ok(#read)
            }

            fn to_map(&self, map: &mut #krate::MapWriter) -> ::core::result::Result<(), #krate::SchemaError> {
                #write
                ::core::result::Result::Ok(())
            }

            #migrate
        }
    })
}

fn of_struct(input: &DeriveInput, fields: &Fields, container: &Container) -> Result<Body> {
    let Fields::Named(named) = fields else {
        return Err(Error::new(input.ident.span(), NOT_A_STRUCT));
    };
    if let Some(tag) = &container.tag {
        return Err(Error::new(
            tag.span(),
            "`tag` tells the variants of an enum apart",
        ));
    }
    let fields = parse_fields(named, container)?;
    let reads = fields.iter().map(Field::read);
    let writes = fields.iter().map(|field| {
        let ident = field.ident;
        field.write(&quote!(&self.#ident))
    });
    Ok(Body {
        read: quote!(Self { #(#reads),* }),
        write: quote!(#(#writes)*),
        table: fields.iter().map(|field| field.table_entry(container)).collect(),
    })
}

impl Container {
    fn parse(input: &DeriveInput) -> Result<Self> {
        let mut container = Self {
            krate: syn::parse_quote!(::jazz),
            rename_all: Case::Camel,
            tag: None,
            migrate: None,
        };
        for attribute in input
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("co"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename_all") {
                    let text: LitStr = meta.value()?.parse()?;
                    container.rename_all = Case::parse(&text)?;
                } else if meta.path.is_ident("crate") {
                    container.krate = meta.value()?.parse::<LitStr>()?.parse()?;
                } else if meta.path.is_ident("tag") {
                    container.tag = Some(named(&meta)?);
                } else if meta.path.is_ident("migrate") {
                    container.migrate = Some(meta.value()?.parse::<LitStr>()?.parse()?);
                } else {
                    let expected =
                        "unknown attribute of a CoMap: expected `rename_all`, `tag`, `migrate` or `crate`";
                    return Err(meta.error(expected));
                }
                Ok(())
            })?;
        }
        Ok(container)
    }
}

/// A name, which can't be empty.
pub(crate) fn named(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name: LitStr = meta.value()?.parse()?;
    if name.value().is_empty() {
        return Err(Error::new(name.span(), "a field needs a name"));
    }
    Ok(name)
}

pub(crate) fn parse_fields<'a>(named: &'a FieldsNamed, container: &Container) -> Result<Vec<Field<'a>>> {
    let mut fields = Vec::with_capacity(named.named.len());
    let mut seen = HashMap::new();
    for field in &named.named {
        let field = Field::parse(field, container)?;
        if let Some(other) = seen.insert(field.wire.value(), field.ident) {
            let message = format!(
                "`{}` is already the name of the field `{other}`",
                field.wire.value()
            );
            return Err(Error::new(field.wire.span(), message));
        }
        fields.push(field);
    }
    Ok(fields)
}

const NOT_A_STRUCT: &str = "only a struct with named fields, or an enum with a `tag`, can be a CoMap";

impl<'a> Field<'a> {
    fn parse(field: &'a syn::Field, container: &Container) -> Result<Self> {
        let Some(ident) = &field.ident else {
            return Err(Error::new(field.span(), NOT_A_STRUCT));
        };
        let mut rename = None;
        let mut default = None;
        for attribute in field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("co"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    rename = Some(named(&meta)?);
                } else if meta.path.is_ident("default") {
                    let path = match meta.input.peek(syn::Token![=]) {
                        true => Some(meta.value()?.parse::<LitStr>()?.parse::<syn::Path>()?),
                        false => None,
                    };
                    default = Some((meta.path.span(), path));
                } else {
                    return Err(meta.error("unknown attribute of a field: expected `rename` or `default`"));
                }
                Ok(())
            })?;
        }
        let mode = match (option_argument(&field.ty), default) {
            (Some(_), Some((span, _))) => {
                return Err(Error::new(
                    span,
                    "an `Option` is `None` when absent: `default` has no effect here",
                ));
            }
            (Some(inner), None) if is_named(inner, &["Ref", "Timestamp"]) => Mode::OptionalNull,
            (Some(_), None) => Mode::Optional,
            (None, Some((_, None))) => Mode::Default,
            (None, Some((_, Some(path)))) => Mode::DefaultOf(path),
            (None, None) => Mode::Required,
        };
        let wire = rename.unwrap_or_else(|| {
            let name = container.rename_all.apply(&ident.unraw().to_string());
            LitStr::new(&name, ident.span())
        });
        Ok(Self {
            ident,
            ty: &field.ty,
            wire,
            mode,
        })
    }

    fn rust_name(&self) -> String {
        self.ident.unraw().to_string()
    }

    pub fn table_entry(&self, container: &Container) -> TokenStream {
        let krate = &container.krate;
        let is_required = matches!(self.mode, Mode::Required);
        let make = Ident::new(
            if is_required { "required" } else { "optional" },
            Span::call_site(),
        );
        let (rust, wire) = (self.rust_name(), &self.wire);
        quote!(#krate::Field::#make(#rust, #wire))
    }

    /// The field with its value, as in a struct expression.
    pub fn read(&self) -> TokenStream {
        let (ident, wire) = (self.ident, &self.wire);
        let method = self.method(match self.mode {
            Mode::Required => "required",
            Mode::Optional | Mode::OptionalNull => "optional",
            Mode::Default => "or_default",
            Mode::DefaultOf(_) => "or_else",
        });
        match &self.mode {
            Mode::DefaultOf(path) => quote!(#ident: map.#method(#wire, #path)?),
            _ => quote!(#ident: map.#method(#wire)?),
        }
    }

    /// Writes what `value` refers to.
    pub fn write(&self, value: &TokenStream) -> TokenStream {
        let wire = &self.wire;
        let method = self.method(match self.mode {
            Mode::Required | Mode::Default | Mode::DefaultOf(_) => "required",
            Mode::Optional => "optional",
            Mode::OptionalNull => "optional_or_null",
        });
        quote!(map.#method(#wire, #value)?;)
    }

    /// A method of reader or writer, placed at the field's type: there a type that can't be stored is complained about.
    fn method(&self, name: &str) -> Ident {
        Ident::new(name, Span::call_site().located_at(self.ty.span()))
    }
}

/// `T` of `Option<T>`.
fn option_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path
        .path
        .segments
        .last()
        .filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}

fn is_named(ty: &Type, names: &[&str]) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|segment| names.iter().any(|name| segment.ident == name))
}

impl Case {
    fn parse(text: &LitStr) -> Result<Self> {
        Ok(match text.value().as_str() {
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "PascalCase" => Self::Pascal,
            "kebab-case" => Self::Kebab,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            _ => {
                let message = "unknown case: expected camelCase, snake_case, PascalCase, kebab-case or \
                               SCREAMING_SNAKE_CASE";
                return Err(Error::new(text.span(), message));
            }
        })
    }

    /// The wire name of a Rust variant, whose name is in PascalCase.
    pub fn apply_to_variant(self, rust: &str) -> String {
        let mut snake = String::with_capacity(rust.len() + 4);
        for c in rust.chars() {
            if c.is_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.extend(c.to_lowercase());
        }
        self.apply(&snake)
    }

    /// The wire name of a Rust field, whose name is in snake_case.
    fn apply(self, rust: &str) -> String {
        match self {
            Self::Snake => rust.to_owned(),
            Self::Kebab => rust.replace('_', "-"),
            Self::ScreamingSnake => rust.to_uppercase(),
            Self::Pascal => words(rust, true),
            Self::Camel => words(rust, false),
        }
    }
}

/// Joins the words of a snake_case name, each but perhaps the first with a capital.
fn words(rust: &str, mut capital: bool) -> String {
    let mut out = String::with_capacity(rust.len());
    for c in rust.chars() {
        if c == '_' {
            capital = !out.is_empty() || capital;
        } else if capital {
            out.extend(c.to_uppercase());
            capital = false;
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_follow_the_case() {
        assert_eq!(Case::Camel.apply("created_by_user2"), "createdByUser2");
        assert_eq!(Case::Camel.apply("_hidden"), "hidden");
        assert_eq!(Case::Pascal.apply("created_by"), "CreatedBy");
        assert_eq!(Case::Kebab.apply("created_by"), "created-by");
        assert_eq!(Case::ScreamingSnake.apply("created_by"), "CREATED_BY");
        assert_eq!(Case::Snake.apply("created_by"), "created_by");
        assert_eq!(Case::Camel.apply_to_variant("BigDog"), "bigDog");
        assert_eq!(Case::Kebab.apply_to_variant("BigDog"), "big-dog");
    }
}
