//! The shop's pages: which there are, what a visitor asks of them, and where a click leads.

use fake::rand::{Rng, RngExt};
use pipeline::generator::Zipf;

const PRODUCTS: usize = 400;
const ARTICLES: usize = 60;
const CATEGORIES: [&str; 8] = [
    "bread", "rolls", "cakes", "tarts", "cookies", "savory", "seasonal", "gifts",
];
const SEARCHES: [&str; 10] = [
    "rye",
    "gluten+free",
    "birthday+cake",
    "croissant",
    "sourdough",
    "vegan",
    "baguette",
    "apple+pie",
    "muffin",
    "pretzel",
];
const ASSETS: [&str; 6] = [
    "/static/app.js",
    "/static/app.css",
    "/static/logo.svg",
    "/favicon.ico",
    "/static/fonts/inter.woff2",
    "/static/hero.webp",
];

/// Where in the shop a visitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Home,
    Category,
    Search,
    Product(usize),
    Article,
    Asset,
    Login,
    Cart,
    Checkout,
}

/// One request as the server would log it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub status_code: u16,
}

/// The pages with their popularity.
pub struct Site {
    products: Zipf,
    articles: Zipf,
}

impl Site {
    pub fn new() -> Site {
        Site {
            products: Zipf::new(PRODUCTS, 1.05),
            articles: Zipf::new(ARTICLES, 1.1),
        }
    }

    /// How many product pages a crawler finds.
    pub fn products(&self) -> usize {
        PRODUCTS
    }

    pub fn entry(&self, rng: &mut impl Rng) -> Page {
        match rng.random_range(0..100) {
            0..45 => Page::Home,
            45..75 => Page::Product(self.products.rank(rng.random())),
            75..88 => Page::Article,
            _ => Page::Category,
        }
    }

    /// Where a visitor goes from a page.
    pub fn click(&self, from: Page, rng: &mut impl Rng) -> Page {
        let product = Page::Product(self.products.rank(rng.random()));
        match (from, rng.random_range(0..100)) {
            (Page::Asset | Page::Home, 0..35) => Page::Category,
            (Page::Home, 35..55) | (Page::Category, 0..15) => Page::Asset,
            (Page::Home, 55..70) => Page::Search,
            (Page::Product(_), 0..18) => Page::Cart,
            (Page::Product(_), 18..30) => Page::Category,
            (Page::Cart, 0..45) => Page::Checkout,
            (Page::Cart, 45..60) => Page::Login,
            (Page::Login, 0..70) => Page::Cart,
            (Page::Checkout, _) => Page::Home,
            (Page::Article, 0..40) => Page::Article,
            _ => product,
        }
    }

    /// The request for a page on a good day.
    pub fn request(&self, page: Page, rng: &mut impl Rng) -> Request {
        let (method, url) = match page {
            Page::Home => ("GET", "/".to_owned()),
            Page::Category => (
                "GET",
                format!(
                    "/category/{}?page={}",
                    CATEGORIES[rng.random_range(0..CATEGORIES.len())],
                    rng.random_range(1..4)
                ),
            ),
            Page::Search => (
                "GET",
                format!(
                    "/search?q={}",
                    SEARCHES[rng.random_range(0..SEARCHES.len())]
                ),
            ),
            Page::Product(id) => (
                if rng.random_bool(0.02) { "HEAD" } else { "GET" },
                format!("/products/{id}"),
            ),
            Page::Article => ("GET", format!("/blog/{}", self.articles.rank(rng.random()))),
            Page::Asset => ("GET", ASSETS[rng.random_range(0..ASSETS.len())].to_owned()),
            Page::Login => ("POST", "/login".to_owned()),
            Page::Cart => match rng.random_range(0..10) {
                0..7 => ("POST", "/api/cart/items".to_owned()),
                7..9 => ("PUT", format!("/api/cart/items/{}", rng.random_range(1..5))),
                _ => (
                    "DELETE",
                    format!("/api/cart/items/{}", rng.random_range(1..5)),
                ),
            },
            Page::Checkout => ("POST", "/checkout".to_owned()),
        };
        let status_code = status(page, method, rng);
        Request {
            method,
            url,
            status_code,
        }
    }
}

/// The mix of answers of a healthy server.
fn status(page: Page, method: &str, rng: &mut impl Rng) -> u16 {
    match (page, rng.random_range(0..1_000)) {
        (_, 0..2) => 500,
        (_, 2..4) => 503,
        (Page::Asset, 4..350) => 304,
        (Page::Login, 4..150) => 401,
        (Page::Login, _) => 302,
        (Page::Checkout, 4..80) => 402,
        (Page::Checkout, _) => 303,
        (Page::Cart, 4..20) => 409,
        (Page::Cart, _) if method == "POST" => 201,
        (Page::Cart, _) if method == "DELETE" => 204,
        (Page::Product(_), 4..30) => 404,
        (_, 4..12) => 301,
        (_, 12..18) => 400,
        (_, 18..21) => 429,
        _ => 200,
    }
}
