//! One side of a call in a lab of `callbox natlab`: side `a` calls `b`.

use std::{env, time::Duration};

use anyhow::{Context, Result};
use nat_tests::{answer, call};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<()> {
    let [side, server, token] = ["NATLAB_SIDE", "NATLAB_WS", "NATLAB_TOKEN"]
        .map(|name| env::var(name).with_context(|| format!("{name}: there is no lab")));
    let (server, token) = (server?, token?);
    let is_caller = side? == "a";
    let mut call = match is_caller {
        // The other side may not be online yet.
        true => loop {
            match call(&server, &token, "b").await {
                Ok(call) => break call,
                Err(error) => eprintln!("{error:#}; it is called again"),
            }
            sleep(Duration::from_secs(1)).await;
        },
        false => answer(&server, &token, || {}).await?,
    };
    let path = call.path().await.context("the call has no path")?;
    println!("{} to {}", path.local.typ, path.remote.typ);
    // The caller hangs up when it has the answer to its text. The end of the call, which does not
    // take the path of the media, cannot overtake a text then.
    if is_caller {
        call.send("hello").await?;
    }
    println!("received {}", call.text().await?);
    if is_caller {
        return call.end().await;
    }
    call.send("hello").await?;
    call.ended().await;
    Ok(())
}
