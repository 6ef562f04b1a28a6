// SPDX-License-Identifier: Apache-2.0
// Execs on all processors, while slots are filled, swapped and emptied (behaviour.bpf.c).
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>

#include "harness.hpp"
#include "loaded_bridge.hpp"
#include "program.hpp"
#include "tests.hpp"

int testStorm(const char* path, int seconds)
{
    makeFiles();
    LoadedBridge bridge(path);
    bridge.variable<int>("targets_storm") = 1;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    constexpr int workers = 4;
    std::array<pid_t, workers + 1> children{};
    int results[2];
    if (pipe(results) != 0) {
        die("pipe");
    }
    struct Count {
        long execs, restricted, free, bad;
    };
    for (int i = 0; i <= workers; i++) {
        children[i] = fork();
        if (children[i] != 0) {
            continue;
        }
        prctl(PR_SET_NAME, "storm", 0, 0, 0);
        Count count{};
        while (std::chrono::steady_clock::now() < end) {
            if (i == workers) {
                // Slots also change from a second process, without any order.
                for (unsigned slot = 0; slot < 8; slot++) {
                    const int fd = usualRuleset();
                    bridge.store(fd, slot);
                    close(fd);
                    bridge.revoke((slot * 5 + 3) % 8);
                }
                usleep(500);
                continue;
            }
            const pid_t child = fork();
            if (child == 0) {
                execl(probe, probe, "state", nullptr);
                _exit(execFailed);
            }
            int status = 0;
            waitpid(child, &status, 0);
            count.execs++;
            switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
                case isRoot | restricted | noNewPrivs:
                    count.restricted++;
                    break;
                case isRoot:
                    count.free++;
                    break;
                default:
                    count.bad++;
            }
        }
        if (write(results[1], &count, sizeof(count)) != sizeof(count)) {
            _exit(1);
        }
        _exit(0);
    }
    long swaps = 0;
    int fds[8];
    for (int& fd : fds) {
        fd = usualRuleset();
    }
    while (std::chrono::steady_clock::now() < end) {
        for (unsigned slot = 0; slot < 8; slot++, swaps++) {
            bridge.store(fds[(slot + swaps) % 8], slot);
            if (swaps % 3 == 0) {
                bridge.revoke(slot);
            }
        }
        usleep(200);
    }
    Count total{};
    for (const pid_t child : children) {
        Count count{};
        if (read(results[0], &count, sizeof(count)) != sizeof(count)) {
            die("read");
        }
        total.execs += count.execs;
        total.restricted += count.restricted;
        total.free += count.free;
        total.bad += count.bad;
        waitpid(child, nullptr, 0);
    }
    const long borrowed = bridge.variable<long>("borrowed");
    const long empty = bridge.variable<long>("empty");
    std::printf("# %ld execs: %ld restricted, %ld free, %ld neither; %ld borrowed, %ld empty; %ld swaps\n", total.execs,
                total.restricted, total.free, total.bad, borrowed, empty, swaps);
    check(total.bad == 0, "each program is restricted with no_new_privs, or not at all");
    check(total.restricted == borrowed && total.free == empty, "exactly those whose slot was full");
    check(total.restricted > 0 && total.free > 0, "both happened");
    return finish();
}
