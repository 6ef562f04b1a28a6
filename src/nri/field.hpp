// SPDX-License-Identifier: Apache-2.0
// Fields of protobuf messages from elsewhere: one of another type than ours is no such message.
#pragma once

#include <cstdint>
#include <protozero/pbf_reader.hpp>
#include <string>

#include "sys/error.hpp"

namespace nri {

// Throw sys::Error.
inline std::string text(protozero::pbf_reader& reader)
{
    if (reader.wire_type() != protozero::pbf_wire_type::length_delimited) {
        throw sys::Error("a field is no text");
    }
    return reader.get_string();
}

inline std::int64_t number(protozero::pbf_reader& reader)
{
    if (reader.wire_type() != protozero::pbf_wire_type::varint) {
        throw sys::Error("a field is no number");
    }
    return reader.get_int64();
}

}  // namespace nri
