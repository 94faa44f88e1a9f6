//! Someone who calls a server.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// `METHOD /path` as it was called.
    pub call: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Reply {
    /// The body as JSON, `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The text of a refusal in the dialect's one form: `{"error": "<one line>"}`.
    ///
    /// # Errors
    /// When the reply has another form.
    pub fn error(&self) -> Result<String> {
        let form = || {
            format!(
                "{} answers {} with no error of the dialect: {}",
                self.call, self.status, self.text
            )
        };
        let error = self
            .json()
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(form)?;
        let is_json = self.header(CONTENT_TYPE.as_str()) == Some("application/json");
        let is_exact = self.text == format!("{{\"error\": {}}}", Value::from(error.as_str()));
        (is_json && is_exact && !error.contains('\n'))
            .then_some(error)
            .with_context(form)
    }

    /// The kind of a refusal in the native dialect; empty when the reply has another form.
    #[must_use]
    pub fn error_kind(&self) -> String {
        let json = self.json();
        let kind = json.pointer("/error/kind").and_then(Value::as_str);
        kind.unwrap_or_default().to_owned()
    }

    /// The request's id, if the reply has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.header("x-request-id")
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The names in the reply to a list, in its order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let secrets = self.json();
        let secrets = secrets
            .get("secrets")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        secrets
            .filter_map(|secret| Some(secret.get("id")?.as_str()?.to_owned()))
            .collect()
    }
}

/// A caller with an address of its own, so that what a server counts by source does not mix the callers of a test.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl Caller {
    /// A caller of the server at `url` without a token, whose replies are also kept in `replies`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(url: &str, replies: &Arc<Mutex<Vec<Reply>>>) -> Result<Self> {
        static CALLERS: AtomicU32 = AtomicU32::new(1);
        let [_, b, c, d] = CALLERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(127, b.wrapping_add(1), c, d));
        let http = reqwest::Client::builder()
            .no_proxy()
            .local_address(address)
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
            token: String::new(),
            replies: Arc::clone(replies),
        })
    }

    /// The same caller, showing `token`.
    #[must_use]
    pub fn with(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The token that it shows; empty without one.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Calls `METHOD /path` with `body` as it is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, call: &str, body: impl Into<reqwest::Body>) -> Result<Reply> {
        self.send_with(call, &[], body).await
    }

    /// [`Caller::send`] with more headers.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send_with(
        &self,
        call: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Reply> {
        let (method, path) = call.split_once(' ').context("a call is a method and a path")?;
        let mut request = self
            .http
            .request(method.parse()?, format!("{}{path}", self.url))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.send().await.with_context(|| call.to_owned())?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let reply = Reply {
            call: call.to_owned(),
            status,
            headers,
            text: response.text().await?,
        };
        self.replies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reply.clone());
        Ok(reply)
    }

    /// Calls `METHOD /path` with a JSON body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, call: &str, body: &Value) -> Result<Reply> {
        self.send(call, body.to_string()).await
    }

    /// Asks `path`, below `/strongroom/v1/`, in the native dialect.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn native(&self, path: &str, body: &Value) -> Result<Reply> {
        self.ask(&format!("POST /strongroom/v1/{path}"), body).await
    }

    /// Logs in to the app `unnamed`; gives the reply.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn log_in(&self, slug: &str, password: &str) -> Result<Reply> {
        self.ask("POST /user-svc/login", &account(slug, password)).await
    }

    /// Registers with the app `unnamed`; gives the reply.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn register(&self, slug: &str, password: &str) -> Result<Reply> {
        self.ask("POST /user-svc/register", &account(slug, password))
            .await
    }

    /// Saves `secrets`, a list of entries.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn save(&self, secrets: Value) -> Result<Reply> {
        self.ask(
            "PUT /secret-svc/secrets",
            &serde_json::json!({ "secrets": secrets }),
        )
        .await
    }

    /// Saves one secret with default lists.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn save_value(&self, name: &str, value: &str) -> Result<Reply> {
        self.save(serde_json::json!([{"id": name, "value": value}])).await
    }

    /// Lists what `request` selects.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn list(&self, request: Value) -> Result<Reply> {
        self.ask("POST /secret-svc/secrets", &request).await
    }

    /// The value of the secret `name`; `None` if it is not shown.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn value(&self, name: &str) -> Result<Option<String>> {
        let reply = self.list(serde_json::json!({ "id": name })).await?.json();
        Ok(reply
            .pointer("/secrets/0/value")
            .and_then(Value::as_str)
            .map(str::to_owned))
    }

    /// Removes secrets by name.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn remove(&self, names: &[&str]) -> Result<Reply> {
        self.ask("DELETE /secret-svc/secrets", &serde_json::json!({ "ids": names }))
            .await
    }
}

fn account(slug: &str, password: &str) -> Value {
    serde_json::json!({"appHost": "unnamed", "slug": slug, "password": password})
}
