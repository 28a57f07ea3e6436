// SPDX-License-Identifier: Apache-2.0
//! Whether the in-sync set is large enough: the one place that knows.
//!
//! Owns: [`enough_in_sync`] and [`watermark_may_move`]. Invariants: `min.insync.replicas` is
//! compared nowhere else; the first is asked before an append and again before its answer. Runs on:
//! every core. Bounded by: nothing to bound.

/// How many acknowledgements a producer asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// No answer is wanted (0).
    None,
    /// The leader's disk (1).
    Leader,
    /// The disks of the whole in-sync set (-1).
    All,
}

impl Acks {
    /// From the number on the wire; `None` for a number that has no meaning.
    #[must_use]
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// True if a write with these acknowledgements may be accepted (before the append) or confirmed
/// (before the answer) while `in_sync` replicas are in sync. Only `acks=all` asks for more than the
/// leader (Kafka's rule).
#[must_use]
pub fn enough_in_sync(acks: Acks, in_sync: usize, min_insync_replicas: u32) -> bool {
    match acks {
        Acks::None | Acks::Leader => true,
        Acks::All => u32::try_from(in_sync).is_ok_and(|count| count >= min_insync_replicas),
    }
}

/// True if the high watermark may advance: it stands still while fewer replicas are in sync than
/// the smaller of `min.insync.replicas` and the replication factor, else KIP-966 is unsound.
#[must_use]
pub fn watermark_may_move(
    in_sync: usize,
    min_insync_replicas: u32,
    replication_factor: usize,
) -> bool {
    let wanted = usize::try_from(min_insync_replicas)
        .unwrap_or(usize::MAX)
        .min(replication_factor);
    in_sync >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_numbers_of_kafka_mean_something() {
        assert_eq!(Acks::from_wire(0), Some(Acks::None));
        assert_eq!(Acks::from_wire(1), Some(Acks::Leader));
        assert_eq!(Acks::from_wire(-1), Some(Acks::All));
        for wrong in [i16::MIN, -2, 2, i16::MAX] {
            assert_eq!(Acks::from_wire(wrong), None);
        }
    }

    #[test]
    fn only_acks_all_asks_for_min_insync_replicas() {
        assert!(enough_in_sync(Acks::None, 0, 2));
        assert!(enough_in_sync(Acks::Leader, 1, 2));
        assert!(!enough_in_sync(Acks::All, 1, 2));
        assert!(enough_in_sync(Acks::All, 2, 2));
        assert!(enough_in_sync(Acks::All, 3, 2));
    }

    #[test]
    fn the_watermark_stands_while_the_in_sync_set_is_too_small() {
        assert!(watermark_may_move(1, 1, 1));
        assert!(!watermark_may_move(1, 2, 3));
        assert!(watermark_may_move(2, 2, 3));
        // A topic with one replica and min.insync.replicas=2 can be read, though acks=all is
        // refused.
        assert!(watermark_may_move(1, 2, 1));
    }
}
