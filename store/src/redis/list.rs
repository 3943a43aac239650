//! Listing: the server's [`SCAN`](https://redis.io/docs/latest/commands/scan/) over the names of records, then the heads of
//! those that it found, in one pipeline. A Cluster is listed node by node.
//!
//! A head is read before and after what goes with it. Where the two differ the record was written in between, and is left
//! out; to a look a moment later it would be another record anyway.

use std::pin::pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use redis::{Pipeline, RedisResult, Value, cmd, from_redis_value};

use super::failure::sort;
use super::greeting::micros_of;
use super::line::Via;
use super::link::{Link, Tries};
use super::script::Call;
use super::topology::answer;
use super::value::{self, HEAD_LEN};
use super::{NAME, Nonsense, RedisStore};
use crate::{Cursor, Deadline, ErrorKind, ForeignCursor, Key, Listed, Page, Query, StoreError, StoreTime};

/// How many records are read in one pipeline. Others wait on the line for so long, and not for a whole page.
const PIPELINED: usize = 128;

/// Where a listing goes on: at a cursor of a server's, with keys that the page before had no room for.
#[derive(Default)]
struct Place {
    /// Which of the servers: a digest of its address in a Cluster, 0 elsewhere.
    node: u64,
    /// 0 at the start, and where the server has come to the end.
    scan: u64,
    rest: Vec<Key>,
}

/// A record in a listing.
enum Found {
    Listed(Listed),
    /// It cannot be read, or is none.
    Unreadable,
    /// It is gone, or was written meanwhile.
    Gone,
}

impl RedisStore {
    /// A page: what the page before left over, or what a server finds next.
    pub(super) async fn list_keys(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        let place = query.after.as_ref().map(Place::of).transpose();
        let nodes = self.0.topology.named_links();
        let place = match place.map_err(|error| StoreError::not_applied(NAME, error))? {
            Some(place) if !place.rest.is_empty() => place,
            Some(Place { node, scan, .. }) => self.scan(&nodes, node, scan, query.limit(), deadline).await?,
            None => match nodes.first() {
                Some((first, _)) => self.scan(&nodes, *first, 0, query.limit(), deadline).await?,
                None => Place::default(),
            },
        };
        let Place { node, scan, mut rest } = place;
        let mut page = Page::default();
        while !rest.is_empty() && page.entries.len() < query.limit() {
            let room = query.limit() - page.entries.len();
            let later = rest.split_off(rest.len().min(PIPELINED).min(room));
            // In a Cluster each of a node's keys may be elsewhere by now, and is looked for by itself.
            let is_cluster = self.0.topology.is_cluster();
            let looked =
                if is_cluster { self.look_for(&rest, deadline).await? } else { self.look_at(&rest, deadline).await? };
            for found in looked {
                match found {
                    Found::Listed(listed) if query.wants(&listed) => page.entries.push(listed),
                    Found::Unreadable => page.unreadable += 1,
                    Found::Listed(_) | Found::Gone => {}
                }
            }
            rest = later;
        }
        Ok(Page { next: goes_on(&nodes, &Place { node, scan, rest }), ..page })
    }

    /// The keys that a server finds from a cursor on. They may be more than were asked for, and each may come twice.
    async fn scan(
        &self,
        nodes: &[(u64, Arc<Link>)],
        node: u64,
        from: u64,
        count: usize,
        deadline: Deadline,
    ) -> Result<Place, StoreError> {
        let mut scan = cmd("SCAN");
        scan.arg(from).arg("MATCH").arg(self.pattern()).arg("COUNT").arg(count);
        // A server's cursor means nothing to another one.
        let gone = || StoreError::not_applied(NAME, ForeignCursor);
        let (_, link) = nodes.iter().find(|(name, _)| *name == node).ok_or_else(gone)?;
        let live = link.live(deadline, Tries::Many).await?;
        let reply = answer(link.send(&live, &Call::Plain(scan), Via::Line, false, deadline).await?)?;
        let (scan, names): (u64, Vec<Bytes>) = from_redis_value(reply).map_err(|_| nonsense())?;
        let mut rest: Vec<_> = names.iter().filter_map(|name| self.key_of(name)).collect();
        rest.sort_unstable();
        rest.dedup();
        Ok(Place { node, scan, rest })
    }

