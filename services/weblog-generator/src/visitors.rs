//! Visitors with their addresses, browsers and sessions: the source of the log lines.

use chrono::{DateTime, SecondsFormat, Utc};
use fake::Fake;
use fake::faker::internet::en::{IPv4, UserAgent};
use fake::rand::rngs::ChaCha12Rng;
use fake::rand::{RngExt, SeedableRng};
use pipeline::generator::{Generated, Generator, Zipf};
use serde::Serialize;

use crate::incidents::{Incident, Incidents};
use crate::site::{Page, Request, Site};

/// People who may come by.
const VISITORS: usize = 3_000;
/// Sessions at a time, at most.
const SESSIONS: usize = 60;
/// A click of every so many begins a session.
const NEW_SESSION_ONE_IN: u32 = 8;
/// Pages per session at most; most leave earlier.
const PAGES: std::ops::Range<u32> = 1..16;
const CRAWLER: &str = "Mozilla/5.0 (compatible; GrainBot/2.1; +https://bot.example/about)";

/// A line of the log: the value of a record.
#[derive(Serialize)]
struct Line<'a> {
    ip: &'a str,
    timestamp: String,
    method: &'a str,
    url: &'a str,
    status_code: u16,
    user_agent: &'a str,
}

struct Visitor {
    ip: String,
    user_agent: String,
}

struct Session {
    visitor: usize,
    page: Page,
    pages_left: u32,
}

/// The source of log lines.
pub struct Visitors {
    rng: ChaCha12Rng,
    site: Site,
    incidents: Incidents,
    visitors: Vec<Visitor>,
    popularity: Zipf,
    crawler_ip: String,
    sessions: Vec<Session>,
}

impl Visitors {
    pub fn new(seed: u64) -> Visitors {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let visitors = (0..VISITORS).map(|_| Visitor {
            ip: IPv4().fake_with_rng(&mut rng),
            user_agent: UserAgent().fake_with_rng(&mut rng),
        });
        let visitors = visitors.collect();
        let crawler_ip = IPv4().fake_with_rng(&mut rng);
        Visitors {
            rng,
            site: Site::new(),
            incidents: Incidents::default(),
            visitors,
            popularity: Zipf::new(VISITORS, 0.9),
            crawler_ip,
            sessions: Vec::new(),
        }
    }

    /// Who clicks next, and on which page: one of the open sessions, or a new one.
    fn next_click(&mut self) -> (usize, Page) {
        let new = self.sessions.is_empty()
            || (self.sessions.len() < SESSIONS && self.rng.random_ratio(1, NEW_SESSION_ONE_IN));
        if new {
            let visitor = self.popularity.rank(self.rng.random());
            let page = self.site.entry(&mut self.rng);
            let pages_left = self
                .rng
                .random_range(PAGES)
                .min(self.rng.random_range(PAGES));
            if pages_left > 1 {
                self.sessions.push(Session {
                    visitor,
                    page,
                    pages_left: pages_left - 1,
                });
            }
            return (visitor, page);
        }
        let index = self.rng.random_range(0..self.sessions.len());
        let session = &mut self.sessions[index];
        session.page = self.site.click(session.page, &mut self.rng);
        session.pages_left -= 1;
        let click = (session.visitor, session.page);
        if session.pages_left == 0 {
            self.sessions.swap_remove(index);
        }
        click
    }

    /// What the crawler asks for, where this request is one of its.
    fn crawl(&mut self, now: DateTime<Utc>) -> Option<Request> {
        let products = self.site.products();
        let Some(Incident::Crawl {
            next_product,
            percent,
        }) = self.incidents.at(now, &mut self.rng)
        else {
            return None;
        };
        if !self.rng.random_ratio(*percent, 100) {
            return None;
        }
        let url = format!("/products/{next_product}");
        *next_product = (*next_product + 1) % products;
        let status_code = if self.rng.random_ratio(1, 10) {
            429
        } else {
            200
        };
        Some(Request {
            method: "GET",
            url,
            status_code,
        })
    }

    fn break_down(&mut self, now: DateTime<Utc>, request: &mut Request) {
        if let Some(Incident::Outage {
            status_code,
            percent,
        }) = self.incidents.at(now, &mut self.rng)
            && self.rng.random_ratio(*percent, 100)
        {
            request.status_code = *status_code;
        }
    }
}

impl Generator for Visitors {
    fn generate(&mut self, now: DateTime<Utc>) -> Generated {
        if let Some(request) = self.crawl(now) {
            return generated(&self.crawler_ip, CRAWLER, now, &request);
        }
        let (visitor, page) = self.next_click();
        let mut request = self.site.request(page, &mut self.rng);
        self.break_down(now, &mut request);
        let Visitor { ip, user_agent } = &self.visitors[visitor];
        generated(ip, user_agent, now, &request)
    }
}

fn generated(ip: &str, user_agent: &str, now: DateTime<Utc>, request: &Request) -> Generated {
    let line = Line {
        ip,
        timestamp: now.to_rfc3339_opts(SecondsFormat::Millis, true),
        method: request.method,
        url: &request.url,
        status_code: request.status_code,
        user_agent,
    };
    let value = serde_json::to_vec(&line).expect("strings and numbers are always JSON");
    Generated {
        key: ip.to_owned(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use std::collections::BTreeMap;

    fn lines(seed: u64, count: i64) -> Vec<Generated> {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut visitors = Visitors::new(seed);
        (0..count)
            .map(|n| visitors.generate(start + TimeDelta::milliseconds(n * 50)))
            .collect()
    }

    fn counts(lines: &[Generated], field: &str) -> Vec<usize> {
        let mut counts = BTreeMap::<String, usize>::new();
        for line in lines {
            let json: serde_json::Value = serde_json::from_slice(&line.value).expect("JSON");
            *counts.entry(json[field].to_string()).or_default() += 1;
        }
        let mut counts: Vec<usize> = counts.into_values().collect();
        counts.sort_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn the_same_seed_gives_the_same_lines_and_another_seed_others() {
        assert_eq!(lines(7, 500), lines(7, 500));
        assert_ne!(lines(7, 500), lines(8, 500));
    }

    #[test]
    fn a_line_has_the_fields_of_the_contract_and_is_keyed_by_its_address() {
        let line = lines(7, 1).remove(0);
        let json: serde_json::Value = serde_json::from_slice(&line.value).expect("JSON");
        let fields: Vec<&String> = json.as_object().expect("an object").keys().collect();
        let mut expected = [
            "ip",
            "timestamp",
            "method",
            "url",
            "status_code",
            "user_agent",
        ];
        expected.sort_unstable();
        assert_eq!(fields, expected);
        assert_eq!(json["ip"], line.key.as_str());
        assert_eq!(json["timestamp"], "2026-01-01T00:00:00.000Z");
        assert!(json["status_code"].is_u64());
        assert!(line.key.parse::<std::net::Ipv4Addr>().is_ok());
    }

    #[test]
    fn a_day_has_few_favourites_many_rarities_and_mixed_answers() {
        let lines = lines(7, 40_000);
        let (urls, ips, codes) = (
            counts(&lines, "url"),
            counts(&lines, "ip"),
            counts(&lines, "status_code"),
        );
        assert!(urls[0] > 20 * urls[urls.len() / 2], "{urls:?}");
        assert!(ips[0] > 10 * ips[ips.len() / 2] && ips.len() > 500);
        assert!(codes.len() >= 10 && counts(&lines, "method").len() >= 4);
    }
}
