//! Planted texts, looked for everywhere a server leaves something. Every route and every command must have a case
//! here that drives it with them, in success and in failure: one that is added without a case fails this test.
//!
//! Values of secrets, passwords and tokens may be nowhere but in the answers that are for them. Names and slugs may be
//! in answers to their caller, but not in the data directory, the log or the metrics.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use strongroom_e2e::{Caller, Canary, Ended, Found, Reply, World, files_below, run, surface};

/// What is planted. Each text is long enough that it comes up nowhere by chance, and every one is in lower case, so
/// that it also fits where only a slug does.
const VALUE: &str = "plantedvalue7q2x9w";
const PASSPHRASE: &str = "plantedpassword4k8z1";
const SLUG: &str = "plantedslug3v6b5n";
const NAME: &str = "plantedname8m2c7y";
/// A token that somebody made up.
const TOKEN: &str = "plantedtoken5t1r9d";
/// A seal key, so 32 characters.
const SEAL_KEY: &str = "planted.seal.key+0123456789abcd/";

/// A world in which the canaries are planted, and everything that it has said.
struct Aviary {
    world: World,
    /// The user called [`SLUG`], whose password is [`PASSPHRASE`].
    planted: Caller,
    /// The token of the administrator.
    admin_token: String,
    /// Standard output and error of the commands, by what they were.
    said: Vec<(String, String)>,
    log: String,
    log_format: &'static str,
}

impl Aviary {
    async fn new(log_format: &'static str) -> Result<Self> {
        let world = World::new(&flags(log_format))?;
        let stranger = world.stranger()?;
        let token = token_of(&stranger.register(SLUG, PASSPHRASE).await?)?;
        let planted = stranger.with(&token);
        let saved = planted
            .save(json!([{"id": format!("{SLUG}/{NAME}"), "value": VALUE, "readers": [SLUG, "later"]}]))
            .await?;
        ensure!(saved.status == 200, "{}", saved.text);
        let admin_token = world.admin().await?.token().to_owned();
        Ok(Self {
            world,
            planted,
            admin_token,
            said: Vec::new(),
            log: String::new(),
            log_format,
        })
    }

    fn name(&self) -> String {
        format!("{SLUG}/{NAME}")
    }

    /// Runs a command and keeps what it says under `what`.
    fn run(&mut self, what: &str, command: Command, stdin: &str, code: i32) -> Result<Ended> {
        let ended = run(command, stdin)?;
        ensure!(
            ended.code == code,
            "{what} ends with {}: {}{}",
            ended.code,
            ended.out,
            ended.err
        );
        self.said
            .push((format!("standard output of {what}"), ended.out.clone()));
        self.said
            .push((format!("standard error of {what}"), ended.err.clone()));
        Ok(ended)
    }

    /// `oo`, as the planted user with `args`; it must end with `code`.
    fn oo(&mut self, args: &[&str], stdin: &str, code: i32) -> Result<Ended> {
        let mut command = self.world.oo(args)?;
        command.env("OO_TOKEN", self.planted.token());
        self.run(&format!("oo {}", args.join(" ")), command, stdin, code)
    }

    /// `oo` with the login that it keeps itself.
    fn oo_logged_in(&mut self, args: &[&str], stdin: &str, code: i32) -> Result<Ended> {
        let command = self.world.oo(args)?;
        self.run(&format!("oo {}", args.join(" ")), command, stdin, code)
    }

    /// `oo` with a settings file that cannot be read, and holds a token.
    fn oo_with_damaged_settings(&mut self, args: &[&str]) -> Result<Ended> {
        let home = self.world.home.path().join("damaged");
        fs::create_dir_all(home.join(".1backend"))?;
        fs::write(
            home.join(".1backend/cliConfig.yaml"),
            format!("environments: [{TOKEN}: {{{PASSPHRASE}\n"),
        )?;
        let mut command = self.world.oo(args)?;
        command.env("HOME", home);
        self.run(&format!("oo {}", args.join(" ")), command, "", 1)
    }

    /// `strongroom`, as the planted user in the native dialect.
    fn native(&mut self, args: &[&str], code: i32) -> Result<Ended> {
        let token = self.planted.token().to_owned();
        self.native_as(&token, args, code)
    }

    /// [`Aviary::native`], with `stdin` to read.
    fn native_reading(&mut self, args: &[&str], stdin: &str, code: i32) -> Result<Ended> {
        let token = self.planted.token().to_owned();
        self.native_given(&token, args, stdin, code)
    }

    fn native_as(&mut self, token: &str, args: &[&str], code: i32) -> Result<Ended> {
        self.native_given(token, args, "", code)
    }

    /// As the administrator, with `stdin` to read.
    fn operator(&mut self, args: &[&str], stdin: &str, code: i32) -> Result<Ended> {
        let token = self.admin_token.clone();
        self.native_given(&token, args, stdin, code)
    }

    fn native_given(&mut self, token: &str, args: &[&str], stdin: &str, code: i32) -> Result<Ended> {
        let mut command = self.strongroom(args)?;
        command
            .env("STRONGROOM_ADDR", self.world.server.url())
            .env("STRONGROOM_TOKEN", token);
        self.run(&format!("strongroom {}", args.join(" ")), command, stdin, code)
    }

    fn strongroom(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.world.home.command("strongroom")?;
        command.args(args);
        Ok(command)
    }

    /// Stops the server, and keeps its log.
    fn stop(&mut self) -> Result<()> {
        self.world.server.terminate()?;
        ensure!(self.world.server.wait()?.success(), "it ends well");
        self.log += &self.world.server.log();
        Ok(())
    }

    /// Starts it again. The planted user goes on with the same token.
    fn start(&mut self) -> Result<()> {
        self.world.server = self.world.home.start(&flags(self.log_format))?;
        self.planted = self.world.stranger()?.with(self.planted.token());
        Ok(())
    }

    /// What is looked for, and whether it is a secret, which names and slugs are not.
    fn canaries(&self) -> Result<Vec<(Canary, bool)>> {
        // Of a token of ours the signature: it alone makes the token, and no claim reads like it.
        let tokens = self
            .world
            .replies()
            .iter()
            .filter_map(|reply| token_of(reply).ok())
            .collect::<Vec<_>>();
        ensure!(!tokens.is_empty(), "there were logins");
        let signature = |token: &str| token.rsplit('.').next().unwrap_or_default().to_owned();
        let mut canaries: Vec<_> = tokens
            .iter()
            .map(|token| (Canary::new("token of a login", &signature(token)), true))
            .collect();
        for (what, text, is_secret) in [
            ("value", VALUE, true),
            ("password", PASSPHRASE, true),
            ("made-up token", TOKEN, true),
            ("seal key", SEAL_KEY, true),
            ("administrator's password", &self.world.home.password()?, true),
            ("slug", SLUG, false),
            ("name", NAME, false),
        ] {
            canaries.push((Canary::new(what, text), is_secret));
        }
        for share in self.shares() {
            canaries.push((Canary::new("share", &share), true));
        }
        Ok(canaries)
    }
}

impl Aviary {
    /// Every share that was made.
    fn shares(&self) -> Vec<String> {
        let answered = self.world.replies().into_iter().flat_map(|reply| {
            let json = reply.json();
            let shares = json.get("shares").and_then(|shares| shares.as_array());
            let texts = shares.into_iter().flatten().filter_map(|share| share.as_str());
            texts.map(str::to_owned).collect::<Vec<_>>()
        });
        let printed = self.said.iter().flat_map(|(_, text)| {
            let words = text.split(|c: char| c.is_whitespace() || "\"[],".contains(c));
            words
                .filter(|word| word.len() > 80 && word.starts_with("srshare1-"))
                .map(str::to_owned)
        });
        answered.chain(printed).collect()
    }
}

fn flags(log_format: &'static str) -> [&'static str; 4] {
    ["--log-level", "trace", "--log-format", log_format]
}

fn token_of(reply: &Reply) -> Result<String> {
    let json = reply.json();
    let token = json
        .pointer("/token/token")
        .or_else(|| json.get("token"))
        .or_else(|| json.get("root_token"));
    let token = token.and_then(|token| token.as_str());
    Ok(token
        .with_context(|| format!("no token in {}", reply.text))?
        .to_owned())
}

