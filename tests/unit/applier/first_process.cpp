// SPDX-License-Identifier: Apache-2.0
// The first process of the emulated machine that run-aarch64 starts: runs the tests that lie beside it, says with which
// exit status they ended, and switches the machine off.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>

int main()
{
    constexpr struct {
        const char* kind;
        const char* place;
    } mounts[] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}};
    for (const auto& [kind, place] : mounts) {
        mkdir(place, 0755);
        if (mount(kind, place, kind, 0, nullptr) != 0) {
            std::perror(place);
        }
    }
    chmod("/tmp", 01777);
    int status = -1;
    const pid_t tests = fork();
    if (tests == 0) {
        execl("/tests/unit", "/tests/unit", "--gtest_brief=1", "--gtest_color=no", nullptr);
        std::perror("/tests/unit");
        _exit(127);
    }
    for (pid_t ended = 0; ended != tests;) {
        ended = wait(&status);
    }
    std::printf("exit status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    std::fflush(stdout);
    tcdrain(STDOUT_FILENO);
    sync();
    reboot(RB_POWER_OFF);
}
