//! The engines by their types, so that an op finds its own without the core knowing either.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use strongroom_sdk::{Error, Judge, Upkeep};

/// One engine of each type.
pub struct Engines {
    by_type: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) tended: Vec<Arc<dyn Upkeep>>,
}

impl Engines {
    /// No engine yet; `judge` says what the rules go by at the paths of the ledger.
    #[must_use]
    pub fn new(judge: impl Judge) -> Self {
        Self {
            by_type: HashMap::new(),
            judge: Arc::new(judge),
            tended: Vec::new(),
        }
    }

    /// Adds an engine that has something to do without being asked.
    #[must_use]
    pub fn tending(mut self, engine: impl Upkeep) -> Self {
        self.tended.push(Arc::new(engine));
        self
    }

    /// Adds `engine`, in the place of an earlier one of its type.
    #[must_use]
    pub fn with<E: Send + Sync + 'static>(mut self, engine: E) -> Self {
        self.by_type.insert(TypeId::of::<E>(), Box::new(engine));
        self
    }

    pub(crate) fn get<E: Send + Sync + 'static>(&self) -> Result<&E, Error> {
        let engine = self
            .by_type
            .get(&TypeId::of::<E>())
            .and_then(|engine| engine.downcast_ref());
        engine.ok_or_else(|| Error::internal(format!("no engine {}", std::any::type_name::<E>())))
    }
}
