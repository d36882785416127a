//! An order as a small receipt.

use crate::order::Order;

/// Columns of a receipt.
const WIDTH: usize = 40;

/// The lines of the receipt, each ending with a newline.
pub fn receipt(order: &Order) -> String {
    let mut text = String::new();
    let mut line = |content: &str| {
        text.push_str(content);
        text.push('\n');
    };
    line(&"=".repeat(WIDTH));
    line(&format!("{:^WIDTH$}", order.store));
    line(&format!("{:^WIDTH$}", order.ordered_at));
    line(&"-".repeat(WIDTH));
    for item in &order.items {
        let amount = item.amount().map_or_else(|| "?".to_owned(), money);
        line(&columns(
            &format!("{} x {}", item.quantity, item.product),
            &amount,
        ));
    }
    line(&"-".repeat(WIDTH));
    line(&columns("Total", &money(order.total)));
    line(&columns(
        &format!("Paid by {}", order.payment_method),
        &order.customer,
    ));
    line(&order.id);
    text
}

fn columns(left: &str, right: &str) -> String {
    let gap = WIDTH
        .saturating_sub(left.chars().count() + right.chars().count())
        .max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

/// Cents as people write them.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:02}",
        cents.unsigned_abs() / 100,
        cents.unsigned_abs() % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Item;

    #[test]
    fn money_is_written_to_the_cent() {
        assert_eq!(
            [money(0), money(5), money(1_234), money(-250)],
            ["0.00", "0.05", "12.34", "-2.50"]
        );
    }

    #[test]
    fn a_receipt_shows_what_was_bought_and_what_it_cost() {
        let order = Order {
            id: "o-1".to_owned(),
            customer: "Ada".to_owned(),
            items: vec![Item {
                product: "Baguette".to_owned(),
                quantity: 2,
                unit_price: 285,
            }],
            total: 570,
            store: "Harbour".to_owned(),
            payment_method: "cash".to_owned(),
            ordered_at: "2026-01-01T08:00:00.000Z".to_owned(),
        };
        let text = receipt(&order);
        assert!(
            text.contains(&format!("2 x Baguette{}5.70\n", " ".repeat(24))),
            "{text}"
        );
        assert!(
            text.contains("Harbour") && text.contains("Paid by cash") && text.ends_with("o-1\n")
        );
    }
}
