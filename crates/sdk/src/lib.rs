//! What the author of an engine or an auth method sees: [`Op`], one typed request; [`Permit`], all that an engine may
//! act with; [`Guarded`], a row that nobody has decided about yet; [`RowKeeper`], how an engine tells what its rows say of
//! each other; and the one domain [`Error`].

mod error;
mod guarded;
mod judge;
mod mount;
mod op;
mod permit;
mod record;
mod space;
mod upkeep;

pub use error::{Error, NotProved};
pub use guarded::{Guarded, IndexRow, Opened, Protected};
pub use judge::{Judge, Rules};
pub use mount::Mount;
pub use op::{Op, Target};
pub use permit::{Caller, Permit, Surroundings};
pub use record::RequestRecord;
pub use space::{Room, Space};
pub use strongroom_barrier::{RowAtRest, RowFlaw, RowKeeper, Ties};
pub use strongroom_policy::Capability;
pub use upkeep::{Ground, MountTable, Overdue, Upkeep};
