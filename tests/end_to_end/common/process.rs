//! What does a process use of the machine?

use std::fs;

/// Bytes of memory that are its own at this moment.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .and_then(|n| n.trim().parse().ok())
        .expect("a size in kB");
    kilobytes * 1024
}

/// The processor time it has used, in hundredths of a second.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // The name, in parentheses, may hold spaces; times are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    [fields[11], fields[12]]
        .iter()
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}
