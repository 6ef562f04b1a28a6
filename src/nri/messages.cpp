// SPDX-License-Identifier: Apache-2.0
#include "nri/messages.hpp"

#include <array>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <utility>

#include "nri/field.hpp"
#include "oci/bundle.hpp"
#include "sys/error.hpp"

namespace nri {

namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

// Numbers of fields, by message.
namespace pair {
enum : protozero::pbf_tag_type { key = 1, value = 2 };
}
namespace hook {
enum : protozero::pbf_tag_type { path = 1, args = 2, timeout = 4 };
}
namespace hooks {
enum : protozero::pbf_tag_type { createRuntime = 2, poststart = 5, poststop = 6 };
}
namespace pod {
enum : protozero::pbf_tag_type { id = 1, name = 2, nameSpace = 4, annotations = 6 };
}
namespace container {
enum : protozero::pbf_tag_type { id = 1, podId = 2, name = 3, annotations = 6, hooks = 10 };
}
namespace state_change {
enum : protozero::pbf_tag_type { event = 1, pod = 2, container = 3 };
}
namespace request {
enum : protozero::pbf_tag_type { pod = 1, container = 2 };
}
namespace synchronize {
enum : protozero::pbf_tag_type { pods = 1, containers = 2, more = 3 };
}
namespace synchronize_answer {
enum : protozero::pbf_tag_type { more = 2 };
}
namespace register_plugin {
enum : protozero::pbf_tag_type { name = 1, index = 2 };
}
namespace configure_answer {
enum : protozero::pbf_tag_type { events = 2 };
}
namespace create_answer {
enum : protozero::pbf_tag_type { adjust = 1 };
}
namespace adjust {
enum : protozero::pbf_tag_type { annotations = 2, hooks = 5 };
}
constexpr protozero::pbf_tag_type optionalValue = 1;

constexpr std::array hookStages = {std::pair{"createRuntime", hooks::createRuntime},
                                   std::pair{"poststart", hooks::poststart}, std::pair{"poststop", hooks::poststop}};

pbf_reader inner(pbf_reader& reader)
{
    if (reader.wire_type() != protozero::pbf_wire_type::length_delimited) {
        throw sys::Error("a field is no message");
    }
    return reader.get_message();
}

void readAnnotation(pbf_reader reader, Annotations& annotations)
{
    std::string key;
    std::string value;
    while (reader.next()) {
        switch (reader.tag()) {
            case pair::key:
                key = text(reader);
                break;
            case pair::value:
                value = text(reader);
                break;
            default:
                reader.skip();
        }
    }
    if (key.starts_with(oci::annotationPrefix)) {
        annotations[key] = value;
    }
}

Pod readPod(pbf_reader reader)
{
    Pod result;
    while (reader.next()) {
        switch (reader.tag()) {
            case pod::id:
                result.id = text(reader);
                break;
            case pod::name:
                result.name = text(reader);
                break;
            case pod::nameSpace:
                result.nameSpace = text(reader);
                break;
            case pod::annotations:
                readAnnotation(inner(reader), result.annotations);
                break;
            default:
                reader.skip();
        }
    }
    return result;
}

Hook readHook(pbf_reader reader)
{
    Hook result;
    while (reader.next()) {
        switch (reader.tag()) {
            case hook::path:
                result.path = text(reader);
                break;
            case hook::args:
                result.arguments.push_back(text(reader));
                break;
            default:
                reader.skip();
        }
    }
    return result;
}

Container readContainer(pbf_reader reader)
{
    Container result;
    while (reader.next()) {
        switch (reader.tag()) {
            case container::id:
                result.id = text(reader);
                break;
            case container::podId:
                result.podId = text(reader);
                break;
            case container::name:
                result.name = text(reader);
                break;
            case container::annotations:
                readAnnotation(inner(reader), result.annotations);
                break;
            case container::hooks:
                for (pbf_reader stages = inner(reader); stages.next();) {
                    if (stages.tag() == hooks::createRuntime) {
                        result.createRuntime.push_back(readHook(inner(stages)));
                    } else {
                        stages.skip();
                    }
                }
                break;
            default:
                reader.skip();
        }
    }
    return result;
}

// What the library throws says where in its own code.
template <typename Read>
auto reading(std::string_view message, Read read)
{
    try {
        return read(pbf_reader(message.data(), message.size()));
    } catch (const protozero::exception&) {
        throw sys::Error("a message of NRI is broken");
    }
}

Happening readHappening(pbf_reader reader, Event event, protozero::pbf_tag_type podField,
                        protozero::pbf_tag_type containerField)
{
    Happening result{.event = event, .pod = {}, .container = {}};
    while (reader.next()) {
        if (reader.tag() == podField) {
            result.pod = readPod(inner(reader));
        } else if (reader.tag() == containerField) {
            result.container = readContainer(inner(reader));
        } else if (event == Event::none && reader.tag() == state_change::event) {
            const std::int64_t told = number(reader);
            result.event = told > 0 && told < 256 ? static_cast<Event>(told) : Event::none;
        } else {
            reader.skip();
        }
    }
    return result;
}

void writeAnnotations(pbf_writer& out, const Annotations& annotations)
{
    for (const auto& [key, value] : annotations) {
        pbf_writer one(out, adjust::annotations);
        one.add_string(pair::key, key);
        one.add_string(pair::value, value);
    }
}

void writeHook(pbf_writer& out, protozero::pbf_tag_type stage, const Hook& one, unsigned timeout)
{
    pbf_writer writer(out, stage);
    writer.add_string(hook::path, one.path);
    for (const std::string& argument : one.arguments) {
        writer.add_string(hook::args, argument);
    }
    pbf_writer seconds(writer, hook::timeout);
    seconds.add_int64(optionalValue, timeout);
}

}  // namespace

