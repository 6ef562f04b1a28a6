/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Landlock's rights, and which of them an access takes. */
#ifndef OCI_LANDLOCK_RIGHTS_H
#define OCI_LANDLOCK_RIGHTS_H

#include "kernel.h"

/* include/linux/fs.h, asm-generic/fcntl.h, linux/stat.h */
#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_EXEC 0x20
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

/* linux/landlock.h */
#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_CHAR (1ULL << 6)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_MAKE_SOCK (1ULL << 9)
#define FS_MAKE_FIFO (1ULL << 10)
#define FS_MAKE_BLOCK (1ULL << 11)
#define FS_MAKE_SYM (1ULL << 12)
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define FS_RESOLVE_UNIX (1ULL << 16)
#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define NET_BIND_UDP (1ULL << 2)
#define NET_CONNECT_SEND_UDP (1ULL << 3)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

/* linux/net.h, linux/in.h, linux/socket.h */
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define AF_INET 2
#define AF_INET6 10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode___with_mode {
	unsigned short i_mode;
};

struct dentry___with_inode {
	struct inode *d_inode;
};

struct file___with_flags {
	unsigned int f_mode;
	unsigned int f_flags;
};

struct sock_common {
	unsigned short skc_num; /* the port that it is bound to, or 0 */
};

struct sock {
	struct sock_common __sk_common;
	unsigned short sk_protocol;
};

struct socket {
	short type;
	struct sock *sk;
};

struct msghdr {
	void *msg_name;
	unsigned int msg_flags;
};

#pragma clang attribute pop

static __always_inline __u32 mode_of(struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ((struct dentry___with_inode *)dentry, d_inode);

	return inode ? BPF_CORE_READ((struct inode___with_mode *)inode, i_mode) : 0;
}

static __always_inline __u64 make_right(__u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFSOCK:
		return FS_MAKE_SOCK;
	case S_IFLNK:
		return FS_MAKE_SYM;
	case S_IFBLK:
		return FS_MAKE_BLOCK;
	case S_IFDIR:
		return FS_MAKE_DIR;
	case S_IFCHR:
		return FS_MAKE_CHAR;
	case S_IFIFO:
		return FS_MAKE_FIFO;
	default:
		return FS_MAKE_REG;
	}
}

static __always_inline __u64 remove_right(__u32 mode)
{
	return (mode & S_IFMT) == S_IFDIR ? FS_REMOVE_DIR : FS_REMOVE_FILE;
}

static __always_inline __u64 open_rights(struct file *file)
{
	__u32 mode = BPF_CORE_READ((struct file___with_flags *)file, f_mode);
	__u32 flags = BPF_CORE_READ((struct file___with_flags *)file, f_flags);
	struct inode___with_mode *inode = (void *)BPF_CORE_READ(file, f_inode);
	__u32 kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	__u64 rights = 0;

	if (mode & FMODE_READ)
		rights |= kind == S_IFDIR ? FS_READ_DIR : FS_READ_FILE;
	if (mode & FMODE_WRITE)
		rights |= FS_WRITE_FILE;
	if (flags & FMODE_EXEC)
		rights |= FS_EXECUTE;
	return rights;
}

static __always_inline bool is_udp(struct socket *socket)
{
	return BPF_CORE_READ(socket, type) == SOCK_DGRAM && BPF_CORE_READ(socket, sk, sk_protocol) == IPPROTO_UDP;
}

struct address {
	__u16 family;
	__u16 port;
};

/* Of the kernel's own copy. */
static __always_inline __u32 port_of(const void *from)
{
	struct address address = {};

	if (bpf_probe_read_kernel(&address, sizeof(address), from) ||
	    (address.family != AF_INET && address.family != AF_INET6))
		return 0;
	return __builtin_bswap16(address.port);
}

#endif
