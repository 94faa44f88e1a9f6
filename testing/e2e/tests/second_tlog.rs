//! Our proofs and notes, checked by Go's `golang.org/x/mod/sumdb`, and its notes by us: two implementations that share
//! no code. Without Go this fails and says so: nothing is skipped.

#![cfg(test)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_e2e::run;
use strongroom_secret::Key;
use strongroom_tlog::{Edge, Hash, Note, Prover, Signer, Tile, TilePath, leaf_hash};

/// Sizes around those where a level of the tree or of the tiles begins, and some between.
const SIZES: [u64; 16] = [
    1, 2, 3, 4, 5, 7, 8, 100, 255, 256, 257, 512, 700, 65_535, 65_536, 65_793,
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hexes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hex(&hash.0)).collect()
}

fn leaf(number: u64) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

/// What Go says of each case, in order.
fn ask_go(cases: &[Value]) -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tlog-go");
    let mut go = Command::new("go");
    go.args(["run", "."]).current_dir(folder);
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let ended = run(go, &lines).context("go is missing: install Go 1.18 or later")?;
    ensure!(ended.code == 0, "go failed: {}", ended.err);
    let answers: Vec<_> = ended.out.lines().map(str::to_owned).collect();
    ensure!(
        answers.len() == cases.len(),
        "{} answers: {}",
        answers.len(),
        ended.err
    );
    Ok(answers)
}

/// The tree of the first `size` leaves: its root, and a prover over its tiles.
fn tree(size: u64) -> (Hash, Prover<impl FnMut(TilePath) -> Result<Tile, TilePath>>) {
    let hashes: Vec<_> = (0..size).map(|number| leaf_hash(&leaf(number))).collect();
    let mut edge = Edge::default();
    let tiles: HashMap<_, _> = edge
        .append(&hashes)
        .into_iter()
        .map(|tile| (tile.path(), tile))
        .collect();
    let read = move |path| tiles.get(&path).cloned().ok_or(path);
    (edge.root(), Prover::new(size, read))
}

/// `case` with one bit of its proof, or of the root where the proof is empty, changed.
fn spoilt(case: &Value) -> Value {
    let flip = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        let (first, rest) = text.split_at(1);
        format!("{}{rest}", if first == "0" { "1" } else { "0" })
    };
    let mut bad = case.clone();
    match case["Path"].get(0) {
        Some(hash) => bad["Path"][0] = flip(hash).into(),
        None => bad["Root"] = flip(&case["Root"]).into(),
    }
    bad
}

#[test]
fn go_accepts_our_proofs_and_no_spoilt_one() -> Result<()> {
    let mut cases = Vec::new();
    for size in SIZES {
        let (root, mut prover) = tree(size);
        for at in [0, size / 3, size / 2, size - 1] {
            let path = prover
                .inclusion(at)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            cases.push(
                json!({"Kind": "inclusion", "Size": size, "Root": hex(&root.0), "At": at,
                              "Leaf": hex(&leaf(at)), "Path": hexes(&path)}),
            );
        }
        for old in SIZES.into_iter().filter(|old| *old <= size) {
            let path = prover
                .consistency(old)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            cases.push(
                json!({"Kind": "consistency", "Size": size, "Root": hex(&root.0), "Old": old,
                              "From": hex(&tree(old).0.0), "Path": hexes(&path)}),
            );
        }
    }
    for (case, answer) in cases.iter().zip(ask_go(&cases)?) {
        assert_eq!(answer, "ok", "{case}");
    }
    let bad: Vec<_> = cases.iter().map(spoilt).collect();
    for (case, answer) in bad.iter().zip(ask_go(&bad)?) {
        assert_ne!(answer, "ok", "{case}");
    }
    Ok(())
}

#[test]
fn notes_are_the_same_to_both() -> Result<()> {
    let seed = [7; 32];
    let signer = Signer::from_seed("instance/1/1", &Key::fill(|key| key.copy_from_slice(&seed)))?;
    let vkey = signer.verifier_key().to_string();
    let text = "instance/1/1\n3\nAAAA\n";
    let ours = signer.sign(text)?.to_string();
    // Go's form of a private key: the vkey's, with the seed in place of the public key.
    let id = vkey.split('+').nth(1).context("no key id")?;
    let private = STANDARD.encode([&[1][..], &seed].concat());
    let skey = format!("PRIVATE+KEY+instance/1/1+{id}+{private}");
    let answers = ask_go(&[
        json!({"Kind": "note", "Key": vkey, "Note": ours}),
        json!({"Kind": "note", "Key": vkey, "Note": ours.replace("\n3\n", "\n4\n")}),
        json!({"Kind": "sign", "Key": skey, "Note": text}),
    ])?;
    assert_eq!(answers[0], "ok");
    assert_ne!(answers[1], "ok");
    assert_eq!(
        answers[2],
        hex(ours.as_bytes()),
        "Ed25519 signs the same way each time"
    );
    assert_eq!(
        Note::parse(ours.as_bytes())?.verify(signer.verifier_key()),
        Ok(text)
    );
    Ok(())
}
