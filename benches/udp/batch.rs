//! Batch: many datagrams in one system call, over a connected socket. Nothing here waits.

use std::io;
use std::mem::zeroed;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

/// Most datagrams in one call.
pub(crate) const BATCH: usize = 32;
/// Octets kept of a datagram: no reply without EDNS is longer.
const SIZE: usize = 512;

/// Room for [`BATCH`] datagrams.
pub(crate) struct Batch {
    octets: Box<[[u8; SIZE]; BATCH]>,
    lengths: [usize; BATCH],
    used: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { octets: Box::new([[0; SIZE]; BATCH]), lengths: [0; BATCH], used: 0 }
    }
}

impl Batch {
    /// Adds a datagram with this id in its first two octets. At most [`BATCH`] of them, of at most 512 octets each.
    pub(crate) fn push(&mut self, id: u16, message: &[u8]) {
        let room = &mut self.octets[self.used];
        room[..message.len()].copy_from_slice(message);
        room[..2].copy_from_slice(&id.to_be_bytes());
        self.lengths[self.used] = message.len();
        self.used += 1;
    }

    /// The datagrams in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.octets.iter().zip(self.lengths).take(self.used).map(|(octets, len)| &octets[..len])
    }

    /// Sends all of it and empties it, trying again while the system has no room.
    pub(crate) fn send(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let mut done = 0;
        while done < self.used {
            done += self.call(done..self.used, |headers| {
                // SAFETY: the pointers in the headers are to our buffers, borrowed while the call lasts, and the
                // number is that of the headers.
                unsafe {
                    libc::sendmmsg(
                        socket.as_raw_fd(),
                        headers.as_mut_ptr(),
                        headers.len() as u32,
                        libc::MSG_DONTWAIT,
                    )
                }
            })?;
        }
        self.used = 0;
        Ok(())
    }

    /// Replaces it by what has arrived.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.lengths = [SIZE; BATCH];
        let mut received = [0; BATCH];
        self.used = self.call(0..BATCH, |headers| {
            // SAFETY: as above; the kernel writes into the buffers, which the batch owns and nobody else looks at.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    headers.len() as u32,
                    libc::MSG_DONTWAIT,
                    null_mut(),
                )
            };
            for (len, header) in received.iter_mut().zip(headers) {
                *len = header.msg_len as usize;
            }
            count
        })?;
        self.lengths = received;
        Ok(())
    }

    /// Calls with a header for each datagram of the range; how many were sent or received, 0 when the call would wait.
    fn call(
        &mut self,
        range: std::ops::Range<usize>,
        call: impl FnOnce(&mut [libc::mmsghdr]) -> i32,
    ) -> io::Result<usize> {
        let mut vectors = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: a C struct of numbers and pointers, for all of which zero is a value: no name, no control data.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let datagrams = self.octets.iter_mut().zip(self.lengths);
        for ((vector, header), (octets, len)) in vectors.iter_mut().zip(&mut headers).zip(datagrams) {
            *vector = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: len };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        match usize::try_from(call(&mut headers[range])) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }
}
