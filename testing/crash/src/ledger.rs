//! What the ledger must have: one leaf for each answer, and for each change.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use strongroom_ledger::verify;
use strongroom_tlog::{Level, TilePath, VerifierKey, decode_bundle};

use crate::Violation;

/// `strongroom_ledger::verify` passes.
pub const THE_LEDGER_VERIFIES: &str = "the_ledger_verifies";
/// No two requests have one id.
pub const NO_REQUEST_ID_TWICE: &str = "no_request_id_twice";
/// Every answer's id is in the ledger, with how it ended.
pub const EVERY_ANSWER_HAS_ITS_LEAF: &str = "every_answer_has_its_leaf";
/// Changes whose answers were lost have leaves as well, and there is no leaf of a change that did not happen.
pub const NO_CHANGE_WITHOUT_ITS_LEAF: &str = "no_change_without_its_leaf";

/// What of a leaf is in clear and matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct Leaf {
    /// The request's id.
    pub id: String,
    /// What was asked for.
    pub op: String,
    /// How it ended.
    pub outcome: String,
    /// Who asked.
    pub principal: Option<String>,
    /// Which of its request's leaves this is, from 1.
    pub part: u32,
}

impl Leaf {
    fn is_change(&self) -> bool {
        self.outcome == "ok" && matches!(self.op.as_str(), "secret.save" | "secret.remove")
    }
}

/// The leaves of the ledger in the data directory `data`, whose server has stopped.
///
/// # Errors
/// [`THE_LEDGER_VERIFIES`], or a file cannot be read.
pub fn leaves(data: &Path) -> Result<Vec<Leaf>> {
    let key: VerifierKey = fs::read_to_string(data.join("ledger.vkey"))?.trim_end().parse()?;
    let dir = data.join("ledger");
    let report =
        verify(&dir, &key).map_err(|error| Violation::new(THE_LEDGER_VERIFIES, error.to_string()))?;
    let mut leaves = Vec::new();
    for path in TilePath::all(report.size).take_while(|path| path.level() == Level::Entries) {
        for entry in decode_bundle(&fs::read(dir.join(path.to_string()))?)? {
            leaves.push(serde_json::from_slice(entry)?);
        }
    }
    Ok(leaves)
}

/// What clients know of what a ledger must have.
#[derive(Debug, Default)]
pub struct Answers {
    by_id: HashMap<String, Answer>,
    unanswered: BTreeMap<&'static str, Unanswered>,
}

#[derive(Debug)]
struct Answer {
    account: &'static str,
    outcome: &'static str,
}

/// Changes of one account whose answers were lost.
#[derive(Debug, Default)]
struct Unanswered {
    happened: usize,
    /// They may have happened, and other writes came over them.
    unknown: usize,
}

