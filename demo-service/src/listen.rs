//! Binding a socket, with an error that says what to do.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpListener;

/// An address cannot be listened on.
#[derive(Debug, Error)]
#[error(
    "cannot listen on {address}: {source}; name a free address with --listen, such as 127.0.0.1:0 for any free port"
)]
pub(crate) struct ListenError {
    address: String,
    source: io::Error,
}

/// Binds `host:port`, and says which port it became.
pub(crate) async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
