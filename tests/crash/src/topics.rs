// SPDX-License-Identifier: Apache-2.0
//! Creating the topics that stay.

use crate::client::{Connection, code};
use crate::plan::{REBORN, TOPICS};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Creates them.
pub fn create_topics(address: &str) -> Result<(), String> {
    let mut connection = Connection::open(address)?;
    for plan in &TOPICS[..REBORN] {
        let begun = Instant::now();
        loop {
            match connection.create_topic(plan.name, plan.partitions, plan.settings)? {
                (code::NONE, _) => break,
                (error, _) if code::PASSING.contains(&error) && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                (error, message) => {
                    let name = plan.name;
                    return Err(format!("cannot create {name}: error {error}: {message}"));
                }
            }
        }
    }
    Ok(())
}
