//! What must hold in every state, and what must be reachable lest it hold for want of anything happening.

use stateright::{Expectation, Property};

use crate::design::{Design, Topology};
use crate::store::holds_what_it_released;
use crate::world::{Phase, World};

/// Never two effects per key.
pub(crate) const ONE_EFFECT: &str = "one effect";
/// Never two answers to the clients of one key.
pub(crate) const ONE_ANSWER: &str = "one answer";
/// A grant that is acted upon has a greater fence than every one that was given, and acted upon, before it.
pub(crate) const FENCES_GROW: &str = "fences grow";
/// A key that was released is not held again by the attempt that released it.
pub(crate) const RELEASED_IS_FREE: &str = "released is free";

pub(crate) fn of(design: &Design) -> Vec<Property<Design>> {
    let mut properties = vec![
        Property::always(ONE_EFFECT, |_, world: &World| world.downstream.count <= 1),
        Property::always(ONE_ANSWER, |_, world: &World| world.history.told.len() <= 1),
        Property::always(FENCES_GROW, |_, world: &World| fences_grow(world)),
        Property::always(RELEASED_IS_FREE, |_, world: &World| !holds_what_it_released(&world.servers)),
        Property::sometimes("a retry gets the answer", |_, world: &World| retry_is_answered(world)),
        Property::sometimes("an attempt acts, another has given up", |_, world: &World| {
            acted(world).count() > 0 && world.attempts.iter().any(|attempt| attempt.phase == Phase::Gone)
        }),
    ];
    if design.takes_over() {
        properties.push(Property::sometimes("two attempts act", |_, world: &World| acted(world).count() > 1));
    }
    if design.topology != Topology::Single {
        properties.push(Property::sometimes("an attempt acts across a fail-over", |_, world: &World| {
            world.servers.failed_over && world.servers.second.record.is_some() && acted(world).count() > 0
        }));
    }
    properties
}

/// Whether a violation of the property is a failure, and not its being reached.
pub(crate) fn must_hold(property: &Property<Design>) -> bool {
    matches!(property.expectation, Expectation::Always)
}

fn acted(world: &World) -> impl Iterator<Item = u64> + '_ {
    world.history.grants.iter().filter(|grant| grant.acted).map(|grant| grant.fence)
}

fn fences_grow(world: &World) -> bool {
    acted(world).is_sorted_by(|earlier, later| earlier < later)
}

/// An attempt that has not acted has nothing to end with but the recorded answer of another.
fn retry_is_answered(world: &World) -> bool {
    let acts = |who: usize| world.history.grants.iter().any(|grant| usize::from(grant.owner) == who);
    world.attempts.iter().enumerate().any(|(who, attempt)| attempt.phase == Phase::Answered && !acts(who))
}
