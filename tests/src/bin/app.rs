//! An application in a process of its own, to be killed: see `idempotency_tests::alone`.

#[tokio::main]
async fn main() {
    idempotency_tests::alone::main().await;
}
