// SPDX-License-Identifier: Apache-2.0
#include "cli/options.hpp"

#include <iostream>

namespace cli {

namespace po = boost::program_options;

std::optional<po::variables_map> parseOptions(const std::string& command, const std::string& description,
                                              const po::options_description& options, const Arguments& arguments,
                                              const char* positional, int most)
{
    po::options_description all("Options");
    all.add_options()("help,h", "print this and exit");
    for (const auto& option : options.options()) {
        all.add(option);
    }
    po::options_description accepted;
    accepted.add(all);
    po::positional_options_description words;
    if (positional != nullptr) {
        words.add(positional, most);
        accepted.add_options()(positional, po::value<Arguments>()->default_value({}, ""));
    }
    po::variables_map given;
    try {
        po::store(po::command_line_parser(arguments).options(accepted).positional(words).run(), given);
        po::notify(given);
    } catch (const po::error& error) {
        throw UsageError(command + ": " + error.what());
    }
    if (given.contains("help")) {
        std::cout << "Usage: oci-landlock " << command << (all.options().size() > 1 ? " [OPTION]..." : "")
                  << (positional == nullptr ? "" : std::string(" ") + positional + (most == 1 ? "" : "...")) << "\n\n"
                  << description << "\n\n"
                  << all;
        return std::nullopt;
    }
    return given;
}

}  // namespace cli
