//! What every room shares: ids, names, time, randomness, limits, errors as text.
//!
//! Invariant: no I/O but the system's clock and random numbers, and those only behind [`Clock`] and [`Rng`].

mod causes;
mod clock;
mod ids;
pub mod limits;
mod name;
mod rng;

pub use causes::with_causes;
pub use clock::{Clock, ManualClock, Monotonic, SystemClock, Timestamp, Ttl};
pub use ids::{
    IdText, InstanceId, LeaseId, MountId, MountUid, NodeId, PrincipalId, RequestId, SecretId, WorkspaceId,
    base62,
};
pub use name::{Name, NameError, Slug, SlugError};
pub use rng::{Rng, SystemRng};
