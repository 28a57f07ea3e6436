// SPDX-License-Identifier: Apache-2.0
//! What a run met: a fault that never came up was not tested.
//!
//! Invariants: counters only rise; `missing` names every counter that must not be zero over all
//! seeds.

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident: $need:literal,)*) => {
        /// Counters of one run, or of many.
        #[derive(Clone, Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// The process has started and does not serve yet.
            pub recovering: bool,
        }

        impl Stats {
            /// Adds what another run met.
            pub fn add(&mut self, other: &Stats) {
                $(self.$name += other.$name;)*
            }

            /// Every counter by name.
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Counters that must have been met and were not.
            pub fn missing(&self) -> Vec<&'static str> {
                let mut missing = Vec::new();
                $(if $need && self.$name == 0 { missing.push(stringify!($name)); })*
                missing
            }
        }
    };
}

stats! {
    /// Events handled by machines.
    events: true,
    /// Starts of the process.
    starts: true,
    /// Kill -9.
    kills: true,
    /// Power cuts.
    power_cuts: true,
    /// Deaths before the start was through.
    deaths_in_recovery: true,
    /// Graceful stops.
    graceful_stops: true,
    /// Deaths while a graceful stop was under way.
    deaths_in_stop: true,
    /// Starts with another number of shards than before.
    reshards: true,
    /// The process gave up by itself.
    fatals: true,
    /// Notices of the process.
    notices: true,
    /// Slow requests, told or counted.
    slow_requests: true,
    /// Unflushed writes that a power cut took whole.
    writes_lost: true,
    /// Unflushed writes that survived a power cut.
    writes_kept: true,
    /// Unflushed writes that survived in part.
    writes_torn: true,
    /// Flushes.
    flushes: true,
    /// Flushes of the device.
    device_flushes: true,
    /// Areas of zeros written ahead of a log.
    areas_ahead: true,
    /// Files of removed segments that became new ones.
    segments_recycled: true,
    /// Torn writes that a recovery found and cut off.
    torn_tails_cut: true,
    /// Segments cut during recovery, preallocated zeros included.
    log_cuts: true,
    /// Segments after the first of a log.
    rolls: true,
    /// Segments removed.
    segments_deleted: true,
    /// Requests that found the file system full.
    no_space: true,
    /// Requests that failed.
    io_errors: true,
    /// Partitions that moved to another shard.
    moves: true,
    /// Moves during which the process ended.
    moves_cut: true,
    /// Moves that were refused.
    moves_refused: true,
    /// Connections dropped by the network.
    connections_dropped: true,
    /// Topics made.
    topics_created: true,
    /// Topics deleted.
    topics_deleted: true,
    /// Settings changed.
    configs_changed: true,
    /// Deletions of records.
    trims: true,
    /// Topics that got another partition.
    growths: true,
    /// Batches sent, resends included.
    batches_sent: true,
    /// Batches acknowledged.
    batches_acked: true,
    /// Batches refused or cut off.
    batches_failed: true,
    /// Batches whose outcome their producer never learned.
    batches_unknown: true,
    /// Batches sent again by an idempotent producer.
    batches_resent: true,
    /// Resends that were recognised and answered with the old offset.
    duplicates_recognised: true,
    /// Producers that had to ask for a new id.
    producer_resets: false,
    /// Records read.
    records_read: true,
    /// Fetches that waited for data.
    long_polls: true,
    /// Fetches below the start of the log.
    out_of_range: true,
    /// Rises of a leader epoch seen by clients.
    epoch_bumps: true,
    /// Requests that got no answer in time.
    timeouts: false,
    /// Generations that members were told.
    group_joins: true,
    /// Assignments that members were told.
    assignments_told: true,
    /// Members that were silent for longer than they may.
    members_paused: true,
    /// Members that died.
    members_died: true,
    /// Members that left.
    members_left: true,
    /// Static members that somebody else had become.
    members_fenced: true,
    /// Assignments that a classic leader made for a group which had members of both protocols.
    mixed_classic_rounds: true,
    /// Joins of its classic members that were answered while it was of the new protocol.
    mixed_new_rounds: true,
    /// Times that it was found to have gone back to the classic protocol.
    mixed_gone_back: true,
    /// Heartbeats of members of the new protocol that were answered well.
    new_beats: true,
    /// Assignments that they were told.
    new_assignments: true,
    /// Times that they were asked to give something up.
    revocations: true,
    /// Times that such a member wanted other topics.
    wishes_changed: true,
    /// Such members that were silent for longer than they may.
    new_members_paused: true,
    /// Such members that died.
    new_members_died: true,
    /// Such members that left.
    new_members_left: true,
    /// Such members whose time was over before they knew.
    new_members_over: true,
    /// Such members that were told that nobody knows them.
    new_members_unknown: true,
    /// Such members that named another epoch than theirs.
    new_members_fenced: true,
    /// Such members whose name was still somebody else's.
    instances_unreleased: true,
    /// Requests of such members that were sent once more, late.
    new_copies: true,
    /// Requests of members that were sent once more, late.
    group_copies: true,
    /// Offsets whose commit was acknowledged.
    offsets_committed: true,
    /// Commits and removals of offsets that were refused.
    commits_refused: true,
    /// Committed offsets that somebody was told.
    offsets_told: true,
    /// Groups that were deleted.
    groups_deleted: true,
    /// Partitions of the topic of groups that moved to another shard.
    group_moves: true,
    /// Records of compacted topics that were acknowledged.
    keys_written: true,
    /// Records of compacted topics that were read.
    keys_read: true,
    /// Offsets of compacted topics at which a reader found nothing.
    keys_compacted: true,
    /// Readings of compacted topics that came to the end.
    key_scans: true,
    /// Copies of a compaction that took the place of segments.
    compactions: true,
    /// The same for the topic that keeps groups.
    group_compactions: true,
    /// Transactions that were begun.
    txns_begun: true,
    /// Transactions whose commit was acknowledged.
    txns_committed: true,
    /// Transactions whose abort was acknowledged.
    txns_aborted: true,
    /// Transactional producers that died.
    txn_deaths: true,
    /// Transactional producers that had to begin anew before their time was up: fenced.
    txn_fenced: true,
    /// Transactional producers that had to begin anew after their transaction ran out of time.
    txn_overdue: true,
    /// Ends of transactions that were asked for once more, late.
    txn_copies: true,
    /// Records of transactions that readers of committed ones saw.
    txn_records_read: true,
    /// Answers to such readers that held something back.
    txn_open_seen: true,
    /// Frames of a hostile client.
    hostile_frames: true,
    /// Records in the logs at the end.
    records_at_end: true,
}

