//! Postfix, with a configuration and a queue of its own, and clients from anywhere by XCLIENT.

use crate::harness::Site;
use crate::lists::{
    self, CLOSED, CODED, DOMAIN_ZONE, FOREIGN, LISTED, LISTED_DOMAINS, UNLISTED, UNLISTED_DOMAINS, UNLOADED,
    ZONE, text,
};
use crate::machine::{LISTEN, Machine, POSTDROP, POSTFIX, make_folder};
use crate::programs::Program;
use crate::readme;
use crate::smtp::Smtp;
use std::fs;
use std::path::Path;

/// Where the mail server is, and where postscreen, which looks at clients first.
const SMTPD: &str = "127.0.0.1:25";
const POSTSCREEN: &str = "127.0.0.1:2525";

struct Postfix {
    machine: Machine,
}

impl Postfix {
    /// Postfix with these lines in `main.cf` beside a daemon of this site, ready for mail.
    fn start(site: Site, restrictions: &str) -> Option<Self> {
        let master = Program::find("usr/lib/postfix/sbin/master")?;
        let mut machine = Machine::serving(site)?;
        let folder = machine.folder("postfix");
        make_queue(&folder);
        fs::write(folder.join("main.cf"), main_cf(&master, &folder, restrictions)).unwrap();
        fs::write(folder.join("master.cf"), MASTER_CF).unwrap();
        machine.server(&master, &["-s", "-c", folder.to_str().unwrap()]);
        let mut postfix = Self { machine };
        postfix.machine.wait("the greeting of Postfix", |machine| session(machine, "127.0.0.3", SMTPD));
        Some(postfix)
    }

    /// Its reply to the recipient of a mail from this client, whose address it is told.
    fn receive(&self, client: &str, sender: &str) -> String {
        let mut session = session(&self.machine, "127.0.0.3", SMTPD).unwrap();
        session.say("EHLO proxy.example");
        let form = if client.contains(':') { "IPV6:" } else { "" };
        let changed = session.say(&format!("XCLIENT NAME=[UNAVAILABLE] ADDR={form}{client}"));
        assert!(changed.starts_with("220 "), "{changed}");
        deliver(&mut session, sender)
    }

    /// The reply of one of its servers to the recipient of a mail over a connection from this address.
    fn receive_from(&self, client: &str, server: &str) -> String {
        deliver(&mut session(&self.machine, client, server).unwrap(), "a@ok.example")
    }
}

/// A session from a loopback address; `None` if Postfix is not there yet.
fn session(machine: &Machine, from: &str, server: &str) -> Option<Smtp> {
    Smtp::open(machine.connect(from, server)?)
}

fn deliver(session: &mut Smtp, sender: &str) -> String {
    for line in ["EHLO client.example", &format!("MAIL FROM:<{sender}>")] {
        let reply = session.say(line);
        assert!(reply.starts_with("250 "), "{line}: {reply}");
    }
    let reply = session.say("RCPT TO:<user@dest.example>");
    session.say("QUIT");
    reply
}

/// The folders that `postfix post-install` would make.
fn make_queue(folder: &Path) {
    let ((_, postfix), (_, postdrop)) = (POSTFIX, POSTDROP);
    make_folder(&folder.join("lib"), postfix, postfix, 0o700);
    let spool = folder.join("spool");
    make_folder(&spool, 0, 0, 0o755);
    make_folder(&spool.join("pid"), 0, 0, 0o755);
    make_folder(&spool.join("public"), postfix, postdrop, 0o710);
    make_folder(&spool.join("maildrop"), postfix, postdrop, 0o730);
    for name in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
        "trace",
    ] {
        make_folder(&spool.join(name), postfix, postfix, 0o700);
    }
}

fn main_cf(master: &Program, folder: &Path, restrictions: &str) -> String {
    format!(
        r#"
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
command_directory = {commands}
daemon_directory = {daemons}
shlib_directory = {libraries}
meta_directory = {meta}
import_environment = MAIL_CONFIG LD_LIBRARY_PATH LC_ALL
mail_owner = {owner}
setgid_group = {group}
maillog_file = /dev/stdout
inet_interfaces = all
inet_protocols = all
myhostname = mx.dest.example
mydestination = dest.example
local_recipient_maps =
alias_maps =
local_transport = discard:ok
default_transport = discard:ok
mynetworks = 10.255.255.255/32
smtpd_authorized_xclient_hosts = 127.0.0.0/8
postscreen_greet_wait = 1s
{restrictions}
"#,
        folder = folder.display(),
        commands = master.beside("usr/sbin").display(),
        daemons = master.beside("usr/lib/postfix/sbin").display(),
        libraries = master.beside("usr/lib/postfix").display(),
        meta = master.beside("etc/postfix").display(),
        owner = POSTFIX.0,
        group = POSTDROP.0,
    )
}

