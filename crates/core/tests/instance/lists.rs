//! Random requests of three users and an administrator, against a model of the six lists and the prefix rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use strongroom_base::Slug;
use strongroom_engine_static::ops::{ListSecrets, RemoveSecrets, SaveSecret, SaveSecrets};
use strongroom_policy::Lists;
use strongroom_sdk::Error;
use strongroom_secret::SecretText;
use strongroom_storage::{Embedded, Memory};
use tokio::runtime::Runtime;

use crate::house::House;

/// Who asks. One slug is the beginning of another.
const CALLERS: [&str; 4] = ["admin", "auth", "auth-svc", "bob"];
/// Who may stand in a list; nobody is `ghost`.
const LISTABLE: [&str; 5] = ["admin", "auth", "auth-svc", "bob", "ghost"];
const NAMES: [&str; 8] = [
    "auth",
    "auth/a",
    "auth/b",
    "auth/b/c",
    "auth-svc/a",
    "bob/a",
    "nobody/a",
    "admin/a",
];

type Slugs = BTreeSet<&'static str>;

#[derive(Clone, Debug)]
enum Action {
    Save(Vec<Entry>),
    Remove(Vec<&'static str>),
    List(Option<Vec<&'static str>>),
}

#[derive(Clone, Debug)]
struct Entry {
    name: &'static str,
    value: Option<String>,
    lists: [Option<Slugs>; 6],
}

/// The rules, in the words of the documentation.
#[derive(Clone, Default)]
struct Model(BTreeMap<Vec<&'static str>, Secret>);

#[derive(Clone, Debug, PartialEq)]
struct Secret {
    value: String,
    /// Readers, writers, deleters, and for each of them who may change it.
    lists: [Slugs; 6],
}

/// The request was refused.
#[derive(Debug, PartialEq)]
struct Refused;

fn segments(name: &'static str) -> Vec<&'static str> {
    name.split('/').collect()
}

impl Model {
    fn save(&mut self, caller: &'static str, entries: &[Entry]) -> Result<(), Refused> {
        let mut after = self.clone();
        let entries: BTreeMap<_, _> = entries
            .iter()
            .map(|entry| (segments(entry.name), entry))
            .collect();
        for (name, Entry { value, lists, .. }) in entries {
            let is_new = !self.0.contains_key(&name);
            let by_default = if caller == "admin" {
                Slugs::new()
            } else {
                [caller].into()
            };
            let new = Secret {
                value: String::new(),
                lists: [0; 6].map(|_| by_default.clone()),
            };
            let secret = after.0.entry(name.clone()).or_insert(new);
            let old = secret.lists.clone();
            for (list, given) in secret.lists.iter_mut().zip(lists.clone()) {
                *list = given.unwrap_or_else(|| list.clone());
            }
            secret.value = value.clone().unwrap_or_else(|| secret.value.clone());
            // Who may change one of the first three lists may change it and the list that says so.
            let changes =
                |list: usize| old[list] != secret.lists[list] || old[list + 3] != secret.lists[list + 3];
            let may = if is_new {
                may_claim(caller, &name)
            } else {
                is_listed(caller, &old[1])
                    && (0..3).all(|list| !changes(list) || is_listed(caller, &old[list + 3]))
            };
            may.then_some(()).ok_or(Refused)?;
        }
        *self = after;
        Ok(())
    }

    fn remove(&mut self, caller: &'static str, names: &[&'static str]) -> Result<(), Refused> {
        let may = |name: &&'static str| match self.0.get(&segments(name)) {
            Some(secret) => is_listed(caller, &secret.lists[2]),
            None => may_claim(caller, &segments(name)),
        };
        names.iter().all(may).then_some(()).ok_or(Refused)?;
        self.0
            .retain(|name, _| !names.iter().any(|removed| segments(removed) == *name));
        Ok(())
    }

    /// What `caller` sees, in order.
    fn list(&self, caller: &'static str, names: Option<&[&'static str]>) -> Vec<(String, Secret)> {
        let selected = |name: &Vec<_>| {
            names.is_none_or(|names| names.iter().any(|selected| segments(selected) == *name))
        };
        let seen = self
            .0
            .iter()
            .filter(|(name, secret)| selected(name) && is_listed(caller, &secret.lists[0]));
        seen.map(|(name, secret)| (name.join("/"), secret.clone()))
            .collect()
    }
}

fn is_listed(caller: &'static str, list: &Slugs) -> bool {
    caller == "admin" || list.contains(caller)
}

fn may_claim(caller: &'static str, name: &[&'static str]) -> bool {
    caller == "admin" || name.len() > 1 && name[0] == caller
}

