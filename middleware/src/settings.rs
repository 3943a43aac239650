//! What the layer was told about requests and answers. Durations are in `config.rs`.

use std::ops::RangeInclusive;

use http::HeaderName;
use idempotency_store::Retention;

use crate::config::{OnDisconnect, OnUnavailable};
use crate::defaults;
use crate::headers::AllowList;
use crate::key::KeySyntax;
use crate::on_abandoned::OnAbandoned;
use crate::recording_policy::RecordingPolicy;
use crate::rejection_style::RejectionStyle;
use crate::scope::Scope;
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
    pub(crate) fingerprint_headers: Vec<HeaderName>,
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
            fingerprint_headers: Vec::new(),
            allow_list: AllowList::default(),
            rejections: RejectionStyle::default(),
        }
    }
}
