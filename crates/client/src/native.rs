//! The native dialect, `/strongroom/v1`: the ledger and the questions to the gate. `docs/reference/openapi.json`
//! describes it; times are milliseconds since 1970.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{Client, ClientError};

/// Where a page of leaves begins. At most one of the first three is given.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LeavesRequest {
    /// At the leaf with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// At the first leaf of this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// So many leaves before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Wait a while if there is none yet.
    pub wait: bool,
}

/// Leaves of the ledger.
#[derive(Debug, Deserialize)]
pub struct Leaves {
    /// In order.
    pub leaves: Vec<Leaf>,
    /// The number to go on with.
    pub next: u64,
    /// Leaves in the log.
    pub size: u64,
}

/// One leaf.
#[derive(Debug, Deserialize, Serialize)]
pub struct Leaf {
    /// Its number in the log.
    pub index: u64,
    /// Its exact text.
    pub leaf: String,
    /// What is sealed in it, where the caller may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
}

/// What is sealed in a leaf.
#[derive(Debug, Deserialize, Serialize)]
pub struct Fields {
    /// The caller's slug at the time.
    pub slug: Option<String>,
    /// Where the request came from.
    pub source: Option<String>,
    /// Why the caller asked.
    pub reason: Option<String>,
    /// The reasons of the decisions.
    pub why: Vec<String>,
    /// What the request saw or changed.
    pub paths: Vec<String>,
}

/// The leaves of one request.
#[derive(Debug, Deserialize)]
pub struct RequestLeaves {
    /// In order.
    pub leaves: Vec<Leaf>,
    /// What was to be disclosed: a JSON document.
    pub disclosure: Option<serde_json::Value>,
}

/// A checkpoint that continues an older tree.
#[derive(Debug, Deserialize)]
pub struct Growth {
    /// The log's public key, a vkey.
    pub key: String,
    /// The consistency proof, hashes in base64.
    pub path: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// Why a request ended as it did.
#[derive(Debug, Deserialize, Serialize)]
pub struct Explanation {
    /// When it came.
    pub time: u64,
    /// What it asked for.
    pub op: String,
    /// How it ended.
    pub outcome: String,
    /// Who asked, if anyone was known.
    pub principal: Option<Principal>,
    /// The reasons of the decisions.
    pub why: Vec<String>,
    /// What it was about.
    pub paths: Vec<String>,
    /// The denials.
    pub refusals: Vec<Refusal>,
}

/// Who asked.
#[derive(Debug, Deserialize, Serialize)]
pub struct Principal {
    /// The id.
    pub id: String,
    /// The slug then.
    pub slug: String,
    /// Whether it has the admin role now.
    pub is_admin: bool,
}

/// One denial.
#[derive(Debug, Deserialize, Serialize)]
pub struct Refusal {
    /// What it was about.
    pub path: Option<String>,
    /// Why.
    pub reason: String,
    /// What the decision would be now, where it can be made again.
    pub is_allowed_now: Option<bool>,
    /// The smallest change that would allow it.
    pub remedy: Option<String>,
}

/// Who may do something, beside everyone with the admin role.
#[derive(Debug, Deserialize, Serialize)]
pub struct Audience {
    /// Whether there is such a secret; if not, these may make it.
    pub exists: bool,
    /// They.
    pub members: Vec<Member>,
}

/// One who may.
#[derive(Debug, Deserialize, Serialize)]
pub struct Member {
    /// The slug.
    pub slug: String,
    /// Whether nobody is this principal yet.
    pub is_reserved: bool,
    /// Why.
    pub reason: String,
}

/// Which part of a paged answer is meant.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// Every app, not only the session's.
    pub all_apps: bool,
    /// Go on behind this path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of a review.
#[derive(Debug, Deserialize)]
pub struct Review {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Where to go on.
    pub next: Option<String>,
}

/// A secret with something odd about its readers.
#[derive(Debug, Deserialize, Serialize)]
pub struct Finding {
    /// Where it is.
    pub path: String,
    /// How many principals may read it.
    pub readers: usize,
    /// What is odd.
    pub concerns: Vec<String>,
}

/// A page of names.
#[derive(Debug, Deserialize)]
pub struct Names {
    /// Where the secrets are.
    pub paths: Vec<String>,
    /// Where to go on.
    pub next: Option<String>,
}

/// A request for access that waits.
#[derive(Debug, Deserialize, Serialize)]
pub struct AccessRequest {
    /// Where the secret is.
    pub path: String,
    /// Its name in the app.
    pub name: String,
    /// Who asks.
    pub who: String,
    /// `read` or `write`.
    pub wanted: String,
    /// Why, in their words.
    pub reason: String,
    /// When it was asked.
    pub at: u64,
}

impl Client {
    /// Asks for access to a secret, to `read` or `write` it: `POST /strongroom/v1/access/request`.
    ///
    /// # Errors
    /// [`ClientError`]; 400 for what the caller may do already.
    pub async fn ask_access(&self, name: &str, wanted: &str, reason: &str) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        struct Reply {}
        let request = serde_json::json!({ "name": name, "wanted": wanted, "reason": reason });
        let Reply {} = self.post("/strongroom/v1/access/request", &request).await?;
        Ok(())
    }

