//! What the documents name must be there.

use std::fs;
use std::path::{Path, PathBuf};

/// Every document that names tests.
const DOCUMENTS: [&str; 4] = ["docs/compliance.md", "docs/failure-modes.md", "docs/layer-order.md", "tests/README.md"];

/// Where tests are.
const SOURCES: [&str; 6] =
    ["tests/it", "tests/model", "middleware/src", "middleware/tests", "store/src", "store/tests"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(directory: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

/// What stands between backticks and looks like the whole name of a test: several words, no dots.
fn names(document: &str) -> impl Iterator<Item = &str> {
    let is_name = |name: &&str| {
        let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        name.bytes().all(of_a_name) && name.matches('_').count() >= 3
    };
    document.split('`').skip(1).step_by(2).filter(is_name)
}

#[test]
fn documents_name_only_tests_that_are_there() {
    let sources: String = SOURCES.iter().map(|directory| sources(&repository().join(directory))).collect();
    for document in DOCUMENTS {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        let missing: Vec<&str> = names(&text).filter(|name| !sources.contains(&format!("fn {name}"))).collect();
        assert!(missing.is_empty(), "{document} names tests that are not there: {missing:#?}");
        assert!(names(&text).count() > 10, "{document} names no tests any more");
    }
}