    /// Reads these records one by one, wherever they are.
    async fn look_for(&self, keys: &[Key], deadline: Deadline) -> Result<Vec<Found>, StoreError> {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            let snapshot = match self.snapshot(key, deadline).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    all.push(Found::Unreadable);
                    continue;
                }
                snapshot => snapshot?,
            };
            let Some(value) = &snapshot.value else {
                all.push(Found::Gone);
                continue;
            };
            let head = value.get(..HEAD_LEN).unwrap_or(value);
            let listed = value::list(*key, head, value.len(), snapshot.left, snapshot.now);
            all.push(listed.map_or(Found::Unreadable, Found::Listed));
        }
        Ok(all)
    }

    /// Reads the heads of these records, which live on one server.
    async fn look_at(&self, keys: &[Key], deadline: Deadline) -> Result<Vec<Found>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(keys.len() * 4 + 1);
        pipeline.cmd("TIME");
        for name in keys.iter().map(|key| self.name_of(key)) {
            let head = |pipeline: &mut Pipeline| {
                pipeline.cmd("GETRANGE").arg(&name).arg(0).arg(HEAD_LEN - 1);
            };
            head(&mut pipeline);
            pipeline.cmd("PTTL").arg(&name).cmd("STRLEN").arg(&name);
            head(&mut pipeline);
        }
        let name = keys.first().map(|key| self.name_of(key)).unwrap_or_default();
        let (link, live) = self.0.topology.live(&name, deadline).await?;
        let mut connection = live.line.connection.clone();
        let asked = async { connection.send_packed_commands(&pipeline, 0, pipeline.len()).await };
        let mut replies = link.watched(&live, deadline, pin!(asked)).await?.into_iter();
        let now = replies.next().ok_or_else(nonsense)?.extract_error().map_err(sort)?;
        let now = from_redis_value(now).ok().and_then(|(seconds, micros)| micros_of(seconds, micros));
        let now = now.ok_or_else(nonsense)?;
        keys.iter().map(|key| found(*key, replies.by_ref().take(4).collect(), now)).collect()
    }

    /// What the names of all records match, and, but for chance, nothing else.
    fn pattern(&self) -> String {
        // What has a meaning in a pattern stands for itself behind a backslash.
        let escape = |character| if "*?[]\\^-".contains(character) { vec!['\\', character] } else { vec![character] };
        let prefix: String = self.0.shared.config.prefix.chars().flat_map(escape).collect();
        format!("{prefix}:{{*}}")
    }

    /// The key of a record of this name; none of a name that no record has.
    fn key_of(&self, name: &[u8]) -> Option<Key> {
        let digest =
            name.strip_prefix(self.0.shared.config.prefix.as_bytes())?.strip_prefix(b":{")?.strip_suffix(b"}")?;
        let digest = URL_SAFE_NO_PAD.decode(digest).ok()?;
        digest.try_into().ok().map(Key::new)
    }
}

/// Where the next page begins; `None` at the end of the last server.
fn goes_on(nodes: &[(u64, Arc<Link>)], place: &Place) -> Option<Cursor> {
    if place.scan != 0 || !place.rest.is_empty() {
        return Some(place.cursor());
    }
    let (next, _) = nodes.iter().skip_while(|(name, _)| *name != place.node).nth(1)?;
    Some(Place { node: *next, ..Place::default() }.cursor())
}

fn nonsense() -> StoreError {
    StoreError::not_applied(NAME, Nonsense)
}

/// What four replies say about a record.
fn found(key: Key, replies: Vec<Value>, now: StoreTime) -> Result<Found, StoreError> {
    let replies: RedisResult<Vec<_>> = replies.into_iter().map(Value::extract_error).collect();
    let replies = match replies {
        Ok(replies) => Value::Array(replies),
        // Something else has this name.
        Err(error) if error.code() == Some("WRONGTYPE") => return Ok(Found::Unreadable),
        Err(error) => return Err(sort(error)),
    };
    let (head, left, len, again): (Bytes, i64, usize, Bytes) = from_redis_value(replies).map_err(|_| nonsense())?;
    let is_absent = left == -2;
    if is_absent || head != again {
        return Ok(Found::Gone);
    }
    Ok(value::list(key, &head, len, left, now).map_or(Found::Unreadable, Found::Listed))
}

impl Place {
    fn of(cursor: &Cursor) -> Result<Self, ForeignCursor> {
        let (node, rest) = cursor.as_bytes().split_first_chunk().ok_or(ForeignCursor)?;
        let (scan, rest) = rest.split_first_chunk().ok_or(ForeignCursor)?;
        let keys = rest.chunks(32).map(|key| key.try_into().map(Key::new)).collect::<Result<Vec<_>, _>>();
        let rest = keys.map_err(|_| ForeignCursor)?;
        let place = Self { node: u64::from_be_bytes(*node), scan: u64::from_be_bytes(*scan), rest };
        // Where nothing is left of the only server there is no cursor.
        if place.node == 0 && place.scan == 0 && place.rest.is_empty() { Err(ForeignCursor) } else { Ok(place) }
    }

    fn cursor(&self) -> Cursor {
        let keys = self.rest.iter().flat_map(Key::as_bytes).copied();
        let place = self.node.to_be_bytes().into_iter().chain(self.scan.to_be_bytes());
        Cursor::from_bytes(place.chain(keys).collect::<Vec<_>>())
    }
}
