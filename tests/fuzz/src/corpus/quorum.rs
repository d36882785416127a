//! Bytes of every layout of the metadata quorum: those that its own test holds for ever.

use broker::quorum::untrusted::LAYOUTS;

use super::{Inputs, chunk};

const GOLDEN: &str = include_str!("../../../../services/broker/src/quorum/layouts/golden.txt");
/// The files of the target `metadata_log`, with a checksum that is made right.
const CHECKED: u8 = 0x80;
const VOTE: u8 = 3;
const SNAPSHOT: u8 = 4;
const IDENTITY: u8 = 5;

struct Line {
    layout: &'static str,
    name: String,
    bytes: Vec<u8>,
}

fn lines() -> Vec<Line> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    let one = |line: &'static str| {
        let words: Vec<&str> = line.split(' ').collect();
        let &[layout, version, name, bytes] = words.as_slice() else {
            panic!("not a line of golden.txt: {line}");
        };
        let name = format!("{layout}-v{version}-{name}");
        Line {
            layout,
            name,
            bytes: unhex(bytes),
        }
    };
    lines.map(one).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

pub fn layouts() -> Inputs {
    let mut all = Inputs::new();
    let mut history = vec![0];
    for line in lines() {
        let layout = LAYOUTS.iter().position(|known| *known == line.layout);
        let layout = layout.expect("a layout that is known") as u8;
        if line.layout == "entry" {
            chunk(&line.bytes, &mut history);
        }
        all.push((line.name, [&[layout][..], &line.bytes].concat()));
    }
    all.push(("history".into(), history));
    all
}

pub fn frames() -> Inputs {
    let mut all = Inputs::new();
    for line in lines() {
        let kind = match line.layout {
            "request" => 0,
            "answer" => 1,
            _ => continue,
        };
        let mut frame = ((9 + line.bytes.len()) as u32).to_be_bytes().to_vec();
        frame.push(kind);
        frame.extend_from_slice(&7u64.to_be_bytes());
        frame.extend_from_slice(&line.bytes);
        all.push((line.name, frame));
    }
    all
}

fn file(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    chunk(content, &mut out);
    out
}

pub fn directories() -> Inputs {
    let mut all = Inputs::new();
    for line in lines() {
        let kind = match line.layout {
            "vote" => VOTE,
            "snapshot" => SNAPSHOT,
            "identity" => IDENTITY,
            _ => continue,
        };
        all.push((line.name, file(CHECKED | kind, &line.bytes)));
    }
    // A head whose next entry is the one that all golden entries are, and each of them behind it.
    let of = |layout: &str| -> Vec<Vec<u8>> {
        let lines = lines().into_iter();
        let wanted = lines.filter(|line| line.layout == layout);
        wanted.map(|line| line.bytes).collect()
    };
    let heads = of("head");
    for (at, entry) in of("entry").into_iter().enumerate() {
        let mut frames = Vec::new();
        chunk(&heads[at % heads.len()], &mut frames);
        chunk(&entry, &mut frames);
        all.push((format!("log-{at}"), file(CHECKED, &frames)));
    }
    all
}
