// SPDX-License-Identifier: Apache-2.0
//! What quotas read of the settings: over which time rates are measured.
//!
//! Owns: [`QuotaWindows`]. Invariants: every value has passed the check of its setting.
//! Runs on: any core. Bounded by: `QUOTA_WINDOWS_MAX`.

use super::broker;
use super::layers::Settings;

/// Windows of time in which is counted what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaWindows {
    /// How many, the current one included.
    pub count: usize,
    /// How long each is, in microseconds.
    pub length_us: u64,
}

impl QuotaWindows {
    /// `quota.window.num` and `quota.window.size.seconds`.
    #[must_use]
    pub fn of_clients(settings: &Settings) -> QuotaWindows {
        of(settings, "quota.window.num", "quota.window.size.seconds")
    }

    /// `controller.quota.window.num` and `controller.quota.window.size.seconds`.
    #[must_use]
    pub fn of_controller(settings: &Settings) -> QuotaWindows {
        of(
            settings,
            "controller.quota.window.num",
            "controller.quota.window.size.seconds",
        )
    }

    /// All of them together, in microseconds.
    #[must_use]
    pub fn total_us(&self) -> u64 {
        let count = u64::try_from(self.count).expect("few");
        self.length_us.saturating_mul(count)
    }
}

fn of(settings: &Settings, count: &'static str, seconds: &'static str) -> QuotaWindows {
    QuotaWindows {
        count: usize::try_from(number(settings, count)).expect("few"),
        length_us: number(settings, seconds).saturating_mul(1_000_000),
    }
}

/// The value of a setting, or its default.
fn number(settings: &Settings, name: &'static str) -> u64 {
    let given = settings.get(name).and_then(|text| text.trim().parse().ok());
    let default = || broker::default_of(name).and_then(|text| text.parse().ok());
    let number: Option<u64> = given.or_else(default);
    number
        .expect("the setting has a default, which is a number")
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_kafka_unless_set() {
        let kafka = QuotaWindows {
            count: 11,
            length_us: 1_000_000,
        };
        let nothing = Settings::new();
        assert_eq!(QuotaWindows::of_clients(&nothing), kafka);
        assert_eq!(QuotaWindows::of_controller(&nothing), kafka);
        let set = [
            ("quota.window.num", "3"),
            ("quota.window.size.seconds", "5"),
        ];
        let set = Settings::from(set.map(|(name, value)| (name.into(), value.into())));
        let windows = QuotaWindows::of_clients(&set);
        assert_eq!((windows.count, windows.total_us()), (3, 15_000_000));
        assert_eq!(QuotaWindows::of_controller(&set), kafka);
    }
}
