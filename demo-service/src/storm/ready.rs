//! Readiness: asked for, never slept for.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::base::Base;
use super::error::Error;

/// A server that takes longer to say that it is ready is not.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// A service that somebody else started may be a moment late.
const FOREIGN_WITHIN: Duration = Duration::from_secs(10);

/// Asks once; what is wrong, where something is.
pub(crate) async fn is_ready(base: &Base, path: &str) -> Result<(), String> {
    let asking = ask(base, path);
    let status = timeout(ANSWERS_WITHIN, asking).await.map_err(|_| "no answer in time".to_owned())?;
    match status {
        Ok(line) if line.starts_with("HTTP/1.1 2") => Ok(()),
        Ok(line) => Err(format!("{path} answers {line:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Waits for a service that the storm did not start.
pub(crate) async fn await_ready(base: &Base, path: &str) -> Result<(), Error> {
    let gives_up = Instant::now() + FOREIGN_WITHIN;
    loop {
        match is_ready(base, path).await {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= gives_up => {
                return Err(Error::NotReady { url: base.to_string(), waited: FOREIGN_WITHIN, reason });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The status line is all that is wanted, so a connection of its own and a short read will do.
async fn ask(base: &Base, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(base.address()).await?;
    let (path, host) = (base.path(path), base.authority());
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    stream.take(256).read_to_end(&mut head).await?;
    let text = String::from_utf8_lossy(&head);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
