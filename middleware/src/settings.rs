//! What the layer was told about requests and answers. Durations are in `config.rs`.

use std::ops::RangeInclusive;

use http::HeaderName;
use http::request::Parts;
use idempotency_store::{Key, Retention};

use crate::claim_limit::{ClaimLimit, ScopeLimit};
use crate::config::{OnDisconnect, OnUnavailable};
use crate::defaults;
use crate::fingerprint::BodyDigest;
use crate::framed::Framed;
use crate::headers::AllowList;
use crate::key::{IdempotencyKey, KeySyntax};
use crate::on_abandoned::OnAbandoned;
use crate::recording_policy::RecordingPolicy;
use crate::rejection_style::RejectionStyle;
use crate::scope::{Scope, ScopeMissing};
use crate::secret::Secret;
use crate::wait::Wait;

/// Everything about a request that does not concern the store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) scope: Scope,
    pub(crate) secret: Secret,
    pub(crate) required: bool,
    pub(crate) syntax: KeySyntax,
    pub(crate) key_length: RangeInclusive<usize>,
    pub(crate) max_request_body: usize,
    pub(crate) max_recorded_answer: usize,
    pub(crate) recording: RecordingPolicy,
    /// Of answers, where it is not the one that keys are claimed with.
    pub(crate) retention: Option<Retention>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) wait: Option<Wait>,
    pub(crate) claim_limit: Option<ClaimLimit>,
    pub(crate) fingerprint_headers: Vec<HeaderName>,
    pub(crate) body_digest: BodyDigest,
    pub(crate) allow_list: AllowList,
    pub(crate) rejections: RejectionStyle,
}

impl Settings {
    /// Every setting at its default.
    pub(crate) fn new(scope: Scope, secret: Secret) -> Self {
        Self {
            scope,
            secret,
            required: false,
            syntax: KeySyntax::default(),
            key_length: defaults::KEY_LENGTH,
            max_request_body: defaults::MAX_REQUEST_BODY,
            max_recorded_answer: defaults::MAX_RECORDED_ANSWER,
            recording: RecordingPolicy::default(),
            retention: None,
            on_disconnect: OnDisconnect::default(),
            on_unavailable: OnUnavailable::default(),
            on_abandoned: OnAbandoned::default(),
            wait: None,
            claim_limit: None,
            fingerprint_headers: Vec::new(),
            body_digest: BodyDigest::default(),
            allow_list: AllowList::default(),
            rejections: RejectionStyle::default(),
        }
    }

    /// Where the record of a request's key lives, and what limits the claims of its scope.
    pub(crate) fn whose(&self, key: &IdempotencyKey, parts: &Parts) -> Result<(Key, Option<ScopeLimit>), ScopeMissing> {
        let mut alone = self.claim_limit.as_ref().map(|_| self.secret.scope());
        let mut known = Ok(());
        let digest = |framed: &mut Framed| {
            // The application's closure is asked once, whatever is made of its word.
            known = self.scope.digest(parts, &mut |field| {
                framed.field(field);
                if let Some(alone) = &mut alone {
                    alone.field(field);
                }
            });
        };
        let storage_key = self.secret.storage_key(digest, key.as_str());
        known?;
        let limit = self.claim_limit.as_ref().zip(alone.as_mut());
        Ok((storage_key, limit.map(|(limit, alone)| limit.of_scope(alone.finish_scope()))))
    }
}
