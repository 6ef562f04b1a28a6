// SPDX-License-Identifier: Apache-2.0
// What the verifier accepts and refuses of the bridge's kfuncs (rules.bpf.c).
#include <bpf/libbpf.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "harness.hpp"
#include "tests.hpp"

namespace {

struct Rule {
    const char* program;
    const char* refusal;          // part of the verifier's message, nullptr: accepted
    const char* newer = nullptr;  // the same on Linux 7.x, where it has other words for it
};

constexpr const char* notAllowed = "is not allowed";
constexpr const char* noOther = "Pass a verifier-tracked pointer to the expected kernel object type";
constexpr const char* noNull = "Add a NULL check and call the kfunc only on the non-NULL path";
constexpr const char* owned = "Pass the resource-owning pointer returned by the matching acquire kfunc";
constexpr const char* disabledHook = "points to disabled hook";

constexpr Rule rules[] = {
    {"ok_store", nullptr},
    {"ok_revoke_syscall", nullptr},
    {"ok_prepare_timer", nullptr},
    {"ok_restrict_for_exec", nullptr},
    {"ok_restrict_from_file", nullptr},
    {"ok_acquire_nonsleepable", nullptr},
    {"ok_revoke_lsm", nullptr},
    {"ok_acquire_syscall", nullptr},
    {"ok_empty_later_tp_btf", nullptr},
    {"ok_empty_later_fentry", nullptr},
    {"ok_read_fields", nullptr},
    {"ok_other_kfunc", nullptr},
    {"bad_restrict_check_security", notAllowed},
    {"bad_restrict_committed_creds", notAllowed},
    {"bad_restrict_nonsleepable", "program must be sleepable to call sleepable kfunc"},
    {"bad_restrict_lsm_cgroup", notAllowed},
    {"bad_restrict_fentry", notAllowed},
    {"bad_from_fd_lsm", notAllowed},
    {"bad_from_fd_fentry", notAllowed},
    {"bad_acquire_tp_btf", notAllowed},
    {"bad_put_tp_btf", notAllowed},
    {"bad_put_fentry", notAllowed},
    {"bad_restrict_syscall", notAllowed},
    {"bad_hook_get", disabledHook},
    {"bad_hook_put", disabledHook},
    {"bad_hook_from_fd", disabledHook},
    {"bad_hook_apply", disabledHook},
    {"bad_put_xdp", notAllowed},
    {"bad_call_dtor", notAllowed, "must point to scalar, or struct with scalar"},
    {"bad_prepare_timer_tp_btf", notAllowed},
    {"bad_restrict_wrong_type", "but R1 has a pointer to STRUCT task_struct"},
    {"bad_restrict_wrong_binprm", "but R2 has a pointer to STRUCT task_struct"},
    {"bad_restrict_not_acquired", "R1 must be referenced or trusted"},
    {"bad_restrict_in_rcu", "kernel func bpf_lsm_policy_apply_bprm is sleepable within"},
    {"bad_restrict_forged", "must point to scalar, or struct with scalar", noOther},
    {"bad_acquire_forged", "must point to scalar, or struct with scalar", noOther},
    {"bad_write_fields", "only read is supported"},
    {"bad_restrict_null", "Possibly NULL pointer passed to trusted arg0", noNull},
    {"bad_restrict_unchecked", "Possibly NULL pointer passed to trusted arg0", noNull},
    {"bad_acquire_outside_rcu", "R1 must be a rcu pointer"},
    {"bad_put_not_owned", "R1 must be referenced or trusted", owned},
    {"bad_leak_acquired", "Unreleased reference"},
    {"bad_leak_from_fd", "Unreleased reference"},
    {"bad_leak_exchanged", "Unreleased reference"},
    {"bad_put_twice", "arg#0 pointer type STRUCT lsm_policy_object must point to scalar", owned},
    {"bad_restrict_after_put", "arg#0 pointer type STRUCT lsm_policy_object must point to scalar", noOther},
    {"bad_store_directly", "store to referenced kptr disallowed"},
};

int quiet(enum libbpf_print_level, const char*, va_list)
{
    return 0;
}

}  // namespace

int testRules(const char* path)
{
    libbpf_set_print(quiet);
    std::vector<char> log(1 << 20);
    for (const Rule& rule : rules) {
        bpf_object* object = bpf_object__open_file(path, nullptr);
        if (object == nullptr) {
            die("open");
        }
        bpf_program* program;
        bpf_object__for_each_program(program, object)
        {
            const bool chosen = std::strcmp(bpf_program__name(program), rule.program) == 0;
            bpf_program__set_autoload(program, chosen);
            if (chosen) {
                log[0] = '\0';
                bpf_program__set_log_buf(program, log.data(), log.size());
                bpf_program__set_log_level(program, 1);
            }
        }
        program = bpf_object__find_program_by_name(object, rule.program);
        const bool loaded = bpf_object__load(object) == 0;
        bool good = loaded && program != nullptr;
        std::string what = std::string(rule.program) + ": accepted";
        if (rule.refusal != nullptr) {
            good = !loaded && (std::strstr(log.data(), rule.refusal) != nullptr ||
                               (rule.newer != nullptr && std::strstr(log.data(), rule.newer) != nullptr));
            what = std::string(rule.program) + ": refused, \"" + rule.refusal + "\"";
        }
        check(good, what);
        if (!good) {
            // The reason is at the end.
            const std::string text = log.data();
            std::printf("# loaded %d\n%s\n", loaded, text.substr(text.size() > 1500 ? text.size() - 1500 : 0).c_str());
        }
        bpf_object__close(object);
    }
    return finish();
}
