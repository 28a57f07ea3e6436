// SPDX-License-Identifier: Apache-2.0
//! The sentences about the machine: facts always, a warning where something is worse than it could
//! be.

use super::*;
use crate::io::cgroup::Limits;
use crate::io::memory_limit::{MemoryLimit, MemorySource};
use crate::io::process::Limit;

fn good() -> Machine {
    Machine {
        kernel: "6.18.0".into(),
        ring_refusal: None,
        locked_memory_bytes: None,
        descriptors: Some(Limit {
            soft: 100_512,
            hard: 100_512,
        }),
        cpus_online: Some(4),
        cpus_allowed: 2,
        limits: Limits::default(),
        memory: MemoryLimit {
            bytes: 3 << 30,
            source: MemorySource::Physical,
        },
        clock_source: Some("tsc".into()),
        wall_ms: WALL_MS_PLAUSIBLE_MIN,
        autogrouped: false,
    }
}

fn text(found: &[Finding]) -> String {
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

#[test]
fn the_start_says_whether_the_buffers_are_registered() {
    let lent = |bytes| crate::io::lent_memory::LentMemory::new(bytes).expect("mapped");
    let mut ring =
        crate::io::ring::Ring::new(&crate::io::placement::CpuMask::of_process().expect("known"))
            .expect("a ring");
    let none = ring.registered();
    ring.register(&lent(1 << 20));
    let whole = ring.registered();
    let said = of_buffers(&[whole, whole], 1 << 20).to_string();
    assert!(said.contains("(1 MiB each) are registered"), "{said}");
    let refused = {
        let mut none = none;
        none.refused = Some(12);
        none
    };
    let said = of_buffers(&[whole, refused], 1 << 20).to_string();
    assert!(
        said.contains("(2 MiB together) 1 MiB could be registered"),
        "{said}"
    );
    assert!(
        said.contains("Cannot allocate memory") && said.contains("warning: "),
        "{said}"
    );
    let said = of_buffers(&[refused], 1 << 20).to_string();
    assert!(said.contains("none could be registered"), "{said}");
}

#[track_caller]
fn warned(machine: &Machine, words: &str) {
    let said = text(&of_machine(machine, 2));
    assert!(said.contains(words), "{said}");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
}

#[test]
fn a_good_machine_gives_facts_alone() {
    let said = text(&of_machine(&good(), 2));
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(!said.contains("warning"), "{said}");
    for words in [
        "Linux 6.18.0; io_uring works; clock tsc",
        "CPUs: 2 of 4 may be used, with no quota",
        "locked memory: unlimited; descriptors: ",
        "100512 (enough for about 25000 partitions)",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_quota_smaller_than_the_shards_is_a_warning() {
    let mut machine = good();
    machine.limits.cpus = Some(2.0);
    assert!(!text(&of_machine(&machine, 2)).contains("warning"));
    machine.limits.cpus = Some(1.5);
    warned(&machine, "the time of 1.5 CPUs to 2 shards");
}

#[test]
fn each_shortage_is_a_warning() {
    let few = Limit {
        soft: 1024,
        hard: 1024,
    };
    let mut machine = good();
    machine.descriptors = Some(few);
    warned(&machine, "LimitNOFILE=");
    let mut machine = good();
    machine.locked_memory_bytes = Some(8 << 20);
    warned(&machine, "may lock 8 MiB");
    let mut machine = good();
    machine.clock_source = Some("hpet".into());
    warned(&machine, "the kernel's clock is hpet");
    let mut machine = good();
    machine.wall_ms = 0;
    warned(&machine, "before 2025");
}

#[test]
fn a_machine_without_a_ring_cannot_serve() {
    let mut machine = good();
    machine.ring_refusal = Some("io_uring is refused: for a reason".into());
    let found = of_machine(&machine, 2);
    let obstacles = found.iter().filter(|one| one.weight == Weight::Obstacle);
    let obstacles: Vec<String> = obstacles.map(Finding::to_string).collect();
    assert_eq!(
        obstacles,
        ["cannot serve: io_uring is refused: for a reason"]
    );
}

#[test]
fn a_priority_that_is_not_permitted_says_what_to_do() {
    let short = Nice {
        wanted: -10,
        now: 0,
    };
    let said = text(&of_priority(short, false));
    assert!(
        said.contains("warning: nice -10 is not permitted"),
        "{said}"
    );
    assert!(
        said.contains("Nice=-10") && said.contains("process.nice=0"),
        "{said}"
    );
    let granted = Nice {
        wanted: -10,
        now: -10,
    };
    let said = text(&of_priority(granted, false));
    assert!(
        !said.contains("warning") && said.contains("nice -10"),
        "{said}"
    );
    let said = text(&of_priority(granted, true));
    assert!(
        said.contains("warning") && said.contains("autogroup"),
        "{said}"
    );
    let left = Nice { wanted: 0, now: 0 };
    assert!(!text(&of_priority(left, true)).contains("warning"));
}

#[test]
fn bytes_are_written_as_people_write_them() {
    for (count, expected) in [
        (0, "0 bytes"),
        (1 << 10, "1 KiB"),
        (1536 << 20, "1.5 GiB"),
        (8 << 20, "8 MiB"),
    ] {
        assert_eq!(bytes(count), expected);
    }
}
