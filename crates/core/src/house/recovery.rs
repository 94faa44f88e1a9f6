//! A new root token for those who hold enough shares, when no admin can log in any more.
//!
//! Whoever gives the last share gets the token, of an admin that is made for it: what is done with it can be told from
//! what the others did.

use strongroom_base::Slug;
use strongroom_sdk::Error;
use strongroom_seal::{Progress, SealState, Waiting};
use strongroom_secret::SecretText;

use super::door::share_refusal;
use super::{House, Recover, Visit};
use crate::accounts::{MintRoot, RootProof};
use crate::{Credential, Request};

/// What a step has done.
pub enum Recovery {
    /// More are needed.
    Waiting(Waiting),
    /// They were forgotten.
    Cancelled,
    /// It was the last one that was needed.
    Done(Recovered),
}

/// What is said once, and kept nowhere.
pub struct Recovered {
    /// The new admin.
    pub slug: Slug,
    /// A token of it.
    pub root_token: SecretText,
}

impl House {
    /// Takes a step to a new root token.
    pub(super) async fn recover(&self, visit: &Visit, step: Recover) -> Result<Recovery, Error> {
        let Some(stay) = self.core() else {
            return Err(self.closed());
        };
        let share = match step {
            Recover::Share(share) => share,
            Recover::Cancel => {
                self.door().recovery = None;
                return Ok(Recovery::Cancelled);
            }
        };
        if self.door().recovery.is_none() {
            let (instance, slots) = self.slots().await?;
            let state = SealState::new(instance, &slots);
            self.door().recovery.get_or_insert(state);
        }
        let step = {
            let mut door = self.door();
            // Whoever cancels it in this moment has it begin again with this share.
            let state = door.recovery.as_mut().ok_or_else(cancelled)?;
            state.submit(&visit.source, &share, self.clock.now())
        };
        match step.map_err(share_refusal)? {
            Progress::Waiting(waiting) => Ok(Recovery::Waiting(waiting)),
            Progress::Opened { slot, .. } => {
                self.still_has(slot).await?;
                let request = Request {
                    id: self.new_id(),
                    caller: Credential::None,
                    source: visit.source.clone(),
                    op: MintRoot {
                        proof: RootProof::of_shares(slot),
                    },
                };
                let minted = stay.core.call(request).await?;
                Ok(Recovery::Done(Recovered {
                    slug: minted.facts.slug,
                    root_token: minted.token,
                }))
            }
        }
    }
}

fn cancelled() -> Error {
    Error::Conflict("the shares were forgotten: begin again with the first".to_owned())
}
