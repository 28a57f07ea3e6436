// SPDX-License-Identifier: Apache-2.0
//! The contents of a disk, in memory: chunks that copies of the image share until one is written.
//! A chunk that was never written, or only with zeros, takes no memory.

use std::sync::Arc;

const CHUNK_BYTES: usize = 64 * 1024;
type Chunk = Arc<[u8; CHUNK_BYTES]>;

/// The contents of a disk.
#[derive(Clone)]
pub struct Image {
    chunks: Vec<Option<Chunk>>,
    len_bytes: usize,
}

impl Image {
    /// A disk of zeros; its length is a multiple of the chunk.
    pub fn zeroed(len_bytes: usize) -> Image {
        assert!(len_bytes.is_multiple_of(CHUNK_BYTES), "whole chunks");
        Image {
            chunks: vec![None; len_bytes / CHUNK_BYTES],
            len_bytes,
        }
    }

    /// Its length.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Writes; false if that would be past the end.
    #[must_use]
    pub fn write(&mut self, at: usize, data: &[u8]) -> bool {
        if at
            .checked_add(data.len())
            .is_none_or(|end| end > self.len_bytes)
        {
            return false;
        }
        let mut done = 0;
        while done < data.len() {
            let (index, within) = ((at + done) / CHUNK_BYTES, (at + done) % CHUNK_BYTES);
            let take = (CHUNK_BYTES - within).min(data.len() - done);
            let piece = &data[done..done + take];
            let slot = &mut self.chunks[index];
            if slot.is_some() || piece.iter().any(|byte| *byte != 0) {
                let chunk = slot.get_or_insert_with(|| Arc::new([0; CHUNK_BYTES]));
                Arc::make_mut(chunk)[within..within + take].copy_from_slice(piece);
            }
            done += take;
        }
        true
    }

    /// Fills a buffer with what lies at `at`, with zeros past the end.
    pub fn read(&self, at: usize, buffer: &mut [u8]) {
        buffer.fill(0);
        let mut done = 0;
        while done < buffer.len() {
            let (index, within) = ((at + done) / CHUNK_BYTES, (at + done) % CHUNK_BYTES);
            let take = (CHUNK_BYTES - within).min(buffer.len() - done);
            if let Some(Some(chunk)) = self.chunks.get(index) {
                buffer[done..done + take].copy_from_slice(&chunk[within..within + take]);
            }
            done += take;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_part_at_the_first_write() {
        let mut one = Image::zeroed(4 * CHUNK_BYTES);
        assert!(one.write(CHUNK_BYTES - 3, b"abcdef"));
        let before = one.clone();
        assert!(one.write(CHUNK_BYTES, b"X"));
        let mut found = [0; 8];
        one.read(CHUNK_BYTES - 4, &mut found);
        assert_eq!(&found, b"\0abcXef\0");
        before.read(CHUNK_BYTES - 4, &mut found);
        assert_eq!(&found, b"\0abcdef\0");
        assert!(!one.write(4 * CHUNK_BYTES - 1, b"ab"), "past the end");
    }
}
