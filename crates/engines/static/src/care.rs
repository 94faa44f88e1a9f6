//! How long a secret may stay as it is: typed metadata, and when it makes the secret overdue. Without I/O.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use strongroom_base::{Timestamp, Ttl, limits};
use strongroom_policy::Lapse;
use strongroom_sdk::Error;

use crate::ops::CareChange;

/// What is said of a secret beside its value. Empty for most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Care {
    /// From then on it must not be used any more.
    #[n(0)]
    pub(crate) expires: Option<Timestamp>,
    /// How often it has to get a new value, in milliseconds.
    #[n(1)]
    pub(crate) rotate_every: Option<u64>,
    /// What its people call it by.
    #[n(2)]
    pub(crate) labels: BTreeMap<String, String>,
}

impl Care {
    /// From when on a secret with this, whose value was saved at `saved`, is overdue, and why; `None` if never.
    pub(crate) fn due(&self, saved: Timestamp) -> Option<(Timestamp, Lapse)> {
        let expiry = self.expires.map(|at| (at, Lapse::Expired));
        let rotation = self
            .rotate_every
            .map(|every| (saved.after(Ttl::from_millis(every)), Lapse::RotationDue));
        expiry.into_iter().chain(rotation).min_by_key(|(at, _)| *at)
    }

    /// This with what `change` says.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label out of form, and for one too many.
    pub(crate) fn with(mut self, change: &CareChange) -> Result<Self, Error> {
        if let Some(expires) = change.expires {
            self.expires = expires;
        }
        if let Some(every) = change.rotate_every {
            self.rotate_every = every.map(|every| every.as_millis());
        }
        for (key, value) in &change.labels {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            if key.is_empty() || key.len() > limits::LABEL_BYTES || !key.chars().all(is_word) {
                let why = "have a key that is not of letters, digits and `-_./`";
                return Err(Error::invalid("labels", why));
            }
            if value.len() > limits::LABEL_BYTES || value.chars().any(char::is_control) {
                let why = format!(
                    "have a value over {} bytes, or with control characters",
                    limits::LABEL_BYTES
                );
                return Err(Error::invalid("labels", why));
            }
            if value.is_empty() {
                self.labels.remove(key);
            } else {
                self.labels.insert(key.clone(), value.clone());
            }
        }
        if self.labels.len() > limits::LABELS {
            return Err(Error::invalid(
                "labels",
                format!("are more than {}", limits::LABELS),
            ));
        }
        Ok(self)
    }

    /// This, or nothing when it says nothing: so it is stored.
    pub(crate) fn stored(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whichever_comes_first_makes_a_secret_overdue() {
        let at = Timestamp::from_millis;
        for (expires, every, due) in [
            (None, None, None),
            (Some(50), None, Some((50, Lapse::Expired))),
            (None, Some(10), Some((110, Lapse::RotationDue))),
            (Some(50), Some(10), Some((50, Lapse::Expired))),
            (Some(200), Some(10), Some((110, Lapse::RotationDue))),
        ] {
            let care = Care {
                expires: expires.map(at),
                rotate_every: every,
                labels: BTreeMap::new(),
            };
            assert_eq!(care.due(at(100)), due.map(|(millis, lapse)| (at(millis), lapse)));
        }
    }

    proptest! {
        /// Model: the labels are a map to which each change adds, and from which an empty value removes.
        #[test]
        fn labels_are_what_the_changes_say(changes in prop::collection::vec(("[a-c]", "[x]{0,2}"), 0..20)) {
            let (mut care, mut model) = (Care::default(), BTreeMap::new());
            for (key, value) in changes {
                model.insert(key.clone(), value.clone());
                let change = CareChange { labels: BTreeMap::from([(key, value)]), ..CareChange::default() };
                care = care.with(&change).unwrap();
            }
            model.retain(|_, value| !value.is_empty());
            prop_assert_eq!(care.labels, model);
        }

        #[test]
        fn no_label_has_a_form_that_steers_a_terminal(key in any::<String>(), value in any::<String>()) {
            let change = CareChange { labels: BTreeMap::from([(key.clone(), value)]), ..CareChange::default() };
            if let Ok(care) = Care::default().with(&change) {
                let control = |text: &String| text.chars().any(char::is_control);
                prop_assert!(!care.labels.iter().any(|(key, value)| control(key) || control(value)));
            }
        }
    }
}
