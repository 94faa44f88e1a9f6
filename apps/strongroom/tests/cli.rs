//! The program as a user starts it: names, exit codes, streams, refusals. No server runs here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a program ended, and what it said.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// A call of the program as `name`, in an empty home, with nothing of the caller's environment.
struct Call {
    home: tempfile::TempDir,
    command: Command,
}

fn call(name: &str, args: &[&str]) -> Call {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.arg0(name).args(args).env_clear().env("HOME", home.path());
    Call { home, command }
}

impl Call {
    fn with(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    fn end(self) -> Ended {
        self.end_after_reading("")
    }

    fn end_after_reading(mut self, stdin: &str) -> Ended {
        let command = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// A settings file for `oo` whose user `alice` is logged in to a port that nobody listens on.
fn logged_in(home: &Path) {
    fs::create_dir(home.join(".1backend")).unwrap();
    let text = "selectedEnvironment: x\nenvironments: {x: {url: 'http://127.0.0.1:1', selectedUser: alice, \
                users: {alice: {slug: alice, token: the-token}}}}\n";
    fs::write(home.join(".1backend/cliConfig.yaml"), text).unwrap();
}

#[test]
fn help_is_no_error_and_goes_to_stdout() {
    for (name, args) in [
        ("strongroom", &["--help"][..]),
        ("oo", &["secret", "list", "--help"]),
        ("oo", &["--version"]),
    ] {
        let ended = call(name, args).end();
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{name} {args:?}");
        assert!(!ended.out.is_empty());
    }
}

#[test]
fn the_name_decides_which_command_line_it_is() {
    let usage = |name| call(name, &["--help"]).end().out;
    assert!(usage("oo").contains("Usage: oo "));
    assert!(usage("/some/where/oo").contains("Usage: oo "));
    assert!(usage("strongroom").contains("Usage: strongroom "));
    assert!(usage("anything").starts_with("A secrets manager"));
}

#[test]
fn wrong_usage_ends_with_2_and_stdout_stays_empty() {
    for (name, args) in [
        ("strongroom", &[][..]),
        ("strongroom", &["upp"]),
        ("strongroom", &["up", "--listen", "localhost"]),
        ("strongroom", &["audit", "verify", "dir"]),
        ("oo", &["secret"]),
        ("oo", &["secret", "save", "KEY"]),
        ("oo", &["secret", "remove"]),
        ("oo", &["env", "add", "name"]),
    ] {
        let ended = call(name, args).end();
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (2, ""),
            "{name} {args:?}: {}",
            ended.err
        );
    }
}

#[test]
fn help_does_not_show_what_the_environment_holds() {
    let help = call("strongroom", &["up", "--help"])
        .with("STRONGROOM_DATA", "/planted")
        .end()
        .out;
    assert!(
        help.contains("STRONGROOM_DATA") && !help.contains("planted"),
        "{help}"
    );
}

#[test]
fn up_refuses_what_is_not_safe_before_it_starts() {
    let refused = |call: Call, expected: &str| {
        let ended = call.end();
        assert_eq!((ended.code, ended.out.as_str()), (1, ""));
        assert!(
            ended.err.starts_with(&format!("Error: {expected}")),
            "{}",
            ended.err
        );
    };
    refused(
        call("strongroom", &["up", "--listen", "0.0.0.0:0"]),
        "`0.0.0.0:0` is not a loopback address",
    );
    refused(
        call("strongroom", &["up", "--tls-key", "k"]),
        "--tls-cert and --tls-key belong together",
    );
    refused(
        call("strongroom", &["up", "--config", "/nowhere"]),
        "cannot read `/nowhere`: ",
    );
}

#[test]
fn flags_go_above_the_environment_and_that_above_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    fs::write(&file, "listen = ['192.0.2.3:1']\n").unwrap();
    let up = |flags: &[&str], variable: &str| {
        let args = [&["up", "--config", file.to_str().unwrap()], flags].concat();
        let call = call("strongroom", &args);
        let call = if variable.is_empty() {
            call
        } else {
            call.with("STRONGROOM_LISTEN", variable)
        };
        call.end().err
    };
    assert!(up(&[], "").contains("`192.0.2.3:1` is not"));
    assert!(up(&[], "192.0.2.2:1").contains("`192.0.2.2:1` is not"));
    assert!(up(&[], "127.0.0.1:1,192.0.2.2:1").contains("`192.0.2.2:1` is not"));
    assert!(up(&["--listen", "192.0.2.1:1"], "192.0.2.2:1").contains("`192.0.2.1:1` is not"));
    fs::write(&file, "lisen = 1\n").unwrap();
    assert!(up(&[], "").contains("s.toml:1:1: `lisen`: unknown field"));
}

#[test]
fn names_install_makes_oo_and_overwrites_nothing_foreign() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("new/bin");
    let install = || call("strongroom", &["names", "install", bin.to_str().unwrap()]).end();
    for _ in 0..2 {
        let ended = install();
        assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{}", ended.err);
    }
    let help = Command::new(bin.join("oo")).arg("--help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("Usage: oo "));
    fs::remove_file(bin.join("oo")).unwrap();
    fs::write(bin.join("oo"), "someone's").unwrap();
    let ended = install();
    assert!(
        ended.code == 1 && ended.err.contains("is not this program's"),
        "{}",
        ended.err
    );
    assert_eq!(fs::read_to_string(bin.join("oo")).unwrap(), "someone's");
}

#[test]
fn a_ledger_that_is_not_there_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("ledger.vkey");
    let verify = || {
        call(
            "strongroom",
            &[
                "audit",
                "verify",
                dir.path().to_str().unwrap(),
                "--key",
                key.to_str().unwrap(),
            ],
        )
        .end()
    };
    assert!(verify().err.contains("ledger.vkey`: No such file"));
    fs::write(&key, "not a key\n").unwrap();
    let ended = verify();
    assert!(
        ended.code == 1 && ended.err.starts_with("Error: key `"),
        "{}",
        ended.err
    );
}

