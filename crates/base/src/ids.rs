//! Ids. Random ones are RFC 9562 UUIDs of version 7: 128 bits, ordered by time, written in base62 or as UUID text.

use std::ops::Deref;

use minicbor::{Decode, Encode};

use crate::{Clock, Rng, Timestamp};

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

        impl $name {
            /// A new id: UUID version 7 from the clock's time and random bits.
            #[must_use]
            pub fn generate(clock: &dyn Clock, rng: &dyn Rng) -> Self {
                Self::at(clock.now(), rng)
            }

            /// A new id that carries the time `now`.
            #[must_use]
            pub fn at(now: Timestamp, rng: &dyn Rng) -> Self {
                let mut random = [0; 10];
                rng.fill(&mut random);
                Self(*uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid().as_bytes())
            }

            /// An id from its 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The id's 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// When it was made, as it says itself.
            #[must_use]
            pub fn time(&self) -> Timestamp {
                let millis = u128::from_be_bytes(self.0) >> 80;
                Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
            }

            /// The UUID text of RFC 9562: lower-case hex with hyphens.
            #[must_use]
            pub fn text(&self) -> IdText {
                let mut text = [0; 36];
                uuid::Uuid::from_bytes(self.0).as_hyphenated().encode_lower(&mut text);
                IdText(text)
            }

            /// The id as 22 base62 digits.
            #[must_use]
            pub fn to_base62(self) -> String {
                base62(u128::from_be_bytes(self.0))
            }
        }

        impl std::fmt::Display for $name {
            /// As [`text`](Self::text).
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text())
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Ok(Self(*uuid::Uuid::try_parse(text)?.as_bytes()))
            }
        }
    };
}

random_id!(/// One installation: its storage, keys and ledger.
    InstanceId);
random_id!(/// One request, its ledger leaves and, when refused, its denial.
    RequestId);
random_id!(/// A user, service or group.
    PrincipalId);
random_id!(/// A secret, whatever its name becomes.
    SecretId);
random_id!(/// A lease: a token, a session, later a dynamic credential.
    LeaseId);
random_id!(/// A mount as clients see it (a 1Backend app's id).
    MountUid);

macro_rules! numbered_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub u32);
    };
}

numbered_id!(/// A tenant of the instance.
    WorkspaceId);
numbered_id!(/// A mount of a workspace, in storage keys.
    MountId);
numbered_id!(/// One of the servers that serve an instance, each with a data directory and a ledger of its own.
    NodeId);

impl NodeId {
    /// The node that makes an instance; the only one unless storage is shared.
    pub const FIRST: Self = Self(1);
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Marks the number of the place beside a mount; mounts have at most [`crate::limits::MOUNTS`] numbers.
const ASIDE: u32 = 1 << 31;

impl MountId {
    /// The place beside this mount, where what was removed from it lies until it is purged. No listing of the mount
    /// comes there.
    #[must_use]
    pub const fn aside(self) -> Self {
        Self(self.0 | ASIDE)
    }

    /// Whether this is the place beside a mount.
    #[must_use]
    pub const fn is_aside(self) -> bool {
        self.0 & ASIDE != 0
    }

    /// The mount that this is, or is the place beside of.
    #[must_use]
    pub const fn home(self) -> Self {
        Self(self.0 & !ASIDE)
    }
}

impl WorkspaceId {
    /// The workspace that holds identity, mounts, policies and leases.
    pub const SYSTEM: Self = Self(0);
    /// The workspace that an instance is born with.
    pub const DEFAULT: Self = Self(1);
}

/// The text of a random id, where it needs no memory of its own.
#[derive(Clone, Copy)]
pub struct IdText([u8; 36]);

impl Deref for IdText {
    type Target = str;
    fn deref(&self) -> &str {
        // INVARIANT: hex digits and hyphens are UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// `number` in 22 base62 digits, `0-9A-Za-z`, so that text order is number order.
#[must_use]
pub fn base62(mut number: u128) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    /// As many digits as a `u64` holds: dividing one is far faster than dividing a `u128`.
    const RUN: usize = 10;
    let mut out = [b'0'; 22];
    for run in out.rchunks_mut(RUN) {
        let base = 62_u128.pow(10);
        let mut rest = u64::try_from(number % base).unwrap_or_default();
        number /= base;
        for digit in run.iter_mut().rev() {
            let index = usize::try_from(rest % 62).unwrap_or_default();
            *digit = DIGITS.get(index).copied().unwrap_or(b'0');
            rest /= 62;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, SystemRng};

    #[test]
    fn base62_keeps_the_order_of_numbers() {
        assert_eq!(base62(0), "0".repeat(22));
        assert_eq!(base62(61), format!("{}z", "0".repeat(21)));
        assert!(base62(u128::MAX) > base62(u128::MAX - 1));
        assert_eq!(base62(u128::MAX).len(), 22);
        for digit in 0..21 {
            let ten = base62(62_u128.pow(digit));
            let place = 21 - usize::try_from(digit).unwrap();
            assert_eq!(ten, format!("{}1{}", "0".repeat(place), "0".repeat(21 - place)));
        }
    }

    #[test]
    fn an_id_is_a_version_7_uuid_and_reads_back() {
        let id = RequestId::generate(
            &ManualClock::at(Timestamp::from_millis(1_700_000_000_000)),
            &SystemRng::default(),
        );
        let text = id.to_string();
        assert_eq!(text.as_bytes()[14], b'7');
        assert_eq!(text.parse::<RequestId>().unwrap(), id);
        assert_eq!(id.time(), Timestamp::from_millis(1_700_000_000_000));
    }
}
