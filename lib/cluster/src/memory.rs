//! How much memory rows may take.

use std::fs;

/// Half of what is free for this process, in bytes: of the machine's, and of the control group's where that has a
/// limit.
pub fn half_of_free() -> u64 {
    let free = [machine(), group("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")];
    // Without /proc: what any machine has.
    free.into_iter().flatten().min().unwrap_or(1 << 30) / 2
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Where a group has no limit, the file says so in a word.
fn group(limit: &str, used: &str) -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    Some(number(limit)?.saturating_sub(number(used)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_free() {
        assert!(half_of_free() > 1 << 20);
    }
}
