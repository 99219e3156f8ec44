//! Calls of the kernel that neither std nor rustix provides: growing a partition that the kernel knows, growing a mounted
//! ext4, and asking how right the clock is. The only unsafe code of this crate; the alternative would be to ship programs for
//! just these calls.
#![expect(unsafe_code, reason = "these are calls of the kernel")]

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use std::ffi::{c_int, c_longlong, c_void};
use std::fs::File;
use std::io;

const BLKPG: Opcode = opcode::none(0x12, 105);
const BLKPG_RESIZE_PARTITION: c_int = 3;
const EXT4_IOC_RESIZE_FS: Opcode = opcode::write::<u64>(b'f', 16);

/// `struct blkpg_ioctl_arg` of linux/blkpg.h
#[repr(C)]
struct BlkpgArg {
    op: c_int,
    flags: c_int,
    datalen: c_int,
    data: *mut c_void,
}

/// `struct blkpg_partition` of linux/blkpg.h
#[repr(C)]
struct BlkpgPartition {
    start: c_longlong,
    length: c_longlong,
    pno: c_int,
    devname: [u8; 64],
    volname: [u8; 64],
}

/// Tells the kernel the new length of a partition, which may be mounted. Start and length are in bytes.
pub(crate) fn resize_partition(
    disk: &File,
    number: u32,
    start: u64,
    length: u64,
) -> io::Result<()> {
    let wide = |n: u64| c_longlong::try_from(n).map_err(|_| io::ErrorKind::InvalidInput);
    let mut partition = BlkpgPartition {
        start: wide(start)?,
        length: wide(length)?,
        pno: c_int::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let argument = BlkpgArg {
        op: BLKPG_RESIZE_PARTITION,
        flags: 0,
        datalen: size_of::<BlkpgPartition>() as c_int,
        data: (&raw mut partition).cast(),
    };
    // SAFETY: BLKPG reads one BlkpgArg, and through it one BlkpgPartition that outlives the call.
    unsafe { ioctl(disk, Setter::<BLKPG, _>::new(argument)) }?;
    Ok(())
}

/// Grows the mounted ext4 that contains `folder` to this number of blocks. The kernel journals each step: after a power
/// cut the file system is intact, with some size in between. Requesting the current size does nothing.
pub(crate) fn resize_ext4(folder: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64.
    unsafe { ioctl(folder, Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks)) }?;
    Ok(())
}

/// Whether the kernel takes its clock for synchronised, and by how many seconds it may be wrong then.
pub(crate) fn clock() -> io::Result<(bool, f64)> {
    // SAFETY: a timex of zeros is valid. Its modes are 0, so that the kernel changes nothing and fills it in.
    let state = unsafe {
        let mut state: libc::timex = std::mem::zeroed();
        if libc::adjtimex(&raw mut state) < 0 {
            return Err(io::Error::last_os_error());
        }
        state
    };
    let synchronized = state.status & libc::STA_UNSYNC == 0;
    Ok((synchronized, state.maxerror as f64 / 1e6))
}
