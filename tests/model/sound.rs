//! The protocol as it is designed, in each of its surroundings.

use crate::check::holds;
use crate::design::{Design, Durability, Topology};

/// Half a lease, in microseconds.
pub(crate) const HALF: i64 = 500_000;

#[test]
fn one_server_refuse() {
    holds("one server, refuse", Design::refusing());
}

#[test]
fn one_server_refuse_sent_twice() {
    holds("one server, refuse, all sent twice", Design { asks: 1, sends: 2, ..Design::refusing() });
}

#[test]
fn one_server_reexecute() {
    holds("one server, re-execute", Design::reexecuting());
}

/// Handlers that do not hear from the downstream answer an error, which is recorded, or nothing at all.
pub(crate) const fn failing() -> Design {
    Design { failures: true, ..Design::reexecuting() }
}

#[test]
fn one_server_reexecute_failures() {
    holds("one server, re-execute, failing handlers", failing());
}

#[test]
fn one_server_refuse_renewals() {
    holds("one server, refuse, renewals", Design { renewals: 2, ..Design::refusing() });
}

#[test]
fn one_server_reexecute_renewals() {
    holds("one server, re-execute, renewals", Design { asks: 1, renewals: 1, ..Design::reexecuting() });
}

#[test]
fn one_server_reexecute_skewed_clients() {
    let design = Design { asks: 1, skews: &[-HALF, HALF], ..Design::reexecuting() };
    holds("one server, re-execute, skewed clients", design);
}

pub(crate) const fn pair_refusing() -> Design {
    Design::refusing().on(Topology::Pair)
}

#[test]
fn pair_refuse() {
    holds("pair, refuse", pair_refusing());
}

pub(crate) const fn three_on_a_pair() -> Design {
    Design { attempts: 3, asks: 1, lapses: 1, ..pair_refusing() }
}

#[test]
fn pair_refuse_three() {
    holds("pair, refuse, three attempts", three_on_a_pair());
}

#[test]
fn pair_refuse_skewed_clocks() {
    let design = Design { skews: &[-HALF, HALF], second_clock: -HALF, ..pair_refusing() };
    holds("pair, refuse, skewed clients and servers", design);
}

#[test]
fn pair_reexecute() {
    holds("pair, re-execute", Design::reexecuting().on(Topology::Pair));
}

/// Claims that do not wait: a fail-over may lose them. The downstream still sees to it that there is one effect.
pub(crate) const fn not_waiting() -> Design {
    Design { durability: Durability::Local, ..Design::reexecuting().on(Topology::Pair) }
}

#[test]
fn pair_reexecute_local() {
    holds("pair, re-execute, claims do not wait", not_waiting());
}

/// Failing handlers, and completions that wait as claims do.
pub(crate) const fn waiting_completions() -> Design {
    Design { failures: true, completions_wait: true, ..Design::reexecuting().on(Topology::Pair) }
}

#[test]
fn pair_reexecute_failures() {
    holds("pair, re-execute, failing handlers, completions wait", waiting_completions());
}

pub(crate) const fn split_refusing() -> Design {
    Design { lapses: 1, ..Design::refusing().on(Topology::SplitBrain) }
}

#[test]
fn split_brain_refuse() {
    holds("split brain, refuse", split_refusing());
}

#[test]
fn split_brain_reexecute() {
    holds("split brain, re-execute", Design { asks: 1, ..Design::reexecuting().on(Topology::SplitBrain) });
}
