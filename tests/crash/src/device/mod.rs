// SPDX-License-Identifier: Apache-2.0
//! Disks that remember: their contents in memory, a log of their writes and flushes, a FUSE file
//! system that shows them, loop devices and file systems on top.

pub mod files;
pub mod image;
pub mod logged;
pub mod volume;
