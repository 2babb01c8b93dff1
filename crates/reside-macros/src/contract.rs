//! `#[contract]`: a trait becomes a contract with its manifest, its table of methods and its client.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericArgument, ItemTrait, LitStr, Path, PathArguments, ReceiverKind, ReturnType,
    Token, TraitItem, TraitItemFn, Type, parenthesized,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::{errors::Errors, texts::Texts};

/// What stands in `#[contract(…)]`.
#[derive(Default)]
struct ContractArgs {
    identity: Option<LitStr>,
    data: Option<Path>,
    permissions: Vec<Path>,
    texts: Texts,
}

impl Parse for ContractArgs {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut args = Self::default();
        while !input.is_empty() {
            let keyword: Ident = input.parse()?;
            if !args.texts.parse(&keyword, input)? {
                match keyword.to_string().as_str() {
                    "identity" => {
                        input.parse::<Token![=]>()?;
                        args.identity = Some(input.parse()?);
                    }
                    "data" => {
                        input.parse::<Token![=]>()?;
                        args.data = Some(input.parse()?);
                    }
                    "permissions" => {
                        let content;
                        parenthesized!(content in input);
                        args.permissions
                            .extend(Punctuated::<Path, Token![,]>::parse_terminated(&content)?);
                    }
                    _ => {
                        let message = "expected `identity`, `data`, `permissions`, `en`, `ru` or `text`";
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

/// What stands in `#[method(…)]`.
#[derive(Default)]
struct MethodArgs {
    idempotent: bool,
    texts: Texts,
}

impl Parse for MethodArgs {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut args = Self::default();
        while !input.is_empty() {
            let keyword: Ident = input.parse()?;
            if !args.texts.parse(&keyword, input)? {
                if keyword != "idempotent" {
                    return Err(syn::Error::new(
                        keyword.span(),
                        "expected `idempotent`, `en`, `ru` or `text`",
                    ));
                }
                args.idempotent = true;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(args)
    }
}

/// A method of the contract.
struct Method {
    attributes: Vec<Attribute>,
    ident: Ident,
    wire_name: String,
    request: Type,
    response: Type,
    args: MethodArgs,
}

/// Expands the attribute.
pub fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(mut item) = errors.take(syn::parse2::<ItemTrait>(item)) else {
        return errors.into_compile_errors().unwrap_or_default();
    };
    let args = errors.take(ContractArgs::parse.parse2(args));
    let methods = methods(&mut item, &mut errors);
    let contract = args.and_then(|args| contract(&args, &item, &methods, &mut errors));
    // The trait stays even if something is wrong, so that the compiler doesn't complain about its users as well.
    let complaints = errors.into_compile_errors();
    let generated = if complaints.is_none() { contract } else { None };
    quote!(#item #generated #complaints)
}

/// Reads the methods, and makes the trait what the compiler shall see: no attributes of ours, futures that are `Send`.
fn methods(item: &mut ItemTrait, errors: &mut Errors) -> Vec<Method> {
    if !item.generics.params.is_empty() {
        errors.at(&item.generics, "a contract can't be generic");
    }
    item.supertraits.extend::<[syn::TypeParamBound; 3]>([
        syn::parse_quote!(::core::marker::Send),
        syn::parse_quote!(::core::marker::Sync),
        syn::parse_quote!('static),
    ]);
    item.colon_token.get_or_insert_default();
    let mut methods: Vec<Method> = Vec::new();
    for item in &mut item.items {
        let TraitItem::Fn(function) = item else {
            errors.at(item, "a contract has only methods");
            continue;
        };
        if let Some(method) = method(function, errors) {
            if methods.iter().any(|other| other.wire_name == method.wire_name) {
                errors.at(
                    &function.sig.ident,
                    format!("two methods are `{}` on the wire", method.wire_name),
                );
            }
            methods.push(method);
        }
    }
    methods
}

fn method(function: &mut TraitItemFn, errors: &mut Errors) -> Option<Method> {
    let position = function
        .attrs
        .iter()
        .position(|attribute| attribute.path().is_ident("method"));
    let attribute = position.map(|position| function.attrs.remove(position));
    let args = match &attribute {
        Some(attribute) => errors.take(attribute.parse_args::<MethodArgs>()),
        None => {
            errors.at(
                &function.sig.ident,
                "texts are missing: add `#[method(en(\"title\", \"description\"))]`",
            );
            None
        }
    };
    if let Some(args) = &args {
        args.texts.check(errors, &attribute);
    }
    if let Some(body) = &function.default {
        errors.at(
            body,
            "a method of a contract has no body: the replica that implements it has",
        );
    }
    let signature = &mut function.sig;
    if signature.asyncness.take().is_none() {
        errors.at(signature.fn_token, "a method of a contract is an `async fn`");
    }
    if !signature.generics.params.is_empty() {
        errors.at(&signature.generics, "a method of a contract can't be generic");
    }
    let types = request(signature).zip(response(signature));
    if types.is_none() {
        errors.at(
            &*signature,
            "expected `async fn name(&self, call: &Call, request: Request) -> RpcResult<Response>`",
        );
    }
    let (request, response) = types?;
    if let ReturnType::Type(_, output) = &mut signature.output {
        **output = syn::parse_quote!(impl ::core::future::Future<Output = #output> + ::core::marker::Send);
    }
    let wire_name = camel_case(&signature.ident.to_string());
    let attributes = function
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .cloned()
        .collect();
    Some(Method {
        attributes,
        ident: signature.ident.clone(),
        wire_name,
        request,
        response,
        args: args?,
    })
}

/// Returns the type of the request of `(&self, call: &Call, request: Request)`.
fn request(signature: &syn::Signature) -> Option<Type> {
    let mut inputs = signature.inputs.iter();
    let (Some(FnArg::Receiver(receiver)), Some(FnArg::Typed(call)), Some(FnArg::Typed(request)), None) =
        (inputs.next(), inputs.next(), inputs.next(), inputs.next())
    else {
        return None;
    };
    let is_shared = matches!(receiver.kind, ReceiverKind::Reference(_, _, None));
    let is_call = matches!(&*call.ty, Type::Reference(reference) if ends_with(&reference.elem, "Call"));
    (is_shared && is_call).then(|| (*request.ty).clone())
}

/// Returns `Response` of `-> RpcResult<Response>`.
fn response(signature: &syn::Signature) -> Option<Type> {
    let ReturnType::Type(_, output) = &signature.output else {
        return None;
    };
    let Type::Path(path) = &**output else { return None };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == "RpcResult")?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(response) if arguments.args.len() == 1 => Some(response.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn ends_with(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

fn contract(
    args: &ContractArgs,
    item: &ItemTrait,
    methods: &[Method],
    errors: &mut Errors,
) -> Option<TokenStream> {
    if args.identity.is_none() {
        errors.at(
            &item.ident,
            "the identity is missing: add `identity = \"registry/path/name.v1\"`",
        );
    }
    if args.data.is_none() {
        errors.at(&item.ident, "the data are missing: add `data = TheData`");
    }
    args.texts.check(errors, &item.ident);
    let (identity, data) = (args.identity.as_ref()?, args.data.as_ref()?);
    let checked = identity_check(identity);
    let marker = marker(args, item, methods, identity, data);
    let serve = serve(item, methods);
    let client = client(item, methods);
    Some(quote!(#checked #marker #serve #client))
}

fn identity_check(identity: &LitStr) -> TokenStream {
    let message = "expected a full image name without tag or digest, as `ghcr.io/owner/contracts/name.v1`";
    quote_spanned!(identity.span()=> const _: () = ::core::assert!(::reside::identity::is_identity(#identity), #message);)
}

/// The unit type that stands for the contract.
fn marker(
    args: &ContractArgs,
    item: &ItemTrait,
    methods: &[Method],
    identity: &LitStr,
    data: &Path,
) -> TokenStream {
    let (vis, ident, name, client) = (&item.vis, &item.ident, contract_name(item), client_name(item));
    let (texts, permissions) = (args.texts.expression(), &args.permissions);
    let specs = methods.iter().map(|method| {
        let (wire_name, request, response) = (&method.wire_name, &method.request, &method.response);
        let (idempotent, texts) = (method.args.idempotent, method.args.texts.expression());
        quote!(::reside::contract::MethodSpec::of::<#request, #response>(#wire_name, #idempotent, || #texts))
    });
    let doc = format!("The contract [`{ident}`] as a type.");
    quote! {
        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        #vis struct #name;

        impl ::reside::Contract for #name {
            const IDENTITY: &'static str = #identity;
            type Data = #data;
            type Client = #client;

            fn display_info() -> ::reside::DisplayInfo {
                #texts
            }

            fn permissions() -> ::std::vec::Vec<::reside::contract::PermissionSpec<Self>> {
                ::std::vec![#(::reside::contract::PermissionSpec::of::<#permissions>()),*]
            }

            fn methods() -> ::std::vec::Vec<::reside::contract::MethodSpec> {
                ::std::vec![#(#specs),*]
            }
        }
    }
}

/// The table of methods of whoever implements the trait.
fn serve(item: &ItemTrait, methods: &[Method]) -> TokenStream {
    let (ident, name) = (&item.ident, contract_name(item));
    let routes = methods.iter().map(|method| {
        let (wire_name, ident, request) = (&method.wire_name, &method.ident, &method.request);
        quote! {
            .method(#wire_name, &service, |service, call, request: #request| async move {
                S::#ident(&service, &call, request).await
            })
        }
    });
    quote! {
        impl<S: #ident> ::reside::contract::Serve<S> for #name {
            #[allow(unused_variables, reason = "a contract may have no methods")]
            fn dispatch(service: ::std::sync::Arc<S>) -> ::reside::dispatch::Dispatch {
                ::reside::dispatch::Dispatch::new::<Self>()#(#routes)*
            }
        }
    }
}

/// The client with the same methods.
fn client(item: &ItemTrait, methods: &[Method]) -> TokenStream {
    let (vis, ident, name) = (&item.vis, &item.ident, client_name(item));
    let calls = methods.iter().map(|method| {
        let (attributes, ident, wire_name) = (&method.attributes, &method.ident, &method.wire_name);
        let (request, response, idempotent) = (&method.request, &method.response, method.args.idempotent);
        quote! {
            #(#attributes)*
            pub async fn #ident(&self, request: #request) -> ::core::result::Result<#response, ::reside::CallError> {
                self.0.call(#wire_name, #idempotent, &request).await
            }
        }
    });
    let doc = format!("Calls the methods of [`{ident}`] on one replica.");
    quote! {
        #[doc = #doc]
        #[derive(Clone, Debug)]
        #vis struct #name(::reside::client::ContractClient);

        impl ::core::convert::From<::reside::client::ContractClient> for #name {
            fn from(client: ::reside::client::ContractClient) -> Self {
                Self(client)
            }
        }

        impl #name {
            /// Waits at most that long for each response.
            #[must_use]
            pub fn with_timeout(self, timeout: ::core::time::Duration) -> Self {
                Self(self.0.with_timeout(timeout))
            }

            #(#calls)*
        }
    }
}

fn contract_name(item: &ItemTrait) -> Ident {
    format_ident!("{}Contract", item.ident)
}

fn client_name(item: &ItemTrait) -> Ident {
    format_ident!("{}Client", item.ident)
}

/// Returns the name on the wire of a Rust name: `create_load_request` is `createLoadRequest`.
pub fn camel_case(name: &str) -> String {
    let mut words = name
        .trim_start_matches("r#")
        .split('_')
        .filter(|word| !word.is_empty());
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        camel.push_str(&first.to_uppercase());
        camel.push_str(rest);
    }
    camel
}
