//! A value of the command line or the environment that must not be seen.

use std::fmt;

/// Text that `Debug` does not show, and that has no `Display`. Reading it cannot fail, so no usage error quotes it.
#[derive(Clone)]
pub(crate) struct Hidden(String);

impl Hidden {
    /// The text, for whoever needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}
