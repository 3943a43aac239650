//! What can be said of the stores that have no server: a file of this host, and this process's memory.

use std::path::{Path, PathBuf};

use idempotency_store::EmbeddedStore;
use idempotency_store::embedded::Refusal;
use idempotency_store::redis::doctor::Severity;

use super::report::Row;

pub(super) fn memory() -> Vec<Row> {
    let row = Row::new(Severity::Warning, "durability", "the keys are in the memory of one process");
    let row =
        row.so("when it ends, every key is forgotten, and its request runs again; other processes see none of them");
    vec![row.remedy("use --store embedded:PATH on one host, or --store redis://HOST:PORT for several servers")]
}

/// Whether the file may be used, and whether its file system keeps it.
pub(super) async fn examine(path: &Path) -> Vec<Row> {
    let mut rows = vec![file(path).await];
    rows.extend(file_system(path));
    rows.sort_by_key(|row| std::cmp::Reverse(row.severity));
    rows
}

async fn file(path: &Path) -> Row {
    if !path.exists() {
        let row = Row::new(Severity::Info, "file", "there is no file yet");
        return row.so("the service makes it when it starts");
    }
    match EmbeddedStore::open(path).await {
        Ok(store) => {
            store.close().await;
            Row::new(Severity::Info, "file", "the file is sound, and no process has it open")
        }
        Err(error) if error.refusal() == Refusal::InUse => {
            let row = Row::new(Severity::Info, "file", error.to_string());
            row.so("a running service holds it, and no second one can; its contents were not looked at")
        }
        Err(error) => {
            let row = Row::new(Severity::Error, "file", error.to_string()).so("the service does not start");
            row.remedy("mend what the error says; a file that is replaced by an empty one forgets every key")
        }
    }
}

/// File systems that forget, or that do not lock or sync as a disk does: the number that `statfs` gives, and its name.
#[cfg(target_os = "linux")]
const DOUBTFUL: [(u64, &str, Severity); 7] = [
    (0x0102_1994, "tmpfs", Severity::Error),
    (0x8584_58f6, "ramfs", Severity::Error),
    (0x6969, "NFS", Severity::Error),
    (0xff53_4d42, "CIFS", Severity::Error),
    (0xfe53_4d42, "SMB", Severity::Error),
    (0x6573_5546, "FUSE", Severity::Warning),
    (0x794c_7630, "overlayfs", Severity::Warning),
];

#[cfg(target_os = "linux")]
fn file_system(path: &Path) -> Option<Row> {
    let there = nearest(path);
    let Ok(found) = rustix::fs::statfs(&there) else {
        let row = Row::new(Severity::Warning, "file-system", format!("{} cannot be looked at", there.display()));
        return Some(row.remedy("give a path that this user may read"));
    };
    // Its type and sign differ between architectures; the numbers have 32 bits.
    #[allow(clippy::cast_sign_loss, reason = "32 bits of a number, whatever their sign")]
    let number = found.f_type as u64 & 0xffff_ffff;
    judge(number, &there)
}

#[cfg(not(target_os = "linux"))]
fn file_system(_path: &Path) -> Option<Row> {
    let row = Row::new(Severity::Info, "file-system", "on this system it cannot be told which file system that is");
    Some(row.remedy("use a local disk, not memory and not the network"))
}

#[cfg(target_os = "linux")]
fn judge(number: u64, there: &Path) -> Option<Row> {
    let (_, name, severity) = DOUBTFUL.iter().find(|(doubtful, ..)| *doubtful == number)?;
    let row = Row::new(*severity, "file-system", format!("{} is on {name}", there.display()));
    let consequence = match *name {
        "tmpfs" | "ramfs" => "a restart of the host forgets every key",
        "overlayfs" => "a container's own layer is gone with the container, and every key with it",
        _ => {
            "its locks and its syncs may not hold: two services may use the file, a power cut may take acknowledged keys"
        }
    };
    Some(row.so(consequence).remedy("put the file on a local disk, in a container on a volume"))
}

/// The path, or what there is of it.
fn nearest(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|ancestor| ancestor.exists() && !ancestor.as_os_str().is_empty());
    there.unwrap_or(Path::new(".")).to_owned()
}

impl Row {
    fn new(severity: Severity, check: &str, seen: impl Into<String>) -> Self {
        let (consequence, remedy) = (String::new(), String::new());
        Self { severity, check: check.to_owned(), node: None, seen: seen.into(), consequence, remedy }
    }

    fn so(mut self, consequence: &str) -> Self {
        consequence.clone_into(&mut self.consequence);
        self
    }

    fn remedy(mut self, remedy: &str) -> Self {
        remedy.clone_into(&mut self.remedy);
        self
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn file_systems_that_forget_are_errors() {
        let at = Path::new("/data");
        let severity = |number| judge(number, at).map(|row| row.severity);
        assert_eq!((severity(0x0102_1994), severity(0x6969)), (Some(Severity::Error), Some(Severity::Error)));
        assert_eq!((severity(0x6573_5546), severity(0xef53)), (Some(Severity::Warning), None));
        assert!(judge(0x0102_1994, at).unwrap().seen.contains("/data is on tmpfs"));
    }

    #[test]
    fn memory_file_systems_are_known_by_what_the_system_says() {
        let row = file_system(Path::new("/dev/shm/no/such/keys.redb")).unwrap();
        assert_eq!((row.severity, row.check.as_str()), (Severity::Error, "file-system"), "{row}");
    }

    #[tokio::test]
    async fn a_file_that_is_in_use_is_left_alone_and_one_that_is_none_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.redb");
        assert!(file(&path).await.seen.contains("no file yet") && !path.exists());
        let store = EmbeddedStore::open(&path).await.unwrap();
        let used = file(&path).await;
        assert_eq!(used.severity, Severity::Info, "{used}");
        assert!(used.consequence.contains("holds it"), "{used}");
        store.close().await;
        assert!(file(&path).await.seen.contains("sound"));
        std::fs::write(&path, "no store").unwrap();
        assert_eq!(file(&path).await.severity, Severity::Error);
    }
}
