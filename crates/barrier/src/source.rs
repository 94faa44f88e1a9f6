//! What listings show: the children of a folder, and the names that the rows of an index hold.

use std::marker::PhantomData;

use strongroom_base::{Name, limits};

use crate::barrier::BarrierError;
use crate::envelope::Record;
use crate::listing::{Entries, Shape, Source};
use crate::planes::{self, StorageKey};
use crate::view::View;

/// Rows read at once.
const PAGE: usize = 1_000;

/// A record of an index: it holds the name of another one.
pub trait Named: Record {
    /// The name.
    fn into_name(self) -> Name;
}

/// The children of the folder with the key `folder`, by their segments. An item is a token.
pub(crate) struct Children<'v> {
    pub(crate) view: &'v View,
    pub(crate) folder: &'v [u8],
}

impl Source for Children<'_> {
    async fn load(&self) -> Result<Entries, BarrierError> {
        let tokens = self.tokens().await?;
        let names = &self.view.keys.names;
        let segments = names.reveal(self.folder, tokens.iter().map(|(token, _)| &**token))?;
        let mut entries = Entries::default();
        for (segment, (_, shape)) in segments.into_iter().zip(tokens) {
            entries.insert(segment, shape);
        }
        Ok(entries)
    }

    async fn look_at(&self, token: &[u8]) -> Result<Option<(String, Option<Shape>)>, BarrierError> {
        let segments = self.view.keys.names.reveal(self.folder, [token].into_iter())?;
        let child = self.key_of(token);
        let storage = self.view.barrier.storage();
        let keys = storage.keys(planes::under(&child), None, 2).await?;
        let shape = Shape {
            is_record: keys.first() == Some(&child),
            is_folder: keys.last().is_some_and(|last| *last != child),
        };
        let shape = (shape != Shape::default()).then_some(shape);
        Ok(segments.into_iter().next().map(|segment| (segment, shape)))
    }
}

impl Children<'_> {
    /// The tokens of the children, each once, in token order. Below a child that is a folder itself, the scan leaps to
    /// the next child at the end of each page.
    async fn tokens(&self) -> Result<Vec<(Box<[u8]>, Shape)>, BarrierError> {
        let mut children: Vec<(Box<[u8]>, Shape)> = Vec::new();
        let mut range = planes::under(self.folder);
        let mut after = None;
        loop {
            let storage = self.view.barrier.storage();
            let keys = storage.keys(range.clone(), after.take(), PAGE).await?;
            for key in &keys {
                let Some((token, more)) = key.get(self.folder.len()..).and_then(planes::first_token) else {
                    continue;
                };
                if children.last().is_none_or(|(last, _)| **last != *token) {
                    children.push((token.into(), Shape::default()));
                }
                if let Some((_, shape)) = children.last_mut() {
                    shape.is_record |= !more;
                    shape.is_folder |= more;
                }
            }
            if children.len() > limits::FOLDER_CHILDREN {
                return Err(BarrierError::FolderTooLarge);
            }
            let (Some(key), Some((token, shape))) = (keys.last(), children.last()) else {
                return Ok(children);
            };
            if keys.len() < PAGE {
                return Ok(children);
            }
            if shape.is_folder {
                range.start = planes::successor(&self.key_of(token));
            } else {
                after = Some(key.clone());
            }
        }
    }

    fn key_of(&self, token: &[u8]) -> Vec<u8> {
        let mut key = self.folder.to_vec();
        planes::push_token(&mut key, token);
        key
    }
}

/// The names in the rows of an index whose keys are `prefix` and an id; an item is the id.
pub(crate) struct Names<'v, T> {
    view: &'v View,
    prefix: &'v StorageKey,
    row: PhantomData<fn() -> T>,
}

impl<'v, T> Names<'v, T> {
    pub(crate) fn new(view: &'v View, prefix: &'v StorageKey) -> Self {
        Self {
            view,
            prefix,
            row: PhantomData,
        }
    }
}

impl<T: Named> Source for Names<'_, T> {
    async fn load(&self) -> Result<Entries, BarrierError> {
        let View {
            barrier,
            keys,
            workspace,
            ..
        } = self.view;
        let mut entries = Entries::default();
        let mut after = None;
        loop {
            let range = planes::under(self.prefix.as_bytes());
            let rows = barrier
                .scan::<T>(keys, *workspace, range, after.take(), PAGE)
                .await?;
            let is_last = rows.len() < PAGE;
            after = rows.last().map(|(key, ..)| key.as_bytes().to_vec());
            for (_, row, _) in rows {
                entries.insert(text_of(&row.into_name()), NAMED);
            }
            if is_last {
                return Ok(entries);
            }
        }
    }

    async fn look_at(&self, id: &[u8]) -> Result<Option<(String, Option<Shape>)>, BarrierError> {
        let key = StorageKey::from_bytes([self.prefix.as_bytes(), id].concat());
        let stored = self.view.get::<T>(&key).await?;
        // A row that is gone does not say what its name was.
        Ok(stored.map(|stored| (text_of(&stored.record.into_name()), Some(NAMED))))
    }
}

const NAMED: Shape = Shape {
    is_record: true,
    is_folder: false,
};

/// Between the segments of a name in an entry. No segment has it, so that texts sort as names do.
const SEPARATOR: &str = "\0";

pub(crate) fn text_of(name: &Name) -> String {
    name.segments().join(SEPARATOR)
}

pub(crate) fn name_of(text: &str) -> Name {
    Name::from_stored(text.split(SEPARATOR).map(str::to_owned).collect())
}
