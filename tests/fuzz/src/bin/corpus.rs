//! Writes `tests/fuzz/corpus`: `cargo run -p fuzz --bin corpus`. What is there is replaced.

use std::fs;

use anyhow::ensure;
use fuzz::{corpus, folder};

fn main() -> anyhow::Result<()> {
    // It replaces files: not for somebody who only asks what it does.
    let asked = std::env::args().nth(1);
    ensure!(
        asked.is_none(),
        "it writes tests/fuzz/corpus anew, and takes no arguments"
    );
    let (mut files, mut bytes) = (0, 0);
    for (target, inputs) in corpus::all() {
        let directory = folder("corpus", target);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        for (name, input) in inputs {
            fs::write(directory.join(name), &input)?;
            files += 1;
            bytes += input.len();
        }
    }
    println!("corpus: {files} inputs, {bytes} bytes");
    Ok(())
}
