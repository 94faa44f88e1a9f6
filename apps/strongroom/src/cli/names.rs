//! `strongroom names`: this program is also `oo`, when it is called so.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::shell::quote;

/// The name that makes this program the 1Backend command line.
pub(super) const OO: &str = "oo";

#[derive(Debug, Subcommand)]
pub(super) enum Names {
    Install(Install),
}

/// Make this program callable as `oo`: puts a link into DIR
#[derive(Debug, Args)]
pub(super) struct Install {
    /// Folder for the link, best one of $PATH; it is made if it does not exist
    dir: PathBuf,
}

impl Install {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let program = std::env::current_exe()?;
        let failed = |error| Failure::new(format!("cannot make a link in `{}`: {error}", self.dir.display()));
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let link = self.dir.join(OO);
        if is_foreign(&link, &program).map_err(failed)? {
            return Err(
                Failure::new(format!("`{}` exists and is not this program's", link.display()))
                    .advise("Choose another folder, or remove it first."),
            );
        }
        replace(&link, &program).map_err(failed)?;
        if !on_search_path(&self.dir) {
            let dir = quote(&self.dir.to_string_lossy());
            writeln!(
                console.err,
                "The shell does not look there yet: PATH={dir}:\"$PATH\""
            )?;
        }
        Ok(())
    }
}

/// Whether something is at `link` that is no link to a program of `program`'s name, so to this one or another version.
fn is_foreign(link: &Path, program: &Path) -> io::Result<bool> {
    match fs::read_link(link) {
        Ok(target) => Ok(target.file_name() != program.file_name()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // EINVAL: it exists, and is no link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(true),
        Err(error) => Err(error),
    }
}

fn replace(link: &Path, program: &Path) -> io::Result<()> {
    let new = link.with_extension(format!("{}.new", std::process::id()));
    symlink(program, &new)?;
    fs::rename(&new, link).inspect_err(|_| {
        let _ = fs::remove_file(&new); // the first error is the one to report
    })
}

fn on_search_path(dir: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|known| known == dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_renewed_and_never_put_over_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join(OO);
        let (old, new) = (Path::new("/old/strongroom"), Path::new("/new/strongroom"));
        for program in [old, new] {
            assert!(!is_foreign(&link, program).unwrap());
            replace(&link, program).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), program);
        }
        assert!(is_foreign(&link, Path::new("/bin/other")).unwrap());
        fs::remove_file(&link).unwrap();
        fs::write(&link, "someone's").unwrap();
        assert!(is_foreign(&link, new).unwrap());
    }
}
