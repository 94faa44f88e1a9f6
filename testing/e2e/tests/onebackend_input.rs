//! Bad input on the 1Backend dialect's wire. Each request gets a clear error in the dialect's form, and changes nothing.

use anyhow::{Context, Result, ensure};
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, PASSWORD, World};
use strongroom_jose::TokenSigner;

/// A world with two secrets in it, and someone who tries things.
struct Attempts {
    world: World,
    admin: Caller,
    alice: Caller,
    before: Value,
}

impl Attempts {
    async fn new() -> Result<Self> {
        let world = World::new(&[])?;
        let (admin, alice) = (world.admin().await?, world.user("alice").await?);
        assert_eq!(alice.save_value("alice/KEPT", "kept").await?.status, 200);
        assert_eq!(admin.save_value("auth-svc/KEPT", "kept").await?.status, 200);
        let before = admin.list(json!({})).await?.json();
        Ok(Self {
            world,
            admin,
            alice,
            before,
        })
    }

    /// `caller` sends `body` and is refused with `status` and an error that says `says`.
    async fn refused(
        &self,
        caller: &Caller,
        call: &str,
        body: impl Into<reqwest::Body>,
        status: u16,
        says: &str,
    ) -> Result<()> {
        let reply = caller.send(call, body).await?;
        let error = reply.error()?;
        ensure!(
            reply.status == status && error.contains(says),
            "{call}: {} {error}, not {status} {says}",
            reply.status
        );
        ensure!(reply.id().is_some(), "{call}: a refusal has an id to ask for");
        self.unchanged().await.with_context(|| format!("{call} {error}"))
    }

    async fn unchanged(&self) -> Result<()> {
        let after = self.admin.list(json!({})).await?.json();
        ensure!(after == self.before, "something changed: {after}");
        Ok(())
    }

    /// Alice saves `body` and is refused.
    async fn save_refused(&self, body: impl Into<reqwest::Body>, status: u16, says: &str) -> Result<()> {
        self.refused(&self.alice, "PUT /secret-svc/secrets", body, status, says)
            .await
    }
}

