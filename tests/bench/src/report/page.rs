//! The generated part of `docs/performance.md`: everything between two marks, so that what people wrote around it stays.

use std::fs;
use std::path::{Path, PathBuf};

use super::Curves;
use super::plot::{Height, Plot};
use crate::Outcome;
use crate::goals::Runs;

const BEGIN: &str = "<!-- written by `./tests/bench/run report`: begin -->";
const END: &str = "<!-- written by `./tests/bench/run report`: end -->";

/// Draws the plots and writes the table.
///
/// # Errors
///
/// A file cannot be written.
pub fn write(runs: &Runs, curves: &Curves) -> Outcome<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    draw(curves, &plots)?;
    let page = docs.join("performance.md");
    let before = fs::read_to_string(&page).unwrap_or_else(|_| format!("# Performance\n\n{BEGIN}\n{END}\n"));
    fs::write(&page, replaced(&before, &generated(runs))?)?;
    Ok(page.canonicalize()?)
}

fn draw(curves: &Curves, folder: &Path) -> Outcome {
    let latency = Plot {
        title: "Answers at 2,000 requests per second, from the time at which each was due",
        x: "microseconds",
        y: "share of the answers",
        range: 50.0..20_000.0,
        height: Height::Share,
    };
    latency.draw(&curves.latency, &folder.join("latency.svg"))?;
    let throughput = Plot {
        title: "Requests per second by connections (closed loop; load, server and Redis share two cores)",
        x: "connections",
        y: "requests per second",
        range: 1.0..256.0,
        height: Height::Linear,
    };
    throughput.draw(&curves.throughput, &folder.join("throughput.svg"))?;
    let answers = Plot {
        title: "Redis's processor time by the size of the answer",
        x: "bytes of the answer",
        y: "microseconds",
        range: 200.0..65_536.0,
        height: Height::Logarithmic,
    };
    answers.draw(&curves.answers, &folder.join("answers.svg"))
}

fn generated(runs: &Runs) -> String {
    format!(
        "{runs}\n\n![Latency](performance/latency.svg)\n\n![Throughput](performance/throughput.svg)\n\n\
         ![Redis by answers](performance/answers.svg)"
    )
}

/// The page with what stands between the marks replaced.
fn replaced(page: &str, generated: &str) -> Outcome<String> {
    let marks = || "docs/performance.md has lost its marks".to_owned();
    let (head, rest) = page.split_once(BEGIN).ok_or_else(marks)?;
    let (_, tail) = rest.split_once(END).ok_or_else(marks)?;
    Ok(format!("{head}{BEGIN}\n\n{generated}\n\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays() {
        let page = format!("# Title\n\nabove\n\n{BEGIN}\nold\n{END}\n\nbelow\n");
        let written = replaced(&page, "new").unwrap();
        assert_eq!(written, format!("# Title\n\nabove\n\n{BEGIN}\n\nnew\n\n{END}\n\nbelow\n"));
        assert_eq!(replaced(&written, "new").unwrap(), written, "writing twice changes nothing");
        assert!(replaced("# Title\n", "new").is_err());
    }
}
