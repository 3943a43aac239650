//! The demo service as the tests start it: the same program, which also ends when the test is gone. Being a binary of
//! this crate, it is built anew whenever the tests are.

fn main() -> std::process::ExitCode {
    idempotency_tests::die_with_parent();
    demo_service::main()
}
