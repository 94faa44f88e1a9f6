//! The values that every room shares: ids, names, time, randomness, limits.
//!
//! Invariant: no I/O but the system's clock and random numbers, and those only behind [`Clock`] and [`Rng`].

mod clock;
mod ids;
pub mod limits;
mod name;
mod rng;

pub use clock::{Clock, ManualClock, Monotonic, SystemClock, Timestamp, Ttl};
pub use ids::{
    InstanceId, LeaseId, MountId, MountUid, PrincipalId, RequestId, SecretId, WorkspaceId, base62,
};
pub use name::{Name, NameError, Slug, SlugError};
pub use rng::{Rng, SystemRng};
