//! HTTP/1.1 by hand, for what no client library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// Opens a connection and writes `bytes` to it. Dropping the connection closes it.
pub async fn begin(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    stream.write_all(bytes).await.expect("the server reads");
    stream
}

/// Sends `bytes`, and returns everything that comes back until the server closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = begin(address, bytes).await;
    let mut answer = Vec::new();
    within("the server closes the connection", stream.read_to_end(&mut answer)).await.expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}
