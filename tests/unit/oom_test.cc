#include "base/oom.h"
#include "tests/catch.h"

#include <string>
#include <vector>

using Files = std::vector<std::string>;

TEST_CASE("oom: the counter is looked for in the control group and then in the system", "[oom]")
{
    CHECK(oom::counter_files("0::/system.slice/tricorn.service\n") ==
          Files{"/sys/fs/cgroup/system.slice/tricorn.service/memory.events", "/proc/vmstat"});
    CHECK(oom::counter_files("0::/\n") == Files{"/sys/fs/cgroup/memory.events", "/proc/vmstat"});
    CHECK(oom::counter_files("9:name=systemd:/\n4:cpu,memory:/box\n0::/\n") ==
          Files{"/sys/fs/cgroup/memory/box/memory.oom_control",
                "/sys/fs/cgroup/memory.events",
                "/proc/vmstat"});
    CHECK(oom::counter_files("3:memory:/a:b") ==
          Files{"/sys/fs/cgroup/memory/a:b/memory.oom_control", "/proc/vmstat"});
    CHECK(oom::counter_files("") == Files{"/proc/vmstat"});
    CHECK(oom::counter_files("nonsense\n\n::::\n") == Files{"/proc/vmstat"});
}

TEST_CASE("oom: the counter is found among others", "[oom]")
{
    CHECK(oom::read_counter("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n") == 2);
    CHECK(oom::read_counter("oom_kill_disable 0\nunder_oom 0\noom_kill 7") == 7);
    CHECK_FALSE(oom::read_counter("low 0\noom_kill_disable 1\n"));
    CHECK_FALSE(oom::read_counter("oom_kill many\n"));
    CHECK_FALSE(oom::read_counter(""));
}

TEST_CASE("oom: without a kill none is seen", "[oom]")
{
    oom::Watch watch;
    const auto killed = watch.killed_lately(Clock::now());
    if (!killed)
        SKIP_TEST("the kernel does not count");
    CHECK(*killed == false);
}
