//! Minting tokens: only this crate makes a session out of a proof.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value};
use strongroom_barrier::{Kind, Record, View};
use strongroom_base::Rng;
use strongroom_jose::TokenSigner;
use strongroom_sdk::{Error, Surroundings};
use strongroom_secret::{SecretBytes, SecretText};
use strongroom_storage::Change;
use tokio::sync::OnceCell;

use crate::accounts::SessionFacts;
use crate::internal;

/// What a token's text looks like.
#[derive(Clone, Copy)]
pub enum TokenForm {
    /// A JWT of ours with the claims that the dialect's clients decode.
    Jwt(fn(&SessionFacts) -> Map<String, Value>),
    /// `hvs.` and 24 random letters and digits, which say nothing.
    Opaque,
}

/// Letters and digits of an opaque token: 142 bits.
const OPAQUE_LENGTH: usize = 24;

/// The stored key: PKCS#8.
#[derive(Encode, Decode)]
pub(crate) struct TokenKeyRecord {
    #[cbor(n(0), with = "strongroom_barrier::cbor::secret_bytes")]
    pkcs8: SecretBytes,
}

impl Record for TokenKeyRecord {}

/// The key that signs this instance's JWTs. It is made when it is first needed: an instance whose clients never ask
/// for a JWT starts without it.
pub(crate) struct TokenKey {
    view: View,
    surroundings: Arc<Surroundings>,
    signer: OnceCell<Arc<TokenSigner>>,
}

impl TokenKey {
    pub(crate) fn new(view: View, surroundings: Arc<Surroundings>) -> Self {
        Self {
            view,
            surroundings,
            signer: OnceCell::new(),
        }
    }

    pub(crate) async fn signer(&self) -> Result<&Arc<TokenSigner>, Error> {
        self.signer.get_or_try_init(|| self.load_or_make()).await
    }

    /// The text of a token for `facts`.
    pub(crate) async fn mint(&self, form: TokenForm, facts: &SessionFacts) -> Result<SecretText, Error> {
        let claims = match form {
            TokenForm::Opaque => return Ok(opaque(&*self.surroundings.rng)),
            TokenForm::Jwt(claims) => claims,
        };
        let (claims, signer) = (claims(facts), self.signer().await?.clone());
        // An RSA signature takes most of a millisecond.
        let signed = tokio::task::spawn_blocking(move || signer.sign(&claims))
            .await
            .map_err(Error::internal)?;
        signed.map_err(Error::internal)
    }

    async fn load_or_make(&self) -> Result<Arc<TokenSigner>, Error> {
        let key = self.view.ordered(Kind::TokenKey, &[&1u32.to_be_bytes()]);
        loop {
            if let Some(stored) = self.view.get::<TokenKeyRecord>(&key).await? {
                let signer = TokenSigner::from_pkcs8(&stored.record.pkcs8).map_err(Error::internal)?;
                return Ok(Arc::new(signer));
            }
            let made = tokio::task::spawn_blocking(TokenSigner::generate)
                .await
                .map_err(Error::internal)?;
            let pkcs8 = made
                .map_err(Error::internal)?
                .to_pkcs8()
                .map_err(Error::internal)?;
            let mut change = Change::default();
            self.view.expect(&mut change, &key, None);
            self.view.put(&mut change, &key, &TokenKeyRecord { pkcs8 })?;
            match internal::commit(&self.surroundings, "token_key.create", None, change).await {
                // Another node has made it: that one is the key.
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn opaque(rng: &dyn Rng) -> SecretText {
    SecretText::new(format!("hvs.{}", random_text(OPAQUE_LENGTH, rng).expose()))
}

/// `length` letters and digits, each equally likely.
#[must_use]
pub fn random_text(length: usize, rng: &dyn Rng) -> SecretText {
    const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length); // never grows, so it leaves no copy behind
    while text.len() < length {
        let mut byte = [0];
        rng.fill(&mut byte);
        let [byte] = byte;
        // Bytes from 248 on would favour the first eight.
        if byte < 248
            && let Some(&character) = CHARACTERS.get(usize::from(byte % 62))
        {
            text.push(char::from(character));
        }
    }
    SecretText::new(text)
}
