//! The constants of the formula, and what they add up to for an answer of a given size.

/// The bytes of a record before its answer.
const HEAD: f64 = 104.0;

/// The bytes of a key's name: the prefix, and a digest in base64url between braces.
const NAME: f64 = 50.0;

/// From this size on an answer is sent beside the script instead of through it.
const STAGED: f64 = 2048.0;

/// What commands cost. Times are seconds of a Redis server's CPU.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    /// To execute a claim.
    pub claim: f64,
    /// To execute a completion with an answer of no bytes.
    pub complete: f64,
    /// Per byte of an answer that goes through the script.
    pub complete_byte: f64,
    /// Per byte of an answer that goes beside it.
    pub staged_byte: f64,
    /// To execute a claim that finds an answer of no bytes.
    pub replay: f64,
    /// Per byte of an answer that is sent back.
    pub replay_byte: f64,
    /// To read from a connection and to write to it, once. A command that comes alone pays it alone; those that come together
    /// share it.
    pub line: f64,
    /// For an idle server to wake up. A busy one never sleeps, so it is no part of its capacity.
    pub wake: f64,
    /// Bytes of memory that a key takes beside its name and its value.
    pub entry: f64,
    /// Bytes of the reply to a claim that is granted, and of the one to a completion.
    pub reply_bytes: f64,
    /// Bytes of a reply that is a digit.
    pub number_bytes: f64,
}

impl Costs {
    /// As measured on a virtual machine of two cores with Redis 7.0; see the page on performance.
    pub const MEASURED: Self = Self {
        claim: 1.5e-6,
        complete: 3.8e-6,
        complete_byte: 2.3e-9,
        staged_byte: 1.1e-9,
        replay: 0.8e-6,
        replay_byte: 0.33e-9,
        line: 6.0e-6,
        wake: 18.0e-6,
        entry: 101.0,
        reply_bytes: 9.0,
        number_bytes: 4.0,
    };

    /// A claim that is granted, alone on its way.
    pub fn claim(&self) -> f64 {
        self.claim + self.line
    }

    /// A completion, alone on its way.
    pub fn complete(&self, answer: f64) -> f64 {
        let per_byte = if answer < STAGED { self.complete_byte } else { self.staged_byte };
        self.complete + answer * per_byte + self.line
    }

    /// A claim that brings an answer, alone on its way.
    pub fn replay(&self, answer: f64) -> f64 {
        self.replay + answer * self.replay_byte + self.line
    }

    /// The memory of a key whose answer is recorded.
    pub fn key_bytes(&self, answer: f64) -> f64 {
        // The name and the value are strings of their own: a head and a zero byte more, rounded up by the allocator.
        self.entry + allocated(NAME + 4.0) + allocated(HEAD + answer + 4.0)
    }

    /// `SET name record NX GET PX life`.
    pub fn claim_bytes(&self) -> f64 {
        request(&[3.0, NAME, HEAD, 2.0, 3.0, 2.0, 8.0])
    }

    /// `EVALSHA digest 1 name record record-with-answer life`.
    pub fn complete_bytes(&self, answer: f64) -> f64 {
        request(&[7.0, 40.0, 1.0, NAME, HEAD, HEAD + answer, 8.0])
    }

    /// `WAIT replicas time`.
    pub fn wait_bytes(&self) -> f64 {
        request(&[4.0, 1.0, 4.0])
    }

    /// The record, as the reply to a claim.
    pub fn replay_bytes(&self, answer: f64) -> f64 {
        string(HEAD + answer)
    }

    /// The two `SET name record PXAT time` that a replica gets for a first request.
    pub fn replicated_bytes(&self, answer: f64) -> f64 {
        request(&[3.0, NAME, HEAD, 4.0, 13.0]) + request(&[3.0, NAME, HEAD + answer, 4.0, 13.0])
    }
}

/// A command of words of these lengths on the wire.
fn request(words: &[f64]) -> f64 {
    // `*9\r\n`; none has ten words.
    4.0 + words.iter().copied().map(string).sum::<f64>()
}

/// A string of this length on the wire: `$`, its length, and two line ends.
fn string(len: f64) -> f64 {
    let digits = len.max(1.0).log10().floor() + 1.0;
    len + digits + 5.0
}

/// What jemalloc gives for so many bytes: four sizes for each doubling, in steps of eight bytes at least.
fn allocated(bytes: f64) -> f64 {
    let step = (2.0_f64.powf(bytes.log2().ceil() - 3.0)).max(8.0);
    (bytes / step).ceil() * step
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these are exact")]

    use super::*;

    #[test]
    fn the_allocator_has_four_sizes_for_each_doubling() {
        for (asked, given) in [(54.0, 56.0), (64.0, 64.0), (130.0, 160.0), (204.0, 224.0), (1028.0, 1280.0)] {
            assert_eq!(allocated(asked), given, "{asked}");
        }
    }

    #[test]
    fn words_are_as_long_as_on_the_wire() {
        let wire = |words: &[&str]| {
            let strings: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
            format!("*{}\r\n{}", words.len(), strings.concat()).len()
        };
        let long = "x".repeat(104);
        for words in [&["PING"][..], &["SET", "name", &long, "NX"], &["GET", ""]] {
            let lengths: Vec<_> = words.iter().map(|word| f64::from(u32::try_from(word.len()).unwrap())).collect();
            assert_eq!(request(&lengths), f64::from(u32::try_from(wire(words)).unwrap()));
        }
    }

    #[test]
    fn a_key_takes_what_was_measured() {
        // Per key of 100,000: a value of 200 bytes took 373, one of 1,024 bytes 1,440, with names of 41 bytes.
        let costs = Costs::MEASURED;
        for (value, measured) in [(200.0, 373.0), (1024.0, 1440.0)] {
            let shorter_name = allocated(NAME + 4.0) - allocated(41.0 + 4.0);
            let bytes = costs.key_bytes(value - HEAD) - shorter_name;
            assert!((bytes / measured - 1.0).abs() < 0.02, "{bytes} for {measured}");
        }
    }

    #[test]
    fn large_answers_cost_less_per_byte_beside_the_script() {
        let costs = Costs::MEASURED;
        assert!(costs.complete(STAGED) < costs.complete(STAGED - 1.0));
        assert!(costs.complete(65_536.0) > costs.complete(STAGED));
    }
}
