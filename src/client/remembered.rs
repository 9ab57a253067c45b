//! Which servers did a cluster have when it was talked to last?
//!
//! A small file for each cluster, in the user's state folder: the addresses that were named to find
//! it, and its members' own. So a client finds the cluster also when the server is gone that it is
//! always called with. It is a help and no more: what cannot be read or written is done without.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::types::ClusterId;

/// A file is not read beyond this.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// So many clusters are looked through.
const CLUSTERS_MAX: usize = 256;

/// What is remembered of the clusters that are found by some addresses.
#[derive(Debug)]
pub struct Remembered {
    folder: PathBuf,
    /// The addresses that were named.
    named: Vec<SocketAddr>,
}

/// A cluster's file.
struct Cluster {
    path: PathBuf,
    named: Vec<SocketAddr>,
    members: Vec<SocketAddr>,
}

impl Remembered {
    /// What is remembered in `folder`, which need not exist, for a client that was given the
    /// addresses `named`.
    pub fn new(folder: PathBuf, named: &[SocketAddr]) -> Self {
        Self {
            folder,
            named: named.to_vec(),
        }
    }

    /// The members of the cluster that the named addresses belonged to, as they were last; none if
    /// there is none.
    pub fn members(&self) -> Vec<SocketAddr> {
        let changed_at = |it: &Cluster| fs::metadata(&it.path).and_then(|it| it.modified()).ok();
        let newest = self.known().into_iter().max_by_key(changed_at);
        newest.map(|cluster| cluster.members).unwrap_or_default()
    }

    /// Remembers the members of a cluster. Another one that was found by the same addresses is
    /// forgotten: they lead here now.
    ///
    /// # Errors
    /// It cannot be written. What was remembered before is still there.
    pub fn remember(&self, cluster: ClusterId, members: &[SocketAddr]) -> io::Result<()> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.folder.join(format!("{:032x}", cluster.0));
        let superseded = self.known();
        let mut named = self.named.clone();
        if let Some(before) = read(&path) {
            named.extend(before.named.iter().filter(|it| !self.named.contains(it)));
        }
        let temporary = self.folder.join(format!("new-{}", std::process::id()));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        for address in named {
            writeln!(file, "named {address}")?;
        }
        for address in members {
            writeln!(file, "member {address}")?;
        }
        fs::rename(&temporary, &path)?;
        for other in superseded {
            if other.path != path {
                fs::remove_file(other.path)?;
            }
        }
        Ok(())
    }

    /// The clusters that the named addresses belonged to.
    fn known(&self) -> Vec<Cluster> {
        let Ok(files) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let clusters = files.take(CLUSTERS_MAX).flatten().map(|file| file.path());
        clusters
            .filter_map(|path| read(&path))
            .filter(|cluster| {
                let mut all = cluster.named.iter().chain(&cluster.members);
                all.any(|address| self.named.contains(address))
            })
            .collect()
    }
}

fn read(path: &Path) -> Option<Cluster> {
    let name = path.file_name()?.to_str()?;
    let is_cluster = name.len() == 32 && name.chars().all(|it| it.is_ascii_hexdigit());
    if !is_cluster || fs::metadata(path).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let (mut named, mut members) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("named", address)) => named.extend(address.parse::<SocketAddr>()),
            Some(("member", address)) => members.extend(address.parse::<SocketAddr>()),
            _ => {}
        }
    }
    let path = path.to_owned();
    Some(Cluster {
        path,
        named,
        members,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        let address = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
        ports.iter().map(address).collect()
    }

    #[test]
    fn a_cluster_is_found_by_what_it_was_named_by_and_by_its_members() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("state").join("lastword");
        let remembered = |named: &[u16]| Remembered::new(folder.clone(), &addresses(named));
        assert_eq!(remembered(&[5000]).members(), []);
        let members = addresses(&[5001, 5002]);
        remembered(&[5000])
            .remember(ClusterId(7), &members)
            .unwrap();
        for named in [5000, 5001, 5002] {
            assert_eq!(remembered(&[4000, named]).members(), members);
        }
        assert_eq!(remembered(&[5003]).members(), []);

        // By another name: by the first one all the same.
        let members = addresses(&[5001, 5003]);
        remembered(&[5002])
            .remember(ClusterId(7), &members)
            .unwrap();
        assert_eq!(remembered(&[5000]).members(), members);
    }

    #[test]
    fn a_new_cluster_at_the_same_address_takes_the_place_of_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let remembered = Remembered::new(home.path().to_owned(), &addresses(&[5000]));
        remembered
            .remember(ClusterId(7), &addresses(&[5001]))
            .unwrap();
        remembered
            .remember(ClusterId(8), &addresses(&[6001]))
            .unwrap();
        assert_eq!(remembered.members(), addresses(&[6001]));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_such_file_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("notes"), "named 127.0.0.1:5000").unwrap();
        let junk = home.path().join(format!("{:032x}", 9));
        fs::write(&junk, b"named 127.0.0.1:5000\nmember what\n\xff\xfe").unwrap();
        let remembered = Remembered::new(home.path().to_owned(), &addresses(&[5000]));
        assert_eq!(remembered.members(), []);
        remembered
            .remember(ClusterId(7), &addresses(&[5001]))
            .unwrap();
        assert_eq!(remembered.members(), addresses(&[5001]));

        let nowhere = Remembered::new(home.path().join("notes"), &addresses(&[5000]));
        assert!(nowhere.remember(ClusterId(7), &[]).is_err());
        assert_eq!(nowhere.members(), []);
    }
}
