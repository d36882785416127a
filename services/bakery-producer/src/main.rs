//! Orders of a bakery chain into Kafka, and a consumer that prints receipts.

fn main() {}
