//! The fixture of a store behind [`EncryptedStore`].

use std::fmt;
use std::time::Duration;

use super::Fixture;
use crate::{EncryptedStore, EncryptionKey, KeyRing};

/// The fixture of a store behind [`EncryptedStore`], under a random key, so that what it does to the store's questions and
/// replies keeps the same laws.
///
/// It takes a clone of the fixture's store, as [`Boxed`](super::Boxed) does.
pub struct Encrypted<F: Fixture> {
    fixture: F,
    store: EncryptedStore<F::Store>,
}

impl<F: Fixture> fmt::Debug for Encrypted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted(..)")
    }
}

impl<F> Fixture for Encrypted<F>
where
    F: Fixture,
    F::Store: Clone,
{
    type Store = EncryptedStore<F::Store>;

    async fn open() -> Self {
        let fixture = F::open().await;
        let key = EncryptionKey::random(1).expect("the system has random bytes");
        let ring = KeyRing::new([key]).expect("one key is a ring");
        let store = EncryptedStore::new(fixture.store().clone(), ring);
        Self { fixture, store }
    }

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.fixture.advance(duration).await;
    }
}