/// Drives one route with the canaries, in success and in failure.
async fn drive_route(aviary: &Aviary, call: &str) -> Result<()> {
    let (planted, stranger) = (&aviary.planted, aviary.world.stranger()?);
    let name = aviary.name();
    let expect = |reply: Reply, status: u16| {
        ensure!(
            reply.status == status,
            "{} answers {}: {}",
            reply.call,
            reply.status,
            reply.text
        );
        Ok(reply)
    };
    let account = |slug: &str, password: &str| json!({"appHost": "unnamed", "slug": slug, "password": password, "device": NAME});
    match call {
        "GET /healthz" | "GET /readyz" | "GET /metrics" => {
            expect(planted.send(call, VALUE).await?, 200)?;
            expect(
                stranger
                    .send(&format!("{call}?token={TOKEN}&{NAME}={VALUE}"), "")
                    .await?,
                200,
            )?;
        }
        "POST /user-svc/login" => {
            expect(stranger.ask(call, &account(SLUG, PASSPHRASE)).await?, 200)?;
            expect(stranger.ask(call, &account(SLUG, VALUE)).await?, 401)?;
            expect(stranger.ask(call, &account(NAME, PASSPHRASE)).await?, 401)?;
            // A password where the slug belongs.
            expect(stranger.ask(call, &account(PASSPHRASE, "x")).await?, 401)?;
            expect(
                stranger
                    .ask(call, &account(&PASSPHRASE.to_uppercase(), "x"))
                    .await?,
                400,
            )?;
            expect(
                stranger
                    .ask(
                        call,
                        &json!({"appHost": "unnamed", "slug": [PASSPHRASE], "password": {VALUE: VALUE}}),
                    )
                    .await?,
                400,
            )?;
        }
        "POST /user-svc/register" => {
            expect(stranger.ask(call, &account("newcomer", PASSPHRASE)).await?, 200)?;
            expect(stranger.ask(call, &account(SLUG, PASSPHRASE)).await?, 409)?;
            expect(
                stranger
                    .ask(call, &account("other", &PASSPHRASE.repeat(60)))
                    .await?,
                400,
            )?;
            expect(
                stranger
                    .ask(call, &account(&PASSPHRASE.to_uppercase(), PASSPHRASE))
                    .await?,
                400,
            )?;
        }
        "POST /user-svc/refresh-token" => {
            expect(planted.send(call, "").await?, 200)?;
        }
        "GET /user-svc/public-key" => {
            expect(planted.send(call, VALUE).await?, 200)?;
        }
        "POST /user-svc/self" => {
            expect(planted.ask(call, &json!({"countTokens": true})).await?, 200)?;
            expect(planted.ask(call, &json!({"countTokens": VALUE})).await?, 400)?;
        }
        "POST /secret-svc/secrets" => {
            let own = expect(planted.ask(call, &json!({"id": name})).await?, 200)?;
            ensure!(own.text.contains(VALUE), "its reader gets it: {}", own.text);
            let bystander = aviary.world.user("bystander").await?;
            let others = expect(bystander.ask(call, &json!({"ids": [name]})).await?, 200)?;
            ensure!(others.names().is_empty());
            expect(planted.ask(call, &json!({"id": {VALUE: name}})).await?, 400)?;
            expect(
                planted.ask(call, &json!({"id": format!("{VALUE}/..")})).await?,
                400,
            )?;
        }
        "PUT /secret-svc/secrets" => {
            for (entry, status) in [
                (json!({"id": name, "value": VALUE}), 200),
                (
                    json!({"id": format!("{name}/beside"), "value": VALUE.repeat(1000)}),
                    200,
                ),
                (json!({"id": name, "value": "replaced"}), 200),
                (json!({"id": name, "value": VALUE}), 200),
                (json!({"id": format!("other/{NAME}"), "value": VALUE}), 403),
                (json!({"id": name, "value": VALUE, "appHost": NAME}), 403),
                (json!({"id": format!("{name}/.."), "value": VALUE}), 400),
                (
                    json!({"id": name, "value": VALUE, "readers": [VALUE.to_uppercase()]}),
                    400,
                ),
                (json!({"id": name, "value": VALUE, "encrypted": true}), 400),
                (json!({"id": name, "value": VALUE, "checksum": VALUE}), 400),
                (json!({"id": name, "value": [VALUE]}), 400),
                (json!({"id": name, "value": {VALUE: VALUE}}), 400),
                (json!({"id": name, "value": VALUE, "encrypted": VALUE}), 400),
                (json!({"id": name, "value": VALUE.repeat(60_000)}), 413),
                (json!({"id": name, "value": VALUE.repeat(500_000)}), 413),
            ] {
                expect(planted.save(json!([entry])).await?, status)?;
            }
            let entry = json!({"id": name, "value": VALUE}).to_string();
            for body in [
                format!("{{\"secrets\":[{entry}"),
                format!("{{\"secrets\":[{entry}]}} {VALUE}"),
                format!("{{\"secrets\":[{entry}],\"{VALUE}\":1,\"{VALUE}\":2}}"),
                VALUE.to_owned(),
                format!("\"{VALUE}\""),
            ] {
                expect(planted.send(call, body).await?, 400)?;
            }
        }
        "DELETE /secret-svc/secrets" => {
            let gone = format!("{name}/gone");
            expect(planted.save_value(&gone, VALUE).await?, 200)?;
            expect(planted.remove(&[&gone]).await?, 200)?;
            expect(planted.remove(&[&format!("other/{NAME}")]).await?, 403)?;
            expect(planted.ask(call, &json!({"ids": VALUE})).await?, 400)?;
        }
        "GET /secret-svc/is-secure" => {
            expect(planted.send(call, "").await?, 200)?;
        }
        "GET /strongroom/v1/openapi.json" | "GET /strongroom/v1/whoami" => {
            expect(planted.send(call, VALUE).await?, 200)?;
        }
        "POST /strongroom/v1/login" => {
            let login =
                |slug: &str, password: &str| json!({"slug": slug, "password": password, "device": NAME});
            expect(stranger.ask(call, &login(SLUG, PASSPHRASE)).await?, 200)?;
            expect(stranger.ask(call, &login(SLUG, VALUE)).await?, 401)?;
            expect(
                stranger
                    .ask(call, &json!({"slug": [PASSPHRASE], "password": {VALUE: VALUE}}))
                    .await?,
                400,
            )?;
        }
        "POST /strongroom/v1/audit/leaves" => {
            expect(planted.ask(call, &json!({"last": 100})).await?, 200)?;
            let admin = aviary.world.admin().await?;
            let all = expect(admin.ask(call, &json!({"from": 0})).await?, 200)?;
            ensure!(
                all.text.contains(NAME),
                "an admin sees what is sealed: {}",
                all.text
            );
            expect(planted.ask(call, &json!({"from": VALUE})).await?, 400)?;
        }
        "POST /strongroom/v1/audit/request" | "POST /strongroom/v1/access/explain" => {
            expect(planted.ask(call, &json!({"id": VALUE})).await?, 400)?;
            expect(
                planted
                    .ask(call, &json!({"id": "01a20e85-1d67-749b-9e3b-3437a2bacad8"}))
                    .await?,
                404,
            )?;
        }
        "POST /strongroom/v1/audit/proof" => {
            expect(planted.ask(call, &json!({"index": 0})).await?, 200)?;
            expect(planted.ask(call, &json!({"index": 1_000_000})).await?, 404)?;
            expect(planted.ask(call, &json!({"index": VALUE})).await?, 400)?;
        }
        "POST /strongroom/v1/audit/growth" => {
            expect(planted.ask(call, &json!({"from": 1})).await?, 200)?;
            expect(planted.ask(call, &json!({"from": VALUE})).await?, 400)?;
        }
        "POST /strongroom/v1/access/who-can" => {
            expect(
                planted
                    .ask(call, &json!({"capability": "read", "name": name}))
                    .await?,
                200,
            )?;
            expect(
                planted
                    .ask(
                        call,
                        &json!({"capability": "read", "name": format!("other/{NAME}")}),
                    )
                    .await?,
                404,
            )?;
            expect(
                planted
                    .ask(call, &json!({"capability": VALUE, "name": name}))
                    .await?,
                400,
            )?;
        }
        "POST /strongroom/v1/access/review" => {
            let admin = aviary.world.admin().await?;
            expect(
                admin
                    .ask(call, &json!({"all_apps": true, "readers_over": 1}))
                    .await?,
                200,
            )?;
            expect(planted.ask(call, &json!({})).await?, 403)?;
            expect(planted.ask(call, &json!({"after": [VALUE]})).await?, 400)?;
        }
        "POST /strongroom/v1/access/request" => {
            let asked = |reason: &str| json!({"name": format!("other/{NAME}"), "reason": reason});
            expect(planted.ask(call, &asked(NAME)).await?, 200)?;
            expect(planted.ask(call, &asked(&NAME.repeat(100))).await?, 400)?;
            expect(planted.ask(call, &json!({"name": name})).await?, 400)?;
            expect(
                planted.ask(call, &json!({"name": name, "wanted": VALUE})).await?,
                400,
            )?;
        }
        "POST /strongroom/v1/access/requests" => {
            let curious = aviary.world.user("curious").await?;
            let asked = json!({"name": name, "reason": NAME});
            expect(
                curious.ask("POST /strongroom/v1/access/request", &asked).await?,
                200,
            )?;
            let waiting = expect(planted.ask(call, &json!({})).await?, 200)?;
            ensure!(waiting.text.contains("curious"), "{}", waiting.text);
            expect(planted.ask(call, &json!({"all_apps": VALUE})).await?, 400)?;
        }
        "POST /strongroom/v1/secrets/search" => {
            let found = expect(planted.ask(call, &json!({"text": NAME})).await?, 200)?;
            ensure!(found.text.contains(&name), "{}", found.text);
            expect(planted.ask(call, &json!({"text": VALUE})).await?, 200)?;
            expect(planted.ask(call, &json!({"text": [VALUE]})).await?, 400)?;
        }
        "GET /strongroom/v1/keys" | "POST /strongroom/v1/keys/rotate" | "POST /strongroom/v1/keys/rewrap" => {
            let admin = aviary.world.admin().await?;
            expect(admin.send(call, VALUE).await?, 200)?;
            expect(planted.send(call, VALUE).await?, 403)?;
        }
        _ if ["principals", "tokens", "groups", "invitations"]
            .iter()
            .any(|room| call.starts_with(&format!("POST /strongroom/v1/{room}/"))) =>
        {
            drive_people(aviary, call).await?;
        }
        _ if call.starts_with("POST /strongroom/v1/secrets/") => drive_secrets(aviary, call).await?,
        _ if call.starts_with("POST /strongroom/v1/operator/slots/") => drive_slots(aviary, call).await?,
        _ if call.contains(" /strongroom/v1/operator/") => drive_seal(aviary, call).await?,
        _ => bail!("`{call}` has no case here: drive it with the canaries, well and badly"),
    }
    // Every route also gets a token that nobody knows, and tokens in the URL.
    stranger.with(TOKEN).send(call, VALUE).await?;
    for leak in [
        format!("?access_token={TOKEN}"),
        format!("?{VALUE}={TOKEN}"),
        format!("/{VALUE}"),
        format!("?token={}", planted.token()),
    ] {
        stranger.send(&format!("{call}{leak}"), VALUE).await?;
    }
    Ok(())
}

