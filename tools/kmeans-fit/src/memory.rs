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

/// Reads `512M`, `1G`, `1.5G` or a number of bytes; K, M, G and T are powers of 1024.
pub fn read_size(text: &str) -> Option<u64> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let unit = units.into_iter().find_map(|(letter, bits)| Some((text.strip_suffix(letter)?, bits)));
    let (number, bits) = unit.unwrap_or((text, 0));
    let number: f64 = number.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite())?;
    Some((number * (1_u64 << bits) as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [("1", 1), ("2K", 2048), ("1.5G", 3 << 29), ("1T", 1 << 40)] {
            assert_eq!(read_size(text), Some(size), "{text}");
        }
        for wrong in ["", "G", "-1G", "0", "1 G", "nan", "infG", "1g"] {
            assert_eq!(read_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn something_is_free() {
        assert!(half_of_free() > 1 << 20);
    }
}
