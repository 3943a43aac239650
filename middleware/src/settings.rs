//! What the layer was told about requests and answers. Durations are in `config.rs`.

use http::HeaderName;

use crate::config::OnDisconnect;
use crate::headers::AllowList;
use crate::key::KeySyntax;
use crate::on_abandoned::OnAbandoned;
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
    pub(crate) max_request_body: usize,
    pub(crate) max_recorded_answer: usize,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) wait: Option<Wait>,
    pub(crate) fingerprint_headers: Vec<HeaderName>,
    pub(crate) allow_list: AllowList,
    pub(crate) rejections: RejectionStyle,
}

const MEBIBYTE: usize = 1024 * 1024;

impl Settings {
    /// Every setting at its default.
    pub(crate) fn new(scope: Scope, secret: Secret) -> Self {
        Self {
            scope,
            secret,
            required: false,
            syntax: KeySyntax::default(),
            max_request_body: MEBIBYTE,
            max_recorded_answer: MEBIBYTE,
            on_disconnect: OnDisconnect::default(),
            on_abandoned: OnAbandoned::default(),
            wait: None,
            fingerprint_headers: Vec::new(),
            allow_list: AllowList::default(),
            rejections: RejectionStyle::default(),
        }
    }
}
