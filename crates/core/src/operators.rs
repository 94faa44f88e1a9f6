//! What admins do with an open instance as a whole.

use strongroom_sdk::{Error, Permit, Target, ops};

/// The engine of operators' commands.
pub struct Operators;

/// Seal the instance. The gate decides and records; [`crate::house::House::seal`] does it.
pub struct SealInstance;

ops! { Operators:
    SealInstance -> (), "seal.close", Operate, |_| Target::Instance, seal;
}

impl Operators {
    /// Leaves a record, and no more.
    async fn seal(&self, _: &Permit, _: SealInstance) -> Result<(), Error> {
        Ok(())
    }
}
