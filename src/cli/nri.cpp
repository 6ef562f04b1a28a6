// SPDX-License-Identifier: Apache-2.0
// `oci-landlock nri`: a plugin of an engine's Node Resource Interface.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/settings.hpp"
#include "nri/plugin.hpp"
#include "nri/presence.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"
#include "version.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;

constexpr const char* usualSocket = "/run/nri/nri.sock";
constexpr useconds_t pause = 100'000;  // between two looks for an engine: no container is to be created before us

sys::Fd socketAt(int number)
{
    struct stat st {};
    if (number < 0 || fstat(number, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        throw sys::Error(std::string(nriSocketVariable) + " names no socket");
    }
    return sys::Fd(number);
}

// The one that an engine has handed over with us; none: we were started by somebody else.
sys::Fd inheritedSocket()
{
    const char* value = std::getenv(nriSocketVariable);
    if (value == nullptr) {
        return {};
    }
    int number = -1;
    const char* end = value + std::strlen(value);
    const auto [stop, error] = std::from_chars(value, end, number);
    return socketAt(error == std::errc() && stop == end ? number : -1);
}

// Without one: nobody listens there yet. Throws sys::Error for what somebody has to mend.
sys::Fd connected(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        throw sys::Error(sys::printable(path) + ": longer than a socket's path can be");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) {
        throw sys::errnoError("socket");
    }
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        if (errno != ENOENT && errno != ECONNREFUSED) {
            throw sys::errnoError(sys::printable(path));
        }
        return {};
    }
    return socket;
}

// What a container would miss must not be missed when it is started: then it may be too late to say so.
bool everyContainer(const std::string& program)
{
    if (!sys::isProgram(program)) {
        throw sys::Error(program +
                         ", which the hooks of the container call, is not there, or not executable; install it");
    }
    return readSettings().baseline.has_value();
}

// What `doctor` sees of us. Where it cannot be written, containers get their sandboxes all the same.
class Visible {
public:
    Visible(std::string program, std::string socket)
        : what_{.version = versionString, .program = std::move(program), .socket = std::move(socket)}
    {
        trying([this] { presence_.emplace(); });
        show(false);
    }

    void show(bool connected)
    {
        what_.connected = connected;
        if (presence_ && what_ != shown_) {
            trying([this] {
                presence_->say(what_);
                shown_ = what_;
            });
        }
    }

private:
    static void trying(const std::function<void()>& action)
    {
        try {
            action();
        } catch (const sys::Error& error) {
            sys::tell(LOG_WARNING,
                      std::string("NRI: `oci-landlock doctor` does not see this plugin as it is: ") + error.what());
        }
    }

    nri::Running what_;
    nri::Running shown_;
    std::optional<nri::Presence> presence_;
};

// What fails again and again is said once.
class Service {
public:
    Service(nri::Options options, std::string path)
        : path_(std::move(path)),
          visible_(options.program, path_),
          plugin_(withConnected(std::move(options)))
    {
    }

    [[noreturn]] void run()
    {
        for (;; usleep(pause)) {
            try {
                sys::Fd socket = connected(path_);
                if (!socket) {
                    say(LOG_INFO, "waiting for an engine at " + sys::printable(path_));
                    continue;
                }
                plugin_.serve(std::move(socket));
                visible_.show(false);
                say(LOG_INFO, "the engine is gone");
            } catch (const sys::Error& error) {
                visible_.show(false);
                say(LOG_ERR, error.what());
                sleep(1);  // it would not take us any sooner, and systemd would start us ten times meanwhile
            }
        }
    }

private:
    nri::Options withConnected(nri::Options options)
    {
        options.connected = [this] {
            visible_.show(true);
            say(LOG_INFO, "connected to " + sys::printable(path_));
        };
        return options;
    }

    void say(int priority, const std::string& line)
    {
        if (line != said_) {
            said_ = line;
            sys::tell(priority, "NRI: " + line);
        }
    }

    std::string path_;
    std::string said_;
    Visible visible_;
    nri::Plugin plugin_;
};

}  // namespace

int runNri(const Arguments& arguments)
{
    po::options_description options("Options");
    options.add_options()("socket", po::value<std::string>()->value_name("PATH")->default_value(usualSocket),
                          "where the engine listens for plugins")(
        "index", po::value<std::string>()->value_name("NN")->default_value("90"),
        "two digits: where among its plugins the engine calls this one");
    const auto given = parseOptions("nri",
                                    "A plugin for the Node Resource Interface of containerd and CRI-O: adds the hooks "
                                    "to the containers that ask for a sandbox,\nand their pods' annotations, so that "
                                    "no configuration of the engine names them. Stays in the foreground.\nAn engine "
                                    "can start it by itself, as /opt/nri/plugins/90-oci-landlock.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    // Before an upgrade takes the file away that we were started from.
    const std::string program = sys::ownProgram();
    nri::Options plugin{.program = program,
                        .index = (*given)["index"].as<std::string>(),
                        .everyone = [&] { return everyContainer(program); },
                        .warn = [](const std::string& line) { sys::tell(LOG_WARNING, line); }};
    if (plugin.index.size() != 2 || plugin.index.find_first_not_of("0123456789") != std::string::npos) {
        throw UsageError("nri: --index takes two digits");
    }
    if (sys::Fd socket = inheritedSocket()) {
        Visible visible(program, "");
        plugin.configured = [&] { visible.show(true); };
        nri::Plugin(std::move(plugin)).serve(std::move(socket));
        return exitOk;
    }
    Service(std::move(plugin), (*given)["socket"].as<std::string>()).run();
}

}  // namespace cli
