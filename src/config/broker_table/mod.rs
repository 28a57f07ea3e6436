// SPDX-License-Identifier: Apache-2.0
//! The table of broker settings, as Kafka 4.3 names them.
//!
//! Owns: [`BROKER_SETTINGS`], made of one part for each matter (`cluster`, `groups`, `log`,
//! `network`, `transactions`), and the names that are known but not in it (`foreign`). Invariants:
//! sorted by name; every default passes its own check; few are read, and how many for which
//! matter is bounded by a test (several names for one thing are one).
//! Runs on: any core (constants). Bounded by: the table.

mod cluster;
mod foreign;
mod groups;
mod log;
mod network;
mod transactions;

use self::cluster::CLUSTER_SETTINGS;
pub use self::foreign::{FOREIGN_NAMES, is_foreign, refusal_of_foreign};
use self::groups::GROUP_SETTINGS;
use self::log::LOG_SETTINGS;
use self::network::NETWORK_SETTINGS;
use self::transactions::TRANSACTION_SETTINGS;
use super::definition::{Check, ConfigType};
use crate::limits::PARTITIONS_PER_TOPIC_MAX;

/// What this broker does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The engine reads it.
    Engine,
    /// Known from Apache Kafka and accepted, but without effect here; whoever sets it is told so.
    Ignored,
    /// It would switch on a protection that does not exist here, so setting it is an error.
    Refused,
}

/// One broker setting.
#[derive(Clone, Copy, Debug)]
pub struct BrokerSetting {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: ConfigType,
    /// Built-in default in text form, if there is one.
    pub default: Option<&'static str>,
    /// What it accepts.
    pub check: Check,
    /// What becomes of it.
    pub usage: Use,
    /// True if it may change while the broker runs.
    pub dynamic: bool,
    /// What it does.
    pub documentation: &'static str,
}

const fn fixed(
    name: &'static str,
    kind: ConfigType,
    default: Option<&'static str>,
    check: Check,
    usage: Use,
    documentation: &'static str,
) -> BrokerSetting {
    BrokerSetting {
        name,
        kind,
        default,
        check,
        usage,
        dynamic: false,
        documentation,
    }
}

const fn dynamic(
    name: &'static str,
    kind: ConfigType,
    default: Option<&'static str>,
    check: Check,
    usage: Use,
    documentation: &'static str,
) -> BrokerSetting {
    BrokerSetting {
        name,
        kind,
        default,
        check,
        usage,
        dynamic: true,
        documentation,
    }
}

const fn int(min: i64) -> Check {
    Check::Whole {
        min,
        max: 2_147_483_647,
    }
}

/// The number of partitions of a topic that is made without one: what any topic may have.
const PARTITIONS: Check = Check::Whole {
    min: 1,
    max: 10_000,
};

const _: () = assert!(PARTITIONS_PER_TOPIC_MAX == 10_000);

const fn long(min: i64) -> Check {
    Check::Whole { min, max: i64::MAX }
}

const COUNT: usize = CLUSTER_SETTINGS.len()
    + GROUP_SETTINGS.len()
    + LOG_SETTINGS.len()
    + NETWORK_SETTINGS.len()
    + TRANSACTION_SETTINGS.len();

/// Every broker setting, sorted by name.
pub static BROKER_SETTINGS: [BrokerSetting; COUNT] = merged();

/// The parts of the table as one, sorted by name when the program is built.
const fn merged() -> [BrokerSetting; COUNT] {
    let mut all = [CLUSTER_SETTINGS[0]; COUNT];
    let parts = [
        CLUSTER_SETTINGS,
        GROUP_SETTINGS,
        LOG_SETTINGS,
        NETWORK_SETTINGS,
        TRANSACTION_SETTINGS,
    ];
    let mut next = [0; 5];
    let mut filled = 0;
    while filled < COUNT {
        let mut least = parts.len();
        let mut part = 0;
        while part < parts.len() {
            let is_left = next[part] < parts[part].len();
            if is_left
                && (least == parts.len() || {
                    let left = parts[part][next[part]].name.as_bytes();
                    is_before(left, parts[least][next[least]].name.as_bytes())
                })
            {
                least = part;
            }
            part += 1;
        }
        all[filled] = parts[least][next[least]];
        next[least] += 1;
        filled += 1;
    }
    all
}

/// True if `left` sorts before `right`; comparing slices is not possible in a constant.
const fn is_before(left: &[u8], right: &[u8]) -> bool {
    let mut index = 0;
    while index < left.len() && index < right.len() {
        if left[index] != right[index] {
            return left[index] < right[index];
        }
        index += 1;
    }
    left.len() < right.len()
}
