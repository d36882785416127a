//! `listeners`, `advertised.listeners` and the keys that say which listener serves whom.

use std::collections::BTreeMap;

use super::Invalid;

/// One endpoint: a listener's name with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name in upper case, as in `listener.security.protocol.map`.
    pub name: String,
    /// The host; empty in `listeners` means every interface.
    pub host: String,
    /// The port; 0 in `listeners` lets the system choose.
    pub port: u16,
}

impl Endpoint {
    /// The address to bind, `host:port`.
    pub fn bind_address(&self) -> String {
        match self.host.as_str() {
            "" => format!("0.0.0.0:{}", self.port),
            host if host.contains(':') => format!("[{host}]:{}", self.port),
            host => format!("{host}:{}", self.port),
        }
    }
}

/// The listeners of this node, sorted by purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// What clients and other brokers connect to.
    pub broker: Vec<Endpoint>,
    /// Where controller traffic arrives; present where `process.roles` has `controller`.
    pub controller: Option<Endpoint>,
    /// What each broker listener tells its clients to connect to.
    pub advertised: Vec<Endpoint>,
    /// The listener over which brokers reach one another.
    pub inter_broker: String,
    /// The names of the controller listeners of the whole quorum.
    pub controller_names: Vec<String>,
}

/// The keys as they were given.
#[derive(Clone, Debug, Default)]
pub struct Given<'a> {
    /// `listeners`
    pub listeners: Option<&'a str>,
    /// `advertised.listeners`
    pub advertised: Option<&'a str>,
    /// `listener.security.protocol.map`
    pub protocols: Option<&'a str>,
    /// `inter.broker.listener.name`
    pub inter_broker: Option<&'a str>,
    /// `controller.listener.names`
    pub controller_names: Option<&'a str>,
    /// Whether `process.roles` has `broker`.
    pub is_broker: bool,
    /// Whether `process.roles` has `controller`.
    pub is_controller: bool,
}

/// Parses one `NAME://host:port`.
fn endpoint(key: &'static str, text: &str) -> Result<Endpoint, Invalid> {
    let bad = || {
        Invalid::new(
            key,
            text,
            "entries like NAME://host:port, separated by commas",
        )
    };
    let (name, rest) = text.split_once("://").ok_or_else(bad)?;
    let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().map_err(|_| bad())?;
    if name.is_empty() {
        return Err(bad());
    }
    Ok(Endpoint {
        name: name.to_uppercase(),
        host: host.to_string(),
        port,
    })
}

fn endpoints(key: &'static str, text: &str) -> Result<Vec<Endpoint>, Invalid> {
    let all: Vec<Endpoint> = words(text)
        .map(|entry| endpoint(key, entry))
        .collect::<Result<_, _>>()?;
    for (at, one) in all.iter().enumerate() {
        if all[..at].iter().any(|other| other.name == one.name) {
            return Err(Invalid::new(key, text, "each listener name once"));
        }
    }
    Ok(all)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

impl Listeners {
    /// Checks the keys against one another and sorts the listeners.
    pub fn resolve(given: &Given<'_>) -> Result<Listeners, Invalid> {
        let controller_names: Vec<String> = match given.controller_names {
            Some(names) => words(names).map(str::to_uppercase).collect(),
            None => vec!["CONTROLLER".into()],
        };
        let text = given
            .listeners
            .unwrap_or(match (given.is_broker, given.is_controller) {
                (true, true) => "PLAINTEXT://:9092,CONTROLLER://:9093",
                (true, false) => "PLAINTEXT://:9092",
                _ => "CONTROLLER://:9093",
            });
        let all = endpoints("listeners", text)?;
        let (controller, broker): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|e| controller_names.contains(&e.name));
        check_protocols(given.protocols, broker.iter().chain(&controller))?;
        if given.is_broker && broker.is_empty() {
            let want = "at least one listener that is not in controller.listener.names";
            return Err(Invalid::new("listeners", text, want));
        }
        if !given.is_broker && !broker.is_empty() {
            let want = "only controller listeners where process.roles has no broker";
            return Err(Invalid::new("listeners", text, want));
        }
        if given.is_controller && controller.is_empty() {
            let want = "a listener named in controller.listener.names (CONTROLLER by default)";
            return Err(Invalid::new("listeners", text, want));
        }
        let advertised = advertised(given.advertised, &broker)?;
        let inter_broker = inter_broker(given.inter_broker, &advertised)?;
        Ok(Listeners {
            broker,
            controller: controller.into_iter().next(),
            advertised,
            inter_broker,
            controller_names,
        })
    }

    /// The broker listener of this name.
    pub fn find(&self, name: &str) -> Option<&Endpoint> {
        self.broker.iter().find(|endpoint| endpoint.name == name)
    }
}

