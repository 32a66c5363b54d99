// chaos_test.cc - everything that may happen to a server happens while it serves: no request is
// lost but those that a killed worker had, and afterwards the server is as it was. Each test prints
// its figures. TRICORN_CHAOS_SECONDS is how long each of them goes on (2).
// Source   php-fpm bug77185-reload-robustness and gh bugs on reload storms; gunicorn's issues with
//          lost requests at HUP and max_requests; fcgiwrap #19 and #18 (what a killed parent
//          leaves).
#include "tests/catch.h"
#include "tests/system/support/server.h"
#include "tests/system/support/traffic.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

constexpr std::size_t crew = 3;  // workers, if not said otherwise
constexpr int clients = 4;

Milliseconds duration()
{
    const char* seconds = std::getenv("TRICORN_CHAOS_SECONDS");  // NOLINT(concurrency-mt-unsafe)
    return Milliseconds{1000 * (seconds == nullptr ? 2 : std::atoi(seconds))};
}

// "socket:[1234]"; none when only root may look: a worker keeps its own user out.
std::set<std::string> sockets_of(pid_t pid)
{
    std::set<std::string> found;
    std::error_code gone;
    for (const auto& link :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
        const std::string target = std::filesystem::read_symlink(link, gone).string();
        if (target.starts_with("socket:"))
            found.insert(target);
    }
    return found;
}

// All that have a name in the file system: listeners and their connections, as /proc/PID/fd has it.
std::set<std::string> named_sockets()
{
    std::set<std::string> named;
    std::istringstream lines(read_file("/proc/net/unix"));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::vector<std::string> word{std::istream_iterator<std::string>(words), {}};
        if (word.size() == 8)
            named.insert("socket:[" + word[6] + "]");
    }
    return named;
}

// Those of a worker: neither its channel, which has no name, nor the listeners, which the arbiter
// has too.
std::size_t connections_of(pid_t worker, pid_t arbiter)
{
    const auto all = sockets_of(worker);
    const auto shared = sockets_of(arbiter);
    if (all.empty())
        return is_root() ? 0 : clients;
    const auto named = named_sockets();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const auto& it) {
        return named.contains(it) && !shared.contains(it);
    }));
}

std::size_t shared_mappings(pid_t pid)
{
    std::istringstream maps(read_file("/proc/" + std::to_string(pid) + "/maps"));
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);)
        count += line.find("/dev/zero") != std::string::npos ||
                         line.find("/dev/shm") != std::string::npos
                     ? 1
                     : 0;
    return count;
}

// What may leak.
struct Footprint {
    std::size_t descriptors = 0;
    std::size_t shared = 0;
    std::vector<std::size_t> of_workers;
    bool operator==(const Footprint&) const = default;

    explicit Footprint(pid_t arbiter)
        : descriptors(open_descriptors(arbiter)), shared(shared_mappings(arbiter))
    {
        for (const pid_t worker : workers_of(arbiter))
            of_workers.push_back(open_descriptors(worker));
    }
};

std::ostream& operator<<(std::ostream& out, const Footprint& footprint)
{
    out << footprint.descriptors << " descriptors, " << footprint.shared
        << " shared mappings, workers:";
    for (const auto count : footprint.of_workers)
        out << ' ' << count;
    return out;
}

std::set<std::string> sockets_in(const std::string& directory)
{
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        if (entry.is_socket())
            found.insert(entry.path());
    return found;
}

// What may be lost when nobody can promise anything.
constexpr std::size_t any = std::numeric_limits<std::size_t>::max();

// A server, what happens to it, and the account of it.
class Scene {
public:
    // A daemon, and a server that was upgraded, say in the pid file who they are.
    explicit Scene(const Setup& setup = {},
                   const std::string& pid_file = "",
                   std::size_t at_rest = crew)
        : server({.pool = "workers = 3\n" + setup.pool,
                  .global = setup.global,
                  .arguments = setup.arguments,
                  .wait = setup.arguments.empty()}),
          pid_file_(pid_file), at_rest_(at_rest)
    {
        REQUIRE((setup.arguments.empty() || server.process().wait() == ExitStatus{0, 0}));
        REQUIRE(server.serves());
        settle();
    }

    Server server;
    pid_t arbiter() const { return pid_file_.empty() ? server.pid() : pid_in(pid_file_); }
    std::vector<pid_t> workers() const { return workers_of(arbiter()); }
    bool wait_workers(std::size_t count) const
    {
        return wait_for([&] { return workers().size() == count; }, Milliseconds{20000});
    }

