//! Small requests of every common kind, one after the other.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{Member, one};
use crate::client::frame;
use crate::hostile::requests::{FETCH, METADATA, PRODUCE, fetch, metadata, produce};

/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(500);

pub async fn run(member: Member) {
    loop {
        // Whatever ends it has been counted.
        let _ = work(&member).await;
        member.on_ended().await;
    }
}

async fn work(member: &Member) -> Result<()> {
    let target = &member.target;
    let requests = [
        frame(&produce(&target.noise, &[b'b'; 100], 1), PRODUCE)?,
        frame(&fetch(&target.full, 0, 10_000, 0), FETCH)?,
        frame(&metadata(10), METADATA)?,
    ];
    let mut stream = member.dial().await?;
    let mut answer = Vec::new();
    loop {
        for request in &requests {
            stream.write_all(request).await?;
            one(&member.counts.requests);
            let size = stream.read_i32().await?;
            answer.resize(usize::try_from(size)?, 0);
            stream.read_exact(&mut answer).await?;
            one(&member.counts.answers);
            sleep(PACE).await;
        }
    }
}
