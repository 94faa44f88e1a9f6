//! Which storage an instance has: a file in the data directory, or a database that several nodes share.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use strongroom_base::{Clock, limits};
use strongroom_ledger::Journal;
use strongroom_secret::SecretText;
use strongroom_storage::{Backend, Embedded, Storage};
use strongroom_storage_postgres::{Database, Settings};
use strongroom_storage_redb::RedbBackend;
use zeroize::Zeroizing;

use super::boot::BootError;
use super::data_dir::DataDir;
use crate::config;

/// Opens the storage of the instance in `data_dir`, which syncs `journal` before each commit: that of `database`, else
/// the embedded one, with `wrap` between it and its committer.
///
/// # Errors
/// [`BootError`]. Nothing was made where the other kind of storage belongs.
pub(super) async fn open<B: Backend>(
    database: Option<&config::Database>,
    data_dir: &DataDir,
    journal: &Arc<Journal>,
    clock: Arc<dyn Clock>,
    wrap: impl FnOnce(RedbBackend) -> B,
) -> Result<Arc<dyn Storage>, BootError> {
    let companion = Arc::new(journal.sync_handle());
    let path = data_dir.storage();
    let Some(database) = database else {
        if data_dir.was_an_instance() && !path.exists() {
            return Err(BootError::Lost);
        }
        let backend = RedbBackend::open(&path, limits::STORAGE_CACHE_BYTES)?;
        return Ok(Arc::new(Embedded::open(wrap(backend), companion)?));
    };
    if path.exists() {
        return Err(BootError::Embedded(data_dir.path().to_owned()));
    }
    let password = database.password_file.as_deref().map(read_password).transpose()?;
    let settings = Settings::new(database.url.as_str(), password.as_ref())?;
    Ok(Arc::new(
        Database::open(settings, clock).await?.storage(companion),
    ))
}

fn read_password(path: &Path) -> Result<SecretText, BootError> {
    let text = fs::read_to_string(path).map_err(|error| BootError::Password(path.to_owned(), error))?;
    let text = Zeroizing::new(text);
    Ok(SecretText::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