/// Drives a route of the native dialect's principals and tokens.
async fn drive_people(aviary: &Aviary, call: &str) -> Result<()> {
    let (planted, admin) = (&aviary.planted, aviary.world.admin().await?);
    let account = |slug: &str, password: &str| json!({"kind": "user", "slug": slug, "password": password, "name": NAME});
    let cases = match call {
        "POST /strongroom/v1/principals/add" => vec![
            (&admin, account(&format!("{SLUG}-2"), PASSPHRASE), 200),
            (&admin, account(SLUG, PASSPHRASE), 409),
            (&admin, account(&PASSPHRASE.to_uppercase(), VALUE), 400),
            (
                &admin,
                json!({"kind": VALUE, "slug": SLUG, "password": [PASSPHRASE]}),
                400,
            ),
            (planted, account("other", PASSPHRASE), 403),
        ],
        "POST /strongroom/v1/principals/list" => vec![
            (&admin, json!({}), 200),
            (&admin, json!({"after": [VALUE]}), 400),
            (planted, json!({}), 403),
        ],
        "POST /strongroom/v1/principals/disable" | "POST /strongroom/v1/principals/enable" => vec![
            (&admin, json!({"slug": format!("{SLUG}-2")}), 200),
            (&admin, json!({"slug": "nobody"}), 404),
            (&admin, json!({"slug": VALUE.to_uppercase()}), 400),
            (planted, json!({"slug": SLUG}), 403),
        ],
        "POST /strongroom/v1/groups/join" | "POST /strongroom/v1/groups/leave" => {
            let group = json!({"kind": "group", "slug": format!("{SLUG}-group")});
            let made = admin.ask("POST /strongroom/v1/principals/add", &group).await?;
            ensure!(matches!(made.status, 200 | 409), "{}", made.text);
            vec![
                (
                    &admin,
                    json!({"group": format!("{SLUG}-group"), "member": SLUG}),
                    200,
                ),
                (&admin, json!({"group": SLUG, "member": SLUG}), 400),
                (&admin, json!({"group": "nobody", "member": SLUG}), 404),
                (
                    planted,
                    json!({"group": format!("{SLUG}-group"), "member": SLUG}),
                    403,
                ),
            ]
        }
        "POST /strongroom/v1/invitations/create" => vec![
            (&admin, json!({"slug": format!("{SLUG}-3")}), 200),
            (&admin, json!({"slug": SLUG}), 409),
            (&admin, json!({"slug": [VALUE]}), 400),
            (planted, json!({"slug": "other"}), 403),
        ],
        "POST /strongroom/v1/invitations/accept" => {
            let invited = json!({"slug": format!("{SLUG}-4")});
            let invitation = admin
                .ask("POST /strongroom/v1/invitations/create", &invited)
                .await?;
            let code = invitation.json().get("code").cloned().unwrap_or_default();
            let accept = |slug: &str, code: serde_json::Value| json!({"slug": slug, "code": code, "password": PASSPHRASE, "name": NAME});
            vec![
                (planted, accept(&format!("{SLUG}-4"), json!(VALUE)), 401),
                (planted, accept(&format!("{SLUG}-4"), code.clone()), 200),
                (planted, accept(&format!("{SLUG}-4"), code), 401),
                (planted, accept(SLUG, json!(VALUE)), 401),
                (planted, accept(&PASSPHRASE.to_uppercase(), json!(VALUE)), 400),
                (
                    planted,
                    json!({"slug": SLUG, "code": [VALUE], "password": {VALUE: PASSPHRASE}}),
                    400,
                ),
            ]
        }
        "POST /strongroom/v1/tokens/list" => vec![
            (planted, json!({}), 200),
            (&admin, json!({"slug": SLUG}), 200),
            (planted, json!({"after": VALUE}), 400),
            (planted, json!({"slug": SLUG}), 403),
        ],
        "POST /strongroom/v1/tokens/revoke" => vec![
            (planted, json!({"id": VALUE}), 400),
            (planted, json!({"id": planted.token()}), 400),
            (
                planted,
                json!({"id": "01a20e85-1d67-749b-9e3b-3437a2bacad8"}),
                404,
            ),
        ],
        _ => bail!("`{call}` has no case here: drive it with the canaries, well and badly"),
    };
    for (caller, body, status) in cases {
        let reply = caller.ask(call, &body).await?;
        ensure!(
            reply.status == status,
            "{call} {body} answers {}: {}",
            reply.status,
            reply.text
        );
    }
    Ok(())
}

