//! One connection: a request on its way, and its answer coming.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::Instant;

use mio::net::TcpStream;

use super::requests::Requests;

/// What an answer was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) is_replay: bool,
    /// When its request was due, or was sent.
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    outbox: Vec<u8>,
    sent: usize,
    inbox: Vec<u8>,
    received: usize,
    expected: Option<Expected>,
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    len: usize,
    status: u16,
    is_replay: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            outbox: Vec::new(),
            sent: 0,
            inbox: vec![0; 16 * 1024],
            received: 0,
            expected: None,
            since: None,
        }
    }

    /// Sends the next request. Its latency counts from `since` on.
    pub(super) fn send(&mut self, requests: &mut Requests, since: Instant) -> io::Result<()> {
        self.outbox.clear();
        requests.write(&mut self.outbox);
        (self.sent, self.received, self.expected, self.since) = (0, 0, None, Some(since));
        self.go_on_sending()
    }

    /// Sends what the socket had no room for.
    pub(super) fn go_on_sending(&mut self) -> io::Result<()> {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is; an answer if it is whole.
    pub(super) fn receive(&mut self) -> io::Result<Option<Answered>> {
        let Some(since) = self.since else { return Ok(None) };
        loop {
            if self.received == self.inbox.len() {
                self.inbox.resize(self.inbox.len() * 2, 0);
            }
            let room = self.inbox.get_mut(self.received..).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.received += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.expected.is_none() {
                self.expected = expected(self.inbox.get(..self.received).unwrap_or_default())?;
            }
            // Nothing follows a whole answer before the next request, so nobody has to read until the socket is empty.
            if let Some(Expected { len, status, is_replay }) = self.expected
                && self.received >= len
            {
                self.since = None;
                return Ok(Some(Answered { status, is_replay, since }));
            }
        }
    }
}

/// What follows from the head of an answer, if it is whole.
fn expected(bytes: &[u8]) -> io::Result<Option<Expected>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
    let httparse::Status::Complete(head_len) = head.parse(bytes).map_err(invalid)? else { return Ok(None) };
    let (mut body_len, mut is_replay) = (None, false);
    for field in &*head.headers {
        if field.name.eq_ignore_ascii_case("content-length") {
            body_len = std::str::from_utf8(field.value).ok().and_then(|value| value.parse::<usize>().ok());
        } else if field.name.eq_ignore_ascii_case("idempotent-replayed") {
            is_replay = true;
        }
    }
    let body_len = body_len.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "an answer without a length"))?;
    Ok(Some(Expected { len: head_len + body_len, status: head.code.unwrap_or_default(), is_replay }))
}
