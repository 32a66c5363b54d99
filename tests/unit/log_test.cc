#include "base/clock.h"
#include "log/log.h"
#include "log/output.h"
#include "tests/unit/support.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

using logging::Level;
using unit::read_file;
using unit::TempDir;

namespace {

// The log is global: each test opens its own file and gives stderr back.
struct OpenLog {
    explicit OpenLog(const std::string& file, Level level = Level::info)
    {
        logging::open({file, false, level});
    }
    OpenLog(const OpenLog&) = delete;
    OpenLog& operator=(const OpenLog&) = delete;
    ~OpenLog() { logging::open({}); }
};

std::string message_of(const std::string& line)
{
    const auto begin = line.find("] ");
    return begin == std::string::npos ? line : line.substr(begin + 2);
}

// Digits become n, and a zone west of Greenwich an eastern one.
std::string shape_of(std::string line)
{
    for (char& c : line) {
        if (c >= '0' && c <= '9')
            c = 'n';
    }
    const auto zone = line.find(" -nnnn ");
    return zone == std::string::npos ? line : line.replace(zone, 2, " +");
}

struct LogPipe : Pipe {
    LogPipe() { REQUIRE(open_pipe(*this)); }
    void fill() const
    {
        REQUIRE(::fcntl(write.get(), F_SETFL, O_NONBLOCK) == 0);
        const std::string block(4096, 'x');
        while (::write(write.get(), block.data(), block.size()) > 0) {
        }
        REQUIRE(::fcntl(write.get(), F_SETFL, 0) == 0);
    }
    std::string take(std::size_t most) const
    {
        std::string bytes(most, '\0');
        const auto n = ::read(read.get(), bytes.data(), bytes.size());
        bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
        return bytes;
    }
};

std::string inode_of_stderr()
{
    struct stat status {};
    ::fstat(STDERR_FILENO, &status);
    return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

}  // namespace

TEST_CASE("log: a line has time and zone and process and level", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    logging::warning("worker %d is %s", 7, "late");
    CHECK(shape_of(read_file(dir / "error.log")) == "nnnn-nn-nn nn:nn:nn.nnn +nnnn [" +
                                                        shape_of(std::to_string(::getpid())) +
                                                        "] warning: worker n is late\n");
}

TEST_CASE("log: messages below the level are left out", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log", Level::warning);
    CHECK_FALSE(logging::enabled(Level::info));
    CHECK(logging::enabled(Level::warning));
    logging::debug("no");
    logging::info("no");
    logging::warning("1");
    logging::error("2");
    logging::critical("3");
    const auto text = read_file(dir / "error.log");
    CHECK(std::count(text.begin(), text.end(), '\n') == 3);
    CHECK(text.find("no") == std::string::npos);
    CHECK(text.find("critical: 3\n") != std::string::npos);
}

TEST_CASE("log: a message is one line whatever is in it", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    logging::info("%s", "one\ntwo\x1b[0m\xFF");
    CHECK(message_of(read_file(dir / "error.log")) == "info: one\\x0Atwo\\x1B[0m\\xFF\n");
}

TEST_CASE("log: a long message is not cut", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    const std::string text(300'000, 'y');
    logging::info("%s", text.c_str());
    CHECK(message_of(read_file(dir / "error.log")) == "info: " + text + "\n");
}

TEST_CASE("log: errno survives a message", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    errno = ENOTTY;
    logging::error("x");
    CHECK(errno == ENOTTY);
}

TEST_CASE("log: a file is made for its owner and group only and is not inherited", "[log]")
{
    const TempDir dir;
    const mode_t old_mask = ::umask(0);
    const OpenLog log(dir / "error.log");
    ::umask(old_mask);
    struct stat status {};
    REQUIRE(::fstat(logging::descriptor(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0640);
    CHECK((::fcntl(logging::descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(logging::descriptor(), F_GETFL) & O_APPEND) != 0);
}

TEST_CASE("log: a file that cannot be opened is named", "[log]")
{
    const TempDir dir;
    const auto file = dir / "missing/error.log";
    try {
        logging::open({file, false, Level::info});
        FAIL("opened");
    } catch (const std::system_error& error) {
        CHECK(std::string(error.what()).find(file) != std::string::npos);
        CHECK(error.code().value() == ENOENT);
    }
}

TEST_CASE("log: after reopen lines go to the new file", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    logging::info("before");
    std::filesystem::rename(dir / "error.log", dir / "error.log.1");
    CHECK(logging::reopen().empty());
    const auto copy = logging::share();
    logging::info("after");
    CHECK(message_of(read_file(dir / "error.log.1")) == "info: before\n");
    CHECK(message_of(read_file(dir / "error.log")) == "info: after\n");

    struct stat handed {};
    struct stat own {};
    REQUIRE(::fstat(copy.get(), &handed) == 0);
    REQUIRE(::fstat(logging::descriptor(), &own) == 0);
    CHECK(handed.st_ino == own.st_ino);
    CHECK((::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("log: a worker goes on with the descriptor that it was handed", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    logging::adopt(
        UniqueFd(::open((dir / "other").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)));
    logging::info("here");
    CHECK(message_of(read_file(dir / "other")) == "info: here\n");
    CHECK(read_file(dir / "error.log").empty());
}

TEST_CASE("log: when reopening fails the old file stays in use and says why", "[log]")
{
    const TempDir dir;
    std::filesystem::create_directory(dir / "logs");
    const OpenLog log(dir / "logs/error.log");
    std::filesystem::rename(dir / "logs", dir / "moved");
    CHECK_FALSE(logging::reopen().empty());
    logging::info("still here");
    const auto text = read_file(dir / "moved/error.log");
    CHECK(text.find("cannot reopen the error log") != std::string::npos);
    CHECK(text.find("No such file or directory") != std::string::npos);
    CHECK(text.find("still here") != std::string::npos);
}

TEST_CASE("log: root follows no symbolic link where others can write", "[log]")
{
    if (::geteuid() != 0)
        SKIP_TEST("needs root");
    const TempDir dir;
    REQUIRE(::symlink((dir / "target").c_str(), (dir / "error.log").c_str()) == 0);
    CHECK_NOTHROW(OpenLog(dir / "error.log"));
    CHECK(std::filesystem::remove(dir / "target"));
    for (const mode_t mode : {0777U, 0775U}) {
        REQUIRE(::chmod((dir / "").c_str(), mode) == 0);
        CHECK_THROWS_WITH(OpenLog(dir / "error.log"),
                          Catch::Matchers::Contains("a symbolic link where others than root can "
                                                    "write"));
    }
    REQUIRE(::chmod((dir / "").c_str(), 0755) == 0);
    REQUIRE(::chown((dir / "").c_str(), 65534, 0) == 0);
    CHECK_THROWS_AS(OpenLog(dir / "error.log"), std::system_error);
    CHECK_FALSE(std::filesystem::exists(dir / "target"));
}

TEST_CASE("log: a process that has gone on with a description of its own is not disturbed", "[log]")
{
    const TempDir dir;
    const OpenLog log(dir / "error.log");
    const int before = logging::descriptor();
    const UniqueFd shared(::fcntl(before, F_DUPFD_CLOEXEC, 3));
    logging::separate();
    REQUIRE(::fcntl(shared.get(), F_SETFL, 0) == 0);  // neither O_APPEND nor O_NONBLOCK
    const int flags = ::fcntl(logging::descriptor(), F_GETFL);
    CHECK((flags & O_APPEND) != 0);
    CHECK((flags & O_NONBLOCK) != 0);
    logging::info("here");
    CHECK(message_of(read_file(dir / "error.log")) == "info: here\n");
}

TEST_CASE("log: levels are known by their names", "[log]")
{
    CHECK(logging::parse_level("debug") == Level::debug);
    CHECK(logging::parse_level("warning") == Level::warning);
    CHECK(logging::parse_level("critical") == Level::critical);
    CHECK_FALSE(logging::parse_level("Warning"));
    CHECK_FALSE(logging::parse_level(""));
}

TEST_CASE("log: the journal gets priorities instead of time and process", "[log]")
{
    const TempDir dir;
    const auto run = [&](bool ours) {
        const auto file = dir / (ours ? "journal" : "plain");
        return unit::in_child([&] {
            const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            ::dup2(fd, STDERR_FILENO);
            ::setenv("JOURNAL_STREAM", ours ? inode_of_stderr().c_str() : "1:2", 1);
            logging::open({});
            logging::error("x");
            logging::info("y");
            return 0;
        });
    };
    REQUIRE(run(true) == 0);
    REQUIRE(run(false) == 0);
    CHECK(read_file(dir / "journal") == "<3>x\n<6>y\n");
    CHECK(read_file(dir / "plain").find("] error: x\n") != std::string::npos);
}

TEST_CASE("log: a full disk stops nothing and the loss is told when it works again", "[log]")
{
    const TempDir dir;
    const OpenLog log("/dev/full");
    logging::error("lost 1");
    logging::error("lost 2");
    logging::adopt(
        UniqueFd(::open((dir / "good").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)));
    logging::info("back");
    logging::info("again");
    const auto text = read_file(dir / "good");
    CHECK(text.find("warning: 2 lines of this log lost: No space left on device\n") !=
          std::string::npos);
    CHECK(text.find("info: back\n") != std::string::npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 3);
}

TEST_CASE("log: a reader of stderr that has gone stops nothing", "[log]")
{
    const int status = unit::in_child([] {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            return 1;
        ::signal(SIGPIPE, SIG_IGN);
        ::dup2(ends[1], STDERR_FILENO);
        logging::open({});
        ::close(ends[0]);
        logging::error("nobody reads this");
        return 0;
    });
    CHECK(status == 0);
}

TEST_CASE("output: a full pipe costs a moment once and lines are lost not awaited", "[log]")
{
    const LogPipe pipe;
    auto output = logging::Output::standard(pipe.write.get());
    pipe.fill();
    const auto start = Clock::now();
    for (int i = 0; i < 100; ++i)
        CHECK_FALSE(output.write("line\n"));
    CHECK(output.lost() == 100);
    CHECK(output.error() == EAGAIN);
    CHECK(Clock::now() - start < std::chrono::seconds(10));

    pipe.take(1 << 20);
    CHECK(output.write("works\n"));
    CHECK(pipe.take(1 << 20) == "works\n");
}

TEST_CASE("output: the description of an inherited pipe stays blocking for others", "[log]")
{
    const LogPipe pipe;
    const auto output = logging::Output::standard(pipe.write.get());
    CHECK((::fcntl(pipe.write.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("output: after a line that was cut the next one starts a line of its own", "[log]")
{
    const LogPipe pipe;
    REQUIRE(::fcntl(pipe.write.get(), F_SETPIPE_SZ, 4096) >= 4096);
    const auto room = static_cast<std::size_t>(::fcntl(pipe.write.get(), F_GETPIPE_SZ));
    auto output = logging::Output::standard(pipe.write.get());
    CHECK_FALSE(output.write(std::string(2 * room, 'z') + "\n"));
    const auto got = pipe.take(4 * room);
    CHECK(got == std::string(got.size(), 'z'));
    CHECK_FALSE(got.empty());
    CHECK(output.write("next\n"));
    CHECK(pipe.take(4096) == "\nnext\n");
}

TEST_CASE("output: a socket without room does not block and its closing does not kill", "[log]")
{
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    auto output = logging::Output::standard(ours.get());
    const std::string block(65536, 'b');
    int written = 0;
    while (written < 10'000 && output.write(block))
        ++written;
    CHECK(output.error() == EAGAIN);
    theirs.reset();
    CHECK_FALSE(output.write("x\n"));
    CHECK(output.error() == EPIPE);
}

TEST_CASE("output: a FIFO without a reader can be a log file", "[log]")
{
    const TempDir dir;
    const auto fifo = dir / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    auto output = logging::Output::file(fifo);
    CHECK(output.write("kept\n"));
    const UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    char bytes[16];
    CHECK(::read(reader.get(), bytes, sizeof bytes) == 5);
}