/// Drives a route of the native dialect's secrets.
async fn drive_secrets(aviary: &Aviary, call: &str) -> Result<()> {
    let (planted, name) = (&aviary.planted, aviary.name());
    let other = format!("other/{NAME}");
    let cases = match call {
        "POST /strongroom/v1/secrets/read" | "POST /strongroom/v1/secrets/describe" => vec![
            (json!({"name": name}), 200),
            (json!({"name": other}), 404),
            (json!({"name": name, "app": NAME}), 403),
            (json!({"name": [VALUE]}), 400),
            (json!({"name": format!("{VALUE}/..")}), 400),
        ],
        "POST /strongroom/v1/secrets/put" => vec![
            (json!({"name": format!("{name}/put"), "value": VALUE}), 200),
            (
                json!({"name": format!("{name}/put"), "value": VALUE, "expected": 7}),
                409,
            ),
            (json!({"name": other, "value": VALUE}), 403),
            (json!({"name": name, "value": [VALUE]}), 400),
            (json!({"name": name, "value": VALUE, "expected": VALUE}), 400),
            (
                json!({"name": name, "value": VALUE, "lists": {"readers": [VALUE.to_uppercase()]}}),
                400,
            ),
            (json!({"name": name, "value": VALUE.repeat(60_000)}), 413),
        ],
        "POST /strongroom/v1/secrets/rollback" => vec![
            (json!({"name": name, "to": 1}), 200),
            (json!({"name": name, "to": 99}), 404),
            (json!({"name": other, "to": 1}), 403),
            (json!({"name": name, "to": VALUE}), 400),
        ],
        "POST /strongroom/v1/secrets/remove" => vec![
            (json!({"name": format!("{name}/put")}), 200),
            (json!({"name": other}), 403),
            (json!({"name": name, "for_good": VALUE}), 400),
        ],
        "POST /strongroom/v1/secrets/undelete" => vec![
            (json!({"name": format!("{name}/put")}), 200),
            (json!({"name": other}), 404),
            (json!({"name": [VALUE]}), 400),
        ],
        "POST /strongroom/v1/secrets/annotate" => vec![
            (
                json!({"name": name, "care": {"expires": 1, "labels": {"team": NAME}, "owner": SLUG}}),
                200,
            ),
            (json!({"name": other}), 403),
            (json!({"name": format!("{name}/none")}), 404),
            (json!({"name": name, "care": {"owner": "nobody-here"}}), 400),
            (
                json!({"name": name, "care": {"labels": {"not a key": VALUE}}}),
                400,
            ),
            (json!({"name": name, "care": {"expires": VALUE}}), 400),
        ],
        "POST /strongroom/v1/secrets/stale" => vec![
            (json!({}), 200),
            (json!({"after": VALUE}), 400),
            (json!({"limit": [VALUE]}), 400),
        ],
        "POST /strongroom/v1/secrets/list" => vec![
            (json!({"prefix": SLUG}), 200),
            (json!({"prefix": VALUE}), 200),
            (json!({"prefix": [VALUE]}), 400),
            (json!({"app": NAME}), 403),
        ],
        _ => bail!("`{call}` has no case here: drive it with the canaries, well and badly"),
    };
    for (body, status) in cases {
        let reply = planted.ask(call, &body).await?;
        ensure!(
            reply.status == status,
            "{call} answers {}: {}",
            reply.status,
            reply.text
        );
    }
    Ok(())
}

/// Drives one route of the seal slots. What an operator calls a slot lies in clear, so it is no canary.
async fn drive_slots(aviary: &Aviary, call: &str) -> Result<()> {
    let admin = aviary.world.stranger()?.with(&aviary.admin_token);
    let cases = match call.rsplit('/').next().unwrap_or_default() {
        "list" => vec![(json!({}), 200)],
        "add" => vec![
            (json!({"kind": "shares", "shares": 5, "threshold": 3}), 200),
            (
                json!({"kind": "shares", "shares": 2, "threshold": 3, "passphrase": VALUE}),
                400,
            ),
            (json!({"kind": "passphrase", "passphrase": PASSPHRASE}), 200),
            (
                json!({"kind": "passphrase", "passphrase": PASSPHRASE.repeat(100)}),
                400,
            ),
            (json!({"kind": "passphrase", "passphrase": [PASSPHRASE]}), 400),
            (
                json!({"kind": "passphrase", "passphrase": PASSPHRASE, "label": "a\nb"}),
                400,
            ),
            (json!({"kind": VALUE, "label": VALUE}), 400),
            (json!({"kind": "env-var"}), 400),
            (json!({"kind": "pkcs11", "token": VALUE, "key": VALUE}), 400),
            (json!({"kind": "systemd-credential", "name": NAME}), 400),
        ],
        "remove" => vec![(json!({"id": 9999}), 404), (json!({"id": VALUE}), 400)],
        "check" => vec![
            (json!({}), 200),
            (json!({"given": PASSPHRASE}), 200),
            (json!({"given": VALUE}), 200),
            (json!({"given": format!("srshare1-{VALUE}")}), 400),
            (json!({"given": format!("{VALUE}\n{PASSPHRASE}")}), 400),
            (json!({"id": [VALUE]}), 400),
        ],
        "drill" => vec![
            (json!({"id": 1}), 200),
            (json!({"id": 3, "given": PASSPHRASE}), 200),
            (json!({"id": 3, "given": VALUE}), 400),
            (json!({"id": 9999, "given": VALUE}), 404),
        ],
        _ => bail!("`{call}` has no case here"),
    };
    for (body, status) in cases {
        let reply = admin.ask(call, &body).await?;
        ensure!(
            reply.status == status,
            "{call} {body}: {} {}",
            reply.status,
            reply.text
        );
        let refused = aviary.planted.ask(call, &body).await?;
        ensure!(
            [400, 403].contains(&refused.status),
            "{call} {body}: {}",
            refused.text
        );
    }
    Ok(())
}

/// Drives one route that opens or closes the server. Whatever it does, the server is open behind it.
async fn drive_seal(aviary: &Aviary, call: &str) -> Result<()> {
    let admin = aviary.world.stranger()?.with(&aviary.admin_token);
    let (stranger, planted) = (aviary.world.stranger()?, &aviary.planted);
    let add = "POST /strongroom/v1/operator/slots/add";
    let wish = json!({"kind": "shares", "shares": 3, "threshold": 2});
    let added = admin.ask(add, &wish).await?;
    ensure!(added.status == 200, "{}", added.text);
    let (slot, shares) = (added.json()["slot"]["id"].clone(), shares_in(&added));
    let cases = match call.rsplit_once("/operator/").map_or("", |(_, name)| name) {
        "status" => vec![(&stranger, json!({}), 200)],
        "init" => vec![
            (
                &stranger,
                json!({"shares": 3, "threshold": 2, "admin": SLUG}),
                409,
            ),
            (&stranger, json!({"shares": VALUE, "threshold": 2}), 400),
        ],
        "unseal" => return drive_unseal(aviary, call, &admin, &shares).await,
        "seal" => vec![
            (planted, json!({ "reason": VALUE }), 403),
            (&admin, json!({ "reason": VALUE }), 200),
        ],
        "generate-root" => vec![
            (&stranger, json!({ "share": VALUE }), 400),
            (&stranger, json!({ "share": shares[0] }), 200),
            (&stranger, json!({"cancel": true}), 200),
            (&stranger, json!({ "share": shares[0] }), 200),
            (&stranger, json!({ "share": shares[2] }), 200),
        ],
        "rekey" => vec![
            (planted, json!({"slot": slot, "shares": 3, "threshold": 2}), 403),
            (&admin, json!({"slot": VALUE, "shares": 3, "threshold": 2}), 400),
            (&admin, json!({"slot": slot, "shares": 3, "threshold": 2}), 200),
        ],
        "rekey/confirm" => vec![
            (planted, json!({ "share": shares[0] }), 403),
            (&admin, json!({ "share": shares[0] }), 400),
            (&admin, json!({ "share": [VALUE] }), 400),
        ],
        "rekey/cancel" => vec![(&admin, json!({}), 200)],
        _ => bail!("`{call}` has no case here"),
    };
    for (caller, body, status) in cases {
        let reply = caller.ask(call, &body).await?;
        ensure!(
            reply.status == status,
            "{call} {body}: {} {}",
            reply.status,
            reply.text
        );
    }
    open(&stranger, &shares).await
}

