//! How connections to Kafka are secured: TLS and SASL, under Kafka's own names.

use std::fmt;

use clap::Args;
use rdkafka::ClientConfig;

use crate::Secret;

/// The flags of a secured connection. What is not given, or empty, is left to librdkafka.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Security {
    /// How brokers are spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL [default: PLAINTEXT]
    #[arg(long, env = "KAFKA_SECURITY_PROTOCOL", value_name = "PROTOCOL")]
    security_protocol: Option<String>,

    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    #[arg(long, env = "KAFKA_SASL_MECHANISM", value_name = "NAME")]
    sasl_mechanism: Option<String>,

    /// The user of SASL.
    #[arg(long, env = "KAFKA_SASL_USERNAME", value_name = "NAME")]
    sasl_username: Option<String>,

    /// Its password. Others can see a command line: better the variable, or a file.
    #[arg(
        long,
        env = "KAFKA_SASL_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    sasl_password: Option<Password>,

    /// A file that holds the password.
    #[arg(long, env = "KAFKA_SASL_PASSWORD_FILE", value_name = "FILE", value_parser = secret)]
    sasl_password_file: Option<FromFile>,

    /// The certificates in PEM form that brokers' certificates are checked against [default: the system's]
    #[arg(long, env = "KAFKA_SSL_CA_LOCATION", value_name = "FILE")]
    ssl_ca_location: Option<String>,

    /// The client's own certificate in PEM form, where brokers ask for one.
    #[arg(long, env = "KAFKA_SSL_CERTIFICATE_LOCATION", value_name = "FILE")]
    ssl_certificate_location: Option<String>,

    /// Its key in PEM form.
    #[arg(long, env = "KAFKA_SSL_KEY_LOCATION", value_name = "FILE")]
    ssl_key_location: Option<String>,

    /// A file that holds the password of the key.
    #[arg(long, env = "KAFKA_SSL_KEY_PASSWORD_FILE", value_name = "FILE", value_parser = secret)]
    ssl_key_password_file: Option<FromFile>,
}

/// What a secret's file holds; none where the variable that should name it is set to nothing.
#[derive(Clone, Debug)]
struct FromFile(Option<Secret>);

fn secret(path: &str) -> Result<FromFile, String> {
    let named = Some(path).filter(|path| !path.is_empty());
    named.map(Secret::from_file).transpose().map(FromFile)
}

/// A password that was given as such. `{:?}` does not show it.
#[derive(Clone)]
struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Password {
        Password(text.to_owned())
    }
}

impl Security {
    /// Sets what was given.
    pub(crate) fn apply(&self, config: &mut ClientConfig) {
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let held = |file: &Option<FromFile>| {
            let secret = file.as_ref().and_then(|file| file.0.as_ref());
            secret.map(|secret| secret.expose().to_owned())
        };
        let password = self
            .sasl_password
            .as_ref()
            .map(|password| password.0.clone());
        let password = password.filter(|password| !password.is_empty());
        let protocol = set(&self.security_protocol).map(|name| name.to_ascii_lowercase());
        let is_tls = protocol
            .as_deref()
            .is_some_and(|name| name.ends_with("ssl"));
        // Where librdkafka's OpenSSL looks by itself is nowhere on most systems.
        let ca = set(&self.ssl_ca_location).or_else(|| is_tls.then(|| "probe".to_owned()));
        for (name, value) in [
            ("security.protocol", protocol),
            ("sasl.mechanism", set(&self.sasl_mechanism)),
            ("sasl.username", set(&self.sasl_username)),
            ("sasl.password", held(&self.sasl_password_file).or(password)),
            ("ssl.ca.location", ca),
            (
                "ssl.certificate.location",
                set(&self.ssl_certificate_location),
            ),
            ("ssl.key.location", set(&self.ssl_key_location)),
            ("ssl.key.password", held(&self.ssl_key_password_file)),
        ] {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
    }
}
