//! Length prefixes of which nothing is true.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Member, one};

pub async fn run(member: Member) {
    let largest = i32::try_from(member.target.frame_max).unwrap_or(i32::MAX);
    let sizes = [i32::MAX, i32::MIN, -1, largest + 1, largest, largest - 1];
    for turn in member.number.. {
        // Whatever ends it has been counted.
        let _ = announce(&member, sizes[turn % sizes.len()]).await;
        member.on_ended().await;
    }
}

async fn announce(member: &Member, size: i32) -> Result<()> {
    let mut stream = member.dial().await?;
    stream.write_all(&size.to_be_bytes()).await?;
    one(&member.counts.requests);
    // Of one that is small enough for the broker, nothing follows.
    stream.read_u8().await?;
    Ok(())
}
