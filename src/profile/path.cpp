// SPDX-License-Identifier: Apache-2.0
#include "profile/path.hpp"

#include <algorithm>

namespace profile {

std::string normalisedPath(std::string_view path)
{
    std::string out = path.starts_with('/') ? "/" : "";
    for (std::size_t i = 0; i < path.size();) {
        const std::size_t end = std::min(path.find('/', i), path.size());
        const std::string_view part = path.substr(i, end - i);
        if (!part.empty() && (part != "." || i == 0)) {
            if (!out.empty() && !out.ends_with('/')) {
                out += '/';
            }
            out += part;
        }
        i = end + 1;
    }
    return out;
}

std::string lexicalPath(std::string_view path)
{
    std::string out;
    for (std::size_t i = 0; i < path.size();) {
        const std::size_t end = std::min(path.find('/', i), path.size());
        const std::string_view part = path.substr(i, end - i);
        if (part == "..") {
            out.resize(out.empty() ? 0 : out.rfind('/'));
        } else if (!part.empty() && part != ".") {
            out += '/';
            out += part;
        }
        i = end + 1;
    }
    return out.empty() ? "/" : out;
}

std::string parentOf(const std::string& path)
{
    return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
}

bool isBeneath(std::string_view path, std::string_view directory)
{
    return directory == "/" || path == directory ||
           (path.size() > directory.size() && path.starts_with(directory) && path[directory.size()] == '/');
}

}  // namespace profile
