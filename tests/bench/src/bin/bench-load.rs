//! The load generator: `bench-load --address 127.0.0.1:8080 --connections 64 --seconds 5`.

fn main() -> idempotency_bench::Outcome {
    idempotency_bench::load::main()
}
