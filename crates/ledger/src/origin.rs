//! The name of a log: whose it is.

use std::fmt;
use std::str::FromStr;

use strongroom_base::{InstanceId, NodeId};

/// `<instance>/<node>/<generation>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The instance.
    pub instance: InstanceId,
    /// Which of its nodes.
    pub node: NodeId,
    /// Which log of that node: 1, and one more for each restored backup.
    pub generation: u32,
}

/// A text is no [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the name of a log: it looks like <instance>/<node>/<generation>")]
pub struct NoOrigin;

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.instance, self.node, self.generation)
    }
}

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(NoOrigin);
        let origin = Self {
            instance: part()?.parse().map_err(|_| NoOrigin)?,
            node: NodeId(part()?.parse().map_err(|_| NoOrigin)?),
            generation: part()?.parse().map_err(|_| NoOrigin)?,
        };
        // Numbers have one spelling.
        if origin.to_string() == text {
            Ok(origin)
        } else {
            Err(NoOrigin)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_has_one_spelling() {
        let text = "07070707-0707-0707-0707-070707070707/2/31";
        let origin: Origin = text.parse().unwrap();
        assert_eq!((origin.node, origin.generation), (NodeId(2), 31));
        assert_eq!(origin.to_string(), text);
        for wrong in ["", "a/b/c", "07070707-0707-0707-0707-070707070707/2"] {
            assert_eq!(wrong.parse::<Origin>(), Err(NoOrigin), "{wrong}");
        }
        for wrong in [
            text.replace("/2/", "/02/"),
            text.replace("/2/", "/+2/"),
            format!("{text}/1"),
        ] {
            assert_eq!(wrong.parse::<Origin>(), Err(NoOrigin), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_the_one_spelling(text in ".{0,60}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string(), text);
            }
        }
    }
}
