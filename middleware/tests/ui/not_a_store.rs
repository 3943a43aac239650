use tower_idempotency::{IdempotencyLayer, Scope, Secret};

fn main() {
    let secret = Secret::random().unwrap();
    let _ = IdempotencyLayer::new("redis://localhost", Scope::shared(), secret);
}
