// SPDX-License-Identifier: Apache-2.0
//! What is done to names and small files: blocking calls, each finished before it returns.
//!
//! Owns: nothing. Invariants: a path never leaves the data directory; a replaced file is always the
//! whole old or the whole new one; where `DiskOperation` promises durability, the directory has
//! been synced on return.
//! Runs on: the blocking thread of an executor, and boot. Bounded by: `SMALL_FILE_BYTES_MAX` a
//! file.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use crate::limits::SMALL_FILE_BYTES_MAX;
use crate::model::disk::{DirectoryEntry, DiskError, VolumeSize};

/// Ends the name of a directory that is being removed.
const REMOVED_SUFFIX: &str = "-delete";

/// Longest name that a file system takes, in bytes (`NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;

/// The kernel's verdict in the words of the disk contract.
#[must_use]
pub fn disk_error(error: &io::Error) -> DiskError {
    match error.raw_os_error() {
        Some(errno) => disk_error_of_errno(errno),
        None if error.kind() == ErrorKind::NotFound => DiskError::NotFound,
        None => DiskError::Io(libc::EIO),
    }
}

/// Likewise, from a bare `errno`.
#[must_use]
pub fn disk_error_of_errno(errno: i32) -> DiskError {
    match errno {
        libc::ENOENT => DiskError::NotFound,
        libc::ENOSPC | libc::EDQUOT => DiskError::NoSpace,
        errno => DiskError::Io(errno),
    }
}

/// The data directory as operations on names see it.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    direct: bool,
}

impl Files {
    /// For a data directory; `direct` says whether its file system takes `O_DIRECT`.
    #[must_use]
    pub fn new(root: PathBuf, direct: bool) -> Files {
        Files { root, direct }
    }

    fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        let relative = Path::new(path);
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(self.root.join(relative))
    }

    /// Opens a file for direct reading and writing and says how long it is.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(&self, path: &str, create: bool) -> io::Result<(File, u64)> {
        let direct = if self.direct { libc::O_DIRECT } else { 0 };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .custom_flags(direct)
            .open(self.resolve(path)?)?;
        let len_bytes = file.metadata()?.len();
        Ok((file, len_bytes))
    }

    /// Reads a small file whole.
    ///
    /// # Errors
    /// As the system says; a file that is too large gives `EFBIG`.
    pub fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = File::open(self.resolve(path)?)?;
        let limit = u64::try_from(SMALL_FILE_BYTES_MAX).expect("usize fits 64 bits");
        if file.metadata()?.len() > limit {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        let mut contents = Vec::new();
        file.take(limit).read_to_end(&mut contents)?;
        Ok(contents)
    }

    /// Replaces a small file atomically and durably.
    ///
    /// # Errors
    /// As the system says; the old file is then still in place.
    pub fn replace_file(&self, path: &str, contents: &[u8]) -> io::Result<()> {
        let target = self.resolve(path)?;
        let mut temporary = target.clone().into_os_string();
        temporary.push(".tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &target)?;
        sync_parent(&target)
    }

    /// Gives a file of a directory another name in it, not durably.
    ///
    /// # Errors
    /// As the system says.
    pub fn rename_file(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    /// Removes a file; a missing one is no error.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        missing_is_fine(fs::remove_file(self.resolve(path)?))
    }

    /// Makes a directory, durably; an existing one is no error.
    ///
    /// # Errors
    /// As the system says.
    pub fn create_directory(&self, path: &str) -> io::Result<()> {
        let target = self.resolve(path)?;
        match fs::create_dir(&target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && target.is_dir() => {}
            other => other?,
        }
        sync_parent(&target)
    }

    /// Makes what happened to the names in a directory durable.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync_directory(&self, path: &str) -> io::Result<()> {
        File::open(self.resolve(path)?)?.sync_all()
    }

    /// Lists a directory, sorted by name. Names that are not UTF-8 are not ours and are left out.
    ///
    /// # Errors
    /// As the system says.
    pub fn list_directory(&self, path: &str) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.resolve(path)?)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            let is_directory = metadata.is_dir();
            entries.push(DirectoryEntry {
                name: name.into_boxed_str(),
                is_directory,
                len_bytes: if is_directory { 0 } else { metadata.len() },
            });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// Removes a directory and all below it: first the name, durably, then the contents.
    ///
    /// # Errors
    /// As the system says; a left-over under its `-delete` name goes at the next start.
    pub fn remove_directory(&self, path: &str) -> io::Result<()> {
        let target = self.resolve(path)?;
        let renamed = removed_name(&target);
        if target.exists() {
            missing_is_fine(fs::remove_dir_all(&renamed))?;
            fs::rename(&target, &renamed)?;
            sync_parent(&target)?;
        }
        missing_is_fine(fs::remove_dir_all(&renamed))?;
        sync_parent(&target)
    }

    /// How large the volume of the data directory is.
    ///
    /// # Errors
    /// As the system says.
    pub fn volume_size(&self) -> io::Result<VolumeSize> {
        super::file_system::volume_size(&self.root)
    }

    /// Removes what an interrupted `remove_directory` left, and says how many directories that
    /// were. Names of partition directories end in a number, so none is mistaken.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove_left_overs(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in self.list_directory("")? {
            if entry.is_directory && entry.name.ends_with(REMOVED_SUFFIX) {
                fs::remove_dir_all(self.resolve(&entry.name)?)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .expect("a path below the data directory has a parent");
    File::open(parent)?.sync_all()
}

