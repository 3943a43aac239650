//! A short run that is the same every time: each input of the corpus, changed a little, many times.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Inputs do not grow beyond this.
const LONGEST: usize = 4096;

/// Runs `target` over so many mutants of its corpus.
pub(crate) fn run(name: &str, target: fn(&[u8]), mutants: usize) {
    // Only the names of the targets are asked for.
    if std::env::var_os("CARGO_BOLERO_SELECT").is_some() || std::env::var_os("BOLERO_LIBFUZZER_ARGS").is_some() {
        return;
    }
    let corpus = corpus(name);
    let mut random = StdRng::seed_from_u64(0x1de3_907e);
    for number in 0..mutants {
        let mut input = corpus[random.random_range(..corpus.len())].clone();
        for _ in 0..random.random_range(1..=4) {
            mutate(&mut input, &corpus, &mut random);
        }
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "mutant {number} of {name}: {}", input.escape_ascii());
    }
}

/// The inputs, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("__fuzz__").join(name).join("corpus");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("no corpus in {}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus in {} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut StdRng) {
    let at = random.random_range(..=input.len());
    match random.random_range(0..6) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 if at < input.len() => input[at] = random.random(),
        2 => input.truncate(at),
        3 if input.len() < LONGEST => input.insert(at, random.random()),
        4 if at < input.len() => drop(input.remove(at)),
        _ => {
            // The end of another input.
            let other = &corpus[random.random_range(..corpus.len())];
            let from = random.random_range(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
            input.truncate(LONGEST);
        }
    }
}
