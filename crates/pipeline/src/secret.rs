//! Secrets that come from files, as Docker and Kubernetes mount them: never in a command line, never in an environment.

use std::fmt;
use std::fs::File;
use std::io::Read;

/// The longest secret that is read; a longer file is somebody's mistake.
const MAX_BYTES: u64 = 64 << 10;

/// The content of a secret's file. `{:?}` does not show it.
///
/// A flag of this type is declared as
/// `#[arg(long, env = "DATABASE_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::from_file)]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads a file and leaves out the newline at its end, which editors put there.
    ///
    /// # Errors
    /// When the file cannot be read as text, is empty or longer than 64 KiB; the message names it.
    pub fn from_file(path: &str) -> Result<Secret, String> {
        let wrong = |why: &dyn fmt::Display| format!("the secret's file {path}: {why}");
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| wrong(&error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(wrong(&"longer than 64 KiB"));
        }
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(wrong(&"empty"));
        }
        Ok(Secret(secret.to_owned()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `url` with this as the password of the user that it names.
    ///
    /// # Errors
    /// When `url` names no user whose password it could be.
    pub fn in_url(&self, url: &str) -> Result<String, String> {
        let no_user = "a password file is given, but the URL names no user (scheme://user@host)";
        let (scheme, rest) = url.split_once("://").ok_or(no_user)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, host) = rest[..end].rsplit_once('@').ok_or(no_user)?;
        let user = user.split_once(':').map_or(user, |(user, _)| user);
        if user.is_empty() {
            return Err(no_user.into());
        }
        let password = percent_encoded(&self.0);
        Ok(format!(
            "{scheme}://{user}:{password}@{host}{}",
            &rest[end..]
        ))
    }
}

/// Everything but the unreserved characters of RFC 3986 as %XX.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("millrace-secret-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("a temporary file");
        path
    }

    fn read(name: &str, content: &[u8]) -> Result<Secret, String> {
        let path = file(name, content);
        let secret = Secret::from_file(path.to_str().expect("a plain path"));
        std::fs::remove_file(&path).expect("it was written above");
        secret
    }

    #[test]
    fn the_newline_at_the_end_is_no_part_of_the_secret() {
        for (name, content) in [
            ("unix", "s3 cret\n"),
            ("dos", "s3 cret\r\n"),
            ("bare", "s3 cret"),
        ] {
            let secret = read(name, content.as_bytes()).expect(name);
            assert_eq!(secret.expose(), "s3 cret");
            assert_eq!(format!("{secret:?}"), "Secret");
        }
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused_with_its_name() {
        let absent = Secret::from_file("/nowhere/password").expect_err("there is none");
        assert!(absent.contains("/nowhere/password"), "{absent}");
        assert!(
            read("empty", b"\n")
                .expect_err("nothing in it")
                .contains("empty")
        );
        assert!(read("binary", b"\xff\xfe").is_err());
        let long = vec![b'x'; (64 << 10) + 1];
        assert!(
            read("long", &long)
                .expect_err("too long")
                .contains("64 KiB")
        );
    }

    #[test]
    fn a_password_is_put_into_a_url_whatever_is_in_it() {
        let secret = read("odd", "p@ss:/w%rd?\n".as_bytes()).expect("a secret");
        let url = secret.in_url("postgres://me@db:5432/x?sslmode=require");
        assert_eq!(
            url.as_deref(),
            Ok("postgres://me:p%40ss%3A%2Fw%25rd%3F@db:5432/x?sslmode=require")
        );
        let replaced = secret.in_url("http://me:old@search:9200");
        assert_eq!(
            replaced.as_deref(),
            Ok("http://me:p%40ss%3A%2Fw%25rd%3F@search:9200")
        );
        assert!(secret.in_url("http://search:9200/a@b").is_err());
        assert!(secret.in_url("http://@search:9200").is_err());
    }
}
