//! Responses that are not the handler's own: recorded answers and rejections.

use http::{HeaderValue, Response};
use http_body::Body;
use idempotency_store::StoreTime;

use crate::body::ResponseBody;
use crate::decision::Told;
use crate::headers::{IDEMPOTENCY_RECORDED_AT, IDEMPOTENT_REPLAYED, REPLAYED, http_date};
use crate::recorded::RecordedAnswer;
use crate::rejection::Rejection;
use crate::settings::Settings;

/// The answer of an attempt whose word is not its own handler's.
pub(crate) fn spoken<RB: Body>(settings: &Settings, told: Told) -> Response<ResponseBody<RB>> {
    match told {
        Told::Replay(recorded, at) => replayed(recorded, at),
        Told::Reject(rejection) => rejected(settings, rejection),
    }
}

fn replayed<RB: Body>(recorded: RecordedAnswer, at: StoreTime) -> Response<ResponseBody<RB>> {
    let mut response = Response::new(ResponseBody::gathered(recorded.body, recorded.trailers.map(Box::new)));
    *response.status_mut() = recorded.status;
    *response.headers_mut() = recorded.headers;
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, REPLAYED);
    // A date is visible ASCII, which every field value may be.
    if let Ok(date) = HeaderValue::try_from(http_date(at.to_system_time())) {
        response.headers_mut().insert(IDEMPOTENCY_RECORDED_AT, date);
    }
    response
}

pub(crate) fn rejected<RB: Body>(settings: &Settings, rejection: Rejection) -> Response<ResponseBody<RB>> {
    tracing::debug!(rejection = rejection.kind().name(), "answered instead of the handler");
    settings.rejections.respond(rejection).map(|body| ResponseBody::gathered(body, None))
}
