// SPDX-License-Identifier: Apache-2.0
//! What a death of the process, or of the power, leaves on the disk.
//!
//! Invariants: each request that was under way has happened, has not, or has in part, by its own
//! draw; what had completed is touched by a power cut alone.

use super::{
    Change, Death, Disk, DiskOperation, Entry, Inode, Lie, Running, Stats, parent, to_usize,
};

impl Disk {
    /// The process is gone. What was under way is decided; with a power cut also what was not
    /// durable.
    pub fn die(&mut self, death: Death, stats: &mut Stats) {
        for (_, running) in std::mem::take(&mut self.running) {
            self.interrupt(running);
        }
        self.open.clear();
        if death == Death::PowerCut {
            self.names.power_cut(&mut self.prng);
        }
        self.sweep();
        if death == Death::PowerCut {
            for inode in self.inodes.values_mut() {
                inode.power_cut(&mut self.prng, stats);
            }
        }
    }

    fn interrupt(&mut self, running: Running) {
        let sequence = self.next_sequence();
        let machine = running.machine;
        match running.request.operation {
            DiskOperation::Write {
                file,
                position_bytes,
                len_bytes,
                buffer,
            } => {
                let bytes = buffer.as_slice()[..to_usize(u64::from(len_bytes))].to_vec();
                let position = to_usize(position_bytes);
                let mut prng = self.prng.clone();
                let change = Change::Write { position, bytes };
                self.inode((machine, file))
                    .interrupt(sequence, change, &mut prng);
                self.prng = prng;
            }
            DiskOperation::SetLength { file, len_bytes } => {
                let mut prng = self.prng.clone();
                let len = to_usize(len_bytes);
                let change = Change::SetLength { len };
                self.inode((machine, file))
                    .interrupt(sequence, change, &mut prng);
                self.prng = prng;
            }
            DiskOperation::WriteZeros {
                file,
                position_bytes,
                len_bytes,
            } => {
                let bytes = vec![0; to_usize(len_bytes)];
                let position = to_usize(position_bytes);
                let mut prng = self.prng.clone();
                let change = Change::Write { position, bytes };
                self.inode((machine, file))
                    .interrupt(sequence, change, &mut prng);
                self.prng = prng;
            }
            DiskOperation::FlushDevice if self.prng.chance(500) => {
                if self.plan.lie != Lie::FlushDoesNothing {
                    for inode in self.inodes.values_mut() {
                        inode.flush_overwrites(running.asked);
                    }
                }
            }
            DiskOperation::Flush { file } if self.prng.chance(500) => {
                if self.plan.lie != Lie::FlushDoesNothing {
                    self.inode((machine, file)).flush(running.asked);
                }
            }
            DiskOperation::Open { path, create, .. } => {
                let missing = create && self.names.get(&path).is_none();
                if missing && self.names.is_directory(parent(&path)) && self.prng.chance(500) {
                    self.inodes.insert(sequence, Inode::default());
                    self.names
                        .change(sequence, &path, Some(Entry::File(sequence)));
                }
            }
            other => self.interrupt_on_names(other, sequence, running.asked),
        }
    }

    fn interrupt_on_names(&mut self, operation: DiskOperation, sequence: u64, asked: u64) {
        let happened = self.prng.chance(500);
        match operation {
            DiskOperation::ReplaceFile { path, contents } => {
                if !happened && self.names.is_directory(parent(&path)) && self.prng.chance(500) {
                    let part = self.prng.index(contents.len() + 1);
                    let number = self.next_sequence();
                    self.inodes
                        .insert(number, Inode::durable(contents[..part].to_vec()));
                    let left = format!("{path}.tmp");
                    self.names.change(number, &left, Some(Entry::File(number)));
                } else if happened {
                    let _ = self.replace(&path, contents);
                }
            }
            DiskOperation::RenameFile { from, to } if happened => {
                if let Some(Entry::File(number)) = self.names.get(&from) {
                    self.names.rename_file(sequence, &from, &to, number);
                }
            }
            DiskOperation::RemoveFile { path } if happened && self.names.get(&path).is_some() => {
                self.names.change(sequence, &path, None);
            }
            DiskOperation::CreateDirectory { path }
                if happened
                    && self.names.is_directory(parent(&path))
                    && self.names.get(&path).is_none() =>
            {
                self.names.change_durably(&path, Some(Entry::Directory));
            }
            DiskOperation::SyncDirectory { path } if happened => self.names.sync(&path, asked),
            DiskOperation::RemoveDirectory { path } if happened => {
                if self.names.get(&path).is_none() || self.prng.chance(500) {
                    self.remove_directory(&path);
                    return;
                }
                let renamed = format!("{path}-delete");
                self.remove_directory(&renamed);
                self.names.rename_directory(&path, &renamed);
                for below in self.names.below(&renamed) {
                    if self.prng.chance(500) {
                        self.names.change_durably(&below, None);
                    }
                }
            }
            _ => {}
        }
    }
}
