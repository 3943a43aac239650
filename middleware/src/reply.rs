//! Responses that are not the handler's own: recorded answers and rejections.

use http::Response;
use http_body::Body;

use crate::body::ResponseBody;
use crate::decision::Told;
use crate::headers::{IDEMPOTENT_REPLAYED, REPLAYED};
use crate::recorded::RecordedAnswer;
use crate::rejection::Rejection;
use crate::settings::Settings;

/// The answer of an attempt whose word is not its own handler's.
pub(crate) fn spoken<RB: Body>(settings: &Settings, told: Told) -> Response<ResponseBody<RB>> {
    match told {
        Told::Replay(recorded) => replayed(recorded),
        Told::Reject(rejection) => rejected(settings, rejection),
    }
}

fn replayed<RB: Body>(recorded: RecordedAnswer) -> Response<ResponseBody<RB>> {
    let mut response = Response::new(ResponseBody::gathered(recorded.body, recorded.trailers));
    *response.status_mut() = recorded.status;
    *response.headers_mut() = recorded.headers;
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, REPLAYED);
    response
}

pub(crate) fn rejected<RB: Body>(settings: &Settings, rejection: Rejection) -> Response<ResponseBody<RB>> {
    tracing::debug!(rejection = rejection.kind().name(), "answered instead of the handler");
    settings.rejections.respond(rejection).map(|body| ResponseBody::gathered(body, None))
}
