// SPDX-License-Identifier: Apache-2.0
//! What is excused from a rule, and why. The list may only shrink: an exception that is no longer
//! needed in full fails like a broken rule does.

use std::collections::BTreeMap;

use crate::file_rules::Violation;

/// So many violations of one rule in one file are excused.
pub struct Exception {
    /// The file.
    pub path: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// How many.
    pub count: usize,
    /// Why.
    pub reason: &'static str,
}

/// Sorted by file and rule.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        path: "perf/code/lab/ring.rs",
        rule: "unsafe",
        count: 1,
        reason: "measures operations of io_uring that the broker's own ring does not have",
    },
    Exception {
        path: "src/model/error_code.rs",
        rule: "integer-cast",
        count: 1,
        reason: "reads the discriminant of an enum; a const fn has no other way",
    },
    Exception {
        path: "tests/wire/allocation.rs",
        rule: "unsafe",
        count: 5,
        reason: "a global allocator that counts; the trait is unsafe to implement",
    },
];

/// What is left to complain about once the exceptions are taken into account.
pub fn judge(violations: Vec<Violation>, exceptions: &[Exception]) -> Vec<String> {
    let mut groups: BTreeMap<(String, &str), Vec<Violation>> = BTreeMap::new();
    for violation in violations {
        groups
            .entry((violation.path.clone(), violation.rule))
            .or_default()
            .push(violation);
    }
    let mut complaints = Vec::new();
    for exception in exceptions {
        let (path, rule, count) = (exception.path, exception.rule, exception.count);
        let found = groups.remove(&(path.to_owned(), rule)).unwrap_or_default();
        if exception.reason.split(' ').count() < 4 {
            complaints.push(format!(
                "{path}: the exception from [{rule}] gives no reason"
            ));
        }
        if found.len() < count {
            let left = found.len();
            complaints.push(format!(
                "{path}: the exception from [{rule}] allows {count} but {left} are left: shrink it"
            ));
        }
        if found.len() > count {
            complaints.push(format!(
                "{path}: the exception from [{rule}] allows {count} of these:"
            ));
            complaints.extend(found.iter().map(Violation::to_string));
        }
    }
    complaints.extend(
        groups
            .into_values()
            .flatten()
            .map(|violation| violation.to_string()),
    );
    complaints
}
