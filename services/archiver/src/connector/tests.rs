//! The connector's properties: what is accepted, what is refused and why.

use super::*;

fn parse(text: &str) -> Result<Connector, Error> {
    Connector::parse(text.as_bytes(), |name| {
        (name == "BUCKET").then(|| "demo".to_owned())
    })
}

fn with(key: &str, value: &str) -> Result<Connector, Error> {
    parse(&format!(
        r#"{{"topics":"a","s3.bucket.name":"b","{key}":"{value}"}}"#
    ))
}

#[test]
fn flat_form_and_rest_envelope_mean_the_same() {
    let properties = r#""connector.class":"io.confluent.connect.s3.S3SinkConnector","tasks.max":"1",
        "topics":"web-logs, bk-orders","s3.bucket.name":"b","s3.region":"eu-central-1","store.url":"http://localhost:9000/",
        "flush.size":"10","rotate.schedule.interval.ms":10000,"timezone":"UTC","s3.compression.type":"gzip",
        "storage.class":"io.confluent.connect.s3.storage.S3Storage",
        "format.class":"io.confluent.connect.s3.format.json.JsonFormat",
        "partitioner.class":"io.confluent.connect.storage.partitioner.DefaultPartitioner","schema.compatibility":"NONE",
        "key.converter":"org.apache.kafka.connect.storage.StringConverter",
        "value.converter":"org.apache.kafka.connect.json.JsonConverter","value.converter.schemas.enable":false"#;
    let flat = parse(&format!(r#"{{"name":"sink",{properties}}}"#)).expect("the flat form");
    let envelope =
        parse(&format!(r#"{{"name":"sink","config":{{{properties}}}}}"#)).expect("the envelope");
    assert_eq!(flat, envelope);
    assert_eq!(flat.topics, ["web-logs", "bk-orders"]);
    assert_eq!(flat.store_url.as_deref(), Some("http://localhost:9000"));
    assert_eq!(flat.rotate_interval, Some(Duration::from_secs(10)));
    assert_eq!(flat.compression, Compression::Gzip(6));
}

#[test]
fn defaults_are_those_documented() {
    let connector = parse(r#"{"topics":"a","s3.bucket.name":"b"}"#).expect("a minimal file");
    assert_eq!(
        (connector.flush_size, connector.rotate_interval),
        (10, None)
    );
    assert_eq!(
        (connector.topics_dir.as_str(), connector.name.as_str()),
        ("topics", "s3-sink")
    );
    assert_eq!(
        (connector.compression, connector.store_url),
        (Compression::None, None)
    );
}

#[test]
fn values_come_from_the_environment_when_asked() {
    let connector =
        parse(r#"{"topics":"a","s3.bucket.name":"x-${env:BUCKET}-y"}"#).expect("a set variable");
    assert_eq!(connector.bucket.as_deref(), Some("x-demo-y"));
    let missing = Error::Environment {
        key: "s3.bucket.name".into(),
        variable: "NONE".into(),
    };
    assert_eq!(
        parse(r#"{"topics":"a","s3.bucket.name":"${env:NONE}"}"#),
        Err(missing)
    );
}

#[test]
fn a_value_that_we_do_not_do_is_named_with_what_is_allowed() {
    let error = with(
        "format.class",
        "io.confluent.connect.s3.format.parquet.ParquetFormat",
    )
    .expect_err("parquet");
    let text = error.to_string();
    assert!(
        text.contains("format.class")
            && text.contains("ParquetFormat")
            && text.contains("json.JsonFormat"),
        "{text}"
    );
    for (key, value) in [
        (
            "partitioner.class",
            "io.confluent.connect.storage.partitioner.TimeBasedPartitioner",
        ),
        ("value.converter", "io.confluent.connect.avro.AvroConverter"),
        ("value.converter.schemas.enable", "true"),
        ("schema.compatibility", "BACKWARD"),
        ("rotate.interval.ms", "60000"),
        ("s3.compression.type", "zstd"),
        ("topics.regex", ".*"),
        ("errors.tolerance", "none"),
    ] {
        let error = with(key, value).expect_err(key).to_string();
        assert!(error.contains(key) && error.contains(value), "{error}");
    }
}

#[test]
fn nonsense_is_refused() {
    for (key, value) in [
        ("flush.size", "0"),
        ("flush.size", "ten"),
        ("tasks.max", "0"),
        ("rotate.schedule.interval.ms", "0"),
        ("topics", " , "),
        ("topics", "a/b"),
        ("topics.dir", "/x"),
        ("store.url", "localhost:9000"),
        ("aws.access.key.id", "only half"),
        ("flush.sise", "10"),
    ] {
        assert!(with(key, value).is_err(), "{key} = {value}");
    }
    assert_eq!(
        parse(r#"{"s3.bucket.name":"b"}"#),
        Err(Error::Missing("topics"))
    );
    assert!(matches!(parse("[]"), Err(Error::NotJson(_))));
    assert!(matches!(
        parse(r#"{"topics":["a"]}"#),
        Err(Error::NotScalar(_))
    ));
}
