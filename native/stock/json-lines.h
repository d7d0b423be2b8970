// The protocol of the programs that `ann bench` and the GPU suite drive: one JSON command a line, one JSON answer a line.
#pragma once

#include <nlohmann/json.hpp>

#include <exception>
#include <iostream>
#include <string>

// Answers every line of stdin with handle(command); what it throws is answered as {"error": text}.
template <typename F> void answer_json_lines(F && handle) {
    for (std::string line; std::getline(std::cin, line);) {
        nlohmann::json answer;
        try {
            answer = handle(nlohmann::json::parse(line));
        } catch (const std::exception & e) {
            answer = { { "error", e.what() } };
        }
        std::cout << answer.dump() << std::endl;
    }
}
