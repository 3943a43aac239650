//! Runs one model to the end, says what it found, and compares that with what was expected.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::design::Design;
use crate::properties::must_hold;
use crate::step::Step;

/// Every state is reached and everything holds in it.
pub(crate) fn holds(name: &str, design: Design) {
    let started = Instant::now();
    let checked = design.checker().spawn_bfs().join();
    let found = checked.discoveries();
    let (broken, reached): (Vec<_>, Vec<_>) = checked.model().properties().into_iter().partition(must_hold);
    report(name, &checked, started, "holds");
    for property in broken {
        if let Some(path) = found.get(property.name) {
            tell(&path.clone().into_actions());
            panic!("{name}: not so in every state: {}", property.name);
        }
    }
    for property in reached {
        assert!(found.contains_key(property.name), "{name}: never reached: {}", property.name);
    }
}

/// A way to break the property is found, and a shortest one is told: no state that is nearer breaks it.
pub(crate) fn breaks(name: &str, property: &'static str, design: &Design) {
    let started = Instant::now();
    for depth in 2.. {
        let until = HasDiscoveries::AnyOf([property].into());
        let checked = design.clone().checker().finish_when(until).target_max_depth(depth).spawn_bfs().join();
        if let Some(path) = checked.discovery(property) {
            let steps = path.into_actions();
            report(name, &checked, started, &format!("broken in {} steps: {property}", steps.len()));
            return tell(&steps);
        }
        assert!(checked.max_depth() >= depth, "{name}: no counterexample to '{property}' in any state");
    }
}

/// The property is broken, and no state breaks another one.
pub(crate) fn breaks_only(name: &str, property: &'static str, design: Design) {
    let started = Instant::now();
    let checked = design.checker().spawn_bfs().join();
    report(name, &checked, started, &format!("broken, all else holds: {property}"));
    let broken = checked.model().properties().into_iter().filter(must_hold).map(|property| property.name);
    let broken: Vec<_> = broken.filter(|name| checked.discovery(name).is_some()).collect();
    assert_eq!(broken, [property], "{name}");
}

fn report(name: &str, checked: &impl Checker<Design>, started: Instant, verdict: &str) {
    let seconds = started.elapsed().as_secs_f64();
    let (states, depth) = (checked.unique_state_count(), checked.max_depth());
    println!("{name}: {states} states, depth {depth}, {seconds:.1} s: {verdict}");
}

fn tell(steps: &[Step]) {
    for (number, step) in steps.iter().enumerate() {
        println!("  {:>2} {step}", number + 1);
    }
}
