// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "cli/commands.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "version.hpp"

namespace {

struct Command {
    const char* name;
    int (*run)(const cli::Arguments&);
    const char* summary;
};

constexpr std::array commands = {
    Command{"hook", cli::runHook, "called by the container runtime"},
    Command{"check", cli::runCheck, "check profiles"},
    Command{"run", cli::runRun, "try a profile on a command of this machine"},
    Command{"schema", cli::runSchema, "print the JSON Schema of profiles"},
    Command{"load", cli::runLoad, "load the selector on this node"},
    Command{"unload", cli::runUnload, "take it away again"},
    Command{"status", cli::runStatus, "show what is loaded and which containers depend on it"},
    Command{"inspect", cli::runInspect, "show the policy of a container as it is enforced"},
    Command{"ps", cli::runPs, "show which processes of containers are restricted"},
    Command{"events", cli::runEvents, "show what happens to containers, as it happens"},
    Command{"learn", cli::runLearn, "make a profile of what a program does"},
    Command{"metrics", cli::runMetrics, "print what status knows for monitoring"},
    Command{"doctor", cli::runDoctor, "find what is wrong on this node, and say what mends it"},
    Command{"node", cli::runNode, "install on a node of Kubernetes, from a pod"},
    Command{"nri", cli::runNri, "give containers their hooks, as a plugin of containerd or CRI-O"},
    Command{"supervise", cli::runSupervise, "run the supervisor, where the kernel lacks the bridge"},
};

void printHelp()
{
    std::puts(
        "Usage: oci-landlock COMMAND [ARGUMENT]...\n\n"
        "Gives containers a Landlock sandbox that their annotations ask for.\n\nCommands:");
    for (const Command& command : commands) {
        std::printf("  %-9s %s\n", command.name, command.summary);
    }
    std::puts(
        "\n`oci-landlock COMMAND --help` says more about one; so do oci-landlock(1) and oci-landlock-profile(5).\n"
        "Exit status: 0 success, 1 failure, 2 wrong usage.");
}

int run(const cli::Arguments& words)
{
    // An engine starts its plugins without words, by the names of files in a directory of its own.
    if (words.empty() && std::getenv(cli::nriSocketVariable) != nullptr) {
        return cli::runNri(words);
    }
    if (words.empty()) {
        throw cli::UsageError("name a command; `oci-landlock --help` lists them");
    }
    if (words[0] == "--help" || words[0] == "-h") {
        printHelp();
        return cli::exitOk;
    }
    if (words[0] == "--version") {
        std::printf("oci-landlock %s\n", versionString);
        return cli::exitOk;
    }
    for (const Command& command : commands) {
        if (words[0] == command.name) {
            return command.run({words.begin() + 1, words.end()});
        }
    }
    throw cli::UsageError("unknown command " + sys::printable(words[0]) + "; `oci-landlock --help` lists them");
}

}  // namespace

int main(int argc, char** argv)
{
    if (!sys::openStandardDescriptors()) {
        return cli::exitFailed;
    }
    try {
        const int status = run({argv + (argc > 0 ? 1 : 0), argv + argc});
        sys::flushOutput();
        return status;
    } catch (const cli::UsageError& error) {
        std::fprintf(stderr, "oci-landlock: %s\n", error.what());
        return cli::exitUsage;
    } catch (...) {
        std::fprintf(stderr, "oci-landlock: %s\n", sys::messageOf(std::current_exception()).c_str());
        return cli::exitFailed;
    }
}
