//! Requests and replies exactly as today's 1Backend spells them, and how they become ops and come from outcomes.
//!
//! In requests every field may be absent, `null`, or the empty value of its type: 1Backend's clients send all three and
//! mean the same. In replies no field may be added, because the strict Go client refuses the whole reply.

pub(crate) mod account;
pub(crate) mod login;
pub(crate) mod secrets;

use serde::{Serialize, Serializer};
use strongroom_base::{LeaseId, MountUid, PrincipalId, Timestamp};
use strongroom_sdk::Error;

/// The reply `{}`.
#[derive(Serialize)]
pub(crate) struct Nothing {}

/// The text of a field, unless it is empty.
fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The text of a field that must be there.
fn required(field: &str, text: Option<String>) -> Result<String, Error> {
    non_empty(text).ok_or_else(|| Error::invalid(field, "is missing"))
}

pub(crate) fn user_id(id: PrincipalId) -> String {
    ["usr-", &id.to_base62()].concat()
}

pub(crate) fn app_id(id: MountUid) -> String {
    ["app-", &id.to_base62()].concat()
}

pub(crate) fn token_id(id: LeaseId) -> String {
    ["tok-", &id.to_base62()].concat()
}

/// The roles of every account, and of admins.
pub(crate) fn roles(is_admin: bool) -> &'static [&'static str] {
    if is_admin {
        &["user-svc:user", "user-svc:admin"]
    } else {
        &["user-svc:user"]
    }
}

/// A time on the wire: RFC 3339 in UTC with milliseconds. Those after the year 9999, which it cannot write, are its end.
struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&format_args!("{time:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_rfc_3339_in_utc_with_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_209_845_007, "2024-02-29T12:30:45.007Z"),
            (u64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(json!(Time(Timestamp::from_millis(millis))), json!(text));
        }
    }
}
