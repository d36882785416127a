//! The millrace command line: topics, configs, groups, produce, consume, verify.

fn main() {}
