//! What lies in a server's folder that is of no more use?

use std::fs;
use std::io;
use std::path::Path;

/// The names of everything in a folder.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Removes a file, or a folder with what is in it. What is not there is gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a file that is to be a secret, with its permissions (`st_mode`).
pub fn read_secret(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    Ok((fs::read(path)?, mode))
}
