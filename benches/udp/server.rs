//! Servers: the daemon and rbldnsd as processes on a core of their own, what they cost, and their end.

use crate::clock::cpu_time;
use crate::generator::{Pace, Until, ask};
use crate::workload::Workload;
use crate::{PEER, TEXT, ZONE};
use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Core of the generator, and core of the server that is asked.
pub(crate) const CORES: [usize; 2] = [0, 1];
/// How long a server may take to load or to reload a list.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// User nobody and its group: rbldnsd refuses to run as root.
const NOBODY: u32 = 65_534;

/// Keeps this thread, or a child about to become a server, on one core. Only a system call: fit for use after fork.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a C struct of numbers, for all of which zero is a value: no core.
    let mut cores: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the set is ours; a core beyond its end would not be set.
    unsafe { libc::CPU_SET(core, &mut cores) };
    // SAFETY: the pointer is to a live set of the size given; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&cores), &raw const cores) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whatever ends this bench ends its servers. Only a system call, as [`pin`].
fn die_with_parent() -> io::Result<()> {
    // SAFETY: touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// CPU time of a process and its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// All threads, user space and kernel, to the nanosecond: the scheduler's own account.
    total: Duration,
    /// In hundredths of a second; how the kernel splits the total is sampled at each timer tick.
    user: u64,
    system: u64,
}

impl Cpu {
    /// Total and user time since `before`, in nanoseconds.
    pub(crate) fn since(self, before: Self) -> (f64, f64) {
        let total = (self.total - before.total).as_secs_f64() * 1e9;
        let (user, system) = (self.user - before.user, self.system - before.system);
        (total, total * user as f64 / (user + system).max(1) as f64)
    }
}

/// A server process. Killed when dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    list: PathBuf,
    write: fn(&Workload, bool) -> String,
    dir: TempDir,
}

impl Server {
    /// The daemon as it is released.
    pub(crate) fn blackthorn(workload: &Workload) -> Result<Self, Box<dyn Error>> {
        let (dir, address) = (tempfile::tempdir()?, free_address()?);
        let config = format!(
            "state_dir = \"state\"\n[dns]\nlisten = [\"{address}\"]\n[control]\nsocket = \"control.sock\"\n\
             [[feed]]\nid = \"bench\"\nsource = \"list\"\nformat = \"plain\"\nrefresh = \"1d\"\n\
             [[zone]]\nname = \"{ZONE}\"\nttl = \"10m\"\n\
             feeds = [{{ id = \"bench\", code = \"127.0.0.2\", text = \"{TEXT}\" }}]\n"
        );
        fs::write(dir.path().join("blackthorn.toml"), config)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
        command.args(["run", "--config", "blackthorn.toml"]);
        Self::start("blackthorn", command, workload, Workload::plain, dir, address)
    }

    /// The peer: minimal answers, in the foreground, reloads on a signal only and while a copy of it answers.
    pub(crate) fn rbldnsd(program: &Path, workload: &Workload) -> Result<Self, Box<dyn Error>> {
        let (dir, address) = (tempfile::tempdir()?, free_address()?);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let mut command = Command::new(program);
        command.args(["-n", "-a", "-f", "-4", "-c", "0", "-b"]);
        command.arg(format!("{}/{}", address.ip(), address.port()));
        command.arg(format!("{ZONE}:ip4trie:list"));
        // SAFETY: no arguments, no memory.
        if unsafe { libc::geteuid() } == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        Self::start(PEER, command, workload, Workload::dataset, dir, address)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        workload: &Workload,
        write: fn(&Workload, bool) -> String,
        dir: TempDir,
        address: SocketAddr,
    ) -> Result<Self, Box<dyn Error>> {
        let list = dir.path().join("list");
        fs::write(&list, write(workload, false))?;
        let log = File::create(dir.path().join("log"))?;
        command.current_dir(dir.path()).env_clear().stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: between fork and exec only two system calls are made, neither of which takes a lock or memory.
        unsafe {
            command.pre_exec(|| {
                pin(CORES[1])?;
                die_with_parent()
            });
        }
        let child = command.spawn().map_err(|why| format!("cannot start {name}: {why}"))?;
        let mut server = Self { name, address, child, list, write, dir };
        server.wait_loaded(workload)?;
        Ok(server)
    }

    /// Waits until it knows what the list says.
    fn wait_loaded(&mut self, workload: &Workload) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        let until = Until::Elapsed(Duration::from_millis(50));
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended: {status}\n{}", self.name, self.log()).into());
            }
            // Refused or wrong before the list is loaded.
            match ask(self.address, workload, Pace::Rate(1000), until) {
                Ok(outcome) if outcome.answered > 0 => return Ok(()),
                Err(why) if Instant::now() >= deadline => {
                    return Err(format!(
                        "{} is not ready after {PATIENCE:?}: {why}\n{}",
                        self.name,
                        self.log()
                    )
                    .into());
                }
                Ok(_) if Instant::now() >= deadline => {
                    return Err(
                        format!("{} does not answer after {PATIENCE:?}\n{}", self.name, self.log()).into()
                    );
                }
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Puts another state of the list in place and tells the server, without waiting for it.
    pub(crate) fn replace_list(&self, workload: &Workload, marked: bool) -> Result<(), Box<dyn Error>> {
        let new = self.dir.path().join("list.new");
        fs::write(&new, (self.write)(workload, marked))?;
        fs::rename(&new, &self.list)?;
        // SAFETY: touches no memory; the child has not been waited for, so the id is still its own.
        match unsafe { libc::kill(self.pid()?, libc::SIGHUP) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().into()),
        }
    }

    /// What it has used so far.
    pub(crate) fn cpu(&self) -> Result<Cpu, Box<dyn Error>> {
        let mut clock = 0;
        // SAFETY: the pointer is to a live number, which the call fills in.
        match unsafe { libc::clock_getcpuclockid(self.pid()?, &raw mut clock) } {
            0 => {}
            why => return Err(io::Error::from_raw_os_error(why).into()),
        }
        let total = cpu_time(clock)?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: state is field 3, user and system time are 14 and 15.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let mut times = fields.split_whitespace().skip(11).map(str::parse);
        let mut time = || times.next().ok_or("no times in stat");
        Ok(Cpu { total, user: time()??, system: time()?? })
    }

    fn pid(&self) -> Result<libc::pid_t, Box<dyn Error>> {
        Ok(self.child.id().try_into()?)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The peer's program, where Debian puts programs for root or on the search path.
pub(crate) fn rbldnsd() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(PEER)).find(|program| program.is_file())
}

/// A loopback address whose UDP port is free now: rbldnsd cannot say which one it got.
fn free_address() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
