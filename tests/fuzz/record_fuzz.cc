// record_fuzz.cc - the FastCGI parser against any bytes, in pieces of any size.
// Input    byte 0: which sizes the pieces have; the rest is what the web server sends.
// Checks   a view handed out lies within the piece; every call goes forward; nothing but errors
//          after an error; answers are well-formed records; heads and bodies are what a slow
//          decoder, written apart from the parser, finds in the same bytes.
#include "fcgi/record.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t max_params = 2'000;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

// --- the slow decoder ---------------------------------------------------------------------------

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Story {
    int heads = 0;
    int ends = 0;
    int aborts = 0;
    int replies = 0;
    bool error = false;
    bool too_large = false;
    std::string body;
    Pairs pairs;

    bool operator==(const Story&) const = default;
};

class PairReader {
public:
    explicit PairReader(const std::string& bytes) : bytes_(bytes) {}

    // nullopt when the bytes end within a pair.
    std::optional<Pairs> read()
    {
        Pairs pairs;
        while (at_ < bytes_.size()) {
            const auto name = length();
            const auto value = name ? length() : std::nullopt;
            if (!value || *name + *value > bytes_.size() - at_)
                return std::nullopt;
            pairs.emplace_back(bytes_.substr(at_, *name), bytes_.substr(at_ + *name, *value));
            at_ += *name + *value;
        }
        return pairs;
    }

private:
    std::optional<std::uint64_t> byte()
    {
        if (at_ >= bytes_.size())
            return std::nullopt;
        return static_cast<std::uint8_t>(bytes_[at_++]);
    }

    std::optional<std::uint64_t> length()
    {
        const auto first = byte();
        if (!first || *first < 0x80)
            return first;
        std::uint64_t all = *first - 0x80;
        for (int i = 0; i < 3; ++i) {
            const auto next = byte();
            if (!next)
                return std::nullopt;
            all = all * 256 + *next;
        }
        return all;
    }

    const std::string& bytes_;
    std::uint64_t at_ = 0;
};

class Slow {
public:
    // Tells the story of the whole input; what is cut at its end counts as far as it goes.
    Story tell(std::string_view bytes)
    {
        while (bytes.size() >= 8 && !story_.error) {
            const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
            const unsigned type = at(1);
            const unsigned id = at(2) * 256u + at(3);
            const std::size_t content = at(4) * 256u + at(5);
            const std::size_t padding = at(6);
            const bool valid = at(0) == 1;
            bytes.remove_prefix(8);
            const std::string_view there = bytes.substr(0, content);
            const bool whole = bytes.size() >= content + padding;
            if (!valid || !acceptable(type, id, content)) {
                story_.error = true;
                break;
            }
            record(type, id, there, content, whole);
            bytes.remove_prefix(std::min(bytes.size(), content + padding));
        }
        return story_;
    }

private:
    enum class Stage { idle, params, open, ended, deaf };

    bool acceptable(unsigned type, unsigned id, std::size_t content) const
    {
        if (id == 0)
            return type == 0 || type > 8 ? type != 9 || content <= 1'024 : false;
        if (type == 1)
            return content == 8 && (id != id_ || !listening());
        if (stage_ == Stage::idle || stage_ == Stage::deaf || id != id_)
            return true;
        if (type == 4)
            return stage_ == Stage::params;
        return type != 5 || stage_ != Stage::params;
    }

    // Amid a request: between its first record and the end of its body.
    bool listening() const { return stage_ == Stage::params || stage_ == Stage::open; }

    void record(unsigned type, unsigned id, std::string_view there, std::size_t content, bool whole)
    {
        if (id == 0)
            story_.replies += whole;
        else if (type == 1 && stage_ != Stage::idle && id == id_)
            stage_ = Stage::deaf;
        else if (type == 1 && whole)
            begin(id, there);
        else if (type != 1 && stage_ != Stage::idle && id == id_)
            record_of_request(type, there, content == 0 && whole, whole);
    }

