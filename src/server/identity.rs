// SPDX-License-Identifier: Apache-2.0
//! Who this data directory belongs to: the file `meta.properties`, as Kafka writes it.
//!
//! Owns: [`Identity`]. Invariants: made once, with random ids, and never changed afterwards; a
//! directory of another node or another format is refused. Runs on: boot. Bounded by: one file.

use std::io;

use crate::config::properties;
use crate::io::files::Files;
use crate::model::ids::{BrokerId, Uuid};

/// Name of the file.
const FILE: &str = "meta.properties";

/// Version of the file's format, the first one with a `directory.id` (KIP-858).
const VERSION: &str = "1";

/// The identity of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The directory.
    pub directory_id: Uuid,
}

impl Identity {
    /// Reads the identity of a directory, or gives it one if it has none.
    ///
    /// # Errors
    /// A sentence, when the file says that the directory is not this node's, or cannot be used.
    pub fn of_directory(files: &Files, node_id: BrokerId) -> Result<Identity, String> {
        match files.read_file(FILE) {
            Ok(contents) => Identity::parse(&contents, node_id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Identity {
                    cluster_id: random_id()?,
                    directory_id: random_id()?,
                };
                let contents = identity.to_text(node_id);
                files
                    .replace_file(FILE, contents.as_bytes())
                    .map_err(|error| format!("cannot write {FILE}: {error}"))?;
                Ok(identity)
            }
            Err(error) => Err(format!("cannot read {FILE}: {error}")),
        }
    }

    fn parse(contents: &[u8], node_id: BrokerId) -> Result<Identity, String> {
        let text = str::from_utf8(contents).map_err(|_| format!("{FILE} is not text"))?;
        let lines = properties::parse(text).map_err(|error| format!("{FILE}: {error}"))?;
        let value = |name: &str| {
            lines
                .iter()
                .rfind(|one| one.name == name)
                .map(|one| &*one.value)
                .map(|value| value.trim())
                .ok_or_else(|| format!("{FILE} does not say {name}"))
        };
        if value("version")? != VERSION {
            return Err(format!(
                "{FILE} has version {}; this program knows version {VERSION}",
                value("version")?
            ));
        }
        if value("node.id")? != node_id.0.to_string() {
            return Err(format!(
                "this directory belongs to node {}, and the setting node.id says {}; give the node \
                 its own directory, or the directory its node id",
                value("node.id")?,
                node_id.0
            ));
        }
        let id = |name: &str| {
            let text = value(name)?;
            let id = parse_id(text).filter(|id| !id.is_zero());
            id.ok_or_else(|| format!("{FILE}: {name} is no id: {text}"))
        };
        Ok(Identity {
            cluster_id: id("cluster.id")?,
            directory_id: id("directory.id")?,
        })
    }

    fn to_text(self, node_id: BrokerId) -> String {
        format!(
            "#\n#Written by furlong. Do not change \
            it.\ncluster.id={}\ndirectory.id={}\nnode.id={}\n\
             version={VERSION}\n",
            self.cluster_id, self.directory_id, node_id.0
        )
    }
}

/// A new random id (RFC 9562, version 4). Kafka avoids those that would look like an option of a
/// command line, and the first hundred, which it reserves.
///
/// # Errors
/// A sentence, when the system has no randomness.
pub fn random_id() -> Result<Uuid, String> {
    loop {
        let mut bytes: [u8; 16] = random_bytes()?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = Uuid(bytes);
        if !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

/// Random bytes of the system.
///
/// # Errors
/// A sentence, when the system has no randomness.
pub fn random_bytes<const LEN: usize>() -> Result<[u8; LEN], String> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes to be had: {error}"))?;
    Ok(bytes)
}

/// Kafka's text form of an id: base64 with the URL alphabet, 22 characters.
fn parse_id(text: &str) -> Option<Uuid> {
    let mut bytes = Vec::with_capacity(18);
    let mut letters = text.bytes();
    while letters.len() > 0 {
        // Four letters hold three bytes; the last two letters hold one and four zero bits.
        let mut bits: u32 = 0;
        for place in 0..4 {
            let value = letters.next().map_or(Some(0), value_of)?;
            bits |= u32::from(value) << (18 - 6 * place);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    (text.len() == 22 && rest == [0, 0]).then_some(Uuid(*id))
}

fn value_of(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
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
    fn an_id_is_read_as_it_is_printed() {
        for _ in 0..200 {
            let id = random_id().expect("random");
            assert_eq!(parse_id(&id.to_string()), Some(id));
        }
        assert_eq!(parse_id("_____________________w"), Some(Uuid([0xff; 16])));
        assert_eq!(parse_id("_____________________x"), None);
        assert_eq!(parse_id("short"), None);
        assert_eq!(parse_id("====================== "), None);
    }

    #[test]
    fn a_directory_keeps_its_identity() {
        let (_directory, files) = files();
        let first = Identity::of_directory(&files, BrokerId(1)).expect("made");
        assert_ne!(first.cluster_id, first.directory_id);
        let second = Identity::of_directory(&files, BrokerId(1)).expect("read");
        assert_eq!(first, second);
    }

    #[test]
    fn a_directory_of_another_node_or_format_is_refused() {
        let (_directory, files) = files();
        Identity::of_directory(&files, BrokerId(1)).expect("made");
        let sentence = Identity::of_directory(&files, BrokerId(2)).expect_err("another node");
        assert!(sentence.contains("belongs to node 1"), "{sentence}");
        files
            .replace_file(FILE, b"version=0\nbroker.id=1\n")
            .expect("write");
        let sentence = Identity::of_directory(&files, BrokerId(1)).expect_err("another version");
        assert!(sentence.contains("version 0"), "{sentence}");
        files
            .replace_file(FILE, b"version=1\nnode.id=1\ncluster.id=x\n")
            .expect("write");
        let sentence = Identity::of_directory(&files, BrokerId(1)).expect_err("no id");
        assert!(sentence.contains("cluster.id"), "{sentence}");
    }
}
