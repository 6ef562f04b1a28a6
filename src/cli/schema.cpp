// SPDX-License-Identifier: Apache-2.0
// `oci-landlock schema`
#include "profile/schema.hpp"

#include <cstdio>

#include "cli/commands.hpp"
#include "cli/options.hpp"

namespace cli {

int runSchema(const Arguments& arguments)
{
    const boost::program_options::options_description options;
    if (parseOptions("schema", "Prints the JSON Schema of profiles, for editors and generators.", options, arguments)) {
        const std::string_view schema = profile::profileSchema();
        std::fwrite(schema.data(), 1, schema.size(), stdout);
    }
    return exitOk;
}

}  // namespace cli
