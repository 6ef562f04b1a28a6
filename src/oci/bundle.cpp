// SPDX-License-Identifier: Apache-2.0
#include "oci/bundle.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "oci/member.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"

namespace oci {

using nlohmann::json;

namespace {

constexpr std::string_view profileKey = "io.landlock.profile";
constexpr std::string_view digestKey = "io.landlock.digest";
constexpr std::string_view learnKey = "io.landlock.learn";
constexpr std::string_view programKey = "io.landlock.program";

// containerd, and CRI-O, say in these which container of a pod it is.
constexpr std::array nameKeys = {"io.kubernetes.cri.container-name", "io.kubernetes.container.name"};
constexpr std::array typeKeys = {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"};
// And in these which pod. Nothing depends on them: they are shown.
constexpr std::array podKeys = {"io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"};
constexpr std::array namespaceKeys = {"io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"};
// Of containerd the id of the pod's sandbox, which is that container's own; of CRI-O the container's.
constexpr std::array idKeys = {"io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.ContainerID"};
constexpr std::size_t ofContainerd = 0;
constexpr std::size_t ofCrio = 1;

// By these crun chooses a handler, which has a container without an exec of its own.
constexpr std::array handlerKeys = {"run.oci.handler", "module.wasm.image/variant"};

// podman's own, which no image can have. Before 4.4 it says of each container also what is not so.
constexpr std::string_view podmanPrefix = "io.podman.annotations.";

// Of root and process.
constexpr std::array<std::string_view, 2> wantedMembers = {"path", "cwd"};

constexpr std::size_t maxShownBytes = 80;

bool isAmong(std::string_view key, const auto& keys)
{
    return std::ranges::find(keys, key) != keys.end();
}

bool isShown(std::string_view key)
{
    return isAmong(key, podKeys) || isAmong(key, namespaceKeys);
}

// As crun reads it: no further than a NUL.
bool choosesHandler(std::string_view key)
{
    return isAmong(key.substr(0, key.find('\0')), handlerKeys);
}

bool concernsUs(std::string_view key)
{
    return key.starts_with(annotationPrefix) || isAmong(key, nameKeys) || isAmong(key, typeKeys) ||
           isAmong(key, idKeys) || choosesHandler(key) || key.starts_with(podmanPrefix) || isShown(key);
}

// Members of the same name in other places are kept too; they are few and small.
bool wantedOfConfig(std::size_t depth, std::string_view key)
{
    switch (depth) {
        case 1:
            return !readAs(key, sections).empty() && key != "hooks";
        case 2:
            return !readAs(key, wantedMembers).empty() || concernsUs(key);
        default:
            return false;
    }
}

std::string firstOf(const Bundle& bundle, const auto& keys)
{
    for (const char* key : keys) {
        if (const auto found = bundle.annotations.find(key); found != bundle.annotations.end()) {
            return found->second;
        }
    }
    return {};
}

bool isPlain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

std::string shown(const std::string& name)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (const char c : name) {
        if (out.size() >= maxShownBytes) {
            return out + "...";
        }
        const auto byte = static_cast<unsigned char>(c);
        out += isPlain(c) ? std::string(1, c) : std::string("\\x") + digits[byte >> 4] + digits[byte & 15];
    }
    return out;
}

// Which container of a pod an annotation is for: "io.landlock.profile/web" is for "web", one without a name for all of
// them.
class ForContainer {
public:
    // `name`: of this container; empty: unknown.
    ForContainer(std::string_view key, const std::string& name)
        : key_(key),
          own_(key_ + "/" + name),
          known_(!name.empty())
    {
    }

    // Whether it was one of these. The container's own counts before the one for all.
    bool take(const std::string& key, const std::string& value)
    {
        const bool own = known_ && key == own_;
        if (own || (key == key_ && !value_)) {
            value_ = value;
            foundAt_ = key;
        }
        const bool named = key.size() > key_.size() + 1 && key.starts_with(key_ + "/");  // no container has no name
        forOthers_ = forOthers_ || (!own && named);
        return own || key == key_ || named;
    }

