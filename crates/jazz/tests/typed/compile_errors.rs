//! Mistakes that the derive macro points at.

#[test]
fn mistakes_are_pointed_at() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
