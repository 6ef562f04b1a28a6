// SPDX-License-Identifier: Apache-2.0
#include "oci/bundle.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "temporary.hpp"

namespace {

using Annotations = std::map<std::string, std::string>;

std::string config(const std::string& members)
{
    return R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},)" + members + "}";
}

std::string annotated(const std::string& annotations)
{
    return config(R"("annotations":{)" + annotations + "}");
}

TEST(Bundle, ReadsWhatConcernsUs)
{
    const oci::Bundle bundle = oci::parseBundle(R"({
        "ociVersion": "1.0.2",
        "process": {"cwd": "/srv", "args": ["/bin/true"], "env": ["A=b"], "user": {"uid": 0}},
        "root": {"path": "rootfs", "readonly": true},
        "annotations": {
            "io.landlock.profile": "nginx",
            "io.landlock.profile/web": "{}",
            "io.kubernetes.cri.container-name": "web",
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri.sandbox-name": "pod",
            "io.kubernetes.cri-o.ContainerID": "c1",
            "io.podman.annotations.init": "FALSE",
            "org.example": "x"
        },
        "linux": {"path": 1, "cwd": [], "annotations": {"io.landlock.nonsense": 1}}
    })",
                                                "/run/b");
    EXPECT_EQ(bundle.directory, "/run/b");
    EXPECT_EQ(bundle.rootPath, "/run/b/rootfs");
    EXPECT_EQ(bundle.cwd, "/srv");
    EXPECT_EQ(bundle.annotations, (Annotations{{"io.landlock.profile", "nginx"},
                                               {"io.landlock.profile/web", "{}"},
                                               {"io.kubernetes.cri.container-name", "web"},
                                               {"io.kubernetes.cri.sandbox-name", "pod"},
                                               {"io.kubernetes.cri-o.ContainerID", "c1"},
                                               {"io.podman.annotations.init", "FALSE"},
                                               {"io.kubernetes.cri-o.ContainerType", "container"}}));
}

struct GoodBundle {
    std::string text;
    std::string rootPath;
    std::string cwd;
    Annotations annotations;
};

TEST(Bundle, Accepts)
{
    const GoodBundle all[] = {
        {config(R"("hostname":"h")"), "/b/rootfs", "/", {}},
        {R"({"root":{"path":"/var/lib/r"}})", "/var/lib/r", "/", {}},
        {R"({"root":{"path":"../r"}})", "/b/../r", "/", {}},
        {config(R"("process":null,"annotations":null)"), "/b/rootfs", "/", {}},
        {config(R"("process":{},"annotations":{})"), "/b/rootfs", "/", {}},
        {config(R"("process":{"cwd":null})"), "/b/rootfs", "/", {}},
        {config(R"("process":{"cwd":"/a/../b"})"), "/b/rootfs", "/a/../b", {}},
        // Other people's annotations may be anything, twice too.
        {annotated(R"("x":1,"x":{"io.landlock.profile":"p"},"io.landlockx":7,"io.landlock":[])"), "/b/rootfs", "/", {}},
        {annotated(R"("io\u002elandlock.profile":"p")"), "/b/rootfs", "/", {{"io.landlock.profile", "p"}}},
        {annotated(R"("io.landlock.profile":"")"), "/b/rootfs", "/", {{"io.landlock.profile", ""}}},
        // What is only shown keeps no container from its start.
        {annotated(R"("io.kubernetes.pod.name":7,"io.kubernetes.cri.sandbox-namespace":[])"), "/b/rootfs", "/", {}},
        {annotated("\"io.landlock.profile\":\"" + std::string(300000, 'x') + "\""),
         "/b/rootfs",
         "/",
         {{"io.landlock.profile", std::string(300000, 'x')}}},
    };
    for (const GoodBundle& good : all) {
        const oci::Bundle bundle = oci::parseBundle(good.text, "/b");
        EXPECT_EQ(bundle.rootPath, good.rootPath) << good.text.substr(0, 300);
        EXPECT_EQ(bundle.cwd, good.cwd) << good.text.substr(0, 300);
        EXPECT_EQ(bundle.annotations, good.annotations) << good.text.substr(0, 300);
    }
}

struct BadBundle {
    std::string text;
    const char* message;
};

