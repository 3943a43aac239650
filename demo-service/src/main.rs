//! The binary; everything is in the library, so that tests can start it from their own.

fn main() -> std::process::ExitCode {
    demo_service::main()
}