    const std::optional<std::string>& value() const { return value_; }
    const std::string& foundAt() const { return foundAt_; }

    // Throws sys::Error when one is for a container of which nobody can tell whether it is this one.
    void requireKnown() const
    {
        if (forOthers_ && !known_) {
            throw sys::Error("annotation " + key_ + "/<container>: this runtime does not say which container of the " +
                             "pod this is; use " + key_);
        }
    }

private:
    std::string key_;
    std::string own_;
    bool known_;
    std::optional<std::string> value_;
    std::string foundAt_;
    bool forOthers_ = false;
};

sys::Digest digestIn(const std::string& key, const std::string& value)
{
    const auto digest = sys::digestFrom(value);
    if (!digest) {
        throw sys::Error("annotation " + sys::printable(key) + ": \"" + sys::printable(value) +
                         "\" is no digest; write sha256: and 64 digits of lower-case hex, as `oci-landlock check` "
                         "prints them");
    }
    return *digest;
}

}  // namespace

Bundle parseBundle(std::string_view config, const std::string& directory)
{
    const std::string what = sys::printable(directory) + "/config.json";
    const json document = sys::readJsonObject(config, what, wantedOfConfig);
    requireExact(document, sections, what, "");
    for (const char* section : {"root", "process"}) {
        if (const auto found = document.find(section); found != document.end()) {
            requireExact(*found, wantedMembers, what, std::string("/") + section);
        }
    }
    Bundle bundle;
    bundle.directory = directory;
    if (const json* root = member(document, "root", json::value_t::object, what, "")) {
        if (const json* path = member(*root, "path", json::value_t::string, what, "/root")) {
            bundle.rootPath = path->get<std::string>();
        }
    }
    if (bundle.rootPath.empty() || bundle.rootPath.find('\0') != std::string::npos) {
        throw sys::Error(what + ": /root/path: missing or has a NUL");
    }
    if (!bundle.rootPath.starts_with('/')) {
        bundle.rootPath = directory + "/" + bundle.rootPath;
    }
    if (const json* process = member(document, "process", json::value_t::object, what, "")) {
        if (const json* cwd = member(*process, "cwd", json::value_t::string, what, "/process")) {
            bundle.cwd = cwd->get<std::string>();
        }
    }
    if (!bundle.cwd.starts_with('/') || bundle.cwd.find('\0') != std::string::npos) {
        throw sys::Error(what + ": /process/cwd: must be an absolute path");
    }
    if (const json* annotations = member(document, "annotations", json::value_t::object, what, "")) {
        for (const auto& [key, value] : annotations->items()) {
            if (!concernsUs(key)) {
                continue;
            }
            if (!value.is_string() && isShown(key)) {
                continue;
            }
            if (!value.is_string()) {
                throw sys::Error(what + ": /annotations/" + sys::printable(key) + ": must be a string");
            }
            bundle.annotations[key] = value.get<std::string>();
        }
    }
    return bundle;
}

Bundle readBundle(const std::string& directory)
{
    return parseBundle(readConfig(directory), directory);
}

std::string readConfig(const std::string& directory)
{
    const std::string path = directory + "/config.json";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file) {
        throw sys::errnoError(sys::printable(path));
    }
    struct stat st {};
    if (fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
        throw sys::Error(sys::printable(path) + ": not a regular file");
    }
    return sys::readAll(file.get(), maxConfigBytes, sys::printable(path));
}

void writeConfig(const std::string& directory, std::string_view text)
{
    const std::string path = directory + "/config.json";
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) {
        throw sys::errnoError(sys::printable(path));
    }
    sys::replaceFile(path, text, {.mode = st.st_mode & 07777U, .user = st.st_uid, .group = st.st_gid});
}

