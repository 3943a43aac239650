//! Keys in bounded pages: what is asked, where it goes on, and what a page holds.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use crate::record::{Record, State};
use crate::{Fence, Key, Reason, Seen, Standing, StoreTime};

/// Which keys to list, from where, and how many at a time.
///
/// ```
/// use idempotency_store::{Query, Standing};
///
/// let query = Query { standing: Some(Standing::Indeterminate), ..Query::default() };
/// assert_eq!(query.limit(), 100);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Only keys that stand like this; `None` for all.
    pub standing: Option<Standing>,
    /// Where the page before has ended; `None` for the first page.
    pub after: Option<Cursor>,
    /// How many keys a page holds at most. More than [`Query::MAX_LIMIT`] count as that.
    pub limit: NonZeroUsize,
}

impl Query {
    /// The most that a page holds, whatever is asked for: a page is built in memory.
    pub const MAX_LIMIT: usize = 1000;

    /// How many keys a page holds at most.
    pub fn limit(&self) -> usize {
        self.limit.get().min(Self::MAX_LIMIT)
    }

    /// Whether this key belongs into a page. One that has expired does not.
    pub(crate) fn wants(&self, listed: &Listed) -> bool {
        !listed.expires_in.is_zero() && self.standing.is_none_or(|standing| standing == listed.standing)
    }

    /// How many records one page looks at: of those that are of one standing there may be few.
    fn looks_at(&self) -> usize {
        if self.standing.is_some() { Self::MAX_LIMIT } else { self.limit() }
    }
}

impl Default for Query {
    /// The first hundred keys of any standing.
    fn default() -> Self {
        Self { standing: None, after: None, limit: NonZeroUsize::MIN.saturating_add(99) }
    }
}

/// Some of a store's keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The keys. None at all does not mean that there are no more: see `next`.
    pub entries: Vec<Listed>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<Cursor>,
    /// How many records were passed over because they are damaged, of an unknown version, or another program's.
    pub unreadable: usize,
}

/// A key as it is listed: everything that its record says but the answer or the checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Where the record lives.
    pub key: Key,
    /// Where in its life it is.
    pub standing: Standing,
    /// The fence of its last owner, for [`Store::resolve`](crate::Store::resolve) and
    /// [`Store::erase`](crate::Store::erase).
    pub fence: Fence,
    /// How many attempts were granted the key; 0 for one that was erased.
    pub attempts: u32,
    /// Why an owner gave up, if one has said so.
    pub reason: Option<Reason>,
    /// When it was last claimed, renewed or settled, on the store's clock.
    pub since: StoreTime,
    /// How long ago that was when the key was looked at.
    pub quiet_for: Duration,
    /// The time from then until it is forgotten.
    pub expires_in: Duration,
    /// The bytes of a completed key's answer, or of the note of its tombstone.
    pub answer_len: Option<usize>,
}

impl Listed {
    /// How this record is listed.
    pub fn new(key: Key, record: &Record, now: StoreTime) -> Self {
        let answer_len = match &record.state {
            State::Completed(answer) => Some(answer.as_bytes().len()),
            _ => None,
        };
        Self {
            key,
            standing: record.standing(now),
            fence: record.fence,
            attempts: record.attempts,
            reason: record.reason(),
            since: record.since,
            quiet_for: now.since(record.since),
            expires_in: record.expires_at().since(now),
            answer_len,
        }
    }

    /// What to give to [`Store::resolve`](crate::Store::resolve) or [`Store::erase`](crate::Store::erase), so that nothing is
    /// decided about a key that has changed since.
    pub const fn seen(&self) -> Seen {
        Seen { fence: self.fence, since: Some(self.since) }
    }

    /// The same of a record that was read without its payload, which has this length.
    #[cfg(any(feature = "embedded", feature = "redis"))]
    pub(crate) fn with_payload(self, len: usize) -> Self {
        Self { answer_len: self.answer_len.map(|_| len), ..self }
    }
}

/// A record that [`Transact::scan`](crate::Transact::scan) has come across.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scanned {
    /// One that can be read, also if it has expired.
    Record(Listed),
    /// One that cannot.
    Unreadable(Key),
}

impl Scanned {
    const fn key(&self) -> Key {
        match self {
            Self::Record(listed) => listed.key,
            Self::Unreadable(key) => *key,
        }
    }
}

/// A place in a listing, opaque outside the store that gave it. As text, e.g. for a command line, it is hexadecimal.
///
/// It stays valid as long as the store lives: it holds nothing in it.
///
/// ```
/// use idempotency_store::Cursor;
///
/// let cursor = Cursor::from_bytes(vec![0xAB, 0x01]);
/// assert_eq!(cursor.to_string(), "ab01");
/// assert_eq!("ab01".parse(), Ok(cursor));
/// assert!("ab0".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Box<[u8]>);

/// The text is not that of a [`Cursor`]: give it as it was printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a cursor is an even number of hexadecimal digits")]
pub struct CursorError;

/// The cursor was not made by this store; nothing was listed. Begin without one.
///
/// Found as the [source](std::error::Error::source) of a [`NotApplied`](crate::ErrorKind::NotApplied) error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the cursor is another store's")]
pub struct ForeignCursor;

impl Cursor {
    /// A cursor of these bytes, for stores.
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The place behind `key`, in a listing that is sorted by key.
    fn behind(key: Key) -> Self {
        Self::from_bytes(key.as_bytes().to_vec())
    }

    fn key(&self) -> Result<Key, ForeignCursor> {
        self.as_bytes().try_into().map(Key::new).map_err(|_| ForeignCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        text.as_bytes().chunks(2).map(byte).collect::<Option<Box<[u8]>>>().map(Self).ok_or(CursorError)
    }
}

/// What to ask a store for that scans in the order of keys: behind which key, and how many.
pub(crate) fn scan_of(query: &Query) -> Result<(Option<Key>, NonZeroUsize), ForeignCursor> {
    let after = query.after.as_ref().map(Cursor::key).transpose()?;
    Ok((after, NonZeroUsize::new(query.looks_at()).unwrap_or(NonZeroUsize::MIN)))
}

/// The page that a scan gives. Fewer records than were asked for mean that there are no more.
pub(crate) fn page_of(query: &Query, asked: NonZeroUsize, scanned: Vec<Scanned>) -> Page {
    let is_last = scanned.len() < asked.get();
    let mut page = Page::default();
    let mut behind = None;
    for one in scanned {
        let key = one.key();
        match one {
            Scanned::Record(listed) if !query.wants(&listed) => {}
            Scanned::Record(_) if page.entries.len() == query.limit() => {
                return Page { next: behind.map(Cursor::behind), ..page };
            }
            Scanned::Record(listed) => page.entries.push(listed),
            Scanned::Unreadable(_) => page.unreadable += 1,
        }
        behind = Some(key);
    }
    Page { next: behind.filter(|_| !is_last).map(Cursor::behind), ..page }
}
