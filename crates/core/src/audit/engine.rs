//! One method per op. Files are read on threads that may block.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{RequestId, limits};
use strongroom_ledger::{Disclosure, LeafFacts, Ledger, Published, ReadError, Reader};
use strongroom_policy::{Capability, Reason, Resource, Subject, decide};
use strongroom_sdk::{Error, Judge, Permit, Rules, Surroundings};
use strongroom_tlog::ProofFile;

use super::ops::{
    Explain, Explanation, FindLeaves, GrowthProof, LeafPage, LeafStart, ProveGrowth, ProveLeaf, READ_LEAVES,
    ReadLeaves, Refusal, ShownLeaf,
};

/// How long a reader waits for new leaves before it gets none.
const WAIT: Duration = Duration::from_secs(20);

/// The ledger's word for a request that a rule refused.
const DENIED: &str = "denied";

/// The engine of the ledger.
pub struct Audit {
    ledger: Arc<Ledger>,
    judge: Arc<dyn Judge>,
}

impl Audit {
    /// The ledger of `surroundings`; `judge` says what the rules go by at its paths.
    pub(crate) fn new(surroundings: &Surroundings, judge: Arc<dyn Judge>) -> Self {
        let ledger = surroundings.ledger.clone();
        Self { ledger, judge }
    }

    /// Leaves in order, with what is sealed in them for admins, and for the owner of everything that a leaf names.
    ///
    /// # Errors
    /// [`Error::Internal`] when the ledger is damaged.
    pub async fn read(&self, permit: &Permit, op: ReadLeaves) -> Result<LeafPage, Error> {
        let limit = op.limit.unwrap_or(limits::LEAF_PAGE).clamp(1, limits::LEAF_PAGE);
        let start = op.start;
        let from = self
            .reading(move |reader| {
                Ok(match start {
                    LeafStart::Index(index) => index,
                    LeafStart::Time(time) => reader.first_at(time)?,
                    LeafStart::Last(count) => reader.checkpoint()?.0.size.saturating_sub(count),
                })
            })
            .await?;
        let next = if op.wait {
            self.first_of_others(from).await?
        } else {
            from
        };
        let published = self.reading(move |reader| reader.leaves(next, limit)).await?;
        let mut leaves = Vec::with_capacity(published.len());
        for published in published {
            permit.in_time()?;
            leaves.push(self.shown(permit, published).await?);
        }
        Ok(LeafPage {
            next: next + leaves.len() as u64,
            leaves,
            size: self.ledger.position().checkpoint.size,
        })
    }

    /// The leaves of one request.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a second after the request.
    pub async fn find(
        &self,
        permit: &Permit,
        op: FindLeaves,
    ) -> Result<(Vec<ShownLeaf>, Option<Disclosure>), Error> {
        let mut leaves = Vec::new();
        for published in self.leaves_of(op.id).await? {
            leaves.push(self.shown(permit, published).await?);
        }
        let Some((field, index)) = op.disclose else {
            return Ok((leaves, None));
        };
        // Lists go on in the next leaf of the request, where numbers begin anew; the first leaf that has it is meant.
        let disclosed = leaves
            .iter()
            .find_map(|leaf| leaf.fields.as_ref()?.disclose(field, index));
        let missing = || Error::NotFound("the leaf has no such field, or it is not yours to see".to_owned());
        Ok((leaves, Some(disclosed.ok_or_else(missing)?)))
    }

    /// Why a request was refused.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such request, or it is not the caller's to see.
    pub async fn explain(&self, permit: &Permit, op: Explain) -> Result<Explanation, Error> {
        let mut shown = Vec::new();
        for published in self.leaves_of(op.id).await? {
            shown.push(self.shown(permit, published).await?);
        }
        let first = shown.first().ok_or_else(|| not_found(op.id))?;
        if first.fields.is_none() {
            return Err(not_found(op.id));
        }
        let texts = |of: fn(&strongroom_ledger::Fields) -> &Vec<String>| -> Vec<String> {
            shown
                .iter()
                .filter_map(|leaf| leaf.fields.as_ref())
                .flat_map(of)
                .cloned()
                .collect()
        };
        let (why, paths) = (texts(|fields| &fields.why), texts(|fields| &fields.paths));
        let facts = &first.facts;
        let then = first.fields.as_ref().and_then(|fields| fields.slug.clone());
        let subject = match facts.principal {
            Some(id) => match permit.directory().by_id(id).await? {
                Some(found) => Some(permit.directory().subject(&found.record).await?),
                None => None,
            },
            None => None,
        };
        let mut refusals = Vec::new();
        for reason in why.iter().filter_map(|text| Reason::from_text(text)) {
            let slug = subject.as_ref().map(|subject| &subject.slug);
            let Some(remedy) = reason.remedy(slug) else {
                continue;
            };
            for path in about(reason, &facts.outcome, &paths) {
                let is_allowed_now = self.decide_again(permit, subject.as_ref(), reason, path).await?;
                // A request that went on passed over some of its rows: those that would be refused still.
                if facts.outcome != DENIED && is_allowed_now == Some(true) {
                    continue;
                }
                refusals.push(Refusal {
                    path: path.cloned(),
                    reason: reason.to_string(),
                    is_allowed_now,
                    remedy: Some(remedy.clone()).filter(|_| is_allowed_now != Some(true)),
                });
            }
        }
        Ok(Explanation {
            time: facts.time,
            op: facts.op.clone(),
            outcome: facts.outcome.clone(),
            principal: facts.principal.zip(then),
            is_admin: subject.is_some_and(|subject| subject.is_admin()),
            why,
            paths,
            refusals,
        })
    }

