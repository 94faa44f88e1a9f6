//! One method per op.

use std::sync::Arc;

use strongroom_barrier::{Barrier, Rewrap, RootKey, View};
use strongroom_sdk::{Error, Permit};
use strongroom_storage::{Change, Precondition};
use tokio::sync::Notify;

use super::ops::{KeysShown, RotateKeys, Rotated, ShowKeys, StartRewrap};
use crate::superblock::slots_key;

/// The engine of the instance's keys.
pub struct Keys {
    barrier: Arc<Barrier>,
    /// Of the system workspace.
    view: View,
    /// Tells the rewrapper that there is work.
    wake: Arc<Notify>,
}

impl Keys {
    pub(crate) fn new(barrier: Arc<Barrier>, view: View, wake: Arc<Notify>) -> Self {
        Self { barrier, view, wake }
    }

    /// Adds a KEK. What is sealed so far stays as it is, and readable.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another rotation came first, or too many came without a rewrap.
    pub async fn rotate(&self, permit: &Permit, _: RotateKeys) -> Result<Rotated, Error> {
        let mut change = Change::default();
        let kek_epoch = self.barrier.rotate(&mut change).await?;
        permit.commit(change).await.map_err(of_two)?;
        Ok(Rotated { kek_epoch })
    }

    /// Starts a rewrap, unless one runs.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another one was started at the same time.
    pub async fn start_rewrap(&self, permit: &Permit, _: StartRewrap) -> Result<KeysShown, Error> {
        let caller = permit
            .caller()
            .ok_or_else(|| Error::internal("nobody asks for a rewrap"))?;
        let key = Rewrap::key();
        let last = self.view.get::<Rewrap>(&key).await?;
        if last.as_ref().is_none_or(|last| last.record.ended.is_some()) {
            let mut change = Change::default();
            self.view
                .expect(&mut change, &key, last.map(|last| last.revision));
            self.view
                .put(&mut change, &key, &Rewrap::new(caller.id, permit.now()))?;
            permit.commit(change).await.map_err(of_two)?;
        }
        self.wake.notify_one();
        self.shown().await
    }

    /// The keys and the last rewrap.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn show(&self, _: &Permit, _: ShowKeys) -> Result<KeysShown, Error> {
        self.shown().await
    }

    /// Replaces the root key: `wrap` is given a new one and the seal slots as they are stored, and makes of both the slots
    /// to store. The keyring is sealed under the new key in the same commit, so that either the old slots with the old
    /// root key open it, or the new with the new.
    ///
    /// # Errors
    /// Those of `wrap`; [`Error::Conflict`] when keys or slots were changed meanwhile. Nothing was changed then.
    pub async fn replace_root(
        &self,
        permit: &Permit,
        wrap: impl FnOnce(&RootKey, Vec<u8>) -> Result<Vec<u8>, Error> + Send,
    ) -> Result<(), Error> {
        let mut change = Change::default();
        let root = self.barrier.new_root(&mut change).await?;
        let slots = slots_key();
        let row = self.barrier.storage().get(slots.as_bytes()).await;
        let row = row.map_err(|error| Error::Unavailable(error.into()))?;
        change.preconditions.push(Precondition {
            key: slots.as_bytes().to_vec(),
            revision: row.as_ref().map(|row| row.revision),
        });
        let wrapped = wrap(&root, row.map(|row| row.value).unwrap_or_default())?;
        change.puts.push((slots.as_bytes().to_vec(), wrapped));
        let committed = permit.commit(change).await;
        if matches!(committed, Ok(()) | Err(Error::Unavailable(_))) {
            // After a failure of storage it is the new key's turn if, and only if, the commit is there.
            let _ = self.barrier.adopt_root(&root).await;
        }
        committed.map_err(of_two)
    }

    async fn shown(&self) -> Result<KeysShown, Error> {
        let last = self.view.get::<Rewrap>(&Rewrap::key()).await?;
        Ok(KeysShown {
            kek_epochs: self.barrier.kek_epochs().await?,
            rewrap: last.map(|last| last.record),
        })
    }
}

/// Says what a conflict is here.
fn of_two(error: Error) -> Error {
    match error {
        Error::Conflict(_) => Error::Conflict(
            "somebody else changed the keys at the same time, and this request changed nothing: look at them, and repeat \
             it if it is still wanted"
                .to_owned(),
        ),
        error => error,
    }
}
