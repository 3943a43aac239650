//! Who suffers what, decided before anything is sent.
//!
//! A plan is a pure function of (seed, payment, attempt): each attempt draws from a generator of its own, so what one
//! payment suffers depends neither on scheduling nor on how often another one was retried. Each attempt makes the same draws
//! in the same order whatever their outcome, so that changing one percentage leaves the other faults where they were.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use uuid::{Builder, Uuid};

/// Attempts after this many are left alone, so that a storm of 100 % ends too.
pub(crate) const FAULTY_ATTEMPTS: u32 = 6;

/// A claim and a charge, each on a disk, take a few milliseconds: whoever stays longer gets an answer and has only lost it.
const LONGEST_STAY: Duration = Duration::from_millis(6);

/// A human's double click takes longer; what is dangerous is the pair that meets in the claim.
const LONGEST_CLICK_GAP: Duration = Duration::from_millis(3);

/// Percent of attempts that suffer each fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Odds {
    /// The connection is cut when the answer begins to arrive.
    pub(crate) lose_replies: u8,
    /// The client leaves before the answer.
    pub(crate) disconnect: u8,
    /// The request is sent twice at the same time.
    pub(crate) double_click: u8,
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens to it.
    Spared,
    /// The connection is cut when the answer begins to arrive.
    LoseReply,
    /// The whole request is sent, and the client leaves this long afterwards.
    Disconnect {
        /// How long it stays.
        after: Duration,
    },
}

/// One attempt of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// What becomes of the request.
    pub(crate) fault: Fault,
    /// The request is sent again this long after the first, unharmed.
    pub(crate) second_click: Option<Duration>,
    /// Which server gets each of the two; taken modulo their number.
    pub(crate) servers: [u32; 2],
}

/// The whole storm, before it happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    seed: u64,
    odds: Odds,
}

/// What a generator is for; each purpose has a stream of its own.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Step = 1,
    PaymentKey = 2,
    FreshKey = 3,
    Victim = 4,
}

