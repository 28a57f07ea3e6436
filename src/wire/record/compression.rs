// SPDX-License-Identifier: Apache-2.0
//! The four codecs of record batches, as the Java client and librdkafka write them.
//!
//! Owns: [`Compression`], [`compress`], [`decompress`].
//! Invariants: what is written here opens in the Java client (xerial framing around snappy blocks;
//! LZ4 frames with independent blocks); opening stops as soon as the limit is passed, and reserves
//! no more than the input can give.
//! Runs on: every core (pure). Bounded by: the limit that the caller names, plus the window of the
//! codec (at most 128 MiB for zstd).

use super::error::BatchError;
use std::fmt;
use std::io::{Read, Write};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the framing of xerial's Java library; plain blocks are read, too.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames (KIP-110).
    Zstd,
}

impl Compression {
    /// All of them, in the order of their codes.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec bits of the attributes.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The codec with these bits.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|codec| codec.code() == code)
    }

    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Magic bytes, version 1 and lowest compatible version 1 of xerial's snappy stream.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// The part of the header that decides; the versions are not looked at, as in Java.
const XERIAL_MAGIC_BYTES: usize = 8;
/// Block size that the Java client writes.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// A copy element of three bytes gives at most 64, so a snappy block grows less than this when
/// opened.
const SNAPPY_EXPANSION_MAX: usize = 22;
/// Largest window that a zstd frame may ask for (2^27 bytes, zstd's own default for decoders).
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const ZSTD_LEVEL: i32 = 3;
/// First reservation for an opened block, as a multiple of the input.
const RESERVE_FACTOR: usize = 4;

const INTO_MEMORY: &str = "writing to memory does not fail";

/// Appends the compressed form of `plain` to `out`, at the codec's usual level.
pub fn compress(codec: Compression, plain: &[u8], out: &mut Vec<u8>) {
    compress_at(codec, None, plain, out);
}

/// Like [`compress`], at this level where the codec has levels (gzip 1 to 9, zstd; our LZ4 knows
/// one speed only).
pub fn compress_at(codec: Compression, level: Option<i32>, plain: &[u8], out: &mut Vec<u8>) {
    match codec {
        Compression::None => out.extend_from_slice(plain),
        Compression::Gzip => {
            let level = level.and_then(|level| u32::try_from(level).ok());
            let level = level.map_or(flate2::Compression::default(), flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            encoder.write_all(plain).expect(INTO_MEMORY);
            encoder.finish().expect(INTO_MEMORY);
        }
        Compression::Snappy => compress_xerial(plain, out),
        Compression::Lz4 => {
            use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
            // The Java client refuses blocks that lean on the one before.
            let info = FrameInfo::new()
                .block_mode(BlockMode::Independent)
                .block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(info, out);
            encoder.write_all(plain).expect(INTO_MEMORY);
            encoder.finish().expect(INTO_MEMORY);
        }
        Compression::Zstd => {
            let level = level.unwrap_or(ZSTD_LEVEL);
            let mut encoder = zstd::stream::write::Encoder::new(out, level)
                .expect("the level is one that zstd has");
            encoder.write_all(plain).expect(INTO_MEMORY);
            encoder.finish().expect(INTO_MEMORY);
        }
    }
}

fn compress_xerial(plain: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(XERIAL_HEADER);
    let mut encoder = snap::raw::Encoder::new();
    let mut block = vec![0; snap::raw::max_compress_len(XERIAL_BLOCK_BYTES)];
    for chunk in plain.chunks(XERIAL_BLOCK_BYTES) {
        let len = encoder
            .compress(chunk, &mut block)
            .expect("the block buffer holds the largest compressed chunk");
        out.extend_from_slice(&u32::try_from(len).expect("a small block").to_be_bytes());
        out.extend_from_slice(&block[..len]);
    }
}

/// Opens `packed`; at most `limit_bytes` may come out.
pub fn decompress(
    codec: Compression,
    packed: &[u8],
    limit_bytes: usize,
) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None if packed.len() > limit_bytes => {
            Err(BatchError::OpensTooLarge { limit_bytes })
        }
        Compression::None => Ok(packed.to_vec()),
        Compression::Gzip => read_bounded(
            codec,
            flate2::read::MultiGzDecoder::new(packed),
            packed.len(),
            limit_bytes,
        ),
        Compression::Snappy => decompress_snappy(packed, limit_bytes),
        Compression::Lz4 => read_bounded(
            codec,
            lz4_flex::frame::FrameDecoder::new(packed),
            packed.len(),
            limit_bytes,
        ),
        Compression::Zstd => {
            let undecodable = |_| BatchError::Undecodable { codec };
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(packed).map_err(undecodable)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(undecodable)?;
            read_bounded(codec, decoder, packed.len(), limit_bytes)
        }
    }
}

fn read_bounded(
    codec: Compression,
    reader: impl Read,
    packed_len: usize,
    limit_bytes: usize,
) -> Result<Vec<u8>, BatchError> {
    let mut plain = Vec::with_capacity(packed_len.saturating_mul(RESERVE_FACTOR).min(limit_bytes));
    let bound = u64::try_from(limit_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    reader
        .take(bound)
        .read_to_end(&mut plain)
        .map_err(|_| BatchError::Undecodable { codec })?;
    if plain.len() > limit_bytes {
        return Err(BatchError::OpensTooLarge { limit_bytes });
    }
    Ok(plain)
}

fn decompress_snappy(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, BatchError> {
    let mut plain = Vec::new();
    if !packed.starts_with(&XERIAL_HEADER[..XERIAL_MAGIC_BYTES]) {
        open_snappy_block(packed, limit_bytes, &mut plain)?;
        return Ok(plain);
    }
    let undecodable = BatchError::Undecodable {
        codec: Compression::Snappy,
    };
    let mut rest = packed.get(XERIAL_HEADER.len()..).ok_or(undecodable)?;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<4>().ok_or(undecodable)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| undecodable)?;
        let block = after.get(..len).ok_or(undecodable)?;
        open_snappy_block(block, limit_bytes, &mut plain)?;
        rest = &after[len..];
    }
    Ok(plain)
}

/// Appends one plain block. The length it claims is believed only as far as its own bytes can give
/// it.
fn open_snappy_block(
    block: &[u8],
    limit_bytes: usize,
    plain: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let undecodable = BatchError::Undecodable {
        codec: Compression::Snappy,
    };
    let claimed = snap::raw::decompress_len(block).map_err(|_| undecodable)?;
    if claimed > block.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        return Err(undecodable);
    }
    let start = plain.len();
    if claimed > limit_bytes - start {
        return Err(BatchError::OpensTooLarge { limit_bytes });
    }
    plain.resize(start + claimed, 0);
    let len = snap::raw::Decoder::new()
        .decompress(block, &mut plain[start..])
        .map_err(|_| undecodable)?;
    plain.truncate(start + len);
    Ok(())
}
