//! Where the frames of Redis's protocol end: enough of RESP2 and RESP3 to tell commands and replies apart, and no more.

use bytes::Bytes;

/// A bulk string longer than this is no Redis's.
const LONGEST_BULK: u64 = 512 << 20;

/// An aggregate of more values than this is taken for nonsense.
const MOST_VALUES: u64 = 1 << 24;

/// A line longer than this is taken for nonsense.
const LONGEST_LINE: usize = 64 << 10;

/// Bytes that are not RESP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not RESP")
    }
}

impl std::error::Error for Malformed {}

/// Finds the end of a frame whose bytes come in pieces, without looking at any value twice.
#[derive(Clone, Copy, Default, Debug)]
pub struct Boundary {
    /// Where the value begins that is looked at.
    at: usize,
    /// How many values the frame has after that one, as far as is known.
    more: u64,
}

impl Boundary {
    /// Where the first frame of `bytes` ends, or nothing while it has not come whole. Until then every call is to be given
    /// the same bytes and what came after them; and then the bytes after that end.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        while let Some(head) = bytes.get(self.at..).map(Head::read).transpose()?.flatten() {
            let end = self.at + head.length + head.bulk.map_or(0, |bulk| bulk + CRLF.len());
            if bytes.len() < end {
                return Ok(None);
            }
            if head.bulk.is_some() && !bytes[..end].ends_with(CRLF) {
                return Err(Malformed);
            }
            self.at = end;
            match self.more + head.values {
                0 => return Ok(Some(std::mem::take(self).at)),
                more => self.more = more - 1,
            }
        }
        Ok(None)
    }
}

const CRLF: &[u8] = b"\r\n";

/// The first line of a value, and what it announces.
struct Head {
    /// Of the line.
    length: usize,
    /// How many bytes follow.
    bulk: Option<usize>,
    /// How many values follow.
    values: u64,
}

impl Head {
    /// Nothing while the line has not come whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(kind) = bytes.first() else { return Ok(None) };
        let start = &bytes[..bytes.len().min(LONGEST_LINE)];
        let Some(line) = start.windows(CRLF.len()).position(|window| window == CRLF) else {
            let known = b"+-:_#,($=!*~>%|".contains(kind) && start.len() < LONGEST_LINE;
            return known.then_some(None).ok_or(Malformed);
        };
        let count = |most| count(&bytes[1..line], most);
        let (bulk, values) = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => (None, 0),
            b'$' | b'=' | b'!' => (count(LONGEST_BULK)?, 0),
            b'*' | b'~' | b'>' => (None, count(MOST_VALUES)?.unwrap_or(0)),
            b'%' => (None, 2 * count(MOST_VALUES)?.unwrap_or(0)),
            // Attributes stand before the value that they belong to.
            b'|' => (None, 2 * count(MOST_VALUES)?.unwrap_or(0) + 1),
            _ => return Err(Malformed),
        };
        let bulk = bulk.map(|bulk| usize::try_from(bulk).expect("below LONGEST_BULK"));
        Ok(Some(Self { length: line + CRLF.len(), bulk, values }))
    }
}

/// A length; nothing is RESP2's way to say null.
fn count(digits: &[u8], most: u64) -> Result<Option<u64>, Malformed> {
    if digits == b"-1" {
        return Ok(None);
    }
    let count = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    count.filter(|count| *count <= most).map(Some).ok_or(Malformed)
}

/// A command as a client sends it: an array of bulk strings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    frame: Bytes,
    arguments: Vec<Bytes>,
}

impl Command {
    /// Reads a whole frame.
    pub fn read(frame: Bytes) -> Result<Self, Malformed> {
        let array = Head::read(&frame)?.filter(|head| frame.starts_with(b"*") && head.values > 0).ok_or(Malformed)?;
        let mut at = array.length;
        let mut arguments = Vec::new();
        for _ in 0..array.values {
            let head = Head::read(frame.get(at..).ok_or(Malformed)?)?.ok_or(Malformed)?;
            let start = at + head.length;
            let end = start + head.bulk.ok_or(Malformed)?;
            at = end + CRLF.len();
            arguments.push((at <= frame.len()).then(|| frame.slice(start..end)).ok_or(Malformed)?);
        }
        Ok(Self { frame, arguments })
    }