Happening happeningIn(Event event, std::string_view message)
{
    return reading(message, [&](const pbf_reader& reader) {
        return readHappening(reader, event, request::pod, request::container);
    });
}

Happening stateChangeIn(std::string_view message)
{
    return reading(message, [](const pbf_reader& reader) {
        return readHappening(reader, Event::none, state_change::pod, state_change::container);
    });
}

Known knownIn(std::string_view message)
{
    return reading(message, [](pbf_reader reader) {
        Known known;
        while (reader.next()) {
            switch (reader.tag()) {
                case synchronize::pods:
                    known.pods.push_back(readPod(inner(reader)));
                    break;
                case synchronize::containers:
                    known.containers.push_back(readContainer(inner(reader)));
                    break;
                case synchronize::more:
                    known.more = number(reader) != 0;
                    break;
                default:
                    reader.skip();
            }
        }
        return known;
    });
}

std::string registration(std::string_view name, std::string_view index)
{
    std::string out;
    pbf_writer writer(out);
    writer.add_string(register_plugin::name, name.data(), name.size());
    writer.add_string(register_plugin::index, index.data(), index.size());
    return out;
}

std::string subscription(const std::vector<Event>& events)
{
    std::int32_t mask = 0;
    for (const Event event : events) {
        mask |= 1 << (static_cast<int>(event) - 1);
    }
    std::string out;
    pbf_writer(out).add_int32(configure_answer::events, mask);
    return out;
}

std::string synchronized(bool more)
{
    std::string out;
    if (more) {
        pbf_writer(out).add_bool(synchronize_answer::more, true);
    }
    return out;
}

std::string adjusted(const Adjustment& adjustment)
{
    std::string out;
    pbf_writer answer(out);
    pbf_writer writer(answer, create_answer::adjust);
    writeAnnotations(writer, adjustment.annotations);
    if (!adjustment.hooks.empty()) {
        pbf_writer stages(writer, adjust::hooks);
        for (const auto& [name, number] : hookStages) {
            const auto found = adjustment.hooks.find(name);
            if (found != adjustment.hooks.end()) {
                writeHook(stages, number, found->second, adjustment.hookTimeout);
            }
        }
    }
    return out;
}

}  // namespace nri