#[tokio::test]
async fn what_is_not_json_or_not_of_the_right_types() -> Result<()> {
    let attempts = Attempts::new().await?;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let not_utf8 = b"{\"secrets\":[{\"id\":\"alice/\xff\"}]}".to_vec();
    for (body, says) in [
        (b"{".to_vec(), "Invalid JSON"),
        (b"secrets".to_vec(), "Invalid JSON"),
        (b"{} {}".to_vec(), "Invalid JSON"),
        (b"[]".to_vec(), "Invalid JSON"),
        (b"{'secrets':[]}".to_vec(), "Invalid JSON"),
        (not_utf8, "UTF-8"),
        (deep.into_bytes(), "nesting"),
        (
            br#"{"secrets":[],"secrets":[{"id":"alice/NEW"}]}"#.to_vec(),
            "same key twice",
        ),
        (
            br#"{"secrets":[{"id":"alice/NEW","id":"alice/KEPT"}]}"#.to_vec(),
            "same key twice",
        ),
        (
            br#"{"secrets":[{"id":"alice/NEW","\u0069d":"alice/KEPT"}]}"#.to_vec(),
            "same key twice",
        ),
        (
            br#"{"secrets":{"id":"alice/NEW"}}"#.to_vec(),
            "`secrets` has the wrong type",
        ),
        (
            br#"{"secrets":["alice/NEW"]}"#.to_vec(),
            "`secrets[0]` has the wrong type",
        ),
        (
            br#"{"secrets":[["alice/NEW",null,"v"]]}"#.to_vec(),
            "`secrets[0]` has the wrong type",
        ),
        (
            br#"{"secrets":[{"id":7}]}"#.to_vec(),
            "`secrets[0].id` has the wrong type",
        ),
        (
            br#"{"secrets":[{"id":"alice/NEW","value":7}]}"#.to_vec(),
            "`secrets[0].value` has the wrong type",
        ),
        (
            br#"{"secrets":[{"id":"alice/NEW","value":"\ud800"}]}"#.to_vec(),
            "`secrets[0].value` has the wrong type",
        ),
        (
            br#"{"secrets":[{"id":"alice/NEW","readers":"alice"}]}"#.to_vec(),
            "`secrets[0].readers` has the wrong type",
        ),
        (
            br#"{"secrets":[{"id":"alice/NEW","readers":[null]}]}"#.to_vec(),
            "has the wrong type",
        ),
    ] {
        attempts.save_refused(body, 400, says).await?;
    }
    for (call, body, says) in [
        (
            "POST /secret-svc/secrets",
            r#"{"id":["alice/KEPT"]}"#,
            "`id` has the wrong type",
        ),
        (
            "DELETE /secret-svc/secrets",
            r#"{"ids":"alice/KEPT"}"#,
            "`ids` has the wrong type",
        ),
        (
            "DELETE /secret-svc/secrets",
            r#"{"id":"alice/KEPT""#,
            "Invalid JSON",
        ),
        (
            "POST /user-svc/self",
            r#"{"countTokens":"yes"}"#,
            "`countTokens` has the wrong type",
        ),
        (
            "POST /user-svc/login",
            r#"{"appHost":"unnamed","slug":"alice","password":["x"]}"#,
            "`password` has the wrong type",
        ),
        (
            "POST /user-svc/register",
            r#"{"appHost":"unnamed","slug":{}}"#,
            "`slug` has the wrong type",
        ),
        (
            "POST /user-svc/login",
            r#"{"slug":"alice","password":"x"}"#,
            "`appHost` is missing",
        ),
        (
            "POST /user-svc/login",
            r#"{"appHost":"unnamed","password":"x"}"#,
            "`slug` is missing",
        ),
        (
            "POST /user-svc/register",
            r#"{"appHost":"unnamed","password":"x"}"#,
            "`slug` is missing",
        ),
    ] {
        attempts.refused(&attempts.alice, call, body, 400, says).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_too_large() -> Result<()> {
    let attempts = Attempts::new().await?;
    let save = |value: &str| json!({"secrets": [{"id": "alice/NEW", "value": value}]}).to_string();
    attempts
        .save_refused(
            save(&"v".repeat((1 << 20) + 1)),
            413,
            "`alice/NEW` is over the limit of 1048576 bytes",
        )
        .await?;
    // Two bytes each in UTF-8: it is bytes that count.
    attempts
        .save_refused(save(&"é".repeat((1 << 19) + 1)), 413, "over the limit")
        .await?;
    attempts
        .save_refused(
            save(&"v".repeat(8 << 20)),
            413,
            "the request's body is over the limit of 8388608 bytes",
        )
        .await?;
    // A body whose length nobody says beforehand.
    let chunk = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(" ".repeat(1 << 20))));
    let chunks = stream::iter(std::iter::repeat_with(chunk).take(9));
    let body = reqwest::Body::wrap(StreamBody::new(chunks));
    attempts.save_refused(body, 413, "the request's body").await?;

    let many: Vec<Value> = (0..1001)
        .map(|number| json!({"id": format!("alice/{number}"), "value": ""}))
        .collect();
    attempts
        .save_refused(
            json!({ "secrets": many }).to_string(),
            400,
            "more than 1000 entries",
        )
        .await?;
    let names: Vec<String> = (0..1001).map(|number| format!("alice/{number}")).collect();
    for call in ["POST /secret-svc/secrets", "DELETE /secret-svc/secrets"] {
        attempts
            .refused(
                &attempts.alice,
                call,
                json!({ "ids": names }).to_string(),
                400,
                "more than 1000",
            )
            .await?;
    }
    let readers: Vec<String> = (0..257).map(|number| format!("reader-{number}")).collect();
    let save = json!({"secrets": [{"id": "alice/NEW", "readers": readers}]}).to_string();
    attempts.save_refused(save, 400, "more than 256 entries").await
}

