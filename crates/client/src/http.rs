//! The transport: one request, one bounded answer.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_secret::{SecretBuffer, SecretText};

use crate::{BadReply, ClientError};

/// To open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// For a probe, which a person waits for.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest answer that is taken.
const REPLY_BYTES: usize = 256 << 20;
/// The longest reason of a refusal that is repeated.
const MESSAGE_CHARS: usize = 500;

pub(crate) struct Http {
    client: reqwest::Client,
    server: Url,
    authorization: Option<HeaderValue>,
}

impl Http {
    pub(crate) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let server = parse_url(url)?;
        let builder = ClientBuilder::new()
            .redirect(Policy::none()) // it would carry the token elsewhere
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        let builder = match ca_file {
            Some(path) => builder.tls_certs_only(read_certificates(path)?),
            // The system's certificates are slow to load, and some containers have none.
            None if server.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        Ok(Self {
            client: builder.build().map_err(ClientError::Setup)?,
            server,
            authorization: None,
        })
    }

    pub(crate) fn set_token(&mut self, token: &SecretText) -> Result<(), ClientError> {
        let mut text = SecretBuffer::with_capacity("Bearer ".len() + token.len());
        text.extend(b"Bearer ");
        text.extend(token.expose().as_bytes());
        let mut header =
            HeaderValue::from_maybe_shared(text.into_shared()).map_err(|_| ClientError::BadToken)?;
        header.set_sensitive(true);
        self.authorization = Some(header);
        Ok(())
    }

    pub(crate) async fn is_reachable(&self) -> bool {
        self.client
            .get(self.server.clone())
            .timeout(PROBE_TIMEOUT)
            .send()
            .await
            .is_ok()
    }

    /// A call without a body.
    pub(crate) async fn send<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
    ) -> Result<R, ClientError> {
        self.finish(self.request(method, path)).await
    }

    /// A call with a JSON body, which is wiped once it is sent.
    pub(crate) async fn send_json<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        body: &impl Serialize,
    ) -> Result<R, ClientError> {
        let mut json = SecretBuffer::default();
        // Writing to memory cannot fail, and our wire types have string keys only.
        serde_json::to_writer(&mut json, body).map_err(|_| self.bad_reply(BadReply::Shape))?;
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, "application/json")
            .body(json.into_shared());
        self.finish(request).await
    }

    fn request(&self, method: Method, path: &'static str) -> RequestBuilder {
        let mut url = self.server.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        let request = self.client.request(method, url);
        match &self.authorization {
            Some(header) => request.header(AUTHORIZATION, header.clone()),
            None => request,
        }
    }

    async fn finish<R: DeserializeOwned>(&self, request: RequestBuilder) -> Result<R, ClientError> {
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        let body = self.read(&mut response).await?;
        if !response.status().is_success() {
            return Err(refused(&response, body.expose()));
        }
        // serde_json's own error may quote the answer, so it ends here.
        serde_json::from_slice(body.expose()).map_err(|_| self.bad_reply(BadReply::Shape))
    }

    async fn read(&self, response: &mut Response) -> Result<SecretBuffer, ClientError> {
        let mut body = SecretBuffer::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.expose().len() + chunk.len() > REPLY_BYTES {
                return Err(self.bad_reply(BadReply::TooLong));
            }
            body.extend(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            server: self.server.to_string(),
            source: error.without_url(),
        }
    }

    fn bad_reply(&self, why: BadReply) -> ClientError {
        ClientError::BadReply {
            server: self.server.to_string(),
            why,
        }
    }
}

fn parse_url(url: &str) -> Result<Url, ClientError> {
    let url = Url::parse(url).map_err(|_| ClientError::BadUrl)?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if is_plain {
        Ok(url)
    } else {
        Err(ClientError::BadUrl)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let failed = |source| ClientError::CaFile {
        path: path.to_owned(),
        source,
    };
    let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))?;
    if certificates.is_empty() {
        return Err(failed("it has no certificate in PEM form".into()));
    }
    Ok(certificates)
}

fn refused(response: &Response, body: &[u8]) -> ClientError {
    /// 1Backend's form, and that of the native dialect.
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Refusal {
        OneBackend { error: String },
        Native { error: Reason },
    }
    #[derive(serde::Deserialize)]
    struct Reason {
        message: String,
    }
    let status = response.status();
    let text = serde_json::from_slice(body).map(|refusal| match refusal {
        Refusal::OneBackend { error } => error,
        Refusal::Native { error } => error.message,
    });
    let message = match text {
        Ok(text) => text
            .chars()
            .filter(|character| !character.is_control())
            .take(MESSAGE_CHARS)
            .collect(),
        Err(_) => status.canonical_reason().unwrap_or("no reason given").to_owned(),
    };
    ClientError::Refused {
        status: status.as_u16(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_http_url_without_credentials() {
        for good in ["http://127.0.0.1:8200", "https://secrets.example.org/base/"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:8200",
            "ftp://x",
            "http://user:hunter2@x",
            "http://x/?token=hunter2",
            "http://x#y",
        ] {
            let error = parse_url(bad).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn a_token_that_could_end_its_header_is_refused() {
        let mut http = Http::new("http://127.0.0.1:1", None).unwrap();
        let error = http
            .set_token(&SecretText::new("a\r\nX-Admin: yes".into()))
            .unwrap_err();
        assert!(matches!(error, ClientError::BadToken));
    }
}