/// Seals the server, and drives the route that opens it.
async fn drive_unseal(aviary: &Aviary, call: &str, admin: &Caller, shares: &[String]) -> Result<()> {
    let stranger = aviary.world.stranger()?;
    let sealed = admin.ask("POST /strongroom/v1/operator/seal", &json!({})).await?;
    ensure!(sealed.status == 200, "{}", sealed.text);
    for (body, status) in [
        (json!({ "share": shares[0] }), 200),
        (json!({ "share": shares[0] }), 400),
        (json!({ "share": shares[1].get(..50) }), 400),
        (json!({ "share": VALUE }), 400),
        (json!({ "share": {VALUE: shares[1]} }), 400),
        (
            json!({ "share": shares[1], "passphrase": format!("{PASSPHRASE}!") }),
            400,
        ),
        (json!({ "passphrase": format!("{PASSPHRASE}!") }), 400),
        (json!({"reset": true}), 200),
    ] {
        let reply = stranger.ask(call, &body).await?;
        // There may be no slot yet that opens by a passphrase.
        let is_without_slot = body.get("passphrase").is_some() && reply.status == 409;
        ensure!(
            is_without_slot || reply.status == status,
            "{body}: {}",
            reply.text
        );
    }
    // What comes to a sealed server is recorded without anything that it says.
    let login = json!({"slug": SLUG, "password": PASSPHRASE});
    let refused = stranger.ask("POST /user-svc/login", &login).await?;
    ensure!(refused.status == 503, "{}", refused.text);
    let refused = aviary.planted.save_value(&aviary.name(), VALUE).await?;
    ensure!(refused.status == 503, "{}", refused.text);
    open(&stranger, shares).await
}

/// Opens the server, if it is sealed, by two of `shares`.
async fn open(stranger: &Caller, shares: &[String]) -> Result<()> {
    for share in shares.iter().take(2) {
        let unseal = "POST /strongroom/v1/operator/unseal";
        let reply = stranger.ask(unseal, &json!({ "share": share })).await?;
        ensure!(reply.status == 200, "{}", reply.text);
    }
    Ok(())
}

/// The shares that `reply` has.
fn shares_in(reply: &Reply) -> Vec<String> {
    let json = reply.json();
    let shares = json.get("shares").and_then(|shares| shares.as_array());
    let texts = shares.into_iter().flatten().filter_map(|share| share.as_str());
    texts.map(str::to_owned).collect()
}

