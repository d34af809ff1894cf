//! Which process holds a lock file, as Linux tells it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the kernel lists of all locks (proc(5), `/proc/locks`).
const LOCKS: &str = "/proc/locks";

/// The id of the process that holds the lock of an owner's file. `None` where it can't be told: the process is another
/// container's, or the system has no such list.
pub fn process_of(file: &Path) -> Option<u32> {
    let file = file.metadata().ok()?;
    process_in(&std::fs::read_to_string(LOCKS).ok()?, file.dev(), file.ino())
}

/// A line is `1: FLOCK  ADVISORY  WRITE 4711 fe:00:12804623 0 EOF`: the process, and the file as the hexadecimal numbers
/// of its device and the decimal one of its inode.
fn process_in(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let wanted = format!(
        "{:02x}:{:02x}:{inode}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_exclusive = words.next() == Some("FLOCK") && words.nth(1) == Some("WRITE");
        let process = words.next()?.parse().ok().filter(|process| *process > 0)?;
        (is_exclusive && words.next()? == wanted).then_some(process)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_the_one_that_holds_the_exclusive_lock_of_this_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  READ 12 fe:00:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 13 fe:00:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 14 fe:01:77 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 fe:00:77 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 15 fe:00:77 0 EOF\n";
        let device = rustix::fs::makedev(0xfe, 0);
        assert_eq!(process_in(locks, device, 77), Some(15));
        assert_eq!(process_in(locks, device, 78), None);
        assert_eq!(process_in("", device, 77), None);
    }
}
