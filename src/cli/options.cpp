// SPDX-License-Identifier: Apache-2.0
#include "cli/options.hpp"

#include <algorithm>
#include <iostream>

#include "sys/file.hpp"

namespace cli {

namespace po = boost::program_options;

namespace {

// A variable of a script that nobody has set makes such a word, and none of them asks for anything.
void requireWords(const std::string& command, const po::variables_map& given, const po::options_description& accepted,
                  const char* positional)
{
    const auto isEmpty = [](const std::string& word) { return word.empty(); };
    for (const auto& [name, value] : given) {
        if (value.defaulted() || accepted.find(name, false).semantic()->max_tokens() == 0) {
            continue;
        }
        const auto* const word = boost::any_cast<std::string>(&value.value());
        const auto* const words = boost::any_cast<Arguments>(&value.value());
        if ((word != nullptr && isEmpty(*word)) || (words != nullptr && std::ranges::any_of(*words, isEmpty))) {
            throw UsageError(command + ": the word for " + (positional != nullptr && name == positional ? "" : "--") +
                             name + " is empty");
        }
    }
}

}  // namespace

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
        // Each by its whole name: what is short for one alone may be short for two with the next version.
        constexpr int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
        po::store(po::command_line_parser(arguments).style(style).options(accepted).positional(words).run(), given);
        po::notify(given);
    } catch (const po::too_many_positional_options_error&) {
        throw UsageError(command + ": too many words; it takes " +
                         (positional == nullptr ? "options alone" : std::string("one ") + positional));
    } catch (const po::error& error) {
        throw UsageError(command + ": " + sys::printable(error.what(), 400) + "; `oci-landlock " + command +
                         " --help` lists what there is");
    }
    if (given.contains("help")) {
        std::cout << "Usage: oci-landlock " << command << (all.options().size() > 1 ? " [OPTION]..." : "")
                  << (positional == nullptr ? "" : std::string(" ") + positional + (most == 1 ? "" : "...")) << "\n\n"
                  << description << "\n\n"
                  << all;
        sys::flushOutput();
        return std::nullopt;
    }
    requireWords(command, given, accepted, positional);
    return given;
}

}  // namespace cli