/// Drives one command that opens or closes the server, which is open behind it.
fn drive_seal_command(aviary: &mut Aviary, name: &str) -> Result<()> {
    let words: Vec<&str> = name.split(' ').skip(1).collect();
    let with = |more: &[&'static str]| [&words[..], more].concat();
    let add = [
        "operator",
        "slots",
        "add",
        "shares",
        "--shares",
        "3",
        "--threshold",
        "2",
    ];
    let added = aviary.operator(&add, "", 0)?;
    let shares: Vec<String> = added.out.lines().map(str::to_owned).collect();
    let slot = added
        .err
        .split_whitespace()
        .nth(1)
        .context("the slot's number")?
        .to_owned();
    let open = |aviary: &mut Aviary| {
        for share in &shares[..2] {
            aviary.native_given("", &["operator", "unseal"], share, 0)?;
        }
        anyhow::Ok(())
    };
    match *words.last().context("no command")? {
        "init" => {
            aviary.native_given("", &with(&[]), "", 1)?;
            aviary.native_given("", &with(&["--admin-slug", SLUG, "--output", "json"]), "", 1)?;
        }
        "status" => {
            aviary.native_given("", &with(&[]), "", 0)?;
            aviary.native_given("", &with(&["--output", "json"]), "", 0)?;
        }
        "seal" => {
            aviary.native(&with(&[]), 1)?;
            aviary.operator(&with(&[]), "", 0)?;
            open(aviary)?;
        }
        "unseal" => {
            aviary.operator(&["operator", "seal", "--output", "json"], "", 0)?;
            aviary.native_given("", &with(&[]), VALUE, 1)?;
            aviary.native_given("", &with(&[]), &shares[2], 0)?;
            aviary.native_given("", &with(&[]), &shares[2], 1)?;
            aviary.native_given("", &with(&["--passphrase"]), VALUE, 1)?;
            aviary.native_given("", &with(&["--reset"]), "", 0)?;
            open(aviary)?;
        }
        "generate-root" => {
            aviary.native_given("", &with(&[]), VALUE, 1)?;
            aviary.native_given("", &with(&[]), &shares[0], 0)?;
            aviary.native_given("", &with(&["--cancel"]), "", 0)?;
            aviary.native_given("", &with(&["--output", "json"]), &shares[0], 0)?;
            aviary.native_given("", &with(&["--output", "json"]), &shares[1], 0)?;
        }
        "rekey" => {
            let rekey = [&words[..], &["--slot", &slot]].concat();
            aviary.native(&rekey, 1)?;
            aviary.operator(&rekey, "", 0)?;
            aviary.operator(&with(&["--confirm"]), &shares[0], 1)?;
            aviary.operator(&with(&["--confirm"]), VALUE, 1)?;
            aviary.operator(&with(&["--cancel"]), "", 0)?;
            aviary.operator(&[&rekey[..], &["--output", "json"]].concat(), "", 0)?;
            aviary.operator(&with(&["--cancel", "--output", "json"]), "", 0)?;
        }
        _ => bail!("`{name}` has no case here"),
    }
    aviary.operator(&["operator", "slots", "remove", &slot], "", 0)?;
    Ok(())
}

/// Drives one command of the seal slots.
fn drive_slot_command(aviary: &mut Aviary, name: &str) -> Result<()> {
    let words: Vec<&str> = name.split(' ').skip(1).collect();
    let with = |more: &[&'static str]| [&words[..], more].concat();
    let cases = match *words.last().context("no command")? {
        "list" => vec![(with(&[]), "", 0), (with(&["--output", "json"]), "", 0)],
        "key-file" => vec![(with(&["--label", "spare"]), "", 0)],
        "env-var" => vec![(with(&[]), VALUE, 1)],
        "passphrase" => vec![(with(&[]), PASSPHRASE, 0), (with(&[]), "short", 1)],
        "shares" => vec![
            (with(&[]), "", 0),
            (with(&["--output", "json"]), "", 0),
            (with(&["--shares", "2", "--threshold", "3"]), "", 1),
        ],
        "pkcs11" => vec![(with(&["--token", NAME]), "", 1)],
        "systemd-credential" => vec![(with(&["--name", NAME]), "", 1)],
        "remove" => vec![(with(&["9999"]), "", 1)],
        "check" => vec![
            (with(&[]), "", 0),
            (with(&["--unseal-from", "-"]), PASSPHRASE, 0),
            (with(&["--unseal-from", "-"]), VALUE, 3),
            (with(&["--unseal-from", "prompt"]), VALUE, 1),
            (with(&["--unseal-from", "/nowhere"]), VALUE, 1),
            (with(&["--drill", "1"]), "", 0),
        ],
        _ => bail!("`{name}` has no case here"),
    };
    for (args, stdin, code) in cases {
        aviary.operator(&args, stdin, code)?;
        aviary.native(&args, 1)?;
    }
    Ok(())
}

/// Drives one command with the canaries, in success and in failure.
fn drive_command(aviary: &mut Aviary, name: &str) -> Result<()> {
    let secret = aviary.name();
    match name {
        "strongroom up" => {
            aviary.said.push((
                "the greeting".to_owned(),
                aviary.world.server.greeting().to_owned(),
            ));
            aviary.stop()?;
            aviary.start()?;
            aviary.said.push((
                "the greeting of a later start".to_owned(),
                aviary.world.server.greeting().to_owned(),
            ));
            let data = aviary.world.home.data().to_string_lossy().into_owned();
            aviary.run(name, aviary.strongroom(&["up", "--data", &data])?, "", 1)?;
            for given in [VALUE, &format!("srshare1-{VALUE}")] {
                let args = ["up", "--data", &data, "--unseal-from", "-"];
                aviary.run(name, aviary.strongroom(&args)?, given, 1)?;
            }
            for key in [SEAL_KEY, &format!("{SEAL_KEY}x")] {
                let other = aviary
                    .world
                    .home
                    .path()
                    .join("other")
                    .to_string_lossy()
                    .into_owned();
                let mut up = aviary.strongroom(&[
                    "up",
                    "--data",
                    &other,
                    "--listen",
                    "192.0.2.1:1",
                    "--insecure-plaintext",
                ])?;
                up.env("STRONGROOM_SEAL_KEY", key);
                aviary.run(name, up, "", 1)?;
            }
        }
        "strongroom names install" => {
            let bin = aviary
                .world
                .home
                .path()
                .join("bin")
                .to_string_lossy()
                .into_owned();
            aviary.run(name, aviary.strongroom(&["names", "install", &bin])?, "", 0)?;
            aviary.run(
                name,
                aviary.strongroom(&["names", "install", "/dev/null"])?,
                "",
                1,
            )?;
        }
        "strongroom audit verify" => {
            // A stopped server has published everything; its ledger is copied, since it soon goes on.
            let copy = aviary.world.home.path().join("ledger");
            aviary.stop()?;
            let data = aviary.world.home.data();
            run(copy_of(&data.join("ledger"), &copy), "")?;
            aviary.start()?;
            let (copy, key) = (
                copy.to_string_lossy().into_owned(),
                data.join("ledger.vkey").to_string_lossy().into_owned(),
            );
            aviary.run(
                name,
                aviary.strongroom(&["audit", "verify", &copy, "--key", &key])?,
                "",
                0,
            )?;
            aviary.run(
                name,
                aviary.strongroom(&["audit", "verify", &copy, "--key", &copy])?,
                "",
                1,
            )?;
        }
        "strongroom audit verify-proof" => {
            let proof = aviary.world.home.path().join("proof");
            fs::write(&proof, VALUE)?;
            let proof = proof.to_string_lossy().into_owned();
            let key = aviary
                .world
                .home
                .data()
                .join("ledger.vkey")
                .to_string_lossy()
                .into_owned();
            aviary.run(
                name,
                aviary.strongroom(&["audit", "verify-proof", &proof, "--key", &key])?,
                "",
                1,
            )?;
        }
        "strongroom audit tail" | "strongroom audit export" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            aviary.native(&args, 0)?;
            aviary.native(&[&args[..], &["--output", "json"]].concat(), 0)?;
            aviary.native_as(TOKEN, &args, 1)?;
        }
        "strongroom audit show" | "strongroom audit prove" | "strongroom explain" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            aviary.native(&[&args[..], &[VALUE]].concat(), 1)?;
            aviary.native_as(TOKEN, &[&args[..], &[VALUE]].concat(), 1)?;
        }
        "strongroom operator scrub" | "strongroom operator check" => {
            let data = aviary.world.home.data().to_string_lossy().into_owned();
            let words: Vec<&str> = name.split(' ').skip(1).collect();
            let look = [&words[..], &["--data", &data]].concat();
            aviary.run(name, aviary.strongroom(&look)?, "", 1)?;
            aviary.stop()?;
            for form in ["table", "json"] {
                let args = [&look[..], &["--output", form]].concat();
                aviary.run(name, aviary.strongroom(&args)?, "", 0)?;
            }
            aviary.start()?;
        }
        "strongroom operator rotate" | "strongroom operator rewrap" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            aviary.native(&args, 1)?; // it is no admin
            aviary.native_as(TOKEN, &args, 1)?;
            let credentials = fs::read_to_string(aviary.world.home.credentials())?;
            let credentials: serde_json::Value = serde_json::from_str(&credentials)?;
            let root = credentials
                .get("root_token")
                .and_then(serde_json::Value::as_str)
                .context("no root token")?
                .to_owned();
            aviary.native_as(&root, &args, 0)?;
            aviary.native_as(&root, &[&args[..], &["--output", "json"]].concat(), 0)?;
        }
        _ if name.starts_with("strongroom operator slots ") => drive_slot_command(aviary, name)?,
        _ if name.starts_with("strongroom operator ") => drive_seal_command(aviary, name)?,
        "strongroom context add" => {
            aviary.native(&["context", "add", NAME, "http://127.0.0.1:1"], 0)?;
            let url = format!("http://{SLUG}:{PASSPHRASE}@127.0.0.1:1/");
            aviary.native(&["context", "add", "bad", &url], 1)?;
        }
        "strongroom context list" => {
            aviary.native(&["context", "list"], 0)?;
        }
        "strongroom context use" => {
            aviary.native(&["context", "use", "local"], 0)?;
            aviary.native(&["context", "use", "nothing"], 1)?;
        }
        "strongroom server" => {
            let data = aviary.world.home.data().to_string_lossy().into_owned();
            aviary.run(name, aviary.strongroom(&["server", "--data", &data])?, "", 1)?;
            let mut command = aviary.strongroom(&["server", "--data", &data])?;
            command.env("STRONGROOM_SEAL_KEY", format!("{SEAL_KEY}x"));
            aviary.run(name, command, "", 1)?;
        }
        "strongroom witness serve" => {
            let dir = aviary
                .world
                .home
                .path()
                .join("witness")
                .to_string_lossy()
                .into_owned();
            let log = fs::read_to_string(aviary.world.home.data().join("ledger.vkey"))?;
            let serve = [
                "witness",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--data",
                &dir,
                "--log",
            ];
            let bad = aviary.strongroom(&[&serve[..], &[VALUE]].concat())?;
            ensure!(run(bad, "")?.code != 0, "a key that is none is refused");
            // It serves until it is told to stop.
            let good = aviary.strongroom(&[&serve[..], &[log.trim_end()]].concat())?;
            let mut command = Command::new("timeout");
            command
                .args(["--preserve-status", "2"])
                .arg(good.get_program())
                .args(good.get_args());
            let envs = good.get_envs().filter_map(|(name, value)| Some((name, value?)));
            command.envs(envs);
            aviary.run(name, command, "", 0)?;
        }
        "strongroom who-can" => {
            aviary.native(&["who-can", "read", &secret], 0)?;
            aviary.native(&["who-can", "read", &format!("other/{NAME}")], 1)?;
        }
        "strongroom request-access" => {
            let other = format!("other/{NAME}");
            aviary.native(&["request-access", &other, "--reason", NAME], 0)?;
            aviary.native(&["request-access", &secret, "--reason", NAME], 1)?;
            aviary.native_as(TOKEN, &["request-access", &other, "--reason", NAME], 1)?;
        }
        "strongroom access requests" => {
            for form in ["table", "json", "yaml", "env"] {
                aviary.native(&["access", "requests", "--output", form], 0)?;
            }
            aviary.native_as(TOKEN, &["access", "requests"], 1)?;
        }
        "strongroom access review" => {
            aviary.native(&["access", "review"], 1)?;
        }
        "strongroom search" | "strongroom secret search" => {
            let args: Vec<&str> = name.split(' ').skip(1).chain([NAME]).collect();
            let found = aviary.native(&args, 0)?;
            ensure!(found.out.contains(&secret), "{}", found.out);
            aviary.native_as(TOKEN, &args, 1)?;
        }
        "strongroom secret get" => {
            for form in ["table", "json", "yaml", "env"] {
                let shown = aviary.native(&["secret", "get", &secret, "--output", form], 0)?;
                ensure!(shown.out.contains(VALUE), "{}", shown.out);
            }
            aviary.native(&["secret", "get", &format!("other/{NAME}")], 1)?;
            aviary.native_as(TOKEN, &["secret", "get", &secret], 1)?;
        }
        "strongroom secret put" => {
            let put = ["secret", "put", &secret];
            aviary.native_reading(&put, VALUE, 0)?;
            aviary.native_reading(&["secret", "put", &format!("other/{NAME}")], VALUE, 1)?;
            aviary.native_reading(&[&put[..], &["--cas", "1"]].concat(), VALUE, 1)?;
            aviary.native_reading(&put, &VALUE.repeat(60_000), 1)?;
            let file = aviary.world.home.path().join("value");
            fs::write(&file, VALUE)?;
            let file = file.to_string_lossy().into_owned();
            aviary.native(&[&put[..], &["--from-file", &file]].concat(), 0)?;
        }
        "strongroom doctor" => {
            for form in ["table", "json", "yaml", "env"] {
                aviary.native(&["doctor", "--output", form], 3)?;
            }
            let data = aviary.world.home.data().to_string_lossy().into_owned();
            aviary.native(&["doctor", "--offline", "--data", &data], 3)?;
            aviary.native_as(TOKEN, &["doctor"], 1)?;
        }
        "strongroom completions" | "strongroom manual" => {
            let pages = aviary
                .world
                .home
                .path()
                .join("man")
                .to_string_lossy()
                .into_owned();
            aviary.run(name, aviary.strongroom(&["completions", "bash"])?, "", 0)?;
            aviary.run(name, aviary.strongroom(&["manual", &pages])?, "", 0)?;
            aviary.run(name, aviary.strongroom(&["manual", "/dev/null/pages"])?, "", 1)?;
        }
        "strongroom secret meta set" => {
            let set = ["secret", "meta", "set", &secret];
            let owner = format!("--owner={SLUG}");
            let label = format!("--label=team={NAME}");
            aviary.native(
                &[&set[..], &["--expires", "2001-01-01", &owner, &label]].concat(),
                0,
            )?;
            aviary.native(&[&set[..], &["--label", VALUE]].concat(), 1)?;
            aviary.native(&["secret", "meta", "set", &format!("other/{NAME}")], 1)?;
        }
        "strongroom secret stale" => {
            for form in ["table", "json", "yaml", "env"] {
                let found = aviary.native(&["secret", "stale", "--output", form], 3)?;
                ensure!(found.out.contains(&secret), "{}", found.out);
            }
            aviary.native_as(TOKEN, &["secret", "stale"], 1)?;
        }
        "strongroom secret list" | "strongroom secret meta get" | "strongroom secret history" => {
            let args: Vec<&str> = name.split(' ').skip(1).chain([secret.as_str()]).collect();
            for form in ["table", "json", "yaml", "env"] {
                aviary.native(&[&args[..], &["--output", form]].concat(), 0)?;
            }
            aviary.native_as(TOKEN, &args, 1)?;
        }
        "strongroom user add" | "strongroom service add" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            let admin = aviary.admin_token.clone();
            let slug = format!("{SLUG}-{}", args.first().unwrap_or(&""));
            let mut command = aviary.strongroom(&[&args[..], &[&slug]].concat())?;
            command
                .env("STRONGROOM_ADDR", aviary.world.server.url())
                .env("STRONGROOM_TOKEN", &admin);
            aviary.run(name, command, &format!("{PASSPHRASE}\n"), 0)?;
            aviary.native_reading(&[&args[..], &["other"]].concat(), PASSPHRASE, 1)?;
            aviary.native_reading(&[&args[..], &[SLUG]].concat(), PASSPHRASE, 1)?;
        }
        "strongroom user list" | "strongroom service list" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            let admin = aviary.admin_token.clone();
            for form in ["table", "json", "yaml", "env"] {
                aviary.native_as(&admin, &[&args[..], &["--output", form]].concat(), 0)?;
            }
            aviary.native(&args, 1)?;
        }
        "strongroom user disable"
        | "strongroom user enable"
        | "strongroom service disable"
        | "strongroom service enable" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            let admin = aviary.admin_token.clone();
            aviary.native_as(&admin, &[&args[..], &[&format!("{SLUG}-2")]].concat(), 0)?;
            aviary.native(&[&args[..], &[SLUG]].concat(), 1)?;
        }
        "strongroom group add" => {
            let admin = aviary.admin_token.clone();
            aviary.native_as(&admin, &["group", "add", &format!("{SLUG}-team")], 0)?;
            aviary.native_as(&admin, &["group", "add", SLUG], 1)?;
            aviary.native(&["group", "add", "other"], 1)?;
        }
        "strongroom group list" | "strongroom group disable" | "strongroom group enable" => {
            let admin = aviary.admin_token.clone();
            let team = format!("{SLUG}-team");
            let mut args: Vec<&str> = name.split(' ').skip(1).collect();
            if name != "strongroom group list" {
                args.push(&team);
            }
            aviary.native_as(&admin, &args, 0)?;
            aviary.native(&args, 1)?;
        }
        "strongroom group join" | "strongroom group leave" => {
            let admin = aviary.admin_token.clone();
            let team = format!("{SLUG}-team");
            let args: Vec<&str> = name.split(' ').skip(1).chain([team.as_str(), SLUG]).collect();
            aviary.native_as(&admin, &args, 0)?;
            aviary.native(&args, 1)?;
        }
        "strongroom invite" => {
            let admin = aviary.admin_token.clone();
            aviary.native_as(&admin, &["invite", &format!("{SLUG}-5")], 0)?;
            aviary.native_as(&admin, &["invite", SLUG], 1)?;
            aviary.native(&["invite", "other"], 1)?;
        }
        "strongroom accept" => {
            let admin = aviary.admin_token.clone();
            let slug = format!("{SLUG}-6");
            let code = aviary.native_as(&admin, &["invite", &slug], 0)?.out;
            let said = format!("{code}{PASSPHRASE}\n");
            aviary.native_reading(&["accept", &slug], &format!("{VALUE}\n{PASSPHRASE}\n"), 1)?;
            aviary.native_reading(&["accept", &slug], &said, 0)?;
            aviary.native_reading(&["accept", &slug], &said, 1)?;
        }
        "strongroom token list" => {
            for form in ["table", "json", "yaml", "env"] {
                aviary.native(&["token", "list", "--output", form], 0)?;
            }
            aviary.native_as(TOKEN, &["token", "list"], 1)?;
        }
        "strongroom token revoke" => {
            let token = aviary.planted.token().to_owned();
            aviary.native(&["token", "revoke", VALUE], 1)?;
            aviary.native_as(
                TOKEN,
                &["token", "revoke", "01a20e85-1d67-749b-9e3b-3437a2bacad8"],
                1,
            )?;
            // A token in the place of its id is not said again.
            let refused = run(aviary.strongroom(&["token", "revoke", &token])?, "")?;
            ensure!(
                refused.code == 1 && !refused.err.contains(&token),
                "{}",
                refused.err
            );
        }
        "strongroom secret rollback" => {
            aviary.native(&["secret", "rollback", &secret, "99"], 1)?;
            aviary.native(&["secret", "rollback", &format!("other/{NAME}"), "1"], 1)?;
        }
        "strongroom secret rm" | "strongroom secret undelete" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            aviary.native(&["secret", "rm", &secret], 0)?;
            aviary.native(&["secret", "undelete", &secret], 0)?;
            aviary.native(&[&args[..], &[&format!("other/{NAME}")]].concat(), 1)?;
            aviary.native_as(TOKEN, &[&args[..], &[&secret]].concat(), 1)?;
        }
        "oo login" => {
            aviary.oo_logged_in(&["login", SLUG], &format!("{PASSPHRASE}\n"), 0)?;
            aviary.oo_logged_in(&["login"], &format!("{SLUG}\n{VALUE}\n"), 1)?;
            aviary.oo_logged_in(
                &["login"],
                &format!("{}\n{PASSPHRASE}\n", PASSPHRASE.to_uppercase()),
                1,
            )?;
        }
        "oo whoami" | "oo user whoami" => {
            let args: Vec<&str> = name.split(' ').skip(1).collect();
            aviary.oo(&args, "", 0)?;
            let mut command = aviary.world.oo(&args)?;
            command.env("OO_TOKEN", TOKEN);
            aviary.run(name, command, "", 1)?;
            let mut command = aviary.world.oo(&args)?;
            command.env("OO_TOKEN", format!("{TOKEN}\n"));
            aviary.run(name, command, "", 1)?;
        }
        "oo token" => {
            let token = aviary.oo_logged_in(&["token"], "", 0)?;
            ensure!(!token.out.trim().is_empty());
            aviary.oo_with_damaged_settings(&["token"])?;
        }
        "oo secret save" => {
            aviary.oo(&["secret", "save", &secret, "-"], VALUE, 0)?;
            aviary.oo(&["secret", "save", NAME, "-"], VALUE, 0)?;
            aviary.oo(&["secret", "save", &format!("{secret}/.."), "-"], VALUE, 1)?;
            aviary.oo(&["secret", "save", &secret, "-"], &VALUE.repeat(60_000), 1)?;
        }
        "oo secret list" => {
            aviary.oo(&["secret", "list"], "", 0)?;
            aviary.oo(&["secret", "list", NAME, "--show"], "", 0)?;
            let mut command = aviary.world.oo(&["secret", "list", "--show"])?;
            command.env("OO_TOKEN", TOKEN);
            aviary.run(name, command, "", 1)?;
        }
        "oo secret remove" => {
            aviary.oo(&["secret", "save", &format!("{secret}/gone"), "-"], VALUE, 0)?;
            aviary.oo(&["secret", "remove", "--key", &format!("{secret}/gone")], "", 0)?;
            aviary.oo(&["secret", "remove", "--key", &format!("other/{NAME}")], "", 1)?;
        }
        "oo secret is-secure" => {
            aviary.oo(&["secret", "is-secure"], "", 0)?;
            aviary.oo_with_damaged_settings(&["secret", "is-secure"])?;
        }
        "oo env add" => {
            aviary.oo(&["env", "add", NAME, "http://127.0.0.1:1"], "", 0)?;
            // A URL that carries a password is one for nobody to print.
            aviary.oo(
                &[
                    "env",
                    "add",
                    "bad",
                    &format!("http://{SLUG}:{PASSPHRASE}@127.0.0.1:1/"),
                ],
                "",
                1,
            )?;
        }
        "oo env list" => {
            aviary.oo(&["env", "list"], "", 0)?;
            aviary.oo_with_damaged_settings(&["env", "list"])?;
        }
        "oo env select" => {
            aviary.oo(&["env", "select", "local"], "", 0)?;
            aviary.oo(&["env", "select", "nothing"], "", 1)?;
        }
        "oo env current" => {
            aviary.oo(&["env", "current"], "", 0)?;
            aviary.oo_with_damaged_settings(&["env", "current"])?;
        }
        "oo env remove" => {
            aviary.oo(&["env", "remove", NAME], "", 0)?;
            aviary.oo(&["env", "remove", "nothing"], "", 1)?;
        }
        _ => bail!("`{name}` has no case here: drive it with the canaries, well and badly"),
    }
    Ok(())
}

