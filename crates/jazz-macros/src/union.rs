//! Enums as discriminated unions: maps of different shapes, told apart by one field.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{DataEnum, Error, Fields, Ident, LitStr, Result, Variant};

use crate::co_map::{Body, Container, Field, named, parse_fields};

struct Case<'a> {
    ident: &'a Ident,
    /// What the tag says.
    name: LitStr,
    fields: Vec<Field<'a>>,
}

pub(crate) fn of_enum(data: &DataEnum, container: &Container) -> Result<Body> {
    let Some(tag) = &container.tag else {
        let message = "an enum needs `#[co(tag = \"…\")]`: the field that tells its variants apart";
        return Err(Error::new(data.enum_token.span, message));
    };
    let cases = data
        .variants
        .iter()
        .map(|variant| Case::parse(variant, tag, container));
    let cases: Vec<Case<'_>> = cases.collect::<Result<_>>()?;
    let Some((last, others)) = cases.split_last() else {
        return Err(Error::new(data.enum_token.span, "an enum needs a variant"));
    };
    let names: Vec<&LitStr> = cases.iter().map(|case| &case.name).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.value())) {
        let message = format!("`{}` is the name of another variant", twice.value());
        return Err(Error::new(twice.span(), message));
    }
    let (last, indices) = (last.read(), 0..others.len());
    let others = others.iter().map(Case::read);
    let writes = cases.iter().map(|case| case.write(tag));
    Ok(Body {
        table: table(&cases, tag, container),
        read: quote! {
            match map.variant(#tag, &[#(#names),*])? {
                #(#indices => #others,)*
                _ => #last,
            }
        },
        write: quote!(match self { #(#writes)* }),
    })
}

/// The tag and the fields of all variants, each name once.
fn table(cases: &[Case<'_>], tag: &LitStr, container: &Container) -> Vec<TokenStream> {
    let krate = &container.krate;
    let mut table = vec![quote!(#krate::Field::required(#tag, #tag))];
    let mut seen = HashSet::new();
    let fields = cases.iter().flat_map(|case| &case.fields);
    let new = fields.filter(|field| seen.insert(field.wire.value()));
    table.extend(new.map(|field| field.table_entry(container)));
    table
}

impl<'a> Case<'a> {
    fn parse(variant: &'a Variant, tag: &LitStr, container: &Container) -> Result<Self> {
        let mut name = None;
        let attributes = variant.attrs.iter();
        for attribute in attributes.filter(|attribute| attribute.path().is_ident("co")) {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("rename") {
                    return Err(meta.error("unknown attribute of a variant: expected `rename`"));
                }
                name = Some(named(&meta)?);
                Ok(())
            })?;
        }
        let ident = &variant.ident;
        let fields = match &variant.fields {
            Fields::Named(named) => parse_fields(named, container)?,
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => {
                let message = "a variant of a CoMap has named fields, or none";
                return Err(Error::new(ident.span(), message));
            }
        };
        if let Some(field) = fields.iter().find(|field| field.wire.value() == tag.value()) {
            let message = format!("`{}` is the tag of the enum", tag.value());
            return Err(Error::new(field.wire.span(), message));
        }
        let from_ident = || {
            let name = container.rename_all.apply_to_variant(&ident.unraw().to_string());
            LitStr::new(&name, ident.span())
        };
        Ok(Self {
            ident,
            name: name.unwrap_or_else(from_ident),
            fields,
        })
    }

    fn read(&self) -> TokenStream {
        let (ident, fields) = (self.ident, self.fields.iter().map(Field::read));
        quote!(Self::#ident { #(#fields),* })
    }

    fn write(&self, tag: &LitStr) -> TokenStream {
        let (ident, name) = (self.ident, &self.name);
        // A field may be named as something else in the method is.
        let bound = |field: &Field<'_>| format_ident!("field_{}", field.ident.unraw());
        let names = self.fields.iter().map(|field| {
            let (ident, bound) = (field.ident, bound(field));
            quote!(#ident: #bound)
        });
        let writes = self.fields.iter().map(|field| {
            let bound = bound(field);
            field.write(&quote!(#bound))
        });
        quote! {
            Self::#ident { #(#names),* } => {
                map.variant(#tag, #name);
                #(#writes)*
            }
        }
    }
}
