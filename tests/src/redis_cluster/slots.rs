//! Which node has which slots, and how they move while clients use them.

use std::ops::RangeInclusive;

use redis::{RedisResult, Value, cmd};

use super::RedisCluster;
use crate::RedisServer;

/// How many keys of a slot move at a time.
const BATCH: usize = 50;

/// How long moving one batch may take, in milliseconds.
const PATIENCE: usize = 5000;

/// Slots from, to, and the port of their master.
type View = Vec<(u16, u16, u16)>;

/// A slot that is half moved: [`begin`](RedisCluster::begin_move) marked it, and [`finish`](RedisCluster::finish_move) is
/// still to come. Whatever is asked of it meets ASK where its keys are gone already.
#[derive(Debug)]
#[must_use = "a slot that is half moved stays so"]
pub struct Moving {
    slot: u16,
    from: usize,
    to: usize,
}

impl RedisCluster {
    /// The slot of a key.
    pub async fn slot_of(&self, key: &str) -> u16 {
        self.node(0).ask(cmd("CLUSTER").arg("KEYSLOT").arg(key)).await
    }

    /// The number of the master that has this slot.
    pub async fn owner_of(&self, slot: u16) -> usize {
        let (_, any) = self.running().next().expect("a node that runs");
        let (.., port) =
            view(any).await.into_iter().find(|(from, to, _)| (*from..=*to).contains(&slot)).expect("covered");
        self.nodes().iter().position(|node| node.address().port() == port).expect("a node of the cluster")
    }

    /// Moves slots, with the keys in them, one after the other, to another master, while clients go on.
    pub async fn reshard(&self, slots: RangeInclusive<u16>, to: usize) {
        for slot in slots {
            if self.owner_of(slot).await != to {
                let moving = self.begin_move(slot, to).await;
                self.finish_move(moving).await;
            }
        }
    }

    /// Marks a slot as moving. Its keys stay where they are, and new ones go to where it moves.
    pub async fn begin_move(&self, slot: u16, to: usize) -> Moving {
        let from = self.owner_of(slot).await;
        self.set_slot(to, slot, "IMPORTING", &self.ids[from]).await;
        self.set_slot(from, slot, "MIGRATING", &self.ids[to]).await;
        Moving { slot, from, to }
    }

    /// Moves its keys, and makes it the other's.
    pub async fn finish_move(&self, moving: Moving) {
        let Moving { slot, from, to } = moving;
        loop {
            let mut listed = cmd("CLUSTER");
            let keys: Vec<Vec<u8>> = self.node(from).ask(listed.arg("GETKEYSINSLOT").arg(slot).arg(BATCH)).await;
            if keys.is_empty() {
                break;
            }
            self.migrate(from, to, &keys).await;
        }
        // First whom it moves to: until the others hear of it, they would send clients back and forth.
        self.set_slot(to, slot, "NODE", &self.ids[to]).await;
        self.set_slot(from, slot, "NODE", &self.ids[to]).await;
        for master in self.masters().await {
            if master != from && master != to {
                self.set_slot(master, slot, "NODE", &self.ids[to]).await;
            }
        }
    }

    async fn migrate(&self, from: usize, to: usize, keys: &[Vec<u8>]) {
        let target = self.node(to).address();
        let mut migrate = cmd("MIGRATE");
        migrate.arg(target.ip().to_string()).arg(target.port()).arg("").arg(0).arg(PATIENCE).arg("KEYS").arg(keys);
        // `NOKEY` where they have expired meanwhile; what could not be moved is listed again.
        let mut connection = self.node(from).connection().await;
        let _: RedisResult<Value> = migrate.query_async(&mut connection).await;
    }

    async fn set_slot(&self, node: usize, slot: u16, state: &str, id: &str) {
        self.node(node).ask::<()>(cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(state).arg(id)).await;
    }
}

/// Who has which slots, as this node sees it.
pub(super) async fn view(node: &RedisServer) -> View {
    let ranges: Vec<Vec<Value>> = node.ask(cmd("CLUSTER").arg("SLOTS")).await;
    let read = |range: &Vec<Value>| -> Option<(u16, u16, u16)> {
        let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = range.as_slice() else { return None };
        let [_, Value::Int(port), ..] = master.as_slice() else { return None };
        Some((u16::try_from(*from).ok()?, u16::try_from(*to).ok()?, u16::try_from(*port).ok()?))
    };
    let mut view: View = ranges.iter().map(|range| read(range).expect("a range of slots")).collect();
    view.sort_unstable();
    view
}