#[test]
fn oo_keeps_its_environments_in_a_private_file() {
    let first = call("oo", &["env", "current"]).end();
    assert_eq!((first.code, first.out.as_str()), (0, "local\n"));

    let home = tempfile::tempdir().unwrap();
    let oo = |args: &[&str]| call("oo", args).with("HOME", home.path().to_str().unwrap()).end();
    assert_eq!(
        oo(&["env", "add", "far", "https://192.0.2.1", "the other one"]).code,
        0
    );
    assert_eq!(oo(&["env", "current"]).out, "far\n");
    assert!(oo(&["env", "remove", "far"]).err.contains("`far` is selected"));
    assert!(
        oo(&["env", "select", "nowhere"])
            .err
            .contains("no environment `nowhere`")
    );
    assert!(
        oo(&["env", "add", "bad", "http://me:hunter2@x"])
            .err
            .starts_with("Error: a server's URL is")
    );
    assert_eq!(oo(&["env", "select", "local"]).code, 0);
    assert_eq!(oo(&["env", "remove", "far"]).code, 0);
    assert_eq!(oo(&["env", "current"]).out, "local\n");
}

#[test]
fn oo_without_a_login_says_how_to_get_one() {
    for args in [
        &["whoami"][..],
        &["user", "whoami"],
        &["token"],
        &["secret", "list"],
        &["secret", "is-secure"],
    ] {
        let ended = call("oo", args).end();
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{args:?}");
        assert_eq!(
            ended.err,
            "Error: nobody is logged in to `local`\nLog in with `oo login`.\n"
        );
    }
}

#[test]
fn oo_token_prints_the_token_that_commands_use() {
    let token = || {
        let call = call("oo", &["token"]);
        logged_in(call.home.path());
        call
    };
    assert_eq!(token().end().out, "the-token\n");
    assert_eq!(token().with("OO_TOKEN", "another").end().out, "another\n");
    assert_eq!(token().with("OO_URL", "http://127.0.0.1:2").end().code, 1);
}

#[test]
fn a_server_that_is_not_there_is_named_with_a_way_on() {
    let call = call("oo", &["secret", "save", "KEY", "hunter2"]);
    logged_in(call.home.path());
    let ended = call.end();
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(
        ended
            .err
            .starts_with("Error: no answer from `http://127.0.0.1:1/`: "),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("`strongroom up` starts a server"));
    assert!(!ended.err.contains("hunter2") && !ended.err.contains("the-token"));
}

#[test]
fn login_asks_nothing_without_a_terminal_and_warns_about_a_visible_password() {
    let login = |args: &[&str]| call("oo", &[&["login"], args].concat()).with("OO_URL", "http://127.0.0.1:1");
    let ended = login(&[]).end_after_reading("alice\nhunter2\n");
    assert!(ended.err.starts_with("Error: no answer from"), "{}", ended.err);
    let ended = login(&["alice"]).end_after_reading("");
    assert!(ended.err.starts_with("Error: stdin ended"), "{}", ended.err);
    let ended = login(&["alice", "hunter2"]).end();
    assert!(
        ended.err.starts_with("Warning: ") && !ended.err.contains("hunter2"),
        "{}",
        ended.err
    );
}
