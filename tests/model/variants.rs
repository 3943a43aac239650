//! Designs that are one guard short, or that rely on something weaker. Each has to be found guilty.

use crate::check::{breaks, breaks_only};
use crate::design::{Design, Downstream, Durability, Guard};
use crate::properties::{FENCES_GROW, ONE_ANSWER, ONE_EFFECT, RELEASED_IS_FREE};
use crate::sound;

#[test]
fn key_expires_with_its_lease() {
    let design = Design::refusing().lacking(Guard::KeyOutlivesLease);
    breaks("the key expires with its lease", ONE_EFFECT, &design);
}

#[test]
fn completion_without_owner_check() {
    let design = Design { asks: 1, ..sound::failing() }.lacking(Guard::OwnerComparedAtCompletion);
    breaks("completion without an owner check", ONE_ANSWER, &design);
}

#[test]
fn release_without_owner_check() {
    let design = Design::refusing().lacking(Guard::OwnerComparedAtRelease);
    breaks("release without an owner check", ONE_EFFECT, &design);
}

#[test]
fn takeover_with_unaware_downstream() {
    let design = Design { downstream: Downstream::Unaware, ..Design::reexecuting() };
    breaks("take-over, unaware downstream", ONE_EFFECT, &design);
}

#[test]
fn takeover_with_fences_only() {
    let design = Design { downstream: Downstream::ComparesFences, ..Design::reexecuting() };
    breaks("take-over, downstream that compares fences only", ONE_EFFECT, &design);
}

#[test]
fn release_deletes_the_key() {
    let design = Design::refusing().lacking(Guard::ReleaseLeavesTombstone);
    breaks("a release deletes the key", RELEASED_IS_FREE, &design);
}

/// What the tombstone prevents is a key that nobody runs and nobody gets. It is not what keeps a key from running twice.
#[test]
fn release_deletes_the_key_and_nothing_else_breaks() {
    let design = Design::refusing().lacking(Guard::ReleaseLeavesTombstone);
    breaks_only("a release deletes the key, searched to the end", RELEASED_IS_FREE, design);
}

#[test]
fn grant_after_giving_up() {
    let design = Design::refusing().lacking(Guard::GivenUpStaysGivenUp);
    breaks("a grant is acted upon after giving up", ONE_EFFECT, &design);
}

#[test]
fn asynchronous_replication() {
    let design = Design { durability: Durability::Local, ..sound::pair_refusing() };
    breaks("pair, asynchronous replication", ONE_EFFECT, &design);
}

#[test]
fn min_replicas() {
    let design = Design { durability: Durability::MinReplicas, ..sound::pair_refusing() };
    breaks("pair, min-replicas instead of WAIT", ONE_EFFECT, &design);
}

#[test]
fn min_replicas_in_split_brain() {
    let design = Design { durability: Durability::MinReplicas, ..sound::split_refusing() };
    breaks("split brain, min-replicas instead of WAIT", ONE_EFFECT, &design);
}

#[test]
fn wait_on_another_connection() {
    let design = sound::pair_refusing().lacking(Guard::WaitsWhereItWrote);
    breaks("pair, WAIT on another connection", ONE_EFFECT, &design);
}

#[test]
fn reasked_claim_does_not_write() {
    let design = sound::pair_refusing().lacking(Guard::ReaskedClaimWrites);
    breaks("pair, a re-asked claim does not write", ONE_EFFECT, &design);
}

#[test]
fn claim_over_tombstone_does_not_wait() {
    let design = sound::three_on_a_pair().lacking(Guard::ClaimOverTombstoneWaits);
    breaks("pair, a claim over a tombstone does not wait", ONE_EFFECT, &design);
}

#[test]
fn fences_from_a_counter() {
    breaks("pair, fences from INCR", FENCES_GROW, &sound::not_waiting().lacking(Guard::FenceFromTime));
}

/// A limit of the design, not a mistake in it: where claims do not wait, a replica whose clock is further behind than the
/// fail-over took gives smaller fences to those who have not heard of the greater ones.
#[test]
fn late_clock() {
    let design = Design { second_clock: -sound::HALF, ..sound::not_waiting() };
    breaks("pair, claims do not wait, late clock", FENCES_GROW, &design);
}

/// Nor does it help always to tell each other: a grant may be on its way while the next one asks.
#[test]
fn late_clock_with_shared_high_water() {
    let design = Design { second_clock: -sound::HALF, shares_high_water: true, ..sound::not_waiting() };
    breaks("pair, claims do not wait, late clock, shared high-water", FENCES_GROW, &design);
}

/// A limit of the design: completions do not wait by default, so a fail-over may lose a recorded error, and the take-over
/// that follows answers otherwise.
#[test]
fn lost_completion_of_a_failure() {
    let design = Design { asks: 1, completions_wait: false, ..sound::waiting_completions() };
    breaks("pair, re-execute, a recorded error is lost", ONE_ANSWER, &design);
}