TEST(Bundle, Refuses)
{
    const BadBundle all[] = {
        {"", "/b/config.json: not valid JSON at byte 1"},
        {"7", "not a JSON object"},
        {"{}", "/root/path: missing"},
        {R"({"root":null})", "/root/path: missing"},
        {R"({"root":{}})", "/root/path: missing"},
        {R"({"root":{"path":""}})", "/root/path: missing"},
        {R"({"root":{"path":"a\u0000"}})", "/root/path: missing or has a NUL"},
        {R"({"root":{"path":1}})", "/root/path: must be string, not number"},
        {R"({"root":{"path":{"path":"r"}}})", "/root/path: must be string, not object"},
        {R"({"root":"rootfs"})", "/root: must be object, not string"},
        {R"({"root":["rootfs"]})", "/root: must be object, not array"},
        {config(R"("process":[])"), "/process: must be object, not array"},
        {config(R"("process":{"cwd":"srv"})"), "/process/cwd: must be an absolute path"},
        {config(R"("process":{"cwd":""})"), "/process/cwd: must be an absolute path"},
        {config(R"("process":{"cwd":"/\u0000"})"), "/process/cwd: must be an absolute path"},
        {config(R"("process":{"cwd":true})"), "/process/cwd: must be string, not boolean"},
        {config(R"("annotations":[{"io.landlock.profile":"p"}])"), "/annotations: must be object, not array"},
        {config(R"("annotations":"io.landlock.profile")"), "/annotations: must be object, not string"},
        {annotated(R"("io.landlock.profile":1)"), "/annotations/io.landlock.profile: must be a string"},
        {annotated(R"("io.landlock.profile":null)"), "/annotations/io.landlock.profile: must be a string"},
        {annotated(R"("io.landlock.profile":{"entries":[]})"), "/annotations/io.landlock.profile: must be a string"},
        {annotated(R"("io.landlock.\u001b[2J":1)"), "/annotations/io.landlock.\\x1b[2J: must be a string"},
        {annotated(R"("io.kubernetes.cri.container-name":[])"), "must be a string"},
        {annotated(R"("io.kubernetes.cri.container-type":0)"), "must be a string"},
        {annotated(R"("io.landlock.profile":"a","io.landlock.profile":"b")"),
         "member \"io.landlock.profile\" appears twice"},
        {annotated(R"("io.landlock.profile":"a","io.landlock.pro\u0066ile":"a")"), "appears twice"},
        {annotated(R"("io.kubernetes.cri.container-name":"a","io.kubernetes.cri.container-name":"b")"),
         "appears twice"},
        {config(R"("annotations":{},"annotations":{"io.landlock.profile":"p"})"),
         "member \"annotations\" appears twice"},
        {config(R"("root":{"path":"other"})"), "member \"root\" appears twice"},
        // runc takes these for what they look like.
        {config(R"("Annotations":{"io.landlock.profile":"p"})"),
         "/Annotations: some runtimes read this as /annotations"},
        {config("\"annotation\u017f\":{\"io.landlock.profile\":\"p\"}"), "read this as /annotations"},
        {config(R"("PROCESS":{"cwd":"/srv"})"), "read this as /process"},
        {config(R"("Root":{"path":"other"})"), "read this as /root"},
        {R"({"root":{"path":"a","Path":"b"}})", "/root/Path: some runtimes read this as /root/path"},
        {config(R"("process":{"cwd":"/","cWd":"/srv"})"), "read this as /process/cwd"},
        // And crun these.
        {config(R"("annotations\u0000":{"io.landlock.profile":"p"})"), "read this as /annotations"},
        {R"({"root":{"path\u0000x":"b","path":"a"}})", "read this as /root/path"},
        {config("\"x\":" + std::string(100, '[') + std::string(100, ']')), "nested deeper than 64 levels"},
        {config("\"x\":" + std::string(1000000, '[')), "nested deeper than 64 levels"},
        {annotated("\"io.landlock.profile\":\"\xc3\x28\""), "not valid JSON at byte"},
    };
    for (const BadBundle& bad : all) {
        support::expectError([&] { oci::parseBundle(bad.text, "/b"); }, bad.message, bad.text);
    }
}

TEST(Bundle, HugeMembersThatAreNotOursCostNoMemoryAndDoNotConfuse)
{
    std::string text = R"({"linux":{)";
    for (int i = 0; i < 50000; ++i) {
        text += "\"k" + std::to_string(i) + R"(":{"root":{"path":"/evil"},"annotations":{"io.landlock.profile":"x"}},)";
    }
    text += R"("z":0},"root":{"path":"r"},"annotations":{"io.landlock.profile":"p"}})";
    ASSERT_LT(text.size(), oci::maxConfigBytes);
    const oci::Bundle bundle = oci::parseBundle(text, "/b");
    EXPECT_EQ(bundle.rootPath, "/b/r");
    EXPECT_EQ(bundle.annotations, (Annotations{{"io.landlock.profile", "p"}}));
}

