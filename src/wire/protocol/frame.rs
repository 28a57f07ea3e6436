// SPDX-License-Identifier: Apache-2.0
//! Headers and length prefixes around the bodies.
//!
//! Owns: the request header (versions 1 and 2), the response header (versions 0 and 1), whole
//! frames.
//! Invariants: the client id keeps its two-byte length in every version; the answer to ApiVersions
//! has header version 0 in every version (KIP-511), so that a client can read it before it knows
//! what the broker speaks.
//! Runs on: every core. Bounded by: `limits::FRAME_BYTES_MAX` (checked by whoever receives).

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::{ApiKey, Message, Request};
use crate::limits::DECODED_BYTES_PER_RESPONSE_BYTE;
use crate::wire::codec::{DecodeError, EncodeError, ErrorCodes, Reader, Writer};

/// What stands in front of the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The number of the API, known or not.
    pub api_key: i16,
    /// The version of the body, known or not.
    pub api_version: i16,
    /// The number that the answer repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<ByteString>,
}

/// Reads a request header and leaves `reader` at the body. The version of the header follows from
/// API and version; for an API that is not known the header is read as the older one, which is
/// enough to name it in a log line.
pub fn decode_request_header(reader: &mut Reader) -> Result<RequestHeader, DecodeError> {
    let api_key = reader.read_i16()?;
    let api_version = reader.read_i16()?;
    let correlation_id = reader.read_i32()?;
    let client_id = match reader.read_string_length(false)? {
        Some(length) => Some(reader.read_text("client_id", length)?),
        None => None,
    };
    let flexible = ApiKey::from_code(api_key).is_some_and(|api| api_version >= api.flexible_from());
    if flexible {
        reader.read_tagged_fields(|_, _| Ok(false))?;
    }
    Ok(RequestHeader {
        api_key,
        api_version,
        correlation_id,
        client_id,
    })
}

/// Reads a whole request, header and body, of a frame without its length prefix.
pub fn decode_request<M: Request>(frame: Bytes) -> Result<(RequestHeader, M), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = decode_request_header(&mut reader)?;
    if header.api_key != M::API_KEY {
        return Err(DecodeError::Version {
            api_key: header.api_key,
            version: header.api_version,
        });
    }
    let body = M::decode(&mut reader, header.api_version)?;
    Ok((header, body))
}

/// Writes a whole request with its length prefix.
pub fn encode_request<M: Request>(
    correlation_id: i32,
    client_id: &str,
    version: i16,
    body: &M,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::new();
    writer.write_i32(0);
    writer.write_i16(M::API_KEY);
    writer.write_i16(version);
    writer.write_i32(correlation_id);
    writer.write_string_length("client_id", Some(client_id.len()), false)?;
    writer.write_raw(client_id.as_bytes());
    if version >= M::FLEXIBLE_FROM {
        writer.write_unsigned_varint(0);
    }
    body.encode(&mut writer, version)?;
    let (parts, _) = writer.finish_frame()?;
    Ok(parts)
}

/// Writes a whole response with its length prefix.
pub fn encode_response<M: Message>(
    correlation_id: i32,
    version: i16,
    body: &M,
) -> Result<Vec<Bytes>, EncodeError> {
    let encoded = encode_response_into(correlation_id, version, body, Writer::new())?;
    Ok(encoded.parts)
}

/// A whole response.
#[derive(Debug)]
pub struct EncodedResponse {
    /// Its parts in order.
    pub parts: Vec<Bytes>,
    /// The memory that is left.
    pub rest: BytesMut,
    /// The error codes in it.
    pub error_codes: ErrorCodes,
}

/// Likewise, with a writer that may have memory already.
pub fn encode_response_into<M: Message>(
    correlation_id: i32,
    version: i16,
    body: &M,
    mut writer: Writer,
) -> Result<EncodedResponse, EncodeError> {
    writer.write_i32(0);
    writer.write_i32(correlation_id);
    if response_header_is_flexible::<M>(version) {
        writer.write_unsigned_varint(0);
    }
    body.encode(&mut writer, version)?;
    let error_codes = writer.error_codes();
    let (parts, rest) = writer.finish_frame()?;
    Ok(EncodedResponse {
        parts,
        rest,
        error_codes,
    })
}

/// Reads a whole response of a frame without its length prefix: the correlation id and the body,
/// which fills the rest.
pub fn decode_response<M: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(i32, M::Response), DecodeError> {
    let mut reader = Reader::with_memory_per_byte(frame, DECODED_BYTES_PER_RESPONSE_BYTE);
    let correlation_id = reader.read_i32()?;
    if response_header_is_flexible::<M::Response>(version) {
        reader.read_tagged_fields(|_, _| Ok(false))?;
    }
    let body = M::Response::decode(&mut reader, version)?;
    reader.expect_end()?;
    Ok((correlation_id, body))
}

fn response_header_is_flexible<M: Message>(version: i16) -> bool {
    version >= M::FLEXIBLE_FROM && M::API_KEY != ApiKey::ApiVersions.code()
}
