// SPDX-License-Identifier: Apache-2.0
#include "cli/metrics.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace {

using nlohmann::json;

json statusWith(json containers)
{
    return {{"version", "1"},
            {"kernel", {{"release", "6.12"}, {"landlockAbi", 6}}},
            {"loaded", true},
            {"applier", "inject"},
            {"supervisor", {{"running", false}}},
            {"places", {{"used", 1}, {"total", 4096}}},
            {"strays", {{"denied", 3}}},
            {"containers", std::move(containers)}};
}

json selected(const std::string& id, int cgroup)
{
    return {{"id", id},
            {"cgroupId", cgroup},
            {"created", 1700000000},
            {"profile", "web"},
            {"intact", true},
            {"held", false},
            {"started", true},
            {"applied", 7},
            {"denied", 2},
            {"entries", {{{"name", "one"}, {"enforcement", "partial"}}}},
            {"names", {{"pod", "shop"}}}};
}

std::vector<std::string> linesOf(const json& status)
{
    std::istringstream text(cli::metricsOf(status));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) {
        lines.push_back(line);
    }
    return lines;
}

bool contains(const std::vector<std::string>& lines, const std::string& wanted)
{
    return std::find(lines.begin(), lines.end(), wanted) != lines.end();
}

TEST(Metrics, TellWhatStatusTells)
{
    const auto lines = linesOf(statusWith({selected("abc", 5)}));
    const std::string labels =
        R"({namespace="",pod="shop",container="",container_id="abc",profile="web",cgroup_id="5")";
    for (const std::string& wanted :
         {std::string(R"(oci_landlock_build_info{version="1",applier="inject",kernel="6.12"} 1)"),
          std::string("oci_landlock_supervisor_running 0"), std::string("oci_landlock_strays_denied_total 3"),
          std::string("oci_landlock_containers 1"), "oci_landlock_execs_restricted_total" + labels + "} 7",
          "oci_landlock_execs_denied_total" + labels + "} 2", "oci_landlock_container_rulesets_held" + labels + "} 0",
          "oci_landlock_container_created_timestamp_seconds" + labels + "} 1700000000",
          "oci_landlock_entry_partial" + labels + R"(,entry="one",entry_index="0"} 1)"}) {
        EXPECT_TRUE(contains(lines, wanted)) << wanted;
    }
    EXPECT_EQ(lines.back(), "# EOF");
    EXPECT_FALSE(cli::metricsOf(statusWith({})).contains("slots"));
}

TEST(Metrics, NamesFromOutsideStayInTheirPlace)
{
    json item = selected("a\"} 1\nevil 2\n#", 5);
    item["profile"] = "back\\slash\xff";
    const auto lines = linesOf(statusWith({item}));
    EXPECT_TRUE(contains(lines,
                         R"(oci_landlock_execs_denied_total{namespace="",pod="shop",container="",)"
                         R"(container_id="a\"} 1\\x0aevil 2\\x0a#",profile="back\\slash\\xff",cgroup_id="5"} 2)"));
    EXPECT_FALSE(contains(lines, "evil 2"));
}

TEST(Metrics, NoSampleTwiceAndEachFamilyOnce)
{
    // Two engines may choose the same id, and a profile the same name for two entries.
    json twice = selected("abc", 6);
    twice["entries"].push_back(twice["entries"][0]);
    std::set<std::string> seen;
    for (const std::string& line : linesOf(statusWith({selected("abc", 5), twice}))) {
        EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
    }
}

TEST(Metrics, Launched)
{
    const json item = {{"id", "abc"},
                       {"pid", 7},
                       {"created", 1},
                       {"profile", "p"},
                       {"applied", false},
                       {"failure", "no"},
                       {"entries", json::array()}};
    json status = {{"version", "1"},         {"kernel", {{"release", "6.1"}, {"landlockAbi", 2}}},
                   {"loaded", false},        {"applier", "launch"},
                   {"reason", "no BPF LSM"}, {"containers", {item}}};
    const std::string text = cli::metricsOf(status);
    const std::string labels = R"({namespace="",pod="",container="",container_id="abc",profile="p"})";
    EXPECT_TRUE(text.contains("oci_landlock_container_failed" + labels + " 1\n"));
    EXPECT_TRUE(text.contains("oci_landlock_execs_restricted_total" + labels + " 0\n"));
    EXPECT_FALSE(text.contains("held"));
    EXPECT_FALSE(text.contains("supervisor"));
    status.erase("applier");
    status.erase("containers");
    EXPECT_TRUE(cli::metricsOf(status).contains("oci_landlock_selector_loaded 0\n"));
}

