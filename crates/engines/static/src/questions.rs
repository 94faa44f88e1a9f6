//! Questions about secrets that show no value: who may do what, what the lists look like, which names there are.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use async_trait::async_trait;
use strongroom_barrier::{Kind, Named};
use strongroom_base::{Name, PrincipalId, Slug, limits};
use strongroom_identity::Standing;
use strongroom_policy::{Capability, PrincipalSet, Resource, decide};
use strongroom_sdk::{Error, Judge, Mount, Permit, Rules};

use crate::StaticEngine;
use crate::engine::{PAGE, parse, readable_names};
use crate::ops::{
    Audience, AudienceMember, Concern, Finding, FoundNames, ReviewAccess, Reviewed, SearchNames, WhoCan,
};
use crate::records::{ReadableBy, SecretRecord};

#[async_trait]
impl Judge for StaticEngine {
    async fn rules(&self, permit: &Permit, path: &str) -> Result<Rules, Error> {
        let found = permit.mounts().iter().find_map(|mount| {
            let rest = path.strip_prefix(mount.path())?.strip_prefix('/')?;
            Some((mount, rest))
        });
        let Some((mount, rest)) = found else {
            return Ok(Rules::Hidden);
        };
        let Ok(name) = Name::from_path(rest) else {
            return Ok(Rules::Hidden);
        };
        rules(permit, mount, name).await
    }
}

impl StaticEngine {
    /// Who may do something to a secret, or to a name that none has yet. Everyone with the admin role may, too.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a secret that is not the caller's to review and for a name that is none alike.
    pub async fn who_can(&self, permit: &Permit, op: WhoCan) -> Result<Audience, Error> {
        let mount = permit.mounts().first().ok_or_else(crate::engine::no_mount)?;
        let name = parse("name", &op.name)?;
        permit.note(mount, &name);
        let (candidates, rules) = match rules(permit, mount, name.clone()).await? {
            Rules::Secret { lists, owner, lapse } => {
                let listed = lists.each().into_iter().flat_map(PrincipalSet::iter);
                (
                    listed.collect(),
                    Rules::Secret {
                        lists: lists.clone(),
                        owner,
                        lapse,
                    },
                )
            }
            Rules::Free(name) => (owner_of_prefix(permit, &name).await?, Rules::Free(name)),
            Rules::Hidden => {
                let text = format!("there is no `{name}` whose rules you may see: its owner and admins may");
                return Err(Error::NotFound(text));
            }
        };
        let candidates: PrincipalSet = candidates;
        let mut members = Vec::new();
        for id in candidates.iter() {
            let principal = permit.directory().by_id(id).await?;
            let Some(principal) = principal.filter(|found| found.record.standing != Standing::Disabled)
            else {
                continue;
            };
            let resource = match &rules {
                Rules::Secret { lists, owner, lapse } => Resource::Secret {
                    lists,
                    owner: *owner,
                    lapse: *lapse,
                },
                _ => Resource::FreeName(&name),
            };
            let subject = permit.directory().subject(&principal.record).await?;
            if let Ok(allowed) = decide(Some(&subject), op.capability, resource) {
                members.push(AudienceMember {
                    slug: principal.record.slug.to_string(),
                    is_reserved: principal.record.standing == Standing::Reserved,
                    reason: allowed.reason().to_string(),
                });
            }
        }
        members.sort_by(|a, b| a.slug.cmp(&b.slug));
        let exists = matches!(rules, Rules::Secret { .. });
        Ok(Audience { exists, members })
    }

    /// What is odd about who may read what, in the session's mount or all of them. Judged by index rows and names. A page
    /// that takes long to fill ends before it is full.
    ///
    /// # Errors
    /// [`Error::Denied`] to all but admins; [`Error::Invalid`] for an `after` that is no path of this review.
    pub async fn review(&self, permit: &Permit, op: ReviewAccess) -> Result<Reviewed, Error> {
        permit.everything()?;
        let limit = page_limit(op.limit);
        let readers = ReaderCounts::of(permit).await?;
        let mut findings = Vec::new();
        let next = each_name(permit, op.after.as_deref(), |mount, name| {
            let readers = readers.of_name(mount, name);
            let concerns = concerns(readers, op.readers_over);
            if !concerns.is_empty() {
                findings.push(Finding {
                    path: path(mount, name),
                    readers: readers.count,
                    concerns,
                });
            }
            full(findings.len() == limit)
        });
        let next = next.await?;
        Ok(Reviewed { findings, next })
    }

    /// Names with a text in them that the caller may read, in order. Values are not opened. A page that takes long to fill
    /// ends before it is full.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an `after` that is no path of this search.
    pub async fn search(&self, permit: &Permit, op: SearchNames) -> Result<FoundNames, Error> {
        let limit = page_limit(op.limit);
        let mut paths = Vec::new();
        let next = each_name(permit, op.after.as_deref(), |mount, name| {
            let text = name.to_string();
            if text.contains(&op.text) {
                paths.push(format!("{}/{text}", mount.path()));
            }
            full(paths.len() == limit)
        });
        let next = next.await?;
        Ok(FoundNames { paths, next })
    }
}

async fn rules(permit: &Permit, mount: &Mount, name: Name) -> Result<Rules, Error> {
    let Some(row) = permit.load_unseen::<SecretRecord>(mount, &name).await? else {
        // Whether a name is free is not told to those who could not learn it by using it.
        let may_know = permit.claim(&name, Capability::Write).is_ok();
        return Ok(if may_know {
            Rules::Free(name)
        } else {
            Rules::Hidden
        });
    };
    Ok(match permit.open(row, Capability::Review) {
        Ok(secret) => Rules::Secret {
            lists: secret.lists.clone(),
            owner: secret.owner,
            lapse: permit.refused_lapse(&*secret),
        },
        Err(_) => Rules::Hidden,
    })
}

