//! `oo secret`.

mod is_secure;
mod list;
mod pattern;
mod remove;
mod save;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    Save(save::Save),
    List(list::List),
    Remove(remove::Remove),
    IsSecure(is_secure::IsSecure),
}