std::string countedText(const cli::EventCounts& counts, json containers)
{
    return cli::metricsOf(statusWith(std::move(containers)), &counts);
}

// Collectors of text files, such as the node exporter's, take all of OpenMetrics but the types that are new in it, for
// which they leave out the whole file.
TEST(Metrics, AreAlsoPrometheusOlderText)
{
    const std::set<std::string> known = {"counter", "gauge", "histogram", "summary", "untyped"};
    std::istringstream text(countedText(cli::EventCounts("hooks"), {selected("abc", 5)}));
    unsigned families = 0;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("# TYPE ")) {
            EXPECT_TRUE(known.contains(line.substr(line.rfind(' ') + 1))) << line;
            ++families;
        }
    }
    EXPECT_GT(families, 10U);
}

TEST(Metrics, WhatEventsHasCounted)
{
    cli::EventCounts counts("hooks");
    const nlohmann::ordered_json denied = {{"event", "denied"},
                                           {"entries", {"one", "two"}},
                                           {"rights", {"read_file"}},
                                           {"path", "/etc/secret"}};
    counts.count(5, {{"event", "created"}});
    counts.count(5, denied);
    counts.count(5, denied);
    counts.count(5, {{"event", "wouldDeny"}, {"entries", {"one"}}, {"rights", {"make_dir", "make_reg"}}});
    counts.count(5, {{"event", "lost"}, {"count", 12}});
    counts.count(0, {{"event", "lost"}, {"count", 34}});
    counts.count(9, denied);  // it has gone meanwhile
    const std::string text = countedText(counts, {selected("abc", 5), selected("quiet", 6)});
    const std::string labels =
        R"({namespace="",pod="shop",container="",container_id="abc",profile="web",cgroup_id="5")";
    for (const std::string& wanted :
         {std::string(R"(oci_landlock_events_source_info{source="hooks"} 1)"),
          "oci_landlock_events_total" + labels + R"(,kind="denied"} 2)",
          "oci_landlock_accesses_denied_total" + labels + R"(,entry="one",right="read_file"} 2)",
          "oci_landlock_accesses_denied_total" + labels + R"(,entry="two",right="read_file"} 2)",
          "oci_landlock_accesses_audited_total" + labels + R"(,entry="one",right="make_reg"} 1)",
          "oci_landlock_container_events_lost_total" + labels + "} 12",
          std::string("oci_landlock_events_lost_total 34")}) {
        EXPECT_TRUE(text.contains("\n" + wanted + "\n")) << wanted << text;
    }
    EXPECT_TRUE(text.contains(R"(container_id="quiet",profile="web",cgroup_id="6",kind="denied"} 0)")) << text;
    EXPECT_FALSE(text.contains("secret"));
    counts.forget(5);
    EXPECT_FALSE(countedText(counts, {selected("abc", 5)}).contains("read_file"));
}

// One text has the series of all containers.
TEST(Metrics, NoContainerHasSeriesWithoutEnd)
{
    cli::EventCounts counts("hooks");
    for (int entry = 0; entry < 16; ++entry) {
        for (int right = 0; right < 16; ++right) {
            counts.count(5, {{"event", "denied"},
                             {"entries", {std::to_string(entry)}},
                             {"rights", {std::to_string(right)}}});
        }
    }
    std::istringstream text(countedText(counts, {selected("abc", 5)}));
    unsigned series = 0;
    unsigned others = 0;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("oci_landlock_accesses_denied_total{")) {
            ++series;
            others += line.ends_with(R"(,entry="",right=""} 192)");
        }
    }
    EXPECT_EQ(series, 65U);
    EXPECT_EQ(others, 1U);
}

// Which `status` tells by their inits.
TEST(Metrics, WhatEventsHasCountedOfLaunched)
{
    cli::EventCounts counts("none");
    counts.count(7, {{"event", "applied"}});
    counts.count(0, {{"event", "lost"}, {"count", 34}});
    const json item = {{"id", "abc"},   {"pid", 7},        {"created", 1},
                       {"profile", ""}, {"applied", true}, {"entries", json::array()}};
    const json status = {{"version", "1"},     {"kernel", {{"release", "6.1"}, {"landlockAbi", 2}}},
                         {"loaded", false},    {"applier", "launch"},
                         {"reason", "no BPF"}, {"containers", {item}}};
    const std::string text = cli::metricsOf(status, &counts);
    const std::string labels = R"({namespace="",pod="",container="",container_id="abc",profile="")";
    EXPECT_TRUE(text.contains("oci_landlock_events_total" + labels + R"(,kind="applied"} 1)")) << text;
    EXPECT_TRUE(text.contains("oci_landlock_container_events_lost_total" + labels + "} 0")) << text;
}

}  // namespace
