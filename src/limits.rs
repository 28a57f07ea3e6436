// SPDX-License-Identifier: Apache-2.0
//! Every bound of the broker, in one place, with the relations between them checked at compile
//! time.
//!
//! Owns: named constants and nothing else.
//! Invariants: a queue, buffer or count anywhere in the tree is bounded by a name from this file.
//! Runs on: every core (constants). Bounded by: itself.

/// Size of one disk block as this broker writes it, in bytes. Direct I/O is done in whole blocks.
pub const BLOCK_BYTES: usize = 4096;

/// Largest request frame that is accepted after its length field, in bytes. The default of Kafka's
/// `socket.request.max.bytes`.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes that are reserved for a frame before any of it has arrived; afterwards the buffer grows
/// with what really came, so that a lying length field reserves nothing.
pub const FRAME_BYTES_RESERVED_UNSEEN: usize = 64 * 1024;

/// Pieces of memory that frames were received in and that are kept for the next ones; past it the
/// one that was given out longest ago is let go.
pub const FRAME_MEMORY_PIECES_MAX: usize = 64;

/// One part in so many of the memory for receiving is for such pieces.
pub const FRAME_MEMORY_PART: usize = 4;

/// Memory that is reserved at once for a frame of a connection that has already sent one as large,
/// in bytes.
pub const FRAME_BYTES_TRUSTED_MAX: usize = 4 * 1024 * 1024;

/// Largest record batch that a topic accepts unless `max.message.bytes` says otherwise, in bytes.
/// The default of Kafka: 1 MiB plus the batch header of 12 bytes.
pub const RECORD_BATCH_BYTES_DEFAULT_MAX: usize = 1024 * 1024 + 12;

/// Largest value that `max.message.bytes` may take, in bytes. A batch must fit one frame with its
/// envelope.
pub const RECORD_BATCH_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// Largest number of bytes that opening one compressed batch may give.
pub const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Largest number of bytes that a batch may open to which is to be stored with another codec: it is
/// opened and packed on the core of its partition, and everything there waits for it.
pub const RECOMPRESSED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Up to so many opened bytes such a batch is packed at the level that is set; a larger one at the
/// codec's usual level, for the highest levels take seconds for a few megabytes.
pub const RECOMPRESSED_AT_LEVEL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Records of one refused batch that its producer is told of by name.
pub const RECORD_ERRORS_TOLD_MAX: usize = 10_000;

/// Bytes that one partition may have written or queued for writing without having been flushed.
/// Past this, produce requests wait in the partition's queue; recovery relies on it to tell a torn
/// tail from rot.
pub const UNFLUSHED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Requests of one connection that may be under way at once; the connection is not read further
/// until one is answered.
pub const REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX: usize = 32;

/// Connections that one shard serves at once; a further one is closed at once.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 10_000;

/// Connections that one executor holds, those included that its shard is about to close.
pub const CONNECTIONS_ACCEPTED_MAX: usize = CONNECTIONS_PER_SHARD_MAX + 256;

/// Connections that wait for others to end, or for their turn, where `max.connections` or
/// `max.connection.creation.rate` is set; a further one is closed.
pub const CONNECTIONS_HELD_MAX: usize = 1024;

/// Clients may have one of so many descriptors of the process: the others are for logs, which must
/// not fail because somebody connects.
pub const DESCRIPTORS_PER_CONNECTION: u64 = 2;

/// How long a client may be connected before its first request is whole, in milliseconds. Clients
/// begin with a small one at once; who does not holds a descriptor for nothing.
pub const FIRST_REQUEST_MS: u64 = 60_000;

/// How often the network tells that a frame goes on coming, or an answer going, in milliseconds.
pub const PROGRESS_TOLD_MS: u64 = 200;

/// How often a shard tells at most why it closes connections, in milliseconds.
pub const CLOSINGS_TOLD_MS: u64 = 10_000;

/// Bytes that may wait to be sent on one connection; a peer that lets more pile up is cut off. At
/// half of it no further request is taken from it.
pub const OUTBOUND_BYTES_PER_CONNECTION_MAX: usize = 4 * FETCH_RESPONSE_BYTES_MAX;

/// Bytes of a request to the admin port; a longer one is refused.
pub const ADMIN_REQUEST_BYTES_MAX: usize = 8 * 1024;

