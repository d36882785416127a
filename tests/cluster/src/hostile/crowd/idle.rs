//! Connects and says nothing more.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::messages::ApiVersionsRequest;

use super::{Member, one};
use crate::client::frame;
use crate::hostile::requests::API_VERSIONS;

pub async fn run(member: Member) {
    loop {
        // Whatever ends it has been counted.
        let _ = stay(&member).await;
        member.on_ended().await;
    }
}

async fn stay(member: &Member) -> Result<()> {
    let mut stream = member.dial().await?;
    if member.number.is_multiple_of(2) {
        let request = ApiVersionsRequest {
            client_software_name: "idle".into(),
            client_software_version: "1".into(),
        };
        let frame = frame(&request, API_VERSIONS)?;
        stream.write_all(&frame).await?;
        one(&member.counts.requests);
    }
    let mut answer = [0; 256];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}
