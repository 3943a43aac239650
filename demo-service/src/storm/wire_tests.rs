use std::future::pending;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn order() -> Order {
    Order { server: 7, key: "key-1".to_owned(), body: Bytes::from_static(b"{}") }
}

fn wire(server: Base) -> Wire {
    Wire::new([server].into(), PATIENCE)
}

/// How it ended, and the status of the answer.
fn outline((fate, response): Outcome) -> (Fate, Option<u16>) {
    (fate, response.map(|response| response.status().as_u16()))
}

async fn listener() -> (TcpListener, Base) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Base::loopback(listener.local_addr().unwrap().port());
    (listener, base)
}

/// What a server saw: handlers that were entered, and handlers that were dropped before their end.
#[derive(Debug, Clone, Default)]
struct Seen {
    entered: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Seen {
    /// Waits until this many requests were cut off in their handlers.
    async fn cut_off(&self, expected: usize) {
        let all = async {
            while self.dropped.load(SeqCst) < expected {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let (entered, dropped) = (Arc::clone(&self.entered), Arc::clone(&self.dropped));
        let counts = move || format!("{entered:?} requests on the wire, {dropped:?} cut off");
        timeout(PATIENCE * 2, all).await.unwrap_or_else(|_| panic!("of {expected}: {}", counts()));
    }
}

/// Counts a handler that is dropped.
struct InHandler(Seen);

impl Drop for InHandler {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

/// A server whose handler never answers and dies with its connection, as hyper's do.
async fn silent_server() -> (Seen, Base) {
    let seen = Seen::default();
    let handler = |State(seen): State<Seen>, body: String| async move {
        assert_eq!(body, "{}");
        seen.entered.fetch_add(1, SeqCst);
        let _in_handler = InHandler(seen);
        pending::<StatusCode>().await
    };
    let app = Router::new().route("/payments", post(handler)).with_state(seen.clone());
    let (listener, base) = listener().await;
    tokio::spawn(async { axum::serve(listener, app).await });
    (seen, base)
}

/// A server that is told byte by byte what to say, and tells what became of each connection.
async fn scripted(answer: &'static [u8]) -> (tokio::task::JoinHandle<io::Result<usize>>, Base) {
    let (listener, base) = listener().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut request = [0; 4096];
        let arrived = stream.read(&mut request).await?;
        assert!(arrived > 0);
        stream.write_all(answer).await?;
        // The client's next byte, or the end of the connection.
        stream.read(&mut request).await
    });
    (serving, base)
}

const RECEIPT: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\npaid";
const HEAD_ONLY: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\n";

#[tokio::test]
async fn who_leaves_has_sent_the_whole_request_and_cuts_the_handler_off() {
    let (seen, base) = silent_server().await;
    let wire = wire(base);
    for after in [0, 1, 5, 20].repeat(5) {
        let after = Duration::from_millis(after);
        assert_eq!(outline(wire.send(&order(), Fault::Disconnect { after }).await), (Fate::Disconnected, None));
    }
    seen.cut_off(20).await;
}

#[tokio::test]
async fn who_leaves_too_late_has_missed_an_answer() {
    let (_serving, base) = scripted(RECEIPT).await;
    let outcome = wire(base).send(&order(), Fault::Disconnect { after: PATIENCE / 2 }).await;
    assert_eq!(outline(outcome), (Fate::ReplyLost, None));
}

#[tokio::test]
async fn a_lost_reply_is_a_closed_socket_and_the_program_has_read_it() {
    let (serving, base) = scripted(RECEIPT).await;
    let wire = wire(base);
    let (fate, overheard) = wire.send(&order(), Fault::LoseReply).await;
    assert_eq!((fate, overheard.unwrap().into_body()), (Fate::ReplyLost, Bytes::from_static(b"paid")));
    assert!(matches!(serving.await.unwrap(), Ok(0) | Err(_)), "the connection is still open");
    assert!(wire.idle.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_can_be_lost_between_head_and_body() {
    let (serving, base) = scripted(HEAD_ONLY).await;
    let outcome = wire(base).send(&order(), Fault::LoseReply).await;
    assert_eq!(outline(outcome), (Fate::ReplyLost, None));
    assert!(matches!(serving.await.unwrap(), Ok(0) | Err(_)), "the connection is still open");
}

#[tokio::test]
async fn an_answer_heard_out_keeps_the_connection() {
    let (serving, base) = scripted(RECEIPT).await;
    let wire = wire(base);
    assert_eq!(outline(wire.send(&order(), Fault::Spared).await), (Fate::Answered, Some(201)));
    let again = tokio::spawn(async move { wire.send(&order(), Fault::Spared).await });
    assert!(serving.await.unwrap().unwrap() > 0, "the second request came on a connection of its own");
    assert_eq!(outline(again.await.unwrap()), (Fate::Broken, None));
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let (serving, base) = scripted(HEAD_ONLY).await;
    let wire = Wire::new([base].into(), Duration::from_millis(100));
    assert_eq!(outline(wire.send(&order(), Fault::Spared).await), (Fate::TimedOut, None));
    assert!(matches!(serving.await.unwrap(), Ok(0) | Err(_)), "the client that waited long enough is still there");
}

#[tokio::test]
async fn nobody_listening_means_nothing_was_sent() {
    let (listener, base) = listener().await;
    drop(listener);
    let wire = wire(base);
    for fault in [Fault::Spared, Fault::LoseReply, Fault::Disconnect { after: Duration::ZERO }] {
        assert_eq!(outline(wire.send(&order(), fault).await), (Fate::NotConnected, None));
    }
}
