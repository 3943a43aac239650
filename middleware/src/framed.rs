//! Digests over fields that cannot be shifted into each other.

use crate::secret::ScopeDigest;

/// A keyed digest over fields, each preceded by its length.
pub(crate) struct Framed<'a> {
    key: &'a [u8; 32],
    staged: [u8; STAGED],
    len: usize,
    /// What the staged bytes follow, once there were too many of them.
    digest: Option<blake3::Hasher>,
}

/// How many bytes are digested at once. The hasher is made for long input: beginning it and each update of a few bytes costs as
/// much as digesting them, and a request has a dozen fields.
const STAGED: usize = 512;

impl<'a> Framed<'a> {
    pub(crate) const fn new(key: &'a [u8; 32]) -> Self {
        Self { key, staged: [0; STAGED], len: 0, digest: None }
    }

    /// Adds bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(room) = self.staged.get_mut(self.len..self.len.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
            return;
        }
        let digest = self.digest.get_or_insert_with(|| blake3::Hasher::new_keyed(self.key));
        digest.update(self.staged.get(..self.len).unwrap_or_default()).update(bytes);
        self.len = 0;
    }

    /// Adds one field.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes(bytes);
    }

    /// Adds a field that may be absent, which differs from an empty one.
    pub(crate) fn optional(&mut self, bytes: Option<&[u8]>) {
        self.count(usize::from(bytes.is_some()));
        if let Some(bytes) = bytes {
            self.field(bytes);
        }
    }

    /// Adds a number, for instance of the fields that follow.
    pub(crate) fn count(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    /// The digest. It is not taken by value, because then the staged bytes would be copied.
    pub(crate) fn finish(&mut self) -> [u8; 32] {
        let staged = self.staged.get(..self.len).unwrap_or_default();
        let digest = self.digest.as_mut().map(|digest| digest.update(staged).finalize());
        *digest.unwrap_or_else(|| blake3::keyed_hash(self.key, staged)).as_bytes()
    }

    /// The digest of a scope.
    pub(crate) fn finish_scope(&mut self) -> ScopeDigest {
        let mut digest = [0; 16];
        digest.iter_mut().zip(self.finish()).for_each(|(to, from)| *to = from);
        ScopeDigest::new(digest)
    }

    /// 128 bits in hexadecimal: unguessable, and short enough for every payment API's limit.
    pub(crate) fn finish_hex(&mut self) -> String {
        self.finish().iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
            for nibble in [byte >> 4, byte & 0xf] {
                hex.extend(char::from_digit(nibble.into(), 16));
            }
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_is_digested_as_if_it_were_not() {
        for lens in
            [[0, 0, 0], [1, 8, 300], [200, 300, 20], [503, 1, 504], [504, 512, 505], [600, 3, 70_000], [496, 0, 8]]
        {
            let fields = lens.map(|len| vec![u8::try_from(len % 251).expect("a byte"); len]);
            let mut framed = Framed::new(&[7; 32]);
            let mut plain = blake3::Hasher::new_keyed(&[7; 32]);
            for field in &fields {
                framed.field(field);
                plain.update(&(field.len() as u64).to_le_bytes()).update(field);
            }
            assert_eq!(framed.finish(), *plain.finalize().as_bytes(), "{lens:?}");
        }
    }
}
