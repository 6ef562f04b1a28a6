/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF sources of this folder need from the kernel, without vmlinux.h. */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Only the names matter: the verifier compares them with the kernel's types. */
struct linux_binprm {};
struct task_struct {
    int tgid;
} __attribute__((preserve_access_index));
struct cgroup {};
struct file {};
struct cred {};
struct bpf_landlock_ruleset {};

/* Without the typedef, clang 14 drops the tag of the pointer. */
typedef struct bpf_landlock_ruleset ruleset_t;

struct slot {
    ruleset_t __kptr* ruleset;
};

struct bpf_landlock_ruleset* bpf_landlock_ruleset_from_fd(int fd) __ksym __weak;
struct bpf_landlock_ruleset* bpf_landlock_ruleset_acquire(struct bpf_landlock_ruleset* ruleset) __ksym __weak;
void bpf_landlock_put_ruleset(struct bpf_landlock_ruleset* ruleset) __ksym __weak;
void bpf_landlock_put_ruleset_dtor(void* ruleset) __ksym __weak;
int bpf_landlock_restrict_binprm(struct linux_binprm* bprm, struct bpf_landlock_ruleset* ruleset,
                                 __u32 flags) __ksym __weak;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;
struct task_struct* bpf_task_from_pid(int pid) __ksym;
void bpf_task_release(struct task_struct* task) __ksym;

#define SLOTS 8

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SLOTS);
    __type(key, __u32);
    __type(value, struct slot);
} slots SEC(".maps");

/* Flags of bpf_landlock_restrict_binprm(). */
#define NO_NEW_PRIVS (1U << 4)

/* What the hooks return must be provably in this range. */
static __always_inline int clamp_errno(int error)
{
    if (error > 0) {
        return -1;
    }
    if (error < -4095) {
        return -4095;
    }
    return error;
}

/* A reference to the ruleset in a slot, or NULL; for sleepable programs. */
static __always_inline struct bpf_landlock_ruleset* borrow(__u32 index)
{
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return NULL;
    }
    struct bpf_landlock_ruleset* held = NULL;
    bpf_rcu_read_lock();
    struct bpf_landlock_ruleset* ruleset = slot->ruleset;
    if (ruleset) {
        held = bpf_landlock_ruleset_acquire(ruleset);
    }
    bpf_rcu_read_unlock();
    return held;
}

/* Puts a ruleset (or NULL) in a slot and releases what was there. */
static __always_inline int exchange(__u32 index, struct bpf_landlock_ruleset* ruleset)
{
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        if (ruleset) {
            bpf_landlock_put_ruleset(ruleset);
        }
        return -1;
    }
    struct bpf_landlock_ruleset* old = bpf_kptr_xchg(&slot->ruleset, ruleset);
    if (!old) {
        return 0;
    }
    bpf_landlock_put_ruleset(old);
    return 1;
}
