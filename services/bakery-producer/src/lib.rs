//! Orders of a bakery chain: what an order is, inventing one, and printing one.

pub mod bakery;
pub mod order;
pub mod receipt;
