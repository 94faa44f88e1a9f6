//! Somebody who can write to the storage exchanges rows. The rows are encrypted for the places where they lie, so what
//! was moved does not open: a reader gets an error, and never another secret's value.

use std::sync::Arc;

use strongroom_base::limits;
use strongroom_engine_static::ops::{ListSecrets, SaveSecret, SaveSecrets, SecretRead};
use strongroom_policy::Lists;
use strongroom_sdk::Error;
use strongroom_secret::SecretText;
use strongroom_storage::{Backend, Embedded, Failure, Group, KeyRange, Memory, OutboxKey, Revision, Row};

use crate::house::House;

/// The plane of names: the records of secrets lie there.
const NAMES_PLANE: u8 = 2;

/// Memory that the test can write to behind storage's back.
pub(crate) struct Open(pub(crate) Arc<Memory>);

impl Backend for Open {
    const SCANS_BLOCK: bool = Memory::SCANS_BLOCK;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.0.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.0.scan(range, limit)
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        self.0.apply(group)
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.0.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.0.reopen()
    }
}

pub(crate) type Rows = Vec<(Vec<u8>, Row)>;

pub(crate) fn rows(memory: &Memory) -> Rows {
    use std::ops::Bound::{Excluded, Unbounded};
    memory
        .scan((Unbounded, Excluded(&OutboxKey::all().start)), usize::MAX)
        .unwrap()
}

fn write(memory: &Memory, rows: &[(Vec<u8>, Row)]) {
    overwrite(
        memory,
        rows.iter().map(|(key, row)| (key.clone(), Some(row.clone()))),
    );
}

/// Puts rows, or removes them, as no change of ours does.
pub(crate) fn overwrite(memory: &Memory, rows: impl IntoIterator<Item = (Vec<u8>, Option<Row>)>) {
    let writes = rows.into_iter().collect();
    memory
        .apply(Group {
            head: memory.head().unwrap(),
            writes,
        })
        .unwrap();
}

pub(crate) async fn save(house: &House, token: &str, name: &str, value: String) {
    try_save(house, token, name, value).await.unwrap();
}

pub(crate) async fn try_save(house: &House, token: &str, name: &str, value: String) -> Result<(), Error> {
    let entry = SaveSecret {
        host: None,
        name: name.to_owned(),
        value: Some(SecretText::new(value)),
        lists: Lists::default(),
    };
    let saved = house.call(token, SaveSecrets { entries: vec![entry] }).await;
    saved.map(drop)
}

/// What the holder of `token` sees: names and values; `None` is an error of ours.
async fn list(house: &House, token: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let shown = |secret: SecretRead| (secret.name.to_string(), secret.value.expose().to_vec());
    match house.call(token, ListSecrets::default()).await {
        Ok(listed) => Some(listed.secrets.into_iter().map(shown).collect()),
        Err(Error::Internal(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn whichever_two_rows_are_exchanged_nobody_sees_a_wrong_value() {
    let memory = Arc::new(Memory::default());
    let house = House::on(Arc::new(
        Embedded::open(Open(memory.clone()), Arc::new(())).unwrap(),
    ))
    .await;
    let (alice, bob) = (house.register("alice").await, house.register("bob").await);
    let before = rows(&memory);
    save(&house, &alice, "alice/short", "short".to_owned()).await;
    save(&house, &alice, "alice/other", "other".to_owned()).await;
    save(
        &house,
        &alice,
        "alice/long",
        "long".repeat(limits::INLINE_VALUE_BYTES),
    )
    .await;
    save(
        &house,
        &alice,
        "alice/longer",
        "longer".repeat(limits::INLINE_VALUE_BYTES),
    )
    .await;
    save(&house, &bob, "bob/short", "not for alice".to_owned()).await;

    let mut rows = rows(&memory);
    rows.retain(|row| !before.iter().any(|(key, _)| *key == row.0));
    let is_record = |(key, _): &(Vec<u8>, Row)| key[0] == NAMES_PLANE;
    assert_eq!(
        rows.iter().filter(|row| is_record(row)).count(),
        5,
        "a record for each secret"
    );
    let right = list(&house, &alice).await.unwrap();
    assert_eq!(right.len(), 4);

    for (number, one) in rows.iter().enumerate() {
        for other in &rows[number + 1..] {
            write(
                &memory,
                &[(one.0.clone(), other.1.clone()), (other.0.clone(), one.1.clone())],
            );
            let seen = list(&house, &alice).await;
            assert!(
                seen.as_ref().is_none_or(|seen| *seen == right),
                "{one:?} {other:?}"
            );
            if is_record(one) && is_record(other) {
                assert_eq!(seen, None, "the record of one of her secrets was moved");
            }
            write(&memory, &[one.clone(), other.clone()]);
        }
    }
    assert_eq!(list(&house, &alice).await, Some(right));
}
