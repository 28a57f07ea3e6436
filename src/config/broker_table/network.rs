// SPDX-License-Identifier: Apache-2.0
//! How clients reach a broker: listeners, sockets, protection, threads.
//!
//! Owns: [`NETWORK_SETTINGS`]. Invariants: sorted by name, as every part of the table.
//! Runs on: any core (constants). Bounded by: the table.

use super::{BrokerSetting, dynamic, fixed, int, long};
use crate::config::broker_table::Use::{Engine, Ignored, Refused};
use crate::config::definition::Check;
use crate::config::definition::ConfigType::{Int, List, Long, Password, String};
use crate::limits::QUOTA_WINDOWS_MAX;

const WINDOWS: Check = Check::Whole {
    min: 1,
    max: QUOTA_WINDOWS_MAX,
};

const WINDOW_SECONDS: Check = Check::Whole { min: 1, max: 3600 };

/// The settings of this part, sorted by name.
pub(super) const NETWORK_SETTINGS: &[BrokerSetting] = &[
    fixed(
        "admin.listener",
        String,
        Some("127.0.0.1:9644"),
        Check::Text,
        Engine,
        "Where /metrics, /healthz, /readyz and /shards are served, like 127.0.0.1:9644; empty for \
         nowhere. Whoever reaches it can read the figures and move partitions between cores, so \
         think before it leaves the loopback.",
    ),
    fixed(
        "advertised.listeners",
        List,
        None,
        Check::Text,
        Engine,
        "Address that clients are told to connect to, like PLAINTEXT://host:9092; that of \
         listeners if not set.",
    ),
    fixed(
        "authorizer.class.name",
        String,
        Some(""),
        Check::Text,
        Refused,
        "Access control. There is none.",
    ),
    fixed(
        "connections.max.idle.ms",
        Long,
        Some("600000"),
        Check::WholeOr {
            min: 1,
            max: i64::MAX,
            or: -1,
        },
        Engine,
        "A connection on which nothing happened for so long is closed, in milliseconds; not while \
         a request of it is under way. -1 closes none.",
    ),
    fixed(
        "controller.quota.window.num",
        Int,
        Some("11"),
        WINDOWS,
        Engine,
        "How many windows of changes a quota of changes of metadata lets come at once.",
    ),
    fixed(
        "controller.quota.window.size.seconds",
        Int,
        Some("1"),
        WINDOW_SECONDS,
        Engine,
        "The length of such a window in seconds.",
    ),
    fixed(
        "fetch.max.bytes",
        Int,
        Some("57671680"),
        int(1024),
        Ignored,
        "Without effect: an answer to a fetch has a fixed bound.",
    ),
    fixed(
        "inter.broker.listener.name",
        String,
        None,
        Check::Text,
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "listener.security.protocol.map",
        String,
        Some("PLAINTEXT:PLAINTEXT"),
        Check::Text,
        Engine,
        "Which protocol the name of a listener stands for. Only PLAINTEXT exists.",
    ),
    fixed(
        "listeners",
        List,
        Some("PLAINTEXT://127.0.0.1:9092"),
        Check::Text,
        Engine,
        "Address to listen on, like PLAINTEXT://0.0.0.0:9092.",
    ),
    dynamic(
        "max.connection.creation.rate",
        Int,
        Some("2147483647"),
        int(0),
        Engine,
        "New connections a second, of the whole broker; a further one waits for its turn.",
    ),
    dynamic(
        "max.connections",
        Int,
        Some("2147483647"),
        int(0),
        Engine,
        "Connections of the whole broker; a further one is not served before another one ends.",
    ),
    dynamic(
        "max.connections.per.ip",
        Int,
        Some("2147483647"),
        int(0),
        Engine,
        "Connections from one address; a further one is closed.",
    ),
    dynamic(
        "max.connections.per.ip.overrides",
        String,
        Some(""),
        Check::PeerLimits,
        Engine,
        "Connections from some addresses, like 10.0.0.1:500,::1:20; host names are not looked up.",
    ),
    dynamic(
        "num.io.threads",
        Int,
        Some("8"),
        int(1),
        Ignored,
        "Without effect: there is one executor per core.",
    ),
    dynamic(
        "num.network.threads",
        Int,
        Some("3"),
        int(1),
        Ignored,
        "Without effect: there is one executor per core.",
    ),
    fixed(
        "queued.max.requests",
        Int,
        Some("500"),
        int(1),
        Ignored,
        "Without effect: requests under way are bounded per connection.",
    ),
    fixed(
        "quota.window.num",
        Int,
        Some("11"),
        WINDOWS,
        Engine,
        "Over how many windows the rates of clients are measured that have quotas.",
    ),
    fixed(
        "quota.window.size.seconds",
        Int,
        Some("1"),
        WINDOW_SECONDS,
        Engine,
        "The length of such a window in seconds.",
    ),
    fixed(
        "sasl.enabled.mechanisms",
        List,
        Some(""),
        Check::Text,
        Refused,
        "Authentication. There is none.",
    ),
    fixed(
        "sasl.mechanism.inter.broker.protocol",
        String,
        Some(""),
        Check::Text,
        Refused,
        "Authentication. There is none.",
    ),
    fixed(
        "security.inter.broker.protocol",
        String,
        Some("PLAINTEXT"),
        Check::Only("PLAINTEXT"),
        Ignored,
        "Protocol between brokers. Only PLAINTEXT exists.",
    ),
    dynamic(
        "slow.request.ms",
        Long,
        Some("1000"),
        long(-1),
        Engine,
        "A request that takes so many milliseconds or more is told in a line with its stages; -1 \
         tells none. The time for which a fetch waits for records does not count.",
    ),
    fixed(
        "socket.listen.backlog.size",
        Int,
        Some("50"),
        int(1),
        Ignored,
        "Without effect: the backlog is fixed.",
    ),
    fixed(
        "socket.receive.buffer.bytes",
        Int,
        Some("102400"),
        int(-1),
        Ignored,
        "Without effect: the system sizes socket buffers.",
    ),
    fixed(
        "socket.request.max.bytes",
        Int,
        Some("104857600"),
        Check::Whole {
            min: 1024,
            max: 104_857_600,
        },
        Engine,
        "Largest request frame in bytes; a larger one closes its connection.",
    ),
    fixed(
        "socket.send.buffer.bytes",
        Int,
        Some("102400"),
        int(-1),
        Ignored,
        "Without effect: the system sizes socket buffers.",
    ),
    fixed(
        "ssl.client.auth",
        String,
        Some("none"),
        Check::Only("none"),
        Ignored,
        "Encryption. There is none.",
    ),
    fixed(
        "ssl.keystore.location",
        String,
        Some(""),
        Check::Text,
        Refused,
        "Encryption. There is none.",
    ),
    fixed(
        "ssl.keystore.password",
        Password,
        None,
        Check::Text,
        Refused,
        "Encryption. There is none.",
    ),
    fixed(
        "ssl.truststore.location",
        String,
        Some(""),
        Check::Text,
        Refused,
        "Encryption. There is none.",
    ),
];
