// SPDX-License-Identifier: Apache-2.0
// OpenMetrics 1.0 text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace cli {

using Labels = std::vector<std::pair<const char*, std::string>>;

// Which container, as `status --json` has it. Several runtimes may give the same id: the cgroup's makes it one, and
// launch keeps one record an id.
Labels labelsOf(const nlohmann::json& container);

// Samples stand behind the head of their family, which may come once only.
class Exposition {
public:
    // `type`: "counter" or "gauge". One that Prometheus' older text has not, such as "info", makes the node exporter
    // pass over the whole file. The name goes without the part that all have.
    void family(const char* name, const char* type, const char* help);
    // Numbers and booleans. `suffix`: "_total" for a counter.
    void sample(const Labels& labels, const nlohmann::json& value, const char* suffix = "");

    std::string finish() const;

private:
    std::string name_;
    std::string text_;
};

}  // namespace cli
