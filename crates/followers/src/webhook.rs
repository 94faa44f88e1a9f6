//! Webhooks: somebody who is told which secrets are overdue. Names and times, never values.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use strongroom_base::{limits, with_causes};
use tokio::sync::watch;
use tokio::time::sleep;

/// For a whole call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A secret that is overdue, as a webhook is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Notice {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub path: String,
    /// Since when, in milliseconds since 1970.
    pub due: u64,
    /// Why.
    pub why: &'static str,
    /// The slug of who answers for it, if somebody does.
    pub owner: Option<String>,
}

/// All that is overdue.
pub type Notices = Arc<Vec<Notice>>;

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where it is called.
    pub url: WebhookUrl,
}

/// The URL of a webhook. It may hold a secret of its receiver's, so its text is nowhere but in requests.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookUrl(Url);

/// This is no URL of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook's URL is `http://…` or `https://…`, without user name and password")]
pub struct WebhookUrlError;

impl TryFrom<String> for WebhookUrl {
    type Error = WebhookUrlError;

    fn try_from(text: String) -> Result<Self, WebhookUrlError> {
        let url = Url::parse(&text).map_err(|_| WebhookUrlError)?;
        let is_plain =
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if is_plain {
            Ok(Self(url))
        } else {
            Err(WebhookUrlError)
        }
    }
}

impl std::fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebhookUrl({})", self.0.host_str().unwrap_or_default())
    }
}

/// The metric of calls that were given up, of all webhooks: `strongroom_webhook_errors_total`.
#[derive(Clone, Debug, Default)]
pub struct GivenUp(Arc<AtomicU64>);

impl GivenUp {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Collector for GivenUp {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let counter = ConstCounter::new(self.count());
        let help = "Calls of webhooks that were given up";
        let name = "strongroom_webhook_errors";
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }
}

/// One webhook.
pub(crate) struct Webhook {
    http: Client,
    url: Url,
    /// What it was told, of what is still overdue. It is empty at the start: then all is told once more.
    told: HashSet<Notice>,
    given_up: GivenUp,
}

/// What is sent.
#[derive(Serialize)]
struct Call<'a> {
    event: &'static str,
    secrets: &'a [&'a Notice],
}

impl Webhook {
    pub(crate) fn new(config: &WebhookConfig, given_up: GivenUp) -> Result<Self, reqwest::Error> {
        let url = config.url.0.clone();
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .timeout(CALL_TIMEOUT);
        let builder = match url.scheme() {
            // The system's certificates are slow to load, and some containers have none.
            "http" => builder.tls_certs_only([]),
            _ => builder,
        };
        Ok(Self {
            http: builder.build()?,
            url,
            told: HashSet::new(),
            given_up,
        })
    }

    /// Tells what is new whenever that changes, until nobody looks any more.
    pub(crate) async fn run(mut self, mut overdue: watch::Receiver<Notices>) {
        loop {
            let all = overdue.borrow_and_update().clone();
            self.tell(&all).await;
            if overdue.changed().await.is_err() {
                return;
            }
        }
    }

    async fn tell(&mut self, all: &[Notice]) {
        self.told.retain(|told| all.contains(told));
        let new: Vec<&Notice> = all.iter().filter(|notice| !self.told.contains(*notice)).collect();
        for part in new.chunks(limits::WEBHOOK_SECRETS) {
            if let Err(error) = self.send(part).await {
                self.given_up.0.fetch_add(1, Ordering::Relaxed);
                let host = self.url.host_str().unwrap_or_default();
                let error = with_causes(&error);
                tracing::error!(host, error, "a webhook was not told which secrets are overdue");
            }
        }
        self.told.extend(new.into_iter().cloned());
    }

    /// Sends it, a bounded number of times.
    async fn send(&self, secrets: &[&Notice]) -> Result<(), reqwest::Error> {
        let call = Call {
            event: "secrets.overdue",
            secrets,
        };
        let mut pause = Duration::from(limits::WEBHOOK_PAUSE);
        let mut attempts = 1..limits::WEBHOOK_ATTEMPTS;
        loop {
            let answer = self.http.post(self.url.clone()).json(&call).send().await;
            let Err(error) = answer.and_then(reqwest::Response::error_for_status) else {
                return Ok(());
            };
            if attempts.next().is_none() {
                return Err(error.without_url());
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn notice(id: &str, due: u64) -> Notice {
        Notice {
            id: id.into(),
            path: format!("apps/unnamed/{id}"),
            due,
            why: "expired",
            owner: None,
        }
    }

    /// Answers calls with `statuses`, one after another; gives what was said in each.
    async fn receive(listener: TcpListener, statuses: Vec<u16>) -> Vec<serde_json::Value> {
        let mut said = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let body = loop {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8(bytes.clone()).unwrap();
                if let Some((_, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str(body)
                {
                    break body;
                }
            };
            said.push(body);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        said
    }

    fn webhook(listener: &TcpListener) -> Webhook {
        let url = format!("http://{}/hook?key=secret", listener.local_addr().unwrap());
        let config = WebhookConfig {
            url: WebhookUrl::try_from(url).unwrap(),
        };
        assert!(!format!("{config:?}").contains("secret"));
        Webhook::new(&config, GivenUp::default()).unwrap()
    }

    #[tokio::test]
    async fn each_overdue_secret_is_told_once_while_it_is_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut webhook = webhook(&listener);
        let server = tokio::spawn(receive(listener, vec![200, 200, 200]));
        let (a, b) = (notice("a", 1), notice("b", 2));
        webhook.tell(std::slice::from_ref(&a)).await;
        webhook.tell(std::slice::from_ref(&a)).await;
        webhook.tell(&[a.clone(), b.clone()]).await;
        webhook.tell(std::slice::from_ref(&b)).await;
        // It was in order for a while.
        webhook.tell(&[a, b]).await;
        let told: Vec<_> = server
            .await
            .unwrap()
            .iter()
            .map(|call| {
                let secrets = call["secrets"].as_array().unwrap();
                secrets
                    .iter()
                    .map(|one| one["id"].as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(told, [["a"], ["b"], ["a"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_fails_is_tried_again_but_not_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut webhook = webhook(&listener);
        let server = tokio::spawn(receive(listener, vec![500, 200, 500, 500, 500, 500, 500]));
        webhook.tell(&[notice("a", 1)]).await;
        assert_eq!(webhook.given_up.count(), 0);
        webhook.tell(&[notice("b", 1)]).await;
        assert_eq!((webhook.given_up.count(), server.await.unwrap().len()), (1, 7));
    }

    #[test]
    fn a_url_with_a_password_is_refused_and_not_repeated() {
        for bad in ["", "ftp://x", "http://u:hunter2@x", "x"] {
            let error = WebhookUrl::try_from(bad.to_owned()).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
