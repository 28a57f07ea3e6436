// SPDX-License-Identifier: Apache-2.0
//! The file system that a directory is on: which one, how it is mounted, and what follows for
//! flushes.
//!
//! Owns: [`FileSystem`], [`DeviceFlush`]. Invariants: what could not be found out counts as the
//! worse case; one flush for the whole device is allowed only where every condition was seen to
//! hold.
//! Runs on: boot. Bounded by: a few calls, and one look at each entry of the directory.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::mounts::{self, Mount};
use super::xfs_geometry::{self, XfsGeometry};
use crate::model::disk::VolumeSize;
use crate::model::mutation::{Mutation, is_broken};

/// `FS_JOURNAL_DATA_FL`: the data of this file goes through the journal (`chattr +j`); files made
/// in a directory inherit it.
const JOURNAL_DATA_FLAG: libc::c_int = 0x4000;

/// Which file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// Memory: tmpfs or ramfs.
    Memory,
    /// Layers of a container.
    Overlay,
    /// A program in user space.
    Fuse,
    /// Any other, by the kernel's name.
    Other(String),
}

impl Kind {
    /// By what `statfs` says, which knows no difference between ext2, ext3 and ext4, and by the
    /// name in the list of mounts, which does.
    fn of(magic: i64, name: &str) -> Kind {
        match magic {
            0xef53 if name == "ext4" => Kind::Ext4,
            0x5846_5342 => Kind::Xfs,
            0x9123_683e => Kind::Btrfs,
            0x0102_1994 | 0x8584_58f6 => Kind::Memory,
            0x794c_7630 => Kind::Overlay,
            0x6573_5546 => Kind::Fuse,
            _ if name.is_empty() => Kind::Other(format!("a file system of type {magic:#x}")),
            _ => Kind::Other(name.to_owned()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "XFS",
            Kind::Btrfs => "btrfs",
            Kind::Memory => "tmpfs",
            Kind::Overlay => "overlay",
            Kind::Fuse => "FUSE",
            Kind::Other(name) => name,
        }
    }
}

/// Whether ext4 has a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// It has none.
    None,
    /// It has one, for metadata.
    Metadata,
    /// It has one, and the data goes through it too.
    Data,
    /// It could not be found out; counts as one for metadata.
    Unknown,
}

/// Alignment that direct I/O needs, as `statx` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Of the buffer's address, in bytes.
    pub memory_bytes: u32,
    /// Of position and length, in bytes.
    pub offset_bytes: u32,
}

/// What is known of the file system under a directory.
#[derive(Clone, Debug)]
pub struct FileSystem {
    /// Which one.
    pub kind: Kind,
    /// Its mount, if it is in the list.
    pub mount: Option<Mount>,
    /// For ext4.
    pub journal: Journal,
    /// For XFS, if the kernel says.
    pub xfs: Option<XfsGeometry>,
    /// True if the directory holds something on another device.
    pub has_other_devices: bool,
}

/// Whether one flush may cover every file on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceFlush {
    /// It may.
    Allowed,
    /// It may not, and this is why: the end of a sentence that begins with "because".
    Refused(String),
}

impl DeviceFlush {
    /// True if it may.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        *self == DeviceFlush::Allowed
    }
}

impl FileSystem {
    /// Finds out what a directory is on.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn inspect(directory: &Path) -> io::Result<FileSystem> {
        let handle = File::open(directory)?;
        let status = statx(&handle, libc::STATX_BASIC_STATS | libc::STATX_MNT_ID)?;
        let device = (status.stx_dev_major, status.stx_dev_minor);
        let mounts = mounts::read().unwrap_or_default();
        let mount = mounts
            .into_iter()
            .find(|mount| mount.id == status.stx_mnt_id);
        let name = mount.as_ref().map_or("", |mount| &*mount.kind);
        let kind = Kind::of(magic(directory)?, name);
        // The options of another device than the file's would prove nothing. (btrfs tells a number
        // of its own for each subvolume, and nothing is concluded from its mount.)
        let mount = mount.filter(|mount| kind == Kind::Btrfs || mount.device == device);
        let journal = match &mount {
            Some(mount) if kind == Kind::Ext4 => journal(mount, &handle),
            _ => Journal::Unknown,
        };
        let xfs = (kind == Kind::Xfs).then(|| xfs_geometry::read(&handle).ok());
        Ok(FileSystem {
            kind,
            mount,
            journal,
            xfs: xfs.flatten(),
            has_other_devices: has_other_devices(directory, handle.metadata()?.dev()),
        })
    }

    /// True if the mount says that a flush need not reach the disk.
    #[must_use]
    pub fn is_without_barriers(&self) -> bool {
        let mount = self.mount.as_ref();
        let has = |option| mount.is_some_and(|mount| mount.has_option(option));
        has("nobarrier") || has("barrier=0")
    }

    /// Decides whether one flush may cover the whole device. `direct` says whether direct writes
    /// were seen to be direct: what goes through the page cache is not on the device when its write
    /// completes.
    #[must_use]
    pub fn device_flush(&self, direct: bool) -> DeviceFlush {
        // A broken broker for the power-cut rig to find out, in its own build alone.
        if is_broken(Mutation::AnyFileSystem) {
            return DeviceFlush::Allowed;
        }
        match self.objection(direct) {
            Some(reason) => DeviceFlush::Refused(reason),
            None => DeviceFlush::Allowed,
        }
    }

    fn objection(&self, direct: bool) -> Option<String> {
        let of_kind = match self.kind {
            Kind::Ext4 if self.journal == Journal::Data => {
                Some("the data goes through the journal of ext4 (data=journal)")
            }
            Kind::Ext4 => None,
            Kind::Xfs => self.xfs_objection(),
            Kind::Btrfs => Some("btrfs writes to new blocks and changes its metadata each time"),
            Kind::Memory => Some("this is memory, which has nothing to flush"),
            Kind::Overlay => Some("an overlay does not say what its files are on"),
            Kind::Fuse => Some("a program in user space decides what a flush does"),
            Kind::Other(_) => Some("it is known to hold for ext4 and XFS only"),
        };
        let has_option = |option| self.mount.as_ref().is_some_and(|it| it.has_option(option));
        let general = if self.mount.is_none() {
            Some("its mount is not in the list of mounts, so its options are not known")
        } else if self.is_without_barriers() {
            Some("it is mounted without barriers")
        } else if has_option("dax") || has_option("dax=always") {
            Some("it is mounted with dax, where the processor's caches hold what was written")
        } else if self.has_other_devices {
            Some("something in the data directory is on another device")
        } else if !direct {
            Some("direct writes go through the page cache here")
        } else {
            None
        };
        of_kind.or(general).map(str::to_owned)
    }

    fn xfs_objection(&self) -> Option<&'static str> {
        // A broken broker for the power-cut rig to find out: blocks that files share are forgotten.
        let is_mutant = is_broken(Mutation::ReflinkForgotten);
        match self.xfs {
            _ if is_mutant => None,
            None => Some("XFS does not say whether it shares blocks (reflink)"),
            Some(geometry) if geometry.reflink => Some(
                "XFS was made with reflink=1 and may write to new blocks; mkfs.xfs -m reflink=0 \
                 makes one that does not",
            ),
            Some(geometry) if geometry.realtime => Some("XFS has a realtime device"),
            Some(_) => None,
        }
    }
}

