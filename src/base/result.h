// result.h - a value or the reason why there is none, for what fails in normal operation.
// Errors   value() of a failure and error() of a success are programming errors (std::get throws).
// Source   a small std::expected; g++ 12 has none.
#pragma once

#include <utility>
#include <variant>

template <class Value, class Error>
class Result {
public:
    // NOLINTNEXTLINE(google-explicit-constructor): "return value;" is the point.
    Result(Value value) : held_(std::in_place_index<0>, std::move(value)) {}
    // NOLINTNEXTLINE(google-explicit-constructor)
    Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const noexcept { return held_.index() == 0; }
    Value& value() { return std::get<0>(held_); }
    const Value& value() const { return std::get<0>(held_); }
    Value* operator->() { return &std::get<0>(held_); }
    const Error& error() const { return std::get<1>(held_); }

private:
    std::variant<Value, Error> held_;
};
