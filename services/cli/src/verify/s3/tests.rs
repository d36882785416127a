//! Reading an archive whose listing is not the whole truth, from a store that speaks just enough of S3.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use aws_sdk_s3::config::{Credentials, Region};
use clap::Parser;
use pipeline::cluster::TopicIdentity;

use super::*;

/// What is listed, and what is there, by start offset: each object has ten lines.
struct Archive {
    listed: Vec<i64>,
    there: Vec<i64>,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    s3: Options,
}

fn key(start: i64) -> String {
    format!("topics/t/partition=0/t+0+{start:010}.json")
}

impl Archive {
    /// Serves until the test ends, and gives its URL.
    fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                self.answer(stream.expect("a connection"));
            }
        });
        url
    }

    fn answer(&self, mut stream: TcpStream) {
        let request = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut lines = request.lines().map_while(Result::ok);
        let asked = lines.next().expect("a request line");
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        let (status, headers, body) = self.response(&asked);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).expect("an answer");
    }

    fn response(&self, asked: &str) -> (&str, String, String) {
        if asked.contains("list-type=2") {
            let content = |start: &i64| format!("<Contents><Key>{}</Key></Contents>", key(*start));
            let contents: String = self.listed.iter().map(content).collect();
            let body = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
            );
            return ("200 OK", String::new(), body);
        }
        let named = |start: &&i64| {
            let name = key(**start).replace('=', "%3D").replace('+', "%2B");
            asked.contains(&name)
        };
        let Some(start) = self.there.iter().find(named) else {
            let body = "<Error><Code>NoSuchKey</Code></Error>".to_owned();
            return ("404 Not Found", String::new(), body);
        };
        let metadata = [
            ("cluster-id", "c".to_owned()),
            ("topic-id", "i".to_owned()),
            ("next-offset", (start + 10).to_string()),
            ("record-count", "10".to_owned()),
            ("offset-ranges", format!("{start}-{}", start + 9)),
        ];
        let header = |(name, value)| format!("x-amz-meta-millrace-{name}: {value}\r\n");
        ("200 OK", metadata.map(header).concat(), "{}\n".repeat(10))
    }
}

async fn load(archive: Archive) -> Loaded {
    let url = archive.serve();
    let flags = Flags::parse_from(["verify", "--s3-endpoint-url", &url]);
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "the test"));
    let mut store = S3::of(Objects::new(config, flags.s3));
    let topic = Topic {
        name: "t".into(),
        identity: TopicIdentity {
            cluster_id: "c".into(),
            topic_id: "i".into(),
        },
        ranges: Vec::new(),
    };
    store.load(&topic, 0, 0, 40, false).await.expect("a load")
}

#[tokio::test]
async fn an_object_that_the_listing_left_out_is_not_missing() {
    let loaded = load(Archive {
        listed: vec![0, 20],
        there: vec![0, 10, 20, 30],
    })
    .await;
    assert_eq!(loaded.problems, Vec::<String>::new());
    let offsets: Vec<i64> = loaded.stored.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, Vec::from_iter(0..40));
}

#[tokio::test]
async fn an_object_that_is_not_there_is_missing() {
    let loaded = load(Archive {
        listed: vec![0, 30],
        there: vec![0, 10, 30],
    })
    .await;
    let missing = format!(
        "objects for offsets 20-29 are missing: {} starts behind them",
        key(30)
    );
    assert_eq!(loaded.problems, [missing]);
    assert_eq!(loaded.stored.len(), 30);
}
