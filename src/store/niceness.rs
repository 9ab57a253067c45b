//! Who of this process waits for whom when there is not enough of the processor?

/// The highest niceness that there is.
const NICENESS_MAX: i32 = 19;

/// Lets the calling thread have the processor that much later than before, in steps of `nice`: what
/// the process was started with stays between it and the others. On Linux each thread has a niceness
/// of its own, so this is of the calling one alone, and of those that it starts from now on.
///
/// Where that is not allowed nothing happens: it is only slower for the others.
pub(super) fn be_nicer(by: i32) {
    if let Ok(niceness) = rustix::process::getpriority_process(None) {
        let nicer = NICENESS_MAX.min(niceness + by);
        let _ = rustix::process::setpriority_process(None, nicer);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn a_thread_is_nicer_than_the_one_that_started_it_and_never_beyond_the_end() {
        let before = getpriority_process(None).unwrap();
        let nicer = thread::spawn(|| {
            be_nicer(3);
            let once = getpriority_process(None).unwrap();
            be_nicer(100);
            (once, getpriority_process(None).unwrap())
        });
        let expected = (NICENESS_MAX.min(before + 3), NICENESS_MAX);
        assert_eq!(nicer.join().unwrap(), expected);
        assert_eq!(getpriority_process(None).unwrap(), before, "of one thread");
    }
}
