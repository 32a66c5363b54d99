// traffic.h - clients that ask without a pause while the server is put to the test, and count what
// becomes of their requests.
// Units    counts are requests.
// Errors   none: what fails is counted.
// Owner    the test; the destructor waits for the requests that are under way.
#pragma once

#include "tests/system/support/server.h"

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

class Traffic {
public:
    // Every request is another one, /act?text=answerN or the like, so that replies cannot be
    // mistaken for each other and each can be found in a log.
    explicit Traffic(const Server& server, int clients = 4);
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic();

    void stop();

    int answered() const { return answered_; }  // with what was asked for
    int failed() const { return failed_; }      // 5xx, or a reply that says that it is not whole
    int lost() const { return lost_; }          // anything else
    bool wait_answered(int more, Milliseconds patience = default_patience) const;

    // "sent 9, answered 7, failed 1, lost 1"
    std::string figures() const;
    std::string losses() const;  // a line for each of the first ones that were lost

private:
    void ask_on();
    void count(int number, const Request& request, const std::string& expected);
    void lose(int number, const std::string& why);

    const Server& server_;
    std::atomic<bool> over_ = false;
    std::atomic<int> sent_ = 0;
    std::atomic<int> answered_ = 0;
    std::atomic<int> failed_ = 0;
    std::atomic<int> lost_ = 0;
    mutable std::mutex mutex_;
    std::string losses_;
    std::vector<std::thread> clients_;
};
