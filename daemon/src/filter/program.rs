//! One loaded instance of the kernel program with its maps, made for one size of table.

use super::counters::Counters;
use super::plan::{SizeClass, SizedObject};
use super::table_map::FrozenMap;
use super::{FilterError, kernel_error};
use crate::core::table::Table;
use aya::maps::{Array, ArrayOfMaps, Map, MapData, PerCpuArray};
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use blackthorn_common::abi::{self, Conf, Count, Enforcement};
use blackthorn_common::payload::Payload;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Built by `cargo xtask build-ebpf` and committed, so that building the daemon needs no kernel toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../ebpf/prebuilt/blackthorn.o");

/// What a device puts before the IP header; decides which entry of the program it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkHeader {
    /// An Ethernet header.
    Ethernet,
    /// Nothing: packets begin with IP (tun, WireGuard, PPP).
    None,
}

/// Program and maps. Its memory is freed when this and every link to it are gone.
pub(super) struct Program {
    class: SizeClass,
    ebpf: Ebpf,
    ether: &'static str,
    ip: &'static str,
    tables: ArrayOfMaps<MapData, MapData>,
    conf: Array<MapData, Conf>,
    count: PerCpuArray<MapData, Count>,
}

impl Program {
    /// Loads the program for tables of `class`. Without a table everything passes.
    pub(super) fn load(class: SizeClass, enforcement: Enforcement) -> Result<Self, FilterError> {
        let object = SizedObject::new(OBJECT, class)?;
        // Nothing in the program depends on the layout of kernel types.
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .load(object.bytes())
            .map_err(|error| kernel_error("create the maps of the packet filter", &error))?;
        let ether = load_first(&mut ebpf, [abi::ETHER, abi::ETHER_SINGLE])?;
        let ip = load_first(&mut ebpf, [abi::IP, abi::IP_SINGLE])?;
        load(&mut ebpf, abi::PROBE)?.map_err(|error| refused(&error))?;
        let mut program = Self {
            class,
            tables: take_map(&mut ebpf, abi::TABLES)?,
            conf: take_map(&mut ebpf, abi::CONF)?,
            count: take_map(&mut ebpf, abi::COUNT)?,
            ebpf,
            ether,
            ip,
        };
        program.set_enforcement(enforcement)?;
        Ok(program)
    }

    /// The class of tables it takes.
    pub(super) fn class(&self) -> SizeClass {
        self.class
    }

    /// What happens to listed sources from now on; one store, effective with the next packet.
    pub(super) fn set_enforcement(&mut self, enforcement: Enforcement) -> Result<(), FilterError> {
        let conf = Conf { enforcement: enforcement as u32 };
        self.conf
            .set(0, conf, 0)
            .map_err(|error| kernel_error("change the settings of the packet filter", &error))
    }

    /// Puts a table of at most [`Self::class`] into force. Each packet sees the old table or the new one as a whole;
    /// when this returns, no packet uses the old one any more. On any error the old one stays. Gives back the table
    /// as it lies there, or why the daemon cannot read it there, which changes nothing else.
    pub(super) fn publish(&mut self, words: &[u32]) -> Result<Result<Table, FilterError>, FilterError> {
        let frozen = FrozenMap::new(self.class.chunks(), words)?;
        let table = frozen.table();
        let map =
            MapData::from_fd(frozen.into()).map_err(|error| kernel_error("read back a table map", &error))?;
        self.tables.set(0, &map, 0).map_err(|error| kernel_error("put a table into force", &error))?;
        Ok(table)
    }

    /// Where the program looks for the table of live entries.
    pub(super) fn overlay_slot(&self) -> Result<OwnedFd, FilterError> {
        let Some(Map::ArrayOfMaps(slot)) = self.ebpf.map(abi::OVERLAYS) else {
            return Err(missing(abi::OVERLAYS));
        };
        let fd = slot.fd().as_fd().try_clone_to_owned();
        fd.map_err(|error| kernel_error("use the packet filter", &error))
    }

