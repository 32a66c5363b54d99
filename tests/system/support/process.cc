#include "tests/system/support/process.h"

#include "tests/system/support/temp_dir.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// The test program forks from threads, which its leak checker takes for leaks. It is the server's
// that matters: that one is another program.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options()
{
    return "detect_leaks=0";
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace {

// What Processes own. Tests start programs from several threads at once.
class Owned {
public:
    void insert(pid_t pid)
    {
        const std::lock_guard lock(mutex_);
        pids_.insert(pid);
    }
    void erase(pid_t pid)
    {
        const std::lock_guard lock(mutex_);
        pids_.erase(pid);
    }
    bool contains(pid_t pid)
    {
        const std::lock_guard lock(mutex_);
        return pids_.count(pid) != 0;
    }

private:
    std::mutex mutex_;
    std::set<pid_t> pids_;
};

Owned& owned()
{
    static Owned all;
    return all;
}

void become_subreaper()
{
    static const int once = ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (once != 0)
        throw std::system_error(errno, std::generic_category(), "PR_SET_CHILD_SUBREAPER");
}

[[noreturn]] void give_up(const char* what)
{
    ::perror(what);
    ::_exit(127);
}

void redirect(int number, const std::string& path, int flags)
{
    const int fd = ::open(path.c_str(), flags, 0644);
    if (fd < 0 || ::dup2(fd, number) < 0)
        give_up(path.c_str());
    if (fd > 2)
        ::close(fd);
}

void change_user(const std::string& name)
{
    const struct passwd* user = ::getpwnam(name.c_str());
    if (user == nullptr || ::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 ||
        ::setuid(user->pw_uid) != 0)
        give_up(name.c_str());
}

void pass_descriptors(const std::map<int, int>& descriptors)
{
    std::map<int, int> lifted;  // above every target, so that no copy overwrites a source
    for (const auto& [target, source] : descriptors)
        lifted[target] = ::fcntl(source, F_DUPFD_CLOEXEC, 100);
    for (const auto& [target, copy] : lifted)
        if (::dup2(copy, target) < 0)
            give_up("dup2");
}

void set_environment(const std::map<std::string, std::string>& environment)
{
    for (const auto& [name, value] : environment) {
        if (value.empty())
            ::unsetenv(name.c_str());
        else
            ::setenv(name.c_str(), value.c_str(), 1);
    }
}

void set_limits(const std::map<int, rlim_t>& limits)
{
    for (const auto& [resource, value] : limits) {
        const struct rlimit both {
            value, value
        };
        if (::setrlimit(static_cast<__rlimit_resource>(resource), &both) != 0)
            give_up("setrlimit");
    }
}

// In the child. The test process may have threads: everything that is needed was built before.
[[noreturn]] void become(const Command& command, char* const* argv)
{
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    redirect(0, command.in, O_RDONLY);
    redirect(1, command.out, O_WRONLY | O_CREAT | O_APPEND);
    redirect(2, command.err, O_WRONLY | O_CREAT | O_APPEND);
    pass_descriptors(command.descriptors);
    set_environment(command.environment);
    set_limits(command.limits);
    if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0)
        give_up(command.directory.c_str());
    if (!command.user.empty())
        change_user(command.user);
    ::execvp(argv[0], argv);
    give_up(argv[0]);
}

std::string proc(pid_t pid, const char* name)
{
    return "/proc/" + std::to_string(pid) + "/" + name;
}

// A process may go while its directory is read: what was seen until then counts.
std::vector<std::string> entries(const std::string& path)
{
    std::vector<std::string> names;
    std::error_code gone;
    std::filesystem::directory_iterator at(path, gone);
    while (!gone && at != std::filesystem::directory_iterator()) {
        names.push_back(at->path().filename());
        at.increment(gone);
    }
    return names;
}

// The fields of /proc/PID/stat from the third on: the second may hold spaces and parentheses.
std::vector<std::string> stat_fields(pid_t pid)
{
    const std::string line = read_file(proc(pid, "stat"));
    const auto end = line.rfind(')');
    if (end == std::string::npos)
        return {};
    std::istringstream rest(line.substr(end + 1));
    std::vector<std::string> fields;
    for (std::string field; rest >> field;)
        fields.push_back(field);
    return fields;
}

// A line of /proc/PID/status, such as VmRSS.
long kilobytes(pid_t pid, const std::string& line)
{
    const std::string status = read_file(proc(pid, "status"));
    const auto at = status.find(line + ":");
    return at == std::string::npos ? 0 : std::stol(status.substr(at + line.size() + 1));
}

}  // namespace

