//! A server of the benchmarks: `bench-server --kind bare`.

fn main() -> idempotency_bench::Outcome {
    idempotency_bench::server::main(|| 0)
}