    /// The entry for devices with this link header.
    pub(super) fn entry(&self, header: LinkHeader) -> Result<BorrowedFd<'_>, FilterError> {
        let fd = self.xdp(header)?.fd().map_err(|error| kernel_error("use the packet filter", &error))?;
        Ok(fd.as_fd())
    }

    /// Packets and bytes by reason since loading.
    pub(super) fn counters(&self) -> Result<Counters, FilterError> {
        Counters::read(&self.count)
    }

    /// Runs the entry over a frame of at least 14 bytes, away from any interface; is it dropped? Counts as a packet.
    pub(super) fn test_run(&self, header: LinkHeader, frame: &[u8]) -> Result<bool, FilterError> {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let result = self
            .xdp(header)?
            .test_run(options)
            .map_err(|error| kernel_error("test-run the packet filter", &error))?;
        Ok(result.return_value == XDP_DROP)
    }

    /// Instructions the verifier walked for the entry; 0 on kernels that do not say (before 5.16).
    pub(super) fn verified_instructions(&self, header: LinkHeader) -> Result<u32, FilterError> {
        let info =
            self.xdp(header)?.info().map_err(|error| kernel_error("inspect the packet filter", &error))?;
        Ok(info.verified_instruction_count().unwrap_or(0))
    }

    /// What the table in force holds for the source of an IP packet; `None` without a table. Counts nothing.
    pub(super) fn probe(&self, packet: &[u8]) -> Result<Option<Payload>, FilterError> {
        let options = TestRunOptions { data_in: Some(packet), ..TestRunOptions::default() };
        let result = self
            .named(abi::PROBE)?
            .test_run(options)
            .map_err(|error| kernel_error("probe the table of the packet filter", &error))?;
        let found = result.return_value & abi::PROBED != 0;
        Ok(found.then(|| Payload::from_bits(result.return_value)))
    }

    fn xdp(&self, header: LinkHeader) -> Result<&Xdp, FilterError> {
        self.named(match header {
            LinkHeader::Ethernet => self.ether,
            LinkHeader::None => self.ip,
        })
    }

    fn named(&self, name: &str) -> Result<&Xdp, FilterError> {
        let program = self.ebpf.program(name).ok_or_else(|| missing(name))?;
        program.try_into().map_err(|_| missing(name))
    }
}

/// `XDP_DROP` of the kernel.
const XDP_DROP: u32 = 1;

/// Loads the first of the entries that the kernel takes. A kernel that does not know a program's flags says `EINVAL`.
fn load_first(ebpf: &mut Ebpf, names: [&'static str; 2]) -> Result<&'static str, FilterError> {
    let [preferred, fallback] = names;
    match load(ebpf, preferred)? {
        Ok(()) => return Ok(preferred),
        Err(error) if super::errno(&error) != Some(libc::EINVAL) => return Err(refused(&error)),
        Err(_) => {}
    }
    match load(ebpf, fallback)? {
        Ok(()) => Ok(fallback),
        Err(error) => Err(refused(&error)),
    }
}

fn load(ebpf: &mut Ebpf, name: &str) -> Result<Result<(), ProgramError>, FilterError> {
    let program = ebpf.program_mut(name).ok_or_else(|| missing(name))?;
    let xdp: &mut Xdp = program.try_into().map_err(|_| missing(name))?;
    Ok(xdp.load())
}

fn refused(error: &ProgramError) -> FilterError {
    // The verifier explains itself over pages; the last line before the statistics says it all.
    if let ProgramError::LoadError { io_error, verifier_log } = error
        && super::errno(error) != Some(libc::EPERM)
    {
        let log = verifier_log.to_string();
        let is_statistics = |line: &&str| {
            line.trim().is_empty()
                || ["processed", "verification time", "stack depth"]
                    .iter()
                    .any(|start| line.starts_with(start))
        };
        let last = log.lines().rev().find(|line| !is_statistics(line));
        return FilterError::Verifier {
            error: io_error.to_string(),
            last: last.unwrap_or_default().to_owned(),
        };
    }
    kernel_error("load the packet filter", error)
}

fn take_map<M>(ebpf: &mut Ebpf, name: &str) -> Result<M, FilterError>
where
    M: TryFrom<Map>,
{
    ebpf.take_map(name).and_then(|map| M::try_from(map).ok()).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> FilterError {
    FilterError::Object(format!("it has no {name} of the expected kind"))
}
