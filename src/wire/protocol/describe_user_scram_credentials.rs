// SPDX-License-Identifier: Apache-2.0
//! DescribeUserScramCredentials (50): which users have a password, and of what kind (KIP-554).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{SCRAM_KINDS_MAX, SCRAM_USERS_MAX};

api! { 50, versions 0..=0, flexible 0:
DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse }

messages! {
    /// Asks for users.
    pub struct DescribeUserScramCredentialsRequest {
        /// The users; null or none for all that have a password.
        users: Option<Vec<UserName>> = Some(Vec::new()), since(0).nullable(0).max(SCRAM_USERS_MAX);
    }

    /// A user.
    pub struct UserName {
        /// The name.
        name: ByteString = ByteString::new(), since(0);
    }

    /// The users.
    pub struct DescribeUserScramCredentialsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code of the whole, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong with the whole, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// One entry per user.
        results: Vec<DescribeUserScramCredentialsResult> = Vec::new(),
            since(0).max(SCRAM_USERS_MAX);
    }

    /// One user.
    pub struct DescribeUserScramCredentialsResult {
        /// The name.
        user: ByteString = ByteString::new(), since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// The passwords of the user.
        credential_infos: Vec<CredentialInfo> = Vec::new(), since(0).max(SCRAM_KINDS_MAX);
    }

    /// A password, but not what it is.
    pub struct CredentialInfo {
        /// 1 for SCRAM-SHA-256, 2 for SCRAM-SHA-512.
        mechanism: i8 = 0, since(0);
        /// How often it is hashed.
        iterations: i32 = 0, since(0);
    }
}