impl Plan {
    pub(crate) fn new(seed: u64, odds: Odds) -> Self {
        Self { seed, odds }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// What the merchant calls the payment; the ledger is searched by it.
    pub(crate) fn reference(&self, payment: u32) -> String {
        format!("storm-{}-{payment}", self.seed)
    }

    /// Differs between neighbours, so that an answer given to the wrong payment shows.
    pub(crate) fn amount(payment: u32) -> u64 {
        1_000 + u64::from(payment % 1_000)
    }

    /// The key that a good client makes once per payment and keeps.
    pub(crate) fn key(&self, payment: u32) -> Uuid {
        random_uuid(self.generator(payment, 0, Purpose::PaymentKey))
    }

    /// The keys of a client that makes a new one with every request.
    pub(crate) fn fresh_keys(&self, payment: u32, attempt: u32) -> [Uuid; 2] {
        let mut generator = self.generator(payment, attempt, Purpose::FreshKey);
        [random_uuid(&mut generator), random_uuid(generator)]
    }

    /// What one attempt suffers.
    pub(crate) fn step(&self, payment: u32, attempt: u32) -> Step {
        let mut draw = self.generator(payment, attempt, Purpose::Step);
        let leaves = percent(&mut draw, self.odds.disconnect);
        let loses = percent(&mut draw, self.odds.lose_replies);
        let clicks = percent(&mut draw, self.odds.double_click);
        // Squared: most leave early, some while the payment is on its way.
        let after = LONGEST_STAY.mul_f64(draw.random::<f64>().powi(2));
        let gap = LONGEST_CLICK_GAP.mul_f64(draw.random());
        let servers = [draw.random(), draw.random()];
        let faulty = attempt < FAULTY_ATTEMPTS;
        let fault = match (leaves && faulty, loses && faulty) {
            (true, _) => Fault::Disconnect { after },
            (false, true) => Fault::LoseReply,
            (false, false) => Fault::Spared,
        };
        Step { fault, second_click: (clicks && faulty).then_some(gap), servers }
    }

    /// Which of so many servers a kill hits.
    pub(crate) fn victim(&self, kill: u32, servers: usize) -> usize {
        self.generator(kill, 0, Purpose::Victim).random_range(0..servers.max(1))
    }

    /// The same attempt on a day without weather.
    pub(crate) fn calm_step(&self, payment: u32, attempt: u32) -> Step {
        Step { fault: Fault::Spared, second_click: None, ..self.step(payment, attempt) }
    }

    fn generator(&self, payment: u32, attempt: u32, purpose: Purpose) -> StdRng {
        let words = [self.seed, payment.into(), attempt.into(), purpose as u64];
        let mut seed = [0; 32];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        StdRng::from_seed(seed)
    }
}

fn percent(draw: &mut StdRng, percent: u8) -> bool {
    draw.random_range(0..100) < percent
}

fn random_uuid(mut generator: impl Rng) -> Uuid {
    let mut bytes = [0; 16];
    generator.fill_bytes(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn plan(lose_replies: u8, disconnect: u8, double_click: u8) -> Plan {
        Plan::new(7, Odds { lose_replies, disconnect, double_click })
    }

    fn share(of: impl Fn(Step) -> bool, plan: Plan) -> usize {
        (0..10_000).filter(|payment| of(plan.step(*payment, 0))).count() / 100
    }

    #[test]
    fn one_seed_makes_one_plan() {
        let (one, same) = (plan(30, 10, 20), plan(30, 10, 20));
        for (payment, attempt) in [(0, 0), (0, 1), (41, 3), (u32::MAX, 5)] {
            assert_eq!(one.step(payment, attempt), same.step(payment, attempt));
            assert_eq!(one.fresh_keys(payment, attempt), same.fresh_keys(payment, attempt));
        }
        assert_ne!(one.step(0, 0).servers, one.step(0, 1).servers);
        let other = Plan::new(8, one.odds);
        assert_ne!(other.key(0), one.key(0));
    }

    #[test]
    fn every_payment_has_a_key_of_its_own_and_keeps_it() {
        let plan = plan(30, 10, 20);
        let keys: HashSet<_> = (0..10_000).map(|payment| plan.key(payment)).collect();
        assert_eq!(keys.len(), 10_000);
        assert_eq!(plan.key(3), plan.key(3));
        assert_eq!(plan.key(3).get_version_num(), 4);
    }

    #[test]
    fn fresh_keys_differ_between_attempts_and_clicks() {
        let plan = plan(30, 10, 20);
        let keys: HashSet<_> = (0..100).flat_map(|attempt| plan.fresh_keys(1, attempt)).collect();
        assert_eq!(keys.len(), 200);
    }

    #[test]
    fn faults_come_as_often_as_asked() {
        let plan = plan(30, 10, 20);
        let left = share(|step| matches!(step.fault, Fault::Disconnect { .. }), plan);
        let lost = share(|step| step.fault == Fault::LoseReply, plan);
        let clicked = share(|step| step.second_click.is_some(), plan);
        assert!((9..=11).contains(&left), "{left}");
        // 30 % of the 90 % that stayed.
        assert!((25..=29).contains(&lost), "{lost}");
        assert!((18..=22).contains(&clicked), "{clicked}");
    }

    #[test]
    fn zero_spares_everyone_and_a_hundred_nobody() {
        assert!((0..1_000).all(|n| plan(0, 0, 0).step(n, 0).fault == Fault::Spared));
        assert!((0..1_000).all(|n| plan(100, 0, 0).step(n, 0).fault == Fault::LoseReply));
        assert!((0..1_000).all(|n| plan(0, 0, 100).step(n, 0).second_click.is_some()));
    }

    #[test]
    fn changing_one_percentage_leaves_the_other_faults_where_they_were() {
        let clicks = |plan: Plan| (0..500).map(|n| plan.step(n, 0).second_click).collect::<Vec<_>>();
        assert_eq!(clicks(plan(0, 0, 20)), clicks(plan(90, 50, 20)));
    }

    #[test]
    fn every_server_is_killed_and_one_seed_kills_the_same() {
        let victims = |plan: Plan| (0..100).map(|kill| plan.victim(kill, 3)).collect::<Vec<_>>();
        let drawn = victims(plan(0, 0, 0));
        assert_eq!(drawn, victims(plan(0, 0, 0)));
        assert!((0..3).all(|server| drawn.iter().filter(|victim| **victim == server).count() > 20), "{drawn:?}");
        assert!(drawn.iter().all(|victim| *victim < 3));
    }

    #[test]
    fn even_the_worst_storm_ends() {
        let plan = plan(100, 100, 100);
        let step = plan.step(0, FAULTY_ATTEMPTS);
        assert_eq!((step.fault, step.second_click), (Fault::Spared, None));
    }

    #[test]
    fn a_calm_step_differs_in_the_weather_only() {
        let plan = plan(100, 100, 100);
        let (storm, calm) = (plan.step(1, 1), plan.calm_step(1, 1));
        assert_eq!((calm.fault, calm.second_click), (Fault::Spared, None));
        assert_eq!(calm.servers, storm.servers);
    }
}
