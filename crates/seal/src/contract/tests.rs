//! The kinds of this crate pass the suite, and seals with planted bugs do not.

use async_trait::async_trait;
use strongroom_secret::SecretText;

use super::*;
use crate::{Given, SealKey, ShareSet, Stretch, Threshold, key_file};

/// Key files, environment variables and systemd credentials are keys as texts.
#[tokio::test]
async fn keys_as_texts_pass() {
    let key = |text: &str| SealKey::from_text(&SecretText::new(text.into())).unwrap();
    let (raw, hex) = (
        "0123456789abcdef0123456789ABCDEF",
        "3031323334353637383961626364656630313233343536373839414243444546",
    );
    let other = "0123456789abcdef0123456789ABCDEf";
    check(&key(raw), &key(hex), &key(other)).await.unwrap();
}

#[tokio::test]
async fn key_files_pass() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a"), folder.path().join("b"));
    for path in [&path, &other] {
        key_file::create(path, &SealKey::generate(&SystemRng::default())).unwrap();
    }
    let key = |path| key_file::read(path).unwrap();
    check(&key(&path), &key(&path), &key(&other)).await.unwrap();
}

#[tokio::test]
async fn passphrases_pass() {
    let stretch = Stretch::new(&SystemRng::default());
    let key = |text: &str| {
        let given = Given::read(&SecretText::new(text.into())).unwrap();
        stretch.key(&given.passphrase().unwrap()).unwrap()
    };
    let (words, others) = ("correct horse battery staple", "correct horse battery stapler");
    check(&key(words), &key(words), &key(others)).await.unwrap();
}

#[tokio::test]
async fn shares_pass() {
    let rng = SystemRng::default();
    let new = || ShareSet::generate(Threshold::new(3, 5).unwrap(), &rng).unwrap();
    let ((set, key, texts), (_, other, _)) = (new(), new());
    let text = texts[2..]
        .iter()
        .map(SecretText::expose)
        .collect::<Vec<_>>()
        .join("\n");
    let same = Given::read(&SecretText::new(text))
        .unwrap()
        .share_key(&set)
        .unwrap();
    check(&key, &same, &other).await.unwrap();
}

/// Wraps by XOR with its byte, and has a bug.
struct Broken {
    key: u8,
    bug: Bug,
}

#[derive(Clone, Copy, PartialEq)]
enum Bug {
    NoContext,
    NoTag,
    OneNonce,
    Clear,
    Unsure,
}

#[async_trait]
impl Seal for Broken {
    async fn wrap(&self, root: &RootKey, context: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, SealFault> {
        let inner = self.inner();
        let context = if self.bug == Bug::NoContext { b"" } else { context };
        match self.bug {
            Bug::NoTag => Ok(root.expose().iter().map(|byte| byte ^ self.key).collect()),
            Bug::OneNonce => inner.wrap(root, context, &Zeros).await,
            Bug::Clear => Ok([inner.wrap(root, context, rng).await?, root.expose().to_vec()].concat()),
            Bug::NoContext | Bug::Unsure => inner.wrap(root, context, rng).await,
        }
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<RootKey, SealFault> {
        let inner = self.inner();
        match self.bug {
            Bug::NoTag => strongroom_secret::Key::from_slice(
                &wrapped.iter().map(|byte| byte ^ self.key).collect::<Vec<_>>(),
            )
            .map(RootKey::from_key)
            .ok_or(SealFault::Wrong),
            Bug::NoContext => inner.unwrap(wrapped, b"").await,
            Bug::OneNonce => inner.unwrap(wrapped, context).await,
            Bug::Clear if wrapped.len() == 104 => {
                let root = inner.unwrap(&wrapped[..72], context).await?;
                if root.expose() == &wrapped[72..] {
                    Ok(root)
                } else {
                    Err(SealFault::Wrong)
                }
            }
            Bug::Clear => Err(SealFault::Wrong),
            Bug::Unsure => {
                let root = inner.unwrap(wrapped, context).await;
                root.map_err(|_| SealFault::unreachable("no idea"))
            }
        }
    }
}

impl Broken {
    fn inner(&self) -> SealKey {
        SealKey::from_text(&SecretText::new(format!("{:032}", self.key))).unwrap()
    }
}

struct Zeros;

impl Rng for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

#[tokio::test]
async fn planted_bugs_are_found() {
    for (bug, clause) in [
        (Bug::NoContext, "it_comes_back_for_its_own_context_only"),
        (Bug::NoTag, "it_comes_back_for_its_own_context_only"),
        (Bug::OneNonce, "no_two_wraps_are_the_same"),
        (Bug::Clear, "the_root_key_does_not_show"),
        (Bug::Unsure, "it_comes_back_for_its_own_context_only"),
    ] {
        let seal = |key| Broken { key, bug };
        let found = check(&seal(1), &seal(1), &seal(2)).await.unwrap_err();
        assert_eq!(found.clause, clause);
    }
    let seal = |key| Broken {
        key,
        bug: Bug::OneNonce,
    };
    let found = check(&seal(1), &seal(2), &seal(2)).await.unwrap_err();
    assert_eq!(found.clause, "it_comes_back_after_a_restart");
    let found = check(&seal(1), &seal(1), &seal(1)).await.unwrap_err();
    assert_eq!(found.clause, "another_seal_does_not_open_it");
}
