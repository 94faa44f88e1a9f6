//! One of the clients that keep the server busy.

use std::sync::atomic::Ordering;

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::json;
use strongroom_base::limits;

use crate::dice::Dice;
use crate::history::{Own, Write};
use crate::rounds::SHARED_NAME;
use crate::site::{Account, Site, expect, lock};

/// Names of a writer.
const NAMES: u64 = 6;
/// Names in one write, at most.
const BATCH: u64 = 3;

/// A client that writes names of its own, and one that all share, and tries what it may not.
pub(crate) struct Writer {
    number: usize,
    pub(crate) account: Account,
    /// Who may write the shared name.
    admin: Account,
    pub(crate) own: Own,
    dice: Dice,
    writes: u64,
}

impl Writer {
    pub(crate) fn new(number: usize, account: Account, admin: Account, dice: Dice) -> Self {
        Self {
            number,
            account,
            admin,
            own: Own::default(),
            dice,
            writes: 0,
        }
    }

    /// Whether `name` is one of its own.
    pub(crate) fn owns(&self, name: &str) -> bool {
        name.starts_with(&self.folder())
    }

    /// Sends one request after the other until the server is gone.
    pub(crate) async fn run(&mut self, site: &Site) -> Result<()> {
        while self.step(site).await?.is_some() {}
        Ok(())
    }

    async fn step(&mut self, site: &Site) -> Result<Option<()>> {
        match self.dice.below(100) {
            0..40 => self.save(site).await,
            40..55 => self.remove(site).await,
            55..75 => self.save_shared(site).await,
            75..88 => self.read(site).await,
            88..96 => self.trespass(site).await,
            _ => site.token_in_url(&self.account).await,
        }
    }

    async fn save(&mut self, site: &Site) -> Result<Option<()>> {
        let value = self.new_value();
        let names = 1 + self.dice.below(BATCH);
        let write = (0..names)
            .map(|_| (self.any_name(), Some(value.clone())))
            .collect();
        self.write(site, write).await
    }

    async fn remove(&mut self, site: &Site) -> Result<Option<()>> {
        let at_most = usize::try_from(1 + self.dice.below(BATCH)).unwrap_or(1);
        let write: Write = self
            .own
            .settled()
            .keys()
            .take(at_most)
            .map(|name| (name.clone(), None))
            .collect();
        if write.is_empty() {
            self.save(site).await
        } else {
            self.write(site, write).await
        }
    }

    async fn write(&mut self, site: &Site, write: Write) -> Result<Option<()>> {
        self.own.send(write.clone());
        let Some(status) = site.write(&self.account, &write).await? else {
            return Ok(None);
        };
        expect(status == StatusCode::OK, || {
            format!("a write of {:?}: {status}", write.keys())
        })?;
        self.own.acknowledged();
        site.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(Some(()))
    }

    async fn save_shared(&mut self, site: &Site) -> Result<Option<()>> {
        let value = self.new_value();
        lock(&site.shared).send(value.clone());
        let write = [(SHARED_NAME.to_owned(), Some(value.clone()))].into();
        let Some(status) = site.write(&self.admin, &write).await? else {
            return Ok(None);
        };
        let mut shared = lock(&site.shared);
        if status == StatusCode::OK {
            shared.acknowledged(&value);
            site.acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            expect(status == StatusCode::CONFLICT, || {
                format!("a write of the shared name: {status}")
            })?;
            shared.refused(&value);
        }
        Ok(Some(()))
    }

    /// Reads its own names, which nobody else writes.
    async fn read(&mut self, site: &Site) -> Result<Option<()>> {
        let names: Vec<String> = (0..NAMES).map(|number| self.name(number)).collect();
        let Some(found) = site.read(&self.account, Some(names.iter().collect())).await? else {
            return Ok(None);
        };
        expect(found == *self.own.settled(), || {
            format!(
                "{:?} were read and {:?} are there",
                found.keys(),
                self.own.settled().keys()
            )
        })?;
        Ok(Some(()))
    }

    /// Tries to write or remove what is not its own.
    async fn trespass(&mut self, site: &Site) -> Result<Option<()>> {
        let (method, body) = if self.dice.below(2) == 0 {
            (
                Method::PUT,
                json!({"secrets": [{"id": "nobody/name", "value": "refused"}]}),
            )
        } else {
            (Method::DELETE, json!({"id": SHARED_NAME}))
        };
        site.refused(
            &self.account,
            (method, "/secret-svc/secrets", body),
            StatusCode::FORBIDDEN,
        )
        .await
    }

    fn folder(&self) -> String {
        format!("{}/{}/", self.account.slug, self.number)
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number}", self.folder())
    }

    fn any_name(&mut self) -> String {
        let number = self.dice.below(NAMES);
        self.name(number)
    }

    /// A value that no other write has, now and then too long for its secret's own row.
    fn new_value(&mut self) -> String {
        self.writes += 1;
        let value = format!("{}-{}-", self.number, self.writes);
        let length = if self.dice.below(8) == 0 {
            limits::INLINE_VALUE_BYTES + 1
        } else {
            value.len()
        };
        format!("{value:.<length$}")
    }
}