    // Lets it happen again and again under traffic. Each time answers the requests that it costs.
    void play(const std::string& what,
              const std::function<std::size_t(Traffic&)>& happen,
              std::size_t least_times = 2)
    {
        Traffic traffic(server, clients);
        REQUIRE(traffic.wait_answered(4));
        const Stopwatch watch;
        std::size_t allowed = 0;
        std::size_t times = 0;
        do {
            const std::size_t cost = happen(traffic);
            allowed = cost == any || allowed == any ? any : allowed + cost;
            ++times;
        } while (watch.elapsed() < duration() || times < least_times);
        CHECK(traffic.wait_answered(8));
        traffic.stop();
        answered = traffic.answered();
        failed = traffic.failed();
        INFO(server.log());
        INFO(traffic.losses());
        std::cout << "figures: " << times << " times " << what << ": " << traffic.figures()
                  << (allowed == any ? "" : ", at most " + std::to_string(allowed)) << std::endl;
        CHECK(static_cast<std::size_t>(traffic.lost()) <= allowed);
    }

    // The server is what it was before.
    void check_whole() const
    {
        INFO(server.log());
        CHECK(server.serves());
        CHECK(wait_workers(at_rest_));
        Footprint now = before_;
        const bool same = wait_for([&] { return (now = Footprint(arbiter())) == before_; });
        if (!same)
            CHECK(now == before_);
        CHECK(wait_for([&] { return !any_zombie_beneath(arbiter()); }));
        CHECK(wait_for([&] { return sockets_in(server.directory().path()) == sockets_; }));
        for (const pid_t worker : workers())
            CHECK(children_of(worker).empty());
    }

    // A worker that stands still, and how many connections it has.
    struct Victim {
        pid_t pid = 0;
        std::size_t connections = 0;
    };
    Victim stop_one()
    {
        const auto all = workers();
        if (all.empty())
            return {};
        const pid_t pid = all[random_() % all.size()];
        ::kill(pid, SIGSTOP);
        wait_for([&] { return state_of(pid) == 'T' || !alive(pid); });
        return {pid, connections_of(pid, arbiter())};
    }

    unsigned dice(unsigned sides) { return static_cast<unsigned>(random_()) % sides; }

    int answered = 0;
    int failed = 0;

private:
    // How it is when nothing happens.
    void settle()
    {
        REQUIRE(wait_workers(at_rest_));
        sockets_ = sockets_in(server.directory().path());
        // A worker that boots has not opened everything yet.
        REQUIRE(wait_for([&] {
            before_ = Footprint(arbiter());
            const auto all = workers();
            const bool idle = std::all_of(all.begin(), all.end(), [&](pid_t worker) {
                return (!is_root() || connections_of(worker, arbiter()) == 0) &&
                       children_of(worker).empty();
            });
            pause_for(Milliseconds{100});
            return idle && before_.of_workers.size() == at_rest_ && Footprint(arbiter()) == before_;
        }));
    }

    std::string pid_file_;
    std::size_t at_rest_;
    Footprint before_{0};
    std::set<std::string> sockets_;
    std::minstd_rand random_{std::random_device{}()};
};

std::size_t kill_worker(Scene& scene, Traffic& traffic)
{
    const auto victim = scene.stop_one();
    if (victim.pid == 0)
        return 0;
    ::kill(victim.pid, SIGKILL);
    CHECK(traffic.wait_answered(2));
    return victim.connections;
}

// Until the reload is through: a HUP that finds another one waiting is the same.
void reload(const Server& server)
{
    const auto count = [&] { return count_of(server.log(), "info: ready"); };
    const auto before = count();
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return count() > before; }, Milliseconds{20000}));
}

// The texts of the requests in the lines of a log and of those that were renamed.
std::multiset<std::string> logged_answers(const std::string& directory)
{
    std::multiset<std::string> found;
    for (const auto& file : std::filesystem::directory_iterator(directory)) {
        std::istringstream lines(read_file(file.path()));
        for (std::string line; std::getline(lines, line);) {
            const auto at = line.find("=answer");
            if (line.find(" HTTP/1.1\" 200 ") == std::string::npos)
                continue;
            if (at != std::string::npos)
                found.insert(line.substr(at + 1, line.find(' ', at) - at - 1));
        }
    }
    return found;
}

}  // namespace

TEST_CASE("chaos: a worker that is killed loses the requests that it had and no other", "[chaos]")
{
    Scene scene;
    scene.play("a worker killed", [&](Traffic& traffic) {
        const auto lost = kill_worker(scene, traffic);
        CHECK(scene.wait_workers(crew));
        CHECK(traffic.wait_answered(30));  // a worker that dies young is replaced after a pause
        return lost;
    });
    CHECK(scene.failed == 0);
    scene.check_whole();
}

