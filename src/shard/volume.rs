// SPDX-License-Identifier: Apache-2.0
//! The size of the volume that holds the logs, asked for when a client asks.
//!
//! Owns: [`VolumeQuestion`]. Invariants: one question to the disk at a time, shared by all who
//! wait; the shard has not stopped before it is answered.
//! Runs on: the shard that accepted the connection. Bounded by: the requests in flight.

use super::api::describe_log_dirs;
use super::contract::Effects;
use super::machine::Shard;
use super::request_table::{Call, Pending};
use crate::model::disk::{DiskCompletion, DiskOperation, DiskOutcome, DiskToken};
use crate::wire::protocol::describe_log_dirs::DescribeLogDirsRequest;

/// The slot of the question: that of no partition, for those count from 0.
const TOKEN: DiskToken = DiskToken {
    owner: u32::MAX,
    operation: 0,
};

/// The question and who waits for its answer.
#[derive(Debug, Default)]
pub struct VolumeQuestion {
    waiting: Vec<u64>,
    is_under_way: bool,
}

impl VolumeQuestion {
    /// True while the disk has not answered.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }
}

impl Shard {
    /// Asks for a request.
    pub(super) fn ask_volume(
        &mut self,
        call: Call,
        request: DescribeLogDirsRequest,
        effects: &mut Effects,
    ) {
        let number = self.requests.next_number();
        self.connections.note_request(call.slot, number);
        self.requests.insert(number, call, Pending::Volume(request));
        self.volume.waiting.push(number);
        if !self.volume.is_under_way {
            self.volume.is_under_way = true;
            effects.disk.push(TOKEN, DiskOperation::MeasureVolume);
        }
    }

    /// Takes the answer; gives a completion back if it is another's.
    pub(super) fn take_volume_completion(
        &mut self,
        completion: DiskCompletion,
        effects: &mut Effects,
    ) -> Option<DiskCompletion> {
        if completion.token != TOKEN {
            return Some(completion);
        }
        self.volume.is_under_way = false;
        let volume = match completion.result {
            Ok(DiskOutcome::Volume(size)) => Some(size),
            // A volume that does not say its size is answered as one of unknown size, as in Kafka.
            _ => None,
        };
        for number in std::mem::take(&mut self.volume.waiting) {
            if let Some((call, Pending::Volume(request))) = self.requests.remove(number) {
                let reply = describe_log_dirs::describe(self, call, &request, volume, effects);
                self.conclude(call, reply, effects);
            }
        }
        self.finish_stop(effects);
        None
    }
}
