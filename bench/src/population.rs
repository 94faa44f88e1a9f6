//! Many secrets of 200 bytes, loaded through the front door in saves of 1,000.
//!
//! One hundred belong to a service that has no more; 100,000 of the others lie in one folder of a service of their own,
//! 10,000 in one of another, the rest in folders of 1,000, 100,000 a service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::load::{Connection, Load};
use crate::world::{Account, PATH, VALUE_BYTES};

/// The service with few secrets.
pub(crate) const FEW: &str = "few-svc";
/// How many it has.
pub(crate) const READABLE: usize = 100;
/// The services with one folder each, and how many secrets are in it (with those of [`FEW`]).
pub(crate) const WIDE: (&str, usize) = ("wide-svc", 100_000);
pub(crate) const NARROW: (&str, usize) = ("narrow-svc", 10_000);
/// The folder of those two.
pub(crate) const FOLDER: &str = "all";
const OF_SERVICE: usize = 100_000;
const OF_FOLDER: usize = 1_000;
/// Secrets in one save.
pub(crate) const BATCH: usize = 1_000;
const CONNECTIONS: usize = 8;
/// Requests that a load of reads goes round in.
const READS: usize = 50_000;
/// A prime that is no factor of a population: multiples of it lie everywhere.
const STRIDE: usize = 7_919;

/// Services, logged in.
pub(crate) struct Population {
    secrets: usize,
    services: BTreeMap<String, Account>,
}

impl Population {
    /// Registers the services that have `secrets` together, and saves them all.
    pub(crate) async fn load(address: SocketAddr, secrets: usize) -> Result<Self> {
        let mut services = BTreeMap::new();
        for slug in slugs(secrets) {
            services.insert(slug.clone(), Account::register(address, &slug).await?);
        }
        let population = Arc::new(Self { secrets, services });
        let batches = Arc::new(Mutex::new(batches(secrets).into_iter()));
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (population, batches) = (population.clone(), batches.clone());
            connections.spawn(async move {
                let mut connection = Connection::open(address).await?;
                let next = || batches.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((slug, numbers)) = next() {
                    let secrets: Vec<_> = numbers.map(secret).collect();
                    let body = json!({ "secrets": secrets });
                    let save = population.service(&slug)?.request("PUT", PATH, &body);
                    connection.send(&save).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = connections.join_next().await {
            done??;
        }
        Arc::into_inner(population).context("a connection is still busy")
    }

    /// Logs the services of a population in that was loaded earlier.
    pub(crate) async fn log_in(address: SocketAddr, secrets: usize) -> Result<Self> {
        let mut services = BTreeMap::new();
        for slug in slugs(secrets) {
            services.insert(slug.clone(), Account::log_in(address, &slug).await?);
        }
        Ok(Self { secrets, services })
    }

    /// One of the services.
    pub(crate) fn service(&self, slug: &str) -> Result<&Account> {
        self.services.get(slug).context("no such service")
    }

    /// Reads of one secret each, of all of them in no order.
    pub(crate) fn reads(&self, connections: usize) -> Result<Load> {
        let read = |step: usize| {
            let number = step * STRIDE % self.secrets;
            let body = json!({ "id": name(number) });
            Ok(self.service(&place(number).0)?.request("POST", PATH, &body))
        };
        Ok(Load {
            requests: (0..READS).map(read).collect::<Result<_>>()?,
            connections,
        })
    }

    /// Lists of all that [`FEW`] may read.
    pub(crate) fn lists(&self, connections: usize) -> Result<Load> {
        let list = self.service(FEW)?.request("POST", PATH, &json!({}));
        Ok(Load {
            requests: vec![list; connections].into(),
            connections,
        })
    }
}

/// The save of one more secret of `slug`, in its one folder.
pub(crate) fn one_more(slug: &str, number: usize) -> Value {
    json!({ "secrets": [{ "id": format!("{slug}/{FOLDER}/more-{number}"), "value": "v" }] })
}

/// The service and the folder of a secret.
fn place(number: usize) -> (String, String) {
    let narrow_end = WIDE.1 + NARROW.1;
    if number < READABLE {
        return (FEW.to_owned(), FOLDER.to_owned());
    }
    if number < narrow_end {
        let (slug, _) = if number < WIDE.1 { WIDE } else { NARROW };
        return (slug.to_owned(), FOLDER.to_owned());
    }
    let service = (number - narrow_end) / OF_SERVICE;
    (
        format!("deep-{service}-svc"),
        format!("folder-{}", number / OF_FOLDER),
    )
}

fn name(number: usize) -> String {
    let (slug, folder) = place(number);
    format!("{slug}/{folder}/secret-{number:07}")
}

fn secret(number: usize) -> Value {
    json!({ "id": name(number), "value": "v".repeat(VALUE_BYTES) })
}

fn slugs(secrets: usize) -> Vec<String> {
    let mut slugs: Vec<_> = batches(secrets).into_iter().map(|(slug, _)| slug).collect();
    slugs.dedup();
    slugs
}

/// All numbers, in batches that have one owner each.
fn batches(secrets: usize) -> Vec<(String, std::ops::Range<usize>)> {
    let first = [0..READABLE, READABLE..BATCH];
    let rest = (BATCH..secrets).step_by(BATCH);
    let rest = rest.map(|start| start..secrets.min(start + BATCH));
    let batches = first.into_iter().chain(rest);
    batches.map(|numbers| (place(numbers.start).0, numbers)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_in_one_batch_of_its_owner() {
        for secrets in [1_000, 250_000] {
            let mut next = 0;
            for (slug, numbers) in batches(secrets) {
                assert_eq!(numbers.start, next);
                assert!(numbers.len() <= BATCH);
                next = numbers.end;
                assert!(numbers.into_iter().all(|number| place(number).0 == slug));
            }
            assert_eq!(next, secrets);
        }
        assert_eq!(
            slugs(250_000),
            [FEW, WIDE.0, NARROW.0, "deep-0-svc", "deep-1-svc"]
        );
    }
}
