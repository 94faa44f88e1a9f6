//! What time does to secrets: removed ones are purged, and others become overdue. On a clock that the test moves.

use std::sync::Arc;

use strongroom_base::{Clock, Ttl, limits};
use strongroom_core::Lapse;
use strongroom_engine_static::ops::{
    CareChange, FindStale, PutSecret, ReadSecret, Removal, RemoveSecret, RestoreSecret, RollBack, SecretName,
};
use strongroom_policy::Lists;
use strongroom_sdk::Error;
use strongroom_secret::SecretText;
use strongroom_storage::{Embedded, Memory};

use crate::house::House;

async fn house() -> House {
    House::on(Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap())).await
}

fn named(name: &str) -> SecretName {
    SecretName {
        host: None,
        name: name.to_owned(),
    }
}

fn put(name: &str, value: &str, care: CareChange) -> PutSecret {
    PutSecret {
        secret: named(name),
        value: SecretText::new(value.to_owned()),
        expected: None,
        lists: Lists::default(),
        care,
    }
}

fn remove(name: &str) -> RemoveSecret {
    RemoveSecret {
        secret: named(name),
        removal: Removal::Restorable,
    }
}

fn restore(name: &str) -> RestoreSecret {
    RestoreSecret { secret: named(name) }
}

/// All rows of the instance say the same of each other.
async fn fits_together(house: House) {
    let (inspection, _dir) = house.rest().await;
    let check = inspection.check().await.unwrap();
    let findings: Vec<_> = check
        .findings
        .iter()
        .map(|found| format!("{} {}", found.row, found.misfit))
        .collect();
    assert_eq!(findings, [""; 0]);
}

const ALMOST: Ttl = Ttl::from_millis(limits::REMOVED_KEPT.as_millis() - 1);

#[tokio::test]
async fn a_removed_secret_is_kept_for_30_days_and_then_purged_to_the_last_row() {
    let house = house().await;
    assert_eq!(house.rows_of_secrets().await, 0);
    for large in ["v".to_owned(), "v".repeat(20_000)] {
        let admin = house.log_in("admin").await;
        for value in [&large, &large, &large] {
            house
                .call(&admin, put("a/key", value, CareChange::default()))
                .await
                .unwrap();
        }
        house.call(&admin, remove("a/key")).await.unwrap();
        house.clock.advance(ALMOST);
        house.tend().await;
        let admin = house.log_in("admin").await;
        house.call(&admin, restore("a/key")).await.unwrap();
        house.call(&admin, remove("a/key")).await.unwrap();
        house.clock.advance(limits::REMOVED_KEPT);
        let admin = house.log_in("admin").await;
        assert!(matches!(
            house.call(&admin, restore("a/key")).await,
            Err(Error::NotFound(_))
        ));
        house.tend().await;
        assert_eq!(house.rows_of_secrets().await, 0, "nothing is left");
    }
    fits_together(house).await;
}

#[tokio::test]
async fn a_secret_becomes_overdue_in_its_time_and_a_new_value_renews_it() {
    let house = house().await;
    let admin = house.log_in("admin").await;
    let hour = Ttl::from_hours(1);
    let rotating = CareChange {
        rotate_every: Some(Some(hour)),
        ..CareChange::default()
    };
    let expiring = CareChange {
        expires: Some(Some(house.clock.now().after(Ttl::from_hours(2)))),
        ..CareChange::default()
    };
    house
        .call(&admin, put("a/rotating", "v", rotating))
        .await
        .unwrap();
    house
        .call(&admin, put("a/expiring", "v", expiring))
        .await
        .unwrap();
    house
        .call(&admin, put("a/other", "v", CareChange::default()))
        .await
        .unwrap();
    let stale = async || {
        let found = house.call(&admin, FindStale::default()).await.unwrap().secrets;
        let told = house.tend().await;
        assert_eq!(
            found.len(),
            told.len(),
            "whoever asks and whoever is told see the same"
        );
        let names = found.iter().zip(told).map(|(found, told)| {
            assert_eq!((&found.path, found.lapse), (&told.path, Some(told.lapse)));
            (found.name.clone(), told.lapse)
        });
        names.collect::<Vec<_>>()
    };
    let read = async |name: &str| {
        let read = ReadSecret {
            secret: named(name),
            version: None,
        };
        house.call(&admin, read).await.is_ok()
    };
    house.clock.advance(Ttl::from_millis(hour.as_millis() - 1));
    assert_eq!(stale().await, []);
    assert!(read("a/rotating").await);
    house.clock.advance(Ttl::from_millis(1));
    let rotating = ("a/rotating".to_owned(), Lapse::RotationDue);
    assert_eq!(stale().await, std::slice::from_ref(&rotating));
    assert!(!read("a/rotating").await, "this instance refuses what is overdue");
    house.clock.advance(hour);
    let expiring = ("a/expiring".to_owned(), Lapse::Expired);
    assert_eq!(stale().await, [rotating, expiring.clone()]);
    house
        .call(&admin, put("a/rotating", "w", CareChange::default()))
        .await
        .unwrap();
    assert_eq!(stale().await, std::slice::from_ref(&expiring));
    assert!(read("a/rotating").await && !read("a/expiring").await);
    house.clock.advance(hour);
    assert_eq!(stale().await.len(), 2);
    let back = RollBack {
        secret: named("a/rotating"),
        to: 1,
        expected: None,
    };
    house.call(&admin, back).await.unwrap();
    assert_eq!(
        stale().await,
        std::slice::from_ref(&expiring),
        "a rollback is a new value, too"
    );
    house.call(&admin, remove("a/expiring")).await.unwrap();
    assert_eq!(stale().await, []);
    house.call(&admin, restore("a/expiring")).await.unwrap();
    assert_eq!(stale().await, [expiring]);
    let never = CareChange {
        expires: Some(None),
        ..CareChange::default()
    };
    house.call(&admin, put("a/expiring", "w", never)).await.unwrap();
    assert_eq!(stale().await, []);
    fits_together(house).await;
}

#[tokio::test]
async fn the_overdue_come_page_by_page() {
    let house = house().await;
    let admin = house.log_in("admin").await;
    for number in 0..20u64 {
        let care = CareChange {
            // Some at the same time.
            expires: Some(Some(house.clock.now().before(Ttl::from_secs(number / 3)))),
            ..CareChange::default()
        };
        house
            .call(&admin, put(&format!("a/{number}"), "v", care))
            .await
            .unwrap();
    }
    let all = house.call(&admin, FindStale::default()).await.unwrap();
    let names = |secrets: &[strongroom_engine_static::ops::SecretFacts]| {
        secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect::<Vec<_>>()
    };
    let all = names(&all.secrets);
    assert_eq!(all.len(), 20);
    for limit in [1, 3, 7] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = FindStale {
                after,
                limit: Some(limit),
                ..FindStale::default()
            };
            let page = house.call(&admin, page).await.unwrap();
            found.extend(names(&page.secrets));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, all, "{limit}");
    }
}
