#include "server/scoreboard.h"

#include "base/error.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

#include <sys/mman.h>

namespace server {

namespace {

constexpr std::size_t request_room = 512;
constexpr std::size_t script_room = 256;

std::int64_t stamp(TimePoint time)
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

TimePoint clamp(std::int64_t stamp, TimePoint now)
{
    const TimePoint time{std::chrono::nanoseconds(std::max<std::int64_t>(stamp, 0))};
    return std::min(time, now);
}

template <std::size_t room>
void put(char (&to)[room], std::string_view from)
{
    const std::size_t length = from.copy(to, room - 1);
    to[length] = '\0';
}

// The copy is made first: the worker may be writing.
template <std::size_t room>
std::string get(const char (&from)[room])
{
    char copy[room];
    std::memcpy(copy, from, room);
    return {copy, ::strnlen(copy, room)};
}

}  // namespace

struct Slot::Shared {
    std::atomic<std::int64_t> beat;
    std::atomic<std::int64_t> request_started;  // 0: idle
    std::atomic<std::uint64_t> requests;
    std::atomic<std::int64_t> idle_since;
    std::atomic<std::uint8_t> booted;
    std::atomic<std::uint8_t> due;
    char request[request_room];
    char script[script_room];
};

Slot::Slot()
{
    static_assert(std::is_standard_layout_v<Shared>);
    static_assert(std::atomic<std::int64_t>::is_always_lock_free);
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        throw_errno("scoreboard");
    shared_ = new (memory) Shared{};
    beat(Clock::now());  // a worker that hangs before its first beat is found as well
}

Slot::~Slot()
{
    ::munmap(shared_, sizeof(Shared));
}

void Slot::hide_from_children() noexcept
{
    ::madvise(shared_, sizeof(Shared), MADV_DONTFORK);
}

WorkerPulse Slot::pulse(TimePoint now) const
{
    const std::int64_t started = shared_->request_started.load(std::memory_order_acquire);
    WorkerPulse pulse;
    pulse.booted = shared_->booted.load(std::memory_order_relaxed) != 0;
    pulse.last_beat = clamp(shared_->beat.load(std::memory_order_relaxed), now);
    pulse.requests = shared_->requests.load(std::memory_order_relaxed);
    pulse.busy = started != 0;
    pulse.due = shared_->due.load(std::memory_order_relaxed) != 0;
    pulse.request_started = clamp(started, now);
    pulse.idle_since = clamp(shared_->idle_since.load(std::memory_order_relaxed), now);
    return pulse;
}

WorkerReport Slot::report(TimePoint now) const
{
    WorkerReport report;
    static_cast<WorkerPulse&>(report) = pulse(now);
    report.request = get(shared_->request);
    report.script = get(shared_->script);
    return report;
}

void Slot::beat(TimePoint now) noexcept
{
    shared_->beat.store(stamp(now), std::memory_order_relaxed);
}

void Slot::booted(TimePoint now) noexcept
{
    shared_->idle_since.store(stamp(now), std::memory_order_relaxed);
    shared_->booted.store(1, std::memory_order_relaxed);
}

void Slot::begin_request(std::string_view request, TimePoint now) noexcept
{
    put(shared_->request, request);
    put(shared_->script, {});
    shared_->request_started.store(stamp(now), std::memory_order_release);
}

void Slot::set_script(std::string_view script) noexcept
{
    put(shared_->script, script);
}

void Slot::ask_to_go() noexcept
{
    shared_->due.store(1, std::memory_order_relaxed);
}

void Slot::end_request(TimePoint now) noexcept
{
    shared_->requests.fetch_add(1, std::memory_order_relaxed);
    shared_->idle_since.store(stamp(now), std::memory_order_relaxed);
    shared_->request_started.store(0, std::memory_order_release);
}

}  // namespace server
