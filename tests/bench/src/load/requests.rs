//! Requests that were formatted before: only the key's last digits change.

use std::io::Write as _;

use super::arguments::{Arguments, Keys};
use crate::handler::request_body;

/// The digits of a key that count.
const DIGITS: usize = 12;

#[derive(Debug)]
pub(super) struct Requests {
    template: Vec<u8>,
    /// Where the digits are, if there is a key.
    digits: Option<usize>,
    keys: Keys,
    next: u64,
}

impl Requests {
    pub(super) fn new(arguments: &Arguments) -> Self {
        let body = request_body(arguments.body);
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer 3f1c7a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            arguments.path,
            arguments.address,
            body.len(),
        );
        let mut template = head.into_bytes();
        let mut digits = None;
        if arguments.keys != Keys::Absent {
            // The length of a UUID, which is what most clients send.
            template.extend(format!("Idempotency-Key: {:08x}-4d1f-4c7e-9a4b-", arguments.seed).into_bytes());
            digits = Some(template.len());
            template.extend([b'0'; DIGITS]);
            template.extend(b"\r\n");
        }
        template.extend(b"\r\n");
        template.extend(body.into_bytes());
        Self { template, digits, keys: arguments.keys, next: 0 }
    }

    /// How many keys are to be sent once before they are repeated.
    pub(super) const fn to_prime(&self) -> u64 {
        match self.keys {
            Keys::Repeated(keys) => keys,
            Keys::Absent | Keys::Unique => 0,
        }
    }

    /// The next request.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.template);
        let number = match self.keys {
            Keys::Repeated(keys) => self.next % keys,
            Keys::Absent | Keys::Unique => self.next,
        };
        self.next += 1;
        let Some(digits) = self.digits else { return };
        let at = start + digits;
        if let Some(mut digits) = out.get_mut(at..at + DIGITS) {
            // Writing to a slice of that length cannot fail.
            let _ = write!(digits, "{number:0DIGITS$x}");
        }
    }
}
