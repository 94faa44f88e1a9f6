//! A running server as its clients see it, and what they remember of it together.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::Violation;
use crate::history::{Shared, Values, Write};
use crate::ledger::Answers;

/// Answers have the statuses that the requests should have.
const ANSWERS_ARE_AS_EXPECTED: &str = "answers_are_as_expected";

const PASSWORD: &str = "correct horse battery";

/// Who sends requests.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) slug: &'static str,
    token: String,
}

/// What all clients share.
pub(crate) struct Site {
    http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) answers: Mutex<Answers>,
    pub(crate) shared: Mutex<Shared>,
    /// Writes that were acknowledged since the server started.
    pub(crate) acknowledged: Arc<AtomicUsize>,
}

/// An answer: its status and its body, which is `Null` if it was lost.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().build()?,
            url: String::new(),
            answers: Mutex::default(),
            shared: Mutex::default(),
            acknowledged: Arc::default(),
        })
    }

    /// Logs the first administrator in.
    pub(crate) async fn log_in(&self, slug: &'static str, password: &str) -> Result<Account> {
        self.enter("/user-svc/login", slug, password).await
    }

    /// Makes an account.
    pub(crate) async fn register(&self, slug: &'static str) -> Result<Account> {
        self.enter("/user-svc/register", slug, PASSWORD).await
    }

    async fn enter(&self, path: &str, slug: &'static str, password: &str) -> Result<Account> {
        let body = json!({"appHost": "unnamed", "slug": slug, "name": slug, "password": password});
        let nobody = Account {
            slug,
            token: String::new(),
        };
        let answer = self.must(&nobody, Method::POST, path, &body).await?;
        let token = answer
            .pointer("/token/token")
            .and_then(Value::as_str)
            .context("no token")?;
        Ok(Account {
            slug,
            token: token.to_owned(),
        })
    }

    /// Sends a request of `account`; `None` when the server died before it answered. Whoever has seen the status has
    /// been answered: the body may still be lost.
    pub(crate) async fn ask(
        &self,
        account: &Account,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Option<Answer>> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .body(body.to_string());
        if !account.token.is_empty() {
            request = request.bearer_auth(&account.token);
        }
        let Ok(response) = request.send().await else {
            return Ok(None);
        };
        let status = response.status();
        let id = response
            .headers()
            .get("x-request-id")
            .and_then(|id| id.to_str().ok());
        let id = id.context("an answer has no request id")?.to_owned();
        let outcome = match status {
            StatusCode::OK => "ok",
            // What is bad about it can only be a token in its URL.
            StatusCode::BAD_REQUEST => "unauthenticated",
            StatusCode::FORBIDDEN => "denied",
            StatusCode::CONFLICT => "conflict",
            _ => {
                let body = response.text().await.unwrap_or_default();
                let what = format!("{status} for `{}`: {body}", account.slug);
                return Err(Violation::new(ANSWERS_ARE_AS_EXPECTED, what).into());
            }
        };
        lock(&self.answers).add(id, account.slug, outcome);
        let body = response.text().await.unwrap_or_default();
        Ok(Some(Answer {
            status,
            body: serde_json::from_str(&body).unwrap_or_default(),
        }))
    }

    /// [`Site::ask`] for what must succeed.
    pub(crate) async fn must(
        &self,
        account: &Account,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value> {
        let answer = self
            .ask(account, method, path, body)
            .await?
            .context("the server is gone")?;
        ensure!(
            answer.status == StatusCode::OK,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        Ok(answer.body)
    }

    /// Sends a request of `account` that must be refused with `status`; `None` when the server died.
    pub(crate) async fn refused(
        &self,
        account: &Account,
        (method, path, body): (Method, &str, Value),
        status: StatusCode,
    ) -> Result<Option<()>> {
        let Some(answer) = self.ask(account, method, path, &body).await? else {
            return Ok(None);
        };
        expect(answer.status == status, || {
            format!("{} for `{}` and not {status}", answer.status, account.slug)
        })?;
        Ok(Some(()))
    }

    /// Reads a page that only a token in the URL would open.
    pub(crate) async fn token_in_url(&self, account: &Account) -> Result<Option<()>> {
        let path = format!("/secret-svc/secrets?token={}", account.token);
        self.refused(account, (Method::POST, &path, json!({})), StatusCode::BAD_REQUEST)
            .await
    }

    /// The secrets that `account` sees, all or those called `names`.
    pub(crate) async fn read(
        &self,
        account: &Account,
        names: Option<Vec<&String>>,
    ) -> Result<Option<Values>> {
        let body = names.map_or_else(|| json!({}), |names| json!({"ids": names}));
        let Some(answer) = self
            .ask(account, Method::POST, "/secret-svc/secrets", &body)
            .await?
        else {
            return Ok(None);
        };
        // A body that was cut off is no list.
        let Some(secrets) = answer.body.get("secrets").and_then(Value::as_array) else {
            return Ok(None);
        };
        let text = |secret: &Value, field| Some(secret.get(field)?.as_str()?.to_owned());
        let secrets: Option<Values> = secrets
            .iter()
            .map(|secret| Some((text(secret, "id")?, text(secret, "value")?)))
            .collect();
        Ok(Some(secrets.context("a secret without a name or a value")?))
    }

    /// Sends what makes `write` happen, whose parts are all values or all removals.
    pub(crate) async fn write(&self, account: &Account, write: &Write) -> Result<Option<StatusCode>> {
        let (mut saved, mut removed) = (Vec::new(), Vec::new());
        for (name, value) in write {
            match value {
                Some(value) => saved.push(json!({"id": name, "value": value})),
                None => removed.push(name),
            }
        }
        let (method, body) = if saved.is_empty() {
            (Method::DELETE, json!({"ids": removed}))
        } else {
            (Method::PUT, json!({"secrets": saved}))
        };
        Ok(self
            .ask(account, method, "/secret-svc/secrets", &body)
            .await?
            .map(|answer| answer.status))
    }
}

/// Fails unless `holds`.
pub(crate) fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation::new(ANSWERS_ARE_AS_EXPECTED, what()))
    }
}
