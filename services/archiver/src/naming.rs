//! Names of objects, as Kafka Connect's S3 sink with its DefaultPartitioner and JsonFormat gives them.

use crate::connector::Compression;

/// The place of one partition's objects in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    directory: String,
    stem: String,
    extension: &'static str,
}

impl Place {
    pub fn new(topics_dir: &str, topic: &str, partition: i32, compression: Compression) -> Place {
        Place {
            directory: format!("{topics_dir}/{topic}/partition={partition}/"),
            stem: format!("{topic}+{partition}+"),
            extension: compression.extension(),
        }
    }

    /// The object whose records begin at `start` or, where offsets are missing, behind it.
    pub fn object(&self, start: i64) -> String {
        format!(
            "{}{}{start:010}{}",
            self.directory, self.stem, self.extension
        )
    }

    /// The marker that fixes the first start offset. Its name begins with `_`, which readers of such layouts
    /// (Hive, Spark, Athena) take for "not data".
    pub fn marker(&self) -> String {
        format!("{}_start", self.directory)
    }

    /// What the names of all objects begin with.
    pub fn prefix(&self) -> String {
        format!("{}{}", self.directory, self.stem)
    }

    /// A key that sorts just before the object at `start` and every later one with as many digits.
    pub fn just_before(&self, start: i64) -> String {
        format!("{}{}{start:010}", self.directory, self.stem)
    }

    /// `.json` or `.json.gz`.
    pub fn extension(&self) -> &'static str {
        self.extension
    }

    /// The start offset and the extension that a name says; `None` for what is not the name of an object.
    pub fn parse(&self, key: &str) -> Option<(i64, &'static str)> {
        let name = key
            .strip_prefix(self.directory.as_str())?
            .strip_prefix(self.stem.as_str())?;
        let known = [
            Compression::Gzip(0).extension(),
            Compression::None.extension(),
        ];
        let extension = known
            .into_iter()
            .find(|extension| name.ends_with(extension))?;
        let digits = &name[..name.len() - extension.len()];
        let start: i64 = digits.parse().ok().filter(|start| *start >= 0)?;
        // Another way to write the number is another object.
        (format!("{start:010}") == digits).then_some((start, extension))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_connect() {
        let place = Place::new("topics", "web-logs", 3, Compression::None);
        assert_eq!(
            place.object(42),
            "topics/web-logs/partition=3/web-logs+3+0000000042.json"
        );
        let gz = Place::new("a/b", "t", 0, Compression::Gzip(6));
        assert_eq!(
            gz.object(12_345_678_901),
            "a/b/t/partition=0/t+0+12345678901.json.gz"
        );
        assert!(place.just_before(42).as_str() < place.object(42).as_str());
    }

    #[test]
    fn only_our_own_names_are_read_back() {
        let place = Place::new("topics", "t", 1, Compression::None);
        assert_eq!(
            place.parse(&place.object(12_345_678_901)),
            Some((12_345_678_901, ".json"))
        );
        assert_eq!(
            place.parse("topics/t/partition=1/t+1+0000000007.json.gz"),
            Some((7, ".json.gz"))
        );
        assert_eq!(place.parse(&place.marker()), None);
        assert_eq!(place.parse("topics/t/partition=1/t+1+7.json"), None);
        assert_eq!(
            place.parse("topics/t/partition=1/t+1+00000000007.json"),
            None
        );
        assert_eq!(
            place.parse("topics/t/partition=1/t+1+-000000007.json"),
            None
        );
        assert_eq!(
            place.parse("topics/t/partition=1/t+1+0000000007.avro"),
            None
        );
        assert_eq!(
            place.parse("topics/t/partition=1/t+1+99999999999999999999.json"),
            None
        );
    }
}
