// SPDX-License-Identifier: Apache-2.0
//! Looks into the files that a crash left, before the broker does.

use crate::plan::{TOPICS, places};
use bytes::Bytes;
use furlong::wire::record::{BatchRules, split_batches, validate_batch};
use std::fs;
use std::path::Path;

/// How many partitions of a data directory have a newest segment that ends in something that is
/// neither whole batches nor zeros.
pub fn torn_tails(data: &Path) -> u64 {
    let torn = places().into_iter().filter(|place| {
        let name = format!("{}-{}", TOPICS[place.topic].name, place.partition);
        newest_segment(&data.join(name)).is_some_and(|bytes| is_torn(bytes.into()))
    });
    crate::report::count(torn.count())
}

fn newest_segment(directory: &Path) -> Option<Vec<u8>> {
    let entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let logs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    fs::read(logs.max()?).ok()
}

fn is_torn(bytes: Bytes) -> bool {
    let mut at = 0;
    for batch in split_batches(&bytes) {
        match batch {
            Ok(batch) if validate_batch(&batch, &BatchRules::BROKER).is_ok() => at += batch.len(),
            _ => break,
        }
    }
    bytes[at..].iter().any(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BatchPlan, encode};

    #[test]
    fn zeros_are_no_tear_and_half_a_batch_is() {
        let plan = BatchPlan {
            number: 1,
            timestamp: 1,
            stamp: None,
        };
        let batch = encode(1, &plan);
        let whole = [&batch[..], &batch[..]].concat();
        assert!(!is_torn(whole.clone().into()));
        assert!(!is_torn([&whole[..], &[0; 5000]].concat().into()));
        assert!(is_torn(whole[..whole.len() - 1].to_vec().into()));
        assert!(is_torn([&whole[..], &[0; 5000], &[1]].concat().into()));
    }
}