TEST(Bundle, ReadsTheFile)
{
    const support::Temporary directory;
    directory.file("config.json", config(R"("process":{"cwd":"/srv"})"));
    const oci::Bundle bundle = oci::readBundle(directory.path());
    EXPECT_EQ(bundle.directory, directory.path());
    EXPECT_EQ(bundle.rootPath, directory.path("rootfs"));
    EXPECT_EQ(bundle.cwd, "/srv");
}

TEST(Bundle, RefusesWhatIsNoRegularFileOrTooLarge)
{
    const auto read = [](const support::Temporary& directory) { return [&] { oci::readBundle(directory.path()); }; };
    const support::Temporary none;
    support::expectError(read(none), "No such file or directory");
    const support::Temporary link;
    link.link("config.json", link.file("real.json", config(R"("x":0)")));
    support::expectError(read(link), "symbolic link");
    const support::Temporary fifo;
    ASSERT_EQ(mkfifo(fifo.path("config.json").c_str(), 0600), 0);
    support::expectError(read(fifo), "not a regular file");
    const support::Temporary directory;
    directory.directory("config.json");
    support::expectError(read(directory), "not a regular file");
    const support::Temporary large;
    const std::string start = config(R"("x":0)");
    large.file("config.json", start + std::string(oci::maxConfigBytes - start.size(), ' '));
    EXPECT_NO_THROW(oci::readBundle(large.path()));
    large.file("config.json", start + std::string(oci::maxConfigBytes - start.size() + 1, ' '));
    support::expectError(read(large), "larger than 4194304 bytes");
}

// What the annotations of a container come to: "<profile> from <key>, program <program>, digest from <key>"; "-":
// nothing is asked for.
std::string request(const Annotations& annotations)
{
    const auto found = oci::requestOf(oci::Bundle{"/b", "/b/rootfs", "/", annotations});
    if (!found) {
        return "-";
    }
    std::string out = found->profile ? *found->profile + " from " + found->profileKey : "nothing";
    out += found->program ? ", program " + *found->program : "";
    out += found->learn ? ", learnt as " + *found->learn + " from " + found->learnKey : "";
    return out + (found->digest ? ", digest from " + found->digestKey : "");
}

