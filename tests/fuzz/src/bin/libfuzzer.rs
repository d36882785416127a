//! One target, which `FUZZ_TARGET` names, guided by coverage: built and run by scripts/fuzz.
//!
//! One program for all targets, since each links a whole broker.

#![no_main]
// The macro makes the function that libFuzzer calls.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use fuzz::targets::{TARGETS, Target, find};
use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    find(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("FUZZ_TARGET={name} is none of {}", names.join(", "))
    })
}

fuzz_target!(|input: &[u8]| {
    (CHOSEN.get_or_init(chosen).run)(input);
});
