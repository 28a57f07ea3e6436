// SPDX-License-Identifier: Apache-2.0
//! DescribeUserScramCredentials (50): which users have a password (KIP-554). Nobody authenticates
//! here, so no user has one, and that is what is told; tools that describe users ask for it before
//! they show quotas. What would set a password (51) is not offered.
//!
//! Owns: its handler. Invariants: one entry for each user that was named, however often.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Answers that there are none.
pub fn handle(_: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeUserScramCredentialsRequest = arrival.decode()?;
    let mut times: BTreeMap<ByteString, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *times.entry(user.name).or_default() += 1;
    }
    let results = times.into_iter().map(|(user, times)| {
        let (code, sentence) = match times {
            1 => (
                ErrorCode::ResourceNotFound,
                format!("The user \"{user}\" has no SCRAM credentials: nobody has any here."),
            ),
            _ => (
                ErrorCode::DuplicateResource,
                format!("The request names the user \"{user}\" more than once."),
            ),
        };
        DescribeUserScramCredentialsResult {
            user,
            error_code: code.code(),
            error_message: Some(sentence.into()),
            ..DescribeUserScramCredentialsResult::default()
        }
    });
    arrival.call.reply(&DescribeUserScramCredentialsResponse {
        results: results.collect(),
        ..DescribeUserScramCredentialsResponse::default()
    })
}
