//! Shares from several people, wrong ones, and those who try by thousands.

use proptest::prelude::*;
use strongroom_base::{SystemRng, limits};
use strongroom_shamir::Threshold;

use super::*;
use crate::{NewSlot, SealKey};

const HERE: InstanceId = InstanceId::from_bytes([1; 16]);
const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct World {
    root: RootKey,
    slots: Slots,
    /// The shares of each set.
    sets: Vec<Vec<SecretText>>,
}

/// An instance with a key file and a slot for each of `thresholds`.
async fn world(thresholds: &[(u8, u8)]) -> World {
    let rng = SystemRng::default();
    let root = RootKey::generate(&rng);
    let new = |kind| NewSlot {
        kind,
        label: String::new(),
        created: NOON,
    };
    let key = SealKey::generate(&rng);
    let mut slots = Slots::create(HERE, &root, new(SlotKind::KeyFile), &key, &rng)
        .await
        .unwrap();
    let mut sets = Vec::new();
    for (needed, shares) in thresholds {
        let threshold = Threshold::new(*needed, *shares).unwrap();
        let (set, key, texts) = ShareSet::generate(threshold, &rng).unwrap();
        slots
            .add(HERE, &root, new(SlotKind::Shares(set)), &key, &rng)
            .await
            .unwrap();
        sets.push(texts);
    }
    World { root, slots, sets }
}

impl World {
    fn state(&self) -> SealState {
        SealState::new(HERE, &self.slots)
    }
}

/// What `text` does, in a word.
fn submit(state: &mut SealState, text: &SecretText) -> String {
    match state.submit("10.0.0.1", text, NOON) {
        Ok(Progress::Waiting(Waiting { slot, given, needed })) => format!("slot {slot}: {given} of {needed}"),
        Ok(Progress::Opened { slot, .. }) => format!("opened by slot {slot}"),
        Err(error) => error.to_string(),
    }
}

