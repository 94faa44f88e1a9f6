//! The instance's keys.

use schemars::JsonSchema;
use serde::Serialize;
use strongroom_base::Timestamp;
use strongroom_core::keys::{KeysShown, Rewrap, Rotated};

#[derive(Serialize, JsonSchema)]
pub(crate) struct RotatedReply {
    /// The epoch of the new KEK.
    kek_epoch: u32,
}

impl From<Rotated> for RotatedReply {
    fn from(rotated: Rotated) -> Self {
        Self {
            kek_epoch: rotated.kek_epoch,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct KeysReply {
    /// The epochs of the KEKs, oldest first; a rewrap drops all but the newest.
    kek_epochs: Vec<u32>,
    /// The last rewrap; absent when there never was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrap: Option<RewrapReply>,
}

#[derive(Serialize, JsonSchema)]
struct RewrapReply {
    /// Id of the principal who started it, a UUID.
    by: String,
    started: u64,
    /// Absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<u64>,
    /// Rows of storage that it has to look at, as counted when it began.
    rows: u64,
    /// Rows that it has looked at; those that were written meanwhile count, too.
    walked: u64,
    /// Rows that it has sealed anew.
    rewrapped: u64,
    /// Rows that do not open. If there are any, the old keys are kept.
    unreadable: u64,
}

impl From<KeysShown> for KeysReply {
    fn from(shown: KeysShown) -> Self {
        Self {
            kek_epochs: shown.kek_epochs,
            rewrap: shown.rewrap.map(RewrapReply::from),
        }
    }
}

impl From<Rewrap> for RewrapReply {
    fn from(rewrap: Rewrap) -> Self {
        Self {
            by: rewrap.by.to_string(),
            started: rewrap.started.as_millis(),
            ended: rewrap.ended.map(Timestamp::as_millis),
            rows: rewrap.rows,
            walked: rewrap.walked,
            rewrapped: rewrap.rewrapped,
            unreadable: rewrap.unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use strongroom_base::PrincipalId;

    #[test]
    fn the_fields_of_replies() {
        let mut rewrap = Rewrap::new(PrincipalId::from_bytes([1; 16]), Timestamp::from_millis(5));
        let reply = |rewrap: &Rewrap| {
            let shown = KeysShown {
                kek_epochs: vec![1, 2],
                rewrap: Some(rewrap.clone()),
            };
            serde_json::to_value(KeysReply::from(shown)).unwrap()
        };
        let by = "01010101-0101-0101-0101-010101010101";
        assert_eq!(
            reply(&rewrap),
            json!({"kek_epochs": [1, 2], "rewrap":
                {"by": by, "started": 5, "rows": 0, "walked": 0, "rewrapped": 0, "unreadable": 0}})
        );
        rewrap.ended = Some(Timestamp::from_millis(6));
        assert_eq!(reply(&rewrap)["rewrap"]["ended"], 6);
        let none = KeysShown {
            kek_epochs: vec![1],
            rewrap: None,
        };
        assert_eq!(
            serde_json::to_value(KeysReply::from(none)).unwrap(),
            json!({"kek_epochs": [1]})
        );
        let rotated = RotatedReply::from(Rotated { kek_epoch: 3 });
        assert_eq!(serde_json::to_value(rotated).unwrap(), json!({"kek_epoch": 3}));
    }
}
