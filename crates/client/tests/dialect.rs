//! The client against a server that records what it was sent.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use strongroom_client::{BadReply, Client, ClientError, DEFAULT_APP, Lists, SecretToSave};
use strongroom_secret::SecretText;

/// What every request is answered with, and what the last one was.
struct Script {
    status: StatusCode,
    reply: String,
    seen: Mutex<Vec<String>>,
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let token = head
        .headers
        .get("authorization")
        .map_or("-", |value| value.to_str().unwrap())
        .to_owned();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let line = format!(
        "{} {} {token} {}",
        head.method,
        head.uri,
        String::from_utf8_lossy(&body)
    );
    script.seen.lock().unwrap().push(line);
    let location = [("location", "/elsewhere")];
    (script.status, location, script.reply.clone()).into_response()
}

async fn server(status: u16, reply: &str) -> (Client, Arc<Script>) {
    let script = Arc::new(Script {
        status: StatusCode::from_u16(status).unwrap(),
        reply: reply.to_owned(),
        seen: Mutex::default(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
    tokio::spawn(axum::serve(listener, router).into_future());
    let client = Client::new(&url, None)
        .unwrap()
        .with_token(&text("the-token"))
        .unwrap();
    (client, script)
}

fn text(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn sent(script: &Script) -> Vec<String> {
    script.seen.lock().unwrap().clone()
}

#[tokio::test]
async fn login_and_refresh_give_the_token() {
    let (client, script) = server(200, r#"{"token":{"id":"tok-1","token":"jwt","new":1}}"#).await;
    assert_eq!(
        client
            .login(DEFAULT_APP, "alice", &text("pass"), "cli")
            .await
            .unwrap()
            .expose(),
        "jwt"
    );
    assert_eq!(client.refresh().await.unwrap().expose(), "jwt");
    assert_eq!(
        sent(&script),
        [
            r#"POST /user-svc/login Bearer the-token {"appHost":"unnamed","slug":"alice","password":"pass","device":"cli"}"#,
            "POST /user-svc/refresh-token Bearer the-token ",
        ]
    );
}

#[tokio::test]
async fn whoami_reads_the_account() {
    let reply = r#"{"user":{"id":"usr-1","slug":"alice"},"roles":["user-svc:user"],"tokenCount":1}"#;
    let account = server(200, reply).await.0.whoami().await.unwrap();
    assert_eq!((account.id.as_str(), account.slug.as_str()), ("usr-1", "alice"));
    assert_eq!(account.roles, ["user-svc:user"]);
}

#[tokio::test]
async fn a_save_sends_the_value_and_only_the_lists_that_were_given() {
    let (client, script) = server(200, "{}").await;
    let lists = Lists {
        can_change_readers: Some(vec!["bob".into()]),
        ..Lists::default()
    };
    client
        .save(&[SecretToSave {
            id: "alice/K",
            value: &text("v"),
            lists,
        }])
        .await
        .unwrap();
    assert_eq!(
        sent(&script),
        [
            r#"PUT /secret-svc/secrets Bearer the-token {"secrets":[{"id":"alice/K","value":"v","canChangeReaders":["bob"]}]}"#
        ]
    );
}

#[tokio::test]
async fn a_list_reads_null_lists_and_ignores_what_it_does_not_know() {
    let reply = r#"{"secrets":[{"appId":"app-1","id":"K","value":"v","readers":["a","b"],"writers":null,"more":{}}]}"#;
    let (client, script) = server(200, reply).await;
    let secrets = client.list().await.unwrap();
    assert_eq!(secrets[0].value.expose(), "v");
    assert_eq!(secrets[0].lists.readers.as_deref().unwrap(), ["a", "b"]);
    assert_eq!(secrets[0].lists.writers, None);
    assert_eq!(sent(&script), ["POST /secret-svc/secrets Bearer the-token {}"]);
    assert!(
        server(200, r#"{"secrets":null}"#)
            .await
            .0
            .list()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn remove_and_is_secure_speak_the_dialect() {
    let (client, script) = server(200, r#"{"isSecure":false}"#).await;
    client.remove(&["a".into(), "b".into()]).await.unwrap();
    assert!(!client.is_secure().await.unwrap());
    assert_eq!(
        sent(&script),
        [
            r#"DELETE /secret-svc/secrets Bearer the-token {"ids":["a","b"]}"#,
            "GET /secret-svc/is-secure Bearer the-token ",
        ]
    );
}

#[tokio::test]
async fn a_refusal_carries_the_servers_reason_on_one_clean_line() {
    let (client, script) = server(500, r#"{"error": "no\u001b[31m\nway"}"#).await;
    let error = client.remove(&["a".into()]).await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused (500): no[31mway");
    assert_eq!(sent(&script).len(), 1, "a write is never repeated");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (client, script) = server(307, "").await;
    assert!(matches!(
        client.list().await,
        Err(ClientError::Refused { status: 307, .. })
    ));
    assert_eq!(sent(&script).len(), 1);
}

#[tokio::test]
async fn a_strange_answer_is_not_quoted() {
    let (client, _) = server(200, r#"{"secrets":[{"appId":"a","id":"k","value":918273}]}"#).await;
    let error = client.list().await.unwrap_err();
    assert!(matches!(
        error,
        ClientError::BadReply {
            why: BadReply::Shape,
            ..
        }
    ));
    assert!(!format!("{error} {error:?}").contains("918273"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let client = Client::new("http://127.0.0.1:1", None).unwrap();
    assert!(matches!(
        client.list().await,
        Err(ClientError::Unreachable { .. })
    ));
    assert!(!client.is_reachable().await);
}
