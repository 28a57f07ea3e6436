// SPDX-License-Identifier: Apache-2.0
//! Produce 0 to 2: advertised, because old librdkafka looks for them (KAFKA-18659), and always
//! refused.
//!
//! Owns: the layouts of these three versions. Invariants: nothing is appended; each partition is
//! answered with UNSUPPORTED_VERSION; `acks=0` closes, since no answer is wanted.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use super::{Answer, ApiError, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::request_table::Call;
use crate::wire::codec::{DecodeError, Reader, Writer};

/// Answers every partition of the request with UNSUPPORTED_VERSION.
pub(super) fn refuse(call: &Call, mut body: Reader) -> Result<Reply, ApiError> {
    if !(0..=2).contains(&call.version) {
        return Ok(Reply::Close);
    }
    let acks = body.read_i16()?;
    let _timeout_ms = body.read_i32()?;
    if acks == 0 {
        return Ok(Reply::Close);
    }
    let mut answer = Writer::new();
    answer.write_i32(0);
    answer.write_i32(call.correlation_id);
    copy_topics(&mut body, &mut answer, call.version)?;
    body.expect_end()?;
    if call.version >= 1 {
        answer.write_i32(0);
    }
    let error_codes = answer.error_codes();
    let (parts, _) = answer.finish_frame()?;
    Ok(Reply::Send(Answer { parts, error_codes }))
}

fn copy_topics(body: &mut Reader, answer: &mut Writer, version: i16) -> Result<(), ApiError> {
    let topics = read_count(body)?;
    answer.write_i32(topics);
    for _ in 0..topics {
        let length = body
            .read_string_length(false)?
            .ok_or(DecodeError::Null { field: "name" })?;
        let name = body.read_text("name", length)?;
        answer.write_string_length("name", Some(name.len()), false)?;
        answer.write_raw(name.as_bytes());
        let partitions = read_count(body)?;
        answer.write_i32(partitions);
        for _ in 0..partitions {
            answer.write_i32(body.read_i32()?);
            let length = body.read_length(false)?.unwrap_or(0);
            body.skip(length)?;
            answer.write_i16(ErrorCode::UnsupportedVersion.code());
            answer.note_error_code(ErrorCode::UnsupportedVersion.code());
            answer.write_i64(-1);
            if version >= 2 {
                answer.write_i64(-1);
            }
        }
    }
    Ok(())
}

/// A count of elements that each take bytes of the request, so that the answer is bounded by it.
fn read_count(body: &mut Reader) -> Result<i32, ApiError> {
    let count = body.read_i32()?;
    let fits = usize::try_from(count).is_ok_and(|count| count <= body.remaining());
    if !fits {
        return Err(DecodeError::LengthOutOfRange.into());
    }
    Ok(count)
}
