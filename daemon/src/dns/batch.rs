//! Batch: up to 32 datagrams in and as many out, each with one system call and without allocating.
//!
//! The arrays that recvmmsg and sendmmsg want are made once for each worker and point into buffers that stay where they
//! are. A reply leaves from the address that was asked: on a wildcard socket the kernel says which that was
//! (IP_PKTINFO), and is told so again.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

/// Most datagrams of a batch. More save nothing that can be measured.
pub(super) const BATCH: usize = 32;
/// Octets a datagram can have, so that none is cut. Of the 2 MiB of a worker only pages that were filled take memory.
const MAX_DATAGRAM: usize = 65_535;
/// Octets first set aside for a reply, more than any takes over UDP.
const REPLY: usize = 2048;

/// Room for the one control message, aligned as the kernel's header of it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Buffers of one worker.
pub(super) struct Batch {
    /// One behind the other. From zeroed memory, of which only what is used becomes resident.
    queries: Vec<u8>,
    clients: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    replies: Vec<Vec<u8>>,
    /// Never read, but pointed to by `incoming`.
    _query_parts: Vec<libc::iovec>,
    reply_parts: Vec<libc::iovec>,
    incoming: Vec<libc::mmsghdr>,
    outgoing: Vec<libc::mmsghdr>,
}

/// What became of the replies of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Replies the kernel refused.
    pub(super) failed: u64,
}

impl Batch {
    pub(super) fn new() -> Self {
        // SAFETY: a C struct of integers and octets, for which zeros are valid.
        let address: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: a C struct of integers and pointers, for which zeros are valid.
        let header: libc::mmsghdr = unsafe { mem::zeroed() };
        let part = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut queries = vec![0; BATCH * MAX_DATAGRAM];
        let mut clients = vec![address; BATCH];
        let mut controls = vec![Control([0; 64]); BATCH];
        let mut query_parts = vec![part; BATCH];
        let mut incoming = vec![header; BATCH];
        for (at, query) in queries.chunks_exact_mut(MAX_DATAGRAM).enumerate() {
            query_parts[at] = libc::iovec { iov_base: query.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM };
            let header = &mut incoming[at].msg_hdr;
            header.msg_name = ptr::from_mut(&mut clients[at]).cast();
            header.msg_iov = &raw mut query_parts[at];
            header.msg_iovlen = 1;
            header.msg_control = controls[at].0.as_mut_ptr().cast();
        }
        Self {
            queries,
            clients,
            controls,
            replies: (0..BATCH).map(|_| Vec::with_capacity(REPLY)).collect(),
            _query_parts: query_parts,
            reply_parts: vec![part; BATCH],
            incoming,
            outgoing: vec![header; BATCH],
        }
    }

    /// Waits for datagrams and takes what is there, up to a batch; returns how many.
    ///
    /// # Errors
    /// Those of recvmmsg.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        for header in &mut self.incoming {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = size_of::<Control>();
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: the headers and all they point to (clients, queries, controls, parts) are buffers of `self` of the
        // stated sizes, which are not moved or resized after `new` and to which nothing else refers during the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.incoming.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Turns the first `count` datagrams, those of the last [`Self::receive`], into replies by `respond`, which gets
    /// message, client and a buffer for the reply and says whether there is one; then sends them.
    pub(super) fn reply(
        &mut self,
        socket: &UdpSocket,
        count: usize,
        mut respond: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> bool,
    ) -> Sent {
        let mut replies = 0;
        for at in 0..count.min(BATCH) {
            let header = &self.incoming[at];
            let query = at * MAX_DATAGRAM;
            let message = self.queries.get(query..query + header.msg_len as usize).unwrap_or_default();
            let Some(client) = socket_addr(&self.clients[at], header.msg_hdr.msg_namelen) else { continue };
            let reply = &mut self.replies[at];
            if !respond(message, client, reply) {
                continue;
            }
            self.reply_parts[at] = libc::iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: reply.len() };
            let control_len = from_same_address(&mut self.controls[at], &header.msg_hdr);
            let out = &mut self.outgoing[replies];
            out.msg_hdr = header.msg_hdr;
            out.msg_hdr.msg_iov = &raw mut self.reply_parts[at];
            out.msg_hdr.msg_controllen = control_len;
            out.msg_hdr.msg_flags = 0;
            replies += 1;
        }
        self.send(socket, replies)
    }

    /// Sends the first `count` outgoing datagrams; one that cannot be sent does not keep back the others.
    fn send(&mut self, socket: &UdpSocket, count: usize) -> Sent {
        let mut sent = Sent::default();
        let mut at = 0;
        while let Some(rest) = self.outgoing.get_mut(at..count).filter(|rest| !rest.is_empty()) {
            // SAFETY: the headers were filled in by `reply` in this round; they point to clients, controls and replies
            // of `self`, none of which has changed since.
            let done = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0)
            };
            match usize::try_from(done) {
                Ok(done) if done > 0 => at += done,
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // None were sent: the first one is at fault.
                Ok(_) | Err(_) => {
                    sent.failed += 1;
                    at += 1;
                }
            }
        }
        sent
    }
}

/// The client of a datagram; `None` when there was no datagram, or of a family that we do not have.
fn socket_addr(storage: &libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    let (start, len) = (ptr::from_ref(storage), len as usize);
    match i32::from(storage.ss_family) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: a sockaddr_storage is larger than, and aligned for, every socket address, and the family says
            // that it holds this one.
            let address = unsafe { &*start.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let address = unsafe { &*start.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            let (flow, scope) = (u32::from_be(address.sin6_flowinfo), address.sin6_scope_id);
            Some(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => None,
    }
}

/// Turns what the kernel said of the address asked into the order to reply from it, in place. Returns its length; 0:
/// the socket has an address of its own.
///
/// The interface is left to routing, but for link-local addresses, which mean nothing without.
fn from_same_address(control: &mut Control, header: &libc::msghdr) -> usize {
    let len = header.msg_controllen;
    if header.msg_flags & libc::MSG_CTRUNC != 0 || len < size_of::<libc::cmsghdr>() {
        return 0;
    }
    let start = control.0.as_mut_ptr();
    // SAFETY: the buffer is aligned for, and longer than, a control header, and the kernel has filled one in, as the
    // length says.
    let head = unsafe { start.cast::<libc::cmsghdr>().read() };
    let ([head_len, _], [v4, v4_space], [v6, v6_space]) =
        (control_len::<()>(), control_len::<libc::in_pktinfo>(), control_len::<libc::in6_pktinfo>());
    // SAFETY: control headers are smaller than the buffer, so this is inside of it.
    let data = unsafe { start.add(head_len) };
    match (head.cmsg_level, head.cmsg_type, head.cmsg_len) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO, len) if len == v4 => {
            // SAFETY: the length says that the data is a whole in_pktinfo, inside the buffer.
            unsafe { (*data.cast::<libc::in_pktinfo>()).ipi_ifindex = 0 };
            v4_space
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, len) if len == v6 => {
            // SAFETY: as above, for in6_pktinfo.
            let info = unsafe { &mut *data.cast::<libc::in6_pktinfo>() };
            if !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() {
                info.ipi6_ifindex = 0;
            }
            v6_space
        }
        _ => 0,
    }
}

/// Octets of a control message that holds a `T`, without and with the padding behind it.
fn control_len<T>() -> [usize; 2] {
    let data = size_of::<T>() as libc::c_uint;
    // SAFETY: nothing but arithmetic.
    let len = unsafe { libc::CMSG_LEN(data) };
    // SAFETY: as above.
    let space = unsafe { libc::CMSG_SPACE(data) };
    [len as usize, space as usize]
}
