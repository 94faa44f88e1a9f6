//! Shamir's secret sharing over GF(256), each byte of the secret with a polynomial of its own. A share is spelled as Vault
//! spells it: a `y` for each byte, then `x`.
//!
//! Combining cannot tell whether shares belong together: any that are well formed give *some* bytes. Whoever combines has
//! something to try them on. Invariant: no I/O, and no time that depends on a secret.

mod field;

use strongroom_base::Rng;
use strongroom_secret::{SecretBuffer, SecretBytes};

use crate::field::{invert, multiply};

/// How many shares there are, and how many of them give the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    needed: u8,
    shares: u8,
}

/// One share of a secret.
pub struct Share(SecretBytes);

/// Shares that can be combined: enough of them, equally long, each with an `x` of its own that is not 0.
pub struct ValidShares<'s>(Vec<&'s Share>);

/// What is wrong with a threshold or with shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShamirError {
    /// One share would be the secret itself; more than there are never come together.
    #[error(
        "a secret is split into 2 to 255 shares, of which 2 or more give it back, and not more than there are"
    )]
    Threshold,
    /// There is nothing to split.
    #[error("an empty secret cannot be split")]
    EmptySecret,
    /// A share has a `y` and an `x` at least.
    #[error("the share is too short")]
    TooShort,
    /// At 0 lies the secret itself, so no share has this `x`.
    #[error("this is no share: its last byte is 0")]
    ZeroX,
    /// One share twice, or two with one `x`.
    #[error("a share was given twice")]
    Doubled,
    /// They are not of one secret.
    #[error("the shares differ in length")]
    Lengths,
    /// They would give nothing but noise.
    #[error("{given} shares were given, and {needed} are needed")]
    TooFew {
        /// Shares that were given.
        given: usize,
        /// Shares that are needed.
        needed: u8,
    },
}

impl Threshold {
    /// `needed` of `shares` give the secret.
    ///
    /// # Errors
    /// [`ShamirError::Threshold`] unless 2 ≤ `needed` ≤ `shares`.
    pub fn new(needed: u8, shares: u8) -> Result<Self, ShamirError> {
        if needed < 2 || needed > shares {
            return Err(ShamirError::Threshold);
        }
        Ok(Self { needed, shares })
    }

    /// Shares that give the secret.
    #[must_use]
    pub fn needed(self) -> u8 {
        self.needed
    }

    /// Shares that there are.
    #[must_use]
    pub fn shares(self) -> u8 {
        self.shares
    }
}

impl Share {
    /// The share that `bytes` spell: a `y` for each byte of the secret, then `x`.
    ///
    /// # Errors
    /// [`ShamirError::TooShort`], [`ShamirError::ZeroX`].
    pub fn from_bytes(bytes: SecretBytes) -> Result<Self, ShamirError> {
        match bytes.expose() {
            [] | [_] => Err(ShamirError::TooShort),
            [.., 0] => Err(ShamirError::ZeroX),
            _ => Ok(Self(bytes)),
        }
    }

    /// The share's bytes, for whoever is to keep it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Which share it is; not secret.
    #[must_use]
    pub fn x(&self) -> u8 {
        self.0.expose().last().copied().unwrap_or_default()
    }

    /// Bytes of the secret.
    #[must_use]
    pub fn secret_bytes(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    fn ys(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.expose().iter().copied().take(self.secret_bytes())
    }
}

impl<'s> ValidShares<'s> {
    /// Takes `shares` as those of one secret, of which `needed` give it. More than needed is fine: then all of them must
    /// belong together.
    ///
    /// # Errors
    /// [`ShamirError::TooFew`], [`ShamirError::Doubled`], [`ShamirError::Lengths`].
    pub fn new(shares: impl IntoIterator<Item = &'s Share>, needed: u8) -> Result<Self, ShamirError> {
        let shares: Vec<_> = shares.into_iter().collect();
        let mut seen = [false; 256];
        for share in &shares {
            match seen.get_mut(usize::from(share.x())) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(ShamirError::Doubled),
            }
        }
        let is_one_length = shares
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.secret_bytes() == b.secret_bytes()));
        if !is_one_length {
            return Err(ShamirError::Lengths);
        }
        let given = shares.len();
        if given < usize::from(needed.max(2)) {
            return Err(ShamirError::TooFew { given, needed });
        }
        Ok(Self(shares))
    }
}

/// Splits `secret`. Any [`Threshold::needed`] of the shares give it back; fewer tell nothing of it.
///
/// # Errors
/// [`ShamirError::EmptySecret`].
pub fn split(secret: &[u8], threshold: Threshold, rng: &dyn Rng) -> Result<Vec<Share>, ShamirError> {
    if secret.is_empty() {
        return Err(ShamirError::EmptySecret);
    }
    // One after the other, the coefficients of each byte's polynomial but for the secret itself. All are drawn evenly from
    // all 256, the highest too: one that could not be 0 would tell something of the secret.
    let degree = usize::from(threshold.needed - 1);
    let mut coefficients = SecretBuffer::with_capacity(degree * secret.len());
    coefficients.extend(&vec![0; degree * secret.len()]);
    rng.fill(coefficients.expose_mut());
    let share = |x: u8| {
        let mut bytes = SecretBuffer::with_capacity(secret.len() + 1);
        for (byte, coefficients) in secret.iter().zip(coefficients.expose().chunks(degree)) {
            bytes.extend(&[evaluate(*byte, coefficients, x)]);
        }
        bytes.extend(&[x]);
        Share(bytes.into_secret())
    };
    Ok((1..=threshold.shares).map(share).collect())
}

/// The secret of which `shares` are, if they are of one.
#[must_use]
pub fn combine(shares: &ValidShares<'_>) -> SecretBytes {
    let shares = &shares.0;
    let length = shares.first().map_or(0, |share| share.secret_bytes());
    let mut secret = SecretBuffer::with_capacity(length);
    secret.extend(&vec![0; length]);
    for share in shares {
        let weight = weight_at_zero(share.x(), shares.iter().map(|other| other.x()));
        for (byte, y) in secret.expose_mut().iter_mut().zip(share.ys()) {
            *byte ^= multiply(y, weight);
        }
    }
    secret.into_secret()
}

/// `constant + coefficients[0] x + coefficients[1] x² …`, by Horner's rule.
fn evaluate(constant: u8, coefficients: &[u8], x: u8) -> u8 {
    let rest = coefficients
        .iter()
        .rev()
        .fold(0, |value, coefficient| multiply(value, x) ^ coefficient);
    multiply(rest, x) ^ constant
}

/// What the share at `x` counts for in the value at 0: Lagrange's basis polynomial there, the product of
/// `other / (other - x)`.
fn weight_at_zero(x: u8, all: impl Iterator<Item = u8>) -> u8 {
    all.filter(|other| *other != x).fold(1, |weight, other| {
        multiply(weight, multiply(other, invert(other ^ x)))
    })
}

#[cfg(test)]
mod tests;
