//! What S3Proxy shows of a PUT that is under way, or that it was killed amid: the object's name and a UUID.

/// Lengths of a UUID's groups of hexadecimal digits (RFC 9562).
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// With the dash before it.
const SUFFIX: usize = 37;

/// The name of the object that a PUT would have made; `None` where `key` is no such leftover.
///
/// S3 itself shows objects only when they are complete. S3Proxy on a file system writes into a file beside the object and
/// renames it; who lists sees that file, too.
pub fn unfinished(key: &str) -> Option<&str> {
    let (name, suffix) = key.split_at_checked(key.len().checked_sub(SUFFIX)?)?;
    let groups: Vec<&str> = suffix.strip_prefix('-')?.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = groups.iter().map(|group| group.len()).eq(GROUPS) && groups.iter().all(is_hex);
    is_uuid.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_uuid_is_an_unfinished_object_and_nothing_else_is() {
        let uuid = "08d2a685-1b83-425a-943f-e8df8b96eaa7";
        let key = format!("t/partition=3/t+3+0000001370.json-{uuid}");
        let name = Some("t/partition=3/t+3+0000001370.json");
        assert_eq!(unfinished(&key), name);
        assert_eq!(unfinished(&format!("{key}0")), None);
        assert_eq!(unfinished(&key[..key.len() - 1]), None);
        assert_eq!(unfinished(&key.replace('8', "g")), None);
        for other in [
            "",
            uuid,
            "t+3+0000001370.json",
            "t-ü-0000-0000-0000-000000000000-0000",
        ] {
            assert_eq!(unfinished(other), None, "{other}");
        }
    }
}