TEST_CASE("chaos: a program that is killed is 502 or a broken reply and no more", "[chaos]")
{
    Scene scene;
    const auto workers = scene.workers();
    scene.play("a program killed", [&](Traffic&) -> std::size_t {
        for (const pid_t program : scene.server.programs())
            ::kill(program, SIGKILL);
        pause_for(Milliseconds{5});
        return 0;
    });
    CHECK(scene.failed > 0);
    CHECK(scene.workers() == workers);
    scene.check_whole();
}

TEST_CASE("chaos: a worker that stands still is replaced and keeps no other from serving",
          "[chaos]")
{
    Scene scene({.pool = "timeout = 3s\n"});
    scene.play("a worker stopped", [&](Traffic& traffic) -> std::size_t {
        const auto victim = scene.stop_one();
        CHECK(traffic.wait_answered(10));
        CHECK(wait_for([&] { return victim.pid == 0 || !alive(victim.pid); }));
        return victim.connections;
    });
    CHECK(scene.failed == 0);
    CHECK(scene.server.wait_log("timeout: aborting it"));
    scene.check_whole();
}

TEST_CASE("chaos: reloads lose no request whether one waits for them or not", "[chaos]")
{
    Scene scene;
    scene.play("20 reloads", [&](Traffic& traffic) -> std::size_t {
        for (int i = 0; i < 20; ++i)
            if (i % 4 == 0) {
                reload(scene.server);
            } else {
                scene.server.signal(SIGHUP);
                pause_for(Milliseconds{scene.dice(20)});
            }
        CHECK(traffic.wait_answered(1));
        return 0;
    });
    CHECK(scene.failed == 0);
    reload(scene.server);
    scene.check_whole();
}

TEST_CASE("chaos: workers that come and go by TTIN and TTOU lose no request", "[chaos]")
{
    Scene scene;
    scene.play("10 of TTIN and TTOU", [&](Traffic& traffic) -> std::size_t {
        for (int i = 0; i < 10; ++i) {
            scene.server.signal(scene.dice(2) == 0 ? SIGTTIN : SIGTTOU);
            pause_for(Milliseconds{scene.dice(5)});
        }
        CHECK(traffic.wait_answered(4));
        return 0;
    });
    CHECK(scene.failed == 0);
    reload(scene.server);  // back to what the configuration says
    scene.check_whole();
}

TEST_CASE("chaos: workers that are recycled all the time lose no request", "[chaos]")
{
    Scene scene({.pool = "max_requests = 3\nmax_requests_jitter = 3\n"});
    scene.play("10 requests answered", [&](Traffic& traffic) -> std::size_t {
        CHECK(traffic.wait_answered(10));
        return 0;
    });
    CHECK(scene.failed == 0);
    scene.check_whole();
}

TEST_CASE("chaos: ondemand workers that come and go lose no request", "[chaos]")
{
    Scene scene({.pool = "scaling = ondemand\nidle_timeout = 50ms\n"}, "", 0);
    const Stopwatch watch;
    int bursts = 0;
    int answered = 0;
    while (watch.elapsed() < duration()) {
        Traffic traffic(scene.server, 1 + static_cast<int>(scene.dice(6)));
        CHECK(traffic.wait_answered(10));
        traffic.stop();
        INFO(traffic.losses());
        CHECK(traffic.lost() + traffic.failed() == 0);
        // One that was retired may be on its way out; the idle ones stay for longer than this.
        CHECK(wait_for([&] { return scene.workers().size() <= crew; }, Milliseconds{40}));
        answered += traffic.answered();
        ++bursts;
        if (scene.dice(2) == 0)
            CHECK(scene.wait_workers(0));
        else
            pause_for(Milliseconds{scene.dice(200)});
    }
    std::cout << "figures: " << bursts << " bursts of requests, " << answered << " answered"
              << std::endl;
    scene.check_whole();
}

TEST_CASE("chaos: reloads one worker after the other lose no request", "[chaos]")
{
    Scene scene({.pool = "reload = rolling\n"});
    scene.play("a rolling reload", [&](Traffic& traffic) -> std::size_t {
        reload(scene.server);
        CHECK(traffic.wait_answered(1));
        return 0;
    });
    CHECK(scene.failed == 0);
    scene.check_whole();
}

TEST_CASE("chaos: logs that are renamed and reopened lose no line", "[chaos]")
{
    const TempDir place;
    const std::string access = place / "access";
    give_to_pool(place.path());
    Scene scene({.pool = "access_log = " + access + "\n"});
    int rotation = 0;
    scene.play("a log rotated", [&](Traffic& traffic) -> std::size_t {
        std::filesystem::rename(access, access + "." + std::to_string(++rotation));
        scene.server.signal(SIGUSR1);
        CHECK(wait_for([&] { return exists(access); }));
        CHECK(traffic.wait_answered(static_cast<int>(scene.dice(10))));
        return 0;
    });
    CHECK(scene.failed == 0);
    const auto answered = static_cast<std::size_t>(scene.answered);
    CHECK(wait_for([&] { return logged_answers(place.path()).size() >= answered; }));
    const auto lines = logged_answers(place.path());
    CHECK(lines.size() == answered);
    CHECK(std::set<std::string>(lines.begin(), lines.end()).size() == answered);
    scene.check_whole();
}

