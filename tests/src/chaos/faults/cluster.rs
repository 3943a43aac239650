//! A cluster's faults: masters that die, are replaced or stand still, and slots that move.

use rand::RngExt;
use rand::rngs::StdRng;

use super::stop;
use crate::RedisCluster;
use crate::chaos::ground::Ground;

/// How many slots move at a time.
const SLOTS: u16 = 12;

/// One fault, after which the cluster is whole again.
pub(super) async fn harm(ground: &Ground, cluster: &RedisCluster, kind: i32, dice: &mut StdRng) {
    let masters = cluster.masters().await;
    let master = masters[dice.random_range(0..masters.len())];
    match kind {
        2..=5 => reshard(ground, cluster, master, dice).await,
        6 | 7 => {
            let _whole = ground.whole.write().await;
            ground.tally.fault("fail-over of a shard, without asking its master");
            cluster.fail_over(master, true).await;
            cluster.until_follows(master).await;
        }
        8 => {
            let _whole = ground.whole.write().await;
            ground.tally.fault("fail-over of a shard after SIGKILL of its master");
            cluster.kill_master(master).await;
            cluster.rejoin(master).await;
        }
        _ => {
            let _whole = ground.whole.write().await;
            stop(ground, cluster.node(master), dice).await;
            // It may have been replaced, and hears of that now.
            cluster.until_whole().await;
        }
    }
}

async fn reshard(ground: &Ground, cluster: &RedisCluster, to: usize, dice: &mut StdRng) {
    let first = dice.random_range(0..16_384 - SLOTS);
    ground.tally.fault("slots moved");
    cluster.reshard(first..=first + SLOTS, to).await;
    cluster.until_well().await;
}
