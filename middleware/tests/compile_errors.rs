//! What the compiler says to somebody who passes something that is not a store.

#[test]
fn a_wrong_store_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