const MASTER_CF: &str = "\
smtp       inet      n - n - - smtpd
cleanup    unix      n - n - 0 cleanup
qmgr       unix      n - n 300 1 qmgr
rewrite    unix      - - n - - trivial-rewrite
bounce     unix      - - n - 0 bounce
defer      unix      - - n - 0 bounce
trace      unix      - - n - 0 bounce
verify     unix      - - n - 1 verify
proxymap   unix      - - n - - proxymap
anvil      unix      - - n - 1 anvil
discard    unix      - - n - - discard
error      unix      - - n - - error
postlog    unix-dgram n - n - 1 postlogd
127.0.0.1:2525 inet  n - n - 1 postscreen
smtpd      pass      - - n - - smtpd
dnsblog    unix      - - n - 0 dnsblog
tlsproxy   unix      - - n - 0 tlsproxy
";

#[test]
fn checklist_13_postfix_rejects_the_listed_with_our_text_and_accepts_others() {
    let Some(postfix) = Postfix::start(lists::site(LISTEN), readme::block("reject_rbl_client")) else {
        return;
    };
    let rejection = |address: &str| {
        let client = format!("Client host [{address}] blocked using {ZONE}");
        format!("554 5.7.1 Service unavailable; {client}; {}", text(address))
    };
    for address in LISTED {
        assert_eq!(postfix.receive(address, "a@ok.example"), rejection(address));
    }
    for address in UNLISTED {
        assert_eq!(postfix.receive(address, "a@ok.example"), "250 2.1.5 Ok", "{address}");
    }
    // Over connections of their own.
    assert_eq!(postfix.receive_from("127.0.0.2", SMTPD), rejection("127.0.0.2"));
    assert_eq!(postfix.receive_from("127.0.0.3", SMTPD), "250 2.1.5 Ok");
}

#[test]
fn checklist_13_postfix_rejects_senders_by_domain_with_our_text_and_accepts_others() {
    let Some(postfix) = Postfix::start(lists::site(LISTEN), readme::block("reject_rhsbl_sender")) else {
        return;
    };
    for domain in LISTED_DOMAINS {
        let sender = format!("Sender address [a@{domain}] blocked using {DOMAIN_ZONE}");
        let rejection = format!("554 5.7.1 Service unavailable; {sender}; {}", text(domain));
        assert_eq!(postfix.receive(UNLISTED[1], &format!("a@{domain}")), rejection);
    }
    for domain in UNLISTED_DOMAINS {
        assert_eq!(postfix.receive(UNLISTED[1], &format!("a@{domain}")), "250 2.1.5 Ok", "{domain}");
    }
}

#[test]
fn checklist_13_postscreen_rejects_the_listed_and_accepts_others() {
    let settings = "
postscreen_dnsbl_sites = bl.example=127.0.0.[2..11]*2, foreign.example, unloaded.example
postscreen_dnsbl_threshold = 2
postscreen_dnsbl_action = enforce
smtpd_recipient_restrictions = reject_unauth_destination";
    let Some(postfix) = Postfix::start(lists::site(LISTEN), settings) else { return };
    let rejection = format!("550 5.7.1 Service unavailable; client [127.0.0.2] blocked using {ZONE}");
    assert_eq!(postfix.receive_from("127.0.0.2", POSTSCREEN), rejection);
    assert_eq!(postfix.receive_from("127.0.0.3", POSTSCREEN), "250 2.1.5 Ok");
}

#[test]
fn checklist_13_postfix_accepts_all_from_a_list_that_refuses_or_fails() {
    let failing = [FOREIGN, UNLOADED, CLOSED];
    let lists = failing.map(|zone| format!("reject_rbl_client {zone}")).join(", ");
    let coded = format!("reject_rbl_client {CODED}=127.0.0.[2..11], reject_rhsbl_sender {FOREIGN}");
    let restrictions = format!("smtpd_recipient_restrictions = reject_unauth_destination, {lists}, {coded}");
    let Some(mut postfix) = Postfix::start(lists::site(LISTEN), &restrictions) else { return };
    assert_eq!(postfix.receive(LISTED[1], "a@ok.example"), "250 2.1.5 Ok");
    for zone in failing {
        let warning = format!("9.2.0.192.{zone}: RBL lookup error");
        postfix.machine.wait("its warning", |machine| machine.said().contains(&warning).then_some(()));
    }
}
