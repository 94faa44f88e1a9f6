//! Finds a token in a URL, where proxies, logs and histories keep it (RFC 6750 §5.3).

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use strongroom_secret::SecretText;

/// Parameters that carry a token, in lower case and without `-` and `_`.
const NAMES: [&str; 11] = [
    "accesstoken",
    "apikey",
    "apitoken",
    "authorization",
    "bearer",
    "clienttoken",
    "idtoken",
    "refreshtoken",
    "token",
    "xapikey",
    "xvaulttoken",
];

/// How Vault's tokens begin, and ours.
const PREFIXES: [&str; 3] = ["hvs.", "hvb.", "hvr."];

/// What may stand before a token, with a space behind it.
const BEARER: &str = "Bearer";

/// Characters that follow such a beginning, at least.
const RANDOM_CHARS: usize = 16;

/// The first token in `uri`: what a parameter with a token's name holds, or anything else, in the query or the path,
/// that looks like one.
pub(crate) fn find(uri: &Uri) -> Option<SecretText> {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    parameters
        .find_map(in_parameter)
        .or_else(|| uri.path().split('/').find_map(in_text))
}

fn in_parameter(parameter: &str) -> Option<SecretText> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    if is_token_name(name) {
        return Some(decode(value)).filter(|token| !token.is_empty());
    }
    in_text(value).or_else(|| in_text(name))
}

fn in_text(encoded: &str) -> Option<SecretText> {
    let is_encoded = encoded.contains('%') || encoded.starts_with(BEARER);
    if !is_encoded && !is_token(encoded) {
        return None; // what most requests have, seen without a copy
    }
    Some(decode(encoded)).filter(|text| is_token(text.expose()))
}

fn is_token_name(encoded: &str) -> bool {
    let mut name = percent_decode_str(encoded)
        .decode_utf8_lossy()
        .to_ascii_lowercase();
    name.retain(|character| !matches!(character, '-' | '_'));
    NAMES.contains(&name.as_str())
}

/// `encoded` without percent-encoding and without a leading `Bearer`; nothing if it is not UTF-8.
fn decode(encoded: &str) -> SecretText {
    let mut bytes = Vec::with_capacity(encoded.len()); // never grows, so it leaves no copy behind
    bytes.extend(percent_decode_str(encoded));
    let text = String::from_utf8(bytes).map(SecretText::new).unwrap_or_default();
    let rest = text.expose().strip_prefix(BEARER);
    let token = rest.and_then(|rest| rest.strip_prefix([' ', '+']));
    match token {
        Some(token) => SecretText::new(token.to_owned()),
        None => text,
    }
}

/// Whether `text` has the form of a token: one of ours or of Vault's, or a JWT (RFC 7519: three base64url parts, of
/// which the first is an object, so it begins with `{"`).
fn is_token(text: &str) -> bool {
    let is_base64url = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let is_jwt =
        || text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_base64url);
    let is_prefixed = |prefix: &&str| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= RANDOM_CHARS)
    };
    PREFIXES.iter().any(is_prefixed) || is_jwt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyIxdWkiOiJ1In0.c2lnbmF0dXJl";
    const HVS: &str = "hvs.CAESIJlWh3kxYp0aZZ8tqGh4";

    #[track_caller]
    fn check(uri: &str, token: Option<&str>) {
        let found = find(&uri.parse().unwrap());
        assert_eq!(found.as_ref().map(SecretText::expose), token, "{uri}");
    }

    #[test]
    fn a_token_in_the_url_is_found_by_its_name_or_its_form() {
        for name in [
            "token",
            "access_token",
            "ACCESS-TOKEN",
            "api_key",
            "apikey",
            "Authorization",
            "x-vault-token",
            "%74oken",
        ] {
            check(&format!("/secrets?a=b&{name}=opaque&c=d"), Some("opaque"));
        }
        check(&format!("/secrets?q={JWT}"), Some(JWT));
        check(&format!("/secrets?{HVS}"), Some(HVS));
        check(&format!("/secrets?q=Bearer+{HVS}"), Some(HVS));
        check(&format!("/secrets?q=Bearer%20{JWT}"), Some(JWT));
        check(
            &format!("/secrets?q={}", JWT.replace('.', "%2E").replace('e', "%65")),
            Some(JWT),
        );
        check(&format!("/secrets/{HVS}/x"), Some(HVS));
    }

    #[test]
    fn what_carries_no_token_is_left_alone() {
        for uri in [
            "/",
            "/secrets",
            "/secrets?",
            "/secrets?token",
            "/secrets?token=",
            "/s?tokens=x",
            "/s?q=a.b.c",
            "/s?q=hvs.x",
            "/s?q=eyJ",
            "/s?a=%FF",
        ] {
            check(uri, None);
        }
    }

    proptest! {
        #[test]
        fn any_percent_encoding_of_a_token_is_seen_through(encoded in prop::collection::vec(any::<bool>(), HVS.len())) {
            let escape = |(character, encode): (char, bool)| {
                if encode { format!("%{:02x}", u32::from(character)) } else { character.into() }
            };
            let text: String = HVS.chars().zip(encoded).map(escape).collect();
            check(&format!("/x?q={text}"), Some(HVS));
        }
    }
}
