//! What the macros expand to, kept readable in `tests/output`.

use proc_macro2::TokenStream;
use quote::quote;

fn check(name: &str, expanded: TokenStream) {
    let file = syn::parse2(expanded).expect("the expansion is valid Rust");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../tests/output");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, prettyplease::unparse(&file)));
}

#[test]
fn contract() {
    let args = quote! {
        identity = "ghcr.io/exeteres/reside/contracts/greeter.v1",
        data = GreeterData,
        permissions(CreateGreeting, ReadGreetings),
        en("Greeter", "Greets people"),
        ru("Приветствие", "Приветствует людей"),
    };
    let item = quote! {
        /// Greets people.
        pub trait Greeter {
            /// Greets somebody.
            #[method(en("Greet", "Greets somebody"), ru("Поприветствовать", "Приветствует кого-нибудь"))]
            async fn greet_somebody(&self, call: &Call, request: GreetRequest) -> RpcResult<GreetResponse>;

            #[method(en("Count", "Counts greetings"), idempotent)]
            async fn count(&self, call: &Call, request: CountRequest) -> RpcResult<CountResponse>;
        }
    };
    check("contract", crate::contract::expand(args, item));
}

#[test]
fn permission() {
    let item = quote! {
        #[permission(
            contract = GreeterContract, name = "greeting:create", instance(language_tag),
            en("Greet in {languageTag}", "…"), ru("Приветствовать на языке {languageTag}", "…"), text("de", "…", "…"),
        )]
        #[serde(rename_all = "camelCase")]
        pub struct CreateGreeting {
            pub language_tag: String,
        }
    };
    check("permission", crate::permission::expand(item));
}

#[test]
fn names_on_the_wire_are_camel_case() {
    for (rust, wire) in [
        ("greet", "greet"),
        ("create_load_request", "createLoadRequest"),
        ("r#type", "type"),
        ("_a__b_", "aB"),
    ] {
        assert_eq!(crate::contract::camel_case(rust), wire);
    }
}