    /// The proof that a leaf is in the log.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such leaf.
    pub async fn prove(&self, _: &Permit, op: ProveLeaf) -> Result<ProofFile, Error> {
        self.reading(move |reader| reader.prove(op.index)).await
    }

    /// The newest checkpoint and the proof that it continues an older tree.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the log is smaller than that.
    pub async fn prove_growth(&self, _: &Permit, op: ProveGrowth) -> Result<GrowthProof, Error> {
        let (path, checkpoint) = self.reading(move |reader| reader.prove_growth(op.from)).await?;
        let key = self.ledger.reader().key().to_string();
        Ok(GrowthProof {
            key,
            path,
            checkpoint,
        })
    }

    /// The first leaf from `from` on that is not of a request for leaves; the end of the log when none comes in time.
    async fn first_of_others(&self, mut from: u64) -> Result<u64, Error> {
        let looking = async {
            loop {
                let page = self
                    .reading(move |reader| reader.leaves(from, limits::LEAF_PAGE))
                    .await?;
                for leaf in &page {
                    if leaf.facts().map_err(Error::internal)?.op != READ_LEAVES {
                        return Ok(leaf.index);
                    }
                }
                from += page.len() as u64;
                self.ledger.grown_beyond(from).await;
            }
        };
        match tokio::time::timeout(WAIT, looking).await {
            Ok(found) => found,
            Err(_) => Ok(self.ledger.position().checkpoint.size.max(from)),
        }
    }

    /// `published` with its fields, if they are the caller's to see.
    async fn shown(&self, permit: &Permit, published: Published) -> Result<ShownLeaf, Error> {
        let facts = published.facts().map_err(Error::internal)?;
        let sealed = facts.open(self.ledger.cipher()).map_err(Error::internal)?;
        let fields = match sealed {
            Some(fields) if self.may_see(permit, &facts, &fields.paths).await? => Some(fields),
            _ => None,
        };
        Ok(ShownLeaf {
            published,
            facts,
            fields,
        })
    }

    /// Admins see every leaf, owners those about nothing but their own secrets.
    async fn may_see(&self, permit: &Permit, facts: &LeafFacts, paths: &[String]) -> Result<bool, Error> {
        if decide(permit.caller(), Capability::Review, Resource::Everything).is_ok() {
            return Ok(true);
        }
        // A request about several leaves of paths is judged leaf by leaf: what one names, its owner may see.
        if paths.is_empty() || facts.workspace.is_none() {
            return Ok(false);
        }
        for path in paths {
            if !matches!(self.judge.rules(permit, path).await?, Rules::Secret { .. }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the decision behind `reason` would be now.
    async fn decide_again(
        &self,
        permit: &Permit,
        subject: Option<&Subject>,
        reason: Reason,
        path: Option<&String>,
    ) -> Result<Option<bool>, Error> {
        let Some(path) = path else { return Ok(None) };
        let capability = match reason {
            Reason::NotListed(capability) => capability,
            Reason::Lapsed(_) => Capability::Read,
            _ => Capability::Write,
        };
        Ok(match self.judge.rules(permit, path).await? {
            Rules::Secret { lists, owner, lapse } => {
                let resource = Resource::Secret {
                    lists: &lists,
                    owner,
                    lapse,
                };
                Some(decide(subject, capability, resource).is_ok())
            }
            Rules::Free(name) => Some(decide(subject, capability, Resource::FreeName(&name)).is_ok()),
            Rules::Hidden => None,
        })
    }

    async fn leaves_of(&self, id: RequestId) -> Result<Vec<Published>, Error> {
        let leaves = self.reading(move |reader| reader.find(id)).await?;
        if leaves.is_empty() {
            Err(not_found(id))
        } else {
            Ok(leaves)
        }
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = self.ledger.reader();
        let done = tokio::task::spawn_blocking(move || read(&reader))
            .await
            .map_err(Error::internal)?;
        done.map_err(|error| match error {
            ReadError::Range { .. } => Error::NotFound(error.to_string()),
            ReadError::Damaged(damage) => Error::internal(damage),
        })
    }
}

/// What a denial for `reason` can have been about. A refusal ends a request, so it is about the path that came last;
/// `None` where it was about no row at all.
fn about<'p>(reason: Reason, outcome: &str, paths: &'p [String]) -> Vec<Option<&'p String>> {
    let is_about_rows = matches!(
        reason,
        Reason::NotListed(_) | Reason::ForeignPrefix | Reason::Lapsed(_)
    );
    match paths.last() {
        last @ Some(_) if is_about_rows && outcome == DENIED => vec![last],
        Some(_) if is_about_rows => paths.iter().map(Some).collect(),
        _ => vec![None],
    }
}

fn not_found(id: RequestId) -> Error {
    Error::NotFound(format!(
        "the ledger has no request `{id}` that you may see; what came within the last second is not in it yet"
    ))
}