impl Answers {
    /// The request `id` of `account` was answered; it ended with `outcome`, in the ledger's word.
    pub fn add(&mut self, id: String, account: &'static str, outcome: &'static str) {
        self.by_id.insert(id, Answer { account, outcome });
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// A change of `account` has happened whose answer was lost.
    pub fn add_happened(&mut self, account: &'static str) {
        self.unanswered.entry(account).or_default().happened += 1;
    }

    /// So many changes of `account` may have happened.
    pub fn add_unknown(&mut self, account: &'static str, changes: usize) {
        self.unanswered.entry(account).or_default().unknown += changes;
    }

    /// Checks `leaves`, which are all that there are, against the answers.
    ///
    /// # Errors
    /// The first rule that they break.
    pub fn check(&self, leaves: &[Leaf]) -> Result<(), Violation> {
        let mut by_id = HashMap::new();
        for leaf in leaves.iter().filter(|leaf| leaf.part == 1) {
            if by_id.insert(leaf.id.as_str(), leaf).is_some() {
                return Err(Violation::new(NO_REQUEST_ID_TWICE, leaf.id.clone()));
            }
        }
        let mut principals = BTreeMap::new();
        for (id, answer) in &self.by_id {
            match by_id.remove(id.as_str()) {
                Some(leaf) if leaf.outcome == answer.outcome => leaf
                    .principal
                    .as_ref()
                    .map(|principal| principals.insert(principal, answer.account)),
                leaf => {
                    let what = format!("{answer:?} of request {id} has {leaf:?}");
                    return Err(Violation::new(EVERY_ANSWER_HAS_ITS_LEAF, what));
                }
            };
        }
        self.check_unanswered(by_id.into_values().filter(|leaf| leaf.is_change()), &principals)
    }

    /// Checks the changes in the ledger that were not answered.
    fn check_unanswered<'l>(
        &self,
        leaves: impl Iterator<Item = &'l Leaf>,
        principals: &BTreeMap<&String, &'static str>,
    ) -> Result<(), Violation> {
        let mut recorded: BTreeMap<&str, usize> =
            self.unanswered.keys().map(|&account| (account, 0)).collect();
        for leaf in leaves {
            let account = leaf
                .principal
                .as_ref()
                .and_then(|principal| principals.get(principal));
            *recorded.entry(account.unwrap_or(&"nobody")).or_default() += 1;
        }
        for (account, recorded) in recorded {
            let (happened, unknown) = self
                .unanswered
                .get(account)
                .map_or((0, 0), |all| (all.happened, all.unknown));
            if recorded < happened || recorded > happened + unknown {
                let what = format!(
                    "of `{account}` {happened} changes have happened and {unknown} may have that were not answered, and \
                     the ledger has {recorded}"
                );
                return Err(Violation::new(NO_CHANGE_WITHOUT_ITS_LEAF, what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(id: &str, op: &str, outcome: &str, principal: Option<&str>) -> Leaf {
        let [id, op, outcome] = [id, op, outcome].map(str::to_owned);
        Leaf {
            id,
            op,
            outcome,
            principal: principal.map(str::to_owned),
            part: 1,
        }
    }

    /// A ledger as it should be, after `spoil`.
    fn check(spoil: impl FnOnce(&mut Vec<Leaf>)) -> Result<(), &'static str> {
        let mut answers = Answers::default();
        answers.add("1".into(), "alice", "ok");
        answers.add("2".into(), "alice", "ok");
        answers.add("3".into(), "alice", "denied");
        answers.add("4".into(), "admin", "ok");
        answers.add_happened("alice");
        answers.add_unknown("admin", 2);
        let mut leaves = vec![
            leaf("0", "instance.create", "ok", None),
            leaf("1", "login", "ok", Some("a")),
            leaf("2", "secret.save", "ok", Some("a")),
            leaf("3", "secret.save", "denied", Some("a")),
            leaf("4", "secret.list", "ok", Some("r")),
            leaf("5", "secret.remove", "ok", Some("a")),
            leaf("6", "secret.save", "ok", Some("r")),
            leaf("7", "secret.list", "ok", Some("a")),
            Leaf {
                part: 2,
                ..leaf("7", "secret.list", "ok", Some("a"))
            },
        ];
        spoil(&mut leaves);
        answers.check(&leaves).map_err(|violation| violation.rule)
    }

    #[test]
    fn each_rule_is_checked() {
        assert_eq!(check(|_| ()), Ok(()));
        for (spoil, rule) in [
            (
                &(|leaves: &mut Vec<Leaf>| leaves.push(leaves[2].clone())) as &dyn Fn(&mut Vec<Leaf>),
                NO_REQUEST_ID_TWICE,
            ),
            (&|leaves| drop(leaves.remove(2)), EVERY_ANSWER_HAS_ITS_LEAF),
            (&|leaves| drop(leaves.remove(4)), EVERY_ANSWER_HAS_ITS_LEAF),
            (
                &|leaves| leaves[3].outcome = "ok".into(),
                EVERY_ANSWER_HAS_ITS_LEAF,
            ),
            (&|leaves| drop(leaves.remove(5)), NO_CHANGE_WITHOUT_ITS_LEAF),
            (
                &|leaves| leaves.push(leaf("8", "secret.save", "ok", Some("a"))),
                NO_CHANGE_WITHOUT_ITS_LEAF,
            ),
            (
                &|leaves| leaves.push(leaf("8", "secret.save", "ok", None)),
                NO_CHANGE_WITHOUT_ITS_LEAF,
            ),
        ] {
            assert_eq!(check(spoil), Err(rule));
        }
        assert_eq!(
            check(|leaves| leaves.push(leaf("8", "secret.save", "ok", Some("r")))),
            Ok(()),
            "2 may have happened"
        );
    }
}
