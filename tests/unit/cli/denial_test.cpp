// SPDX-License-Identifier: Apache-2.0
#include "cli/denial.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Denial, NamesTheEntryWhereThereIsOne)
{
    oll_denial denial{};
    denial.reason = OLL_REASON_PROGRAMS;
    denial.entry = 3;
    EXPECT_EQ(cli::describeDenial(denial)["entry"], 3);
    denial.reason = OLL_REASON_MEMBERSHIPS;
    denial.entry = OLL_NO_ENTRY;
    EXPECT_FALSE(cli::describeDenial(denial).contains("entry"));
}

}  // namespace
