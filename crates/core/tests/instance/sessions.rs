//! How long a token is good for: 12 hours without use, 30 days in any case.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use strongroom_base::{Clock, Timestamp, Ttl};
use strongroom_core::accounts::{Refresh, WhoAmI};
use strongroom_sdk::{Error, NotProved};
use strongroom_storage::{Embedded, Memory};
use tokio::runtime::Runtime;

use crate::house::{FORM, House};

const HOUR: Ttl = Ttl::from_hours(1);
const DAYS_30: Ttl = Ttl::from_hours(30 * 24);

async fn house() -> House {
    House::on(Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap())).await
}

impl House {
    /// Uses `token`; tells whether it was good.
    async fn accepts(&self, token: &str) -> bool {
        match self
            .call(
                token,
                WhoAmI {
                    count_sessions: false,
                },
            )
            .await
        {
            Ok(_) => true,
            Err(Error::Unauthenticated(NotProved::UnknownToken)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn refresh(&self, token: &str) -> String {
        self.call(token, Refresh { form: FORM })
            .await
            .unwrap()
            .token
            .expose()
            .to_owned()
    }
}

fn hours(hours: u64) -> Ttl {
    Ttl::from_hours(hours)
}

/// One millisecond less.
fn almost(ttl: Ttl) -> Ttl {
    Ttl::from_millis(ttl.as_millis() - 1)
}

#[tokio::test]
async fn a_token_that_is_not_used_ends_after_12_hours() {
    let house = house().await;
    let token = house.log_in("admin").await;
    let other = house.log_in("admin").await;
    house.clock.advance(almost(hours(12)));
    assert!(house.accepts(&token).await);
    house.clock.advance(Ttl::from_millis(1));
    // Nothing has cleaned up since: the session's own record decides.
    assert!(!house.accepts(&other).await);
    assert!(house.accepts(&token).await, "its use has extended it");
}

#[tokio::test]
async fn a_use_extends_it_only_when_an_hour_is_to_be_won() {
    let house = house().await;
    let token = house.log_in("admin").await;
    house.clock.advance(almost(HOUR));
    assert!(house.accepts(&token).await);
    house.clock.advance(hours(11));
    house.clock.advance(Ttl::from_millis(1));
    assert!(
        !house.accepts(&token).await,
        "its only use came too early to extend it"
    );

    let token = house.log_in("admin").await;
    house.clock.advance(HOUR);
    assert!(house.accepts(&token).await);
    house.clock.advance(almost(hours(12)));
    assert!(house.accepts(&token).await);
}

#[tokio::test]
async fn a_token_ends_after_30_days_and_a_refreshed_one_with_it() {
    let house = house().await;
    let start = house.clock.now();
    let mut tokens = vec![house.log_in("admin").await];
    for uses in 1..=65 {
        house.clock.advance(hours(11));
        for token in &tokens {
            assert!(house.accepts(token).await, "use {uses}");
        }
        if uses % 20 == 0 {
            tokens.push(house.refresh(&tokens[tokens.len() - 1]).await);
        }
    }
    let end = start.after(DAYS_30);
    house.clock.advance(almost(end.since(house.clock.now())));
    for token in &tokens {
        assert!(house.accepts(token).await);
    }
    house.clock.advance(Ttl::from_millis(1));
    for token in &tokens {
        assert!(!house.accepts(token).await);
    }
    assert_eq!(tokens.len(), 4);
}

#[tokio::test]
async fn an_expired_token_cannot_be_refreshed_and_does_not_keep_its_holder_from_logging_in() {
    let house = house().await;
    let token = house.log_in("admin").await;
    house.clock.advance(hours(12));
    let refused = house.call(&token, Refresh { form: FORM }).await;
    assert!(matches!(
        refused,
        Err(Error::Unauthenticated(NotProved::UnknownToken))
    ));
    let token = house.log_in("admin").await;
    assert!(house.accepts(&token).await);
}

/// The documented rule, in a few lines.
struct Model {
    ends: Timestamp,
    deadline: Timestamp,
}

impl Model {
    fn accepts(&mut self, now: Timestamp) -> bool {
        let renewed = now.after(hours(12)).min(self.deadline);
        let is_live = now < self.ends;
        if is_live && renewed.since(self.ends) >= HOUR {
            self.ends = renewed;
        }
        is_live
    }
}

/// Pauses between uses, many of them at the edges of the rule, and few of them too long.
fn a_pause() -> impl Strategy<Value = Ttl> {
    let millis = |ttl: Ttl| ttl.as_millis();
    prop_oneof![
        10 => (0..millis(HOUR)).prop_map(Ttl::from_millis),
        3 => Just(almost(HOUR)),
        3 => Just(HOUR),
        30 => (millis(hours(10))..millis(hours(11))).prop_map(Ttl::from_millis),
        20 => (millis(hours(11))..millis(hours(12))).prop_map(Ttl::from_millis),
        1 => Just(hours(12)),
    ]
}

async fn follows_the_rule(house: &House, steps: Vec<(Ttl, bool)>) -> Result<(), TestCaseError> {
    let begin = async || {
        let now = house.clock.now();
        let model = Model {
            ends: now.after(hours(12)),
            deadline: now.after(DAYS_30),
        };
        (house.log_in("admin").await, model)
    };
    let (mut token, mut model) = begin().await;
    for (pause, refresh) in steps {
        house.clock.advance(pause);
        let now = house.clock.now();
        let expected = model.accepts(now);
        prop_assert_eq!(house.accepts(&token).await, expected);
        if !expected {
            (token, model) = begin().await;
        } else if refresh {
            token = house.refresh(&token).await;
            model.ends = now.after(hours(12)).min(model.deadline);
        }
    }
    Ok(())
}

#[test]
fn any_pattern_of_use_and_refresh_follows_the_rule() {
    let runtime = Runtime::new().unwrap();
    let house = runtime.block_on(house());
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let steps = proptest::collection::vec((a_pause(), prop::bool::weighted(0.1)), 1..120);
    TestRunner::new(config)
        .run(&steps, |steps| runtime.block_on(follows_the_rule(&house, steps)))
        .unwrap();
}
