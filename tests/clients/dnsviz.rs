//! dnsviz, which asks a server about a zone in many ways and reports what is wrong with the replies.

use crate::harness::Site;
use crate::lists::ZONE;
use crate::machine::Machine;
use crate::programs::Program;
use serde_json::Value;
use std::fs;

/// The zone as a complete one: with name servers.
const CONFIG: &str = r#"
[dns]
listen = ["127.0.0.1:5300"]

[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
refresh = "1d"

[[zone]]
name = "bl.example"
feeds = ["mine"]
ns = ["ns1.bl.example"]
"#;

#[test]
fn dnsviz_finds_no_errors_and_no_warnings() {
    let found = (Program::find("usr/bin/python3"), Program::find("usr/bin/dnsviz"));
    let (Some(python), Some(dnsviz)) = found else { return };
    let site = Site::new(CONFIG);
    site.write("mine.txt", "192.0.2.9\n");
    let Some(machine) = Machine::serving(site) else { return };
    let run = |arguments: &[&str]| {
        let output = machine.run(&python, |command| {
            command.env("PYTHONPATH", dnsviz.beside("usr/lib/python3/dist-packages"));
            command.arg(dnsviz.path()).args(arguments);
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let server = format!("{ZONE}+:ns1.{ZONE}=127.0.0.1:5300");
    let probed = machine.folder("dnsviz").join("probed.json");
    fs::write(&probed, run(&["probe", "-4", "-A", "-x", &server, ZONE])).unwrap();
    let judged = run(&["grok", "-l", "info", "-r", probed.to_str().unwrap()]);
    let judged: Value = serde_json::from_slice(&judged).unwrap();
    let said = judged.to_string();
    assert!(said.contains("NOERROR"), "it looked at replies: {judged:#}");
    assert_eq!(codes(&judged), [""; 0], "{judged:#}");
}

/// Codes of all errors and warnings, wherever they stand.
fn codes(judged: &Value) -> Vec<String> {
    match judged {
        Value::Object(fields) => {
            let own = fields.get("code").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(codes)).collect()
        }
        Value::Array(items) => items.iter().flat_map(codes).collect(),
        _ => Vec::new(),
    }
}