Process::Process(const Command& command)
{
    become_subreaper();
    std::vector<char*> argv;
    for (const auto& argument : command.arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0)
        throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0)
        become(command, argv.data());
    owned().insert(pid_);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(other.status_)
{
}

Process::~Process()
{
    kill();
    owned().erase(pid_);
}

bool Process::running()
{
    return pid_ > 0 && !wait(Milliseconds{0});
}

void Process::signal(int signo) const
{
    if (pid_ > 0 && !status_)
        ::kill(pid_, signo);
}

std::optional<ExitStatus> Process::wait(Milliseconds patience)
{
    if (pid_ <= 0 || status_)
        return status_;
    wait_for(
        [this] {
            int status = 0;
            if (::waitpid(pid_, &status, WNOHANG) != pid_)
                return false;
            status_ = ExitStatus{WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                                 WIFSIGNALED(status) ? WTERMSIG(status) : 0};
            return true;
        },
        patience);
    return status_;
}

void Process::kill()
{
    signal(SIGKILL);
    wait();
}

Finished run(Command command, Milliseconds patience)
{
    const TempDir directory;
    command.out = directory / "out";
    command.err = directory / "err";
    Process process(command);
    Finished finished;
    finished.status = process.wait(patience);
    process.kill();
    finished.out = read_file(command.out);
    finished.err = read_file(command.err);
    return finished;
}

std::vector<pid_t> children_of(pid_t pid)
{
    std::vector<pid_t> children;
    for (const auto& task : entries(proc(pid, "task"))) {
        std::istringstream list(read_file(proc(pid, "task/") + task + "/children"));
        for (pid_t child = 0; list >> child;)
            children.push_back(child);
    }
    return children;
}

std::vector<pid_t> descendants_of(pid_t pid)
{
    std::vector<pid_t> all = children_of(pid);
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto more = children_of(all[i]);
        all.insert(all.end(), more.begin(), more.end());
    }
    return all;
}

char state_of(pid_t pid)
{
    const auto fields = stat_fields(pid);
    return fields.empty() ? '\0' : fields[0][0];
}

bool alive(pid_t pid)
{
    const char state = state_of(pid);
    return state != '\0' && state != 'Z' && state != 'X';
}

bool any_zombie_beneath(pid_t pid)
{
    const auto all = descendants_of(pid);
    return std::any_of(all.begin(), all.end(), [](pid_t it) { return state_of(it) == 'Z'; });
}

std::string title_of(pid_t pid)
{
    std::string title = read_file(proc(pid, "cmdline"));
    std::replace(title.begin(), title.end(), '\0', ' ');
    title.erase(title.find_last_not_of(' ') + 1);
    return title;
}

std::size_t open_descriptors(pid_t pid)
{
    return entries(proc(pid, "fd")).size();
}

std::size_t settled_descriptors(pid_t pid)
{
    std::size_t count = 0;
    int steady = 0;
    const bool settled = wait_for([&] {
        const std::size_t now = open_descriptors(pid);
        steady = now == count && children_of(pid).empty() ? steady + 1 : 0;
        count = now;
        return steady >= 20;
    });
    if (!settled)
        throw std::runtime_error("process " + std::to_string(pid) + " does not come to rest");
    return count;
}

bool wait_asleep(const std::vector<pid_t>& pids, Milliseconds patience)
{
    int steady = 0;
    return wait_for(
        [&] {
            const auto sleeps = [](pid_t pid) { return state_of(pid) == 'S'; };
            steady = std::all_of(pids.begin(), pids.end(), sleeps) ? steady + 1 : 0;
            return steady >= 20;
        },
        patience);
}

long resident_kilobytes(pid_t pid)
{
    return kilobytes(pid, "VmRSS");
}

long most_resident_kilobytes(pid_t pid)
{
    return kilobytes(pid, "VmHWM");
}

pid_t pid_in(const std::string& path)
{
    const std::string text = read_file(path);
    return text.empty() ? 0 : std::stoi(text);
}

long cpu_ticks(pid_t pid)
{
    const auto fields = stat_fields(pid);
    return fields.size() < 13 ? 0 : std::stol(fields[11]) + std::stol(fields[12]);
}

std::vector<pid_t> adopted()
{
    std::vector<pid_t> strays;
    for (const pid_t pid : children_of(::getpid())) {
        if (owned().contains(pid))
            continue;
        if (::waitpid(pid, nullptr, WNOHANG) == 0)
            strays.push_back(pid);
    }
    return strays;
}

void kill_adopted()
{
    wait_for([] {
        const auto strays = adopted();
        for (const pid_t pid : strays)
            ::kill(pid, SIGKILL);
        return strays.empty();
    });
}