/// The share in Vault's form.
fn plain(text: &SecretText) -> SecretText {
    let share = ShareText::parse(text).unwrap().share;
    SecretText::new(share.expose().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[tokio::test]
async fn the_last_share_that_is_needed_opens() {
    let world = world(&[(3, 5)]).await;
    let [shares] = &world.sets[..] else { panic!() };
    let mut state = world.state();
    assert_eq!(submit(&mut state, &shares[4]), "slot 2: 1 of 3");
    assert_eq!(submit(&mut state, &plain(&shares[0])), "slot 2: 2 of 3");
    assert_eq!(
        state.progress(),
        [Waiting {
            slot: 2,
            given: 2,
            needed: 3
        }]
    );
    match state.submit("10.0.0.2", &shares[1], NOON) {
        Ok(Progress::Opened { slot: 2, root }) => assert!(root.expose() == world.root.expose()),
        _ => panic!("it does not open"),
    }
    assert_eq!(
        state.progress(),
        [Waiting {
            slot: 2,
            given: 0,
            needed: 3
        }]
    );
}

#[tokio::test]
async fn doubled_foreign_and_cut_shares_change_nothing() {
    let world = world(&[(2, 3)]).await;
    let elsewhere = self::world(&[(2, 3)]).await;
    let shares = &world.sets[0];
    let mut state = world.state();
    assert_eq!(submit(&mut state, &shares[0]), "slot 2: 1 of 2");
    let cut = SecretText::new(shares[1].expose()[..50].to_owned());
    for (wrong, why) in [
        (&shares[0], "the share was given before: give another one"),
        (&plain(&shares[0]), "the share was given before: give another one"),
        (&elsewhere.sets[0][1], "the share is of another set"),
        (&cut, "the share is cut short: 30 letters are missing"),
        (
            &SecretText::new("hello".into()),
            "this is no share: it begins with `srshare1-`, or is the base64 or hex of 33 bytes",
        ),
    ] {
        assert_eq!(submit(&mut state, wrong), why);
    }
    assert_eq!(submit(&mut state, &shares[2]), "opened by slot 2");
}

#[tokio::test]
async fn shares_that_do_not_belong_together_say_no_more_than_that() {
    let world = world(&[(2, 3)]).await;
    let elsewhere = self::world(&[(2, 3)]).await;
    let shares = &world.sets[0];
    let mut state = world.state();
    submit(&mut state, &shares[0]);
    // In Vault's form a share does not say that it is of another set.
    let wrong = submit(&mut state, &plain(&elsewhere.sets[0][1]));
    assert_eq!(
        wrong,
        "the shares do not open slot 2: they are not all of its set; begin again with the first share"
    );
    assert_eq!(submit(&mut state, &shares[0]), "slot 2: 1 of 2");
    state.reset();
    assert_eq!(submit(&mut state, &shares[1]), "slot 2: 1 of 2");
    assert_eq!(submit(&mut state, &shares[2]), "opened by slot 2");
}

#[tokio::test]
async fn two_slots_wait_side_by_side() {
    let world = world(&[(2, 3), (3, 3)]).await;
    let [two, three] = &world.sets[..] else { panic!() };
    let mut state = world.state();
    assert_eq!(submit(&mut state, &three[0]), "slot 3: 1 of 3");
    assert_eq!(submit(&mut state, &two[0]), "slot 2: 1 of 2");
    assert_eq!(submit(&mut state, &three[1]), "slot 3: 2 of 3");
    assert_eq!(submit(&mut state, &three[2]), "opened by slot 3");

    // Shares in Vault's form count for every slot until one opens.
    let mut state = world.state();
    assert_eq!(submit(&mut state, &plain(&three[0])), "slot 2: 1 of 2");
    assert_eq!(submit(&mut state, &plain(&three[1])), "slot 3: 2 of 3");
    assert_eq!(submit(&mut state, &plain(&three[2])), "opened by slot 3");
}

#[tokio::test]
async fn without_such_a_slot_shares_are_refused() {
    let (without, with) = (world(&[]).await, world(&[(2, 2)]).await);
    let mut state = without.state();
    assert_eq!(
        submit(&mut state, &with.sets[0][0]),
        "no seal slot of this instance opens by shares"
    );
}

#[tokio::test]
async fn thousands_of_attempts_are_throttled_and_keep_nobody_else_out() {
    let world = world(&[(2, 2)]).await;
    let shares = &world.sets[0];
    let mut state = world.state();
    let nonsense = SecretText::new("nonsense".into());
    let admitted = (0..5_000)
        .filter(|_| {
            let refused = state.submit("6.6.6.6", &nonsense, NOON).err();
            !matches!(refused, Some(SubmitError::Throttled { .. }))
        })
        .count();
    assert_eq!(
        admitted,
        usize::try_from(limits::UNSEAL_FAILURES_PER_SOURCE).unwrap()
    );
    // A right share from there must wait as well; from elsewhere it need not.
    let retry_after = limits::UNSEAL_WINDOW;
    assert_eq!(
        state.submit("6.6.6.6", &shares[0], NOON).err(),
        Some(SubmitError::Throttled { retry_after })
    );
    assert_eq!(submit(&mut state, &shares[0]), "slot 2: 1 of 2");
    assert!(
        state
            .submit("6.6.6.6", &shares[1], NOON.after(retry_after))
            .is_ok()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// A model: whatever comes in whatever order, it opens exactly when enough different shares of one set are there.
    #[test]
    fn it_opens_exactly_when_enough_different_shares_are_there(
        picks in proptest::collection::vec((0usize..2, 0usize..4), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = runtime.block_on(world(&[(2, 4), (3, 4)]));
        let mut state = world.state();
        let mut seen = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
        for (set, share) in picks {
            let is_new = seen[set].insert(share);
            let step = state.submit("s", &world.sets[set][share], NOON);
            if is_new && seen[set].len() == set + 2 {
                let opened = matches!(&step, Ok(Progress::Opened { root, .. }) if root.expose() == world.root.expose());
                prop_assert!(opened);
                seen.iter_mut().for_each(std::collections::BTreeSet::clear);
            } else if is_new {
                let given = seen[set].len();
                prop_assert!(matches!(step, Ok(Progress::Waiting(waiting)) if waiting.given == given));
            } else {
                prop_assert!(matches!(step, Err(SubmitError::Doubled)));
            }
        }
    }
}
