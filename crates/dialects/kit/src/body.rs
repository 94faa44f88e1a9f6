//! A request's body: bounded in size and time, in one buffer that is wiped. Nobody has proved who it is by then, so what
//! all bodies take together is bounded, too.

use std::convert::Infallible;
use std::task::Poll;

use axum::body::HttpBody;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_ENCODING;
use bytes::Bytes;
use http_body_util::BodyExt;
use strongroom_base::{Ttl, limits};
use strongroom_sdk::Error;
use strongroom_secret::SecretBuffer;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a whole body may take to arrive.
pub const BODY_READ: Ttl = Ttl::from_secs(30);

/// How much is still read of a body that is too large. Most clients send all before they read, and would see a broken
/// connection instead of the answer.
const DISCARDED_BYTES: usize = 4 * limits::BODY_BYTES;

/// One for each body beyond [`limits::SMALL_BODY_BYTES`] that may be in memory.
static LARGE: Semaphore = Semaphore::const_new(limits::LARGE_BODIES);

/// A request's body, or why it was not read. Extracting it never rejects, so that the dialect can have the failure
/// recorded.
pub struct Body(Result<SecretBuffer, Error>);

impl Body {
    /// The bytes.
    ///
    /// # Errors
    /// `TooLarge` beyond [`limits::BODY_BYTES`]; `Invalid` if the body is compressed, ends early, or takes longer than
    /// [`BODY_READ`].
    pub fn into_bytes(self) -> Result<SecretBuffer, Error> {
        self.0
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let late = |_| {
            Err(Error::invalid(
                "body",
                format!("did not arrive within {} s", BODY_READ.as_secs_ceil()),
            ))
        };
        let mut reading = std::pin::pin!(read(request));
        // Most bodies have come with their heads, and need no timer.
        if let Poll::Ready(body) = futures::poll!(&mut reading) {
            return Ok(Self(body));
        }
        let body = tokio::time::timeout(BODY_READ.into(), reading).await;
        Ok(Self(body.unwrap_or_else(late)))
    }
}

async fn read(request: Request) -> Result<SecretBuffer, Error> {
    if request
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Error::invalid(
            "Content-Encoding",
            "is not supported: send the body uncompressed",
        ));
    }
    let mut body = request.into_body();
    // The declared length, if there is one: it spares keeping what will be refused, and growing what will be kept.
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limits::BODY_BYTES {
        discard(body).await;
        return Err(too_large());
    }
    let mut place = place_for(declared, None).await?;
    let mut bytes = SecretBuffer::with_capacity(declared);
    while let Some(data) = next(&mut body).await? {
        let length = bytes.expose().len() + data.len();
        if length > limits::BODY_BYTES {
            discard(body).await;
            return Err(too_large());
        }
        place = place_for(length, place).await?;
        bytes.extend(&data);
    }
    Ok(bytes)
}

/// Waits for a place for a body of `bytes`, if it needs one and has none. It is free again when the body is read.
async fn place_for(
    bytes: usize,
    place: Option<SemaphorePermit<'static>>,
) -> Result<Option<SemaphorePermit<'static>>, Error> {
    if place.is_some() || bytes <= limits::SMALL_BODY_BYTES {
        return Ok(place);
    }
    LARGE.acquire().await.map(Some).map_err(Error::internal)
}

/// The body's next bytes; `None` at its end.
async fn next(body: &mut axum::body::Body) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::invalid("body", "ended early"))?;
        // Trailers are frames, too, and say nothing here.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads on without keeping anything.
async fn discard(mut body: axum::body::Body) {
    let mut left = DISCARDED_BYTES;
    while let Ok(Some(data)) = next(&mut body).await
        && data.len() < left
    {
        left -= data.len();
    }
}

fn too_large() -> Error {
    Error::TooLarge {
        what: "the request's body".into(),
        limit_bytes: limits::BODY_BYTES,
    }
}
