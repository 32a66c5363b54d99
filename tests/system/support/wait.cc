#include "tests/system/support/wait.h"

#include <algorithm>
#include <thread>

bool wait_for(const std::function<bool()>& condition, Milliseconds patience)
{
    const auto deadline = Clock::now() + patience;
    Milliseconds nap{1};
    while (Clock::now() < deadline) {
        if (condition())
            return true;
        std::this_thread::sleep_for(nap);
        nap = std::min(nap * 2, Milliseconds{16});
    }
    return condition();
}

void pause_for(Milliseconds time)
{
    std::this_thread::sleep_for(time);
}

Milliseconds Stopwatch::elapsed() const
{
    return std::chrono::duration_cast<Milliseconds>(Clock::now() - start_);
}
