// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace profile {

// One spelling for paths that are the same whatever the file system holds: without "//", "/./", a final "/" or "/.".
// ".." stays, because "a/../b" is not "b" where "a" is a symbolic link; so does a leading "./".
std::string normalisedPath(std::string_view path);

// An absolute path as it would be without symbolic links: without ".." too.
std::string lexicalPath(std::string_view path);

// The directory that an absolute, normalised path is in; of "/", itself.
std::string parentOf(const std::string& path);

// Whether `path` is `directory` or lies beneath it; both absolute and normalised.
bool isBeneath(std::string_view path, std::string_view directory);

}  // namespace profile
