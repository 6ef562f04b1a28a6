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
struct lsm_policy_object {
    const void* owner;
    __u64 lsmid;
    __u32 type;
} __attribute__((preserve_access_index));

/* Without the typedef, clang 14 drops the tag of the pointer. */
typedef struct lsm_policy_object ruleset_t;

struct slot {
    ruleset_t __kptr* ruleset;
    struct bpf_timer timer;
};

struct lsm_policy_object* bpf_lsm_policy_from_fd(int fd, __u32 flags) __ksym __weak;
struct lsm_policy_object* bpf_lsm_policy_acquire(struct lsm_policy_object* obj) __ksym __weak;
void bpf_lsm_policy_release(struct lsm_policy_object* obj) __ksym __weak;
void bpf_lsm_policy_release_dtor(void* obj) __ksym __weak;
int bpf_lsm_policy_apply_bprm(struct lsm_policy_object* obj, struct linux_binprm* bprm, __u32 flags) __ksym __weak;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;
struct task_struct* bpf_task_from_pid(int pid) __ksym;
void bpf_task_release(struct task_struct* task) __ksym;

#define CLOCK_MONOTONIC 1

#define SLOTS 8

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SLOTS);
    __type(key, __u32);
    __type(value, struct slot);
} slots SEC(".maps");

/* Flags of bpf_lsm_policy_apply_bprm(). */
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
static __always_inline struct lsm_policy_object* borrow(__u32 index)
{
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return NULL;
    }
    struct lsm_policy_object* held = NULL;
    bpf_rcu_read_lock();
    struct lsm_policy_object* ruleset = slot->ruleset;
    if (ruleset) {
        held = bpf_lsm_policy_acquire(ruleset);
    }
    bpf_rcu_read_unlock();
    return held;
}

/* Puts a ruleset (or NULL) in a slot and releases what was there. */
static __always_inline int exchange(__u32 index, struct lsm_policy_object* ruleset)
{
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        if (ruleset) {
            bpf_lsm_policy_release(ruleset);
        }
        return -1;
    }
    struct lsm_policy_object* old = bpf_kptr_xchg(&slot->ruleset, ruleset);
    if (!old) {
        return 0;
    }
    bpf_lsm_policy_release(old);
    return 1;
}

int emptied = 0; /* slots, by their timers */

static int on_timer(void* map, __u32* index, struct slot* slot)
{
    struct lsm_policy_object* old = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (old) {
        bpf_lsm_policy_release(old);
        __sync_fetch_and_add(&emptied, 1);
    }
    return 0;
}

/* From a program that may release rulesets, so that empty_later() can be called by any. */
static __always_inline long prepare_timer(__u32 index)
{
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return -1;
    }
    bpf_timer_init(&slot->timer, &slots, CLOCK_MONOTONIC); /* or it was before */
    return bpf_timer_set_callback(&slot->timer, on_timer);
}

/* What a program of any type can do, without the kfuncs. */
static __always_inline long empty_later(__u32 index)
{
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    return slot ? bpf_timer_start(&slot->timer, 0, 0) : -1;
}
