//! Asks for much and reads a byte a second; or sends a request byte by byte.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::{Member, one};
use crate::client::frame;
use crate::hostile::requests::{FETCH, METADATA, PRODUCE, fetch, metadata, produce};

const PER_BYTE: Duration = Duration::from_secs(1);
/// The largest answer that is asked for.
const MUCH: i32 = 8 << 20;
/// Topics whose metadata is asked for.
const NAMES: usize = 5000;
/// Requests that are sent ahead: their answers are more than the sockets of a connection hold.
const AHEAD: usize = 40;
/// Of a request: small for the broker, and large.
const SIZES: [usize; 2] = [60_000, 1_000_000];

pub async fn read(member: Member) {
    loop {
        // Whatever ends it has been counted.
        let _ = read_slowly(&member).await;
        member.on_ended().await;
    }
}

async fn read_slowly(member: &Member) -> Result<()> {
    let request = match member.number % 20 {
        0..19 => frame(&fetch(&member.target.full, 0, MUCH, 0), FETCH)?,
        _ => frame(&metadata(NAMES), METADATA)?,
    };
    let mut stream = member.dial().await?;
    for _ in 0..AHEAD {
        // The broker reads no more while it is not read.
        let Ok(sent) = timeout(PER_BYTE, stream.write_all(&request)).await else {
            break;
        };
        sent?;
        one(&member.counts.requests);
    }
    loop {
        stream.read_u8().await?;
        sleep(PER_BYTE).await;
    }
}

pub async fn write(member: Member) {
    loop {
        // Whatever ends it has been counted.
        let _ = write_slowly(&member).await;
        member.on_ended().await;
    }
}

async fn write_slowly(member: &Member) -> Result<()> {
    let size = SIZES[member.number / 2 % SIZES.len()];
    let request = frame(
        &produce(&member.target.noise, &vec![b's'; size], 1),
        PRODUCE,
    )?;
    let mut stream = member.dial().await?;
    // Half of them begin like anybody else.
    let at_once = match member.number % 2 {
        0 => 0,
        _ => request.len() * 9 / 10,
    };
    stream.write_all(&request[..at_once]).await?;
    for byte in &request[at_once..] {
        stream.write_all(&[*byte]).await?;
        sleep(PER_BYTE / 10).await;
    }
    one(&member.counts.requests);
    Ok(())
}
