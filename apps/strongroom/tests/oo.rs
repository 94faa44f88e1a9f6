//! `oo` against a server that answers by a script: what it sends, prints and keeps.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Answers `METHOD /path` and its body.
type Script = fn(&str, &str) -> (u16, &'static str);

/// A home directory and the server that its `oo` talks to.
struct World {
    home: tempfile::TempDir,
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

fn world(script: Script) -> World {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    let answer = async move |request: Request| -> Response {
        let (head, body) = request.into_parts();
        let call = format!("{} {}", head.method, head.uri);
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        let (status, reply) = script(&call, &body);
        log.lock().unwrap().push(format!("{call} {body}"));
        (StatusCode::from_u16(status).unwrap(), reply).into_response()
    };
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    World {
        home: tempfile::tempdir().unwrap(),
        url,
        seen,
        _runtime: runtime,
    }
}

impl World {
    /// Runs `oo` with a token for the server.
    fn oo(&self, args: &[&str], stdin: &str) -> Ended {
        self.run(args, stdin, &[("OO_URL", &self.url), ("OO_TOKEN", "jwt")])
    }

    fn run(&self, args: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .arg0("oo")
            .args(args)
            .env_clear()
            .env("HOME", self.home.path());
        command.envs(variables.iter().copied());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

#[derive(Debug, PartialEq)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

fn silent() -> Ended {
    Ended {
        code: 0,
        out: String::new(),
        err: String::new(),
    }
}

#[test]
fn a_login_is_kept_for_the_commands_that_follow() {
    let world = world(|call, _| match call {
        "POST /user-svc/login" => (200, r#"{"token":{"token":"e.y.j"}}"#),
        "POST /user-svc/self" => (
            200,
            r#"{"user":{"id":"usr-1","slug":"alice"},"roles":["user-svc:user"]}"#,
        ),
        _ => (500, ""),
    });
    assert_eq!(world.run(&["env", "add", "here", &world.url], "", &[]), silent());
    assert_eq!(world.run(&["login", "alice"], "a password\n", &[]), silent());
    assert_eq!(
        world.sent(),
        [
            r#"POST /user-svc/login {"appHost":"unnamed","slug":"alice","password":"a password","device":"cli"}"#
        ]
    );
    assert_eq!(world.run(&["token"], "", &[]).out, "e.y.j\n");
    for whoami in [&["whoami"][..], &["user", "whoami"]] {
        let expected = "slug: \"alice\"\nid: \"usr-1\"\nroles: [\"user-svc:user\"]\n";
        assert_eq!(world.run(whoami, "", &[]).out, expected);
    }
    let listed = world.run(&["env", "list"], "", &[]).out;
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with("here") && line.ends_with("true")),
        "{listed}"
    );
    let file = fs::read_to_string(world.home.path().join(".1backend/cliConfig.yaml")).unwrap();
    assert!(!file.contains("a password"));
}

#[test]
fn a_wrong_password_is_said_and_nothing_is_kept() {
    let world = world(|_, _| (401, r#"{"error": "wrong slug or password"}"#));
    let ended = world.run(&["login"], "alice\nhunter2\n", &[("OO_URL", &world.url)]);
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.err,
        "Error: the server refused (401): wrong slug or password\nLog in with `oo login`.\n"
    );
    assert!(!world.home.path().join(".1backend").exists());
}

#[test]
fn save_takes_a_value_from_the_argument_or_from_stdin() {
    let world = world(|_, _| (200, "{}"));
    for (value, stdin) in [("v", ""), ("-", "v\n"), ("-", "v\r\n"), ("-", "v")] {
        assert_eq!(world.oo(&["secret", "save", "K", value], stdin), silent());
        assert_eq!(
            world.sent(),
            [r#"PUT /secret-svc/secrets {"secrets":[{"id":"K","value":"v"}]}"#]
        );
    }
    world.oo(&["secret", "save", "K", "-5"], "");
    world.oo(&["secret", "save", "K", "-"], "a\n\n");
    assert!(world.sent().concat().contains(r#""value":"-5""#));
    assert_eq!(world.oo(&["secret", "save", "K", "-"], "").code, 0);
}

#[test]
fn a_name_that_is_refused_is_tried_once_under_the_slug() {
    let world = world(|call, body| match call {
        "POST /user-svc/self" => (200, r#"{"user":{"id":"usr-1","slug":"alice"}}"#),
        "PUT /secret-svc/secrets" if body.contains(r#""id":"alice/K""#) => (200, "{}"),
        _ => (403, r#"{"error": "no"}"#),
    });
    let ended = world.oo(&["secret", "save", "K", "v"], "");
    assert_eq!(
        ended,
        Ended {
            err: "Saved as `alice/K`: `K` is not yours to write.\n".into(),
            ..silent()
        }
    );
    assert_eq!(world.sent().len(), 3);

    let ended = world.oo(&["secret", "save", "alice/other", "v"], "");
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.starts_with("Error: the server refused (403): no\n"),
        "{}",
        ended.err
    );
    assert_eq!(world.sent().len(), 2, "a name under the slug is not tried again");
}

#[test]
fn list_hides_values_in_a_table_and_shows_them_in_yaml() {
    let world = world(|_, _| {
        (
            200,
            r#"{"secrets":[{"appId":"app-1","id":"b","value":"two"},{"appId":"app-1","id":"a","value":"hunter2","readers":["x","y"]}]}"#,
        )
    });
    let table = "SECRET ID   APP     KEY   LENGTH   VALUE\n\
                 a           app-1   a     7        *******\n\
                 b           app-1   b     3        ***\n";
    assert_eq!(world.oo(&["secret", "list"], "").out, table);
    assert_eq!(world.oo(&["s", "ls", "b"], "").out.lines().count(), 2);
    let shown = world.oo(&["secret", "list", "a", "--show"], "").out;
    assert!(
        shown.starts_with("- id: \"a\"\n  key: \"a\"\n  value: \"hunter2\"\n  readers: [\"x\", \"y\"]\n"),
        "{shown}"
    );
    assert_eq!(world.oo(&["secret", "list", "none", "--show"], "").out, "[]\n");
}

#[test]
fn remove_and_is_secure_speak_to_the_server() {
    let world = world(|_, _| (200, r#"{"isSecure":true}"#));
    assert_eq!(
        world.oo(&["secret", "rm", "-k", "a", "--key", "b", "--id", "c"], ""),
        silent()
    );
    assert_eq!(
        world.sent(),
        [r#"DELETE /secret-svc/secrets {"ids":["a","b","c"]}"#]
    );
    assert_eq!(world.oo(&["secret", "is-secure"], "").out, "Service is secure.\n");
}

#[test]
fn an_insecure_server_ends_a_pipeline() {
    let world = world(|_, _| (200, r#"{"isSecure":false}"#));
    let expected = "Error: secret svc is not secure: it is using the default encryption key from the open-source codebase\n";
    let ended = world.oo(&["secret", "is-secure"], "");
    assert_eq!(
        ended,
        Ended {
            code: 1,
            err: expected.into(),
            ..silent()
        }
    );
}
