// SPDX-License-Identifier: Apache-2.0
//! The mounts of this process, as `/proc/self/mountinfo` tells them (proc(5)).
//!
//! Owns: [`Mount`]. Invariants: parsing is total; a line that is not understood is left out.
//! Runs on: boot. Bounded by: the mounts of the process.

use std::fs;
use std::io;

/// Where the kernel lists them.
const MOUNTS: &str = "/proc/self/mountinfo";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number for it, which `statx` tells for a file.
    pub id: u64,
    /// Major and minor number of the device; of no block device where the major number is 0.
    pub device: (u32, u32),
    /// The directory of the file system that is mounted.
    pub root: String,
    /// Where it is mounted.
    pub point: String,
    /// Kind of the file system by the kernel's name: `ext4`, `xfs`, `cgroup2`.
    pub kind: String,
    /// What is mounted: a device node, mostly.
    pub source: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
}

impl Mount {
    /// True if one of the options is this word.
    #[must_use]
    pub fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|one| one == option)
    }
}

/// The mounts that this process sees.
///
/// # Errors
/// When `/proc` is not there.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read_to_string(MOUNTS)?))
}

/// The mounts in the text of `mountinfo`.
#[must_use]
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda rw,errors=continue`; the number of
/// fields before the dash varies.
fn parse_line(line: &str) -> Option<Mount> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let id = place.next()?.parse().ok()?;
    let (major, minor) = place.nth(1)?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let (root, point) = (unescape(place.next()?), unescape(place.next()?));
    let of_mount = place.next()?;
    let mut what = what.split(' ');
    let (kind, source) = (what.next()?.to_owned(), unescape(what.next()?));
    let of_system = what.next().unwrap_or("");
    let options = of_mount.split(',').chain(of_system.split(','));
    Some(Mount {
        id,
        device,
        root,
        point,
        kind,
        source,
        options: options.map(str::to_owned).collect(),
    })
}

/// Undoes the kernel's `\040` for a blank, `\011`, `\012` and `\134`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_understood() {
        let text = "27 1 254:0 / / rw,relatime shared:1 master:7 - ext4 /dev/vda rw,nobarrier\n\
                    40 27 7:3 /a\\040b /mnt/two\\040words ro - xfs /dev/loop3 rw,rtdev=/dev/sdb\n\
                    41 27 0:21 / /proc rw - proc proc rw\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].id, mounts[0].device), (27, (254, 0)));
        assert_eq!((&*mounts[0].kind, &*mounts[0].source), ("ext4", "/dev/vda"));
        assert!(mounts[0].has_option("nobarrier") && mounts[0].has_option("relatime"));
        assert_eq!(
            (&*mounts[1].root, &*mounts[1].point),
            ("/a b", "/mnt/two words")
        );
        assert!(mounts[1].has_option("rtdev=/dev/sdb") && !mounts[1].has_option("rtdev"));
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        for text in [
            "",
            "\n",
            "x",
            "1 2 3 - a b c",
            "27 1 x:0 / / rw - ext4 a b",
            "27 1 - e",
        ] {
            assert_eq!(parse(text), [], "{text}");
        }
        assert_eq!(unescape("\\"), "\\");
        assert_eq!(unescape("\\04"), "\\04");
        assert_eq!(unescape("\\999\\134"), "\\999\\");
    }

    #[test]
    fn this_process_has_a_root() {
        let mounts = read().expect("mountinfo");
        assert!(mounts.iter().any(|mount| mount.point == "/"), "{mounts:?}");
    }
}