/// How long the admin port waits for a request to be whole, for the shards to tell their figures,
/// and for its answer to be taken, in milliseconds each.
pub const ADMIN_WAIT_MS_MAX: u64 = 2_000;

/// How long the admin port waits for a change to be made, in milliseconds.
pub const ADMIN_CHANGE_MS_MAX: u64 = 30_000;

/// The longest time of a stage of a request that is told apart from longer ones, in microseconds.
pub const STAGE_US_MAX: u64 = 120_000_000;

/// Bytes of what a client calls itself that are kept for each connection.
pub const CLIENT_ID_BYTES_KEPT_MAX: usize = 128;

/// Slow requests that one shard tells one by one in each window; it says how many more there were.
pub const SLOW_REQUESTS_TOLD_MAX: usize = 10;

/// That window, in milliseconds.
pub const SLOW_REQUESTS_WINDOW_MS: u64 = 1000;

/// Different error codes of one answer that are counted each under its own number.
pub const ERROR_CODES_TOLD_MAX: usize = 4;

/// Partitions whose figures are told one by one; those of further topics are told as one.
pub const METRICS_PARTITIONS_MAX: usize = 10_000;

/// Data shards (cores) of one broker.
pub const SHARDS_MAX: usize = 256;

/// Largest number of a CPU that may be named (that of the kernel's `cpu_set_t`).
pub const CPU_NUMBER_MAX: usize = 1023;

/// Topics of one cluster.
pub const TOPICS_MAX: usize = 100_000;

/// Partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: usize = 10_000;

/// Partitions of one cluster.
pub const PARTITIONS_MAX: usize = 200_000;

/// Bytes of a topic name (Kafka's rule).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Fetches parked on one partition while they wait for data.
pub const PARKED_FETCHES_PER_PARTITION_MAX: usize = 10_000;

