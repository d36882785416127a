//! The program `check`: what it answers to a history, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use checker::history::{self, Place, RecordId, Recorder, Seen, What};

fn run(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_check"))
        .arg(file)
        .output()
        .expect("the program was built with this test")
}

/// One acknowledged record, and what the last read has.
fn history(there: bool) -> Recorder {
    let at = Place::new("t", 0);
    let record: RecordId = "p7:12 and more".parse().expect("the form of an identity");
    let recorder = Recorder::default();
    let sent = What::Sent {
        at: at.clone(),
        record,
        acks: -1,
        idempotent: true,
    };
    let acked = What::Acked {
        at: at.clone(),
        record,
        offset: Some(0),
    };
    let seen = Seen {
        offset: 0,
        record: Some(record),
    };
    let last = What::FinalRead {
        at,
        log_start: 0,
        end: 1,
        records: there.then_some(seen).into_iter().collect(),
    };
    for (at_us, what) in [(10, sent), (20, acked), (30, last)] {
        recorder.clone().record(at_us, "client", what);
    }
    recorder
}

fn written(name: &str, recorder: &Recorder) -> std::path::PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut lines = Vec::new();
    history::write(&recorder.events(), &mut lines).expect("memory takes it");
    std::fs::write(&file, lines).expect("the target directory can be written");
    file
}

#[test]
fn a_clean_history_is_accepted() {
    let recorder = history(true);
    let file = written("clean.jsonl", &recorder);
    let read = history::read(&*std::fs::read(&file).expect("written before")).expect("a history");
    assert_eq!(read, recorder.events());

    let output = run(&file);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("acked 1, lost 0"), "{told}");
}

#[test]
fn a_loss_is_told_and_ends_it_with_1() {
    let output = run(&written("loss.jsonl", &history(false)));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("LostWrite in t-0: p7:12"), "{told}");
    assert!(told.contains("acked 1, lost 1"), "{told}");
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("garbled.jsonl");
    std::fs::write(&file, "{\"at_us\":1}\n").expect("the target directory can be written");
    let output = run(&file);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("line 1"), "{told}");
}
