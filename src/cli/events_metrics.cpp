// SPDX-License-Identifier: Apache-2.0
#include "cli/events_metrics.hpp"

#include <utility>

#include "cli/metrics.hpp"
#include "cli/status.hpp"
#include "sys/error.hpp"

namespace cli {

namespace {

constexpr const char* openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
constexpr std::chrono::seconds renewal{5};
constexpr std::chrono::seconds lockPatience{1};  // events wait meanwhile

}  // namespace

EventsMetrics::EventsMetrics(const std::string& address)
    : page_(address, {"/metrics", openMetrics}),
      settings_(readSettings()),
      kernel_(kernelAtHand())
{
}

void EventsMetrics::begin(std::string source)
{
    counts_.emplace(std::move(source));
    show();
}

void EventsMetrics::show()
{
    if (Clock::now() < next_) {
        return;
    }
    next_ = Clock::now() + renewal;
    std::string text, why;
    try {
        text = metricsOf(collectStatus(settings_, {.kernel = kernel_, .patience = lockPatience}), &*counts_);
    } catch (const sys::Error& error) {
        why = error.what();
    }
    if (why.empty()) {
        page_.show(text);
    } else {
        page_.showObstacle(why + "\n");
    }
}

}  // namespace cli
