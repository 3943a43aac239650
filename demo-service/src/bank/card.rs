//! How the bank behaves, chosen by the source of the charge as with test cards.
//!
//! | source | behaviour |
//! |---|---|
//! | `card_visa` | works |
//! | `card_declined` | 402, nothing is charged |
//! | `card_slow_MS` | waits `MS` milliseconds (at most 5000) before it charges |
//! | `card_bank_500` | 500 before it charges |
//! | `card_lost_reply` | charges, then drops the connection without a byte of answer |
//! | `card_flaky_P` | charges, and loses the reply `P` percent of the time (0 to 100) |
//!
//! A refund loses its reply as the charge that it gives back did; nothing else of a card applies to it.

use std::time::Duration;

/// The longest that a card makes the bank wait before it charges. What a source asks beyond it is cut to it.
pub const SLOWEST: Duration = Duration::from_secs(5);

/// A source that the bank knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// `card_visa`.
    Works,
    /// `card_declined`.
    Declined,
    /// `card_slow_MS`.
    Slow(Duration),
    /// `card_bank_500`.
    Fails,
    /// `card_lost_reply` (100) and `card_flaky_P`: the percentage of replies that are lost.
    LosesReplies(u8),
}

impl Card {
    /// The card behind a source, or `None` when the bank does not know it.
    pub fn parse(source: &str) -> Option<Self> {
        match source {
            "card_visa" => Some(Self::Works),
            "card_declined" => Some(Self::Declined),
            "card_bank_500" => Some(Self::Fails),
            "card_lost_reply" => Some(Self::LosesReplies(100)),
            _ => Self::parse_numbered(source),
        }
    }

    fn parse_numbered(source: &str) -> Option<Self> {
        if let Some(millis) = source.strip_prefix("card_slow_") {
            let wait = Duration::from_millis(number(millis)?);
            return Some(Self::Slow(wait.min(SLOWEST)));
        }
        let percent = number(source.strip_prefix("card_flaky_")?)?;
        let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100)?;
        Some(Self::LosesReplies(percent))
    }

    /// Whether this reply is lost; `roll` is uniform in `0..100`.
    pub fn loses_reply(self, roll: u8) -> bool {
        matches!(self, Self::LosesReplies(percent) if roll < percent)
    }
}

/// Digits only: `u64::from_str` would take a sign, and `card_slow_+5` is nobody's card.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_cards() {
        let known = [
            ("card_visa", Card::Works),
            ("card_declined", Card::Declined),
            ("card_bank_500", Card::Fails),
            ("card_lost_reply", Card::LosesReplies(100)),
            ("card_flaky_0", Card::LosesReplies(0)),
            ("card_flaky_100", Card::LosesReplies(100)),
            ("card_slow_250", Card::Slow(Duration::from_millis(250))),
        ];
        for (source, card) in known {
            assert_eq!(Card::parse(source), Some(card), "{source}");
        }
    }

    #[test]
    fn refuses_what_is_no_card() {
        for source in [
            "",
            "visa",
            "card_",
            "card_visa ",
            "CARD_VISA",
            "card_slow_",
            "card_slow_x",
            "card_slow_+5",
            "card_slow_-1",
            "card_flaky_101",
            "card_flaky_",
            "card_flaky_1.5",
            "card_lost_reply_",
            "card_slow_99999999999999999999",
        ] {
            assert_eq!(Card::parse(source), None, "{source:?}");
        }
    }

    #[test]
    fn no_wait_is_longer_than_the_slowest() {
        assert_eq!(Card::parse("card_slow_5001"), Some(Card::Slow(SLOWEST)));
    }

    #[test]
    fn loses_as_many_replies_as_its_percentage() {
        let lost = |card: Card| (0..100).filter(|roll| card.loses_reply(*roll)).count();
        assert_eq!(lost(Card::Works), 0);
        assert_eq!(lost(Card::LosesReplies(0)), 0);
        assert_eq!(lost(Card::LosesReplies(30)), 30);
        assert_eq!(lost(Card::LosesReplies(100)), 100);
    }
}
