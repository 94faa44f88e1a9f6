//! The engines by their types, so that an op finds its own without the core knowing either.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use strongroom_sdk::Error;

/// One engine of each type.
#[derive(Default)]
pub struct Engines(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Engines {
    /// Adds `engine`, in the place of an earlier one of its type.
    #[must_use]
    pub fn with<E: Send + Sync + 'static>(mut self, engine: E) -> Self {
        self.0.insert(TypeId::of::<E>(), Box::new(engine));
        self
    }

    pub(crate) fn get<E: Send + Sync + 'static>(&self) -> Result<&E, Error> {
        let engine = self
            .0
            .get(&TypeId::of::<E>())
            .and_then(|engine| engine.downcast_ref());
        engine.ok_or_else(|| Error::internal(format!("no engine {}", std::any::type_name::<E>())))
    }
}
