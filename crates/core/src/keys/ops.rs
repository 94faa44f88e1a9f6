//! What can be asked about the keys, and what is answered: plain data.

use strongroom_barrier::Rewrap;
use strongroom_sdk::{Target, ops};

use super::engine::Keys;

/// New keys for what is written from now on: a KEK at once, a DEK for each workspace with its next write. Answers
/// [`Rotated`].
pub struct RotateKeys;

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The epoch of the new KEK.
    pub kek_epoch: u32,
}

/// Seal anew, in the background, what old keys sealed, and drop those. Goes on with one that runs already. Answers
/// [`KeysShown`].
pub struct StartRewrap;

/// Which keys there are, and how far a rewrap has come. Answers [`KeysShown`].
pub struct ShowKeys;

/// The keys.
#[derive(Debug)]
pub struct KeysShown {
    /// The epochs of the KEKs, oldest first: more than one, until a rewrap has dropped the old ones.
    pub kek_epochs: Vec<u32>,
    /// The last rewrap, if there ever was one.
    pub rewrap: Option<Rewrap>,
}

ops! { Keys:
    RotateKeys -> Rotated, "keys.rotate", Operate, |_| Target::Instance, rotate;
    StartRewrap -> KeysShown, "keys.rewrap_start", Operate, |_| Target::Instance, start_rewrap;
    ShowKeys -> KeysShown, "keys.read", Operate, |_| Target::Instance, show;
}
