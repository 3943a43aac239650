//! A holder as it is stored: the fence in eight bytes, the greatest first, and the owner in sixteen.

use super::Holder;
use crate::{Fence, Owner};

/// How many bytes a holder takes.
pub(crate) const HOLDER_LEN: usize = 24;

/// The bytes of a holder.
pub(crate) fn to_bytes(holder: Holder) -> [u8; HOLDER_LEN] {
    let mut bytes = [0; HOLDER_LEN];
    let fence = holder.fence.get().to_be_bytes();
    bytes.iter_mut().zip(fence.iter().chain(holder.owner.as_bytes())).for_each(|(to, from)| *to = *from);
    bytes
}

/// The holder in these bytes, unless they are too few or too many.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Holder> {
    let (fence, owner) = bytes.split_first_chunk()?;
    let owner = <[u8; 16]>::try_from(owner).ok()?;
    Some(Holder { fence: Fence::new(u64::from_be_bytes(*fence)), owner: Owner::new(owner) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read() {
        let holder = Holder { fence: Fence::new(u64::MAX - 1), owner: Owner::new([9; 16]) };
        let bytes = to_bytes(holder);
        assert_eq!(from_bytes(&bytes), Some(holder));
        assert_eq!(from_bytes(bytes.split_last().map(|(_, rest)| rest).unwrap_or_default()), None);
        assert_eq!(from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
    }
}
