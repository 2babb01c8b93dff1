//! `#[derive(Permission)]`: a struct of params becomes a permission of a contract.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Data, DeriveInput, Fields, Ident, LitStr, Path, Token, parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::{errors::Errors, texts::Texts};

/// What stands in `#[permission(…)]`.
#[derive(Default)]
struct Args {
    contract: Option<Path>,
    name: Option<LitStr>,
    instance: Vec<Ident>,
    risk: Option<Ident>,
    texts: Texts,
}

impl Parse for Args {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut args = Self::default();
        while !input.is_empty() {
            let keyword: Ident = input.parse()?;
            if !args.texts.parse(&keyword, input)? {
                match keyword.to_string().as_str() {
                    "contract" => {
                        input.parse::<Token![=]>()?;
                        args.contract = Some(input.parse()?);
                    }
                    "name" => {
                        input.parse::<Token![=]>()?;
                        args.name = Some(input.parse()?);
                    }
                    "instance" => {
                        let content;
                        parenthesized!(content in input);
                        let keys = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
                        args.instance.extend(keys);
                    }
                    "risk" => {
                        input.parse::<Token![=]>()?;
                        args.risk = Some(input.parse()?);
                    }
                    _ => {
                        let message = "expected `contract`, `name`, `instance`, `risk`, `en`, `ru` or `text`";
                        return Err(syn::Error::new(keyword.span(), message));
                    }
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(args)
    }
}

/// Expands the derive.
pub fn expand(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(item) = errors.take(syn::parse2::<DeriveInput>(item)) else {
        return errors.into_compile_errors().unwrap_or_default();
    };
    let expanded = permission(&item, &mut errors);
    errors.into_compile_errors().or(expanded).unwrap_or_default()
}

fn permission(item: &DeriveInput, errors: &mut Errors) -> Option<TokenStream> {
    let Some(attribute) = item
        .attrs
        .iter()
        .find(|attribute| attribute.path().is_ident("permission"))
    else {
        errors.at(
            &item.ident,
            "add `#[permission(contract = …, name = \"…\", en(\"title\", \"description\"))]`",
        );
        return None;
    };
    let args: Args = errors.take(attribute.parse_args())?;
    if args.contract.is_none() {
        errors.at(attribute, "the contract is missing: add `contract = TheContract`");
    }
    match &args.name {
        None => errors.at(attribute, "the name is missing: add `name = \"thing:action\"`"),
        Some(name) if !is_permission_name(&name.value()) => {
            errors.at(
                name,
                "expected words of lower-case letters, digits and dashes joined by `:`, at most 100",
            );
        }
        Some(_) => {}
    }
    args.texts.check(errors, attribute);
    if !item.generics.params.is_empty() {
        errors.at(&item.generics, "a permission can't be generic");
    }
    let keys = instance_keys(item, &args.instance, errors);
    let risk = args.risk.and_then(|risk| risk_const(&risk, errors));
    let (ident, contract, name, texts) = (&item.ident, args.contract?, args.name?, args.texts.expression());
    Some(quote! {
        impl ::reside::Permission for #ident {
            type Contract = #contract;
            const NAME: &'static str = #name;
            const INSTANCE_KEYS: &'static [&'static str] = &[#(#keys),*];
            #risk

            fn display_info() -> ::reside::DisplayInfo {
                #texts
            }
        }
    })
}

/// Returns the constant that says what the permission allows at worst.
fn risk_const(risk: &Ident, errors: &mut Errors) -> Option<TokenStream> {
    let variant = match risk.to_string().as_str() {
        "read" => quote!(Read),
        "write" => quote!(Write),
        "admin" => quote!(Admin),
        _ => {
            errors.at(risk, "expected `read`, `write` or `admin`");
            return None;
        }
    };
    Some(quote!(const RISK: ::reside::manifest::Risk = ::reside::manifest::Risk::#variant;))
}

/// Returns the names of the instance keys on the wire.
fn instance_keys(item: &DeriveInput, instance: &[Ident], errors: &mut Errors) -> Vec<String> {
    let fields: Vec<_> = match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => fields.named.iter().collect(),
            _ => {
                errors.at(
                    &item.ident,
                    "a permission is a struct with named params: `struct Name {}` if it has none",
                );
                return Vec::new();
            }
        },
        _ => {
            errors.at(&item.ident, "a permission is a struct");
            return Vec::new();
        }
    };
    let camel_case = serde_argument(&item.attrs, "rename_all").is_some_and(|rule| rule == "camelCase");
    for field in &fields {
        let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        if ident.contains('_') && !camel_case && serde_argument(&field.attrs, "rename").is_none() {
            errors.at(
                &field.ident,
                "params are camelCase on the wire: add `#[serde(rename_all = \"camelCase\")]`",
            );
        }
    }
    let mut names = Vec::new();
    for key in instance {
        match fields.iter().find(|field| field.ident.as_ref() == Some(key)) {
            Some(field) => {
                let name = serde_argument(&field.attrs, "rename");
                names.push(name.unwrap_or_else(|| crate::contract::camel_case(&key.to_string())));
            }
            None => errors.at(key, format!("`{}` has no param `{key}`", item.ident)),
        }
    }
    names
}

/// Returns the string given to an argument of `#[serde(…)]`.
fn serde_argument(attributes: &[syn::Attribute], name: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"))
    {
        // Faults in serde's own arguments are for serde to report.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident(name) {
                found = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.input.peek(Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            }
            Ok(())
        });
    }
    found
}

fn is_permission_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts_well = |word: &str| word.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    name.len() <= 100
        && name
            .split(':')
            .all(|word| starts_well(word) && word.bytes().all(allowed))
}
