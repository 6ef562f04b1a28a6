// SPDX-License-Identifier: Apache-2.0
// The plugin against an engine that is imitated here, by the messages as protobuf has them: a real containerd is in
// tests/vm/test_nri.py.
#include "nri/plugin.hpp"

#include <endian.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <thread>

#include "temporary.hpp"

namespace {

using nri::Annotations;
using protozero::pbf_reader;
using protozero::pbf_writer;

constexpr const char* nriProgram = "/usr/bin/oci-landlock";
constexpr const char* profileKey = "io.landlock.profile";

std::string networkOrder(std::uint32_t value)
{
    value = htobe32(value);
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::uint32_t hostOrder(const std::string& text, std::size_t at)
{
    std::uint32_t value = 0;
    std::memcpy(&value, text.data() + at, sizeof(value));
    return be32toh(value);
}

std::string piece(std::uint32_t direction, const std::string& text)
{
    return networkOrder(direction) + networkOrder(static_cast<std::uint32_t>(text.size())) + text;
}

std::string ttrpc(std::uint32_t stream, char type, const std::string& text)
{
    return networkOrder(static_cast<std::uint32_t>(text.size())) + networkOrder(stream) + type + '\0' + text;
}

std::string callOf(const std::string& method, const std::string& payload)
{
    std::string text;
    pbf_writer writer(text);
    writer.add_string(1, "nri.pkg.api.v1alpha1.Plugin");
    writer.add_string(2, method);
    writer.add_string(3, payload);
    return text;
}

void addAnnotations(pbf_writer& out, const Annotations& annotations)
{
    for (const auto& [key, value] : annotations) {
        pbf_writer one(out, 6);
        one.add_string(1, key);
        one.add_string(2, value);
    }
}

void addPod(pbf_writer& out, std::uint32_t field, const Annotations& annotations)
{
    pbf_writer pod(out, field);
    pod.add_string(1, "p1");
    pod.add_string(2, "shop");
    pod.add_string(4, "default");
    addAnnotations(pod, annotations);
    pod.add_string(7, "a handler that nobody reads");
}

void addContainer(pbf_writer& out, std::uint32_t field, const std::string& name, const Annotations& annotations = {})
{
    pbf_writer container(out, field);
    container.add_string(1, "id-" + name);
    container.add_string(2, "p1");
    container.add_string(3, name);
    addAnnotations(container, annotations);
    container.add_int64(14, 12345);
}

std::string containerCall(const Annotations& ofPod, const std::string& name, const Annotations& own = {})
{
    std::string text;
    pbf_writer writer(text);
    addPod(writer, 1, ofPod);
    if (!name.empty()) {
        addContainer(writer, 2, name, own);
    }
    return text;
}

std::string changeOf(int event, const Annotations& ofPod, const std::string& name = "")
{
    std::string text;
    pbf_writer writer(text);
    writer.add_int32(1, event);
    addPod(writer, 2, ofPod);
    if (!name.empty()) {
        addContainer(writer, 3, name);
    }
    return text;
}

class Engine {
public:
    Engine()
    {
        std::array<int, 2> ends{};
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        own_ = sys::Fd(ends[0]);
        thread_ = std::thread([this, theirs = ends[1]] {
            nri::Plugin plugin({.program = nriProgram,
                                .everyone =
                                    [this] {
                                        if (everyoneFails) {
                                            throw sys::Error("settings are broken");
                                        }
                                        return everyone;
                                    },
                                .warn = [this](const std::string& line) { warnings.push_back(line); },
                                .configured = [this] { ++configured; },
                                .connected = [this] { ++connected; }});
            try {
                plugin.serve(sys::Fd(theirs));
            } catch (const sys::Error& error) {
                failure = error.what();
            }
        });
        const auto [direction, type, stream, text] = receive();
        EXPECT_EQ(direction, 2u);
        EXPECT_EQ(type, 1);
        registered = text;
        send(piece(2, ttrpc(stream, 2, "")));
    }

    ~Engine() { finish(); }

    void finish()
    {
        own_.reset();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    void send(const std::string& bytes) const
    {
        ASSERT_EQ(::send(own_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    struct Message {
        std::uint32_t direction;
        char type;
        std::uint32_t stream;
        std::string text;
    };

    Message receive() const
    {
        Message message{};
        std::string whole;
        do {
            const std::string header = read(8);
            message.direction = hostOrder(header, 0);
            EXPECT_LE(hostOrder(header, 4), 4096u);
            whole += read(hostOrder(header, 4));
        } while (whole.size() >= 10 && whole.size() < 10 + hostOrder(whole, 0));
        message.stream = hostOrder(whole, 4);
        message.type = whole[8];
        message.text = whole.substr(10);
        return message;
    }

    // The answer's payload, or "refused: " and why.
    std::string ask(const std::string& method, const std::string& payload)
    {
        stream_ += 2;
        send(piece(1, ttrpc(stream_, 1, callOf(method, payload))));
        const Message message = receive();
        EXPECT_EQ(message.stream, stream_);
        std::string answer;
        for (pbf_reader reader(message.text); reader.next();) {
            if (reader.tag() == 1) {
                for (pbf_reader status = reader.get_message(); status.next();) {
                    if (status.tag() == 2) {
                        return "refused: " + status.get_string();
                    }
                    status.skip();
                }
            } else {
                answer = reader.get_string();
            }
        }
        return answer;
    }

    std::string registered;
    std::vector<std::string> warnings;  // to be read after finish()
    std::string failure;
    int configured = 0;
    int connected = 0;
    bool everyone = false;
    bool everyoneFails = false;

private:
    std::string read(std::size_t size) const
    {
        std::string text(size, '\0');
        EXPECT_EQ(recv(own_.get(), text.data(), size, MSG_WAITALL), static_cast<ssize_t>(size));
        return text;
    }

    sys::Fd own_;
    std::thread thread_;
    std::uint32_t stream_ = 1;
};

nri::Adjustment hooksWith(const Annotations& annotations)
{
    nri::Adjustment wanted{.annotations = annotations, .hookTimeout = 60};
    for (const char* stage : {"createRuntime", "poststart", "poststop"}) {
        wanted.hooks[stage] = {nriProgram, {"oci-landlock-nri", "hook", stage}};
    }
    return wanted;
}

nri::Happening creation(const Annotations& ofPod, const Annotations& own)
{
    return {.event = nri::Event::createContainer,
            .pod = {.id = "p", .name = "shop", .nameSpace = "default", .annotations = ofPod},
            .container = {.id = "c", .podId = "p", .name = "web", .annotations = own}};
}

TEST(NriTest, WhoAsksGetsHooksAndTheAnnotationsOfThePod)
{
    const auto adjustment = [](const Annotations& ofPod, const Annotations& own, bool everyone = false) {
        return nri::adjustmentFor(creation(ofPod, own), nriProgram, everyone);
    };
    EXPECT_EQ(adjustment({}, {}), std::nullopt);
    EXPECT_EQ(adjustment({}, {}, true), hooksWith({}));
    EXPECT_EQ(adjustment({{profileKey, "web"}}, {}), hooksWith({{profileKey, "web"}}));
    // What the engine shows of it need not be in its bundle.
    EXPECT_EQ(adjustment({}, {{profileKey, "web"}}), hooksWith({{profileKey, "web"}}));
    // A container's own counts before its pod's.
    EXPECT_EQ(adjustment({{profileKey, "pod"}, {"io.landlock.digest", "d"}}, {{profileKey, "own"}}),
              hooksWith({{profileKey, "own"}, {"io.landlock.digest", "d"}}));
}

TEST(NriTest, HooksThatAreThereAreNotAddedAgain)
{
    nri::Happening one = creation({{profileKey, "web"}}, {});
    one.container.createRuntime = {{"/bin/other", {}}, {nriProgram, {"oci-landlock", "hook", "createRuntime"}}};
    EXPECT_EQ(nri::adjustmentFor(one, nriProgram, false), (nri::Adjustment{.annotations = {{profileKey, "web"}}}));
    // Its own counts first here, too: the handler may not let it pass.
    one.container.annotations = {{profileKey, "own"}, {"io.landlock.digest", "d"}};
    EXPECT_EQ(nri::adjustmentFor(one, nriProgram, false), (nri::Adjustment{.annotations = one.container.annotations}));
    // Another plugin of ours has written it all, and two may not write the same.
    one.container.createRuntime = {{nriProgram, {"oci-landlock-nri", "hook", "createRuntime"}}};
    EXPECT_EQ(nri::adjustmentFor(one, nriProgram, false), std::nullopt);
    EXPECT_EQ(nri::adjustmentFor(one, nriProgram, true), std::nullopt);
    one.container.annotations.clear();
    // Of another program, or for another stage, they are others.
    one.container.createRuntime = {{"/opt/oci-landlock", {"oci-landlock", "hook", "createRuntime"}}};
    EXPECT_EQ(nri::adjustmentFor(one, nriProgram, false), hooksWith({{profileKey, "web"}}));
}

TEST(NriTest, RegistersAndSubscribes)
{
    Engine engine;
    pbf_reader call(engine.registered);
    std::vector<std::string> parts;
    while (call.next()) {
        parts.push_back(call.get_string());
    }
    ASSERT_EQ(parts.size(), 3u);
    EXPECT_EQ(parts[0], "nri.pkg.api.v1alpha1.Runtime");
    EXPECT_EQ(parts[1], "RegisterPlugin");
    EXPECT_EQ(parts[2], std::string("\x0a\x0coci-landlock\x12\x02"
                                    "90"));
    pbf_reader answer(engine.ask("Configure", ""));
    // Start, stop and removal of pods; creation, after it, and removal.
    EXPECT_EQ(engine.ask("Configure", ""), std::string("\x10\x9f\x08"));
    engine.finish();
    EXPECT_EQ(engine.configured, 2);
    EXPECT_EQ(engine.connected, 0);
}

TEST(NriTest, AnswersACreation)
{
    Engine engine;
    EXPECT_EQ(engine.ask("CreateContainer", containerCall({}, "web", {{"other.io/profile", "x"}})), "");
    const std::string answer = engine.ask("CreateContainer", containerCall({{profileKey, "web"}}, "web"));
    EXPECT_EQ(answer, nri::adjusted(hooksWith({{profileKey, "web"}})));
    // As protobuf has it: an adjustment, in it the annotation and the hooks, in them the first stage's.
    pbf_reader reader(answer);
    ASSERT_TRUE(reader.next(1));
    pbf_reader adjustment = reader.get_message();
    ASSERT_TRUE(adjustment.next(2));
    adjustment.skip();
    ASSERT_TRUE(adjustment.next(5));
    pbf_reader stages = adjustment.get_message();
    ASSERT_TRUE(stages.next(2));
    pbf_reader hook = stages.get_message();
    ASSERT_TRUE(hook.next(1));
    EXPECT_EQ(hook.get_string(), nriProgram);
    ASSERT_TRUE(hook.next(4));
    pbf_reader timeout = hook.get_message();
    ASSERT_TRUE(timeout.next(1));
    EXPECT_EQ(timeout.get_int64(), 60);
}

TEST(NriTest, LargeMessagesComeInPieces)
{
    Engine engine;
    const std::string large(100'000, 'x');
    EXPECT_EQ(engine.ask("CreateContainer", containerCall({{profileKey, large}}, "web")),
              nri::adjusted(hooksWith({{profileKey, large}})));
    // A message whose header is in two pieces.
    const std::string message = ttrpc(1001, 1, callOf("Shutdown", ""));
    engine.send(piece(1, message.substr(0, 3)) + piece(1, "") + piece(1, message.substr(3)));
    EXPECT_EQ(engine.receive().stream, 1001u);
}

TEST(NriTest, RefusesWhatCannotBeDone)
{
    Engine engine;
    engine.everyoneFails = true;
    EXPECT_EQ(engine.ask("CreateContainer", containerCall({{profileKey, "web"}}, "web")),
              "refused: oci-landlock: settings are broken");
    // Also one that asks for nothing: whether it is to have the node's baseline is not known.
    EXPECT_EQ(engine.ask("CreateContainer", containerCall({}, "web")), "refused: oci-landlock: settings are broken");
    engine.everyoneFails = false;
    EXPECT_EQ(engine.ask("CreateContainer", "\x0a\x7f"), "refused: oci-landlock: a message of NRI is broken");
    EXPECT_EQ(engine.ask("CreateContainer", std::string("\x08\x01", 2)),
              "refused: oci-landlock: a field is no message");
    EXPECT_EQ(engine.ask("Destroy\n", ""), "refused: oci-landlock: no such call: Destroy\\x0a");
}

TEST(NriTest, TellsOfAnnotationsThatNamedNobody)
{
    const Annotations named = {{"io.landlock.profile/web", "a"}, {"io.landlock.profile/w\nb", "b"}};
    const std::string line =
        "pod default/shop: annotation io.landlock.profile/w\\x0ab named none of its containers that were created";
    for (const bool older : {true, false}) {
        Engine engine;
        engine.ask(older ? "StateChange" : "RunPodSandbox", older ? changeOf(1, named) : containerCall(named, ""));
        engine.ask("CreateContainer", containerCall(named, "web"));
        for (int i = 0; i < 2; ++i) {
            engine.ask(older ? "StateChange" : "StopPodSandbox", older ? changeOf(2, named) : containerCall(named, ""));
        }
        engine.finish();
        EXPECT_EQ(engine.warnings, std::vector<std::string>{line});
        EXPECT_EQ(engine.failure, "");
    }
    Annotations many;
    for (int i = 0; i < 1000; ++i) {
        many.emplace("io.landlock.profile/" + std::to_string(i), "a");
    }
    Engine engine;
    engine.ask("RunPodSandbox", containerCall(many, ""));
    engine.ask("CreateContainer", containerCall(many, "web"));
    engine.ask("StopPodSandbox", containerCall(many, ""));
    engine.finish();
    ASSERT_EQ(engine.warnings.size(), 11u);
    EXPECT_EQ(engine.warnings[10], "… and 990 more");
}

TEST(NriTest, DoesNotKnowAllContainersOfAPodFromBefore)
{
    Engine engine;
    const Annotations named = {{"io.landlock.profile/first", "a"}, {"io.landlock.profile/web", "b"}};
    std::string known;
    {
        pbf_writer writer(known);
        addPod(writer, 1, named);
    }
    // "first" has ended and is gone.
    engine.ask("Synchronize", known);
    engine.ask("CreateContainer", containerCall(named, "web"));
    engine.ask("StopPodSandbox", containerCall(named, ""));
    engine.finish();
    EXPECT_EQ(engine.warnings, std::vector<std::string>{});
    EXPECT_EQ(engine.failure, "");
}

TEST(NriTest, TellsOfContainersThatWereNotCreated)
{
    Engine engine;
    const Annotations asking = {{profileKey, "web"}};
    engine.ask("CreateContainer", containerCall(asking, "made"));
    engine.ask("StateChange", changeOf(5, asking, "made"));
    engine.ask("StateChange", changeOf(11, asking, "made"));
    engine.ask("CreateContainer", containerCall({}, "free"));
    engine.ask("StateChange", changeOf(11, {}, "free"));
    engine.ask("CreateContainer", containerCall(asking, "refused"));
    engine.ask("RemoveContainer", containerCall(asking, "refused"));
    engine.finish();
    ASSERT_EQ(engine.warnings.size(), 1u);
    EXPECT_TRUE(engine.warnings[0].starts_with("pod default/shop, container refused: was not created"));
}

TEST(NriTest, TellsOfThoseThatHadAsked)
{
    Engine engine;
    std::string known;
    {
        pbf_writer writer(known);
        addPod(writer, 1, {{profileKey, "web"}});
        for (int i = 0; i < 12; ++i) {
            addContainer(writer, 2, "c" + std::to_string(i));
        }
        writer.add_bool(3, true);
    }
    // More will come.
    EXPECT_EQ(engine.ask("Synchronize", known), std::string("\x10\x01"));
    EXPECT_EQ(engine.ask("Synchronize", ""), "");
    engine.finish();
    EXPECT_EQ(engine.configured, 0);
    EXPECT_EQ(engine.connected, 1);
    ASSERT_EQ(engine.warnings.size(), 11u);
    EXPECT_TRUE(engine.warnings[0].starts_with("pod default/shop, container c0: asks for a sandbox"));
    EXPECT_EQ(engine.warnings[10], "… and 2 more");
}

TEST(NriTest, TellsOfThoseWhosePodCameInAPartBefore)
{
    Engine engine;
    const auto part = [](bool pods, const std::string& name, bool more) {
        std::string known;
        pbf_writer writer(known);
        if (pods) {
            addPod(writer, 1, {{profileKey, "web"}});
        }
        addContainer(writer, 2, name);
        writer.add_bool(3, more);
        return known;
    };
    engine.ask("Synchronize", part(true, "first", true));
    engine.ask("Synchronize", part(false, "second", true));
    engine.ask("Synchronize", part(false, "third", false));
    // Another time, which knows of no pod.
    engine.ask("Synchronize", part(false, "fourth", false));
    engine.finish();
    ASSERT_EQ(engine.warnings.size(), 3u);
    EXPECT_TRUE(engine.warnings[1].starts_with("pod default/shop, container second: asks for a sandbox"));
    EXPECT_TRUE(engine.warnings[2].starts_with("pod default/shop, container third: asks for a sandbox"));
}

TEST(NriTest, EndsWithWhatIsNoNri)
{
    const auto failureAfter = [](const std::string& bytes) {
        Engine engine;
        engine.send(bytes);
        engine.finish();
        return engine.failure;
    };
    EXPECT_EQ(failureAfter(""), "");
    EXPECT_EQ(failureAfter(piece(3, "")), "what came is not NRI's");
    EXPECT_EQ(failureAfter(networkOrder(1) + networkOrder(0xffffffff)), "what came is not NRI's");
    EXPECT_EQ(failureAfter(piece(1, networkOrder(0x7fffffff) + "123456")),
              "a message of NRI is larger than ttrpc allows");
    EXPECT_EQ(failureAfter(piece(1, ttrpc(3, 2, ""))), "a message of NRI is neither a call nor an answer");
    EXPECT_EQ(failureAfter(piece(1, ttrpc(3, 1, "\x0a\x7f"))), "a message of NRI is broken");
    EXPECT_EQ(failureAfter(networkOrder(1) + networkOrder(5) + "ab"), "NRI's connection has ended within a message");
    std::string refusal;
    {
        pbf_writer writer(refusal);
        pbf_writer status(writer, 1);
        status.add_int32(1, 7);
        status.add_string(2, "not you\n");
    }
    EXPECT_EQ(failureAfter(piece(2, ttrpc(1, 2, refusal))), "the engine does not take the plugin: not you\\x0a");
}

}  // namespace
