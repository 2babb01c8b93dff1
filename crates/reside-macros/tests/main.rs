//! The macros as their users meet them: what they make (`behaviour`), and what they say about mistakes (`fail`).

mod behaviour;

#[test]
fn mistakes_are_reported_at_their_place() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
