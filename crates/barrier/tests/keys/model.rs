//! Random steps against what must be readable.

use proptest::prelude::*;

use crate::cluster::{Cluster, Step};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 0..2usize;
    let spot = || (0..2usize, 0..12u8);
    let step = prop_oneof![
        6 => (node(), spot()).prop_map(|(node, spot)| Step::Write(node, spot)),
        3 => (node(), spot()).prop_map(|(node, spot)| Step::Prepare(node, spot)),
        3 => Just(Step::CommitPrepared),
        1 => (node(), spot()).prop_map(|(node, spot)| Step::Delete(node, spot)),
        2 => node().prop_map(Step::Rotate),
        2 => node().prop_map(Step::Rewrap),
        6 => (node(), 1..12u8).prop_map(|(node, steps)| Step::Walk(node, steps)),
        1 => node().prop_map(Step::Restart),
        1 => node().prop_map(Step::Follow),
        3 => node().prop_map(Step::ReadAll),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_everything_reads_and_a_rewrap_leaves_nothing_old(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut cluster = Cluster::new().await;
            for (number, step) in steps.into_iter().enumerate() {
                cluster.take(number, step).await;
            }
            cluster.take(usize::MAX, Step::CommitPrepared).await;
            // One may have begun before the last rotation: what that made old is for the next.
            cluster.finish_rewrap(0).await;
            cluster.finish_rewrap(1).await;
            cluster.finish_rewrap(0).await;
            cluster.assert_nothing_old().await;
            for node in 0..2 {
                cluster.read_all(node).await;
                cluster.take(0, Step::Restart(node)).await;
                cluster.read_all(node).await;
            }
        });
    }
}
