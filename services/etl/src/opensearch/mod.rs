//! The OpenSearch sink: bulk requests with ids that make a repetition harmless, and the position beside the documents.
//!
//! A document's id is the place of its record, and it is only ever created: storing a batch again changes nothing. So the
//! position may lag behind the documents. It lives in OpenSearch too, because documents and position must share one fate:
//! a store that comes back empty must be filled again from the start.

mod bulk;
mod client;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use pipeline::{DeadLetters, Error, Sink, Source};
use tokio::sync::OnceCell;

use crate::model::Topics;
pub use bulk::{document, document_id, index_name};
use client::Client;
pub use schema::{GAPS_INDEX, OFFSETS_INDEX};
use writer::OpenSearchWriter;

/// The sink's name in metrics, dead letters and messages.
pub const NAME: &str = "opensearch";

pub(crate) struct Store {
    client: Client,
    topics: Topics,
    dead_letters: DeadLetters,
    prepared: OnceCell<()>,
}

/// Stores records in OpenSearch.
pub struct OpenSearch(Arc<Store>);

impl OpenSearch {
    /// Does not connect yet; the store may come later. `ca_file` holds further certificates to trust.
    ///
    /// # Errors
    /// When the URL or that file cannot be read, or a topic cannot give an index its name.
    pub fn new(
        url: &str,
        ca_file: Option<&Path>,
        topics: Topics,
        dead_letters: DeadLetters,
    ) -> anyhow::Result<OpenSearch> {
        for topic in topics.names() {
            if topic != topic.to_lowercase() || topic.starts_with(['_', '-', '+', '.']) {
                anyhow::bail!(
                    "topic {topic:?} cannot give an OpenSearch index its name: it must be in lower case and begin with a letter or digit"
                );
            }
        }
        let client = Client::new(url, ca_file)?;
        Ok(OpenSearch(Arc::new(Store {
            client,
            topics,
            dead_letters,
            prepared: OnceCell::new(),
        })))
    }
}

impl Sink for OpenSearch {
    type Writer = OpenSearchWriter;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn open(&self, source: &Source) -> Result<(OpenSearchWriter, i64), Error> {
        let store = &self.0;
        let kind = store.topics.kind(&source.partition.topic)?;
        store
            .prepared
            .get_or_try_init(|| schema::prepare(&store.client, &store.topics))
            .await?;
        let mut writer = OpenSearchWriter::new(store.clone(), kind, source.clone());
        let position = writer.claim().await?;
        Ok((writer, position))
    }
}
