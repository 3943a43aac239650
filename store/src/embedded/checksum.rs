//! What tells bytes that rotted from those that were written.
//!
//! Against bytes that rot, not against an adversary: whoever can write the file can claim keys as well. redb has checksums of
//! its own, but looks at them only when it repairs a file.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::StoreTime;

/// Of a record and when its state began: XXH3, 64 bits. The one thread that writes spends a few microseconds on an answer of
/// 64 KiB.
pub(super) fn of_record(since: StoreTime, record: &[u8]) -> u64 {
    xxh3_64_with_seed(record, since.as_micros())
}

/// FNV-1a, 64 bits, over the parts one after another. A byte at a time, so for short ones only: marks, and the records of format 1.
pub(super) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    parts.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325, step)
}
