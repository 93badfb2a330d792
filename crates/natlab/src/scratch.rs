//! A directory for the files of one program, which ends with it, also by `kill -9`.

use callbox_sys as sys;
use rustix::mount::{MountFlags, MountPropagationFlags, mount as mount_at, mount_change};

use crate::error::{LabError, Tried};

/// The path of the directory, which every system has.
pub(crate) const SCRATCH: &str = "/dev/shm";

/// Mounts an empty file system in memory at [`SCRATCH`], which nobody sees but the calling thread
/// and the processes that it starts. The kernel removes it when the last of them has ended.
pub(crate) fn mount() -> Result<(), LabError> {
    let failed = "no file system in memory can be mounted at /dev/shm for the files of the browser";
    sys::enter_new_mounts().tried(failed)?;
    let own = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount_change("/", own)
        .and_then(|()| mount_at("tmpfs", SCRATCH, "tmpfs", flags, Some(c"mode=0700")))
        .map_err(Into::into)
        .tried(failed)
}