impl Stats {
    /// A file was made.
    pub fn saw_created(&mut self, path: &str) {
        if is_log(path) && !path.ends_with("/00000000000000000000.log") {
            self.rolls += 1;
        }
    }

    /// A file got another name.
    pub fn saw_renamed(&mut self, from: &str, to: &str) {
        if to.ends_with(".log") && from.ends_with(".swap") {
            let keeps_groups = to.starts_with("__consumer_offsets");
            self.compactions += u64::from(!keeps_groups);
            self.group_compactions += u64::from(keeps_groups);
        } else if is_log(to) {
            self.rolls += 1;
            self.segments_recycled += 1;
        }
        self.saw_removed(from);
    }

    /// A file was removed.
    pub fn saw_removed(&mut self, path: &str) {
        if is_log(path) {
            self.segments_deleted += 1;
        }
    }

    /// The process said something that a person should know.
    pub fn saw_notice(&mut self, sentence: &str) {
        self.torn_tails_cut += u64::from(sentence.contains("of a torn write"));
    }

    /// A file was cut or extended.
    pub fn saw_resized(&mut self, path: &str, before: usize, after: usize) {
        if is_log(path) && after < before && self.recovering {
            self.log_cuts += 1;
        }
    }
}

fn is_log(path: &str) -> bool {
    path.ends_with(".log") && !path.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_met_is_named() {
        let mut stats = Stats::default();
        stats.saw_created("a-0/00000000000000000000.log");
        assert!(stats.missing().contains(&"rolls"));
        stats.saw_created("a-0/00000000000000000007.log");
        assert!(!stats.missing().contains(&"rolls"));
        let mut sum = Stats::default();
        sum.add(&stats);
        assert_eq!(sum.rolls, 1);
        assert!(sum.lines().contains(&("rolls", 1)));
    }
}
