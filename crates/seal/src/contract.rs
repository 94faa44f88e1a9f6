//! The suite that every [`Seal`] passes. It reports a [`Violation`] instead of panicking, so that a seal with a planted bug
//! can be shown to fail it.

use strongroom_barrier::RootKey;
use strongroom_base::{Rng, SystemRng};
use strongroom_secret::ct_eq;

use crate::seal::{Seal, SealFault};

/// A clause of the contract that a seal breaks.
#[derive(Debug, thiserror::Error)]
#[error("{clause}: {what}")]
pub struct Violation {
    /// The name of the clause.
    pub clause: &'static str,
    /// What was seen.
    pub what: String,
}

/// Checks every clause: `seal`, and `same` which was reached anew, as after a restart, and `other`, of the same kind and
/// with another key.
///
/// # Errors
/// The first clause that does not hold.
pub async fn check(seal: &dyn Seal, same: &dyn Seal, other: &dyn Seal) -> Result<(), Violation> {
    let rng = SystemRng::default();
    let cx = Cx {
        seal,
        same,
        other,
        rng: &rng,
    };
    macro_rules! check {
        ($($clause:ident)*) => {$(
            if let Err(what) = cx.$clause().await {
                return Err(Violation { clause: stringify!($clause), what });
            }
        )*};
    }
    check! {
        what_was_wrapped_comes_back
        it_comes_back_after_a_restart
        it_comes_back_for_its_own_context_only
        another_seal_does_not_open_it
        what_was_damaged_does_not_open
        what_was_cut_or_lengthened_does_not_open
        the_root_key_does_not_show
        no_two_wraps_are_the_same
    }
    Ok(())
}

struct Cx<'s> {
    seal: &'s dyn Seal,
    same: &'s dyn Seal,
    other: &'s dyn Seal,
    rng: &'s dyn Rng,
}

const CONTEXT: &[u8] = b"slot 1 of an instance";

impl Cx<'_> {
    async fn what_was_wrapped_comes_back(&self) -> Result<(), String> {
        for _ in 0..3 {
            let (root, wrapped) = self.wrapped().await?;
            comes_back(self.seal, &root, &wrapped).await?;
            comes_back(self.seal, &root, &wrapped).await?;
        }
        Ok(())
    }

    async fn it_comes_back_after_a_restart(&self) -> Result<(), String> {
        let (root, wrapped) = self.wrapped().await?;
        comes_back(self.same, &root, &wrapped).await
    }

    async fn it_comes_back_for_its_own_context_only(&self) -> Result<(), String> {
        let (_, wrapped) = self.wrapped().await?;
        let longer = [CONTEXT, b"."].concat();
        let shorter = CONTEXT.split_last().map_or(CONTEXT, |(_, start)| start);
        let others: [&[u8]; 4] = [b"slot 2 of an instance", shorter, b"", &longer];
        for context in others {
            is_wrong(self.seal, &wrapped, context).await?;
        }
        Ok(())
    }

    async fn another_seal_does_not_open_it(&self) -> Result<(), String> {
        let (_, wrapped) = self.wrapped().await?;
        is_wrong(self.other, &wrapped, CONTEXT).await
    }

    async fn what_was_damaged_does_not_open(&self) -> Result<(), String> {
        let (_, wrapped) = self.wrapped().await?;
        for at in 0..wrapped.len() {
            let mut damaged = wrapped.clone();
            if let Some(byte) = damaged.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
            let opened = is_wrong(self.seal, &damaged, CONTEXT).await;
            opened.map_err(|what| format!("byte {at}: {what}"))?;
        }
        Ok(())
    }

    async fn what_was_cut_or_lengthened_does_not_open(&self) -> Result<(), String> {
        let (_, wrapped) = self.wrapped().await?;
        for length in 0..wrapped.len() {
            let cut = wrapped.get(..length).unwrap_or_default();
            let opened = is_wrong(self.seal, cut, CONTEXT).await;
            opened.map_err(|what| format!("{length} bytes: {what}"))?;
        }
        is_wrong(self.seal, &[&wrapped[..], &[0]].concat(), CONTEXT).await
    }

    async fn the_root_key_does_not_show(&self) -> Result<(), String> {
        let (root, wrapped) = self.wrapped().await?;
        let shows = wrapped
            .windows(4)
            .any(|seen| root.expose().windows(4).any(|part| part == seen));
        ensure(!shows, "a part of the root key is in what was wrapped")
    }

    async fn no_two_wraps_are_the_same(&self) -> Result<(), String> {
        let root = RootKey::generate(self.rng);
        let (first, second) = (self.wrap(&root).await?, self.wrap(&root).await?);
        ensure(
            first != second,
            "one root key was wrapped twice, and both are the same",
        )
    }

    async fn wrapped(&self) -> Result<(RootKey, Vec<u8>), String> {
        let root = RootKey::generate(self.rng);
        let wrapped = self.wrap(&root).await?;
        Ok((root, wrapped))
    }

    async fn wrap(&self, root: &RootKey) -> Result<Vec<u8>, String> {
        let wrapped = self.seal.wrap(root, CONTEXT, self.rng).await;
        wrapped.map_err(|error| error.to_string())
    }
}

async fn comes_back(seal: &dyn Seal, root: &RootKey, wrapped: &[u8]) -> Result<(), String> {
    let again = seal
        .unwrap(wrapped, CONTEXT)
        .await
        .map_err(|error| error.to_string())?;
    ensure(ct_eq(again.expose(), root.expose()), "another root key came back")
}

async fn is_wrong(seal: &dyn Seal, wrapped: &[u8], context: &[u8]) -> Result<(), String> {
    match seal.unwrap(wrapped, context).await {
        Err(SealFault::Wrong) => Ok(()),
        Err(error) => Err(format!("it does not say that it is wrong, but: {error}")),
        Ok(_) => Err("it opens".to_owned()),
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

#[cfg(test)]
mod tests;
