//! How many threads may compute.

/// Threads that any machine may be asked for.
const ANYWHERE: usize = 16;
/// Threads for each core of larger machines: beyond that all they do is wait for one another.
const FOR_EACH_CORE: usize = 4;

/// The most threads that can be asked for on this machine.
pub fn most_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_mul(FOR_EACH_CORE).max(ANYWHERE)
}
