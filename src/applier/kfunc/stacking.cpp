// SPDX-License-Identifier: Apache-2.0
#include "applier/kfunc/stacking.hpp"

#include <bpf/libbpf.h>
#include <linux/landlock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "applier/programs.hpp"
#include "landlock/ruleset.hpp"
#include "stacking.skel.h"
#include "sys/bpf.hpp"

namespace applier {

namespace {

constexpr const char* attempt = "try whether the kernel stacks the rulesets of one exec";

[[noreturn]] void tryExec(int program, int ruleset)
{
    try {
        oll_take_ruleset context{ruleset, 0};
        sys::runProgram(program, context, attempt);
        execl("/proc/self/exe", "oci-landlock", "--version", nullptr);
    } catch (...) {
        // That nothing was tried is seen from what the programs have noted.
    }
    _exit(1);
}

}  // namespace

bool kernelStacks()
{
    const std::unique_ptr<stacking_bpf, decltype(&stacking_bpf__destroy)> skeleton(stacking_bpf__open(),
                                                                                   stacking_bpf__destroy);
    if (!skeleton) {
        throw sys::errnoError("open BPF object");
    }
    loadBpf("load BPF programs", [&skeleton] { return stacking_bpf__load(skeleton.get()); });
    const std::unique_ptr<bpf_link, decltype(&bpf_link__destroy)> link(bpf_program__attach(
                                                                           skeleton->progs.try_stacking),
                                                                       bpf_link__destroy);
    if (!link) {
        throw sys::errnoError("attach BPF program try_stacking");
    }
    const landlock::Ruleset ruleset({.handledFs = LANDLOCK_ACCESS_FS_READ_FILE});
    const pid_t child = fork();
    if (child < 0) {
        throw sys::errnoError("fork");
    }
    if (child == 0) {
        tryExec(bpf_program__fd(skeleton->progs.take_ruleset), ruleset.fd());
    }
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (skeleton->bss->applied > OLL_MAX_LAYERS) {
        return false;
    }
    if (skeleton->bss->applied > 0 && skeleton->bss->error == -E2BIG) {
        return true;
    }
    if (skeleton->bss->error != 0) {
        throw sys::errnoError(attempt, -skeleton->bss->error);
    }
    throw sys::Error(std::string(attempt) + ": the exec that was to tell did not come to it");
}

}  // namespace applier
