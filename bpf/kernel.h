/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that the programs look at; offsets are relocated at load (CO-RE), so only names matter here.
 * Instead of a generated vmlinux.h: nothing to generate, and a reader sees what we depend on.
 */
#ifndef OCI_LANDLOCK_KERNEL_H
#define OCI_LANDLOCK_KERNEL_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <stdbool.h>

#define OLL_KERNEL_SIDE
#include "abi.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	__u32 s_dev;
};

struct inode {
	unsigned long i_ino;
	__u32 i_generation;
	__s64 i_size;
	struct super_block *i_sb;
	void *i_private;
};

struct inode___with_parts {
	__s64 i_ctime_sec; /* 6.11+ */
	__u32 i_ctime_nsec;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct inode___with_whole {
	struct timespec64 __i_ctime; /* until 6.10 */
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};

/* 6.14+: an exec that only asks whether it would be allowed (AT_EXECVE_CHECK). */
struct linux_binprm___with_check {
	unsigned int is_check : 1;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id; /* 0: of cgroup v2 */
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct ns_common {
	unsigned int inum;
};

struct ns_common___with_id {
	__u64 ns_id; /* 6.18+ */
};

struct mnt_namespace___with_id {
	struct ns_common___with_id ns;
};

struct mnt_namespace {
	struct ns_common ns;
	__u64 seq; /* until 6.17: unique, never reused */
};

struct pid_namespace {
	struct task_struct *child_reaper;
	struct pid_namespace *parent;
	unsigned int level;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct thread_info {
	unsigned long flags;
};

struct bpf_map;

struct user_namespace {
	int level;
};

typedef struct {
	__u64 val;
} kernel_cap_t;

struct cred {
	kernel_cap_t cap_effective;
	struct user_namespace *user_ns;
};

struct sigpending {
	struct {
		unsigned long sig[1];
	} signal;
};

struct signal_struct {
	struct {
		int counter;
	} live; /* threads that have not ended */
	struct sigpending shared_pending;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int ptrace;
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *parent; /* the tracer, of a task that is traced */
	struct task_struct *group_leader;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	struct files_struct *files;
	struct signal_struct *signal;
	unsigned long jobctl;
	const struct cred *cred;
	unsigned long atomic_flags;
	char comm[16];
};

#pragma clang attribute pop

#define CLONE_THREAD 0x00010000
#define PFA_NO_NEW_PRIVS_BIT (1UL << 0) /* in atomic_flags */

/* arch: asm/thread_info.h; on x86 it is another bit from Linux 6.18 on. */
#if defined(__TARGET_ARCH_x86)
extern int LINUX_KERNEL_VERSION __kconfig; /* libbpf's, of the running kernel; nothing is read for it */
#define TIF_SIGPENDING (LINUX_KERNEL_VERSION < (6 << 16 | 18 << 8) ? 1UL << 2 : 1UL << 1)
#elif defined(__TARGET_ARCH_arm64)
#define TIF_SIGPENDING (1UL << 0)
#endif

/* uapi/linux/capability.h */
#define CAP_SYS_ADMIN 21
#define CAP_BPF 39

/* uapi/linux/time.h */
#define CLOCK_MONOTONIC 1

/* include/linux/errno.h: execve(2) begins anew as soon as a signal has been looked for. */
#define ERESTARTNOINTR 513
#define SIGCONT 18
#define SIGSTOP 19
#define JOBCTL_STOP_PENDING (1UL << 17) /* linux/sched/jobctl.h: all threads are to stop */

extern struct cgroup *bpf_cgroup_from_id(__u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
/* Loads through what it returns are 0 where there is nothing to load (6.2+). */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

#endif