TEST(Annotations, AskForAProfile)
{
    const std::pair<Annotations, const char*> all[] = {
        {{}, "-"},
        {{{"io.kubernetes.cri.container-name", "web"}}, "-"},
        {{{"io.landlock.profile", "nginx"}}, "nginx from io.landlock.profile"},
        {{{"io.landlock.profile", ""}}, " from io.landlock.profile"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.program", "/bin/x"}},
         "p from io.landlock.profile, program /bin/x"},
        {{{"io.landlock.program", "/bin/x"}}, "nothing, program /bin/x"},
        // One container of a pod.
        {{{"io.landlock.profile/web", "w"}, {"io.kubernetes.cri.container-name", "web"}},
         "w from io.landlock.profile/web"},
        {{{"io.landlock.profile/web", "w"}, {"io.kubernetes.container.name", "web"}}, "w from io.landlock.profile/web"},
        {{{"io.landlock.profile/web", "w"}, {"io.kubernetes.cri.container-name", "db"}}, "-"},
        {{{"io.landlock.profile/web", "w"}, {"io.kubernetes.cri.container-name", "WEB"}}, "-"},
        {{{"io.landlock.profile/web", "w"}, {"io.kubernetes.cri.container-name", "web/x"}}, "-"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.profile/web", "w"}, {"io.kubernetes.cri.container-name", "web"}},
         "w from io.landlock.profile/web"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.profile/web", "w"}, {"io.kubernetes.cri.container-name", "db"}},
         "p from io.landlock.profile"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.profile/web", ""}, {"io.kubernetes.cri.container-name", "web"}},
         " from io.landlock.profile/web"},
        {{{"io.landlock.profile/web", "w"},
          {"io.landlock.program", "/bin/x"},
          {"io.kubernetes.cri.container-name", "web"}},
         "w from io.landlock.profile/web, program /bin/x"},
        // containerd's word counts before the other.
        {{{"io.landlock.profile/web", "w"},
          {"io.landlock.profile/db", "d"},
          {"io.kubernetes.cri.container-name", "web"},
          {"io.kubernetes.container.name", "db"}},
         "w from io.landlock.profile/web"},
        // The pod's sandbox runs nothing of the user's.
        {{{"io.landlock.profile", "p"}, {"io.kubernetes.cri.container-type", "sandbox"}}, "-"},
        {{{"io.landlock.profile/web", "w"}, {"io.kubernetes.cri-o.ContainerType", "sandbox"}}, "-"},
        {{{"io.landlock.profile", "p"}, {"io.kubernetes.cri.container-type", "container"}},
         "p from io.landlock.profile"},
        {{{"io.landlock.profile", "p"}, {"io.kubernetes.cri.container-type", "Sandbox"}}, "p from io.landlock.profile"},
        {{{"io.landlock.profile", "p"}, {"io.kubernetes.cri.container-type", ""}}, "p from io.landlock.profile"},
    };
    for (const auto& [annotations, expected] : all) {
        EXPECT_EQ(request(annotations), expected) << testing::PrintToString(annotations);
    }
}

// As above, of a container that its runtime calls "c1"; or why it does not start.
std::string requestOfEngine(const Annotations& annotations, const std::string& directory)
{
    oci::Bundle bundle{directory, "/r", "/", annotations};
    try {
        oci::keepWordOfEngine(bundle, "c1");
        return request(bundle.annotations);
    } catch (const sys::Error& error) {
        return error.what();
    }
}

