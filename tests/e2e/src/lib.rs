//! The whole mesh against real PostgreSQL, OpenSearch and S3.
