//! Our services and our command line against a secured Kafka: Apache's own broker behind TLS, with SASL.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{ports, until};
use compat::{Running, Tools};
use tempfile::TempDir;

/// How long the JVM may take to serve.
const START: Duration = Duration::from_secs(120);
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qk";

/// One node of Apache Kafka, whose clients must come by TLS and say who they are.
struct Secured {
    directory: TempDir,
    bootstrap: String,
    _broker: Running,
}

impl Secured {
    fn start(tools: &Tools) -> Result<Secured> {
        let directory = tempfile::tempdir()?;
        let home = directory.path();
        let free = ports::free(2)?;
        let bootstrap = format!("127.0.0.1:{}", free[0]);
        certify(tools, home);
        fs::write(home.join("password"), "mesh-secret\n")?;
        let config = home.join("server.properties");
        fs::write(&config, properties(home, &bootstrap, free[1]))?;
        let config = config.display();
        tools.run(&format!(
            "kafka-storage.sh format -t {CLUSTER} -c {config} -S 'SCRAM-SHA-512=[name=mesh,password=mesh-secret]'"
        ));
        let broker = tools.start(&format!("kafka-server-start.sh {config}"));
        // Its log is quiet; whoever comes early tries again.
        until(START, "Apache Kafka listens", || {
            Ok(TcpStream::connect(&bootstrap).is_ok())
        })?;
        Ok(Secured {
            directory,
            bootstrap,
            _broker: broker,
        })
    }

    /// What a client needs to know, as variables before its command.
    fn access(&self, mechanism: &str) -> String {
        let home = self.directory.path().display();
        format!(
            "KAFKA_BOOTSTRAP_SERVERS={} KAFKA_SECURITY_PROTOCOL=SASL_SSL KAFKA_SASL_MECHANISM={mechanism} \
             KAFKA_SASL_USERNAME=mesh KAFKA_SASL_PASSWORD_FILE={home}/password KAFKA_SSL_CA_LOCATION={home}/ca.pem",
            self.bootstrap
        )
    }
}

/// A certificate that the broker shows and its clients check.
fn certify(tools: &Tools, home: &Path) {
    let home = home.display();
    let store =
        format!("-keystore {home}/server.p12 -storetype PKCS12 -storepass changeit -alias kafka");
    tools.run(&format!(
        "keytool -genkeypair {store} -keyalg RSA -validity 30 -dname CN=kafka -ext bc=ca:true -ext SAN=dns:localhost,ip:127.0.0.1"
    ));
    tools.run(&format!(
        "keytool -exportcert {store} -rfc -file {home}/ca.pem"
    ));
}

fn properties(home: &Path, bootstrap: &str, controller: u16) -> String {
    let home = home.display();
    let sasl = "listener.name.sasl_ssl";
    format!(
        "process.roles=broker,controller\nnode.id=1\nlog.dirs={home}/log\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
         listeners=SASL_SSL://{bootstrap},CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=SASL_SSL\nsasl.mechanism.inter.broker.protocol=PLAIN\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         {sasl}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         username=\"broker\" password=\"broker-secret\" user_broker=\"broker-secret\" user_mesh=\"mesh-secret\";\n\
         {sasl}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         ssl.keystore.location={home}/server.p12\nssl.keystore.password=changeit\nssl.keystore.type=PKCS12\n\
         ssl.truststore.location={home}/server.p12\nssl.truststore.password=changeit\nssl.truststore.type=PKCS12\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n"
    )
}

#[test]
fn services_and_commands_come_by_tls_and_sasl() -> Result<()> {
    let tools = Tools::find();
    let kafka = Secured::start(&tools)?;
    for (number, mechanism) in [(1, "PLAIN"), (2, "SCRAM-SHA-512")] {
        let access = kafka.access(mechanism);
        // A generator creates its topic and has its records acknowledged
        tools.run(&format!(
            "{access} bakery-producer --rate 0 --count 20 --partitions 1"
        ));
        // a member of a group reads them
        let group = format!("readers-{number}");
        let printed = tools.run(&format!(
            "{access} bakery-consumer --group {group} --json --count {} 2>/dev/null",
            20 * number
        ));
        ensure!(
            printed.lines().count() == 20 * number,
            "{mechanism}: {printed}"
        );
        // and so does the command line, which also writes
        tools.run(&format!(
            "{access} millrace produce notes-{number} --value hello"
        ));
        let printed = tools.run(&format!(
            "{access} millrace consume bk-orders --from-beginning --exit"
        ));
        ensure!(
            printed.lines().count() == 20 * number,
            "{mechanism}: {printed}"
        );
    }
    // Whoever is somebody else, or trusts other certificates, gets nothing
    let right = kafka.access("PLAIN");
    for wrong in [
        right.replace("_USERNAME=mesh", "_USERNAME=nobody"),
        right.replace("/ca.pem", "/password"),
    ] {
        let (ok, output) = tools.attempt(&format!(
            "{wrong} millrace consume bk-orders --from-beginning --exit"
        ));
        ensure!(!ok, "{wrong}: {output}");
    }
    Ok(())
}
