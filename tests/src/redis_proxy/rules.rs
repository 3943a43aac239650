//! Which command meets which fault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::LineFault;
use crate::Count;
use crate::resp::Command;

/// All faults that are set, and the counts. Clones are the same rules.
#[derive(Clone, Default, Debug)]
pub(super) struct Rules {
    pub(super) commands: Count,
    pub(super) struck: Count,
    state: Arc<Mutex<State>>,
}

#[derive(Default, Debug)]
struct State {
    rules: Vec<Rule>,
    seen: HashMap<String, Count>,
    draws: Option<StdRng>,
}

struct Rule {
    matches: Box<dyn Fn(&Command) -> bool + Send>,
    when: When,
    fault: LineFault,
}

/// Which of the commands that a rule is about it strikes.
#[derive(Debug)]
pub(super) enum When {
    Next(usize),
    Every { nth: usize, seen: usize },
    Chance(f64),
}

impl Rules {
    pub(super) fn add(&self, matches: impl Fn(&Command) -> bool + Send + 'static, when: When, fault: LineFault) {
        self.state().rules.push(Rule { matches: Box::new(matches), when, fault });
    }

    pub(super) fn clear(&self) {
        self.state().rules.clear();
    }

    /// The count of the commands of this name.
    pub(super) fn seen(&self, name: &str) -> Count {
        self.state().seen.entry(name.to_ascii_uppercase()).or_default().clone()
    }

    /// Chooses what the draws come from, unless that was done, and says it.
    pub(super) fn announce_seed(&self) {
        self.state().draws.get_or_insert_with(|| {
            let given = std::env::var("PROXY_SEED").ok().map(|seed| seed.parse().expect("PROXY_SEED is a number"));
            let seed = given.unwrap_or_else(rand::random);
            #[allow(clippy::print_stdout, reason = "a test that fails is repeated with it")]
            {
                println!("PROXY_SEED={seed}");
            }
            StdRng::seed_from_u64(seed)
        });
    }

    /// Counts a command and says how it fails.
    pub(super) fn arrive(&self, command: &Command) -> Option<LineFault> {
        self.seen(&command.name()).up();
        let fault = self.state().strike(command);
        if fault.is_some() {
            self.struck.up();
        }
        self.commands.up();
        fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn strike(&mut self, command: &Command) -> Option<LineFault> {
        let Self { rules, draws, .. } = self;
        let strikes = rules.iter_mut().position(|rule| (rule.matches)(command) && rule.when.strikes(draws.as_mut()))?;
        let fault = rules[strikes].fault.clone();
        rules.retain(|rule| !matches!(rule.when, When::Next(0)));
        Some(fault)
    }
}

impl When {
    fn strikes(&mut self, draws: Option<&mut StdRng>) -> bool {
        match self {
            Self::Next(left) => {
                let strikes = *left > 0;
                *left = left.saturating_sub(1);
                strikes
            }
            Self::Every { nth, seen } => {
                *seen += 1;
                seen.is_multiple_of(*nth)
            }
            Self::Chance(probability) => draws.expect("a seed was chosen").random_bool(*probability),
        }
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rule({:?}, {:?})", self.when, self.fault)
    }
}
