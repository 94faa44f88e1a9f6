//! Round trips, shares that others made, and what is refused.

use super::*;
use proptest::prelude::*;
use static_assertions::assert_not_impl_any;
use strongroom_base::SystemRng;
use vsss_rs::Gf256;

assert_not_impl_any!(Share: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);

fn share(bytes: &[u8]) -> Share {
    Share::from_bytes(SecretBytes::new(bytes.to_vec())).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn combined(shares: &[Share], needed: u8) -> Vec<u8> {
    combine(&ValidShares::new(shares, needed).unwrap())
        .expose()
        .to_vec()
}

/// Made by HashiCorp Vault 1.1.2, `shamir.Split` of the bytes 7i + 3.
const OF_VAULT: [(&str, &[&str]); 3] = [
    (
        "3 of 5",
        &[
            "171e914d33a002820b81b33a7425aca0f1cd575fb19872b27c6eb6ed020ffeeff1",
            "3ae64c6c4f1417c490241d425b73bc3aa17136e9d5f21734de177e9fc158a06cb0",
            "37fb7c999aef599296174ae735aa737a334faa4b28984a14eb38eee09ccbf649a7",
        ],
    ),
    (
        "2 of 3",
        &[
            "925abac0c7cd8db3be2ee044ac0fd4222179a38681fcea87a7c7e2590c744b74d4",
            "bee4ad464142ea7f306db5e60590b46fdd1aad535479ffa830902c66cf649300c5",
        ],
    ),
    (
        "4 of 255",
        &[
            "843122c8c67870564b26b69a3e0aaa72893559113af2904c4d23d3471083e403c2",
            "90eb5697c374a0affa8ccbdafbf2169afc9703047b13355550497fcd020e1c853b",
            "c1533ce7711e4a269b436b89d0b2b7d39d8a2e2883cc8c5e2cd4772c974d90fee5",
            "2b980b2f8c1a2f2476acb83438a90c1575836613908e142de2a283edcbd771c11c",
        ],
    ),
];

#[test]
fn shares_that_vault_made_give_its_secret() {
    let secret: Vec<u8> = (0..32u8).map(|i| i.wrapping_mul(7).wrapping_add(3)).collect();
    for (case, texts) in OF_VAULT {
        let shares: Vec<_> = texts.iter().map(|text| share(&hex(text))).collect();
        assert_eq!(combined(&shares, 2), secret, "{case}");
    }
}

#[test]
fn thresholds_have_bounds() {
    for (needed, shares) in [(0, 5), (1, 5), (3, 2), (0, 0), (1, 1), (255, 254)] {
        assert_eq!(Threshold::new(needed, shares), Err(ShamirError::Threshold));
    }
    for (needed, shares) in [(2, 2), (2, 255), (255, 255)] {
        let threshold = Threshold::new(needed, shares).unwrap();
        assert_eq!((threshold.needed(), threshold.shares()), (needed, shares));
    }
}

#[test]
fn what_is_no_share_is_refused() {
    let refused = |bytes: &[u8]| Share::from_bytes(SecretBytes::new(bytes.to_vec())).err();
    assert_eq!(refused(&[]), Some(ShamirError::TooShort));
    assert_eq!(refused(&[7]), Some(ShamirError::TooShort));
    assert_eq!(refused(&[7, 7, 0]), Some(ShamirError::ZeroX));
    assert_eq!(refused(&[0, 1]), None);
}

#[test]
fn shares_that_cannot_be_combined_are_refused() {
    let refused = |shares: &[Share], needed| ValidShares::new(shares, needed).err();
    let (a, b) = ([1, 2, 3, 1], [4, 5, 6, 2]);
    assert_eq!(
        refused(&[share(&a), share(&b), share(&a)], 3),
        Some(ShamirError::Doubled)
    );
    assert_eq!(
        refused(&[share(&a), share(&[9, 9, 9, 1])], 2),
        Some(ShamirError::Doubled)
    );
    assert_eq!(
        refused(&[share(&a), share(&b[1..])], 2),
        Some(ShamirError::Lengths)
    );
    assert_eq!(
        refused(&[share(&a), share(&b)], 3),
        Some(ShamirError::TooFew { given: 2, needed: 3 })
    );
    // Whatever is asked for: one share gives nothing.
    assert_eq!(
        refused(&[share(&a)], 0),
        Some(ShamirError::TooFew { given: 1, needed: 0 })
    );
    assert!(refused(&[share(&a), share(&b)], 2).is_none());
    assert!(split(&[], Threshold::new(2, 2).unwrap(), &SystemRng::default()).is_err());
}

/// Of a secret of one byte and one share, each byte is as likely to be the secret: for every one of the 256 there is
/// exactly one line through it and the share.
#[test]
fn one_share_of_two_tells_nothing() {
    let mut secrets = [0; 256];
    for y in 0..=255 {
        let secret = combined(&[share(&[77, 3]), share(&[y, 200])], 2);
        secrets[usize::from(secret[0])] += 1;
    }
    assert_eq!(secrets, [1; 256]);
}

/// The highest coefficient may be 0 like any other: were it not, a share would never equal the secret.
#[test]
fn the_coefficients_are_drawn_evenly() {
    let threshold = Threshold::new(2, 2).unwrap();
    let rng = SystemRng::default();
    let is_same = |_| split(&[42], threshold, &rng).unwrap()[0].expose()[0] == 42;
    assert!((0..10_000).any(is_same));
}

proptest! {
    #[test]
    fn any_that_are_enough_give_the_secret(
        secret in proptest::collection::vec(any::<u8>(), 1..80),
        (needed, count) in (2u8..=12).prop_flat_map(|needed| (Just(needed), needed..=20)),
        order in any::<u64>(),
    ) {
        let threshold = Threshold::new(needed, count).unwrap();
        let mut shares = split(&secret, threshold, &SystemRng::default()).unwrap();
        let turn = usize::try_from(order % u64::from(count)).unwrap();
        shares.rotate_left(turn);
        prop_assert_eq!(&combined(&shares, needed), &secret);
        shares.truncate(needed.into());
        prop_assert_eq!(&combined(&shares, needed), &secret);
        shares.truncate(usize::from(needed) - 1);
        prop_assert!(ValidShares::new(&shares, needed).is_err());
    }

    /// Another library over the same field; it puts `x` first.
    #[test]
    fn another_library_agrees(
        secret in proptest::collection::vec(any::<u8>(), 1..40),
        (needed, count) in (2u8..=6).prop_flat_map(|needed| (Just(needed), needed..=9)),
    ) {
        let threshold = Threshold::new(needed, count).unwrap();
        let shares = split(&secret, threshold, &SystemRng::default()).unwrap();
        let theirs: Vec<Vec<u8>> = shares
            .iter()
            .rev()
            .take(needed.into())
            .map(|share| {
                let mut bytes = share.expose().to_vec();
                bytes.rotate_right(1);
                bytes
            })
            .collect();
        prop_assert_eq!(Gf256::combine_bytes(theirs).unwrap(), secret);
    }

    #[test]
    fn arbitrary_bytes_are_a_share_or_refused(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..6)) {
        let shares: Vec<_> = all
            .into_iter()
            .filter_map(|bytes| Share::from_bytes(SecretBytes::new(bytes)).ok())
            .collect();
        if let Ok(valid) = ValidShares::new(&shares, 2) {
            prop_assert_eq!(combine(&valid).len(), shares[0].secret_bytes());
        }
    }
}