    void record_of_request(unsigned type, std::string_view there, bool ends, bool whole)
    {
        if (stage_ == Stage::deaf)
            return;
        if (type == 2) {
            story_.aborts += whole;
        } else if (type == 4) {
            params_ += there;
            if (ends || params_.size() > max_params)
                end_head();
        } else if (type == 5 && stage_ == Stage::open) {
            story_.body += there;
            if (ends) {
                stage_ = Stage::ended;
                ++story_.ends;
            }
        }
    }

    void begin(unsigned id, std::string_view body)
    {
        if (stage_ != Stage::idle || body[0] != 0 || body[1] != 1) {
            ++story_.replies;
            return;
        }
        stage_ = Stage::params;
        id_ = id;
    }

    void end_head()
    {
        story_.too_large = params_.size() > max_params;
        stage_ = story_.too_large ? Stage::deaf : Stage::open;
        const auto pairs = story_.too_large ? Pairs{} : PairReader(params_).read();
        if (!pairs) {
            story_.error = true;
            return;
        }
        ++story_.heads;
        story_.pairs = *pairs;
    }

    Story story_;
    Stage stage_ = Stage::idle;
    unsigned id_ = 0;
    std::string params_;
};

// --- the parser ---------------------------------------------------------------------------------

void check_reply(std::string_view bytes)
{
    require(bytes.size() >= 8 && bytes.size() % 8 == 0 && bytes.size() < 200);
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    const std::size_t content = at(4) * 256u + at(5);
    require(at(0) == 1 && at(7) == 0);
    require(at(1) == 3 || at(1) == 10 || at(1) == 11);
    require(8 + content + at(6) == bytes.size());
    for (std::size_t i = 8 + content; i < bytes.size(); ++i)
        require(bytes[i] == 0);
}

class Fast {
public:
    void hear(const std::vector<char>& piece)
    {
        std::string_view rest(piece.data(), piece.size());
        for (std::size_t calls = 0;; ++calls) {
            // At most one step more than there are bytes: each call takes some or ends a record.
            require(calls <= 2 * piece.size() + 2);
            const char* const before = rest.data();
            const fcgi::Event event = parser_.next(rest);
            require(rest.data() >= before &&
                    rest.data() + rest.size() == piece.data() + piece.size());
            if (event.kind == fcgi::Event::Kind::more) {
                require(rest.empty());
                return;
            }
            note(event, piece);
            if (event.kind == fcgi::Event::Kind::error)
                return;
        }
    }

    const Story& story()
    {
        story_.too_large = parser_.params_too_large() && story_.heads > 0;
        if (story_.heads > 0)
            for (const auto& [name, value] : parser_.params().pairs())
                story_.pairs.emplace_back(name, value);
        return story_;
    }

private:
    using Kind = fcgi::Event::Kind;

    void note(const fcgi::Event& event, const std::vector<char>& piece)
    {
        require(!story_.error || event.kind == Kind::error);
        switch (event.kind) {
        case Kind::more: break;
        case Kind::head: ++story_.heads; break;
        case Kind::body:
            require(!event.bytes.empty() && event.bytes.data() >= piece.data());
            require(event.bytes.data() + event.bytes.size() <= piece.data() + piece.size());
            story_.body += event.bytes;
            break;
        case Kind::body_end: ++story_.ends; break;
        case Kind::aborted: ++story_.aborts; break;
        case Kind::reply:
        case Kind::refused:
            check_reply(event.bytes);
            ++story_.replies;
            break;
        case Kind::error:
            require(!event.bytes.empty());
            story_.error = true;
            break;
        }
    }

    fcgi::Parser parser_{max_params, 1};
    Story story_;
};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    std::uint32_t sizes = data[0];
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);

    Fast fast;
    for (std::string_view rest = bytes; !rest.empty();) {
        // 0: all at once; odd: always so many bytes; even: ever other sizes.
        std::size_t take = rest.size();
        if (sizes % 2 == 1)
            take = data[0];
        else if (sizes != 0)
            take = 1 + ((sizes = sizes * 1'103'515'246u + 12'346u) >> 16) % 40;
        const std::string_view piece = rest.substr(0, take);
        rest.remove_prefix(piece.size());
        fast.hear({piece.begin(), piece.end()});
    }
    require(fast.story() == Slow().tell(bytes));
    return 0;
}
