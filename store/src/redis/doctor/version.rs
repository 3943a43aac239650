//! Which server it is, and which known holes its scripts have.

use std::fmt;

/// What a server says that it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    pub(crate) make: Make,
    pub(crate) number: (u32, u32, u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Make {
    Redis,
    Valkey,
}

/// The first release of each line that has the fixes of October 2025: CVE-2025-49844, -46817, -46818 and -46819, and those
/// before, CVE-2024-46981 among them. Lines that are not named and older than the last have none.
const REDIS_FIXED: [(u32, u32, u32); 5] = [(6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)];
/// The same, and CVE-2025-67733.
const VALKEY_FIXED: [(u32, u32, u32); 4] = [(7, 2, 12), (8, 0, 7), (8, 1, 6), (9, 0, 2)];

impl Version {
    /// From `INFO server`.
    pub(crate) fn read(info: &str) -> Option<Self> {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let (make, version) = match field("valkey_version") {
            Some(version) => (Make::Valkey, version),
            None => (Make::Redis, field("redis_version")?),
        };
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Some(Self { make, number: (next(), next(), next()) })
    }

    /// Whether its `SET` takes `NX` and `GET` together.
    pub(crate) const fn is_supported(&self) -> bool {
        let (major, minor, _) = self.number;
        match self.make {
            Make::Redis => major >= 7,
            Make::Valkey => major > 7 || (major == 7 && minor >= 2),
        }
    }

    /// Whether it has `WAITAOF`.
    pub(crate) const fn waits_for_disks(&self) -> bool {
        let (major, minor, _) = self.number;
        major > 7 || (major == 7 && minor >= 2)
    }

    /// The known holes that its number says it has.
    pub(crate) fn holes(&self) -> Option<&'static str> {
        let (fixed, holes): (&[_], _) = match self.make {
            Make::Redis => (&REDIS_FIXED, "CVE-2025-49844, CVE-2025-46817, CVE-2025-46818, CVE-2025-46819"),
            Make::Valkey => (&VALKEY_FIXED, "CVE-2025-67733, and before it CVE-2025-49844"),
        };
        let (major, minor, patch) = self.number;
        let line = fixed.iter().find(|line| (line.0, line.1) == (major, minor));
        let is_newer = fixed.last().is_some_and(|last| (major, minor) > (last.0, last.1));
        let has_fixes = line.map_or(is_newer, |line| patch >= line.2);
        (!has_fixes).then_some(holes)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.number;
        write!(f, "{:?} {major}.{minor}.{patch}", self.make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(info: &str) -> Version {
        Version::read(info).unwrap()
    }

    #[test]
    fn a_line_is_judged_by_its_own_fixed_release() {
        for (number, has_holes) in [
            ("7.0.15", true),
            ("7.2.10", true),
            ("7.2.11", false),
            ("7.4.5", true),
            ("7.4.6", false),
            ("8.0.3", true),
            ("8.0.4", false),
            ("8.2.1", true),
            ("8.2.2", false),
            ("8.4.0", false),
            ("9.0.0", false),
        ] {
            assert_eq!(version(&format!("redis_version:{number}\r\n")).holes().is_some(), has_holes, "{number}");
        }
        for (number, has_holes) in
            [("7.2.11", true), ("7.2.12", false), ("8.1.4", true), ("8.1.6", false), ("9.0.1", true), ("9.1.0", false)]
        {
            let info = format!("redis_version:7.2.4\r\nvalkey_version:{number}\r\n");
            assert_eq!(version(&info).holes().is_some(), has_holes, "{number}");
        }
    }

    #[test]
    fn old_servers_are_known() {
        assert!(!version("redis_version:6.2.20").is_supported());
        assert!(version("redis_version:7.0.0").is_supported() && !version("redis_version:7.0.0").waits_for_disks());
        assert!(version("redis_version:7.2.11").waits_for_disks());
        assert!(!version("redis_version:7.2.4\nvalkey_version:7.1.0").is_supported());
        assert_eq!(Version::read("role:master"), None);
    }
}
