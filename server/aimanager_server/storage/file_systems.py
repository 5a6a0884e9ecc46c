"""Which file system a file is on."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs",
        "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs",
    }
)  # fmt: skip
"""File systems whose locks SQLite cannot rely on."""


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the network file system that a file is on, or would be created on; empty if it is local."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""  # only Linux has this list
    found, length = "", -1
    resolved = path.resolve()
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount_point = fields[1].replace("\\040", " ")
        if len(mount_point) >= length and resolved.is_relative_to(mount_point):
            found, length = fields[2], len(mount_point)
    return found if found in NETWORK_FILE_SYSTEMS else ""