/// The name that a directory has while it is being removed. Where the suffix would make it longer
/// than a name may be, a checksum of the name stands for the part that must go.
fn removed_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let mut renamed = name.to_owned();
    if name.len() + REMOVED_SUFFIX.len() > NAME_BYTES_MAX {
        let checksum = format!(".{:08x}", crc32fast::hash(name.as_bytes()));
        let kept = NAME_BYTES_MAX - REMOVED_SUFFIX.len() - checksum.len();
        renamed = OsStr::from_bytes(&name.as_bytes()[..kept]).to_owned();
        renamed.push(checksum);
    }
    renamed.push(REMOVED_SUFFIX);
    target.with_file_name(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Files::new(directory.path().to_path_buf(), false);
        (directory, files)
    }

    #[test]
    fn a_volume_has_a_size() {
        let (_directory, files) = files();
        let size = files.volume_size().expect("it is there");
        assert!(
            size.total_bytes > 0 && size.usable_bytes <= size.total_bytes,
            "{size:?}"
        );
        let gone = Files::new("/nonexistent".into(), false);
        assert!(gone.volume_size().is_err());
    }

    #[test]
    fn a_path_stays_inside() {
        let (_directory, files) = files();
        for path in ["../x", "/etc/passwd", "a/../../b", "./a"] {
            let error = files.read_file(path).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{path}");
        }
        let error = files.read_file("missing").expect_err("missing");
        assert_eq!(disk_error(&error), DiskError::NotFound);
    }

    #[test]
    fn a_small_file_is_replaced_whole() {
        let (_directory, files) = files();
        files.replace_file("a", b"one").expect("first");
        files.replace_file("a", b"second").expect("second");
        assert_eq!(files.read_file("a").expect("read"), b"second");
        let names = files.list_directory("").expect("list");
        assert_eq!(names.len(), 1);
        assert_eq!((&*names[0].name, names[0].len_bytes), ("a", 6));
        files.rename_file("a", "b").expect("rename");
        assert_eq!(files.read_file("b").expect("read"), b"second");
        let error = files.rename_file("a", "b").expect_err("it has gone");
        assert_eq!(disk_error(&error), DiskError::NotFound);
        files.remove_file("b").expect("remove");
        files.remove_file("a").expect("a missing file is no error");
    }

    #[test]
    fn a_directory_goes_with_its_contents_and_so_do_left_overs() {
        let (directory, files) = files();
        files.create_directory("t-0").expect("create");
        files
            .create_directory("t-0")
            .expect("an existing one is no error");
        files.replace_file("t-0/x", b"x").expect("write");
        files.create_directory("t-0-delete").expect("left-over");
        files.remove_directory("t-0").expect("remove");
        files
            .remove_directory("t-0")
            .expect("a missing one is no error");
        assert!(files.list_directory("").expect("list").is_empty());
        files.create_directory("t-1-delete").expect("left-over");
        files.create_directory("t-delete-1").expect("a partition");
        assert_eq!(files.remove_left_overs().expect("left-overs"), 1);
        assert!(directory.path().join("t-delete-1").is_dir());
    }

    #[test]
    fn the_longest_names_can_be_removed_too() {
        let (_directory, files) = files();
        let long = ["-1", "-2", "-123"].map(|end| format!("{}{end}", "x".repeat(249)));
        for name in &long {
            files.create_directory(name).expect("create");
        }
        for name in &long {
            let renamed = removed_name(Path::new(name));
            assert!(renamed.as_os_str().len() <= NAME_BYTES_MAX);
            assert!(renamed.to_string_lossy().ends_with(REMOVED_SUFFIX));
            files.remove_directory(name).expect("remove");
        }
        assert_ne!(
            removed_name(Path::new(&long[0])),
            removed_name(Path::new(&long[1]))
        );
        assert!(files.list_directory("").expect("list").is_empty());
    }

    #[test]
    fn errors_keep_what_matters() {
        assert_eq!(disk_error_of_errno(libc::EDQUOT), DiskError::NoSpace);
        assert_eq!(disk_error_of_errno(libc::EIO), DiskError::Io(libc::EIO));
    }
}
