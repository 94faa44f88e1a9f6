//! The audit ledger through the gate: leaves, what is sealed in them for those who may see it, proofs, and why a request
//! was denied.

mod engine;
mod ops;

pub use engine::Audit;
pub use ops::{
    Explain, Explanation, FindLeaves, GrowthProof, LeafPage, LeafStart, ProveGrowth, ProveLeaf, ReadLeaves,
    Refusal, ShownLeaf,
};
pub use strongroom_ledger::{Disclosure, FieldName, Fields, LeafFacts, Published};
pub use strongroom_tlog::ProofFile;
