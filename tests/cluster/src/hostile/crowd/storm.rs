//! Connects and closes, as fast as it can.

use anyhow::Result;
use tokio::io::AsyncWriteExt;

use super::{Member, one};

const GARBAGE: [u8; 64] = [0x16; 64];

pub async fn run(member: Member) {
    for turn in 0u64.. {
        if flash(&member, turn).await.is_err() {
            member.on_ended().await;
        }
    }
}

async fn flash(member: &Member, turn: u64) -> Result<()> {
    let mut stream = member.dial().await?;
    if turn.is_multiple_of(2) {
        stream.write_all(&GARBAGE).await?;
        one(&member.counts.requests);
    }
    if turn.is_multiple_of(3) {
        // The other way to go: a reset.
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))?;
    }
    Ok(())
}
