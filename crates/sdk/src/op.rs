//! One typed request to an engine.

use std::future::Future;

use strongroom_policy::Capability;

use crate::{Error, Permit};

/// What a request is about, for the gate to resolve and decide.
#[derive(Debug)]
pub enum Target {
    /// What is open to callers that have not proved themselves.
    Public,
    /// The making of new accounts.
    Registration,
    /// The caller's own account.
    Account,
    /// The instance itself: its seal, its keys, the accounts of others. Admins only.
    Instance,
    /// Mounts of the caller's workspace: its session's (`None`), or those of hosts. Each of them must be allowed.
    Mounts(Vec<Option<String>>),
    /// One mount of the caller's workspace, which is not made if it is not there: its session's (`None`), or that of a
    /// host.
    Mount(Option<String>),
    /// All mounts of the caller's workspace; where that is not allowed, its session's alone.
    EveryMount,
}

/// A typed request: it names what it is about and which method of which engine runs it, so the gate can be generic.
pub trait Op: Sized + Send + 'static {
    /// The engine that runs it.
    type Engine: Send + Sync + 'static;
    /// What it answers.
    type Outcome: Send + 'static;

    /// Its name in the ledger: lower-case words joined by dots or underscores.
    const NAME: &'static str;
    /// What the caller must be allowed to do with [`Op::target`]. Rows are decided one by one later.
    const CAPABILITY: Capability;

    /// What it is about.
    fn target(&self) -> Target;

    /// Runs it. A method of the engine does the work.
    fn run(
        self,
        engine: &Self::Engine,
        permit: &Permit,
    ) -> impl Future<Output = Result<Self::Outcome, Error>> + Send;
}

/// Lists the ops of an engine. Each has its outcome, its name in the ledger, the capability that it takes, what it is
/// about, and the engine's method that runs it:
///
/// ```ignore
/// ops! { Notes:
///     ReadNote -> Note, "note.read", Read, |op| Target::Mounts(vec![op.host.clone()]), read;
/// }
/// ```
#[macro_export]
macro_rules! ops {
    ($engine:ty: $($op:ident -> $outcome:ty, $name:expr, $capability:ident, $target:expr, $run:ident;)+) => {$(
        impl $crate::Op for $op {
            type Engine = $engine;
            type Outcome = $outcome;
            const NAME: &'static str = $name;
            const CAPABILITY: $crate::Capability = $crate::Capability::$capability;

            fn target(&self) -> $crate::Target {
                let target: fn(&Self) -> $crate::Target = $target;
                target(self)
            }

            async fn run(
                self,
                engine: &$engine,
                permit: &$crate::Permit,
            ) -> ::core::result::Result<$outcome, $crate::Error> {
                engine.$run(permit, self).await
            }
        }
    )+};
}
