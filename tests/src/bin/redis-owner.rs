//! A test process that has a `redis-server` and never ends, to be killed: see `it/redis_tools/server.rs`.

use idempotency_tests::{RedisServer, die_with_parent};

#[tokio::main]
async fn main() {
    die_with_parent();
    let server = RedisServer::shared().await;
    #[allow(clippy::print_stdout, reason = "it is how its parent learns where the server listens")]
    {
        println!("listening on http://{}", server.address());
    }
    std::future::pending::<()>().await;
}
