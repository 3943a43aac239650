//! Which node of a Cluster serves a key: the [slots](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/)
//! and the map of them. Pure; the asking is [`cluster`](super::cluster)'s.

use crc16::{State, XMODEM};
use redis::Value;

/// How many slots a Cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// Where a node listens.
pub(super) type Address = (String, u16);

/// The slots of one node: from and to, both included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct SlotRanges(Vec<(u16, u16)>);

/// Who serves which slots.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct SlotMap(Vec<(u16, u16, Address)>);

/// The slot of a key: that of what stands between its first braces, if it has any.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = key.get(open + 1..)?;
        let length = inside.iter().position(|byte| *byte == b'}')?;
        inside.get(..length).filter(|tag| !tag.is_empty())
    });
    State::<XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

impl SlotRanges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn serve(&self, key: &str) -> bool {
        let slot = slot(key.as_bytes());
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&slot))
    }
}

impl SlotMap {
    /// What [`CLUSTER SLOTS`](https://redis.io/docs/latest/commands/cluster-slots/) says: ranges with their nodes, the master
    /// first. `None` if that is not what it says. A node without a host is the one that was asked.
    pub(super) fn read(reply: &Value, asked: &str) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let range = |range: &Value| {
            let Value::Array(parts) = range else { return None };
            let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = &parts[..] else { return None };
            let [host, Value::Int(port), ..] = &master[..] else { return None };
            let host = match host {
                Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
                _ => asked.to_owned(),
            };
            Some((u16::try_from(*from).ok()?, u16::try_from(*to).ok()?, (host, u16::try_from(*port).ok()?)))
        };
        ranges.iter().map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The node that serves a slot.
    pub(super) fn node(&self, slot: u16) -> Option<&Address> {
        self.0.iter().find(|(from, to, _)| (*from..=*to).contains(&slot)).map(|(_, _, address)| address)
    }

    /// All nodes that serve something, each once, in an order that depends on their addresses only.
    pub(super) fn nodes(&self) -> Vec<Address> {
        let mut nodes: Vec<_> = self.0.iter().map(|(_, _, address)| address.clone()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// What a node serves.
    pub(super) fn served_by(&self, node: &Address) -> SlotRanges {
        SlotRanges(self.0.iter().filter(|(_, _, address)| address == node).map(|(from, to, _)| (*from, *to)).collect())
    }

    /// How many slots nobody serves.
    pub(super) fn uncovered(&self) -> usize {
        (0..SLOTS).filter(|slot| self.node(*slot).is_none()).count()
    }

    /// Learns that a slot has moved.
    pub(super) fn moved(&mut self, slot: u16, to: Address) {
        let mut ranges = Vec::with_capacity(self.0.len() + 2);
        for (first, last, address) in self.0.drain(..) {
            if (first..=last).contains(&slot) {
                ranges.extend((first < slot).then(|| (first, slot - 1, address.clone())));
                ranges.extend((slot < last).then(|| (slot + 1, last, address)));
            } else {
                ranges.push((first, last, address));
            }
        }
        ranges.push((slot, slot, to));
        self.0 = ranges;
    }
}

/// Host and port of a redirection. One without a host means the server that gave it.
pub(super) fn address(text: &str, asked: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = if host.is_empty() { asked } else { host.trim_matches(['[', ']']) };
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(State::<XMODEM>::calculate(b"123456789"), 0x31C3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo"), 12_182);
    }

    fn map() -> Option<SlotMap> {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |from, to, host: &str, port| {
            let master = Value::Array(vec![text(host), Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(from), Value::Int(to), master])
        };
        SlotMap::read(&Value::Array(vec![range(0, 99, "", 1), range(200, 16_383, "b", 2)]), "a")
    }

    #[test]
    fn a_map_knows_its_holes_and_learns_of_moves() {
        let Some(mut map) = map() else { unreachable!("a map was written down") };
        assert_eq!(map.node(99), Some(&("a".to_owned(), 1)));
        assert_eq!((map.node(100), map.uncovered()), (None, 100));
        map.moved(50, ("c".to_owned(), 3));
        map.moved(150, ("c".to_owned(), 3));
        assert_eq!(map.uncovered(), 99);
        assert_eq!([49, 50, 51].map(|slot| map.node(slot).map(|node| node.1)), [Some(1), Some(3), Some(1)]);
        assert_eq!(map.nodes().len(), 3);
        assert!(SlotMap::read(&Value::Int(1), "a").is_none());
    }

    #[test]
    fn redirections_name_hosts_of_every_kind() {
        assert_eq!(address("10.0.0.1:7000", "a"), Some(("10.0.0.1".to_owned(), 7000)));
        assert_eq!(address("::1:7000", "a"), Some(("::1".to_owned(), 7000)));
        assert_eq!(address(":7000", "a"), Some(("a".to_owned(), 7000)));
        assert_eq!(address("a", "a"), None);
    }
}
