// SPDX-License-Identifier: Apache-2.0
//! Starts one executor for each machine and reaches them from the main thread.
//!
//! Owns: the threads, and the main thread's end of the mesh. Invariants: a machine is made on the
//! thread that runs it; the loop of a machine is the only task of its executor; threads for small
//! files are started first, unpinned.
//! Runs on: the main thread. Bounded by: `SHARDS_MAX` executors and one.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder};

use super::collector::Figures;
use super::machine_loop::{Crossing, MachineLoop, Report};
use crate::io::blocking::BlockingThread;
use crate::io::clock;
use crate::io::device_health::DeviceHealth;
use crate::io::disk::Disk;
use crate::io::driver::Driver;
use crate::io::files::Files;
use crate::io::lent_memory::LentMemory;
use crate::io::mesh::{MeshPort, mesh};
use crate::io::network::Network;
use crate::io::placement::{CpuMask, Placement};
use crate::io::wake::Waker;
use crate::limits::WRITE_BYTES_MAX;
use crate::model::buffer_pool::BufferPool;
use crate::model::ids::ShardId;
use crate::model::memory_budget::MemoryBudget;
use crate::shard::contract::Machine;
use crate::shard::mesh_message::MeshMessage;

/// When the executor asks its task to give way: never, in effect. There is one task, and it sleeps
/// in its own ring. (A short timer that fires between the executor's arming it and its look at the
/// task queue makes glommio 0.9 park with the task ready: 500 us stalled a busy machine in
/// seconds.)
const PREEMPT_TIMER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Memory that the executor pins for its own direct I/O, of which there is none, in bytes.
const EXECUTOR_IO_MEMORY_BYTES: usize = 64 * 1024;

/// Aligned buffers that wait for their next use on the control shard, in bytes.
const CONTROL_BUFFER_BYTES_MAX: usize = WRITE_BYTES_MAX;

/// What all executors start with.
pub struct Launch {
    /// The cores of the process.
    pub cpus: CpuMask,
    /// Which executor goes where.
    pub placement: Placement,
    /// The data directory.
    pub files: Files,
    /// The file whose flush flushes the device, where that may be asked for.
    pub clean_file: Option<OwnedFd>,
    /// One bound socket for each data shard.
    pub listeners: Vec<OwnedFd>,
    /// Largest frame that a client may send, in bytes.
    pub frame_bytes_max: usize,
    /// Memory of each executor.
    pub memory: MemoryBudget,
}

/// What one executor starts with.
struct Seat {
    shard: ShardId,
    shard_count: u16,
    cpu: usize,
    cpus: CpuMask,
    waker: Arc<Waker>,
    blocking: BlockingThread,
    background: BlockingThread,
    clean_file: Option<Arc<OwnedFd>>,
    health: DeviceHealth,
    listener: Option<OwnedFd>,
    frame_bytes_max: usize,
    memory: MemoryBudget,
    port: MeshPort<Crossing>,
    reports: Sender<Report>,
}

/// The running executors.
pub struct Executors {
    mesh: MeshPort<Crossing>,
    threads: Vec<ExecutorJoinHandle<()>>,
    reports: Receiver<Report>,
    reporter: Sender<Report>,
    shard_count: u16,
    lent_bytes: usize,
}

impl Executors {
    /// Starts the data shards, made by `data`, and the control shard, made by `control`.
    ///
    /// # Errors
    /// A sentence, when a thread, a descriptor or a ring cannot be had.
    pub fn start<D, C>(
        launch: Launch,
        data: impl Fn(ShardId) -> D + Clone + Send + 'static,
        control: impl FnOnce() -> C + Send + 'static,
    ) -> Result<Executors, String>
    where
        D: Machine + 'static,
        C: Machine + 'static,
    {
        let (reporter, reports) = channel();
        let shard_count =
            u16::try_from(launch.placement.data.len()).map_err(|_| "too many shards")?;
        let lent_bytes = launch.memory.lent_bytes();
        let (mut seats, mesh) = seats(launch, shard_count, &reporter)?;
        let control_seat = seats.pop().expect("the control shard has a seat");
        let mut threads = Vec::with_capacity(seats.len() + 1);
        for seat in seats {
            let make = data.clone();
            let shard = seat.shard;
            threads.push(spawn(seat, move || make(shard))?);
        }
        threads.push(spawn(control_seat, control)?);
        Ok(Executors {
            mesh,
            threads,
            reports,
            reporter,
            shard_count,
            lent_bytes,
        })
    }

    /// A sender for other threads that have something to report.
    #[must_use]
    pub fn reporter(&self) -> Sender<Report> {
        self.reporter.clone()
    }