// CRI-O gives its containers what their pod is annotated with, and podman before 4.5.1 what their image is. Neither can
// know the container's id.
void keepWordOfEngine(Bundle& bundle, const std::string& id)
{
    const auto says = [&](const char* key) {
        const auto found = bundle.annotations.find(key);
        return found != bundle.annotations.end() && found->second == id;
    };
    const bool crio = says(idKeys[ofCrio]);
    // Both keep bundles in the same way. Which podman it is shows up to 4.3; 4.4 and 4.5.0 look like later ones.
    const bool podman = !crio && bundle.directory.ends_with("/userdata");
    const bool oldPodman = podman && std::ranges::any_of(bundle.annotations, [](const auto& annotation) {
                               const auto& [key, value] = annotation;
                               return key.starts_with(podmanPrefix) && !key.contains('/') && value == "FALSE";
                           });
    if (oldPodman && bundle.annotations.contains(std::string(programKey))) {
        throw sys::Error("annotation " + std::string(programKey) +
                         ": this podman takes annotations from images as well, and an image could choose by it what "
                         "of it is restricted; name the program in the profile");
    }
    for (const auto* keys : {&nameKeys, &typeKeys, &podKeys, &namespaceKeys}) {
        if (crio || podman) {
            bundle.annotations.erase((*keys)[ofContainerd]);
        }
        if (podman) {
            bundle.annotations.erase((*keys)[ofCrio]);
        }
    }
    // What is a pod's sandbox is left alone.
    if (!says(idKeys[ofContainerd])) {
        bundle.annotations.erase(typeKeys[ofContainerd]);
    }
    if (!crio) {
        bundle.annotations.erase(typeKeys[ofCrio]);
    }
}

void keepWordOfEngine(Bundle& bundle)
{
    std::error_code error;
    std::filesystem::path place = std::filesystem::weakly_canonical(bundle.directory, error);
    if (error) {
        throw sys::errnoError(sys::printable(bundle.directory), error.value());
    }
    if (!place.has_filename()) {
        place = place.parent_path();  // named with a slash at the end
    }
    bundle.directory = place;
    if (place.filename() == "userdata") {
        place = place.parent_path();
    }
    keepWordOfEngine(bundle, place.filename());
}

void requireExec(const Bundle& bundle)
{
    for (const auto& [key, value] : bundle.annotations) {
        if (choosesHandler(key)) {
            throw sys::Error("annotation " + sys::printable(key) +
                             ": crun runs such a container inside itself, and executes nothing that could be "
                             "restricted; take this annotation away, or what asks for a sandbox");
        }
    }
}

std::optional<Request> requestOf(const Bundle& bundle)
{
    const std::string name = firstOf(bundle, nameKeys);
    ForContainer profile(profileKey, name);
    ForContainer digest(digestKey, name);
    ForContainer learn(learnKey, name);
    Request request;
    for (const auto& [key, value] : bundle.annotations) {
        if (!key.starts_with(annotationPrefix)) {
            continue;
        }
        if (digest.take(key, value)) {
            digestIn(key, value);  // those for others too: a mistake must not wait for its container
        } else if (key == programKey) {
            request.program = value;
        } else if (!profile.take(key, value) && !learn.take(key, value)) {
            throw sys::Error("annotation " + sys::printable(key) + ": unknown; there are " + std::string(profileKey) +
                             ", " + std::string(digestKey) + " and " + std::string(learnKey) +
                             ", all also with /<container>, and " + std::string(programKey));
        }
    }
    if (firstOf(bundle, typeKeys) == "sandbox") {
        return std::nullopt;
    }
    profile.requireKnown();
    digest.requireKnown();
    learn.requireKnown();
    request.profile = profile.value();
    request.profileKey = profile.foundAt();
    if (digest.value()) {
        request.digest = digestIn(digest.foundAt(), *digest.value());
        request.digestKey = digest.foundAt();
    }
    request.learn = learn.value();
    request.learnKey = learn.foundAt();
    if (!request.profile && !request.program && !request.digest && !request.learn) {
        return std::nullopt;
    }
    return request;
}

Names namesOf(const Bundle& bundle)
{
    return {shown(firstOf(bundle, namespaceKeys)), shown(firstOf(bundle, podKeys)), shown(firstOf(bundle, nameKeys))};
}

std::string joined(const Names& names)
{
    std::string out;
    for (const std::string& name : {names.nameSpace, names.pod, names.container}) {
        out += (out.empty() || name.empty() ? "" : "/") + name;
    }
    return out;
}

}  // namespace oci
