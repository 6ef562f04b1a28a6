// SPDX-License-Identifier: Apache-2.0
// Counts the rulesets in the slots of a node that is loaded (held.bpf.c).
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstdint>
#include <cstdio>

#include "harness.hpp"
#include "tests.hpp"

int countHeld(const char* path, const char* pinnedSlots)
{
    bpf_object* object = bpf_object__open_file(path, nullptr);
    const int slots = bpf_obj_get(pinnedSlots);
    if (object == nullptr || slots < 0 ||
        bpf_map__reuse_fd(bpf_object__find_map_by_name(object, "slots"), slots) != 0 || bpf_object__load(object) != 0) {
        die("load held.bpf.o");
    }
    std::uint64_t count = 0;
    // It is written back there.
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &count, .ctx_size_in = sizeof count);
    if (bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object, "held")), &options) != 0) {
        die("run");
    }
    std::printf("%llu\n", static_cast<unsigned long long>(count));
    return 0;
}
