//! `strongroom-register-node URL [BUG]`: see [`strongroom_cluster::node`].

use anyhow::{Context, Result};
use strongroom_cluster::node::{self, Bug};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().context("the URL of a database is missing")?;
    let bug = args
        .next()
        .map(|name| Bug::from_name(&name).context("no such bug"));
    let bug = bug.transpose()?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(node::serve(&url, bug))
}
