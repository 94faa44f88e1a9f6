//! Sessions end. Here the dialect runs in this process, on a clock that the test moves.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use strongroom_barrier::RootKey;
use strongroom_base::{Clock, InstanceId, ManualClock, Rng, Slug, SystemRng, Timestamp, Ttl, limits};
use strongroom_core::house::House;
use strongroom_core::{Core, Engines, Foundations, NewInstance, Node, Settings};
use strongroom_dialect_kit::{HttpMetrics, Instruments};
use strongroom_engine_static::StaticEngine;
use strongroom_ledger::Journal;
use strongroom_secret::SecretText;
use strongroom_storage::{Embedded, Memory};
use tower::ServiceExt;

const PASSWORD: &str = "correct horse battery";

/// An instance in memory, but for its ledger.
struct Instance {
    clock: Arc<ManualClock>,
    router: Router,
    core: Arc<Core>,
    _folder: tempfile::TempDir,
}

impl Instance {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000)));
        let rng: Arc<dyn Rng> = Arc::new(SystemRng::default());
        let journal = Journal::open(&folder.path().join("journal"))?;
        let storage = Arc::new(Embedded::open(
            Memory::default(),
            Arc::new(journal.sync_handle()),
        )?);
        let new = NewInstance {
            id: InstanceId::generate(&*clock, &*rng),
            root: RootKey::generate(&*rng),
            slots: Vec::new(),
            admin: Slug::new("admin")?,
            password: SecretText::new(PASSWORD.to_owned()),
        };
        let foundations = Foundations {
            data_dir: folder.path().to_owned(),
            storage,
            node: Node::Only,
            journal,
            clock: clock.clone(),
            rng: rng.clone(),
            space: Arc::default(),
        };
        let engines = Engines::new(StaticEngine).with(StaticEngine);
        let core = Core::create(foundations.clone(), new, Settings::default(), engines).await?;
        let house = House::around(&foundations, core.clone())?;
        let metrics = HttpMetrics::register(&mut Registry::default());
        let instruments = Instruments {
            clock: clock.clone() as Arc<dyn Clock>,
            rng,
            metrics,
        };
        let router = strongroom_dialect_onebackend::router(house, instruments);
        Ok(Self {
            clock,
            router,
            core,
            _folder: folder,
        })
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: Value) -> Result<(u16, Value)> {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body.to_string()))?)
            .await?;
        let status = response.status().as_u16();
        Ok((
            status,
            serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await?)?,
        ))
    }

    async fn log_in(&self) -> Result<String> {
        let body = json!({"appHost": "unnamed", "slug": "admin", "password": PASSWORD});
        let (status, reply) = self.ask("POST", "/user-svc/login", "", body).await?;
        let token = reply
            .pointer("/token/token")
            .and_then(Value::as_str)
            .with_context(|| format!("{status} {reply}"))?;
        Ok(token.to_owned())
    }

    /// The status of a list with `token`.
    async fn works(&self, token: &str) -> Result<u16> {
        Ok(self.ask("POST", "/secret-svc/secrets", token, json!({})).await?.0)
    }

    fn advance(&self, ttl: Ttl) {
        self.clock.advance(ttl);
    }
}

/// The last moment before `ttl` is over.
fn minus_a_millisecond(ttl: Ttl) -> Ttl {
    Ttl::from_millis(ttl.as_millis() - 1)
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() -> Result<()> {
    let instance = Instance::new().await?;
    let (used, unused) = (instance.log_in().await?, instance.log_in().await?);
    // The token's text says five minutes; clients keep using it, and the session decides.
    instance.advance(limits::TOKEN_TEXT);
    assert_eq!(instance.works(&used).await?, 200);
    instance.advance(Ttl::from_millis(
        limits::SESSION_IDLE.as_millis() - limits::TOKEN_TEXT.as_millis() - 1,
    ));
    assert_eq!(instance.works(&used).await?, 200);
    instance.advance(Ttl::from_millis(1));
    assert_eq!(instance.works(&unused).await?, 401, "nobody used it");
    assert_eq!(instance.works(&used).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_session_lives_on_while_it_is_used_and_not_a_millisecond_longer() -> Result<()> {
    let instance = Instance::new().await?;
    let token = instance.log_in().await?;
    instance.advance(minus_a_millisecond(limits::SESSION_IDLE));
    assert_eq!(instance.works(&token).await?, 200);
    instance.advance(minus_a_millisecond(limits::SESSION_IDLE));
    assert_eq!(instance.works(&token).await?, 200, "that use moved its end");
    instance.advance(limits::SESSION_IDLE);
    let (status, reply) = instance
        .ask("POST", "/secret-svc/secrets", &token, json!({}))
        .await?;
    let error = "Unauthorized: the token is not valid here (any more): log in again";
    assert_eq!((status, reply), (401, json!({ "error": error })));

    for (method, path) in [
        ("PUT", "/secret-svc/secrets"),
        ("DELETE", "/secret-svc/secrets"),
        ("POST", "/user-svc/self"),
        ("POST", "/user-svc/refresh-token"),
    ] {
        let body = json!({"secrets": [{"id": "NEW", "value": "v"}], "ids": ["NEW"]});
        assert_eq!(
            instance.ask(method, path, &token, body).await?.0,
            401,
            "{method} {path}"
        );
    }
    // It does not stand in the way of a new one.
    let body = json!({"appHost": "unnamed", "slug": "admin", "password": PASSWORD});
    let (status, reply) = instance.ask("POST", "/user-svc/login", &token, body).await?;
    let new = reply["token"]["token"].as_str().context("a token")?;
    assert_eq!(status, 200);
    let (_, listed) = instance
        .ask("POST", "/secret-svc/secrets", new, json!({}))
        .await?;
    assert_eq!(listed, json!({"secrets": []}), "the expired token did nothing");
    Ok(())
}

#[tokio::test]
async fn no_use_and_no_refresh_carries_a_session_past_its_end() -> Result<()> {
    let instance = Instance::new().await?;
    let first = instance.log_in().await?;
    let step = Ttl::from_hours(11);
    let steps = limits::SESSION_ABSOLUTE.as_millis() / step.as_millis();
    let mut token = first.clone();
    for _ in 0..steps {
        instance.advance(step);
        let (status, reply) = instance
            .ask("POST", "/user-svc/refresh-token", &token, json!({}))
            .await?;
        assert_eq!(status, 200, "{reply}");
        token = reply["token"]["token"].as_str().context("a token")?.to_owned();
        assert_eq!(instance.works(&first).await?, 200);
    }
    instance.advance(step);
    assert_eq!(instance.works(&first).await?, 401);
    assert_eq!(
        instance.works(&token).await?,
        401,
        "a refreshed token ends when the first would"
    );
    assert_eq!(
        instance
            .ask("POST", "/user-svc/refresh-token", &token, json!({}))
            .await?
            .0,
        401
    );
    instance.core.shutdown().await?;
    Ok(())
}

#[tokio::test]
async fn a_lock_after_wrong_passwords_ends() -> Result<()> {
    let instance = Instance::new().await?;
    let body = json!({"appHost": "unnamed", "slug": "admin", "password": "a wrong password"});
    for _ in 0..limits::LOGIN_FAILURES_PER_PRINCIPAL {
        assert_eq!(
            instance.ask("POST", "/user-svc/login", "", body.clone()).await?.0,
            401
        );
    }
    assert!(instance.log_in().await.is_err());
    instance.advance(minus_a_millisecond(limits::LOGIN_LOCK));
    assert!(instance.log_in().await.is_err());
    instance.advance(Ttl::from_millis(1));
    instance.log_in().await?;
    Ok(())
}
