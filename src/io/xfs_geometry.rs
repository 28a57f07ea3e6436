// SPDX-License-Identifier: Apache-2.0
//! What XFS says of itself (ioctl XFS_IOC_FSGEOMETRY, version 5, Linux 5.2; any user may ask).
//!
//! Owns: [`XfsGeometry`]. Invariants: the structure that the kernel fills is 256 bytes long, which
//! the number of the call says too.
//! Runs on: boot. Bounded by: one call.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `_IOR('X', 126, struct xfs_fsop_geom)`: direction read, size 256, letter, number.
const FSGEOMETRY: u32 = (2 << 30) | (256 << 16) | (0x58 << 8) | 126;

/// `XFS_FSOP_GEOM_FLAGS_REFLINK`.
const FLAG_REFLINK: u32 = 1 << 20;

/// `struct xfs_fsop_geom`, of which three fields matter here.
#[derive(Clone, Copy)]
#[repr(C)]
struct Geometry {
    sizes: [u32; 8],
    data_blocks: u64,
    realtime_blocks: u64,
    realtime_extents: u64,
    log_start: u64,
    uuid: [u8; 16],
    stripe: [u32; 2],
    version: i32,
    flags: u32,
    rest: [u32; 40],
}

const _: () = assert!(size_of::<Geometry>() == 256);

/// What matters of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XfsGeometry {
    /// It can share blocks between files, and writes to new ones where it does.
    pub reflink: bool,
    /// It has a realtime device.
    pub realtime: bool,
}

/// Asks the file system of an open file or directory.
///
/// # Errors
/// When it is not XFS or the kernel is too old.
pub fn read(handle: &File) -> io::Result<XfsGeometry> {
    let mut geometry = Geometry {
        sizes: [0; 8],
        data_blocks: 0,
        realtime_blocks: 0,
        realtime_extents: 0,
        log_start: 0,
        uuid: [0; 16],
        stripe: [0; 2],
        version: 0,
        flags: 0,
        rest: [0; 40],
    };
    let call = libc::Ioctl::from(FSGEOMETRY);
    // SAFETY: the kernel writes 256 bytes, as the number of the call says, to a local of that size.
    if unsafe { libc::ioctl(handle.as_raw_fd(), call, &raw mut geometry) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(XfsGeometry {
        reflink: geometry.flags & FLAG_REFLINK != 0,
        realtime: geometry.realtime_blocks != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_xfs_refuses() {
        let file = File::open("/proc").expect("proc is there");
        assert!(read(&file).is_err());
    }
}
