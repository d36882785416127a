//! The series of one counted family.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::family::Family;
use super::page::Page;
use super::points::{Counter, Point};

/// The points of a family by their labels. Look one up once and hold it: counting is then an atomic addition.
pub struct Series<T>(Arc<Inner<T>>);

struct Inner<T> {
    family: &'static Family,
    limit: usize,
    points: RwLock<BTreeMap<Box<[String]>, T>>,
    dropped: Counter,
}

impl<T> Clone for Series<T> {
    fn clone(&self) -> Series<T> {
        Series(self.0.clone())
    }
}

impl<T: Point> Series<T> {
    pub(super) fn new(family: &'static Family, limit: usize, dropped: Counter) -> Series<T> {
        let points = RwLock::default();
        Series(Arc::new(Inner {
            family,
            limit,
            points,
            dropped,
        }))
    }

    /// The point with these labels, made anew if it is not there. Beyond the limit it counts for nobody.
    pub fn with(&self, labels: &[&str]) -> T {
        let key: Box<[String]> = labels.iter().map(|label| (*label).to_owned()).collect();
        if let Some(point) = self.read().get(&key) {
            return point.clone();
        }
        let mut points = self.write();
        if points.len() >= self.0.limit && !points.contains_key(&key) && self.0.family.is_open() {
            self.0.dropped.inc();
            return T::of(self.0.family);
        }
        points
            .entry(key)
            .or_insert_with(|| T::of(self.0.family))
            .clone()
    }

    /// Shows a point that something else has made.
    pub fn adopt(&self, labels: &[&str], point: T) {
        let key = labels.iter().map(|label| (*label).to_owned()).collect();
        self.write().insert(key, point);
    }

    /// Forgets every series whose labels are such.
    pub fn forget(&self, is_gone: impl Fn(&[String]) -> bool) {
        self.write().retain(|labels, _| !is_gone(labels));
    }

    /// Every series there is.
    pub fn each(&self, mut see: impl FnMut(&[String], &T)) {
        for (labels, point) in self.read().iter() {
            see(labels, point);
        }
    }

    pub(super) fn show(&self, page: &mut Page) {
        self.each(|labels, point| {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            point.show(page, self.0.family, &labels);
        });
    }

    // The map is whole after every statement, so a panic elsewhere while it was locked does not spoil it.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Box<[String]>, T>> {
        self.0.points.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Box<[String]>, T>> {
        let points = &self.0.points;
        points.write().unwrap_or_else(PoisonError::into_inner)
    }
}