// What an image, or whoever annotates, can write into annotations of engines takes nothing away from what is asked for.
TEST(Annotations, WhatTheEngineHasNotSaidDoesNotCount)
{
    constexpr const char* asked = "p from io.landlock.profile";
    constexpr const char* unknown =
        "annotation io.landlock.profile/<container>: this runtime does not say which container of the pod this is; use "
        "io.landlock.profile";
    constexpr const char* ofPodman = "/var/lib/containers/storage/overlay-containers/c1/userdata";
    const std::pair<std::string, std::string> profile = {"io.landlock.profile", "p"};
    const std::pair<std::string, std::string> ofWeb = {"io.landlock.profile/web", "w"};
    const std::pair<std::string, std::string> crio = {"io.kubernetes.cri-o.ContainerID", "c1"};
    struct Case {
        Annotations annotations;
        const char* directory;
        const char* expected;
    };
    const Case all[] = {
        // A pod's sandbox knows its id; nobody else can.
        {{profile, {"io.kubernetes.cri.container-type", "sandbox"}, {"io.kubernetes.cri.sandbox-id", "c1"}}, "/b", "-"},
        {{profile, {"io.kubernetes.cri.container-type", "sandbox"}, {"io.kubernetes.cri.sandbox-id", "c2"}},
         "/b",
         asked},
        {{profile, {"io.kubernetes.cri.container-type", "sandbox"}}, "/b", asked},
        {{profile, {"io.kubernetes.cri-o.ContainerType", "sandbox"}, crio}, ofPodman, "-"},
        {{profile, {"io.kubernetes.cri-o.ContainerType", "sandbox"}, {"io.kubernetes.cri-o.ContainerID", "c2"}},
         ofPodman,
         asked},
        {{profile, {"io.kubernetes.cri-o.ContainerType", "sandbox"}}, "/b", asked},
        // A pod of CRI-O says what containerd would.
        {{profile,
          {"io.kubernetes.cri-o.ContainerType", "container"},
          {"io.kubernetes.cri.container-type", "sandbox"},
          crio},
         ofPodman,
         asked},
        {{profile, ofWeb, {"io.kubernetes.container.name", "db"}, {"io.kubernetes.cri.container-name", "web"}, crio},
         ofPodman,
         asked},
        {{profile, ofWeb, {"io.kubernetes.container.name", "web"}, crio}, ofPodman, "w from io.landlock.profile/web"},
        // An image says it to podman.
        {{profile, {"io.kubernetes.cri.container-type", "sandbox"}}, ofPodman, asked},
        {{profile, ofWeb, {"io.kubernetes.cri.container-name", "web"}}, ofPodman, unknown},
        {{profile, ofWeb, {"io.kubernetes.container.name", "web"}}, ofPodman, unknown},
        {{profile, {"io.landlock.program", "/bin/x"}}, ofPodman, "p from io.landlock.profile, program /bin/x"},
        {{profile, {"io.landlock.program", "/bin/x"}, {"io.podman.annotations.init", "TRUE"}},
         ofPodman,
         "p from io.landlock.profile, program /bin/x"},
        {{profile, {"io.landlock.program", "/bin/x"}, {"io.podman.annotations.init", "FALSE"}},
         ofPodman,
         "annotation io.landlock.program: this podman takes annotations from images as well, and an image could choose "
         "by it what of it is restricted; name the program in the profile"},
        {{profile, {"io.podman.annotations.init", "FALSE"}}, ofPodman, asked},
        // `podman kube generate` writes this, of containers by their names.
        {{profile, {"io.landlock.program", "/bin/x"}, {"io.podman.annotations.init/web", "FALSE"}},
         ofPodman,
         "p from io.landlock.profile, program /bin/x"},
        // containerd's own.
        {{profile, ofWeb, {"io.kubernetes.cri.container-name", "web"}, {"io.kubernetes.cri.sandbox-id", "s1"}},
         "/run/containerd/io.containerd.runtime.v2.task/k8s.io/c1",
         "w from io.landlock.profile/web"},
    };
    for (const Case& one : all) {
        EXPECT_EQ(requestOfEngine(one.annotations, one.directory), one.expected)
            << testing::PrintToString(one.annotations);
    }
    oci::Bundle bundle{ofPodman, "/r", "/", {{"io.kubernetes.pod.name", "shop"}}};
    oci::keepWordOfEngine(bundle, "c1");
    EXPECT_EQ(oci::joined(oci::namesOf(bundle)), "");
}