TEST_CASE("chaos: an arbiter that is killed leaves nothing and can be started again at once",
          "[chaos]")
{
    Scene scene;
    scene.play("the arbiter killed", [&](Traffic& traffic) {
        auto old = descendants_of(scene.server.pid());
        scene.server.process().kill();
        const Stopwatch watch;
        scene.server.start();
        CHECK(wait_for([&] { return std::none_of(old.begin(), old.end(), alive); },
                       Milliseconds{2000} - watch.elapsed()));
        CHECK(traffic.wait_answered(8));
        return any;  // whoever asks meanwhile is refused
    });
    CHECK(wait_for([] { return adopted().empty(); }));
    scene.check_whole();
}

TEST_CASE("chaos: without workers requests wait until HUP brings them back", "[chaos]")
{
    const TempDir place;
    const std::string pid_file = place / "pid";
    Scene scene({.pool = "graceful_timeout = 20s\n",
                 .global = "pid = " + pid_file + "\nerror_log = " + place / "log" + "\n",
                 .arguments = {"-D"}},
                pid_file);
    scene.play("WINCH and HUP", [&](Traffic& traffic) -> std::size_t {
        ::kill(scene.arbiter(), SIGWINCH);
        CHECK(scene.wait_workers(0));
        pause_for(Milliseconds{scene.dice(50)});
        ::kill(scene.arbiter(), SIGHUP);
        CHECK(traffic.wait_answered(10));
        return 0;
    });
    CHECK(scene.failed == 0);
    scene.check_whole();
    ::kill(scene.arbiter(), SIGTERM);
    CHECK(wait_for([&] { return adopted().empty(); }));
}

TEST_CASE("chaos: upgrades lose no request whether they are completed or taken back", "[chaos]")
{
    const TempDir place;
    const std::string pid_file = place / "pid";
    Scene scene({.global = "pid = " + pid_file + "\n"}, pid_file);
    const auto upgrade = [&](Traffic& traffic, bool complete) {
        const pid_t old = scene.arbiter();
        pid_t fresh = 0;
        ::kill(old, SIGUSR2);
        REQUIRE(wait_for([&] {
            fresh = pid_in(pid_file + ".2");
            return fresh != 0 && workers_of(fresh).size() == crew;
        }));
        CHECK(traffic.wait_answered(4));
        const pid_t goes = complete ? old : fresh;
        ::kill(goes, SIGTERM);
        CHECK(wait_for([&] { return !alive(goes) && !exists(pid_file + ".2"); }));
        CHECK(scene.arbiter() == (complete ? fresh : old));
        CHECK(traffic.wait_answered(4));
    };
    scene.play(
        "an upgrade taken back and one completed",
        [&](Traffic& traffic) -> std::size_t {
            upgrade(traffic, false);
            upgrade(traffic, true);
            return 0;
        },
        5);
    CHECK(scene.failed == 0);
    CHECK(scene.arbiter() != scene.server.pid());
    scene.check_whole();
    ::kill(scene.arbiter(), SIGTERM);
    CHECK(wait_for([&] { return adopted().empty(); }));
}

TEST_CASE("chaos: everything at once costs no more than each of it", "[chaos]")
{
    const auto [pool, at_rest] = GENERATE(table<std::string, std::size_t>(
        {{"", crew},
         {"reload = rolling\nmax_requests = 9\nmax_worker_age = 1s\n", crew},
         {"scaling = dynamic\nmin_spare = 1\nmax_spare = 1\nmax_requests = 9\n", 1},
         {"scaling = ondemand\nidle_timeout = 50ms\nreload = rolling\n", 0}}));
    CAPTURE(pool);
    Scene scene({.pool = pool}, "", at_rest);
    scene.play("anything", [&](Traffic& traffic) -> std::size_t {
        pause_for(Milliseconds{scene.dice(20)});
        constexpr int signals[] = {SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1, SIGWINCH, SIGCHLD};
        switch (const unsigned what = scene.dice(9)) {
        case 6: return kill_worker(scene, traffic);
        case 7:
            for (const pid_t program : scene.server.programs())
                ::kill(program, SIGKILL);
            return 0;
        case 8: CHECK(traffic.wait_answered(4)); return 0;
        default: scene.server.signal(signals[what]); return 0;
        }
    });
    reload(scene.server);
    scene.check_whole();
}
