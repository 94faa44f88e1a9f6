//! The six permission lists of a secret.

use minicbor::{Decode, Encode};
use strongroom_base::PrincipalId;

/// A set of principals: sorted, without repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct PrincipalSet(#[n(0)] Vec<PrincipalId>);

impl PrincipalSet {
    /// Whether `principal` is in the set.
    #[must_use]
    pub fn contains(&self, principal: PrincipalId) -> bool {
        self.0.binary_search(&principal).is_ok()
    }

    /// The members, in id order.
    pub fn iter(&self) -> impl Iterator<Item = PrincipalId> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<PrincipalId> for PrincipalSet {
    fn from_iter<I: IntoIterator<Item = PrincipalId>>(members: I) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        Self(members)
    }
}

/// Six values of one kind, one for each permission list: sets of ids in the rules, slugs on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Lists<T = PrincipalSet> {
    /// Who may read the value.
    #[n(0)]
    pub readers: T,
    /// Who may replace the value.
    #[n(1)]
    pub writers: T,
    /// Who may remove the secret.
    #[n(2)]
    pub deleters: T,
    /// Who may change `readers`, and this list.
    #[n(3)]
    pub can_change_readers: T,
    /// Who may change `writers`, and this list.
    #[n(4)]
    pub can_change_writers: T,
    /// Who may change `deleters`, and this list.
    #[n(5)]
    pub can_change_deleters: T,
}

impl<T> Lists<T> {
    /// The same six lists with `f` applied to each.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Lists<U> {
        Lists {
            readers: f(self.readers),
            writers: f(self.writers),
            deleters: f(self.deleters),
            can_change_readers: f(self.can_change_readers),
            can_change_writers: f(self.can_change_writers),
            can_change_deleters: f(self.can_change_deleters),
        }
    }

    /// The same six lists by reference.
    pub fn as_ref(&self) -> Lists<&T> {
        Lists {
            readers: &self.readers,
            writers: &self.writers,
            deleters: &self.deleters,
            can_change_readers: &self.can_change_readers,
            can_change_writers: &self.can_change_writers,
            can_change_deleters: &self.can_change_deleters,
        }
    }

    /// The six lists by reference, in the order of the fields.
    pub fn each(&self) -> [&T; 6] {
        [
            &self.readers,
            &self.writers,
            &self.deleters,
            &self.can_change_readers,
            &self.can_change_writers,
            &self.can_change_deleters,
        ]
    }

    /// Each list of `self` beside that of `other`.
    pub fn zip<U>(self, other: Lists<U>) -> Lists<(T, U)> {
        Lists {
            readers: (self.readers, other.readers),
            writers: (self.writers, other.writers),
            deleters: (self.deleters, other.deleters),
            can_change_readers: (self.can_change_readers, other.can_change_readers),
            can_change_writers: (self.can_change_writers, other.can_change_writers),
            can_change_deleters: (self.can_change_deleters, other.can_change_deleters),
        }
    }
}

impl Lists {
    /// Six lists of `principal` alone, as a secret gets them that an ordinary user makes.
    #[must_use]
    pub fn only(principal: PrincipalId) -> Self {
        Lists::<()>::default().map(|()| PrincipalSet::from_iter([principal]))
    }
}