    /// How many data shards there are.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        self.shard_count
    }

    /// Memory that each data shard lends for its buffers, in bytes.
    #[must_use]
    pub fn lent_bytes(&self) -> usize {
        self.lent_bytes
    }

    /// Waits for the next report.
    #[must_use]
    pub fn next_report(&self) -> Report {
        self.reports
            .recv()
            .expect("this value holds a sender itself")
    }

    /// Asks one machine to stop.
    pub fn stop(&mut self, shard: ShardId) {
        let place = if shard == ShardId::CONTROL {
            self.shard_count
        } else {
            shard.0
        };
        self.mesh.send(usize::from(place), Crossing::Stop);
        self.mesh.flush();
    }

    /// Asks every machine for its figures.
    pub fn ask_figures(&mut self, asker: &Sender<Figures>) {
        for place in 0..=self.shard_count {
            let asked = Crossing::Figures(asker.clone());
            self.mesh.send(usize::from(place), asked);
        }
        self.mesh.flush();
    }

    /// Sends a message to the control shard.
    pub fn tell_control(&mut self, message: MeshMessage) {
        let crossing = Crossing::Message(Box::new(message), clock::monotonic_us());
        self.mesh.send(usize::from(self.shard_count), crossing);
        self.mesh.flush();
    }

    /// Waits until all executors have ended, which they do once their machines have stopped.
    pub fn join(self) {
        for thread in self.threads {
            // What an executor has to say about itself it has reported.
            let _ = thread.join();
        }
    }
}

/// Prepares what every executor needs; the last seat is the control shard's.
fn seats(
    launch: Launch,
    shard_count: u16,
    reporter: &Sender<Report>,
) -> Result<(Vec<Seat>, MeshPort<Crossing>), String> {
    let count = launch.placement.data.len() + 1;
    // One more than there are executors: the main thread.
    let wakers = (0..=count)
        .map(|_| Waker::new())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("cannot make an eventfd: {error}"))?;
    let mut ports = mesh(&wakers);
    let mesh = ports.pop().expect("one port for each waker");
    let clean_file = launch.clean_file.map(Arc::new);
    let health = DeviceHealth::default();
    let mut listeners = launch.listeners.into_iter();
    let cpus = launch
        .placement
        .data
        .iter()
        .copied()
        .chain([launch.placement.control]);
    let mut seats = Vec::with_capacity(count);
    for (place, ((cpu, port), waker)) in cpus.zip(ports).zip(wakers).enumerate() {
        let place = u16::try_from(place).map_err(|_| "too many shards")?;
        let shard = if place < shard_count {
            ShardId(place)
        } else {
            ShardId::CONTROL
        };
        let start = || BlockingThread::start(launch.files.clone(), Arc::clone(&waker));
        let no_thread = |error| format!("cannot start a thread: {error}");
        let blocking = start().map_err(no_thread)?;
        let background = start().map_err(no_thread)?;
        seats.push(Seat {
            shard,
            shard_count,
            cpu,
            cpus: launch.cpus.clone(),
            waker,
            blocking,
            background,
            clean_file: clean_file.clone(),
            health: health.clone(),
            listener: listeners.next(),
            frame_bytes_max: launch.frame_bytes_max,
            memory: launch.memory,
            port,
            reports: reporter.clone(),
        });
    }
    Ok((seats, mesh))
}

fn spawn<M: Machine + 'static>(
    seat: Seat,
    make: impl FnOnce() -> M + Send + 'static,
) -> Result<ExecutorJoinHandle<()>, String> {
    LocalExecutorBuilder::new(glommio::Placement::Fixed(seat.cpu))
        .name(&format!("furlong-{}", seat.shard))
        .spin_before_park(Duration::ZERO)
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(EXECUTOR_IO_MEMORY_BYTES)
        .spawn(move || async move { run(seat, make) })
        .map_err(|error| format!("cannot start an executor: {error}"))
}

fn run<M: Machine>(seat: Seat, make: impl FnOnce() -> M) {
    let disk = Disk::new(seat.blocking, seat.background, seat.clean_file, seat.health);
    let network = Network::new(
        seat.listener,
        seat.shard.0,
        seat.frame_bytes_max,
        &seat.memory,
    );
    let (buffers, lent) = buffers(seat.shard, &seat.memory);
    let driver = match Driver::new(disk, network, seat.waker, &seat.cpus, lent.as_ref()) {
        Ok(driver) => driver,
        Err(error) => {
            let report = Report::NoRing(seat.shard, error);
            // The main thread outlives the executors.
            let _ = seat.reports.send(report);
            return;
        }
    };
    if seat.shard != ShardId::CONTROL {
        let report = Report::Buffers(driver.ring.registered());
        let _ = seat.reports.send(report);
    }
    let machine = make();
    MachineLoop::new(
        machine,
        seat.shard,
        seat.shard_count,
        driver,
        seat.port,
        seat.reports,
        buffers,
    )
    .run();
}

/// The aligned buffers of an executor, and the memory that some of them are lent from. The control
/// shard writes little.
fn buffers(shard: ShardId, memory: &MemoryBudget) -> (BufferPool, Option<LentMemory>) {
    if shard == ShardId::CONTROL {
        return (BufferPool::new(CONTROL_BUFFER_BYTES_MAX), None);
    }
    let mut buffers = BufferPool::new(memory.buffers_at_rest_bytes());
    // Without such memory everything works as well, with buffers of the allocator.
    let lent = LentMemory::new(memory.lent_bytes()).ok();
    if let Some(lent) = &lent {
        buffers.set_lender(Box::new(lent.clone()));
    }
    (buffers, lent)
}