#[tokio::test]
async fn names_that_are_none() -> Result<()> {
    let attempts = Attempts::new().await?;
    let too_long = format!("alice/{}", "n".repeat(1019));
    let too_deep = format!("alice{}", "/n".repeat(32));
    for (name, says) in [
        ("", "empty part"),
        ("/alice/NEW", "empty part"),
        ("alice/", "empty part"),
        ("alice//NEW", "empty part"),
        ("alice/../auth-svc/KEPT", "`.` or `..`"),
        ("alice/./NEW", "`.` or `..`"),
        ("..", "`.` or `..`"),
        ("alice/NE\0W", "control character"),
        ("alice/NE\nW", "control character"),
        ("alice/NE\u{7f}W", "control character"),
        ("alice/NE\u{85}W", "control character"),
        ("alice/e\u{301}", "NFC"),
        ("alice/\u{212b}", "NFC"),
        (&too_long, "longer than 1024 bytes"),
        (&too_deep, "more than 32 parts"),
    ] {
        let save = json!({"secrets": [{"id": name, "value": "v"}]}).to_string();
        attempts
            .save_refused(save, 400, says)
            .await
            .with_context(|| name.escape_debug().to_string())?;
        let ids = json!({ "ids": [name] }).to_string();
        attempts
            .refused(
                &attempts.alice,
                "DELETE /secret-svc/secrets",
                ids.clone(),
                400,
                says,
            )
            .await?;
        attempts
            .refused(&attempts.alice, "POST /secret-svc/secrets", ids, 400, says)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_that_are_anothers() -> Result<()> {
    let attempts = Attempts::new().await?;
    let auth = attempts.world.user("auth").await?;
    let (save, remove) = ("PUT /secret-svc/secrets", "DELETE /secret-svc/secrets");
    for name in [
        "auth-svc/NEW",
        "auth-svc/KEPT",
        "auth-svc",
        "auth",
        "authNEW",
        "auth-/NEW",
        "AUTH/NEW",
        "NEW",
        "alice/KEPT",
    ] {
        let body = json!({"secrets": [{"id": name, "value": "v"}]}).to_string();
        attempts
            .refused(&auth, save, body, 403, &format!("you may not write `{name}`"))
            .await?;
        let body = json!({ "id": name }).to_string();
        attempts
            .refused(&auth, remove, body, 403, &format!("you may not delete `{name}`"))
            .await?;
    }
    // Another app is not theirs either, be it there or not; nor does asking make it.
    for host in ["shop.example", "other"] {
        let body = json!({"secrets": [{"id": "auth/NEW", "value": "v", "appHost": host}]}).to_string();
        attempts.refused(&auth, save, body, 403, "not yours").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_is_saved_or_removed_as_a_whole() -> Result<()> {
    let attempts = Attempts::new().await?;
    let good = json!({"id": "alice/NEW", "value": "v"});
    for (bad, status) in [
        (json!({"id": "auth-svc/NEW", "value": "v"}), 403),
        (json!({"id": "alice/..", "value": "v"}), 400),
        (json!({"id": "alice/B", "readers": ["Not A Slug"]}), 400),
        (json!({"id": "alice/B", "encrypted": true, "value": "v"}), 400),
        (json!({"id": "alice/B", "checksum": "00", "value": "v"}), 400),
        (json!({"id": "alice/B", "appHost": "shop", "value": "v"}), 403),
    ] {
        for batch in [json!([good, bad]), json!([bad, good])] {
            attempts
                .save_refused(json!({ "secrets": batch }).to_string(), status, "")
                .await?;
        }
    }
    let ids = json!({"ids": ["alice/KEPT", "auth-svc/KEPT"]}).to_string();
    attempts
        .refused(
            &attempts.alice,
            "DELETE /secret-svc/secrets",
            ids,
            403,
            "`auth-svc/KEPT`",
        )
        .await
}

#[tokio::test]
async fn tokens_that_prove_nothing() -> Result<()> {
    let attempts = Attempts::new().await?;
    let other = World::new(&[])?.admin().await?;
    let admin = attempts.admin.token();
    let claims = admin.split('.').nth(1).context("a JWT has claims")?;
    let signer = TokenSigner::generate()?;
    let same_claims = json!({"1sl": "admin", "1ro": ["user-svc:admin"], "exp": 9_999_999_999_u64});
    let forged = signer.sign(same_claims.as_object().context("an object")?)?;
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let cut = admin
        .get(..admin.len() - 1)
        .context("longer than that")?
        .to_owned();
    let long = "x".repeat(9000);
    for token in [
        "x",
        "null",
        &cut,
        &format!("{admin}x"),
        &admin.to_uppercase(),
        forged.expose(),
        &unsigned,
        other.token(),
        &long,
    ] {
        let caller = attempts.world.stranger()?.with(token);
        attempts
            .refused(&caller, "POST /secret-svc/secrets", "{}", 401, "Unauthorized")
            .await?;
        let save = json!({"secrets": [{"id": "NEW", "value": "v"}]}).to_string();
        attempts
            .refused(&caller, "PUT /secret-svc/secrets", save, 401, "Unauthorized")
            .await?;
    }
    // Headers that hold no bearer token of ours.
    let stranger = attempts.world.stranger()?;
    for (header, status) in [
        ("", 422),
        ("Bearer", 422),
        ("Bearer ", 422),
        ("Basic YWRtaW46YWRtaW4=", 401),
        (&format!("bearer {admin}"), 401),
    ] {
        let reply = stranger
            .send_with("POST /secret-svc/secrets", &[("Authorization", header)], "{}")
            .await?;
        assert_eq!(
            (reply.status, reply.names()),
            (status, vec![]),
            "{header}: {}",
            reply.error()?
        );
    }
    // `Bearer` may be left out, as 1Backend's clients do.
    let reply = stranger
        .send_with("POST /secret-svc/secrets", &[("Authorization", admin)], "{}")
        .await?;
    assert_eq!(reply.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_token_in_the_url_is_refused_whatever_it_is_beside() -> Result<()> {
    let attempts = Attempts::new().await?;
    let token = attempts.admin.token().to_owned();
    let encoded = token.replace('.', "%2E").replace('e', "%65");
    let stranger = attempts.world.stranger()?;
    for query in [
        format!("access_token={token}"),
        format!("token={token}"),
        format!("a=b&api_key={token}"),
        format!("Authorization=Bearer%20{token}"),
        format!("anything={token}"),
        format!("anything={encoded}"),
        "token=opaque".to_owned(),
        token.clone(),
    ] {
        for caller in [&stranger, &attempts.admin] {
            let call = format!("POST /secret-svc/secrets?{query}");
            attempts
                .refused(caller, &call, "{}", 400, "a token must not be sent in the URL")
                .await?;
        }
    }
    let call = format!("POST /secret-svc/secrets/{token}");
    let reply = stranger.send(&call, "{}").await?;
    assert_eq!(
        (
            reply.status,
            reply.error()?.contains("must not be sent in the URL")
        ),
        (400, true)
    );
    Ok(())
}

#[tokio::test]
async fn accounts_that_cannot_be() -> Result<()> {
    let attempts = Attempts::new().await?;
    let stranger = attempts.world.stranger()?;
    let long_slug = "s".repeat(65);
    let (long_password, long_name) = ("p".repeat(1025), "n".repeat(257));
    let account = |field: &str, value: &str| {
        let mut account = json!({"appHost": "unnamed", "slug": "newcomer", "password": PASSWORD});
        account[field] = json!(value);
        account.to_string()
    };
    for (field, value, status, says) in [
        ("slug", "", 400, "`slug` is missing"),
        ("slug", "Alice", 400, "`slug` must be lower-case"),
        ("slug", "al ice", 400, "`slug` must be"),
        ("slug", "-alice", 400, "`slug` must be"),
        ("slug", "al--ice", 400, "`slug` must be"),
        ("slug", "alice/x", 400, "`slug` must be"),
        ("slug", "аlice", 400, "`slug` must be"),
        ("slug", &long_slug, 400, "at most 64"),
        ("slug", "alice", 409, "`alice` is taken"),
        ("slug", "admin", 409, "`admin` is taken"),
        ("password", "", 400, "`password` must be 8 to 1024 bytes"),
        ("password", "1234567", 400, "`password` must be 8 to 1024 bytes"),
        (
            "password",
            &long_password,
            400,
            "`password` must be 8 to 1024 bytes",
        ),
        ("appHost", "", 400, "`appHost` is missing"),
        ("appHost", "a/b", 400, "appHost"),
        ("appHost", "a\0b", 400, "appHost"),
        ("name", &long_name, 400, "`name` must be"),
        ("name", "a\nb", 400, "`name` must be"),
        ("device", "a\u{1b}b", 400, "`device` must be"),
    ] {
        let case = || format!("{field} {value:?}");
        attempts
            .refused(
                &stranger,
                "POST /user-svc/register",
                account(field, value),
                status,
                says,
            )
            .await
            .with_context(case)?;
    }
    assert_eq!(
        stranger.log_in("newcomer", PASSWORD).await?.status,
        401,
        "none of them was made"
    );
    Ok(())
}
