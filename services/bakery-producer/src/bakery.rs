//! The bakery chain: its stores, its products, its customers, and the orders they make.

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use fake::Fake;
use fake::faker::name::en::Name;
use fake::rand::rngs::ChaCha12Rng;
use fake::rand::{Rng, RngExt, SeedableRng};
use pipeline::generator::{Generated, Generator, Zipf};

use crate::order::{Item, Order};

const STORES: [&str; 8] = [
    "Market Square",
    "Old Town",
    "Harbour",
    "Station",
    "University",
    "Riverside",
    "Hill Street",
    "Airport",
];

/// Name and price in cents, the favourites first.
const PRODUCTS: [(&str, i64); 18] = [
    ("Croissant", 195),
    ("Butter Pretzel", 165),
    ("Sourdough Loaf", 495),
    ("Baguette", 285),
    ("Cinnamon Roll", 320),
    ("Rye Bread", 445),
    ("Poppy Seed Roll", 85),
    ("Pain au Chocolat", 240),
    ("Apple Strudel", 375),
    ("Cheesecake Slice", 420),
    ("Walnut Loaf", 525),
    ("Blueberry Muffin", 290),
    ("Quiche Lorraine", 550),
    ("Lemon Tart", 465),
    ("Focaccia", 395),
    ("Black Forest Cake", 3450),
    ("Birthday Cake", 4290),
    ("Panettone", 1890),
];

/// Products from this rank on are cakes for a party: nobody takes nine of them.
const PARTY_RANK: usize = 15;
const CUSTOMERS: usize = 1_500;

/// The source of orders.
pub struct Bakery {
    rng: ChaCha12Rng,
    customers: Vec<String>,
    loyalty: Zipf,
    products: Zipf,
    stores: Zipf,
}

impl Bakery {
    pub fn new(seed: u64) -> Bakery {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let customers = (0..CUSTOMERS)
            .map(|_| Name().fake_with_rng(&mut rng))
            .collect();
        Bakery {
            rng,
            customers,
            loyalty: Zipf::new(CUSTOMERS, 0.7),
            products: Zipf::new(PRODUCTS.len(), 0.8),
            stores: Zipf::new(STORES.len(), 0.6),
        }
    }

    /// An order of this moment.
    pub fn order(&mut self, now: DateTime<Utc>) -> Order {
        let items = self.items(now.hour());
        let total = items.iter().filter_map(Item::amount).sum();
        Order {
            id: id(&mut self.rng),
            customer: self.customers[self.loyalty.rank(self.rng.random())].clone(),
            items,
            total,
            store: STORES[self.stores.rank(self.rng.random())].to_owned(),
            payment_method: payment_method(total, &mut self.rng).to_owned(),
            ordered_at: now.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    /// Breakfast is small, the afternoon buys for the family; each product once.
    fn items(&mut self, hour: u32) -> Vec<Item> {
        let most = if hour < 10 { 3 } else { 6 };
        let wanted = self.rng.random_range(1..=most);
        let mut ranks: Vec<usize> = (0..wanted)
            .map(|_| self.products.rank(self.rng.random()))
            .collect();
        ranks.sort_unstable();
        ranks.dedup();
        let items = ranks.into_iter().map(|rank| {
            let (product, unit_price) = PRODUCTS[rank];
            let quantity = if rank >= PARTY_RANK {
                1
            } else {
                self.rng.random_range(1..=4) * self.rng.random_range(1..=2)
            };
            Item {
                product: product.to_owned(),
                quantity,
                unit_price,
            }
        });
        items.collect()
    }
}

impl Generator for Bakery {
    fn generate(&mut self, now: DateTime<Utc>) -> Generated {
        let order = self.order(now);
        let value = serde_json::to_vec(&order).expect("strings and numbers are always JSON");
        Generated {
            key: order.id,
            value,
        }
    }
}

/// Small sums are paid in cash, large ones never.
fn payment_method(total: i64, rng: &mut impl Rng) -> &'static str {
    match rng.random_range(0..100) {
        0..40 if total < 2_000 => "cash",
        0..65 => "card",
        65..88 => "mobile",
        88..96 => "voucher",
        _ => "invoice",
    }
}

/// A UUID of version 4 (RFC 9562) from the run's own randomness.
fn id(rng: &mut impl Rng) -> String {
    let bits = (rng.random::<u128>() & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(seed: u64, count: i64) -> Vec<Order> {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut bakery = Bakery::new(seed);
        (0..count)
            .map(|n| bakery.order(start + chrono::TimeDelta::minutes(n)))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_orders_and_another_seed_others() {
        assert_eq!(orders(3, 100), orders(3, 100));
        assert_ne!(orders(3, 100), orders(4, 100));
    }

    #[test]
    fn every_order_adds_up_to_the_cent() {
        for order in orders(3, 2_000) {
            let sum: i64 = order
                .items
                .iter()
                .map(|item| i64::from(item.quantity) * item.unit_price)
                .sum();
            assert_eq!(order.total, sum);
            assert!(sum > 0 && !order.items.is_empty());
            assert_eq!((order.id.len(), &order.id[14..15]), (36, "4"));
        }
    }

    #[test]
    fn a_record_is_keyed_by_the_order_id_and_reads_back() {
        let now = "2026-01-01T08:00:00Z".parse().expect("a time");
        let record = Bakery::new(1).generate(now);
        let order: Order = serde_json::from_slice(&record.value).expect("JSON of an order");
        assert_eq!(order, Bakery::new(1).order(now));
        assert_eq!(record.key, order.id);
    }
}