/// Bytes of record data in one answer to a fetch, whatever the client asked for.
pub const FETCH_RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Fetch sessions that one shard remembers (Kafka's default for a whole broker).
pub const FETCH_SESSIONS_PER_SHARD_MAX: usize = 1_000;

/// Partitions of all fetch sessions of one shard; some 300 bytes each.
pub const FETCH_SESSION_PARTITIONS_PER_SHARD_MAX: usize = 50_000;

/// A fetch session that was unused for longer than this makes room for any new one (Kafka's value).
pub const FETCH_SESSION_EVICTION_MS: u64 = 120_000;

/// Partitions whose log one shard opens at once; each recovery holds a read buffer.
pub const OPENING_PARTITIONS_MAX: usize = 64;

/// Least time that `acks=all` waits for its flush and its followers, in milliseconds, however
/// little the producer allows: Kafka answers a local append at once, so clients with a timeout of 0
/// exist.
pub const PRODUCE_WAIT_MS_MIN: u64 = 1000;

/// Effects that a machine emits before it stops and asks to be called again (`next_deadline` =
/// now). One event may overshoot by what a single event can cause, never by what a queue of waiters
/// causes.
pub const EFFECTS_PER_TURN_SOFT_MAX: usize = 1024;

/// Messages in flight from one core to another. When the lane is full the sender keeps the rest and
/// tries again in its next turn.
pub const MESH_LANE_MESSAGES_MAX: usize = 4096;

/// Messages that a core keeps back for a full lane before it stops to take new work from clients.
pub const MESH_OUTBOX_MESSAGES_SOFT_MAX: usize = 4096;

/// Messages that a core takes from one lane in one turn.
pub const MESH_MESSAGES_PER_TURN_MAX: usize = 512;

/// Producers with idempotence state in one partition; the one that was idle longest goes first.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 100_000;

/// Batches of one producer that are remembered to recognise a repeated send (Kafka keeps five).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

/// Producer ids that the controller hands to a broker at once (Kafka's block size).
pub const PRODUCER_ID_BLOCK_LEN: i64 = 1000;

/// Bytes of the metadata records that one request makes: they are committed as one batch.
pub const METADATA_BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one batch of a metadata snapshot, before the record that passes it.
pub const SNAPSHOT_BATCH_BYTES: usize = 1024 * 1024;

/// Snapshots of the metadata that are kept; the older ones serve when the newest is damaged.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Bytes of one topic or broker setting in text form.
pub const CONFIG_VALUE_BYTES_MAX: usize = 64 * 1024;

/// Requests that wait for the controller; a further one is told that it is unavailable.
pub const CONTROL_REQUESTS_PENDING_MAX: usize = 4096;

/// Bytes of a small file that is read whole (checkpoints, snapshots, indexes).
pub const SMALL_FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Largest file of settings, of a server or of profiles; a person wrote it.
pub const SETTINGS_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How long a log that could not be opened because the disk is full waits before it tries again.
pub const OPEN_RETRY_MS: u64 = 1000;

/// Bytes that one read of a recovery scan asks for.
pub const RECOVERY_READ_BYTES: usize = 1024 * 1024;

/// Largest number of bytes one disk read for a fetch asks for.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that the decoded form of a request may take per byte of its frame, beside
/// [`DECODED_BYTES_ALLOWANCE`]. Strings and records are slices of the frame and take none.
pub const DECODED_BYTES_PER_FRAME_BYTE: usize = 2;

/// Bytes that the decoded form of any frame may take, however small the frame: lists of short names
/// take more memory than bytes on the wire.
pub const DECODED_BYTES_ALLOWANCE: usize = 4 * 1024 * 1024;

/// Bytes that the decoded form of a response may take per byte of its frame. Responses come from
/// brokers that this process chose to talk to.
pub const DECODED_BYTES_PER_RESPONSE_BYTE: usize = 8;

/// Bytes of a byte field that are copied into the frame that is written; longer ones become a part
/// of their own.
pub const WRITER_COPY_BYTES_MAX: usize = 512;

/// Brokers of one cluster.
pub const BROKERS_MAX: usize = 1_000;

/// Replicas of one partition.
pub const REPLICAS_PER_PARTITION_MAX: usize = BROKERS_MAX;

/// APIs that an answer to ApiVersions may list.
pub const API_KEYS_MAX: usize = 1_000;

/// Features that an answer to ApiVersions may list.
pub const FEATURES_MAX: usize = 1_000;

/// Settings of one resource that one request may name or one response may list.
pub const CONFIGS_PER_RESOURCE_MAX: usize = 1_000;

/// Resources whose settings one request may ask for or change.
pub const CONFIG_RESOURCES_MAX: usize = TOPICS_MAX + BROKERS_MAX;

/// Partitions of one page of DescribeTopicPartitions (Kafka's `max.request.partition.size.limit`).
pub const DESCRIBED_PARTITIONS_PER_PAGE_MAX: usize = 2_000;

/// Entities that have quotas, and those that one request may name or one response may list.
pub const QUOTA_ENTITIES_MAX: usize = 100_000;

/// Parts of one entity that has quotas, as a request may name them: two make sense.
pub const QUOTA_ENTITY_PARTS_MAX: usize = 16;

/// Quotas of one entity that one request may name or one response may list.
pub const QUOTA_VALUES_MAX: usize = 64;

/// Bytes of the name of a user or a client that has quotas: it is part of a record.
pub const QUOTA_NAME_BYTES_MAX: usize = 32_767;

/// Users that one request about passwords may name.
pub const SCRAM_USERS_MAX: usize = 100_000;

/// Passwords of one user: there are two kinds.
pub const SCRAM_KINDS_MAX: usize = 16;

/// Windows over which a rate is measured (`quota.window.num`), at most: eight bytes each for
/// whoever is counted.
pub const QUOTA_WINDOWS_MAX: i64 = 360;

/// Entities whose use of a quota one shard counts, of all quotas together; past it the counts of
/// those who used nothing go first, then of those who used nothing for longest.
pub const QUOTA_METERS_PER_SHARD_MAX: usize = 10_000;

/// Addresses whose new connections are counted, and entities whose changes of metadata are.
pub const QUOTA_BUCKETS_MAX: usize = 10_000;

/// How often shards tell each other what was used of quotas, in milliseconds.
pub const QUOTA_EXCHANGE_MS: u64 = 100;

/// A shard that has used one in so many of what a quota allows within its windows, and has not
/// told so, tells it at once.
pub const QUOTA_EXCHANGE_PART: u64 = 100;

/// A fetch whose client has used up its quota waits for one in so many of what the quota allows
/// within its windows. If it waited for all that it asks for, which may be nearly as much as the
/// windows allow, the rest of them would be lost to it.
pub const QUOTA_FETCH_PART: u64 = 16;

/// Log directories of one broker.
pub const LOG_DIRECTORIES_MAX: usize = 1_000;

/// Listeners of one broker.
pub const LISTENERS_MAX: usize = 1_000;

/// Groups or transactional ids whose coordinator one request may ask for.
pub const COORDINATOR_KEYS_MAX: usize = 100_000;

/// Members of one group, those that were only given an id included; `group.max.size` may ask for
/// fewer.
pub const GROUP_MEMBERS_MAX: usize = 100_000;

/// Protocols that one member of a group may offer.
pub const GROUP_PROTOCOLS_MAX: usize = 1_000;

/// Bytes that a member of a group may say in all its protocols together: what a group keeps has to
/// fit one record.
pub const GROUP_MEMBER_BYTES_MAX: usize = RECORD_BATCH_BYTES_DEFAULT_MAX;

/// Groups that one request may name or one response may list.
pub const GROUPS_MAX: usize = 1_000_000;

/// Groups that are kept in one partition of the offsets topic; a further one is told that its
/// coordinator is not available.
pub const GROUPS_PER_COORDINATOR_MAX: usize = 100_000;

/// States or types of groups that one request may name.
pub const GROUP_FILTERS_MAX: usize = 1_000;

/// Groups that have settings of their own.
pub const GROUP_CONFIGS_MAX: usize = 100_000;

/// Bytes of the name of a group: it is part of the key of a record.
pub const GROUP_ID_BYTES_MAX: usize = 32_767;

/// How long a member that has just joined may wait for its group without being heard of, in
/// milliseconds (Kafka's value): its session begins with the generation.
pub const GROUP_NEW_MEMBER_MS: u64 = 300_000;

/// How often a partition may change hands while one target assignment is made; more is never needed
/// where all members want the same, and where they do not an assignment that is less even is still
/// whole.
pub const ASSIGNOR_MOVES_PER_PARTITION_MAX: usize = 16;

/// Bytes of the pattern by which a member of a group names topics.
pub const PATTERN_BYTES_MAX: usize = 4_096;

/// Memory that one such pattern may take once it is read.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// How long the topics of a group's patterns are not looked for again, in milliseconds, however
/// often topics come and go.
pub const PATTERN_REFRESH_MS_MIN: u64 = 1_000;

/// Partitions of the offsets topic that one shard reads at a time to load their groups.
pub const GROUP_LOADS_MAX: usize = 4;

/// Bytes that one read asks for while groups are loaded.
pub const GROUP_LOAD_READ_BYTES: usize = 1024 * 1024;

/// Records of one batch that a response may blame for a refusal.
pub const RECORD_ERRORS_MAX: usize = 100_000;

/// Transactions that one request may name or one response may list.
pub const TRANSACTIONS_MAX: usize = 1_000_000;

/// States of transactions that one request may name.
pub const TRANSACTION_FILTERS_MAX: usize = 1_000;

/// Transactional ids that are kept in one partition of the topic of transactions; a further one is
/// told that its coordinator is not available.
pub const TRANSACTIONS_PER_COORDINATOR_MAX: usize = 100_000;

/// Additions of partitions that wait for one transaction to end.
pub const TRANSACTION_WAITERS_MAX: usize = 1_000;

/// Longest pause before markers that could not be written are tried again, in milliseconds.
pub const TRANSACTION_MARKER_RETRY_MS_MAX: u64 = 2_000;

/// Transactional ids that are looked at in one turn, where something is due or may have expired.
pub const TRANSACTIONS_PER_TURN: usize = 256;

/// Bytes of a regular expression that transactional ids are looked for with.
pub const ID_PATTERN_BYTES_MAX: usize = 32_767;

/// Bytes that such an expression may need once it is compiled.
pub const ID_PATTERN_PROGRAM_BYTES_MAX: usize = 1024 * 1024;

/// Milliseconds for which the first batch of a transaction waits until the one before has ended in
/// all its partitions; past it the client sends again.
pub const TRANSACTION_PATIENCE_MS: u32 = 1_000;

/// Aborted transactions that the answer to a fetch may list for one partition.
pub const ABORTED_TRANSACTIONS_MAX: usize = 1_000_000;

/// Aborted transactions that one partition remembers, and open ones that may become so: 32 bytes
/// of memory each. Past it no transaction begins there, until retention has removed some.
pub const ABORTED_PER_PARTITION_MAX: usize = 500_000;

// Whatever a partition remembers can be told in one answer.
const _: () = assert!(ABORTED_PER_PARTITION_MAX <= ABORTED_TRANSACTIONS_MAX);

/// Sizes of appends behind an open transaction that a partition keeps apart, to wake the readers of
/// committed records once it ends; past it the newest ones are counted together.
pub const UNSTABLE_SIZES_MAX: usize = 1_000;

/// Largest number of bytes one write of an append round carries; a larger round is several writes
/// under way at once (on the reference disk 1 MiB at depth 4 is the knee).
pub const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Shortest area of zeros that a log writes ahead of itself, in bytes: what a quiet partition holds
/// of the disk beyond its records.
pub const WRITE_AHEAD_BYTES_MIN: u64 = 64 * 1024;

/// Disk that a partition holds beyond its records when it got some and then no more, in bytes: one
/// step of zeros and the rest of the last block.
pub const IDLE_PARTITION_DISK_BYTES_MAX: u64 = WRITE_AHEAD_BYTES_MIN + 4096;

/// Longest area of zeros that a log writes ahead of itself, in bytes.
pub const WRITE_AHEAD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Largest number of zeros that one write carries; one is under way at a time on each executor.
pub const ZEROS_BYTES_MAX: usize = 256 * 1024;

/// An area that was used up in less than this makes the next one twice as long.
pub const WRITE_AHEAD_QUICK_MS: u64 = 1000;

/// An area that lasted longer than this makes the next one half as long.
pub const WRITE_AHEAD_SLOW_MS: u64 = 10_000;

/// A log whose rounds carry more than this writes no zeros ahead: at such sizes a write that
/// extends its file is nearly as fast as one that does not, and zeros would double the bytes
/// written.
pub const WRITE_AHEAD_ROUND_BYTES_MAX: u64 = 512 * 1024;

/// A log that fills a segment within this keeps the file of one that retention removed for its next
/// one: one file, of a segment's length. A slower log would hold it for nothing.
pub const RECYCLED_WITHIN_MS: u64 = 600_000;

/// Milliseconds between two flushes in the flush mode `interval` where no interval is set.
pub const FLUSH_INTERVAL_MS_DEFAULT: u64 = 1000;

/// Bytes by which a log grows, at least, before it notes a new recovery point: a start after a
/// crash reads about so much of each partition that was busy.
pub const RECOVERY_POINT_BYTES: u64 = 32 * 1024 * 1024;

/// Rounds of one log whose flush is under way while the next one is written.
pub const ROUNDS_FLUSHING_MAX: usize = 2;

/// Memory of one shard for aligned buffers, in bytes: half of it is lent by the shell and stays
/// where it is, half is what may wait for its next use.
pub const BUFFER_BYTES_PER_SHARD_MAX: usize = 16 * WRITE_BYTES_MAX;

/// Aligned buffers that wait for their next use on one shard.
pub const BUFFERS_AT_REST_MAX: usize = 256;

/// Largest aligned buffer that waits for its next use, in bytes.
pub const BUFFER_AT_REST_BYTES_MAX: usize = WRITE_BYTES_MAX;

/// Largest buffer of a write that is lent, in bytes. The buffers of larger rounds stay in the tail
/// cache, and would keep what is lent from those who give it back at once.
pub const LENT_WRITE_BYTES_MAX: usize = 64 * 1024;

/// Requests and answers whose emptied lists a shard keeps for the next ones.
pub const LISTS_KEPT_MAX: usize = 64;

/// Entries that such a list may have room for to be kept.
pub const LIST_ENTRIES_KEPT_MAX: usize = 4096;

/// Largest piece of memory that answers, or copies of a few records, are cut off, in bytes.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Pieces of memory for copies of a few records that one shard keeps for their next use.
pub const COPY_PIECES_MAX: usize = 8;

/// Size of the pieces of memory that small answers are written into, in bytes. A client that does
/// not take its answer keeps a whole piece.
pub const ANSWER_PIECE_BYTES: usize = 4 * 1024;

/// Pieces of memory for answers that one shard keeps for their next use.
pub const ANSWER_PIECES_MAX: usize = 64;

/// Largest write round whose bytes are copied behind those of the round before it in the tail
/// cache, in bytes: many small rounds then share one buffer instead of holding a block each.
pub const TAIL_CACHE_ROUND_MERGED_MAX: usize = 16 * 1024;

/// Largest buffer that small rounds share in the tail cache, in bytes.
pub const TAIL_CACHE_BUFFER_MERGED_MAX: usize = 128 * 1024;

/// Newest bytes of the metadata log that stay in memory: images answer its readers.
pub const METADATA_TAIL_CACHE_BYTES_MAX: usize = WRITE_BYTES_MAX;

/// Memory that a broker takes by itself at most, in bytes; more has to be asked for.
pub const MEMORY_DEFAULT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Least memory of one data shard, in bytes: with less its parts could not hold one write.
pub const MEMORY_PER_SHARD_BYTES_MIN: usize = 16 * 1024 * 1024;

/// Least room that a fetch begins to read with, in bytes; with less it waits until other answers
/// have left.
pub const READ_ROOM_BYTES_MIN: usize = 64 * 1024;

/// Record bytes that a fetch may always ask for, in bytes, however much its shard's clients have
/// not taken: one that reads must not wait for others that do not.
pub const FETCH_BYTES_UNDER_PRESSURE: usize = 64 * 1024;

/// How long a frame may stop to come, in milliseconds, before its connection is ended: only while
/// others wait for the memory that it holds.
pub const RECEIVE_STALL_MS: u64 = 30_000;

/// Largest answer that is read ahead for a sequential reader, in bytes.
pub const READ_AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// Answers that are read ahead for one reader.
pub const READ_AHEAD_DEPTH: u8 = 2;

/// Readers of one log whose last position is remembered, to recognise the one that goes on there.
pub const READ_AHEAD_READERS_PER_LOG_MAX: usize = 8;

/// How long an answer that was read ahead waits for its reader.
pub const READ_AHEAD_IDLE_MS: u64 = 1000;

/// How long aligned buffers wait for their next use before an idle shard frees them.
pub const BUFFERS_IDLE_MS: u64 = 1000;

/// Sealed segments of one partition whose file is open and whose indexes are in memory. The one
/// that was not read for longest is closed.
pub const WARM_SEGMENTS_PER_LOG_MAX: usize = 4;

/// Smallest `segment.bytes` that a topic may have, and every setting that a topic gets it from.
pub const SEGMENT_BYTES_MIN: i64 = 1024 * 1024;

/// Damaged places of one segment that are remembered, so that reads are led around them.
pub const DAMAGES_PER_SEGMENT_MAX: usize = 16;

/// How often a start tells how far it has come.
pub const START_PROGRESS_MS: u64 = 1000;

/// How long after its opening a log looks for segments that retention may remove for the first
/// time, as in Kafka; afterwards it looks every `log.retention.check.interval.ms`.
pub const RETENTION_FIRST_CHECK_MS: u64 = 30_000;

/// Kafka's default of `log.retention.check.interval.ms`.
pub const RETENTION_CHECK_MS_DEFAULT: u64 = 300_000;

/// Kafka's default of `log.cleaner.backoff.ms`.
pub const CLEANER_BACKOFF_MS_DEFAULT: u64 = 15_000;

/// Kafka's default of `log.cleaner.dedupe.buffer.size`, in bytes; all shards share it.
pub const CLEANER_DEDUPE_BYTES_DEFAULT: usize = 128 * 1024 * 1024;

/// Bytes that compaction reads or writes at once, so that it never holds its core for long. One
/// batch is taken whole, however large it is.
pub const COMPACTION_PIECE_BYTES: usize = 256 * 1024;

/// Compaction waits while a shard has more requests to the disk than this.
pub const COMPACTION_QUEUE_MAX: usize = 8;

/// For how long it waits then, and where a segment that it wants to replace is being loaded.
pub const COMPACTION_PAUSE_MS: u64 = 1;

/// How long a log waits for its turn, or for timestamps that have to be loaded first.
pub const COMPACTION_TURN_MS: u64 = 500;

/// Descriptors that one partition is reckoned with when the start says how many partitions they
/// are enough for.
pub const DESCRIPTORS_PER_PARTITION: u64 = 4;

/// Descriptors that are left out of that reckoning: rings, listeners, some hundred connections.
pub const DESCRIPTORS_RESERVED: u64 = 512;

/// Blocks that the start writes and flushes to see how long a commit takes.
pub const FLUSH_PROBE_WRITES_MAX: usize = 20;

/// How long that may take, in milliseconds; a flush that has begun is waited for.
pub const FLUSH_PROBE_MS_MAX: u64 = 300;

const _: () = assert!(RECOMPRESSED_AT_LEVEL_BYTES_MAX <= RECOMPRESSED_BYTES_MAX);
const _: () = assert!(RECOMPRESSED_BYTES_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(RECORD_ERRORS_TOLD_MAX <= RECORD_ERRORS_MAX);
const _: () = assert!(BLOCK_BYTES.is_power_of_two());
const _: () = assert!(COMPACTION_PIECE_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(WRITE_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(WRITE_AHEAD_BYTES_MIN.is_multiple_of(2 * 4096) && BLOCK_BYTES == 4096);
const _: () = assert!((WRITE_AHEAD_BYTES_MAX / WRITE_AHEAD_BYTES_MIN).is_power_of_two());
// A thousand idle partitions hold less than 100 MiB.
const _: () = assert!(1000 * IDLE_PARTITION_DISK_BYTES_MAX < 100 << 20);
const _: () = assert!(WRITE_AHEAD_QUICK_MS < WRITE_AHEAD_SLOW_MS);
const _: () = assert!(TAIL_CACHE_ROUND_MERGED_MAX * 2 <= TAIL_CACHE_BUFFER_MERGED_MAX);
const _: () = assert!(TAIL_CACHE_BUFFER_MERGED_MAX <= WRITE_BYTES_MAX);
const _: () = assert!(TAIL_CACHE_BUFFER_MERGED_MAX.is_power_of_two());
const _: () = assert!(TAIL_CACHE_BUFFER_MERGED_MAX <= BUFFER_AT_REST_BYTES_MAX);
const _: () = assert!(ANSWER_PIECE_BYTES <= PIECE_BYTES_MAX);
const _: () = assert!(LENT_WRITE_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
// A round that is merged in the tail cache gives its buffer back at once, so it may be lent.
const _: () = assert!(TAIL_CACHE_ROUND_MERGED_MAX + 2 * BLOCK_BYTES <= LENT_WRITE_BYTES_MAX);
const _: () = assert!(MEMORY_PER_SHARD_BYTES_MIN >= 16 * WRITE_BYTES_MAX);
const _: () = assert!(READ_AHEAD_BYTES_MAX + BLOCK_BYTES <= READ_BYTES_MAX);
const _: () = assert!(RECORD_BATCH_BYTES_DEFAULT_MAX < RECORD_BATCH_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_RESERVED_UNSEEN <= FRAME_BYTES_TRUSTED_MAX);
const _: () = assert!(FRAME_BYTES_TRUSTED_MAX <= FRAME_BYTES_MAX);
// A batch of the largest size must be able to wait for its flush.
const _: () = assert!(RECORD_BATCH_BYTES_MAX < UNFLUSHED_BYTES_MAX);
const _: () = assert!(RECORD_BATCH_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(RECOVERY_READ_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(READ_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(PARTITIONS_PER_TOPIC_MAX <= PARTITIONS_MAX);
// The first topic is always told.
const _: () = assert!(PARTITIONS_PER_TOPIC_MAX <= METRICS_PARTITIONS_MAX);
// A metadata request that names every topic by its id (18 bytes each, 48 decoded) must fit the
// memory of its frame.
const _: () = assert!(
    TOPICS_MAX * 48 <= TOPICS_MAX * 18 * DECODED_BYTES_PER_FRAME_BYTE + DECODED_BYTES_ALLOWANCE
);
// A fetch of every partition by topic id (33 bytes each, 64 decoded) must, too.
const _: () = assert!(
    PARTITIONS_MAX * 64
        <= PARTITIONS_MAX * 33 * DECODED_BYTES_PER_FRAME_BYTE + DECODED_BYTES_ALLOWANCE
);
// The records of one request, with what a batch adds, must fit one batch.
const _: () = assert!(METADATA_BATCH_BYTES_MAX + 1024 < RECORD_BATCH_BYTES_MAX);
const _: () = assert!(CONFIG_VALUE_BYTES_MAX < SNAPSHOT_BATCH_BYTES);
