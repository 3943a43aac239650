//! What a request has the bank do: which route, and under which derived key.

/// One step of a request's work that the bank does.
///
/// Its name is part of the derived key, so it must never change: an attempt of before and one of after would be two to the
/// bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `POST /payments` charges.
    Charge,
    /// `POST /payments/{id}/refunds` gives back.
    Refund,
}

impl Step {
    /// Both of them.
    const ALL: [Self; 2] = [Self::Charge, Self::Refund];

    /// Its name in the derived key.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
        }
    }

    /// The route whose `POST` does it.
    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Charge => "/payments",
            Self::Refund => "/payments/{id}/refunds",
        }
    }

    /// The step of a route.
    pub(super) fn of_route(route: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.route() == route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_the_same_over_releases() {
        assert_eq!(Step::ALL.map(Step::name), ["charge", "refund"]);
    }

    #[test]
    fn each_route_has_its_step_and_no_other_has_one() {
        for step in Step::ALL {
            assert_eq!(Step::of_route(step.route()), Some(step));
        }
        assert_eq!(Step::of_route("/payments/{id}"), None);
    }
}