fn copy_of(from: &std::path::Path, to: &std::path::Path) -> Command {
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(from).arg(to);
    copy
}

/// Answers that are for secrets: of whom they belong to, asked for on purpose.
fn may_hold(reply: &Reply, found: &Found) -> bool {
    let is_token = found.what == "token of a login";
    match reply.call.as_str() {
        "POST /secret-svc/secrets" | "POST /strongroom/v1/secrets/read" => {
            reply.status == 200 && found.what == "value"
        }
        "POST /user-svc/login"
        | "POST /user-svc/register"
        | "POST /user-svc/refresh-token"
        | "POST /strongroom/v1/login" => reply.status == 200 && is_token,
        "POST /strongroom/v1/operator/slots/add" | "POST /strongroom/v1/operator/rekey" => {
            reply.status == 200 && found.what == "share"
        }
        "POST /strongroom/v1/operator/generate-root" => reply.status == 200 && is_token,
        _ => false,
    }
}

/// As [`may_hold`], for what a command prints.
fn may_print(what: &str, found: &Found) -> bool {
    match found.what {
        "value" => {
            what == format!("standard output of oo secret list {NAME} --show")
                || what.starts_with(&format!(
                    "standard output of strongroom secret get {SLUG}/{NAME} "
                ))
        }
        "token of a login" => {
            what == "standard output of oo token"
                || what == "standard output of strongroom operator generate-root --output json"
        }
        "share" => {
            what.starts_with("standard output of strongroom operator slots add shares")
                || what.starts_with("standard output of strongroom operator rekey --slot")
        }
        _ => false,
    }
}

