//! What people write, and what coordinators do.

use engine::group::{CommittedOffset, GroupSnapshot, MemberSnapshot, OffsetKey, Record};

use wire::Uuid;

use super::{Inputs, chunk};

pub fn configurations() -> Inputs {
    let three = "process.roles=broker,controller\nnode.id=2\n\
                 controller.quorum.voters=1@a:9093,2@b:9093,3@c:9093\n\
                 listeners=PLAINTEXT://:9092,EXTERNAL://:19092,CONTROLLER://:9093\n\
                 advertised.listeners=PLAINTEXT://b:9092,EXTERNAL://localhost:19092\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                 inter.broker.listener.name=PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
                 log.dirs=/data/a,/data/b\nlog.retention.hours=168\nlog.segment.bytes=1073741824\n";
    let variables = "# from the image\n! a comment\nnode.id = 1\nspaced key\\\n  value\n\
                     \\u0061\\:b=c\n---\nKAFKA_NODE_ID=3\nKAFKA_LOG_DIRS=/x\nKAFKA_A__B___C=1\n\
                     KAFKA_LOG_RETENTION_MINUTES=9223372036854775807\n";
    let limits = "max.connections=5\nmax.connections.per.ip=2\nqueued.max.request.bytes=1\n\
                  num.network.threads=1\nnum.partitions=0\nmin.insync.replicas=3\nlog.cleanup.policy=compact\n\
                  offsets.retention.minutes=307445734561825861\nlog.dirs=,\n";
    let settings = "log.retention.hours=2\n---\nKAFKA_LOG_SEGMENT_BYTES=1048576\n---\nretention.ms=-1\n\
                    retention.bytes=9223372036854775807\nsegment.bytes=+14\ncleanup.policy=compact, delete\n\
                    min.cleanable.dirty.ratio=5e-1\nmin.insync.replicas= 2 \nmax.message.bytes=2147483647\n\
                    unclean.leader.election.enable=TRUE\nmessage.timestamp.type=LogAppendTime\n";
    [
        ("three", three),
        ("variables", variables),
        ("limits", limits),
        ("settings", settings),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

pub fn connectors() -> Inputs {
    let flat = r#"{"name":"sink","connector.class":"io.confluent.connect.s3.S3SinkConnector","topics":"web-logs,bk-orders",
"s3.bucket.name":"b","s3.region":"eu-central-1","flush.size":"10","rotate.schedule.interval.ms":60000,
"s3.compression.type":"gzip","s3.compression.level":9,"store.url":"http://localhost:9000",
"aws.access.key.id":"${env:ID}","aws.secret.access.key":"${env:KEYS}","topics.dir":"topics"}"#;
    let envelope = r#"{"name":"sink","config":{"topics":"a","s3.path.style.access.enabled":true,"timezone":"UTC"}}"#;
    [("flat", flat), ("envelope", envelope)]
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .into()
}

pub fn group_records() -> Inputs {
    let member = MemberSnapshot {
        member_id: "member-1".into(),
        instance_id: Some("static".into()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        subscription: vec![0, 1, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff].into(),
        assignment: vec![0, 0, 0, 0, 0, 0].into(),
    };
    let group = GroupSnapshot {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("member-1".into()),
        state_timestamp_ms: 1_700_000_000_000,
        members: vec![member],
    };
    let key = OffsetKey {
        group: "g".into(),
        topic: "t".into(),
        partition: 1,
    };
    let offset = CommittedOffset {
        offset: 17,
        leader_epoch: 2,
        metadata: "note".into(),
        commit_timestamp_ms: 1_700_000_000_000,
        expire_timestamp_ms: None,
        topic_id: Uuid::default(),
    };
    let records = [
        Record::Group {
            group: "g".into(),
            value: Some(group),
        },
        Record::Offset {
            key: key.clone(),
            value: Some(offset),
        },
        Record::Offset { key, value: None },
        Record::Group {
            group: "h".into(),
            value: None,
        },
    ];
    let mut all = Vec::new();
    for record in &records {
        let (key, value) = record.encode().expect("it is small");
        chunk(&key, &mut all);
        match value {
            Some(value) => chunk(&value, &mut all),
            None => all.extend_from_slice(&u16::MAX.to_be_bytes()),
        }
    }
    vec![("groups".into(), all)]
}

pub fn lines() -> Inputs {
    let keyed = "parse.key=true\nkey.separator=||\nnull.marker=NULL\n---\nk||v||w\nNULL||NULL\nno separator\n||\n";
    let headed =
        "parse.key=true\nparse.headers=true\nignore.error=true\n---\nh:1,g:2\tk\tv\nh\tk\nv\n\n";
    let equal = "headers.separator=:\n---\nv\n";
    [("keyed", keyed), ("headed", headed), ("equal", equal)]
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .into()
}

/// What is said to the HTTP port, behind how many bytes at a time.
pub fn pages() -> Inputs {
    let head = |line: &str, more: &str| format!("{line}\r\nHost: broker\r\n{more}\r\n");
    let three = [
        head("GET /healthz HTTP/1.1", ""),
        head(
            "HEAD /metrics?a=%00&b=%zz HTTP/1.1",
            "Accept: text/plain\r\n",
        ),
        head("GET /readyz HTTP/1.1", "Connection: close\r\n"),
    ];
    let chunked = "Transfer-Encoding: chunked\r\n";
    let body = "5\r\nhello\r\nffffffffffffffff\r\n";
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let inputs = [
        ("three", 0, three.concat()),
        ("slow", 3, head("GET /metrics HTTP/1.1", "")),
        ("chunked", 0, head("POST /metrics HTTP/1.1", chunked) + body),
        (
            "length",
            0,
            head(
                "PUT /readyz HTTP/1.1",
                "Content-Length: 18446744073709551615\r\n",
            ),
        ),
        (
            "two-lengths",
            0,
            head(
                "POST / HTTP/1.1",
                "Content-Length: 1\r\nContent-Length: 2\r\n",
            ),
        ),
        (
            "upgrade",
            0,
            head("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        ),
        (
            "http2",
            0,
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(),
        ),
        ("many-headers", 64, head("GET /metrics HTTP/1.1", &many)),
        ("proxy", 0, head("CONNECT broker:9092 HTTP/1.1", "")),
        ("old", 0, "GET /metrics HTTP/1.0\r\n\r\n".to_owned()),
    ];
    inputs
        .map(|(name, chunk, text)| {
            let input = [&[chunk][..], text.as_bytes()].concat();
            (name.to_owned(), input)
        })
        .into()
}
