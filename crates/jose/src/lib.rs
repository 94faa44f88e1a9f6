//! JSON Web Signatures of ours, for their readers: RS256 (RFC 7518 §3.3) in the compact serialization of RFC 7515 §7.1.
//! The server never verifies them; the session behind a token decides.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use strongroom_secret::{SecretBytes, SecretText};

/// `{"alg":"RS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

/// The provider refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key does not work")]
pub struct JoseError;

/// An RSA key of 2,048 bits that signs tokens.
pub struct TokenSigner(KeyPair);

impl TokenSigner {
    /// A new key. Takes a tenth of a second or more of a core.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn generate() -> Result<Self, JoseError> {
        KeyPair::generate(KeySize::Rsa2048)
            .map(Self)
            .map_err(|_| JoseError)
    }

    /// Reads a key back from its PKCS#8 form.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pkcs8(der: &SecretBytes) -> Result<Self, JoseError> {
        KeyPair::from_pkcs8(der.expose()).map(Self).map_err(|_| JoseError)
    }

    /// The key in PKCS#8 (RFC 5958), for storage.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn to_pkcs8(&self) -> Result<SecretBytes, JoseError> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|_| JoseError)?;
        Ok(SecretBytes::new(der.as_ref().to_vec()))
    }

    /// The public key: PEM of a PKIX `SubjectPublicKeyInfo` (RFC 7468 §13).
    ///
    /// # Errors
    /// When the provider fails.
    pub fn public_pem(&self) -> Result<String, JoseError> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().map_err(|_| JoseError)?;
        let body = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..body.len())
            .step_by(64)
            .filter_map(|at| body.get(at..body.len().min(at + 64)))
            .collect();
        Ok(format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        ))
    }

    /// A JWT (RFC 7519) of `claims`.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<SecretText, JoseError> {
        let payload = serde_json::to_vec(claims).map_err(|_| JoseError)?;
        // One allocation of the final size, so that no part of the token is left behind by growth.
        let signature_bytes = self.0.public_modulus_len();
        let length = HEADER.len() + 2 + (payload.len() + signature_bytes) * 4 / 3 + 4;
        let mut token = String::with_capacity(length);
        token.push_str(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let mut signature = vec![0; signature_bytes];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                token.as_bytes(),
                &mut signature,
            )
            .map_err(|_| JoseError)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(SecretText::new(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    #[test]
    fn a_token_verifies_with_the_published_key() {
        let signer = TokenSigner::from_pkcs8(&TokenSigner::generate().unwrap().to_pkcs8().unwrap()).unwrap();
        let claims = serde_json::json!({"exp": 1, "1ui": "usr-1"});
        let token = signer.sign(claims.as_object().unwrap()).unwrap();
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        assert_eq!(decode(header), br#"{"alg":"RS256","typ":"JWT"}"#);
        assert_eq!(serde_json::from_slice::<Value>(&decode(payload)).unwrap(), claims);

        let pem = signer.public_pem().unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(body).unwrap());
        key.verify(signed.as_bytes(), &decode(signature)).unwrap();
        assert!(key.verify(b"another", &decode(signature)).is_err());
    }
}
