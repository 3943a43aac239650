//! What is printed on stdout when a server is up: where it listens, what it keeps where, and lines to paste.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use uuid::Uuid;

/// What the payment service runs on, in words.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where the idempotency keys are.
    pub(crate) store: String,
    /// Where the bank is, and its ledger if it is this process's own.
    pub(crate) bank: String,
}

/// Announces the payment service. The key in the curl lines is new each time, so that the first line is a first request.
pub(crate) fn payments(ground: &Ground) {
    print(&payments_text(ground, Uuid::new_v4()));
}

/// Announces the bank.
pub(crate) fn bank(address: SocketAddr, ledger: &Path, dedup: bool) {
    let executes = if dedup { "each key once" } else { "every request" };
    print(&format!("listening on http://{address}\nledger: {}\nexecutes: {executes}\n", ledger.display()));
}

fn payments_text(ground: &Ground, key: Uuid) -> String {
    let Ground { address, store, bank } = ground;
    let pay = |amount: u32| {
        format!(
            "curl -i http://{address}/payments -H 'Authorization: Bearer shop' -H 'Idempotency-Key: {key}' \
             -H 'Content-Type: application/json' -d '{{\"amount\":{amount},\"currency\":\"EUR\",\"source\":\"card_visa\",\"reference\":\"order-42\"}}'"
        )
    };
    format!(
        "listening on http://{address}\nidempotency keys: {store}\nbank: {bank}\n\n\
         # Pay: 201.\n{first}\n\
         # The same again: the same 201, with idempotent-replayed: true. Nothing is charged.\n{first}\n\
         # The same key for another amount: 422.\n{other}\n",
        first = pay(1000),
        other = pay(2000),
    )
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    // A closed stdout is no reason not to serve.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_three_lines_to_paste_for_the_address_that_is_really_bound() {
        let ground = Ground {
            address: SocketAddr::from(([127, 0, 0, 1], 4711)),
            store: "memory".into(),
            bank: "http://127.0.0.1:1".into(),
        };
        let text = payments_text(&ground, Uuid::nil());
        let curls: Vec<_> = text.lines().filter(|line| line.starts_with("curl ")).collect();
        assert!(text.starts_with("listening on http://127.0.0.1:4711\n"));
        assert_eq!(curls.len(), 3);
        assert_eq!(curls[0], curls[1]);
        assert_eq!(curls[2], curls[0].replace("1000", "2000"));
        assert!(curls[0].contains("http://127.0.0.1:4711/payments"));
    }
}