/// The principal under whose slug `name` lies, if there is one.
async fn owner_of_prefix(permit: &Permit, name: &Name) -> Result<PrincipalSet, Error> {
    let slug = name.segments().first().and_then(|first| Slug::new(first).ok());
    let Some(slug) = slug else {
        return Ok(PrincipalSet::default());
    };
    let principal = permit.directory().by_slug(&slug).await?;
    Ok(principal
        .into_iter()
        .map(|principal| principal.record.id)
        .collect())
}

/// The mounts from the one that `after` lies in, and the name in it behind which to go on.
fn mounts_from<'p>(
    permit: &'p Permit,
    after: Option<&str>,
) -> Result<impl Iterator<Item = (&'p Mount, Option<Name>)>, Error> {
    let (first, mut name) = match after {
        None => (0, None),
        Some(after) => {
            let found = permit.mounts().iter().enumerate().find_map(|(at, mount)| {
                let name = after.strip_prefix(mount.path())?.strip_prefix('/')?;
                Some((at, Name::from_path(name).ok()?))
            });
            let why = "is not the `next` of an earlier page of this";
            let (at, name) = found.ok_or_else(|| Error::invalid("after", why))?;
            (at, Some(name))
        }
    };
    let mounts = permit.mounts().iter().skip(first);
    Ok(mounts.map(move |mount| (mount, name.take())))
}

fn page_limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(limits::PAGE).clamp(1, limits::PAGE)
}

fn path(mount: &Mount, name: &Name) -> String {
    format!("{}/{name}", mount.path())
}

fn full(is_full: bool) -> ControlFlow<()> {
    if is_full {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Shows `look` the names that the caller may be able to read, those behind the path `after`, until it breaks or it is
/// time to answer. Gives the path behind which to go on, if there may be more.
async fn each_name(
    permit: &Permit,
    after: Option<&str>,
    mut look: impl FnMut(&Mount, &Name) -> ControlFlow<()> + Send,
) -> Result<Option<String>, Error> {
    for (mount, mut after) in mounts_from(permit, after)? {
        loop {
            let names = readable_names(permit, mount, after.as_ref()).await?;
            let is_last = names.len() < PAGE;
            for name in names {
                if look(mount, &name).is_break() {
                    return Ok(Some(path(mount, &name)));
                }
                after = Some(name);
            }
            if let Some(name) = after.as_ref().filter(|_| permit.is_time_to_answer()) {
                return Ok(Some(path(mount, name)));
            }
            if is_last {
                break;
            }
        }
    }
    Ok(None)
}

/// What the index says about the readers of one secret.
#[derive(Clone, Copy, Default)]
struct Readers {
    count: usize,
    reserved: bool,
}

/// What the index says about the readers of every secret in a permit's mounts. Secrets go by a hash with a key of the
/// moment: among a million of them, two have the same one once in thirty million times.
struct ReaderCounts {
    key: [u8; 16],
    by_secret: HashMap<u64, Readers>,
}

impl ReaderCounts {
    async fn of(permit: &Permit) -> Result<Self, Error> {
        let mut counts = Self {
            key: [0; 16],
            by_secret: HashMap::new(),
        };
        permit.rng().fill(&mut counts.key);
        let mounts: BTreeMap<_, _> = permit.mounts().iter().map(|mount| (mount.id(), mount)).collect();
        let Some(any) = permit.mounts().first() else {
            return Ok(counts);
        };
        let mut reserved: BTreeMap<PrincipalId, bool> = BTreeMap::new();
        let mut after = None;
        loop {
            permit.in_time()?;
            let rows = permit
                .index::<ReadableBy>(any, Kind::ByPrincipal, &[], after.as_ref(), PAGE)
                .await?;
            let is_last = rows.len() < PAGE;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, row) in rows {
                let Some((reader, mount)) = crate::records::by_principal_parts(&key) else {
                    continue;
                };
                let Some(mount) = mounts.get(&mount) else { continue };
                let is_reserved = match reserved.get(&reader) {
                    Some(known) => *known,
                    None => {
                        let principal = permit.directory().by_id(reader).await?;
                        let known =
                            principal.is_some_and(|found| found.record.standing == Standing::Reserved);
                        reserved.insert(reader, known);
                        known
                    }
                };
                let secret = counts.hash(mount, &row.record.into_name());
                let entry = counts.by_secret.entry(secret).or_default();
                entry.count += 1;
                entry.reserved |= is_reserved;
            }
            if is_last {
                return Ok(counts);
            }
        }
    }

    fn of_name(&self, mount: &Mount, name: &Name) -> Readers {
        let readers = self.by_secret.get(&self.hash(mount, name));
        readers.copied().unwrap_or_default()
    }

    fn hash(&self, mount: &Mount, name: &Name) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.key, mount.id().0, name).hash(&mut hasher);
        hasher.finish()
    }
}

fn concerns(readers: Readers, over: usize) -> Vec<Concern> {
    if readers.count == 0 {
        return vec![Concern::NoReaders];
    }
    let mut concerns = Vec::new();
    if readers.count > over {
        concerns.push(Concern::ManyReaders);
    }
    if readers.reserved {
        concerns.push(Concern::ReservedReader);
    }
    concerns
}