// As `check` sees it, which no runtime tells an id.
TEST(Annotations, ThePlaceOfABundleHasTheIdOfItsContainer)
{
    const Annotations sandbox = {{"io.landlock.profile", "p"},
                                 {"io.kubernetes.cri.container-type", "sandbox"},
                                 {"io.kubernetes.cri.sandbox-id", "c1"}};
    for (const auto& [directory, annotations, expected] : std::initializer_list<std::array<std::string, 3>>{
             {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/c1", "containerd", "-"},
             {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/c1/", "containerd", "-"},
             {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/c2", "containerd", "p from io.landlock.profile"},
             {"/var/lib/containers/storage/overlay-containers/c1/userdata", "crio", "-"},
             {"/var/lib/containers/storage/overlay-containers/c1/userdata/", "crio", "-"},
             {"/var/lib/containers/storage/overlay-containers/c1/userdata", "containerd",
              "p from io.landlock.profile"}}) {
        oci::Bundle bundle{directory, "/r", "/", sandbox};
        if (annotations == "crio") {
            bundle.annotations = {{"io.landlock.profile", "p"},
                                  {"io.kubernetes.cri-o.ContainerType", "sandbox"},
                                  {"io.kubernetes.cri-o.ContainerID", "c1"}};
        }
        oci::keepWordOfEngine(bundle);
        EXPECT_EQ(request(bundle.annotations), expected) << directory;
    }
}

TEST(Annotations, WhatCrunRunsInsideItselfIsRefused)
{
    EXPECT_NO_THROW(oci::requireExec({"/b", "/r", "/", {{"run.oci.keep_original_groups", "1"}}}));
    for (const char* key : {"run.oci.handler", "module.wasm.image/variant", "run.oci.handler\\u0000x"}) {
        const std::string config = std::string(R"({"root":{"path":"/r"},"annotations":{")") + key + R"(":"krun"}})";
        support::expectError([&] { oci::requireExec(oci::parseBundle(config, "/b")); },
                             "crun runs such a container inside itself", key);
    }
}

TEST(Annotations, AskToBeRecorded)
{
    const std::pair<Annotations, const char*> all[] = {
        {{{"io.landlock.learn", "a"}}, "nothing, learnt as a from io.landlock.learn"},
        {{{"io.landlock.learn", ""}}, "nothing, learnt as  from io.landlock.learn"},
        {{{"io.landlock.learn", "a"}, {"io.landlock.profile", "p"}, {"io.landlock.program", "/bin/x"}},
         "p from io.landlock.profile, program /bin/x, learnt as a from io.landlock.learn"},
        {{{"io.landlock.learn", "a"}, {"io.landlock.learn/web", "w"}, {"io.kubernetes.container.name", "web"}},
         "nothing, learnt as w from io.landlock.learn/web"},
        {{{"io.landlock.learn/web", "w"}, {"io.kubernetes.container.name", "db"}}, "-"},
        {{{"io.landlock.learn", "a"}, {"io.kubernetes.cri.container-type", "sandbox"}}, "-"},
    };
    for (const auto& [annotations, expected] : all) {
        EXPECT_EQ(request(annotations), expected) << testing::PrintToString(annotations);
    }
    support::expectError(
        [] {
            request({{"io.landlock.learn/web", "w"}});
        },
        "annotation io.landlock.learn/<container>: this runtime does not say which");
}

TEST(Annotations, UnknownOnesAreRefused)
{
    const std::pair<Annotations, const char*> all[] = {
        {{{"io.landlock.", "x"}}, "annotation io.landlock.: unknown"},
        {{{"io.landlock.profiles", "x"}}, "annotation io.landlock.profiles: unknown"},
        {{{"io.landlock.Profile", "x"}}, "unknown"},
        {{{"io.landlock.profile.web", "x"}}, "unknown"},
        {{{std::string("io.landlock.profile\0", 20), "x"}}, "annotation io.landlock.profile\\x00: unknown"},
        {{{"io.landlock.program/web", "x"}, {"io.kubernetes.cri.container-name", "web"}}, "unknown"},
        {{{"io.landlock.\x1b]0;x\n", "x"}}, "annotation io.landlock.\\x1b]0;x\\x0a: unknown"},
        {{{"io.landlock." + std::string(100000, 'a'), "x"}}, "unknown; there are io.landlock.profile, "},
        // In the sandbox too: a spelling mistake must not wait for the container.
        {{{"io.landlock.profil", "x"}, {"io.kubernetes.cri.container-type", "sandbox"}}, "unknown"},
        // Nobody knows which container this is.
        {{{"io.landlock.profile/web", "x"}}, "does not say which container of the pod this is"},
        {{{"io.landlock.profile/web", "x"}, {"io.landlock.profile", "p"}},
         "does not say which container of the pod this is"},
        {{{"io.landlock.profile/web", "x"}, {"io.kubernetes.cri.container-name", ""}}, "does not say which"},
        // It is no container's, whatever they are called.
        {{{"io.landlock.profile/", "x"}}, "annotation io.landlock.profile/: unknown"},
        {{{"io.landlock.profile/", "x"}, {"io.kubernetes.cri.container-name", ""}}, "unknown"},
        {{{"io.landlock.profile/", "x"}, {"io.kubernetes.cri.container-name", "web"}}, "unknown"},
        {{{"io.landlock.profile/", "x"}, {"io.kubernetes.cri.container-type", "sandbox"}}, "unknown"},
        {{{"io.landlock.learn/", "x"}, {"io.kubernetes.cri.container-name", "web"}}, "unknown"},
        {{{"io.landlock.digest/", sys::toText(sys::digest("a"))}, {"io.kubernetes.cri.container-name", "web"}},
         "unknown"},
    };
    for (const auto& [annotations, message] : all) {
        support::expectError([&] { request(annotations); }, message, testing::PrintToString(annotations));
    }
}

const std::string digestA = sys::toText(sys::digest("a"));
const std::string digestB = sys::toText(sys::digest("b"));

TEST(Annotations, PinAProfile)
{
    const std::pair<Annotations, const char*> all[] = {
        {{{"io.landlock.digest", digestA}}, "nothing, digest from io.landlock.digest"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.digest", digestA}},
         "p from io.landlock.profile, digest from io.landlock.digest"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.digest/web", digestA}, {"io.kubernetes.container.name", "web"}},
         "p from io.landlock.profile, digest from io.landlock.digest/web"},
        {{{"io.landlock.profile", "p"}, {"io.landlock.digest/web", digestA}, {"io.kubernetes.container.name", "db"}},
         "p from io.landlock.profile"},
        // Whatever profile it is that the container has.
        {{{"io.landlock.profile/web", "w"}, {"io.landlock.digest", digestA}, {"io.kubernetes.container.name", "web"}},
         "w from io.landlock.profile/web, digest from io.landlock.digest"},
        {{{"io.landlock.digest/web", digestA}, {"io.kubernetes.container.name", "web"}},
         "nothing, digest from io.landlock.digest/web"},
        {{{"io.landlock.digest", digestA}, {"io.kubernetes.cri.container-type", "sandbox"}}, "-"},
    };
    for (const auto& [annotations, expected] : all) {
        EXPECT_EQ(request(annotations), expected) << testing::PrintToString(annotations);
    }
    const auto found = oci::requestOf({"/b",
                                       "/b/rootfs",
                                       "/",
                                       {{"io.landlock.profile", "p"},
                                        {"io.landlock.digest", digestA},
                                        {"io.landlock.digest/web", digestB},
                                        {"io.kubernetes.container.name", "web"}}});
    EXPECT_EQ(found->digest, sys::digest("b"));
}

TEST(Annotations, ADigestThatIsNoneIsRefusedWhoeverItIsFor)
{
    for (const std::string& wrong : {std::string(), std::string("p"), digestA.substr(7), digestA + " "}) {
        for (const char* key : {"io.landlock.digest", "io.landlock.digest/web", "io.landlock.digest/db"}) {
            for (const char* type : {"container", "sandbox"}) {
                support::expectError(
                    [&] {
                        request({{"io.landlock.profile", "p"},
                                 {key, wrong},
                                 {"io.kubernetes.cri.container-type", type},
                                 {"io.kubernetes.cri.container-name", "web"}});
                    },
                    std::string("annotation ") + key + ": \"" + wrong + "\" is no digest", key + wrong);
            }
        }
    }
    support::expectError([&] { request({{"io.landlock.profile", "p"}, {"io.landlock.digests", digestA}}); }, "unknown");
    support::expectError(
        [&] {
            request({{"io.landlock.profile", "p"}, {"io.landlock.digest/web", digestA}});
        },
        "annotation io.landlock.digest/<container>: this runtime does not say which");
}

TEST(Names, AreShortAndPlain)
{
    const auto names = [](const Annotations& annotations) {
        return oci::joined(oci::namesOf({"/b", "/b/rootfs", "/", annotations}));
    };
    EXPECT_EQ(names({}), "");
    EXPECT_EQ(names({{"io.kubernetes.cri.container-name", "web"},
                     {"io.kubernetes.cri.sandbox-name", "shop-7d9"},
                     {"io.kubernetes.cri.sandbox-namespace", "default"}}),
              "default/shop-7d9/web");
    EXPECT_EQ(names({{"io.kubernetes.container.name", "web"},
                     {"io.kubernetes.pod.name", "shop"},
                     {"io.kubernetes.pod.namespace", "default"}}),
              "default/shop/web");
    EXPECT_EQ(names({{"io.kubernetes.container.name", "web"}}), "web");
    EXPECT_EQ(names({{"io.kubernetes.pod.name", "a/b (c)\x1b[2J\n"}, {"io.kubernetes.container.name", "\xc3\xbc"}}),
              R"(a\x2fb\x20\x28c\x29\x1b\x5b2J\x0a/\xc3\xbc)");
    const std::string cut = names({{"io.kubernetes.pod.name", std::string(1000000, 'x')}});
    EXPECT_EQ(cut, std::string(80, 'x') + "...");
}

}  // namespace
