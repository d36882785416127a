//! Every input of the corpus, and every one that once was too much, through its target.

use fuzz::targets::TARGETS;
use fuzz::{folder, inputs};

#[test]
fn every_target_takes_its_corpus() {
    for target in TARGETS {
        let corpus = inputs(&folder("corpus", target.name));
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for (name, input) in &corpus {
            println!("{}/{name}", target.name);
            (target.run)(input);
        }
    }
}

#[test]
fn what_once_was_too_much_is_not_any_more() {
    let mut replayed = 0;
    for target in TARGETS {
        for (name, input) in inputs(&folder("regressions", target.name)) {
            println!("{}/{name}", target.name);
            (target.run)(&input);
            replayed += 1;
        }
    }
    assert!(replayed > 0, "no regression was found to be replayed");
}

#[test]
fn every_folder_belongs_to_a_target() {
    for kind in ["corpus", "regressions"] {
        let parent = folder(kind, "");
        for entry in std::fs::read_dir(&parent).expect("the folder is there") {
            let name = entry.expect("it is readable").file_name();
            let name = name.to_string_lossy();
            assert!(
                TARGETS.iter().any(|target| target.name == name),
                "{kind}/{name} belongs to no target"
            );
        }
    }
}