    /// The requests that wait for the caller: `POST /strongroom/v1/access/requests`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn access_requests(&self, all_apps: bool) -> Result<Vec<AccessRequest>, ClientError> {
        #[derive(Deserialize)]
        struct Reply {
            requests: Vec<AccessRequest>,
        }
        let request = serde_json::json!({ "all_apps": all_apps });
        let reply: Reply = self.post("/strongroom/v1/access/requests", &request).await?;
        Ok(reply.requests)
    }

    /// Leaves of the ledger: `POST /strongroom/v1/audit/leaves`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leaves(&self, request: LeavesRequest) -> Result<Leaves, ClientError> {
        self.post("/strongroom/v1/audit/leaves", &request).await
    }

    /// The leaves of one request; with `disclose`, a field and the value's number, also that value with its salt:
    /// `POST /strongroom/v1/audit/request`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 for a request that the ledger does not have, or not yet.
    pub async fn leaves_of(
        &self,
        id: &str,
        disclose: Option<(&str, u32)>,
    ) -> Result<RequestLeaves, ClientError> {
        let (field, index) = disclose.unzip();
        let request = serde_json::json!({ "id": id, "disclose": field, "index": index.unwrap_or_default() });
        self.post("/strongroom/v1/audit/request", &request).await
    }

    /// The proof file of a leaf: `POST /strongroom/v1/audit/proof`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is no such leaf.
    pub async fn prove(&self, index: u64) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Reply {
            proof: String,
        }
        let reply: Reply = self
            .post(
                "/strongroom/v1/audit/proof",
                &serde_json::json!({ "index": index }),
            )
            .await?;
        Ok(reply.proof)
    }

    /// The newest checkpoint, and the proof that it continues the tree of `from` leaves:
    /// `POST /strongroom/v1/audit/growth`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when the log is smaller than that.
    pub async fn growth(&self, from: u64) -> Result<Growth, ClientError> {
        self.post(
            "/strongroom/v1/audit/growth",
            &serde_json::json!({ "from": from }),
        )
        .await
    }

    /// Why a request was refused: `POST /strongroom/v1/access/explain`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is none that the caller may see.
    pub async fn explain(&self, id: &str) -> Result<Explanation, ClientError> {
        self.post("/strongroom/v1/access/explain", &serde_json::json!({ "id": id }))
            .await
    }

    /// Who may do `capability` (`read`, `write`, `delete`, …) to a secret: `POST /strongroom/v1/access/who-can`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 for a secret that is not the caller's to review.
    pub async fn who_can(&self, capability: &str, name: &str) -> Result<Audience, ClientError> {
        let request = serde_json::json!({ "capability": capability, "name": name });
        self.post("/strongroom/v1/access/who-can", &request).await
    }

    /// Secrets with something odd about their readers, as which more than `readers_over` count:
    /// `POST /strongroom/v1/access/review`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins.
    pub async fn review(&self, readers_over: usize, page: &Page) -> Result<Review, ClientError> {
        #[derive(Serialize)]
        struct Request<'a> {
            readers_over: usize,
            #[serde(flatten)]
            page: &'a Page,
        }
        self.post("/strongroom/v1/access/review", &Request { readers_over, page })
            .await
    }

    /// Names with `text` in them that the caller may read: `POST /strongroom/v1/secrets/search`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn search(&self, text: &str, page: &Page) -> Result<Names, ClientError> {
        #[derive(Serialize)]
        struct Request<'a> {
            text: &'a str,
            #[serde(flatten)]
            page: &'a Page,
        }
        self.post("/strongroom/v1/secrets/search", &Request { text, page })
            .await
    }

    pub(crate) async fn post<R: serde::de::DeserializeOwned>(
        &self,
        path: &'static str,
        body: &impl Serialize,
    ) -> Result<R, ClientError> {
        self.http.send_json(Method::POST, path, body).await
    }
}
