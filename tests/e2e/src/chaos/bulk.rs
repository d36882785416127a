//! A bulk request of which OpenSearch seems to take some documents and to be too busy for the others.

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::{Value, json};

/// A bulk request, cut into what the store gets and what it does not.
#[derive(Debug)]
pub struct Bulk {
    /// The request with the documents that the store gets.
    pub carried: Bytes,
    /// Of each document in its order, whether it is among them.
    is_carried: Vec<bool>,
}

impl Bulk {
    /// `choose` says of each document whether the store gets it.
    pub fn cut(request: &Bytes, mut choose: impl FnMut() -> bool) -> Result<Bulk> {
        let text = std::str::from_utf8(request)?;
        let mut lines = text.lines();
        let (mut carried, mut is_carried) = (String::new(), Vec::new());
        while let Some(action) = lines.next() {
            let document = lines.next().context("an action without a document")?;
            let goes = choose();
            is_carried.push(goes);
            if goes {
                carried.extend([action, "\n", document, "\n"]);
            }
        }
        Ok(Bulk {
            carried: carried.into(),
            is_carried,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.carried.is_empty()
    }

    /// The store's answer, with refusals where it was not asked. `None` where it has not answered about each document.
    pub fn whole(&self, answer: &Bytes) -> Option<Bytes> {
        let mut answer: Value = serde_json::from_slice(answer).ok()?;
        let mut answered = answer["items"].as_array()?.clone().into_iter();
        let items: Option<Vec<Value>> = self
            .is_carried
            .iter()
            .map(|is_carried| match is_carried {
                true => answered.next(),
                false => Some(refused()),
            })
            .collect();
        answer["items"] = items.filter(|_| answered.next().is_none())?.into();
        answer["errors"] = true.into();
        Some(answer.to_string().into())
    }
}

fn refused() -> Value {
    json!({ "create": { "status": 429, "error": {
        "type": "rejected_execution_exception", "reason": "a storm",
    } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(count: u32) -> Bytes {
        let one = |n| format!("{{\"create\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n");
        (0..count).map(one).collect::<String>().into()
    }

    #[test]
    fn each_document_has_its_answer_where_it_stood() {
        let mut turn = 0;
        let every_other = || {
            turn += 1;
            turn % 2 == 0
        };
        let bulk = Bulk::cut(&request(3), every_other).expect("three documents");
        assert_eq!(
            bulk.carried,
            "{\"create\":{\"_id\":\"1\"}}\n{\"n\":1}\n".as_bytes()
        );
        let answer = r#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        let whole = bulk.whole(&answer.into()).expect("an answer to one");
        let whole: Value = serde_json::from_slice(&whole).expect("JSON");
        let items = whole["items"].as_array().expect("items").iter();
        let statuses: Vec<_> = items
            .map(|item| item["create"]["status"].as_u64())
            .collect();
        assert_eq!(statuses, [Some(429), Some(201), Some(429)]);
        assert_eq!(whole["errors"], true);
    }

    #[test]
    fn an_answer_about_another_number_of_documents_is_none() {
        let bulk = Bulk::cut(&request(2), || true).expect("two documents");
        assert!(bulk.whole(&r#"{"items":[{}]}"#.into()).is_none());
        assert!(bulk.whole(&r#"{"items":[{},{},{}]}"#.into()).is_none());
        assert!(bulk.whole(&"busy".into()).is_none());
    }
}
