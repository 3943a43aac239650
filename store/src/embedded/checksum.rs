//! What tells bytes that rotted from those that were written.

/// FNV-1a, 64 bits, over the parts one after another. Against bytes that rot, not against an adversary: whoever can write
/// the file can claim keys as well. redb has checksums of its own, but looks at them only when it repairs a file.
pub(super) fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    parts.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325, step)
}
