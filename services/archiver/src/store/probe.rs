//! The startup probe: a store that ignores `If-None-Match: *` would let two owners overwrite each other's objects, so it
//! is refused before the first record is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::join_all;
use pipeline::Backoff;

use super::{Objects, Put, Unclear};

/// Writers that compete for the probe's key.
const WRITERS: usize = 8;

/// What the probe found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the store ignores If-None-Match: * ({winners} of {writers} writers of one key were told that theirs was stored), \
         so records could be lost or doubled: it cannot be used. Stores that honour it: AWS S3, versitygw, s3proxy"
    )]
    Ignored { winners: usize, writers: usize },
    #[error("the store does not know the condition If-None-Match: *, so it cannot be used: {0}")]
    Unsupported(Unclear),
}

/// Asks until the store has answered clearly. `on_wait` hears why it has to be asked again.
pub async fn run<O: Objects + 'static>(
    objects: &Arc<O>,
    topics_dir: &str,
    on_wait: impl Fn(&Unclear),
) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    loop {
        let unclear = match once(objects, topics_dir).await {
            Ok(outcome) => return outcome,
            Err(unclear) if unclear.unsupported => return Err(Error::Unsupported(unclear)),
            Err(unclear) => unclear,
        };
        on_wait(&unclear);
        backoff.wait().await;
    }
}

async fn once<O: Objects>(
    objects: &Arc<O>,
    topics_dir: &str,
) -> Result<Result<(), Error>, Unclear> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let key = format!(
        "{topics_dir}/_probe-{}-{:08x}",
        since.as_millis(),
        rand::random::<u32>()
    );
    let metadata = HashMap::new();
    let put = || objects.put_if_absent(&key, Bytes::from_static(b"probe\n"), &metadata);
    let race = join_all((0..WRITERS).map(|_| put())).await;
    let late = put().await;
    if let Err(left) = objects.delete(&key).await {
        tracing::warn!(key, %left, "the probe's object stays behind");
    }
    let mut winners = usize::from(late? == Put::Stored);
    let mut unclear = None;
    for outcome in race {
        match outcome {
            Ok(Put::Stored) => winners += 1,
            Ok(Put::Exists) => {}
            // A conflict (409) with a writer under way: one of the others has it.
            Err(error) => unclear = Some(error),
        }
    }
    match (winners, unclear) {
        (1, _) => Ok(Ok(())),
        (0, Some(unclear)) => Err(unclear),
        (0, None) => Err(Unclear::new("PUT", &key, "no writer won")),
        (winners, _) => Ok(Err(Error::Ignored {
            winners,
            writers: WRITERS + 1,
        })),
    }
}

#[cfg(test)]
mod tests;
