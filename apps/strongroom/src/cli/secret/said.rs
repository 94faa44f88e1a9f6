//! What can be said of a secret beside its value, as options of a command.

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::secrets::{Care, ListsToSet};

use crate::cli::failure::Failure;
use crate::cli::time::{parse_span, parse_time};

#[derive(Debug, Args)]
pub(super) struct Said {
    /// Who may read it, by slug, separated by commas; these and no others, beside admins
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    readers: Option<Vec<String>>,
    /// Who may replace its value
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    writers: Option<Vec<String>>,
    /// Who may remove it
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    deleters: Option<Vec<String>>,
    /// Who answers for it; its owner and admins may give it to another
    #[arg(long, value_name = "SLUG")]
    owner: Option<String>,
    /// From when on it must not be used any more: 2030-12-31, 2030-12-31T23:59:59Z, or `never`; it may be past already
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<u64>,
    /// How often it has to get a new value: 90d, 12h, or `never`
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    rotate_every: Option<u64>,
    /// A label to set, may be repeated; `KEY=` takes it away
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
}

impl Said {
    /// The lists to set.
    pub(super) fn lists(&self) -> ListsToSet {
        ListsToSet {
            readers: self.readers.clone(),
            writers: self.writers.clone(),
            deleters: self.deleters.clone(),
        }
    }

    /// The rest of what is said.
    pub(super) fn care(&self) -> Result<Care, Failure> {
        let mut labels = BTreeMap::new();
        for label in &self.label {
            // What was typed there is not said again: it may be a value in the wrong place.
            let (key, value) = label
                .split_once('=')
                .ok_or_else(|| Failure::new("a label is given as --label KEY=VALUE"))?;
            labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(Care {
            owner: self.owner.clone(),
            expires: self.expires,
            rotate_every_seconds: self.rotate_every,
            labels,
        })
    }
}
