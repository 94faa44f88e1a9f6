//! What a started server tells the person who started it: where things are, and what to try first.

use std::fmt;
use std::path::Path;

use crate::cli::oo;
use crate::cli::shell::quote;

/// What a server can do so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Serve.
    Open,
    /// Wait for its operators to open the seal.
    Sealed,
    /// Wait for its operator to make the instance.
    NotMade,
}

/// The facts of the message. Nothing in it is secret: it goes to a terminal and into logs.
#[derive(Clone, Copy, Debug)]
pub struct Greeting<'a> {
    /// What the server can do.
    pub state: State,
    /// Whether this start created the instance.
    pub first_start: bool,
    /// Where a client on this machine reaches the server.
    pub url: &'a str,
    /// Storage and ledger.
    pub data_dir: &'a Path,
    /// The key file that unseals the instance, when that is the kind of seal.
    pub key_file: Option<&'a Path>,
    /// The file whose only line is the first administrator's password, while it exists.
    pub credentials_file: Option<&'a Path>,
    /// The ledger's public key.
    pub vkey: &'a Path,
    /// The first administrator.
    pub admin_slug: &'a str,
    /// How this program is called in a shell here.
    pub program: &'a str,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::Open => {
                writeln!(f, "Strongroom is ready at {}\n", self.url)?;
                self.places(f)?;
                if self.first_start {
                    self.first_steps(f)
                } else {
                    Ok(())
                }
            }
            State::Sealed => {
                writeln!(f, "Strongroom is sealed at {}\n", self.url)?;
                self.next_step(f, "unseal", "Each who has a share gives it:")
            }
            State::NotMade => {
                writeln!(f, "Strongroom is not initialized at {}\n", self.url)?;
                let intro = "There is no instance yet. To make one whose key is split among people:";
                self.next_step(f, "init --shares 5 --threshold 3", intro)
            }
        }
    }
}

impl Greeting<'_> {
    fn places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  data         {}", self.data_dir.display())?;
        if let Some(path) = self.key_file {
            writeln!(f, "  key          {}", path.display())?;
            writeln!(
                f,
                "               back it up, apart from the data: without it the data cannot be read"
            )?;
        }
        if let Some(path) = self.credentials_file {
            writeln!(f, "  password     {}", path.display())?;
            writeln!(
                f,
                "               of `{}`; delete the file once it is kept elsewhere",
                self.admin_slug
            )?;
        }
        writeln!(f, "  ledger key   {}", self.vkey.display())?;
        writeln!(
            f,
            "               public: with it, anyone can verify the audit ledger"
        )
    }

    /// Where the data is, and the command that goes on.
    fn next_step(&self, f: &mut fmt::Formatter<'_>, command: &str, intro: &str) -> fmt::Result {
        let Self {
            data_dir,
            program,
            url,
            ..
        } = self;
        writeln!(f, "  data         {}", data_dir.display())?;
        writeln!(f, "\n{intro}\n")?;
        writeln!(f, "  {program} operator {command} --address {url}")
    }

    /// Commands that work as they are pasted, whatever the paths, the port and `$PATH` are.
    fn first_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nTry it, in another terminal:\n")?;
        writeln!(f, "  export PATH=\"$HOME/.local/bin:$PATH\"")?;
        writeln!(f, "  {} names install ~/.local/bin", self.program)?;
        if self.url != oo::FIRST_URL {
            writeln!(f, "  oo env add strongroom {}", quote(self.url))?;
        }
        match self.credentials_file {
            Some(path) => writeln!(
                f,
                "  oo login {} < {}",
                self.admin_slug,
                quote(&path.to_string_lossy())
            )?,
            None => writeln!(f, "  oo login {}", self.admin_slug)?,
        }
        writeln!(f, "  oo secret save GREETING hello")?;
        writeln!(f, "  oo secret list --show")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_start() -> Greeting<'static> {
        Greeting {
            state: State::Open,
            first_start: true,
            url: oo::FIRST_URL,
            data_dir: Path::new("/d"),
            key_file: Some(Path::new("/c/i.key")),
            credentials_file: Some(Path::new("/s/admin's password")),
            vkey: Path::new("/d/ledger.vkey"),
            admin_slug: "admin",
            program: "strongroom",
        }
    }

    /// The indented lines at the end.
    fn commands(greeting: Greeting<'_>) -> Vec<String> {
        let text = greeting.to_string();
        let commands = text
            .split_once("terminal:\n\n")
            .map_or("", |(_, commands)| commands);
        commands.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn the_first_start_says_where_things_are_and_what_to_try() {
        let text = first_start().to_string();
        for place in ["/d\n", "/c/i.key\n", "/s/admin's password\n", "/d/ledger.vkey\n"] {
            assert!(text.contains(place), "{place}");
        }
        assert_eq!(
            commands(first_start()),
            [
                "export PATH=\"$HOME/.local/bin:$PATH\"",
                "strongroom names install ~/.local/bin",
                r"oo login admin < '/s/admin'\''s password'",
                "oo secret save GREETING hello",
                "oo secret list --show",
            ]
        );
    }

    #[test]
    fn another_address_is_made_known_to_oo_first() {
        let commands = commands(Greeting {
            url: "http://127.0.0.1:41234",
            ..first_start()
        });
        assert_eq!(commands[2], "oo env add strongroom http://127.0.0.1:41234");
        assert!(commands[3].starts_with("oo login "));
    }

    #[test]
    fn a_server_that_waits_says_for_what() {
        for (state, says) in [
            (
                State::Sealed,
                "strongroom operator unseal --address http://127.0.0.1:8200\n",
            ),
            (
                State::NotMade,
                "strongroom operator init --shares 5 --threshold 3 --address http://127.0.0.1:8200\n",
            ),
        ] {
            let text = Greeting {
                state,
                ..first_start()
            }
            .to_string();
            assert!(text.ends_with(says) && !text.contains("ready"), "{text}");
        }
    }

    #[test]
    fn a_later_start_does_not_teach() {
        let later = Greeting {
            first_start: false,
            credentials_file: None,
            key_file: None,
            ..first_start()
        };
        assert!(commands(later).is_empty());
        assert!(!later.to_string().contains("password"));
    }
}
