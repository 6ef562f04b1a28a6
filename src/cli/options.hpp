// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>

#include "cli/commands.hpp"

namespace cli {

// Parses the words after a subcommand's name. std::nullopt: --help was asked for and printed. Positional words go to
// the option `positional`, where one is named: `most` of them, -1 being any number. Throws UsageError, also for an
// empty word.
std::optional<boost::program_options::variables_map> parseOptions(
    const std::string& command, const std::string& description,
    const boost::program_options::options_description& options, const Arguments& arguments,
    const char* positional = nullptr, int most = -1);

}  // namespace cli
