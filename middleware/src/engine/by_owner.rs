//! Maps of what is held in this process, by owner.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use idempotency_store::Owner;

/// A map whose keys are drawn by this process, all of their 128 bits at random. They are as good a hash as any, and no client
/// can choose them: hashing them once more, four times a request, took some thousand instructions.
pub(super) type ByOwner<T> = HashMap<Owner, T, BuildHasherDefault<FirstBytes>>;

/// The first eight bytes that it is fed.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    // How many bytes follow, which is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn the_bits_of_an_owner_are_its_hash() {
        let map = ByOwner::<u8>::default();
        let owner = Owner::new([1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9]);
        assert_eq!(map.hasher().hash_one(owner), u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]));
    }
}