/// Every secret in what the server answered and what the commands printed, where it may not be.
fn secrets_in_answers(aviary: &Aviary, canaries: &[(Canary, bool)]) -> Vec<Found> {
    let mut found = Vec::new();
    for (canary, _) in canaries.iter().filter(|(_, is_secret)| *is_secret) {
        for reply in aviary.world.replies() {
            let all = format!("{:?} {}", reply.headers, reply.text);
            let call = reply.call.get(..60).unwrap_or(&reply.call);
            let in_reply = canary.find(&format!("the answer {} to {call}", reply.status), all.as_bytes());
            found.extend(in_reply.filter(|found| !may_hold(&reply, found)));
        }
        for (what, text) in &aviary.said {
            found.extend(
                canary
                    .find(what, text.as_bytes())
                    .filter(|found| !may_print(what, found)),
            );
        }
    }
    found
}

/// Every canary in what the server keeps and tells its operators: the data directory, the log, the metrics, its
/// arguments. It has stopped when this returns.
async fn canaries_in_traces(aviary: &mut Aviary, canaries: &[(Canary, bool)]) -> Result<Vec<Found>> {
    let metrics = aviary.world.stranger()?.send("GET /metrics", "").await?.text;
    ensure!(metrics.contains("strongroom_http_requests_total{"), "{metrics}");
    let arguments = fs::read(format!("/proc/{}/cmdline", aviary.world.server.pid()))?;
    let mut found = canaries_in_data(aviary, canaries)?;
    aviary.stop()?;
    found.extend(canaries_in_data(aviary, canaries)?);
    ensure!(
        aviary.log.contains("/secret-svc/secrets"),
        "the log is on: {}",
        aviary.log
    );
    for (canary, _) in canaries {
        found.extend(canary.find("the metrics", metrics.as_bytes()));
        found.extend(canary.find("the log", aviary.log.as_bytes()));
        found.extend(canary.find("the arguments of the server", &arguments));
    }
    Ok(found)
}

fn canaries_in_data(aviary: &Aviary, canaries: &[(Canary, bool)]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut kinds = [
        ("ledger/", false),
        ("journal/", false),
        ("strongroom.redb", false),
    ];
    for file in files_below(&aviary.world.home.data())? {
        // The sequencer replaces partial tiles and drained segments while it runs.
        let Ok(bytes) = fs::read(&file) else { continue };
        let name = file.strip_prefix(aviary.world.home.data())?.display().to_string();
        if name == "reserve" {
            ensure!(bytes.iter().all(|byte| *byte == 0), "the reserve holds something");
            continue;
        }
        for (canary, _) in canaries {
            found.extend(
                canary
                    .find(&name, &bytes)
                    .or_else(|| canary.find("a file's name", name.as_bytes())),
            );
        }
        for (kind, seen) in &mut kinds {
            *seen |= name.starts_with(*kind) && !bytes.is_empty();
        }
    }
    ensure!(
        kinds.iter().all(|(_, seen)| *seen),
        "all was looked at: {kinds:?}"
    );
    Ok(found)
}

async fn no_canary_is_anywhere(log_format: &'static str) -> Result<()> {
    let mut aviary = Aviary::new(log_format).await?;
    for row in surface::routes() {
        drive_route(&aviary, &row.call)
            .await
            .with_context(|| row.call.clone())?;
    }
    for command in surface::commands() {
        drive_command(&mut aviary, &command).with_context(|| command.clone())?;
    }
    let canaries = aviary.canaries()?;
    assert_eq!(secrets_in_answers(&aviary, &canaries), []);
    assert_eq!(canaries_in_traces(&mut aviary, &canaries).await?, []);
    Ok(())
}

#[tokio::test]
async fn no_canary_is_anywhere_with_a_log_for_people() -> Result<()> {
    no_canary_is_anywhere("human").await
}

#[tokio::test]
async fn no_canary_is_anywhere_with_a_log_for_programs() -> Result<()> {
    no_canary_is_anywhere("json").await
}

/// The search itself finds what is planted in each place that it looks at.
#[tokio::test]
async fn a_canary_that_is_there_is_found() -> Result<()> {
    let mut aviary = Aviary::new("json").await?;
    let canaries = aviary.canaries()?;

    // The planted user's own answers are fine where they are, and nowhere else.
    aviary.planted.list(json!({})).await?;
    assert_eq!(secrets_in_answers(&aviary, &canaries), []);
    aviary.said.push((
        "standard error of oo token".to_owned(),
        aviary.planted.token().to_owned(),
    ));
    let found: Vec<_> = secrets_in_answers(&aviary, &canaries)
        .into_iter()
        .map(|found| found.what)
        .collect();
    assert_eq!(found, ["token of a login"]);

    // A case that is missing is missed.
    let error = drive_route(&aviary, "GET /new-svc/route")
        .await
        .err()
        .context("a route without a case")?;
    assert!(error.to_string().contains("has no case here"));
    let error = drive_command(&mut aviary, "oo new command")
        .err()
        .context("a command without a case")?;
    assert!(error.to_string().contains("has no case here"));

    aviary.log = format!("user={SLUG}\n");
    let found = canaries_in_traces(&mut aviary, &canaries).await?;
    assert_eq!(
        found,
        [Found {
            what: "slug",
            form: "text",
            place: "the log".to_owned()
        }]
    );
    let file = aviary.world.home.data().join("journal/planted");
    fs::write(
        file,
        format!("before {} after", STANDARD.encode(format!("x{VALUE}y"))),
    )?;
    let found = canaries_in_data(&aviary, &canaries)?;
    assert_eq!(
        found,
        [Found {
            what: "value",
            form: "base64",
            place: "journal/planted".to_owned()
        }]
    );
    Ok(())
}
