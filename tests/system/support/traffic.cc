#include "tests/system/support/traffic.h"

#include <exception>
#include <utility>

namespace {

constexpr int most_losses = 20;

}  // namespace

Traffic::Traffic(const Server& server, int clients) : server_(server)
{
    for (int i = 0; i < clients; ++i)
        clients_.emplace_back([this] { ask_on(); });
}

Traffic::~Traffic()
{
    stop();
}

void Traffic::stop()
{
    over_ = true;
    for (auto& client : clients_)
        if (client.joinable())
            client.join();
}

bool Traffic::wait_answered(int more, Milliseconds patience) const
{
    const int before = answered_;
    return wait_for([&] { return answered_ >= before + more; }, patience);
}

std::string Traffic::figures() const
{
    return "sent " + std::to_string(sent_) + ", answered " + std::to_string(answered_) +
           ", failed " + std::to_string(failed_) + ", lost " + std::to_string(lost_);
}

std::string Traffic::losses() const
{
    const std::lock_guard lock(mutex_);
    return losses_;
}

// Short ones, slow ones and uploads.
void Traffic::ask_on()
{
    while (!over_) {
        const int number = sent_++;
        const std::string text = "answer" + std::to_string(number);
        switch (number % 4) {
        case 0: count(number, server_.get("act", "sleep=5&text=" + text), text); break;
        case 1: {
            const std::string body(20000 + static_cast<std::size_t>(number % 977),
                                   static_cast<char>('a' + number % 26));
            count(number, server_.post("act", "plain&echo&out=" + text, body), body + text);
            break;
        }
        default: count(number, server_.get("act", "text=" + text), text);
        }
    }
}

void Traffic::count(int number, const Request& request, const std::string& expected)
{
    try {
        const Reply reply = server_.ask(request);
        if (reply.end == End::invalid || (reply.complete() && reply.status() >= 500))
            ++failed_;
        else if (!reply.complete())
            lose(number, "end " + std::to_string(static_cast<int>(reply.end)));
        else if (reply.status() != 200 || reply.body() != expected)
            lose(number, "a wrong answer: " + reply.out.substr(0, 200));
        else
            ++answered_;
    } catch (const std::exception& error) {
        lose(number, error.what());
    }
}

void Traffic::lose(int number, const std::string& why)
{
    const std::lock_guard lock(mutex_);
    if (lost_++ < most_losses)
        losses_ += "request " + std::to_string(number) + ": " + why + "\n";
}
