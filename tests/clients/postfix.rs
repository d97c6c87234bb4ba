//! Postfix, with a configuration and a queue of its own, and clients from anywhere by XCLIENT.

use crate::harness::Site;
use crate::lists::{self, FOREIGN, LISTED, UNLISTED, UNLOADED, ZONE, text};
use crate::machine::{LISTEN, Machine, POSTDROP, POSTFIX, make_folder};
use crate::programs::Program;
use crate::readme;
use crate::smtp::Smtp;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

const SERVER: &str = "127.0.0.1:25";

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
        postfix.machine.wait("the greeting of Postfix", |machine| session(machine, "127.0.0.3"));
        Some(postfix)
    }

    /// Its reply to the recipient of a mail from this client, whose address it is told.
    fn receive(&self, client: &str, sender: &str) -> String {
        let mut session = session(&self.machine, "127.0.0.3").unwrap();
        session.say("EHLO proxy.example");
        let form = if client.contains(':') { "IPV6:" } else { "" };
        let changed = session.say(&format!("XCLIENT NAME=[UNAVAILABLE] ADDR={form}{client}"));
        assert!(changed.starts_with("220 "), "{changed}");
        deliver(&mut session, sender)
    }

    /// Its reply to the recipient of a mail over a connection from this address.
    fn receive_from(&self, client: &str, sender: &str) -> String {
        deliver(&mut session(&self.machine, client).unwrap(), sender)
    }
}

/// A session from a loopback address; `None` if Postfix is not there yet.
fn session(machine: &Machine, from: &str) -> Option<Smtp> {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let to: SocketAddr = SERVER.parse().unwrap();
    let stream: TcpStream = machine.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&to.into()).ok()?;
        Some(socket.into())
    })?;
    Smtp::open(stream)
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
    assert_eq!(postfix.receive_from("127.0.0.2", "a@ok.example"), rejection("127.0.0.2"));
    assert_eq!(postfix.receive_from("127.0.0.3", "a@ok.example"), "250 2.1.5 Ok");
}

#[test]
fn checklist_13_postfix_accepts_all_when_a_list_refuses_or_fails() {
    let lists = [FOREIGN, UNLOADED].map(|zone| format!("reject_rbl_client {zone}")).join(", ");
    let restrictions = format!("smtpd_recipient_restrictions = reject_unauth_destination, {lists}");
    let Some(mut postfix) = Postfix::start(lists::site(LISTEN), &restrictions) else { return };
    assert_eq!(postfix.receive(LISTED[1], "a@ok.example"), "250 2.1.5 Ok");
    for zone in [FOREIGN, UNLOADED] {
        let warning = format!("9.2.0.192.{zone}: RBL lookup error");
        postfix.machine.wait("its warning", |machine| machine.said().contains(&warning).then_some(()));
    }
}
