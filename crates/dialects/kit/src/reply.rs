//! Answers that may hold secrets: written once, into memory that is wiped after the last byte is sent.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::{Serialize, Serializer, ser};
use strongroom_sdk::Error;
use strongroom_secret::{SecretBuffer, SecretBytes, SecretText};

/// Most answers fit, so that their buffer never grows.
const USUAL_BYTES: usize = 1 << 10;
/// Most dialects add fewer, so that the table of headers never grows.
const USUAL_HEADERS: usize = 10;

/// `body` as JSON.
///
/// # Errors
/// `Internal` if a stored value is not the text that its kind promises.
pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Response<Body>, Error> {
    let mut buffer = SecretBuffer::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut buffer, body).map_err(Error::internal)?;
    let mut response = Response::new(Body::from(buffer.into_shared()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(USUAL_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// For serde's `serialize_with`: secret text as a string.
///
/// # Errors
/// The serializer's.
pub fn secret_text<S: Serializer>(text: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.expose())
}

/// For serde's `serialize_with`: secret bytes that are UTF-8 as a string.
///
/// # Errors
/// If they are not UTF-8, and the serializer's.
pub fn secret_utf8<S: Serializer>(bytes: &SecretBytes, serializer: S) -> Result<S::Ok, S::Error> {
    let text =
        std::str::from_utf8(bytes.expose()).map_err(|_| ser::Error::custom("a stored value is not UTF-8"))?;
    serializer.serialize_str(text)
}
