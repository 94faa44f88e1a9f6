//! Every route against callers who have not proved who they are. The rows come from the route tables that the router
//! is built from: a route that is added is tried here without anyone thinking of it.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Map, json};
use strongroom_e2e::{World, surface};
use strongroom_jose::TokenSigner;

/// The routes that answer anyone, each because of what is said beside it. Adding one is a decision: review it.
const FOR_ANYONE: [&str; 13] = [
    "GET /healthz",                           // a supervisor has no token; it says nothing but `ok`
    "GET /metrics",                           // for this machine only, which the handler looks at
    "GET /readyz",                            // as /healthz
    "GET /user-svc/public-key",               // whoever verifies a token needs it, and it is public
    "GET /strongroom/v1/openapi.json",        // says what the dialect is, which is public
    "POST /strongroom/v1/login",              // gives the token
    "POST /strongroom/v1/invitations/accept", // whoever has the code is no one yet
    "POST /user-svc/login",                   // gives the token
    "POST /user-svc/register",                // gives the token, where registration is open
    "GET /strongroom/v1/operator/status",     // says whether it is sealed, and how many shares were given
    "POST /strongroom/v1/operator/init", // where there is no instance there is no token; else it is refused
    "POST /strongroom/v1/operator/unseal", // a share is the proof; nobody has a token of a sealed instance
    "POST /strongroom/v1/operator/generate-root", // shares are the proof: nobody may have a token any more
];
/// What closes the server that the tests go on with.
const SEAL: &str = "POST /strongroom/v1/operator/seal";

#[test]
fn the_routes_for_anyone_are_those_that_were_reviewed() {
    let routes = surface::routes();
    let calls: BTreeSet<&str> = routes.iter().map(|row| row.call.as_str()).collect();
    assert_eq!(calls.len(), routes.len(), "a route is there twice");
    let for_anyone: BTreeSet<&str> = routes
        .iter()
        .filter(|row| row.is_for_anyone)
        .map(|row| row.call.as_str())
        .collect();
    assert_eq!(for_anyone, BTreeSet::from(FOR_ANYONE));
}

fn is_native(call: &str) -> bool {
    call.contains(" /strongroom/v1/")
}

#[tokio::test]
async fn every_other_route_refuses_callers_whom_nobody_knows() -> Result<()> {
    let world = World::new(&[])?;
    let elsewhere = World::new(&[])?.admin().await?;
    let claims = Map::from_iter([("1sl".to_owned(), json!("admin"))]);
    let forged = TokenSigner::generate()?.sign(&claims)?;
    let mut tried = 0;
    for row in surface::routes().into_iter().filter(|row| !row.is_for_anyone) {
        for body in [
            "",
            "{}",
            r#"{"secrets":[{"id":"NEW","value":"v"}],"ids":["NEW"]}"#,
        ] {
            let stranger = world.stranger()?;
            let reply = stranger.send(&row.call, body).await?;
            if is_native(&row.call) {
                assert_eq!(
                    (reply.status, reply.error_kind()),
                    (401, "unauthenticated".to_owned()),
                    "{}",
                    row.call
                );
            } else {
                let refused = (422, "422 Unprocessable Entity");
                assert_eq!((reply.status, reply.error()?.as_str()), refused, "{}", row.call);
            }
            for token in ["anything", forged.expose(), elsewhere.token()] {
                let reply = stranger.with(token).send(&row.call, body).await?;
                assert_eq!(reply.status, 401, "{} {}", row.call, reply.text);
                let is_said = if is_native(&row.call) {
                    reply.error_kind() == "unauthenticated"
                } else {
                    reply.error()?.starts_with("Unauthorized")
                };
                assert!(is_said, "{} {}", row.call, reply.text);
            }
        }
        tried += 1;
    }
    assert!(tried > 0);
    assert_eq!(
        world.admin().await?.list(json!({"allApps": true})).await?.names(),
        [""; 0],
        "nothing was done"
    );
    Ok(())
}

#[tokio::test]
async fn the_routes_for_anyone_answer_also_with_a_stale_token() -> Result<()> {
    let world = World::new(&[])?;
    for call in FOR_ANYONE {
        let reply = world.stranger()?.with("stale").send(call, "{}").await?;
        let expected = match call {
            "POST /strongroom/v1/operator/init" => 409, // there is an instance
            _ if call.starts_with("POST") => 400,
            _ => 200,
        };
        assert_eq!(reply.status, expected, "{call}: {}", reply.text);
    }
    Ok(())
}

/// The table is what is served: nothing of it is missing, and nothing beside it answers.
#[tokio::test]
async fn no_other_method_or_path_is_served() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    let routes = surface::routes();
    let calls: BTreeSet<&str> = routes.iter().map(|row| row.call.as_str()).collect();
    let paths: BTreeSet<&str> = calls.iter().filter_map(|call| call.split(' ').nth(1)).collect();
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "LIST", "TRACE", "X-SCAN"] {
            let call = format!("{method} {path}");
            if call == SEAL {
                continue;
            }
            let reply = admin.send(&call, "{}").await?;
            assert_eq!(
                reply.status != 404,
                calls.contains(call.as_str()),
                "{call}: {}",
                reply.text
            );
        }
        for path in [
            format!("{path}/"),
            format!("/{path}"),
            path.to_uppercase(),
            format!("{path}%00"),
        ] {
            for method in ["GET", "POST"] {
                let reply = admin.send(&format!("{method} {path}"), "{}").await?;
                let is_said = reply.text == "404 page not found" || reply.error_kind() == "not_found";
                assert!(reply.status == 404 && is_said, "{method} {path}: {}", reply.text);
            }
        }
    }
    Ok(())
}
