//! Who there is ([`Directory`]) and who is logged in ([`Sessions`]): records of the system workspace.
//!
//! Rows: slug → principal id (names hidden) · principal id → principal · SHA-256 of a token → session, with a row in the
//! expiry index and one by principal. How a caller proves itself is the business of `auth/*`.

mod directory;
mod invitation;
mod session;

pub use directory::{Directory, Principal, PrincipalKind, Standing, principal_key};
pub use invitation::{Invitation, Invitations};
pub use session::{Session, SessionKey, Sessions};

use strongroom_base::MountId;

/// Where the system workspace keeps slugs.
pub const SLUGS: MountId = MountId(0);
