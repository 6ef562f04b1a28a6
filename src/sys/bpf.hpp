// SPDX-License-Identifier: Apache-2.0
// bpf(2), with our errors.
#pragma once

#include <bpf/bpf.h>

#include <string>

#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace sys {

// The map or program pinned at `path`. Throws Error.
inline Fd openPin(const std::string& path)
{
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) {
        throw errnoError(path);
    }
    return fd;
}

// Runs a program of type BPF_PROG_TYPE_SYSCALL, which reads and writes `context`. Throws Error.
template <typename Context>
void runProgram(int program, Context& context, const char* what)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof context);
    if (bpf_prog_test_run_opts(program, &options) != 0) {
        throw errnoError(what);
    }
}

}  // namespace sys
