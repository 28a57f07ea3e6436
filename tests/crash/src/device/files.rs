// SPDX-License-Identifier: Apache-2.0
//! A FUSE file system that shows logged disks as files, one each.
//!
//! One thread answers, one request at a time, and touches nothing but memory: above all no file of
//! the file system that lies on one of these disks, which would wait for itself. Files are opened
//! for direct I/O, so that the page cache keeps nothing of them.

use super::logged::LoggedDisk;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const TTL: Duration = Duration::from_secs(3600);
const FIRST_FILE: u64 = 2;
/// How long a flush takes. Disks take about that, and what the broker and the file system want to
/// write meanwhile piles up: without it hardly a write would ever be unflushed.
const FLUSH_TAKES: Duration = Duration::from_millis(1);

struct Files {
    disks: Vec<(&'static str, Arc<LoggedDisk>)>,
}

/// Shows these disks below a directory until the answer is dropped.
pub fn show(
    disks: Vec<(&'static str, Arc<LoggedDisk>)>,
    directory: &Path,
) -> Result<BackgroundSession, String> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("furlong-crash".into())];
    fuser::spawn_mount(Files { disks }, directory, &config).map_err(|error| {
        let directory = directory.display();
        format!("cannot mount a FUSE file system on {directory}: {error}; it needs root, /dev/fuse")
    })
}

impl Files {
    fn disk(&self, ino: INodeNo) -> Option<&LoggedDisk> {
        let index = u64::from(ino).checked_sub(FIRST_FILE)?;
        let (_, disk) = self.disks.get(usize::try_from(index).ok()?)?;
        Some(disk)
    }

    fn attributes(&self, ino: INodeNo) -> Option<FileAttr> {
        let len_bytes = match self.disk(ino) {
            Some(disk) => Some(disk.len_bytes()),
            None if ino == INodeNo::ROOT => None,
            None => return None,
        };
        let size = u64::try_from(len_bytes.unwrap_or(0)).expect("64 bits");
        Some(FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: len_bytes.map_or(FileType::Directory, |_| FileType::RegularFile),
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("64 bits")
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.disks.iter().position(|(own, _)| name == *own);
        let number = found.map(|index| FIRST_FILE + u64::try_from(index).expect("64 bits"));
        match number.and_then(|number| self.attributes(INodeNo(number))) {
            Some(attributes) if parent == INodeNo::ROOT => {
                reply.entry(&TTL, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(disk) = self.disk(ino) else {
            return reply.error(Errno::ENOENT);
        };
        let mut data = vec![0; usize::try_from(size).expect("64 bits")];
        disk.read(place(offset), &mut data);
        reply.data(&data);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk(ino).map(|disk| disk.write(place(offset), data)) {
            Some(true) => reply.written(u32::try_from(data.len()).expect("a request is small")),
            _ => reply.error(Errno::ENOSPC),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // This is what `close` asks for, and promises nothing.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.disk(ino) {
            Some(disk) => {
                std::thread::sleep(FLUSH_TAKES);
                disk.flush();
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }
}
