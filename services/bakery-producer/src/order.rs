//! An order as it stands in the topic `bk-orders`, in JSON. Money is in cents, an integer.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub customer: String,
    pub items: Vec<Item>,
    /// The sum over the items, in cents.
    pub total: i64,
    pub store: String,
    pub payment_method: String,
    /// RFC 3339, UTC, with milliseconds.
    pub ordered_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub product: String,
    pub quantity: i32,
    /// In cents.
    pub unit_price: i64,
}

impl Item {
    /// What the line costs, in cents; `None` beyond what 64 bits hold.
    pub fn amount(&self) -> Option<i64> {
        i64::from(self.quantity).checked_mul(self.unit_price)
    }
}