/// What `statx` says of an open file or directory.
pub(super) fn statx(handle: &File, mask: libc::c_uint) -> io::Result<libc::statx> {
    // SAFETY: a statx is made of integers, for which zero is a value.
    let mut status: libc::statx = unsafe { zeroed() };
    // SAFETY: the descriptor is open, the path is an empty C string, and the kernel writes one
    // statx to a local of that type.
    let result = unsafe {
        libc::statx(
            handle.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            mask,
            &raw mut status,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status)
}

/// The alignment that direct I/O to this file needs. `None` where it is not reported: the kernel is
/// older than 6.1, or the file system takes none.
#[must_use]
pub fn alignment(file: &File) -> Option<Alignment> {
    let status = statx(file, libc::STATX_DIOALIGN).ok()?;
    let told = status.stx_mask & libc::STATX_DIOALIGN != 0 && status.stx_dio_offset_align != 0;
    told.then_some(Alignment {
        memory_bytes: status.stx_dio_mem_align,
        offset_bytes: status.stx_dio_offset_align,
    })
}

/// How large the volume of a directory is, and how much of it is free for this process.
pub(super) fn volume_size(directory: &Path) -> io::Result<VolumeSize> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: a statvfs is made of integers, for which zero is a value.
    let mut status: libc::statvfs = unsafe { zeroed() };
    // SAFETY: the path is a C string and the library writes one statvfs to a local of that type.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(VolumeSize {
        total_bytes: status.f_blocks.saturating_mul(status.f_frsize),
        usable_bytes: status.f_bavail.saturating_mul(status.f_frsize),
    })
}

fn magic(directory: &Path) -> io::Result<i64> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: a statfs is made of integers, for which zero is a value.
    let mut status: libc::statfs = unsafe { zeroed() };
    // SAFETY: the path is a C string and the kernel writes one statfs to a local of that type.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status.f_type)
}

/// How the journal of ext4 is used. The options below `/proc` are readable for everybody and name
/// the mode of the data exactly where there is a journal.
fn journal(mount: &Mount, directory: &File) -> Journal {
    let device = super::block_device::name(mount.device);
    let told =
        device.and_then(|name| fs::read_to_string(format!("/proc/fs/ext4/{name}/options")).ok());
    let inherited = flags(directory).is_ok_and(|flags| flags & JOURNAL_DATA_FLAG != 0);
    if inherited || mount.has_option("data=journal") {
        return Journal::Data;
    }
    told.map_or(Journal::Unknown, |options| journal_of(&options))
}

fn journal_of(options: &str) -> Journal {
    let mut data = options
        .lines()
        .filter_map(|line| line.strip_prefix("data="));
    match data.next() {
        Some("journal") => Journal::Data,
        Some(_) => Journal::Metadata,
        None if options.lines().any(|line| line.contains("barrier")) => Journal::None,
        // Not the list that is expected here.
        None => Journal::Unknown,
    }
}

fn flags(handle: &File) -> io::Result<libc::c_int> {
    let mut flags: libc::c_int = 0;
    // SAFETY: the kernel writes an int (whatever the name of the call says) to a local int.
    if unsafe { libc::ioctl(handle.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(flags)
}

/// True if an entry of the directory, a mount or a link mostly, leads to another device. An entry
/// that cannot be looked at is no file of ours.
fn has_other_devices(directory: &Path, device: u64) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|metadata| metadata.dev() != device)
}

#[cfg(test)]
mod tests;