    /// Its name, in capitals.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.arguments[0]).to_ascii_uppercase()
    }

    /// What follows its name.
    pub fn arguments(&self) -> &[Bytes] {
        &self.arguments[1..]
    }

    /// As it was sent.
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }
}

/// Whether a frame of the server is no reply, but comes of itself.
pub(crate) fn is_push(frame: &[u8]) -> bool {
    frame.starts_with(b">")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-OOM command not allowed\r\n",
        b":-12\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*0\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*3\r\n*1\r\n:1\r\n*2\r\n*0\r\n$2\r\n+-\r\n:3\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"(12345678901234567890\r\n",
        b"!5\r\nERR x\r\n",
        b"=6\r\ntxt:ab\r\n",
        b"%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n%0\r\n",
        b"~2\r\n:1\r\n:2\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        b"|1\r\n+ttl\r\n:5\r\n*1\r\n|1\r\n+a\r\n+b\r\n:7\r\n",
    ];

    #[test]
    fn a_frame_ends_where_it_ends_however_it_is_cut() {
        for frame in FRAMES {
            let bytes = [*frame, b"+the next\r\n"].concat();
            for first in 0..frame.len() {
                for second in first..frame.len() {
                    let mut boundary = Boundary::default();
                    assert_eq!(boundary.end(&bytes[..first]), Ok(None), "{first} of {frame:?}");
                    assert_eq!(boundary.end(&bytes[..second]), Ok(None), "{first}, {second} of {frame:?}");
                    assert_eq!(boundary.end(&bytes), Ok(Some(frame.len())), "{first}, {second} of {frame:?}");
                    assert_eq!(boundary.end(&bytes[frame.len()..]), Ok(Some(11)));
                }
            }
        }
    }

    #[test]
    fn frames_that_come_byte_by_byte_are_all_found() {
        let (mut boundary, mut bytes, mut found) = (Boundary::default(), Vec::new(), Vec::new());
        for byte in FRAMES.concat() {
            bytes.push(byte);
            if let Some(end) = boundary.end(&bytes).unwrap() {
                found.push(bytes.drain(..end).collect::<Vec<u8>>());
            }
        }
        assert_eq!(found, FRAMES);
    }

    #[test]
    fn a_long_bulk_string_is_not_searched() {
        let mut bytes = b"$8388608\r\n".to_vec();
        bytes.resize(bytes.len() + (8 << 20), b'\n');
        bytes.extend(CRLF);
        let mut boundary = Boundary::default();
        for have in (0..bytes.len()).step_by(1024) {
            assert_eq!(boundary.end(&bytes[..have]), Ok(None));
        }
        assert_eq!(boundary.end(&bytes), Ok(Some(bytes.len())));
    }

    #[test]
    fn nonsense_is_called_so() {
        let long = [b"+".as_slice(), &vec![b'x'; LONGEST_LINE]].concat();
        let nonsense: [&[u8]; 9] = [
            b"PING\r\n",
            b"\0",
            b"$x\r\n",
            b"$-2\r\n",
            b"*-5\r\n",
            b"$1\r\nabc",
            b"$999999999999\r\n",
            b"*\r\n",
            &long,
        ];
        for bytes in nonsense {
            assert_eq!(Boundary::default().end(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_command_has_a_name_and_arguments() {
        let command = Command::read(Bytes::from_static(b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$2\r\n\r\n\r\n")).unwrap();
        assert_eq!(command.name(), "SET");
        assert_eq!(command.arguments(), [b"k".as_slice(), b"\r\n".as_slice()]);
        for frame in FRAMES.iter().filter(|frame| !frame.starts_with(b"*2\r\n$")) {
            assert_eq!(Command::read(Bytes::from_static(frame)), Err(Malformed), "{frame:?}");
        }
    }
}