fn check_protocols<'a>(
    map: Option<&str>,
    used: impl Iterator<Item = &'a Endpoint>,
) -> Result<(), Invalid> {
    const KEY: &str = "listener.security.protocol.map";
    // As in Kafka, a listener that bears a protocol's name speaks it unless the map says otherwise.
    let named = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    let mut protocols = BTreeMap::from(named.map(|name| (name.to_string(), name.to_string())));
    protocols.insert("CONTROLLER".into(), "PLAINTEXT".into());
    for pair in words(map.unwrap_or_default()) {
        let want = "pairs like NAME:PLAINTEXT, separated by commas";
        let (name, protocol) = pair
            .split_once(':')
            .ok_or_else(|| Invalid::new(KEY, pair, want))?;
        protocols.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
    }
    for endpoint in used {
        match protocols.get(&endpoint.name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            Some(other) => {
                let want = format!(
                    "PLAINTEXT for listener {}: TLS and SASL are not offered yet",
                    endpoint.name
                );
                let key = map.map_or("listeners", |_| KEY);
                return Err(Invalid::new(key, other, want));
            }
            None => {
                let want = format!(
                    "an entry {}:PLAINTEXT, since listeners has that name",
                    endpoint.name
                );
                return Err(Invalid::new(KEY, map.unwrap_or_default(), want));
            }
        }
    }
    Ok(())
}

fn advertised(given: Option<&str>, broker: &[Endpoint]) -> Result<Vec<Endpoint>, Invalid> {
    const KEY: &str = "advertised.listeners";
    let Some(text) = given.filter(|text| !text.is_empty()) else {
        // Kafka advertises the machine's canonical name; without a resolver that is a guess, so a
        // node that was told nothing says localhost, which works where such a node is used.
        let host = |e: &Endpoint| match e.host.as_str() {
            "" | "0.0.0.0" | "::" => "localhost".to_string(),
            host => host.to_string(),
        };
        return Ok(broker
            .iter()
            .map(|e| Endpoint {
                host: host(e),
                ..e.clone()
            })
            .collect());
    };
    let all = endpoints(KEY, text)?;
    for one in &all {
        if !broker.iter().any(|e| e.name == one.name) {
            let want = format!("only names that listeners has too; it has no {}", one.name);
            return Err(Invalid::new(KEY, text, want));
        }
        if matches!(one.host.as_str(), "" | "0.0.0.0" | "::") {
            let want = "an address that a client can connect to; every client is sent this address \
                        and nobody can connect to 0.0.0.0. Name the host as clients know it, \
                        for example PLAINTEXT://broker-1.example.com:9092";
            return Err(Invalid::new(KEY, text, want));
        }
        if one.port == 0 {
            return Err(Invalid::new(
                KEY,
                text,
                "a port that clients can connect to, not 0",
            ));
        }
    }
    Ok(all)
}

fn inter_broker(given: Option<&str>, advertised: &[Endpoint]) -> Result<String, Invalid> {
    const KEY: &str = "inter.broker.listener.name";
    let name = match (given, advertised) {
        (Some(name), _) => name.to_uppercase(),
        (None, [only]) => only.name.clone(),
        (None, _) => "PLAINTEXT".into(),
    };
    if advertised.is_empty() || advertised.iter().any(|e| e.name == name) {
        return Ok(name);
    }
    Err(Invalid::new(
        KEY,
        name,
        "the name of one of the advertised listeners",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both<'a>() -> Given<'a> {
        Given {
            is_broker: true,
            is_controller: true,
            ..Given::default()
        }
    }

    #[test]
    fn without_configuration_a_node_listens_on_9092_and_advertises_localhost() {
        let listeners = Listeners::resolve(&both()).unwrap();
        assert_eq!(listeners.broker[0].bind_address(), "0.0.0.0:9092");
        assert_eq!(listeners.advertised[0].host, "localhost");
        assert_eq!(listeners.controller.unwrap().port, 9093);
        assert_eq!(listeners.inter_broker, "PLAINTEXT");
    }

    #[test]
    fn several_listeners_each_advertise_their_own_address() {
        let given = Given {
            listeners: Some("INTERNAL://:29092,EXTERNAL://:9092,CTRL://:9093"),
            advertised: Some("INTERNAL://b1:29092,EXTERNAL://localhost:9092"),
            protocols: Some("INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CTRL:PLAINTEXT"),
            inter_broker: Some("INTERNAL"),
            controller_names: Some("CTRL"),
            ..both()
        };
        let listeners = Listeners::resolve(&given).unwrap();
        assert_eq!(listeners.broker.len(), 2);
        assert_eq!(listeners.inter_broker, "INTERNAL");
        assert_eq!(listeners.controller.unwrap().name, "CTRL");
    }

    #[test]
    fn an_advertised_address_that_cannot_work_is_explained() {
        let given = Given {
            advertised: Some("PLAINTEXT://0.0.0.0:9092"),
            ..both()
        };
        let error = Listeners::resolve(&given).unwrap_err().to_string();
        assert!(error.contains("advertised.listeners"), "{error}");
        assert!(error.contains("nobody can connect to 0.0.0.0"), "{error}");
    }

    #[test]
    fn a_listener_without_plaintext_is_refused_with_the_reason() {
        let given = Given {
            listeners: Some("SECURE://:9092,CONTROLLER://:9093"),
            protocols: Some("SECURE:SASL_SSL"),
            ..both()
        };
        let error = Listeners::resolve(&given).unwrap_err().to_string();
        assert!(error.contains("not offered yet"), "{error}");
        let given = Given {
            listeners: Some("SASL_SSL://:9092,CONTROLLER://:9093"),
            ..both()
        };
        let error = Listeners::resolve(&given).unwrap_err().to_string();
        assert!(error.starts_with("listeners=SASL_SSL "), "{error}");
        assert!(error.contains("not offered yet"), "{error}");
    }
}