/// The instance that all cases use, with the callers' tokens.
struct Fixture {
    runtime: Runtime,
    house: House,
    tokens: BTreeMap<&'static str, String>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (house, tokens) = runtime.block_on(async {
        let house = House::on(Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap())).await;
        let mut tokens = BTreeMap::from([("admin", house.log_in("admin").await)]);
        for slug in ["auth", "auth-svc", "bob"] {
            tokens.insert(slug, house.register(slug).await);
        }
        (house, tokens)
    });
    Fixture {
        runtime,
        house,
        tokens,
    }
});

impl Fixture {
    async fn save(&self, caller: &str, entries: &[Entry]) -> Result<(), Refused> {
        let entries = entries.iter().map(|Entry { name, value, lists }| {
            let texts = |list: &Slugs| list.iter().map(|&slug| slug.to_owned()).collect();
            let [
                readers,
                writers,
                deleters,
                can_change_readers,
                can_change_writers,
                can_change_deleters,
            ] = lists.each_ref().map(|list| list.as_ref().map(texts));
            let lists = Lists {
                readers,
                writers,
                deleters,
                can_change_readers,
                can_change_writers,
                can_change_deleters,
            };
            SaveSecret {
                host: None,
                name: (*name).to_owned(),
                value: value.clone().map(SecretText::new),
                lists,
            }
        });
        let op = SaveSecrets {
            entries: entries.collect(),
        };
        refused(self.house.call(&self.tokens[caller], op).await).map(drop)
    }

    async fn remove(&self, caller: &str, names: &[&str]) -> Result<(), Refused> {
        let op = RemoveSecrets {
            names: names.iter().map(|&name| name.to_owned()).collect(),
        };
        refused(self.house.call(&self.tokens[caller], op).await).map(drop)
    }

    async fn list(&self, caller: &str, names: Option<&[&str]>) -> Vec<(String, Secret)> {
        let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let op = ListSecrets {
            names,
            ..ListSecrets::default()
        };
        let listed = self.house.call(&self.tokens[caller], op).await.unwrap();
        let secret = |secret: strongroom_engine_static::ops::SecretRead| {
            let known = |slug: &Slug| {
                LISTABLE
                    .into_iter()
                    .find(|known| *known == slug.as_str())
                    .unwrap()
            };
            let lists = secret.lists.each().map(|list| list.iter().map(known).collect());
            let value = String::from_utf8(secret.value.expose().to_vec()).unwrap();
            (secret.name.to_string(), Secret { value, lists })
        };
        listed.secrets.into_iter().map(secret).collect()
    }

    /// Does `actions` here and in the model, which must agree on every answer, and in the end on what everyone sees.
    async fn check(&self, actions: Vec<(&'static str, Action)>) -> Result<(), TestCaseError> {
        self.remove("admin", &NAMES).await.unwrap();
        let mut model = Model::default();
        for (caller, action) in actions {
            match &action {
                Action::Save(entries) => {
                    prop_assert_eq!(
                        self.save(caller, entries).await,
                        model.save(caller, entries),
                        "{} {:?}",
                        caller,
                        action
                    );
                }
                Action::Remove(names) => {
                    prop_assert_eq!(
                        self.remove(caller, names).await,
                        model.remove(caller, names),
                        "{} {:?}",
                        caller,
                        action
                    );
                }
                Action::List(names) => {
                    let names = names.as_deref();
                    prop_assert_eq!(
                        self.list(caller, names).await,
                        model.list(caller, names),
                        "{} {:?}",
                        caller,
                        action
                    );
                }
            }
        }
        for caller in CALLERS {
            prop_assert_eq!(
                self.list(caller, None).await,
                model.list(caller, None),
                "{}",
                caller
            );
        }
        Ok(())
    }
}

fn refused<T>(result: Result<T, Error>) -> Result<T, Refused> {
    result.map_err(|error| match error {
        Error::Denied(_) => Refused,
        error => unreachable!("{error}"),
    })
}

fn a_name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&NAMES[..])
}

fn an_entry() -> impl Strategy<Value = Entry> {
    let list = proptest::sample::subsequence(&LISTABLE[..], 0..=LISTABLE.len());
    let list = proptest::option::weighted(0.3, list.prop_map(Slugs::from_iter));
    let value = proptest::option::weighted(0.8, "[a-z]{0,9}");
    (a_name(), value, proptest::array::uniform6(list)).prop_map(|(name, value, lists)| Entry {
        name,
        value,
        lists,
    })
}

fn an_action() -> impl Strategy<Value = Action> {
    let some_names = || proptest::collection::vec(a_name(), 1..4);
    prop_oneof![
        4 => proptest::collection::vec(an_entry(), 1..4).prop_map(Action::Save),
        1 => some_names().prop_map(Action::Remove),
        2 => proptest::option::of(some_names()).prop_map(Action::List),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn everyone_does_and_sees_what_the_lists_say(
        actions in proptest::collection::vec((proptest::sample::select(&CALLERS[..]), an_action()), 1..40)
    ) {
        FIXTURE.runtime.block_on(FIXTURE.check(actions))?;
    }
}
