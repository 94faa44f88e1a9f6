//! Several instances in one process: they share no key, table, cache, file or token.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strongroom_e2e::{Caller, files_below, refusal, run};
use strongroom_testkit::{Home, free_port};

const NAMES: [&str; 2] = ["dev", "prod"];

/// One process with both environments.
struct Both {
    home: Home,
    child: Child,
    urls: [String; 2],
}

impl Both {
    fn new() -> Result<Self> {
        let home = Home::new()?;
        let file = home.path().join("both.toml");
        let mut text = "log-level = \"debug\"\n".to_owned();
        for name in NAMES {
            let data = home.path().join(name);
            text += &format!(
                "[environment.{name}]\nlisten = [\"127.0.0.1:0\"]\ndata = \"{}\"\n",
                data.display()
            );
        }
        fs::write(&file, text)?;
        let (child, urls) = start(&home)?;
        Ok(Self { home, child, urls })
    }

    fn restart(&mut self) -> Result<()> {
        self.stop()?;
        (self.child, self.urls) = start(&self.home)?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let id = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success());
        ensure!(self.child.wait()?.success());
        Ok(())
    }

    fn stranger(&self, environment: usize) -> Result<Caller> {
        Caller::new(&self.urls[environment], &Arc::default())
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Starts them, and reads where each is reached.
fn start(home: &Home) -> Result<(Child, [String; 2])> {
    let mut child = server(home)?
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let mut urls = Vec::new();
    for line in lines {
        let line = line?;
        if let Some((_, url)) = line
            .split_once(" at ")
            .filter(|_| line.starts_with("Strongroom is "))
        {
            urls.push(url.to_owned());
        }
        if let ([dev, prod], true) = (&urls[..], line.contains(" operator ")) {
            return Ok((child, [dev.clone(), prod.clone()]));
        }
    }
    anyhow::bail!("it says {urls:?} and ends")
}

fn server(home: &Home) -> Result<Command> {
    let mut command = home.command("strongroom")?;
    command
        .args(["server", "--config"])
        .arg(home.path().join("both.toml"));
    Ok(command)
}

/// An instance of one of them.
struct Made {
    shares: Vec<String>,
    token: String,
}

async fn make(both: &Both, environment: usize) -> Result<Made> {
    let request = json!({"shares": 3, "threshold": 2});
    let reply = both
        .stranger(environment)?
        .native("operator/init", &request)
        .await?;
    ensure!(reply.status == 200, "{}", reply.text);
    let said = reply.json();
    let shares = said["shares"].as_array().context("shares")?;
    let made = Made {
        shares: shares
            .iter()
            .map(|share| share.as_str().unwrap().to_owned())
            .collect(),
        token: said["root_token"].as_str().context("a token")?.to_owned(),
    };
    let admin = both.stranger(environment)?.with(&made.token);
    ensure!(admin.save_value("NAME", NAMES[environment]).await?.status == 200);
    Ok(made)
}

async fn is_sealed(both: &Both, environment: usize) -> Result<bool> {
    let status = both
        .stranger(environment)?
        .send("GET /strongroom/v1/operator/status", "")
        .await?;
    Ok(status.json()["sealed"] == json!(true))
}

#[tokio::test]
async fn two_environments_share_no_key_table_cache_file_or_token() -> Result<()> {
    let mut both = Both::new()?;
    let made = [make(&both, 0).await?, make(&both, 1).await?];

    // Neither token nor table nor cache: each sees its own, and the other's token is nobody's.
    for (environment, other) in [(0, 1), (1, 0)] {
        let own = both.stranger(environment)?.with(&made[environment].token);
        assert_eq!(own.value("NAME").await?.as_deref(), Some(NAMES[environment]));
        let foreign = both.stranger(environment)?.with(&made[other].token);
        assert_eq!(foreign.list(json!({})).await?.status, 401);
        let leaves = foreign.native("audit/leaves", &json!({"from": 0})).await?;
        assert_eq!(
            (leaves.status, leaves.error_kind()),
            (401, "unauthenticated".to_owned()),
            "{}",
            leaves.text
        );
        for call in ["operator/seal", "operator/slots/list", "access/review"] {
            assert_eq!(foreign.native(call, &json!({})).await?.status, 401, "{call}");
        }
    }

    // Nor a seal: closing one leaves the other open, and its shares open nothing.
    let admin = both.stranger(0)?.with(&made[0].token);
    assert_eq!(admin.native("operator/seal", &json!({})).await?.status, 200);
    assert!(is_sealed(&both, 0).await? && !is_sealed(&both, 1).await?);
    let foreign = both
        .stranger(0)?
        .native("operator/unseal", &json!({"share": made[1].shares[0]}))
        .await?;
    assert!(
        foreign.status == 400 && foreign.text.contains("of another set"),
        "{}",
        foreign.text
    );
    for share in &made[0].shares[1..] {
        both.stranger(0)?
            .native("operator/unseal", &json!({ "share": share }))
            .await?;
    }
    assert!(!is_sealed(&both, 0).await?);
    both.restart()?;
    assert!(is_sealed(&both, 0).await? && is_sealed(&both, 1).await?);
    for share in &made[1].shares[1..] {
        both.stranger(1)?
            .native("operator/unseal", &json!({ "share": share }))
            .await?;
    }
    assert!(is_sealed(&both, 0).await? && !is_sealed(&both, 1).await?);
    let prod = both.stranger(1)?.with(&made[1].token);
    assert_eq!(prod.value("NAME").await?.as_deref(), Some("prod"));

    // Nor a file: each ledger is of an instance of its own, and verifies with its own key only.
    both.stop()?;
    let data = NAMES.map(|name| both.home.path().join(name));
    for dir in &data {
        assert!(
            files_below(dir)?
                .iter()
                .any(|file| file.ends_with("strongroom.redb"))
        );
    }
    for (ledger, key, is_own) in [(0, 0, true), (1, 1, true), (0, 1, false), (1, 0, false)] {
        let mut verify = both.home.command("strongroom")?;
        verify
            .args(["audit", "verify"])
            .arg(data[ledger].join("ledger"))
            .arg("--key")
            .arg(data[key].join("ledger.vkey"));
        assert_eq!(
            run(verify, "")?.code == 0,
            is_own,
            "ledger {ledger} with key {key}"
        );
    }
    let copies = data
        .each_ref()
        .map(|dir| fs::read(dir.join("slots.bak")).unwrap());
    assert_ne!(copies[0], copies[1]);
    Ok(())
}

#[tokio::test]
async fn environments_that_would_share_something_do_not_start() -> Result<()> {
    let home = Home::new()?;
    let port = free_port()?;
    let [dev, prod] = NAMES.map(|name| home.path().join(name).display().to_string());
    let link = home.path().join("link");
    fs::create_dir(home.path().join("dev"))?;
    std::os::unix::fs::symlink(&dev, &link)?;
    let link = link.display().to_string();
    let environment = |name: &str, listen: &str, data: &str| {
        format!("[environment.{name}]\nlisten = [\"{listen}\"]\ndata = \"{data}\"\n")
    };
    let (free, taken) = ("127.0.0.1:0", format!("127.0.0.1:{port}"));
    for (text, says) in [
        (
            environment("dev", free, &dev) + &environment("prod", free, &dev),
            "have the same `data`",
        ),
        (
            environment("dev", free, &dev) + &environment("prod", free, &link),
            "another server is running",
        ),
        (
            environment("dev", &taken, &dev) + &environment("prod", &taken, &prod),
            "cannot listen on",
        ),
        (
            environment("dev", free, &dev) + "dtaa = 1\n",
            "both.toml:4:1: `environment.dev.dtaa`: unknown field",
        ),
        (
            format!("data = \"{dev}\"\n") + &environment("prod", free, &prod),
            "belongs into one of them",
        ),
    ] {
        fs::write(home.path().join("both.toml"), &text)?;
        let said = refusal(server(&home)?)?;
        assert!(
            said.contains("exit status: 1") && said.contains(says),
            "{text}: {said}"
        );
        let up = {
            let mut command = home.command("strongroom")?;
            command
                .args(["up", "--config"])
                .arg(home.path().join("both.toml"));
            refusal(command)?
        };
        assert!(up.contains("exit status: 1"), "{up}");
    }
    Ok(())
}
