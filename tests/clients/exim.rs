//! exim, which plays a session with any client address on standard input (`-bh`).

use crate::lists::{
    self, CLOSED, CODED, DOMAIN_ZONE, FOREIGN, LISTED, LISTED_DOMAINS, UNLISTED, UNLISTED_DOMAINS, UNLOADED,
    ZONE, text,
};
use crate::machine::{EXIM, LISTEN, Machine, make_folder};
use crate::programs::Program;
use crate::readme;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

struct Exim {
    machine: Machine,
    program: Program,
    config: PathBuf,
    session: PathBuf,
}

impl Exim {
    /// exim with this list for the recipients' ACL.
    fn start(rules: &str) -> Option<Self> {
        let program = Program::find("usr/sbin/exim4")?;
        let machine = Machine::serving(lists::site(LISTEN))?;
        let folder = machine.folder("exim");
        let (spool, log) = (folder.join("spool"), folder.join("log"));
        for path in [&spool, &log] {
            make_folder(path, EXIM.1, EXIM.1, 0o750);
        }
        let config = folder.join("exim.conf");
        let content = format!(
            r#"
primary_hostname = mx.dest.example
spool_directory = {spool}
log_file_path = {log}/%slog
domainlist local_domains = dest.example
acl_smtp_rcpt = check_rcpt
tls_advertise_hosts =
keep_environment =
begin acl
check_rcpt:
{rules}
    accept  domains = +local_domains
    deny    message = relay not permitted
"#,
            spool = spool.display(),
            log = log.display()
        );
        fs::write(&config, content).unwrap();
        let session = folder.join("session");
        Some(Self { machine, program, config, session })
    }

    /// Its reply to the recipient of a mail from this address and sender, and what it says of the reasons.
    fn receive(&self, client: &str, sender: &str) -> (String, String) {
        let lines =
            ["EHLO client.example", &format!("MAIL FROM:<{sender}>"), "RCPT TO:<user@dest.example>", "QUIT"];
        fs::write(&self.session, lines.map(|line| line.to_owned() + "\r\n").concat()).unwrap();
        let output = self.machine.run(&self.program, |command| {
            let session = fs::File::open(&self.session).unwrap();
            command.arg("-C").arg(&self.config).args(["-bh", client]).stdin(Stdio::from(session));
        });
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let reasons = String::from_utf8_lossy(&output.stderr).into_owned();
        // To connection, EHLO, MAIL, RCPT and QUIT.
        let replies = replies(&said);
        assert_eq!(replies.len(), 5, "{said}{reasons}");
        (replies[3].clone(), reasons)
    }
}

/// The replies in what a server has said, each with its lines joined: all but the last have a dash behind the code.
fn replies(said: &str) -> Vec<String> {
    let mut replies = vec![String::new()];
    let lines = said.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    for line in lines {
        let (code, text) = line.split_at_checked(4).unwrap_or((line, ""));
        let reply = replies.last_mut().unwrap();
        if reply.is_empty() {
            *reply = code[..3].to_owned();
        }
        *reply += &format!(" {text}");
        if !code.ends_with('-') {
            replies.push(String::new());
        }
    }
    replies.retain(|reply| !reply.is_empty());
    replies
}

#[test]
fn checklist_13_exim_rejects_the_listed_with_our_text_and_accepts_others() {
    let Some(exim) = Exim::start(readme::block("dnslists")) else { return };
    for address in LISTED {
        let (reply, reasons) = exim.receive(address, "a@ok.example");
        assert_eq!(reply, format!("550 rejected: {ZONE} says 127.0.0.2 {}", text(address)), "{reasons}");
    }
    for address in UNLISTED {
        let (reply, reasons) = exim.receive(address, "a@ok.example");
        assert_eq!(reply, "250 Accepted", "{address}: {reasons}");
    }
}

#[test]
fn checklist_13_exim_rejects_senders_by_domain_with_our_text_and_accepts_others() {
    let Some(exim) = Exim::start(readme::block("dnslists")) else { return };
    for domain in LISTED_DOMAINS {
        let (reply, reasons) = exim.receive(UNLISTED[1], &format!("a@{domain}"));
        let expected = format!("550 rejected: {DOMAIN_ZONE} says 127.0.1.2 {}", text(domain));
        assert_eq!(reply, expected, "{reasons}");
    }
    for domain in UNLISTED_DOMAINS {
        let (reply, reasons) = exim.receive(UNLISTED[1], &format!("a@{domain}"));
        assert_eq!(reply, "250 Accepted", "{domain}: {reasons}");
    }
}

#[test]
fn checklist_13_exim_accepts_all_from_a_list_that_refuses_or_fails() {
    for list in [FOREIGN, UNLOADED, CLOSED, &format!("{CODED}=127.0.0.2")] {
        let Some(exim) = Exim::start(&format!("    deny    dnslists = {list}")) else { return };
        let (reply, reasons) = exim.receive(LISTED[1], "a@ok.example");
        assert_eq!(reply, "250 Accepted", "{list}: {reasons}");
        assert!(reasons.contains(&format!("dnslists check: {list}")), "it asked: {reasons}");
    }
}
