//! Counters of the kernel program, summed over CPUs.

use super::{FilterError, kernel_error};
use aya::maps::{MapData, PerCpuArray};
use blackthorn_common::abi::Count;
use blackthorn_common::verdict::Reason;

/// Packets and bytes by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([Count; Reason::COUNT]);

impl Counters {
    /// The counters of one program. Not a snapshot: packets go on while the CPUs are read.
    pub(super) fn read(map: &PerCpuArray<MapData, Count>) -> Result<Self, FilterError> {
        let mut sums = Self::default();
        for reason in Reason::ALL {
            let per_cpu = map
                .get(&(reason as u32), 0)
                .map_err(|error| kernel_error("read the packet counters", &error))?;
            for count in per_cpu.iter() {
                sums.add(reason, *count);
            }
        }
        Ok(sums)
    }

    /// What was counted for one reason.
    pub fn get(&self, reason: Reason) -> Count {
        self.0[reason as usize]
    }

    /// Every reason with its count, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, Count)> {
        Reason::ALL.into_iter().zip(self.0)
    }

    /// Both together, for programs that followed each other.
    #[must_use]
    pub(super) fn plus(mut self, other: Self) -> Self {
        for (reason, count) in other.iter() {
            self.add(reason, count);
        }
        self
    }

    fn add(&mut self, reason: Reason, count: Count) {
        let sum = &mut self.0[reason as usize];
        sum.packets = sum.packets.wrapping_add(count.packets);
        sum.bytes = sum.bytes.wrapping_add(count.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_reasons_apart() {
        let mut first = Counters::default();
        first.add(Reason::Drop4, Count { packets: 2, bytes: 120 });
        let mut second = Counters::default();
        second.add(Reason::Drop4, Count { packets: 1, bytes: 60 });
        second.add(Reason::Other, Count { packets: 5, bytes: 300 });
        let both = first.plus(second);
        assert_eq!(both.get(Reason::Drop4), Count { packets: 3, bytes: 180 });
        assert_eq!(both.get(Reason::Other), Count { packets: 5, bytes: 300 });
        assert_eq!(both.iter().filter(|(_, count)| *count != Count::default()).count(), 2);
    }
}
